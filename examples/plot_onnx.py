"""
How do I run a model without PyTorch?
=====================================

:func:`skwing.export.to_onnx` writes the whole cascade to one file for ONNX Runtime. A few
lines of OpenCV and the file are all that a program needs. Requires ``pip install ".[onnx]"``.
"""

# %%
# Train and export
# ----------------
# A small network, for speed.

import tempfile
from functools import partial
from pathlib import Path

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.export import to_onnx
from skwing.networks import PlainCNN

style = {"max_yaw": 30, "occlusion": 0, "image_size": 96}
train, new = (make_faces(n, random_state=i, **style) for i, n in enumerate([200, 12]))
small = partial(PlainCNN, widths=(16, 32, 64), input_size=32, n_hidden=256, batch_norm=True)
model = CascadeLandmarkRegressor(
    networks=(small,),
    max_epochs=15,
    batch_size=16,
    augmentation=Augmentation(deformation=0),
    random_state=0,
)
model.fit(train.data, train.target)
folder = tempfile.TemporaryDirectory()
path = Path(folder.name) / "landmarks.onnx"
to_onnx(model, path)
print(f"{path.stat().st_size / 1e6:.1f} MB")

# %%
# Run the file
# ------------
# Its input are chips: the square around each box, with a margin, at a fixed size. Both are
# written in the file. From here on, only OpenCV and ONNX Runtime are needed.

import cv2
import numpy as np
import onnxruntime

session = onnxruntime.InferenceSession(path)
facts = session.get_modelmeta().custom_metadata_map
size, margin = int(facts["chip_size"]), float(facts["chip_margin"])


def predict(image, box):
    """Landmarks in a box (x, y, width, height) of an RGB image."""
    x, y, width, height = box
    scale = size / ((1 + 2 * margin) * max(width, height))  # chip pixels per image pixel
    middle = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
    if scale < 1:  # shrink large faces by area averaging, as in training
        sides = [max(1, round(scale * side)) for side in image.shape[1::-1]]
        shrunk = sides / np.array(image.shape[1::-1])
        image = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
    else:
        shrunk = np.ones(2)
    # Integers are pixel centres, and resizing keeps the edges of the image.
    shift = scale * (0.5 / shrunk - 0.5 - middle) + (size - 1) / 2
    matrix = np.column_stack([np.diag(scale / shrunk), shift])
    chip = cv2.warpAffine(image, matrix, (size, size), borderMode=cv2.BORDER_REPLICATE)
    (points,) = session.run(None, {"chips": chip[None]})
    return (points[0] - (size - 1) / 2) / scale + middle


# %%
# Compare with `predict` of the model
# -----------------------------------

images = [new.data.decode(i) for i in range(len(new.data))]
by_onnx = np.array([predict(image, box) for image, box in zip(images, new.data.boxes, strict=True)])
by_model = model.predict(new.data)
distance = np.linalg.norm(by_onnx - by_model, axis=-1)
print(f"mean distance {distance.mean():.3f} pixels, largest {distance.max():.3f} pixels")

# %%
# The largest difference
# ----------------------

import matplotlib.pyplot as plt

shown = int(distance.max(axis=1).argmax())
figure, ax = plt.subplots(figsize=(5, 5), layout="constrained")
ax.imshow(images[shown])
ax.plot(*by_model[shown].T, "o", color="#56B4E9", markersize=7, label="predict")
ax.plot(*by_onnx[shown].T, ".", color="black", markersize=4, label="ONNX Runtime")
ax.set_title(f"differences of at most {distance[shown].max():.2f} pixels")
ax.set_axis_off()
ax.legend(loc="lower right")
folder.cleanup()
