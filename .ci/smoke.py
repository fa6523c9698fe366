"""Train, save, load and export with the installed package, outside of the checkout."""

import sys
from pathlib import Path

import numpy as np

import skwing
from skwing.datasets import make_faces
from skwing.export import to_onnx

assert Path(sys.prefix) in Path(skwing.__file__).parents, skwing.__file__
assert (Path(skwing.__file__).parent / "py.typed").is_file()
X, y = make_faces(16, random_state=0, return_X_y=True)
regressor = skwing.CascadeLandmarkRegressor(max_epochs=1, random_state=0).fit(X, y)
skwing.save_model(regressor, "model.safetensors")
loaded = skwing.load_model("model.safetensors")
assert np.array_equal(loaded.predict(X), regressor.predict(X))
to_onnx(loaded, "model.onnx")
# What .ci/smoke_runtime.py compares.
images = np.stack([X.decode(i) for i in range(len(X))])
points = loaded.set_params(retry=False).predict(X)
np.savez("expected.npz", images=images, boxes=X.boxes, points=points)
print(f"skwing {skwing.__version__} from its wheel: trained, saved, loaded and exported")
