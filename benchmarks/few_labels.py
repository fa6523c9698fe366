"""Train on few photographs: from scratch, and from a model of generated faces.

    python benchmarks/few_labels.py --data DIR --model models/drawn.safetensors

For each number of labels, ``--draws`` random subsets of the training faces of a fold of 300-W (see
`_folds.py`) are used, and the test faces of the fold measure the error. ``scratch`` is the default
regressor, ``drawn`` the default one with ``start=--model``, and ``unlabelled`` passes
images without labels to ``drawn``, as `X_unlabelled`: the other training faces of the fold, or
the test images of other objects. ``--objects`` names other objects than faces with 68 landmarks:
see `_few_data.py`. ``--set`` changes parameters of ``drawn``. Each result is appended to ``--out``;
results that the file contains are skipped.
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _errors import summarize
from _few_data import OBJECTS, errors_of, load_objects
from _report import add_out, append, environment
from _runs import add_settings, read_lines
from joblib import Parallel, delayed

from skwing import CascadeLandmarkRegressor, __version__
from skwing._utils.device import check_device

FOLD = 1
STARTS = ("scratch", "drawn", "unlabelled")
TINY = {"max_epochs": 1}
KEYS = ("skwing", "start", "set", "objects", "n_train", "draw", "fold", "device")
# Length by which errors of each kind of object are reported.
NORMS = {"faces68": "nme_pupil", "faces19": "nme_inter_ocular", "cats": "nme_inter_ocular"}


def make_regressor(args, start, draw, schema):
    """Regressor before training."""
    settings = {"random_state": draw, "device": args.device, "schema": schema}
    if start != "scratch":
        settings |= {"start": args.model, **args.set}
    if args.tiny:
        settings |= {"networks": ("cnn6",), **TINY}
    return CascadeLandmarkRegressor(**settings)


def run(args, objects, start, n_train, draw):
    """Train once and measure; return a row of results."""
    found = load_objects(objects, args.data, n_train, draw, args.fold, args.tiny)
    regressor = make_regressor(args, start, draw, found.schema)
    begun, cpu = time.perf_counter(), time.process_time()
    labelled = found.data[found.train], found.target[found.train]
    more = found.data[found.unlabelled] if start == "unlabelled" else None
    regressor.fit(*labelled, X_unlabelled=more)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    true, predicted = found.target[found.test], regressor.predict(found.data[found.test])
    errors = summarize(true, predicted) if objects == "faces68" else {}
    return {
        **dict(zip(KEYS, key_of(args, objects, start, n_train, draw), strict=True)),
        **environment(check_device(args.device)),
        "n_test": len(true),
        "epochs": regressor.n_iter_,
        "fit_seconds": round(seconds, 1),
        "cpu_seconds": round(cpu, 1),
        **errors_of(true, predicted, found.schema),
        **errors,
    }


def key_of(args, objects, start, n_train, draw):
    """Values of `KEYS` for a training."""
    device = environment(check_device(args.device))["device"]
    told = {} if start == "scratch" else args.set
    fold = args.fold if objects.startswith("faces") else None
    return [__version__, start, told, objects, n_train, draw, fold, device]


def show(rows):
    """Print mean and standard deviation over draws."""
    print("objects, labels, start: error (standard deviation over draws), seconds of fit")
    names = ("objects", "n_train", "start", "set")
    groups = {}
    for row in rows:
        groups.setdefault(str([row[name] for name in names]), []).append(row)
    for told, found in sorted(groups.items()):
        norm = NORMS.get(found[0]["objects"], "nme_box")
        errors, seconds = ([row[key] for row in found] for key in (norm, "fit_seconds"))
        print(
            f"{told}: {norm} {np.mean(errors):.2f} % ({np.std(errors):.2f}) of {len(found)} draws, "
            f"{np.mean(seconds):.0f} s"
        )


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder that contains 300w")
    parser.add_argument("--model", type=Path, help="model to start from")
    parser.add_argument("--objects", nargs="+", default=["faces68"], choices=list(OBJECTS))
    parser.add_argument(
        "--starts", nargs="+", default=["scratch", "drawn"], choices=STARTS, metavar="START"
    )
    parser.add_argument("--sizes", nargs="+", type=int, default=[25, 50, 100, 200])
    parser.add_argument("--draws", nargs="+", type=int, default=list(range(5)), help="seeds")
    parser.add_argument("--fold", type=int, default=FOLD, help="fold of 300-W")
    add_settings(parser, "parameters of drawn")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--jobs", type=int, default=1, help="concurrent trainings")
    parser.add_argument("--tiny", action="store_true", help="few faces and one epoch")
    add_out(parser, "few_labels")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    if set(args.starts) - {"scratch"} and args.model is None:
        raise SystemExit("pass --model to start from, or --starts scratch")
    known = [[row.get(key) for key in KEYS] for row in read_lines(args.out)]
    tasks = [
        (objects, start, n, draw)
        for draw in args.draws
        for objects in args.objects
        for n in args.sizes
        for start in args.starts
        if key_of(args, objects, start, n, draw) not in known
    ]
    calls = (delayed(run)(args, *task) for task in tasks)
    for row in Parallel(args.jobs, return_as="generator_unordered")(calls):
        append(row, args.out)
        error = row[NORMS.get(row["objects"], "nme_box")]
        print(f"{row['objects']}, {row['start']}, {row['n_train']}: {error:.2f} %", flush=True)
    show([row for row in read_lines(args.out) if row["skwing"] == __version__ and "set" in row])


if __name__ == "__main__":
    main()
