"""Fits of a search on one device: one after the other, in several processes, and together.

    nvidia-cuda-mps-control -d        # if there is a GPU: several processes then share it well
    python benchmarks/many_fits.py --data DIR --jobs 12

`GridSearchCV` over w and epsilon with three folds and CNN-6: one candidate (3 fits) with
``n_jobs=1``, from whose time that of all is computed, and then 24 candidates (72 fits) with
``n_jobs=--jobs`` (part "search"), and by `BatchedGridSearchCV` (part "together"), with ``n_jobs=1``
and with ``n_jobs=--jobs`` for what is not trained together. The times include the start of the
processes and the refit of the best candidate. On a CPU, `BatchedGridSearchCV` is `GridSearchCV`.
"""

import argparse
import time

from _gpu_data import load_split
from _report import add_out, append, environment, show_environment
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.utils import Bunch

from skwing import CascadeLandmarkRegressor
from skwing._utils.device import check_device
from skwing.model_selection import BatchedGridSearchCV

GRID = {"w": [5.0, 8.0, 10.0, 12.0, 15.0, 20.0], "epsilon": [0.5, 1.0, 2.0, 3.0]}
ALONE = {"w": [10.0], "epsilon": [2.0]}
PARTS = {"search": GridSearchCV, "together": BatchedGridSearchCV}


def measured_search(args, faces, kind, grid, n_jobs, epochs):
    """Seconds of a search, and the fitted search."""
    regressor = CascadeLandmarkRegressor(
        networks=("cnn6",), max_epochs=epochs, random_state=0, device=args.device
    )
    start = time.perf_counter()
    search = kind(regressor, grid, cv=3, n_jobs=n_jobs).fit(faces.data, faces.target)
    return time.perf_counter() - start, search


def measure(args):
    """Seconds of all fits in each way, beside those of 3 fits one after the other."""
    split = load_split(args.data, args.data is None)
    rows = split.rows["few"][: args.n_samples]
    faces = Bunch(data=split.faces.data[rows], target=split.faces.target[rows])
    measured_search(args, faces, GridSearchCV, ALONE, 1, epochs=1)  # warm-up
    alone, _ = measured_search(args, faces, GridSearchCV, ALONE, 1, args.epochs)
    candidates = list(ParameterGrid(GRID))[: args.candidates]
    grid = [{name: [value] for name, value in candidate.items()} for candidate in candidates]
    n_fits = 3 * len(grid)
    share = (3 + 1) / (n_fits + 1)  # with the refit of the best candidate
    for part in args.parts:
        for n_jobs in [args.jobs] if part == "search" else sorted({1, args.jobs}):
            seconds, search = measured_search(args, faces, PARTS[part], grid, n_jobs, args.epochs)
            yield {
                "what": part,
                "n_jobs": n_jobs,
                "n_samples": len(rows),
                "epochs": args.epochs,
                "seconds_alone": round(alone, 2),
                "n_fits": n_fits,
                "seconds_of_all": round(seconds, 2),
                "times_faster": round(alone / share / seconds, 2),
                "best_score": round(search.best_score_, 5),
                "scores": [
                    [found["w"], found["epsilon"], round(float(score), 5)]
                    for found, score in zip(
                        search.cv_results_["params"],
                        search.cv_results_["mean_test_score"],
                        strict=True,
                    )
                ],
            }


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder that contains 300w; without it, 40 generated faces")
    parser.add_argument("--jobs", type=int, default=8, help="processes of the search")
    parser.add_argument("--n-samples", type=int, default=900)
    parser.add_argument("--epochs", type=int, default=30)
    parser.add_argument("--candidates", type=int, default=24)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=PARTS)
    parser.add_argument("--device", default="auto")
    add_out(parser, "many_fits")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    device = check_device(args.device)
    told = environment(device)
    show_environment(told)
    for row in measure(args):
        print(row, flush=True)
        append({**told, **row}, args.out)


if __name__ == "__main__":
    main()
