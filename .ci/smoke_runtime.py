"""Predict with the installed skwing-runtime and the files of .ci/smoke.py, without PyTorch."""

import importlib.util
import sys
from pathlib import Path

import numpy as np
import skwing_runtime
from skwing_runtime import OnnxLocalizer

assert Path(sys.prefix) in Path(skwing_runtime.__file__).parents, skwing_runtime.__file__
assert (Path(skwing_runtime.__file__).parent / "py.typed").is_file()
absent = ("torch", "sklearn", "scipy", "joblib", "skwing")
present = [name for name in absent if importlib.util.find_spec(name) is not None]
assert not present, f"installed: {present}"
expected = np.load("expected.npz")
for path in sys.argv[1:]:
    localizer = OnnxLocalizer(path)
    found = localizer.predict(expected["images"], expected["boxes"])
    assert found.shape == expected["points"].shape and np.isfinite(found).all()
    if path == "model.onnx":
        apart = np.abs(found - expected["points"]).mean()
        assert apart < 0.1, apart
    print(f"{path}: {len(localizer.landmark_names_)} landmarks of {len(found)} images")
