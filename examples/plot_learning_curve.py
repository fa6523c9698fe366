"""
What would the next 100 labels bring?
=====================================

Errors decrease as more images are labelled, but ever more slowly. A learning curve of the images
that are labelled already shows how far it is worth going on.
"""

# %%
# Labelled images
# ---------------
# 120 faces of forty persons. Images of a person stay together, as in every measurement of
# errors on new persons. To keep the example short, the network is small and the faces are drawn.

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

look = {"schema": "aflw19", "image_size": 64, "max_yaw": 20, "occlusion": 0}
faces = make_faces(120, faces_per_identity=3, random_state=0, **look)
small = partial(PlainCNN, widths=(8, 16, 32), input_size=32, n_hidden=128, batch_norm=True)
regressor = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=40,
    batch_size=8,
    learning_rate=1e-2,
    augmentation=Augmentation(rotation=10, occlusion=0, blur=0, deformation=0),
    random_state=0,
)

# %%
# Errors with 20, 40 and 78 of them
# ---------------------------------
# scikit-learn trains with each number of images in each fold. Small numbers are cheap: the last
# one takes as long as a cross-validation.

import numpy as np
from sklearn.model_selection import GroupKFold, learning_curve

numbers, _, scores = learning_curve(
    regressor,
    faces.data,
    faces.target,
    groups=faces.groups,
    train_sizes=[20, 40, 78],
    cv=GroupKFold(3),
    shuffle=True,
    random_state=0,
)
errors = -100 * scores.mean(axis=1)
deviations = 100 * scores.std(axis=1)

# %%
# Go on with the curve
# --------------------
# With logarithmic axes, the errors of small data sets lie near a straight line: each doubling of
# the labels lowers the error by the same percentage.

slope, offset = np.polyfit(np.log(numbers), np.log(errors), 1)
next_numbers = np.array([78, 120, 178])
expected = np.exp(offset) * next_numbers**slope
print(f"each doubling of the labels lowers the error by {100 * (1 - 2**slope):.0f} %")
print(f"error with 78 labels: {errors[-1]:.1f} %, expected with 178: {expected[-1]:.1f} %")

# %%
# The curve, and what 100 more labels would bring
# -----------------------------------------------

import matplotlib.pyplot as plt
from matplotlib.ticker import NullFormatter, ScalarFormatter

figure, ax = plt.subplots(layout="constrained")
ax.errorbar(numbers, errors, deviations, fmt="o-", capsize=3, label="measured, 3 folds")
ax.plot(next_numbers, expected, "o--", color="tab:orange", label="expected")
ax.set(
    xscale="log",
    yscale="log",
    xlabel="Labelled images",
    ylabel="Error (% of the eyes' distance)",
    xticks=[*numbers, *next_numbers[1:]],
    yticks=[8, 10, 12, 14, 16],
)
for axis in (ax.xaxis, ax.yaxis):
    axis.set_major_formatter(ScalarFormatter())
    axis.set_minor_formatter(NullFormatter())
ax.grid(color="0.9")
ax.legend()

# %%
# The expectation is optimistic if the curve flattens: its end is then above the line through the
# other points. That is the case where errors come near those of the labels themselves, which a
# second labelling of some images measures. If labels are few, a
# :ref:`start <sphx_glr_gallery_plot_few_images.py>` may save more of them than the next 100 bring.
# The same curve is measured from a start if the regressor has one: ``start="model.safetensors"``.
