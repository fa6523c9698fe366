"""Run a trained model where neither skwing nor PyTorch is installed.

    pip install ".[onnx]"
    python examples/deploy.py

A small model is trained on drawn faces, for a minute on two cores, and written to one ONNX
file with all of the cascade in it. `Locator` runs the file with OpenCV and ONNX Runtime
alone: copy it. A program in another language does the same, as ONNX Runtime has an
interface for most. At the end its landmarks are compared with those of `predict`.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np


class Locator:
    """Landmarks by a file that skwing.export.to_onnx wrote; needs OpenCV and ONNX Runtime."""

    def __init__(self, path):
        import onnxruntime

        self.session = onnxruntime.InferenceSession(path)
        told = self.session.get_modelmeta().custom_metadata_map
        self.size, self.margin = int(told["chip_size"]), float(told["chip_margin"])
        self.names = json.loads(told.get("landmarks", "null"))

    def __call__(self, image, boxes):
        """Landmarks of shape (n, n_landmarks, 2) in n boxes (x, y, width, height) of an image.

        `image` is RGB, of shape (height, width, 3): what OpenCV reads is BGR.
        """
        cuts = [self.cut(image, box) for box in boxes]
        chips = np.stack([chip for chip, _, _ in cuts])
        (points,) = self.session.run(None, {"chips": chips})
        for shape, (_, corner, scale) in zip(points, cuts, strict=True):
            # An integer is the centre of a pixel, so that edges lie at halves.
            shape[:] = (shape + 0.5) * scale - 0.5 + corner
        return points

    def cut(self, image, box):
        """Square around a box, its corner in the image, and image pixels to one of its own."""
        x, y, width, height = box
        side = round((1 + 2 * self.margin) * max(width, height))
        left, top = round(x + (width - side) / 2), round(y + (height - side) / 2)
        beyond = [
            max(0, -top),
            max(0, top + side - image.shape[0]),
            max(0, -left),
            max(0, left + side - image.shape[1]),
        ]
        inside = image[max(0, top) : top + side, max(0, left) : left + side]
        square = cv2.copyMakeBorder(inside, *beyond, cv2.BORDER_REPLICATE)
        how = cv2.INTER_AREA if side > self.size else cv2.INTER_LINEAR
        chip = cv2.resize(square, (self.size, self.size), interpolation=how)
        return chip, (left, top), side / self.size


def main(argv=None):
    """Train, write, run, compare; mean distance in percent of the box."""
    from skwing import CascadeLandmarkRegressor
    from skwing.datasets import make_faces
    from skwing.export import to_onnx

    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=300)
    parser.add_argument("--epochs", type=int, nargs="+", default=[10, 10])
    args = parser.parse_args(argv)
    print(f"Training on {args.n_samples} drawn faces ...", flush=True)
    faces = make_faces(args.n_samples, random_state=0)
    regressor = CascadeLandmarkRegressor(max_epochs=tuple(args.epochs), random_state=0, verbose=1)
    regressor.fit(faces.data, faces.target)
    others = make_faces(50, random_state=1)
    start = time.perf_counter()
    wanted = regressor.predict(others.data)
    print(f"predict:        {time.perf_counter() - start:.2f} s for {len(wanted)} faces")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "landmarks.onnx"
        to_onnx(regressor, path)
        print(f"written:        {path.stat().st_size / 1e6:.1f} MB")
        locator = Locator(path)
        start = time.perf_counter()
        found = np.concatenate(
            [
                locator(others.data.decode(i), others.data.boxes[i : i + 1])
                for i in range(len(wanted))
            ]
        )
        print(f"ONNX Runtime:   {time.perf_counter() - start:.2f} s, one by one")
    apart = np.linalg.norm(found - wanted, axis=-1).mean(1) / others.data.boxes[:, 2:].max(1)
    print(f"they differ by: {100 * apart.mean():.3f} percent of the box")
    return 100 * apart.mean()


if __name__ == "__main__":
    main()
