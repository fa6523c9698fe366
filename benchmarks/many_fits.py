"""Fits of a search on one device: one after the other, in several processes, and together.

    nvidia-cuda-mps-control -d        # if there is a GPU: several processes then share it well
    python benchmarks/many_fits.py --data DIR --jobs 12

`GridSearchCV` over w and epsilon with three folds and CNN-6: one candidate (3 fits) with
``n_jobs=1``, from whose time that of all is computed, and then 24 candidates (72 fits) with
``n_jobs=--jobs`` (part "search"), and by `BatchedGridSearchCV` (part "together"), with ``n_jobs=1``
and with ``n_jobs=--jobs`` for what is not trained together. The times include the start of the
processes and the refit of the best candidate. On a CPU, `BatchedGridSearchCV` is `GridSearchCV`.

Part "steps" needs a GPU. It compares training steps without what is done once in each fit: those of
one network, and those of all candidates together, for CNN-6 and for the first stage of the default.
"""

import argparse
import tempfile
import time

import numpy as np
from _gpu_data import load_split
from _report import add_out, append, environment, show_environment
from sklearn.model_selection import GridSearchCV, ParameterGrid
from sklearn.utils import Bunch

from skwing import CascadeLandmarkRegressor
from skwing._training.automatic import CASCADE
from skwing._utils.device import check_device
from skwing.model_selection import BatchedGridSearchCV

GRID = {"w": [5.0, 8.0, 10.0, 12.0, 15.0, 20.0], "epsilon": [0.5, 1.0, 2.0, 3.0]}
ALONE = {"w": [10.0], "epsilon": [2.0]}
SEARCHES = {"search": GridSearchCV, "together": BatchedGridSearchCV}
PARTS = ("steps", *SEARCHES)


def measured_search(args, faces, kind, grid, n_jobs, epochs):
    """Seconds of a search, and the fitted search."""
    regressor = CascadeLandmarkRegressor(
        networks=("cnn6",), max_epochs=epochs, random_state=0, device=args.device
    )
    start = time.perf_counter()
    search = kind(regressor, grid, cv=3, n_jobs=n_jobs).fit(faces.data, faces.target)
    return time.perf_counter() - start, search


def step_ms(regressor):
    """Median of the milliseconds of a training step, by epoch."""
    n_steps = [row["n_samples"] / regressor.batch_size for row in regressor.history_]
    seconds = [row["seconds"] for row in regressor.history_]
    return float(1000 * np.median(np.divide(seconds, n_steps)))


def measure_steps(args, faces):
    """Milliseconds of a step of one network, and of several that are trained together."""
    rows = np.arange(len(faces.target))
    for name in ("cnn6", CASCADE[0]):
        regressor = CascadeLandmarkRegressor(
            networks=(name,), max_epochs=args.epochs, random_state=0, device=args.device
        )
        alone = step_ms(regressor.fit(faces.data, faces.target))
        grid = {"w": np.linspace(5, 20, args.candidates).tolist()}
        with tempfile.TemporaryDirectory() as folder:
            regressor.set_params(w=5.0, checkpoint=folder)
            search = BatchedGridSearchCV(regressor, grid, cv=[(rows, rows[:2])], refit=False)
            search.fit(faces.data, faces.target)
            # Read the checkpoint of the first candidate, whose seconds are its share.
            joint = args.candidates * step_ms(regressor.fit(faces.data, faces.target))
        yield {
            "what": "steps",
            "network": name,
            "n_networks": args.candidates,
            "ms_alone": round(alone, 3),
            "ms_together": round(joint, 3),
            "times_faster": round(args.candidates * alone / joint, 2),
        }


def measure(args):
    """Seconds of all fits in each way, beside those of 3 fits one after the other."""
    split = load_split(args.data, args.data is None)
    rows = split.rows["few"][: args.n_samples]
    faces = Bunch(data=split.faces.data[rows], target=split.faces.target[rows])
    if "steps" in args.parts:
        yield from measure_steps(args, faces)
    if set(args.parts) == {"steps"}:
        return
    measured_search(args, faces, GridSearchCV, ALONE, 1, epochs=1)  # warm-up
    alone, _ = measured_search(args, faces, GridSearchCV, ALONE, 1, args.epochs)
    candidates = list(ParameterGrid(GRID))[: args.candidates]
    grid = [{name: [value] for name, value in candidate.items()} for candidate in candidates]
    n_fits = 3 * len(grid)
    share = (3 + 1) / (n_fits + 1)  # with the refit of the best candidate
    for part in [name for name in SEARCHES if name in args.parts]:
        for n_jobs in [args.jobs] if part == "search" else sorted({1, args.jobs}):
            kind = SEARCHES[part]
            seconds, search = measured_search(args, faces, kind, grid, n_jobs, args.epochs)
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
