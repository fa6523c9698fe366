"""Find drawn objects that may be anywhere in the image, without boxes.

    python benchmarks/anywhere.py
    python benchmarks/anywhere.py --sizes 0.05 0.1 --networks shape_indexed_64 --epochs 60
    python benchmarks/anywhere.py --objects figures --sizes 0.6 0.8

Animals in a cage and specimens on a tray come as whole images, with no detector to say
where to look. The objects are drawn on a background of coloured clouds: kites, a plain
quadrilateral with a spot at each corner and one on a spike, of random shape, colour and
turn; or figures, whose limbs turn freely in two joints each, as those of animals do.
Errors are per cent of the root of the area of the box of the true landmarks; "mean place"
is what a regressor gets that says the mean of its training landmarks whatever the image.
"""

import argparse
import time

import numpy as np
from _drawn import draw_figures, draw_kites
from _report import add_out, append, environment, show_environment

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing._utils.device import check_device
from skwing.geometry import boxes_of
from skwing.metrics import nme

OBJECTS = {"kites": draw_kites, "figures": draw_figures}


def told(errors):
    """Mean, median and far quantiles of the errors of samples, in per cent."""
    quantiles = np.quantile(errors, [0.5, 0.9, 0.99])
    values = 100 * np.array([errors.mean(), *quantiles])
    return dict(zip(("mean", "median", "90 %", "99 %"), values.round(2).tolist(), strict=True))


def main(argv=None):
    """Draw, fit, measure."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--objects", default="kites", choices=list(OBJECTS))
    parser.add_argument("--side", type=int, default=160, help="of the images, in pixels")
    parser.add_argument("--sizes", type=float, nargs=2, default=[0.08, 0.2], help="of the image")
    parser.add_argument("--n-train", type=int, default=300)
    parser.add_argument("--n-test", type=int, default=400)
    parser.add_argument("--networks", nargs="+", help="default: the regressor's")
    parser.add_argument("--epochs", type=int, nargs="+", help="default: the regressor's")
    parser.add_argument(
        "--deformation", type=float, nargs="+", help="of each stage; default: the regressor's"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="auto")
    add_out(parser, "anywhere")
    args = parser.parse_args(argv)
    settings = {}
    if args.networks:
        settings["networks"] = tuple(args.networks)
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
