"""Deploy a trained model without skwing and PyTorch.

    pip install ".[onnx]"
    python examples/deploy.py

This example trains a small model on generated faces, which takes a minute on two cores, and
exports the whole cascade to a single ONNX file. The class `Locator` runs this file with
OpenCV and ONNX Runtime only, and can be copied into other projects. ONNX Runtime also has
interfaces for other languages. Finally, the landmarks are compared with those of `predict`.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np


class Locator:
    """Locate landmarks with a file written by skwing.export.to_onnx.

    Requires OpenCV and ONNX Runtime.
    """

    def __init__(self, path):
        import onnxruntime

        self.session = onnxruntime.InferenceSession(path)
        told = self.session.get_modelmeta().custom_metadata_map
        self.size, self.margin = int(told["chip_size"]), float(told["chip_margin"])
        self.names = json.loads(told.get("landmarks", "null"))

    def __call__(self, image, boxes):
        """Landmarks of shape (n, n_landmarks, 2) in n boxes (x, y, width, height) of an image.

        `image` is RGB, of shape (height, width, 3); images read by OpenCV are BGR.
        """
        chips = np.stack([self.cut(image, box) for box in boxes])
        (points,) = self.session.run(None, {"chips": chips})
        for shape, box in zip(points, boxes, strict=True):
            scale, middle = self.place(box)
            shape[:] = (shape - (self.size - 1) / 2) / scale + middle
        return points

    def place(self, box):
        """Number of chip pixels per image pixel, and the centre of the chip in the image."""
        x, y, width, height = box
        scale = self.size / ((1 + 2 * self.margin) * max(width, height))
        # Integers are pixel centres, so the last pixel is at x + width - 1.
        return scale, np.array([x + (width - 1) / 2, y + (height - 1) / 2])

    def cut(self, image, box):
        """Cut the chip of a box: downsample by area averaging, then interpolate."""
        scale, middle = self.place(box)
        height, width = image.shape[:2]
        if scale < 1:
            sides = max(1, round(scale * width)), max(1, round(scale * height))
            image = cv2.resize(image, sides, interpolation=cv2.INTER_AREA)
        shrunk = np.array([image.shape[1] / width, image.shape[0] / height])
        # Resizing keeps the edges of the image, half a pixel from the pixel centres.
        shift = scale * (0.5 / shrunk - 0.5 - middle) + (self.size - 1) / 2
        matrix = np.column_stack([np.diag(scale / shrunk), shift])
        size = self.size, self.size
        return cv2.warpAffine(image, matrix, size, borderMode=cv2.BORDER_REPLICATE)


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
    start = time.perf_counter()
    wanted = regressor.predict(others.data)
    print(f"predict:        {time.perf_counter() - start:.2f} s for {len(wanted)} faces")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "landmarks.onnx"
        to_onnx(regressor, path)
        print(f"file size:      {path.stat().st_size / 1e6:.1f} MB")
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
    print(f"difference:     {100 * apart.mean():.3f} percent of the box")
    return 100 * apart.mean()


if __name__ == "__main__":
    main()
