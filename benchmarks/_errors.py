"""Error tables of trials and peers, and comparison of trials."""

import time
from itertools import pairwise

import numpy as np
from _yaw import estimate_yaw

from skwing.geometry import boxes_of
from skwing.metrics import ced_auc, failure_rate, nme

YAW_EDGES = (0, 15, 30, 90)
YAW_BINS = [f"yaw_{low}_{high}" for low, high in pairwise(YAW_EDGES)]
FIGURES = (
    *("nme_pupil", "nme_ocular", "nme_box"),
    *(f"nme_{by}_{name}" for by in ("pupil", "box") for name in YAW_BINS),
)
N_TRAIN = 400  # number of training faces for the training error


def _rounded(value):
    return None if value is None or not np.isfinite(value) else round(float(value), 4)


def sample_errors(true, predicted):
    """Errors of each face in percent, by normalising length; NaN if the length is unknown.

    ``box`` is the geometric mean of the sides of the landmark bounding box. Unlike the
    inter-ocular distance, it hardly depends on the yaw.
    """
    errors = {
        name: nme(true, predicted, normalizer=f"inter_{name}", schema="ibug68", per_sample=True)
        for name in ("pupil", "ocular")
    }
    errors["box"] = nme(true, predicted, normalizer="box", boxes=boxes_of(true), per_sample=True)
    return {name: 100 * values for name, values in errors.items()}


def summarize(true, predicted):
    """Statistics of errors in percent: means, upper quantiles, and by yaw."""
    errors, yaw = sample_errors(true, predicted), np.abs(estimate_yaw(true))
    row = {f"nme_{name}": np.nanmean(values) for name, values in errors.items()}
    row["median_pupil"] = np.nanmedian(errors["pupil"])
    row["failures_pupil_10"] = 100 * failure_rate(errors["pupil"], 10.0)
    row["auc_pupil_10"] = 100 * ced_auc(errors["pupil"], 10.0)
    for name, (low, high) in zip(YAW_BINS, pairwise(YAW_EDGES), strict=True):
        faces = (yaw >= low) & (yaw < high)
        for by in ("pupil", "box"):
            row[f"nme_{by}_{name}"] = np.nanmean(errors[by][faces]) if faces.any() else None
    row = {key: _rounded(value) for key, value in row.items()}
    counts = np.histogram(yaw, YAW_EDGES)[0].tolist()
    return row | {f"n_{name}": count for name, count in zip(YAW_BINS, counts, strict=True)}


def some_of(train):
    """Indices of training faces on which the error is measured too."""
    return train[:: max(1, len(train) // N_TRAIN)]


def error_table(faces, train, test, locate):
    """Errors in a line of results.

    Parameters
    ----------
    locate : callable
        Function of images that returns a list of landmark arrays, one per stage.
    """
    some = some_of(train)
    start = time.perf_counter()
    stages = locate(faces.data[test])
    seconds = time.perf_counter() - start
    subset = faces.subset[test]
    return {
        "n_train": len(train),
        "n_test": len(test),
        "predict_seconds": round(seconds, 2),
        "predict_faces_per_second": round(len(test) / seconds, 1),
        "stages": [summarize(faces.target[test], stage) for stage in stages],
        "by_subset": {
            str(name): {
                f"nme_{by}": _rounded(np.nanmean(values))
                for by, values in sample_errors(
                    faces.target[test][subset == name], stages[-1][subset == name]
                ).items()
            }
            for name in np.unique(subset)
        },
        "train_stages": [
            summarize(faces.target[some], stage) for stage in locate(faces.data[some])
        ],
    }


def show_row(row):
    """Print the result of a run."""
    print(
        f"\n{row['trial']}, fold {row['fold']}, seed {row['seed']}: fit {row['fit_seconds']} s, "
        f"predict {row['predict_faces_per_second']} faces/s, load {row['load_average']}"
    )
    for i, (stage, train) in enumerate(zip(row["stages"], row["train_stages"], strict=True), 1):
        yaw = ", ".join(f"{stage[f'nme_pupil_{name}']} ({stage[f'n_{name}']})" for name in YAW_BINS)
        print(
            f"  stage {i}: inter-pupil {stage['nme_pupil']:.2f} %, inter-ocular "
            f"{stage['nme_ocular']:.2f} %, of the box {stage['nme_box']:.2f} %, median "
            f"{stage['median_pupil']:.2f}, above 10 %: {stage['failures_pupil_10']:.1f} %, AUC at "
            f"10 % {stage['auc_pupil_10']:.1f}, by |yaw| {yaw}; on training faces "
            f"{train['nme_pupil']:.2f} %"
        )
    told = ", ".join(f"{name} {row['nme_pupil']}" for name, row in row["by_subset"].items())
    print(f"  inter-pupil by subset: {told}", flush=True)


def show_spread(rows):
    """Print mean and standard deviation over folds and seeds of each trial."""
    print("\nPercent, mean (standard deviation) over folds and seeds")
    print("columns: " + ", ".join([*FIGURES, "inter-pupil on training faces"]))
    for trial in dict.fromkeys(row["trial"] for row in rows):
        runs = [row for row in rows if row["trial"] == trial]
        seconds = np.array([row["fit_seconds"] for row in runs])
        print(f"{trial}: {len(runs)} runs, fit {seconds.mean():.0f} s")
        for i in range(len(runs[0]["stages"])):
            figures = [[run["stages"][i][key] for run in runs] for key in FIGURES]
            figures.append([run["train_stages"][i]["nme_pupil"] for run in runs])
            print(f"  stage {i + 1}: " + ", ".join(_mean_and_spread(x) for x in figures))


def _mean_and_spread(values):
    known = np.array([value for value in values if value is not None])
    if len(known) < 2:
        return f"{known[0]:.2f}" if len(known) else "-"
    return f"{known.mean():.2f} ({known.std(ddof=1):.2f})"


def show_differences(rows):
    """Print paired differences of each trial to the first one.

    Runs with the same fold and seed are paired, which removes the effect of the fold. Seeds
    of a fold use the same faces, so the standard error over all pairs is slightly too small.
    """
    trials = list(dict.fromkeys(row["trial"] for row in rows))
    if len(trials) < 2:
        return
    runs = {(row["trial"], row["fold"], row["seed"]): row["stages"][-1] for row in rows}
    print(f"\nLast stage, difference to {trials[0]!r} in percent points; below zero is better")
    for trial in trials[1:]:
        pairs = [
            (runs[trials[0], fold, seed], stage)
            for (name, fold, seed), stage in runs.items()
            if name == trial and (trials[0], fold, seed) in runs
        ]
        print(f"{trial}: {len(pairs)} pairs")
        for key in FIGURES:
            known = [(a[key], b[key]) for a, b in pairs if None not in (a[key], b[key])]
            if known:
                print(f"  {key}: {_difference(np.diff(known, axis=1)[:, 0])}")


def _difference(steps):
    error = steps.std(ddof=1) / np.sqrt(len(steps)) if len(steps) > 1 else np.nan
    return (
        f"{steps.mean():+.3f}, standard error {error:.3f}, better in {(steps < 0).sum()} "
        f"of {len(steps)}"
    )
