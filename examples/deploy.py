"""Deploy a trained model without PyTorch.

    pip install ".[onnx]"
    python examples/deploy.py

This example trains a small model on generated faces, which takes two minutes on two cores, and
exports the whole cascade to one ONNX file. The three lines of `locate` are all that a program
needs to run the file; they work without PyTorch and scikit-learn, with `pip install ./runtime`
and `from skwing_runtime import OnnxLocalizer`. Finally, the landmarks are compared with those of
`predict`.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np


def locate(path, images, boxes):
    """Landmarks of shape (n, n_landmarks, 2), by a file of `to_onnx`."""
    from skwing.runtime import OnnxLocalizer

    localizer = OnnxLocalizer(path)
    return localizer.predict(images, boxes)


def main(argv=None):
    """Train, export, run and compare; return the mean distance in percent of the box."""
    from skwing import CascadeLandmarkRegressor
    from skwing.datasets import make_faces
    from skwing.export import to_onnx

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=300)
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 10])
    args = parser.parse_args(argv)
    print(f"Training on {args.n_samples} generated faces ...", flush=True)
    faces = make_faces(args.n_samples, random_state=0)
    regressor = CascadeLandmarkRegressor(max_epochs=tuple(args.epochs), random_state=0, verbose=1)
    regressor.fit(faces.data, faces.target)
    others = make_faces(50, random_state=1)
    images = [others.data.decode(i) for i in range(len(others.data))]
    start = time.perf_counter()
    wanted = regressor.set_params(retry=False).predict(others.data)
    print(f"predict:        {time.perf_counter() - start:.2f} s for {len(wanted)} faces")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "landmarks.onnx"
        to_onnx(regressor, path)
        print(f"file size:      {path.stat().st_size / 1e6:.1f} MB")
        start = time.perf_counter()
        found = locate(path, images, others.data.boxes)
        print(f"OnnxLocalizer:  {time.perf_counter() - start:.2f} s, loading included")
    apart = np.linalg.norm(found - wanted, axis=-1).mean(1) / others.data.boxes[:, 2:].max(1)
    print(f"difference:     {100 * apart.mean():.3f} percent of the box")
    return 100 * apart.mean()


if __name__ == "__main__":
    main()
