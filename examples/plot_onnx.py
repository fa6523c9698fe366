"""
How do I run a model without PyTorch?
=====================================

:func:`skwing.export.to_onnx` writes the whole cascade to one file, and
:class:`skwing.runtime.OnnxLocalizer` runs it without PyTorch. Requires ``pip install ".[onnx]"``.
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
# :class:`skwing.runtime.OnnxLocalizer` needs NumPy, OpenCV and ONNX Runtime. In a checkout,
# ``pip install ./runtime`` installs it without PyTorch and scikit-learn, as ``skwing_runtime``.

from skwing.runtime import OnnxLocalizer

images = [new.data.decode(i) for i in range(len(new.data))]
localizer = OnnxLocalizer(path)
by_onnx = localizer.predict(images, new.data.boxes)
print(f"{localizer.n_landmarks_} landmarks, the first is {localizer.landmark_names_[0]}")

# %%
# Compare with `predict` of the model
# -----------------------------------

import numpy as np

by_model = model.set_params(retry=False).predict(new.data)
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
