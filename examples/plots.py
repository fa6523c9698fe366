"""Draw all displays of skwing.display for two models trained on generated faces.

    python examples/plots.py pictures

saves them as PNG files in the folder `pictures`. The example takes about two minutes on two
cores, mostly for training. The models are small and trained for few epochs, so that their
errors are visible. It requires matplotlib: ``pip install skwing[plot]``.
"""

import argparse
import time
from pathlib import Path

from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing.datasets import make_faces
from skwing.display import (
    CumulativeErrorDisplay,
    ErrorByPoseDisplay,
    LandmarkDisplay,
    LossDisplay,
    ParameterGridDisplay,
    PoseHistogramDisplay,
    TrainingHistoryDisplay,
)
from skwing.metrics import make_nme_scorer

YAW_EDGES = [-90, -60, -40, -20, 0, 20, 40, 60, 90]  # in degrees


def train_models(train, test, args):
    """Fit a cascade with balancing, and a single network without balancing."""
    cascade = CascadeLandmarkRegressor(
        networks=("cnn6", "cnn6"), max_epochs=args.epochs, random_state=args.seed
    )
    single = CascadeLandmarkRegressor(
        networks=("cnn6",), loss="l2", max_epochs=args.epochs, random_state=args.seed
    )
    balanced = Pipeline([("balance", PoseBalancer()), ("reg", cascade)])
    # The errors on the test faces are recorded for each epoch, but not used for selection.
    shown = {"X_val": test.data, "y_val": test.target}
    balanced.fit(train.data, train.target, **{f"reg__{key}": v for key, v in shown.items()})
    return {"CNN-6/6, Wing, balanced": balanced, "CNN-6, L2": single.fit(train.data, train.target)}


def search_parameters(train, args):
    """Search over w and epsilon, with two folds and short training."""
    regressor = CascadeLandmarkRegressor(
        networks=("cnn6",), max_epochs=max(1, args.epochs // 4), random_state=args.seed
    )
    grid = {"epsilon": [0.5, 2.0], "w": [4.0, 8.0, 12.0]}
    search = GridSearchCV(
        regressor, grid, scoring=make_nme_scorer("box"), cv=GroupKFold(2), refit=False
    )
    return search.fit(train.data, train.target, groups=train.groups)


def draw_all(models, search, train, test):
    """Yield the name and the display of each figure."""
    ours = models["CNN-6/6, Wing, balanced"]
    cumulative = by_yaw = None
    for name, model in models.items():
        # The inter-ocular distance of profiles is close to 0, so errors are normalised by the box.
        shared = {"normalizer": "box", "name": name}
        cumulative = CumulativeErrorDisplay.from_estimator(
            model, test.data, test.target, ax=cumulative and cumulative.ax_, **shared
        )
        by_yaw = ErrorByPoseDisplay.from_estimator(
            model,
            test.data,
            test.target,
            test.pose[:, 0],
            bins=YAW_EDGES,
            pose_label="Yaw (degrees)",
            ax=by_yaw and by_yaw.ax_,
            **shared,
        )
    yield "cumulative_error", cumulative
    yield "error_by_yaw", by_yaw
    data, predicted = (test.data, test.target), ours.predict(test.data)
    for order in ("worst", "best", "pose"):
        yield (
            f"landmarks_{order}",
            LandmarkDisplay.from_predictions(
                *data, predicted, order=order, normalizer="box", poses=test.pose[:, 0]
            ),
        )
    yield "poses", PoseHistogramDisplay.from_estimator(ours, train.data, n_faces=2)
    yield "losses", LossDisplay.from_losses()
    yield "history", TrainingHistoryDisplay.from_estimator(ours)
    yield "parameters", ParameterGridDisplay.from_estimator(search)


def main(argv=None):
    """Run the example; return the paths of the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder", type=Path, help="output folder")
    parser.add_argument("--n-samples", type=int, default=300, help="number of training faces")
    parser.add_argument("--epochs", type=int, default=16, help="number of epochs of each stage")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    import matplotlib.pyplot as plt

    start = time.perf_counter()
    train = make_faces(args.n_samples, random_state=args.seed)
    test = make_faces(max(16, args.n_samples // 2), random_state=args.seed + 1)
    models, search = train_models(train, test, args), search_parameters(train, args)
    args.folder.mkdir(parents=True, exist_ok=True)
    files = []
    for name, display in draw_all(models, search, train, test):
        files.append(args.folder / f"{name}.png")
        display.figure_.savefig(files[-1], dpi=120)
        plt.close(display.figure_)
        print(files[-1], flush=True)
    print(f"Total time: {time.perf_counter() - start:.0f} s.")
    return files


if __name__ == "__main__":
    main()
