"""Train on the faces of 300-W and report errors on faces of other photographs.

    python benchmarks/train_300w.py --data DIR

DIR holds the data set as published. One run a seed: the seed decides which photographs
are held out, and the training. Lists after --loss, --balance, --refine-on and
--batch-norm are compared on the same photographs. Each run appends a line to --out, so
that nothing measured is lost.
"""

import argparse
import time
from itertools import pairwise, product

import numpy as np
from _report import add_out, append, environment
from _yaw import estimate_yaw
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import Pipeline

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing._settings import check_device
from skwing.datasets import load_300w
from skwing.metrics import ced_auc, failure_rate, nme

YAW_EDGES = (0, 15, 30, 90)
BALANCERS = {"yes": PoseBalancer, "no": lambda: "passthrough"}


def summarize(true, predicted, yaw):
    """Errors in percent: inter-pupil, inter-ocular, their tail, and by yaw."""
    pupil, ocular = (
        nme(true, predicted, normalizer=normalizer, schema="ibug68", per_sample=True)
        for normalizer in ("inter_pupil", "inter_ocular")
    )
    row = {
        "nme_pupil": 100 * pupil.mean(),
        "nme_ocular": 100 * ocular.mean(),
        "median_pupil": 100 * np.median(pupil),
        "failures_pupil_10": 100 * failure_rate(pupil, 0.10),
        "auc_pupil_10": 100 * ced_auc(pupil, 0.10),
    }
    for low, high in pairwise(YAW_EDGES):
        faces = (np.abs(yaw) >= low) & (np.abs(yaw) < high)
        row[f"nme_pupil_yaw_{low}_{high}"] = 100 * pupil[faces].mean() if faces.any() else None
        row[f"n_yaw_{low}_{high}"] = int(faces.sum())
    return {key: value if value is None else round(float(value), 4) for key, value in row.items()}


def run(faces, train, test, balance, settings):
    """Fit on some faces, measure on others; a row of results."""
    pipeline = Pipeline(
        [("balance", BALANCERS[balance]()), ("reg", CascadeLandmarkRegressor(**settings))]
    )
    start = time.perf_counter()
    pipeline.fit(faces.data[train], faces.target[train])
    fitted = time.perf_counter()
    regressor = pipeline.named_steps["reg"]
    stages = list(regressor.staged_predict(faces.data[test]))
    predicted = time.perf_counter()
    yaw = estimate_yaw(faces.target[test])
    some = train[:: max(1, len(train) // 400)]
    on_train = regressor.predict(faces.data[some])
    return {
        "fit_seconds": round(fitted - start, 1),
        "seconds_of_stages": [
            round(sum(row["seconds"] for row in regressor.history_ if row["stage"] == i + 1), 1)
            for i in range(len(stages))
        ],
        "epochs": regressor.n_iter_,
        "fit_samples_per_second": round(
            sum(row["n_samples"] for row in regressor.history_) / (fitted - start), 1
        ),
        "predict_faces_per_second": round(len(test) / (predicted - fitted), 1),
        "n_train": len(train),
        "n_test": len(test),
        "stages": [summarize(faces.target[test], stage, yaw) for stage in stages],
        "by_subset": {
            subset: summarize(faces.target[test][rows], stages[-1][rows], yaw[rows])["nme_pupil"]
            for subset in np.unique(faces.subset)
            if (rows := faces.subset[test] == subset).any()
        },
        "train_nme_pupil": summarize(
            faces.target[some], on_train, estimate_yaw(faces.target[some])
        )["nme_pupil"],
    }


def show(row):
    """Print a row of results."""
    told = {
        key: row[key] for key in ("seed", "loss", "balance", "refine_on", "batch_norm", "networks")
    }
    print("\n" + ", ".join(f"{key} {value}" for key, value in told.items()))
    print(
        f"fit {row['fit_seconds']} s ({row['fit_samples_per_second']} samples/s), predict "
        f"{row['predict_faces_per_second']} faces/s, on {row['n_train']} training faces "
        f"{row['train_nme_pupil']:.2f} %"
    )
    for i, stage in enumerate(row["stages"], 1):
        yaw = ", ".join(
            f"{low}-{high}: {stage[f'nme_pupil_yaw_{low}_{high}']} ({stage[f'n_yaw_{low}_{high}']})"
            for low, high in pairwise(YAW_EDGES)
        )
        print(
            f"stage {i}: NME {stage['nme_pupil']:.2f} % inter-pupil, {stage['nme_ocular']:.2f} % "
            f"inter-ocular, median {stage['median_pupil']:.2f}, above 10 %: "
            f"{stage['failures_pupil_10']:.1f} %, AUC at 10 % {stage['auc_pupil_10']:.1f}; "
            f"by |yaw| in degrees (faces): {yaw}"
        )
    print("by subset:", row["by_subset"], flush=True)


def show_spread(rows):
    """Print mean and standard deviation over the seeds, for each setting compared."""
    settings = ("networks", "loss", "balance", "refine_on", "batch_norm")
    figures = ("nme_pupil", "nme_pupil_yaw_0_15", "nme_pupil_yaw_15_30", "nme_pupil_yaw_30_90")
    groups = {}
    for row in rows:
        groups.setdefault(str([row[key] for key in settings]), []).append(row["stages"])
    print(f"\nInter-pupil NME in percent, mean (standard deviation) over seeds; {settings}")
    for name, runs in groups.items():
        for i, stages in enumerate(zip(*runs, strict=True), 1):
            told = [np.array([stage[key] for stage in stages], dtype=float) for key in figures]
            spread = ", ".join(
                f"{x.mean():.2f} ({x.std(ddof=min(1, len(x) - 1)):.2f})" for x in told
            )
            print(f"{name} stage {i}, {len(runs)} seeds: {spread}")
    print("columns: all faces, |yaw| 0-15, 15-30 and 30-90 degrees")


def parse():
    """Arguments of the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="folder of 300-W")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--test-size", type=float, default=0.2, help="share of the photographs")
    parser.add_argument("--boxes", default="detector", choices=["detector", "ground_truth"])
    parser.add_argument("--loss", nargs="+", default=["wing"])
    parser.add_argument("--balance", nargs="+", default=["yes"], choices=list(BALANCERS))
    parser.add_argument("--refine-on", nargs="+", default=[None])
    parser.add_argument("--batch-norm", nargs="+", default=["yes"], choices=["yes", "no"])
    parser.add_argument("--networks", nargs="+", default=None)
    parser.add_argument("--epochs", type=int, nargs="+", default=None, help="of each stage")
    parser.add_argument("--learning-rate", type=float, nargs="+", default=None)
    parser.add_argument("--device", default="auto")
    add_out(parser, "train_300w")
    parser.add_argument("--verbose", type=int, default=1)
    return parser.parse_args()


def main():
    """Run what the command line asks for."""
    args = parse()
    faces = load_300w(args.data, boxes=args.boxes)
    given = {
        "networks": args.networks and tuple(args.networks),
        "max_epochs": args.epochs and tuple(args.epochs),
        "learning_rate": args.learning_rate and tuple(args.learning_rate),
    }
    given = {key: value for key, value in given.items() if value is not None}
    rows = []
    compared = (args.seeds, args.loss, args.balance, args.refine_on, args.batch_norm)
    for seed, loss, balance, refine, batch_norm in product(*compared):
        settings = {"loss": loss, "device": args.device, "random_state": seed, **given}
        settings["batch_norm"] = batch_norm == "yes"
        if refine is not None:
            settings["refine_on"] = refine
        split = GroupShuffleSplit(1, test_size=args.test_size, random_state=seed)
        train, test = next(split.split(faces.data, groups=faces.groups))
        full = CascadeLandmarkRegressor(**settings).get_params()
        row = {
            **environment(check_device(args.device)),
            "seed": seed,
            "boxes": args.boxes,
            "balance": balance,
            **{key: full[key] for key in full if key not in ("verbose", "random_state", "device")},
            **run(faces, train, test, balance, {**settings, "verbose": args.verbose}),
        }
        show(row)
        append(row, args.out)
        rows.append(row)
    show_spread(rows)


if __name__ == "__main__":
    main()
