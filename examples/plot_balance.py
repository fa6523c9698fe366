"""
What does PoseBalancer do to my data?
=====================================

Most photographs show faces from the front, so a network sees few profiles and fits them badly.
:class:`skwing.PoseBalancer` finds the pose of each sample from its landmarks and lets training
draw rare poses more often.
"""

# %%
# Portraits in which few faces are turned away
# --------------------------------------------

import numpy as np

from skwing import PoseBalancer
from skwing.datasets import make_faces

n_samples = 160
pose = np.random.default_rng(0).normal(0, [20, 8, 6], (n_samples, 3)).clip(-75, 75)
faces = make_faces(n_samples, pose=pose, image_size=96, occlusion=0, random_state=0)

# %%
# Fit the balancer
# ----------------
# It needs only landmarks. All shapes are aligned, and their main differences become "modes" of
# the shape. The first one that changes its sign in a mirror is taken as the pose; for faces it
# is yaw. Bins of equal width are then filled up to the size of the largest bin by repeating
# samples, each at most `max_repeats` times.

balancer = PoseBalancer(n_bins=7)
balanced = balancer.fit_transform(faces.data, faces.target)
print("most frequent samples: once; rarest:", balancer.repeats_.max(), "times")

# %%
# Before, after, and the modes
# ----------------------------
# The faces below each bar are typical for their bin. The bottom row shows how the shape changes
# along each mode: check here that the balanced one is the pose that you mean. If it is not, set
# ``component=1`` or another number.

from skwing.display import PoseHistogramDisplay

PoseHistogramDisplay.from_estimator(balancer, faces.data, n_faces=2)

# %%
# In practice the balancer is a step of a pipeline, before the regressor. Nothing is copied:
# ``balanced`` refers to the same images and carries the repeats, and training takes as long as
# without balancing::
#
#     Pipeline([("balance", PoseBalancer()), ("reg", CascadeLandmarkRegressor())])
#
# It pays if the images to predict show more extreme poses than the training images.
