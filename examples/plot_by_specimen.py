"""
Several photographs of each specimen: how do I cross-validate?
==============================================================

If photographs of one specimen are in the training and in the test set, the model is tested on
what it has seen. :class:`sklearn.model_selection.GroupKFold` keeps all photographs of a specimen
in one fold.
"""

# %%
# Sixteen photographs each of six individuals
# -------------------------------------------
# ``faces.groups`` is the individual in each photograph. The readers of :mod:`skwing.datasets`
# return `groups` too; for other data, it is any array with one label for each image, such as the
# number of the specimen.

from skwing.datasets import make_faces

faces = make_faces(
    96,
    schema="aflw19",
    faces_per_identity=16,
    max_yaw=20,
    occlusion=0,
    image_size=96,
    random_state=0,
)
print(faces.groups[::8])

# %%
# Two ways to split
# -----------------
# A small network, without augmentation, keeps this example short.

from functools import partial

from sklearn.model_selection import GroupKFold, KFold, cross_val_predict

from skwing import CascadeLandmarkRegressor
from skwing.metrics import nme
from skwing.networks import PlainCNN

small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=25,
    batch_size=8,
    augmentation=None,
    random_state=0,
)
splits = {
    "random images": KFold(3, shuffle=True, random_state=0).split(faces.data),
    "whole individuals": GroupKFold(3).split(faces.data, groups=faces.groups),
}
errors = {}
for name, split in splits.items():
    predicted = cross_val_predict(model, faces.data, faces.target, cv=list(split))
    errors[name] = nme(faces.target, predicted, schema=faces.schema, per_sample=True)
    print(f"{name}: mean error {100 * errors[name].mean():.1f} % of the eyes' distance")

# %%
# The difference
# --------------
# Every image is predicted once, by a model that was trained without this image. With random
# folds, however, the training set has other photographs of the same individual: the error is
# too low for individuals that are new to the model.

from skwing.display import CumulativeErrorDisplay

ax = None
for name, values in errors.items():
    display = CumulativeErrorDisplay.from_errors(
        values, name=name, normalizer="inter_ocular", threshold=0.25, ax=ax
    )
    ax = display.ax_
