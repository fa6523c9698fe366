"""
My boxes come from another detector: why are landmarks off?
===========================================================

A model learns how boxes lie around faces. Boxes of another detector are larger or shifted, and
landmarks become inaccurate. :func:`skwing.boxes.adapt_boxes` converts them.
"""

# %%
# A model, trained with the boxes of one detector
# -----------------------------------------------
# Drawn faces and a small network, for speed.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

style = {"max_yaw": 20, "occlusion": 0, "image_size": 96}
train, test = (make_faces(n, random_state=i, **style) for i, n in enumerate([220, 40]))
small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=30,
    batch_size=16,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
model.fit(train.data, train.target)

# %%
# Boxes of another detector
# -------------------------
# They are larger and reach higher, as those of detectors that include the hair.

from skwing.boxes import adapt_boxes, adjust_boxes

boxes = adjust_boxes(test.data.boxes, margin=0.2, shift=(0, -0.1))
others = test.data.with_boxes(boxes)

# %%
# Convert them
# ------------
# No labels are needed: `adapt_boxes` compares the boxes with the predictions of the model. Pass
# all images of the detector at once.

adapted = adapt_boxes(others, model)
cases = {"own detector": test.data, "another detector": others, "adapted boxes": adapted}
errors = {name: -100 * model.score(X, test.target) for name, X in cases.items()}
for name, error in errors.items():
    print(f"{name:17} {error:.1f} % of the eyes' distance")

# %%
# The same face in the three boxes
# --------------------------------

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.patches import Rectangle

from skwing.metrics import nme

wrong = nme(test.target, model.predict(others), schema=test.schema, per_sample=True)
shown = int(np.argsort(wrong)[len(wrong) // 2])
figure, axes = plt.subplots(1, 3, figsize=(9, 3.8), layout="constrained")
for ax, (name, X) in zip(axes, cases.items(), strict=True):
    x, y, width, height = X.boxes[shown]
    ax.imshow(X.decode(shown))
    frame = (x - 0.5, y - 0.5), width, height
    ax.add_patch(Rectangle(*frame, fill=False, edgecolor="white", linewidth=2))
    for points, colour in ((test.target[shown], "#56B4E9"), (model.predict(X)[shown], "#F0E442")):
        ax.plot(*points.T, ".", color=colour, markersize=4)
    ax.set_title(f"{name}\nmean error {errors[name]:.1f} %")
    ax.set_axis_off()
figure.supxlabel("blue: true landmarks, yellow: predicted", fontsize="medium")

# %%
# If some images are annotated, measure the relation instead of estimating it:
# ``adapt_boxes(X, model, box_relation(boxes, landmark_boxes(target)))``.
