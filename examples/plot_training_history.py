"""
Has training converged?
=======================

The loss of the training images always falls. Pass images that are not trained on as `X_val` and
`y_val`, and look at their error after each epoch.
"""

# %%
# Train with validation images
# ----------------------------
# They are other persons than those of the training images. They change nothing, unless
# ``early_stopping=True``. Both networks are small, for speed.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

style = {"max_yaw": 30, "occlusion": 0, "image_size": 96}
train, held_out = (make_faces(n, random_state=i, **style) for i, n in enumerate([150, 60]))
small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small, small),
    max_epochs=(24, 12),
    batch_size=16,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
model.fit(train.data, train.target, X_val=held_out.data, y_val=held_out.target)

# %%
# Loss, error and learning rate
# -----------------------------
# By default, the learning rate rises and falls in each stage ("one cycle"), and the error is
# smallest at the end. If the error still falls steeply before the learning rate does, more epochs
# help. If it rises while the loss falls, the model learns its training images by heart: add
# images or augmentation.

from skwing.display import TrainingHistoryDisplay

TrainingHistoryDisplay.from_estimator(model)

# %%
# ``model.history_`` has the numbers, one row for each epoch.

for row in model.history_[-2:]:
    print({key: round(value, 4) for key, value in row.items()})
