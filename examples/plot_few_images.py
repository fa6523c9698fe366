"""
I have labelled only a few images: is it enough?
================================================

A model that was trained on many images of a similar kind is a good start. With ``start=model``,
training begins with its weights, and a few images of the new kind suffice.
"""

# %%
# Two kinds of images
# -------------------
# Many colour portraits, and scanned negatives of old film: grey, inverted and blurred. To keep
# the example short, both are drawn, and the network is small.

import cv2
import numpy as np

from skwing import BoxedImages
from skwing.datasets import make_faces


def scan_negatives(faces):
    """The same faces as grey, inverted, blurred images."""
    pixels = np.stack([faces.data.decode(i) for i in range(len(faces.data))])
    grey = [cv2.GaussianBlur(image, None, 1.5).mean(axis=-1) for image in pixels]
    images = (255 - np.array(grey)).round().astype(np.uint8)
    return BoxedImages(images, faces.data.boxes, schema=faces.schema)


style = {"schema": "aflw19", "image_size": 96, "max_yaw": 20, "occlusion": 0}
many = make_faces(200, random_state=0, **style)
few, test = make_faces(40, random_state=1, **style), make_faces(60, random_state=2, **style)
few_images, test_images = scan_negatives(few), scan_negatives(test)

# %%
# Train on many images of the first kind
# --------------------------------------

from functools import partial

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.networks import PlainCNN

small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
settings = {
    "networks": (small,),
    "batch_size": 8,
    "augmentation": Augmentation(deformation=0),
    "random_state": 0,
}
base = CascadeLandmarkRegressor(max_epochs=30, **settings).fit(many.data, many.target)

# %%
# Fit to few images of the second kind
# ------------------------------------
# From scratch, and from the model of the first kind. In practice, the start is often a file:
# ``start="models/drawn.safetensors"``. Its learning rate is lower, and fewer epochs
# suffice.

numbers = [0, 10, 20, 40]
errors = {"from scratch": [np.nan], "from a start": [-base.score(test_images, test.target)]}
for n in numbers[1:]:
    scratch = CascadeLandmarkRegressor(max_epochs=30, **settings)
    started = CascadeLandmarkRegressor(max_epochs=15, start=base, **settings)
    for name, model in zip(errors, [scratch, started], strict=True):
        model.fit(few_images[:n], few.target[:n])
        errors[name].append(-model.score(test_images, test.target))

# %%
# Compare on images of the second kind
# ------------------------------------

import matplotlib.pyplot as plt

figure, ax = plt.subplots(layout="constrained")
for (name, values), style in zip(errors.items(), ["o--", "o-"], strict=True):
    ax.plot(numbers, 100 * np.array(values), style, label=name)
ax.set(
    xlabel="Labelled images of the new kind",
    ylabel="Error (% of the eyes' distance)",
    xticks=numbers,
    ylim=(0, None),
)
ax.grid(color="0.9")
ax.legend(loc="lower left")

# %%
# Without any new label, the first model is lost on the new kind. With each number of labels, the
# model from a start has the smaller error, although it is trained for fewer epochs. Label a
# handful, look at the predictions for the rest, and label next what is worst.
