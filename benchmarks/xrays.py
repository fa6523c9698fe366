"""Error on X-rays in millimetres, by stage: what the stage of patches adds to the other two.

    python benchmarks/xrays.py --data DIR/xray_isbi

The folder has `landmarks.csv`, with the columns image, mm_per_pixel and NAME_x, NAME_y in pixels
counted from 0. Five folds of its images; boxes are whole images. Each result is appended to
``--out``; results that the file contains are skipped.
"""

import argparse
import csv
import time
from pathlib import Path

import numpy as np
from _report import add_out, append, environment
from _runs import read_lines
from sklearn.model_selection import KFold

from skwing import CascadeLandmarkRegressor, __version__
from skwing._utils.device import check_device

N_FOLDS = 5
KEYS = ("skwing", "fold", "seed", "tiny")


def load(folder):
    """Paths of images, landmarks of shape (n, L, 2) and millimetres per pixel."""
    folder = Path(folder)
    with (folder / "landmarks.csv").open(encoding="utf-8", newline="") as file:
        _, *rows = csv.reader(file)
    numbers = np.array([row[1:] for row in rows], dtype=float)
    images = [folder / row[0] for row in rows]
    return images, numbers[:, 1:].reshape(len(rows), -1, 2), numbers[:, 0]


def summarize(points, truth, scale):
    """Errors in millimetres."""
    errors = np.linalg.norm(points - truth, axis=-1) * scale[:, None]
    return {
        "mean_mm": round(float(errors.mean()), 4),
        "median_mm": round(float(np.median(errors)), 4),
        "within_2mm": round(float(100 * (errors <= 2).mean()), 2),
        "within_2.5mm": round(float(100 * (errors <= 2.5).mean()), 2),
        "within_4mm": round(float(100 * (errors <= 4).mean()), 2),
    }


def run(args, fold):
    """Train on the other folds and measure each stage; return a row of results."""
    images, truth, scale = load(args.data)
    folds = KFold(N_FOLDS, shuffle=True, random_state=0).split(truth)
    train, test = list(folds)[fold]
    tiny = {"max_epochs": 1} if args.tiny else {}
    regressor = CascadeLandmarkRegressor(random_state=args.seed, device=args.device, **tiny)
    begun = time.perf_counter()
    regressor.fit([images[i] for i in train], truth[train])
    seconds = time.perf_counter() - begun
    found = regressor.staged_predict([images[i] for i in test])
    return {
        "skwing": __version__,
        "fold": fold,
        "seed": args.seed,
        "tiny": args.tiny,
        **environment(check_device(args.device)),
        "epochs": regressor.n_iter_,
        "fit_seconds": round(seconds, 1),
        "seconds_by_stage": [
            round(sum(row["seconds"] for row in regressor.history_ if row["stage"] == i + 1), 1)
            for i in range(len(regressor.n_iter_))
        ],
        "stages": [summarize(points, truth[test], scale[test]) for points in found],
    }


def show(rows):
    """Print the errors of each stage, by fold and on average."""
    print("stage, fold: mean and median error in mm, % within 2 mm")
    for stage in range(max((len(row["stages"]) for row in rows), default=0)):
        found = [row["stages"][stage] for row in rows]
        for row, own in zip(rows, found, strict=True):
            print(
                f"{stage + 1}, {row['fold']}: {own['mean_mm']:.3f} {own['median_mm']:.3f} "
                f"{own['within_2mm']:.1f}"
            )
        means = [np.mean([own[key] for own in found]) for key in ("mean_mm", "median_mm")]
        within = np.mean([own["within_2mm"] for own in found])
        print(f"{stage + 1}, all: {means[0]:.3f} {means[1]:.3f} {within:.1f}")


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder with landmarks.csv and images")
    parser.add_argument("--use", nargs="+", type=int, default=list(range(N_FOLDS)), help="folds")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true", help="one epoch")
    add_out(parser, "xrays")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    known = [[row[key] for key in KEYS] for row in read_lines(args.out)]
    for fold in args.use:
        if [__version__, fold, args.seed, args.tiny] not in known:
            append(run(args, fold), args.out)
    rows = [row for row in read_lines(args.out) if row["skwing"] == __version__]
    show([row for row in rows if row["tiny"] == args.tiny and row["seed"] == args.seed])


if __name__ == "__main__":
    main()
