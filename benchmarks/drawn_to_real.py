"""Measure a model trained on generated faces only on photographs of 300-W.

    python benchmarks/drawn_to_real.py --data DATA/300w
    python benchmarks/drawn_to_real.py --data DATA/300w --n-train 3000 --epochs 30 60 \
        --networks shape_indexed_64_coarse shape_indexed_128
    python benchmarks/drawn_to_real.py --data DATA/300w --use 1 2 3 4 --draw "max_yaw=60"

Photographs and their landmarks are used for measuring only. They are the training subsets of
300-W, split into folds by photograph; ``--use`` selects the folds to measure on, so that
generated faces can be developed on some folds and reported on another. Errors are in percent
of the distance between the pupils. The *centred* error is the error without the mean offset
of each landmark, which is measured on the same faces in the frame of the eyes: it contains
no differences of label definition.
"""

import argparse
import time
from itertools import pairwise

import numpy as np
from _folds import Source, load_faces, make_folds
from _report import add_out, append, environment, show_environment
from _runs import parse_settings
from _yaw import estimate_yaw

from skwing import CascadeLandmarkRegressor
from skwing._utils.device import check_device
from skwing.datasets import make_faces
from skwing.metrics import failure_rate, normalizing_lengths

PARTS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "mouth": slice(48, 68),
}
YAW_EDGES = (0, 10, 20, 30, 90)


def offsets(true, predicted):
    """Offsets from the true landmarks in percent of the inter-pupil distance, (n, 68, 2).

    In the frame of the eyes: the x axis points from the left to the right eye of the image.
    """
    across = true[:, 42:48].mean(1) - true[:, 36:42].mean(1)
    length = normalizing_lengths(true, normalizer="inter_pupil", schema="ibug68")
    cosine, sine = (across / np.linalg.norm(across, axis=1, keepdims=True)).T
    turn = np.moveaxis(np.array([[cosine, sine], [-sine, cosine]]), -1, 0)
    return 100 * np.einsum("nij,nkj->nki", turn, predicted - true) / length[:, None, None]


def told(moved, yaw):
    """Statistics of offsets: mean errors of all faces, by part, and by yaw."""
    errors = np.linalg.norm(moved, axis=-1)
    centred = np.linalg.norm(moved - moved.mean(0), axis=-1)
    faces, yaw = errors.mean(1), np.abs(yaw)
    bins = {f"{low} to {high}": (yaw >= low) & (yaw < high) for low, high in pairwise(YAW_EDGES)}
    row = {
        "mean": faces.mean(),
        "median": np.median(faces),
        "failures_10": 100 * failure_rate(faces, 10.0),
        "centred": centred.mean(),
        "parts": {name: errors[:, part].mean() for name, part in PARTS.items()},
        "centred_parts": {name: centred[:, part].mean() for name, part in PARTS.items()},
        "lower": {name: moved[:, part, 1].mean() for name, part in PARTS.items()},
        "by_yaw": {name: faces[rows].mean() for name, rows in bins.items() if rows.any()},
    }
    return _rounded(row)


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(part) for key, part in value.items()}
    return round(float(value), 3)


def show(stages):
    """Print the statistics of each stage."""
    for i, row in enumerate(stages, 1):
        print(
            f"stage {i}: mean {row['mean']:.2f} %, median {row['median']:.2f}, above 10 %: "
            f"{row['failures_10']:.1f} %, centred {row['centred']:.2f}"
        )
        for key in ("parts", "centred_parts", "lower", "by_yaw"):
            figures = ", ".join(f"{name} {value:.2f}" for name, value in row[key].items())
            print(f"  {key}: {figures}", flush=True)


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of 300-W")
    parser.add_argument(
        "--boxes", default="detector", choices=["detector", "ground_truth", "landmarks"]
    )
    parser.add_argument("--folds", type=int, default=5, help="number of folds")
    parser.add_argument("--use", type=int, nargs="+", default=[0], help="folds to measure on")
    parser.add_argument("--n-train", type=int, default=1200, help="number of generated faces")
    parser.add_argument("--draw", default="", help="parameters of make_faces: 'max_yaw=60 ...'")
    parser.add_argument("--epochs", type=int, nargs="+", default=[25])
    parser.add_argument("--networks", nargs="+", default=["shape_indexed_64_coarse"])
    parser.add_argument("--fit", default="", help="further parameters of the regressor")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--save", help="file for true and predicted landmarks, .npz")
    add_out(parser, "drawn_to_real")
    return parser.parse_args(argv)


def train(args, drawing, fitting, row):
    """Fit a regressor to generated faces; speeds are added to the line of results."""
    start = time.perf_counter()
    X, y = make_faces(args.n_train, random_state=args.seed, return_X_y=True, **drawing)
    row["drawn_per_second"] = round(args.n_train / (time.perf_counter() - start), 1)
    regressor = CascadeLandmarkRegressor(
        networks=tuple(args.networks),
        max_epochs=tuple(args.epochs),
        random_state=args.seed,
        device=args.device,
        **fitting,
    )
    start = time.perf_counter()
    regressor.fit(X, y)
    row["fit_seconds"] = round(time.perf_counter() - start, 1)
    return regressor


def main(argv=None):
    """Generate faces, fit, and measure on photographs."""
    args = parse(argv)
    source = Source(args.data, boxes=args.boxes, n_folds=args.folds)
    real = load_faces(source)
    folds = make_folds(real, source)
    rows = np.sort(np.concatenate([folds[number][1] for number in args.use]))
    drawing, fitting = (parse_settings(text) if text else {} for text in (args.draw, args.fit))
    row = environment(check_device(args.device)) | source.told()
    row |= {"folds": args.use, "n_test": len(rows), "n_train": args.n_train, "seed": args.seed}
    row |= {"networks": args.networks, "epochs": args.epochs, "draw": drawing, "fit": fitting}
    show_environment(row)
    regressor = train(args, drawing, fitting, row)
    true = real.target[rows]
    stages = list(regressor.staged_predict(real.data[rows]))
    if args.save:
        np.savez(args.save, true=true, predicted=stages[-1], rows=rows)
    unseen = make_faces(300, random_state=args.seed + 1, **drawing)
    moved = offsets(unseen.target, regressor.predict(unseen.data))
    row["on_generated"] = told(moved, unseen.pose[:, 0])
    yaw = estimate_yaw(true)
    row["stages"] = [told(offsets(true, points), yaw) for points in stages]
    print(f"{row['drawn_per_second']} generated faces/s, fit {row['fit_seconds']} s")
    print(f"on 300 other generated faces: {row['on_generated']['mean']:.2f} %")
    show(row["stages"])
    append(row, args.out)


if __name__ == "__main__":
    main()
