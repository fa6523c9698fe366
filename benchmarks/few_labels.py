"""Train on few photographs: from scratch, and from a model of generated faces.

    python benchmarks/few_labels.py --data DIR --model models/drawn.safetensors

For each number of labels, ``--draws`` random subsets of the training faces of fold 0 of 300-W (see
`_folds.py`) are used, and the test faces of the fold measure the error. ``scratch`` is the default
regressor. ``drawn`` continues the training of ``--model`` (`warm_start`) with a lower learning
rate. Each result is appended to ``--out``; results that the file contains are skipped.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _errors import summarize
from _gpu_data import load_split
from _report import add_out, append, environment
from _runs import read_lines
from joblib import Parallel, delayed

from skwing import CascadeLandmarkRegressor, __version__, load_model
from skwing._utils.device import check_device

FOLD = 0
WARM = {"warm_start": True, "max_epochs": (120, 320), "learning_rate": 1e-3}
TINY = {"max_epochs": 1}
KEYS = ("skwing", "start", "n_train", "draw", "device")


def make_regressor(args, start, draw):
    """Regressor before training."""
    own = {"random_state": draw, "device": args.device, "verbose": 0}
    tiny = TINY if args.tiny else {}
    if start == "scratch":
        networks = {"networks": ("cnn6",)} if args.tiny else {}
        return CascadeLandmarkRegressor(**own, **networks, **tiny)
    return load_model(args.model).set_params(**own, **WARM | tiny)


def run(args, start, n_train, draw):
    """Train once and measure; return a row of results."""
    split = load_split(args.data, args.tiny, FOLD)
    rows = np.random.RandomState(draw).choice(split.rows["few"], n_train, replace=False)
    regressor = make_regressor(args, start, draw)
    begun = time.perf_counter()
    regressor.fit(split.faces.data[rows], split.faces.target[rows])
    seconds = time.perf_counter() - begun
    test = split.test
    return {
        "skwing": __version__,
        "start": start,
        "n_train": n_train,
        "draw": draw,
        **environment(check_device(args.device)),
        "epochs": regressor.n_iter_,
        "fit_seconds": round(seconds, 1),
        **summarize(split.faces.target[test], regressor.predict(split.faces.data[test])),
    }


def show(rows):
    """Print mean and standard deviation over draws."""
    print("start, labels: inter-pupil error (standard deviation over draws), seconds of fit")
    for start, n in sorted({(row["start"], row["n_train"]) for row in rows}, key=lambda x: x[::-1]):
        found = [r for r in rows if (r["start"], r["n_train"]) == (start, n)]
        errors, seconds = ([r[key] for r in found] for key in ("nme_pupil", "fit_seconds"))
        print(
            f"{start}, {n}: {np.mean(errors):.2f} % ({np.std(errors):.2f}) of {len(found)} draws, "
            f"{np.mean(seconds):.0f} s"
        )


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder that contains 300w")
    parser.add_argument("--model", type=Path, help="model to start from")
    parser.add_argument("--starts", nargs="+", default=["scratch", "drawn"])
    parser.add_argument("--sizes", nargs="+", type=int, default=[25, 50, 100, 200])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="concurrent trainings")
    parser.add_argument("--tiny", action="store_true", help="few faces and one epoch")
    add_out(parser, "few_labels")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    if "drawn" in args.starts and args.model is None:
        raise SystemExit("pass --model to start from, or --starts scratch")
    device = environment(check_device(args.device))["device"]
    known = [[row[key] for key in KEYS] for row in read_lines(args.out)]
    tasks = [
        (start, n, draw)
        for draw in range(args.draws)
        for n in args.sizes
        for start in args.starts
        if [__version__, start, n, draw, device] not in known
    ]
    calls = (delayed(run)(args, *task) for task in tasks)
    for row in Parallel(args.jobs, return_as="generator_unordered")(calls):
        append(row, args.out)
        print(f"{row['start']}, {row['n_train']}, draw {row['draw']}: {row['nme_pupil']:.2f} %")
    show([row for row in read_lines(args.out) if row["skwing"] == __version__])


if __name__ == "__main__":
    main()
