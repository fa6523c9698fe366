"""
Some landmarks are hidden or not labelled: what now?
====================================================

Mark them with NaN. Training ignores them, errors leave them out, and `predict` still returns
all landmarks.
"""

# %%
# Faces with gaps in their labels
# -------------------------------
# Here, landmarks that are covered or on the far side of the head are missing. Files mark them in
# their own ways, such as an absent part in dlib's XML or NA in TPS; the readers return NaN.

import numpy as np

from skwing.datasets import make_faces

style = {"max_yaw": 45, "occlusion": 0.5, "image_size": 96, "hidden": "nan"}
train, test = (make_faces(n, random_state=i, **style) for i, n in enumerate([200, 40]))
missing = np.isnan(train.target).any(axis=-1)
print(f"missing: {100 * missing.mean():.0f} % of all landmarks")
print(f"complete: {100 * (~missing.any(axis=1)).mean():.0f} % of the faces")

# %%
# Fit and predict as always
# -------------------------
# A small network, for speed.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.networks import PlainCNN

small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=25,
    batch_size=16,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
predicted = model.fit(train.data, train.target).predict(test.data)
print("NaN in predictions:", np.isnan(predicted).sum())

# %%
# Labels with gaps, predictions without
# -------------------------------------
# Blue lines are the labels: they stop where landmarks are hidden. The errors in the titles are
# means over the landmarks that are labelled.

from skwing.display import LandmarkDisplay

most_hidden = np.argsort(-np.isnan(test.target).sum(axis=(1, 2)))[:6]
LandmarkDisplay.from_predictions(
    test.data, test.target, predicted, order=most_hidden, normalizer="box", errors=False
)

# %%
# Do not write 0 or -1 for a missing landmark: the model would learn to predict it. `fit` warns if
# it finds such values.
