"""Measure the time to read the annotations of many images, for each format.

    python benchmarks/readers.py --n-images 100000 --n-landmarks 19

The files are written to a temporary folder by the writers of skwing, for images that do not
exist, so readers that open an image fail. Each format is read in a separate process. The
results are CPU time and the growth of the peak resident memory.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from _report import add_out, append, environment, peak_bytes, show_environment

from skwing import BoxedImages, datasets

FORMATS = {
    "dlib XML": ("a.xml", datasets.write_dlib_xml, datasets.read_dlib_xml, {}, {}),
    "COCO JSON": (
        "a.json",
        datasets.write_coco,
        datasets.read_coco,
        {"image_sizes": (640, 480)},
        {},
    ),
    "TPS": (
        "a.tps",
        datasets.write_tps,
        datasets.read_tps,
        {"image_height": 480},
        {"image_height": 480},
    ),
    "CSV, wide": ("wide.csv", datasets.write_csv, datasets.read_csv, {}, {}),
    "CSV, long": ("long.csv", datasets.write_csv, datasets.read_csv, {"layout": "long"}, {}),
}


def read(name, path):
    """Read a file once in a separate process; results as JSON."""
    _, _, reader, _, settings = FORMATS[name]
    before, start = peak_bytes(), time.process_time()
    wall = time.perf_counter()
    faces = reader(path, **settings)
    row = {
        "cpu_seconds": round(time.process_time() - start, 2),
        "seconds": round(time.perf_counter() - wall, 2),
        "memory_mb": round((peak_bytes() - before) / 1e6),
        "shape": list(faces.target.shape),
    }
    print(json.dumps(row))


def write(name, folder, n_images, n_landmarks):
    """Write annotations in the given format; return the path of the file."""
    file, writer, _, settings, _ = FORMATS[name]
    rng = np.random.default_rng(0)
    target = np.round(rng.uniform(100, 300, (n_images, n_landmarks, 2)), 2)
    boxes = np.tile([100.0, 100.0, 200.0, 200.0], (n_images, 1))
    paths = [str(folder / "images" / f"{i:06d}.jpg") for i in range(n_images)]
    if name == "COCO JSON":
        settings = {"image_sizes": np.tile(settings["image_sizes"], (n_images, 1))}
    with_boxes = boxes if name != "TPS" else None
    writer(folder / file, BoxedImages(paths, with_boxes), target, **settings)
    return folder / file


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-images", type=int, default=100_000)
    parser.add_argument("--n-landmarks", type=int, default=19)
    parser.add_argument("--formats", nargs="+", default=list(FORMATS), choices=list(FORMATS))
    parser.add_argument("--read", nargs=2, help=argparse.SUPPRESS)
    add_out(parser, "readers")
    args = parser.parse_args(argv)
    if args.read:
        return read(*args.read)
    row = {**environment(), "n_images": args.n_images, "n_landmarks": args.n_landmarks}
    show_environment(row)
    row["formats"] = {}
    for name in args.formats:
        with tempfile.TemporaryDirectory() as folder:
            path = write(name, Path(folder), args.n_images, args.n_landmarks)
            size = round(path.stat().st_size / 1e6, 1)
            command = [sys.executable, __file__, "--read", name, str(path)]
            told = subprocess.run(command, check=True, capture_output=True, text=True).stdout
        row["formats"][name] = {"file_mb": size, **json.loads(told)}
        print(f"{name}: {row['formats'][name]}", flush=True)
    append(row, args.out)


if __name__ == "__main__":
    main()
