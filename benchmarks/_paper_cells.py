"""Cells: trainings that are run by a GridSearchCV and stored as lines of results.

A search has one split; its candidates are the cells that are not in the file yet. The scorer
measures a cell and appends it to the file immediately, in the training process, so an
interrupted search loses only the cells in progress. All processes must be able to write to
the file, which requires a shared disk if joblib distributes them over several machines.
"""

import contextlib

import numpy as np
import torch
from _errors import sample_errors, summarize
from _report import append, environment
from _runs import identity, read_rows
from joblib import parallel_config
from recipe import make_pipeline, parameters_of
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import Pipeline

import skwing
from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing._utils.device import check_device
from skwing.metrics import ced_auc, failure_rate, nme

QUANTILES = (np.arange(200) + 0.5) / 200
NORMALIZERS = {"aflw": "box", "300w": "inter_pupil", "made": "inter_pupil"}
ENDS = {
    "aflw": 5.0,
    "300w": 10.0,
    "made": 10.0,
}  # failure threshold and limit of the area, in percent


def face_errors(faces, true, predicted, boxes):
    """Error of each face in percent of the normalising length of the protocol."""
    if NORMALIZERS[faces] == "box":
        return 100 * nme(true, predicted, normalizer="box", boxes=boxes, per_sample=True)
    return sample_errors(true, predicted)["pupil"]


def figures(faces, true, predicted, boxes, parts=None):
    """Statistics of the errors of a stage in a line of results, in percent."""
    errors, end = face_errors(faces, true, predicted, boxes), ENDS[faces]
    row = {
        "nme": float(np.nanmean(errors)),
        "within_2": 100 - 100 * failure_rate(errors, 2.0),
        "failures": 100 * failure_rate(errors, end),
        "auc": 100 * ced_auc(errors, end),
        "by_part": {
            str(part): float(np.nanmean(errors[parts == part]))
            for part in ([] if parts is None else np.unique(parts))
        },
        # The error curve, with a size that does not depend on the number of faces.
        "quantiles": np.nanquantile(errors, QUANTILES).round(3).tolist(),
    }
    if len(row["by_part"]) > 1:
        row["by_part"]["full"] = row["nme"]
    # Yaw and other normalising lengths require the 68 landmarks.
    return row | ({} if NORMALIZERS[faces] == "box" else summarize(true, predicted))


class Measure:
    """Scorer that returns the negative error of the last stage and stores all results.

    Parameters
    ----------
    cells : dict
        Fields of each cell known before the measurement, by `identity`.
    told : dict
        Fields common to all cells, including the split.
    parts : array of str or None
        Test-set part of each test face.
    out : Path
        File of results, one line per cell.
    """

    def __init__(self, cells, told, parts, out):
        self.cells, self.told, self.parts, self.out = cells, told, parts, out

    def __call__(self, pipeline, X, y):
        """Predict with each stage, store the errors, return the negative last NME in percent."""
        regressor = pipeline.named_steps["reg"]
        found = {"seed": regressor.random_state, "parameters": parameters_of(pipeline)}
        cell = self.cells[identity({**self.told, **found})]
        stages = [
            figures(self.told["faces"], y, points, X.boxes, self.parts)
            for points in regressor.staged_predict(X)
        ]
        history = regressor.history_
        rows = [[h for h in history if h["stage"] == i + 1] for i in range(len(stages))]
        result = {
            **environment(check_device(regressor.device)),
            "epochs": regressor.n_iter_,
            "seconds_of_stages": [round(sum(h["seconds"] for h in part), 1) for part in rows],
            "final_losses": [part[-1]["loss"] for part in rows],
            "n_test": len(y),
            "stages": stages,
        }
        append({**cell, **result}, self.out)
        errors = ", ".join(f"{stage['nme']:.2f} %" for stage in stages)
        where = f"split {cell['fold']}, seed {cell['seed']}"
        n_done = sum(key in self.cells for key in read_rows(self.out))
        name = f"{n_done} of {len(self.cells)}: {cell['trial']}"
        print(f"{name}, {where}: {errors}, {result['seconds_of_stages']} s", flush=True)
        return -stages[-1]["nme"]


def told_of(split):
    """Fields common to all cells of a split."""
    return {"skwing": skwing.__version__, **split.told, "n_train": split.n_train}


def make_cells(trials, split, seeds):
    """Cells of a split by identity, and their parameters for GridSearchCV."""
    told, cells, candidates = told_of(split), {}, {}
    for seed in seeds:
        for trial in trials:
            pipeline = make_pipeline(trial.settings, split.n_train)
            cell = {**told, "trial": trial.name, "seed": seed}
            cell["parameters"] = parameters_of(pipeline)
            key = identity(cell)
            cells[key] = cell
            names = [key for key in trial.settings if not key.startswith("balance")]
            settings = {f"reg__{name}": [pipeline.get_params()[f"reg__{name}"]] for name in names}
            candidates[key] = {
                "balance": [pipeline.named_steps["balance"]],
                "reg__random_state": [seed],
                **settings,
            }
    return cells, candidates


def measure(cells, candidates, split, args):
    """Train and measure cells that are not in the file; return all results."""
    kept = {} if args.again else read_rows(args.cells)
    missing = [key for key in cells if key not in kept]
    for key, cell in cells.items():
        if key not in missing:
            where = f"split {cell['fold']}, seed {cell['seed']}"
            print(f"{cell['trial']}, {where}: measured already, skipped")
    if missing and not args.report:
        print(f"{len(missing)} trainings; results: {args.cells}", flush=True)
        search = GridSearchCV(
            Pipeline(
                [
                    ("balance", PoseBalancer()),
                    ("reg", CascadeLandmarkRegressor(device=args.device)),
                ]
            ),
            [candidates[key] for key in missing],
            scoring=Measure(cells, told_of(split), split.parts, args.cells.resolve()),
            refit=False,
            cv=PredefinedSplit(np.where(split.is_test, 0, -1)),
        )
        with backend(args, split):
            search.fit(split.data, split.target)
    rows = read_rows(args.cells)
    return {key: rows[key] for key in cells if key in rows}


def backend(args, split):
    """Context with the joblib backend selected on the command line."""
    if args.backend == "dask":
        # Sent to each worker once, instead of with each cell.
        return parallel_config("dask", scatter=[split.data, split.target])
    return parallel_config("loky", n_jobs=args.jobs, inner_max_num_threads=args.threads)


@contextlib.contextmanager
def cluster(args):
    """Context that starts and stops the cluster of the backend."""
    torch.set_num_threads(args.threads)
    if args.backend != "dask":
        yield
        return
    import dask
    from distributed import Client, LocalCluster

    if args.scheduler:
        with Client(args.scheduler):
            yield
        return
    # Read in child processes before torch starts threads.
    threads = {"distributed.nanny.pre-spawn-environ.OMP_NUM_THREADS": args.threads}
    here = {"host": "127.0.0.1", "dashboard_address": None}
    with (
        dask.config.set(threads),
        LocalCluster(n_workers=args.jobs, threads_per_worker=1, **here) as workers,
        Client(workers),
    ):
        yield
