"""Landmarks of specimens: train on a TPS file, and write predictions to a TPS file.

    python examples/specimens.py

This example is for users of tpsDig or geomorph who digitise landmarks by hand. The specimens
are generated images of fish, seen from the left, with nine landmarks each. The landmarks have
no mirror pairs, so mirroring is disabled in training. It takes about two minutes on two cores.
"""

import argparse
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from skwing import CascadeLandmarkRegressor
from skwing.datasets import read_tps, write_tps
from skwing.metrics import nme

# A fish has length 1: the snout is at 0, the fork of the tail at 1; y points down.
LANDMARKS = {
    "snout": (0.0, 0.02),
    "eye": (0.15, -0.02),
    "gill": (0.28, 0.04),
    "dorsal_fin_front": (0.36, -0.2),
    "dorsal_fin_rear": (0.66, -0.13),
    "tail_top": (1.1, -0.17),
    "tail_fork": (1.0, 0.0),
    "tail_bottom": (1.12, 0.16),
    "anal_fin": (0.64, 0.15),
}
SNOUT, FORK = 0, 6
OFTEN_TORN = [4, 5, 7]  # fins: not digitised if torn
HEIGHT, WIDTH = 120, 160
MM_PER_PIXEL = 0.8


def grow_fish(rng):
    """Random landmarks of a fish, shape (9, 2), in units of its length."""
    points = np.array(list(LANDMARKS.values()))
    points = points * [1, rng.uniform(0.75, 1.35)] + rng.normal(0, 0.012, points.shape)
    bend = rng.normal(0, 0.12)
    points[:, 1] += bend * (points[:, 0] - 0.4) ** 2
    return points


def pose_fish(points, rng):
    """Apply a random rotation, scale and position to a fish; landmarks in pixels."""
    angle, length = np.radians(rng.uniform(-35, 35)), rng.uniform(65, 100)
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    centred = length * (points - [0.55, 0]) @ turn
    room = np.array([WIDTH, HEIGHT]) - 8 - np.ptp(centred, axis=0)
    corner = 4 + rng.uniform(0, 1, 2) * np.maximum(room, 0)
    return centred - centred.min(0) + corner


def paint_fish(points, rng):
    """Image of a fish on a table, shape (120, 160, 3)."""
    table, skin = rng.uniform(120, 220, 3), rng.uniform(40, 150, 3)
    picture = table + np.linspace(-25, 25, WIDTH)[:, None] * rng.uniform(-1, 1)
    picture = np.ascontiguousarray(np.broadcast_to(picture, (HEIGHT, WIDTH, 3)), np.float32)

    def fill(polygon, colour):  # with a precision of an eighth of a pixel
        cv2.fillPoly(picture, [np.int32(np.round(8 * polygon))], colour, cv2.LINE_AA, 3)

    snout, eye, gill, front, rear, top, fork, bottom, anal = points
    root = fork - 0.1 * (fork - snout)
    fill(np.array([root, top, fork, bottom]), 0.8 * skin)
    fill(np.array([front, front + 0.35 * (rear - gill), rear, gill]), 0.85 * skin)
    back = [snout, 0.7 * front + 0.3 * snout - 0.1 * (gill - front), front, rear, root]
    belly = [anal, gill + 0.8 * (gill - front) / 2, snout]
    fill(np.array(back + belly), skin)
    fill(np.array([anal, anal + 0.25 * (anal - rear) + 0.06 * (fork - snout), root]), 0.8 * skin)
    size = np.linalg.norm(fork - snout)
    for centre, radius, colour in ((gill, 0.05, 0.6 * skin), (eye, 0.03, (15, 15, 15))):
        middle = tuple(int(v) for v in np.round(8 * centre))
        cv2.circle(picture, middle, int(8 * radius * size), tuple(colour), -1, cv2.LINE_AA, 3)
    picture += rng.normal(0, 6, picture.shape)
    return np.clip(picture, 0, 255).astype(np.uint8)


def make_collection(folder, name, n_specimens, rng):
    """Write images to a folder, and their digitised landmarks to a TPS file."""
    (folder / name).mkdir(parents=True)
    files, landmarks = [], np.empty((n_specimens, len(LANDMARKS), 2))
    for i in range(n_specimens):
        landmarks[i] = pose_fish(grow_fish(rng), rng)
        files.append(str(folder / name / f"{name}_{i:04}.png"))
        cv2.imwrite(files[-1], paint_fish(landmarks[i], rng))
    torn = rng.random((n_specimens, len(OFTEN_TORN))) < 0.05
    landmarks[:, OFTEN_TORN] = np.where(torn[..., None], np.nan, landmarks[:, OFTEN_TORN])
    path = folder / f"{name}.tps"
    write_tps(path, files, landmarks.round(1), scale=MM_PER_PIXEL)
    return path


def measure(true, predicted):
    """Mean error in percent of the length of the fish, per landmark and overall."""
    lengths = np.linalg.norm(true[:, FORK] - true[:, SNOUT], axis=-1)
    errors = {
        landmark: 100 * nme(true[:, [i]], predicted[:, [i]], normalizer=lengths)
        for i, landmark in enumerate(LANDMARKS)
    }
    return errors | {"all": 100 * nme(true, predicted, normalizer=lengths)}


def run(folder, args):
    """Digitise, train, predict and write; return the errors and the path of the file."""
    rng = np.random.default_rng(args.seed)
    paths = [
        make_collection(folder, name, n, rng)
        for name, n in (("digitised", args.n_samples), ("new", max(2, args.n_samples // 3)))
    ]
    # The image heights, required to flip the y axis of TPS, are read from the image files.
    train, test = (read_tps(path) for path in paths)
    print(train.DESCR)

    start = time.perf_counter()
    regressor = CascadeLandmarkRegressor(
        max_epochs=tuple(args.epochs), random_state=args.seed, verbose=1
    )
    regressor.fit(train.data, train.target)
    print(f"Training took {time.perf_counter() - start:.0f} s.")

    predicted = regressor.predict(test.data)
    guess = np.broadcast_to(np.nanmean(train.target, axis=0), predicted.shape)
    errors = {
        "mean position": measure(test.target, guess),
        "model": measure(test.target, predicted),
    }
    print("\nMean error on test fish, in percent of their length:")
    print(f"{'':18}" + "".join(f"{name:>15}" for name in errors))
    for landmark in errors["model"]:
        print(f"{landmark:18}" + "".join(f"{row[landmark]:15.2f}" for row in errors.values()))

    written = folder / "predicted.tps"
    write_tps(written, test.data, predicted.round(2), names=test.names, scale=test.scale)
    lines = written.read_text().splitlines()[: len(LANDMARKS) + 4]
    print("\nPredictions as a TPS file for tpsDig or geomorph:")
    print(*lines, "...", sep="\n")
    return errors, written


def main(argv=None):
    """Run the example; return the errors and the path of the written file."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=300, help="number of training fish")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[40, 20], help="number of epochs of each stage"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="new folder for all files")
    args = parser.parse_args(argv)
    if args.folder is not None:
        return run(args.folder, args)
    with tempfile.TemporaryDirectory() as folder:
        return run(Path(folder), args)


if __name__ == "__main__":
    main()
