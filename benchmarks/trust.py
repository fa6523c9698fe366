"""Measure the calibration of predict(X, return_std=True).

    python benchmarks/trust.py --data DIR --use 0 1

For each fold, train on three quarters of the training photographs and calibrate on the rest.
On the test photographs, measure how often errors are within one and two standard deviations,
and how well the mean deviation detects faces with an NME (inter-pupil) above --failure, as area
under the ROC curve. Baselines are the uncalibrated spread over shifted crops, and the
difference between the predictions for a crop and its mirror image. The parameters are the
defaults of the regressor; --epochs sets the epochs of the stages.
"""

import argparse
import functools
from dataclasses import replace

import numpy as np
from _brief import add_options, run_folds
from _report import add_out
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import GroupShuffleSplit

from skwing import CascadeLandmarkRegressor, metrics
from skwing._prediction.confidence import shape_sizes
from skwing.metrics import nme
from skwing.schema import check_schema


def judge(regressor, images, points, std):
    """Uncertainty scores of each face, by method; higher is less certain."""
    size = shape_sizes(points)
    n_landmarks = points.shape[1]
    uncalibrated = replace(regressor.calibration_, own=np.zeros(n_landmarks), near=1.0, whole=0.0)
    calibrated = regressor.calibration_
    regressor.calibration_ = uncalibrated
    spread = regressor.predict(images, return_std=True)[1]
    regressor.calibration_ = calibrated
    average = regressor.average_mirrored
    once = regressor.set_params(average_mirrored=False).predict(images)
    both = regressor.set_params(average_mirrored=True).predict(images)
    regressor.set_params(average_mirrored=average)
    # Their mean is halfway between the predictions for the crop and its mirror image.
    mirrored = np.linalg.norm(2 * (both - once), axis=-1)
    return {
        "calibrated": np.sqrt(np.square(std).mean(1)) / size,
        "spread": spread.mean(1) / size,
        "mirrored": mirrored.mean(1) / size,
    }


def run(faces, train, test, settings, *, failure):
    """Results of a fold."""
    split = GroupShuffleSplit(1, test_size=0.25, random_state=0)
    fit, held_out = next(split.split(train, groups=faces.groups[train]))
    fit, held_out = train[fit], train[held_out]
    regressor = CascadeLandmarkRegressor(**settings).fit(faces.data[fit], faces.target[fit])
    regressor.calibrate(faces.data[held_out], faces.target[held_out])
    points, std = regressor.predict(faces.data[test], return_std=True)
    truth = faces.target[test]
    z = np.abs(points - truth) / std[..., None]
    errors = nme(
        truth, points, normalizer="inter_pupil", schema=check_schema("ibug68"), per_sample=True
    )
    failed = errors > failure
    doubts = judge(regressor, faces.data[test], points, std)
    surest = np.argsort(doubts["calibrated"])
    kept = {
        f"nme_pupil_surest_{share}": 100 * errors[surest[: len(surest) * share // 100]].mean()
        for share in (100, 95, 90, 80)
    }
    return {
        "n_fit": len(fit),
        "n_calibrate": len(held_out),
        "n_test": len(test),
        "n_failures": int(failed.sum()),
        "within_1_std": float((z < 1).mean()),
        "within_2_std": float((z < 2).mean()),
        "rms_z": float(np.sqrt(np.mean(z**2))),
        "landmark_rank_correlation": _rank_correlation(
            std, np.linalg.norm(points - truth, axis=-1)
        ),
        **{
            f"auc_{name}": float(roc_auc_score(failed, doubt))
            if 0 < failed.sum() < len(failed)
            else None
            for name, doubt in doubts.items()
        },
        **{key: float(value) for key, value in kept.items()},
        "failure_rate": 100 * metrics.failure_rate(errors, failure),
    }


def _rank_correlation(a, b):
    """Spearman's correlation of two arrays."""
    ranks = [np.argsort(np.argsort(x.ravel())) for x in (a, b)]
    return float(np.corrcoef(*ranks)[0, 1])


def show(row):
    """Print the results of a fold."""
    print({k: round(v, 3) if isinstance(v, float) else v for k, v in row.items()})


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    add_options(parser)
    parser.add_argument("--failure", type=float, default=0.10)
    add_out(parser, "trust")
    args = parser.parse_args(argv)
    run_folds(args, functools.partial(run, failure=args.failure), show)


if __name__ == "__main__":
    main()
