"""Measure the accuracy on objects at arbitrary positions of the image, without boxes.

    python benchmarks/anywhere.py
    python benchmarks/anywhere.py --sizes 0.05 0.1 --networks shape_indexed_64 --epochs 60
    python benchmarks/anywhere.py --objects figures --sizes 0.6 0.8

This simulates images of animals in a cage or specimens on a tray, for which no detector is
available. The objects are generated on a background of coloured noise. Kites are
quadrilaterals with a spike and a spot at each corner, with random shape, colour and rotation.
Figures have articulated limbs with two joints each, as animals do. Errors are in percent of
the square root of the area of the landmark bounding box. The baseline "mean place" always
predicts the mean of the training landmarks.
"""

import argparse
import time

import numpy as np
from _drawn import draw_figures, draw_kites
from _report import add_out, append, environment, show_environment

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing._training.automatic import CASCADE
from skwing._utils.device import check_device
from skwing.geometry import boxes_of
from skwing.metrics import nme

OBJECTS = {"kites": draw_kites, "figures": draw_figures}


def told(errors):
    """Mean, median and upper quantiles of the errors of samples, in percent."""
    quantiles = np.quantile(errors, [0.5, 0.9, 0.99])
    values = 100 * np.array([errors.mean(), *quantiles])
    return dict(zip(("mean", "median", "90 %", "99 %"), values.round(2).tolist(), strict=True))


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--objects", default="kites", choices=list(OBJECTS))
    parser.add_argument("--side", type=int, default=160, help="side of the images, in pixels")
    parser.add_argument(
        "--sizes",
        type=float,
        nargs=2,
        default=[0.08, 0.2],
        help="range of object sizes, as fractions of the image",
    )
    parser.add_argument("--n-train", type=int, default=300)
    parser.add_argument("--n-test", type=int, default=400)
    parser.add_argument("--networks", nargs="+", default=list(CASCADE))
    parser.add_argument("--epochs", type=int, nargs="+", help="default: those of the regressor")
    parser.add_argument(
        "--deformation",
        type=float,
        nargs="+",
        help="deformation of each stage; default: that of the regressor",
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    add_out(parser, "anywhere")
    return parser.parse_args(argv)


def main(argv=None):
    """Generate images, fit and measure."""
    args = parse(argv)
    settings = {"networks": tuple(args.networks)}
    if args.epochs:
        settings["max_epochs"] = tuple(args.epochs)
    if args.deformation:
        settings["augmentation"] = Augmentation(deformation=tuple(args.deformation))
    draw = OBJECTS[args.objects]
    X, y = draw(args.n_train, args.side, args.sizes, seed=2 * args.seed)
    unseen, truth = draw(args.n_test, args.side, args.sizes, seed=2 * args.seed + 1)
    regressor = CascadeLandmarkRegressor(**settings, random_state=args.seed, device=args.device)
    row = environment(check_device(args.device))
    row |= {
        "objects": args.objects,
        "side": args.side,
        "sizes": args.sizes,
        "n_train": args.n_train,
        "seed": args.seed,
        "networks": list(regressor.networks),
        "deformation": regressor.get_params()["augmentation__deformation"],
        "epochs": args.epochs,
    }
    show_environment(row)
    start = time.perf_counter()
    regressor.fit(X, y)
    row |= {"epochs": regressor.n_iter_, "fit_seconds": round(time.perf_counter() - start, 1)}
    answers = {"mean place": np.broadcast_to(y.mean(0), truth.shape)}
    for i, points in enumerate(regressor.staged_predict(unseen)):
        answers[f"stage {i + 1}"] = points
    boxes = boxes_of(truth)
    row["errors"] = {
        name: told(nme(truth, points, normalizer="box", boxes=boxes, per_sample=True))
        for name, points in answers.items()
    }
    for name, errors in row["errors"].items():
        print(f"{name:12}", "   ".join(f"{key} {value:7.2f}" for key, value in errors.items()))
    append(row, args.out)


if __name__ == "__main__":
    main()
