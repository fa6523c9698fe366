"""Train a cascade on generated faces, measure each stage, save the model and a figure.

    python examples/quickstart.py

This example downloads nothing, and takes one to two minutes on two cores. In the training faces, as
in typical photo collections, large yaw is rare; `PoseBalancer` compensates for this. The test
faces show other persons in more diverse poses. The figure shows the test faces with the largest
and the smallest errors, and the cumulative errors of the stages. It requires matplotlib:
``pip install ".[plot]"``.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
from sklearn.pipeline import Pipeline

from skwing import CascadeLandmarkRegressor, PoseBalancer, geometry, load_model, save_model
from skwing.datasets import make_faces
from skwing.display import CumulativeErrorDisplay, LandmarkDisplay
from skwing.metrics import nme

LARGE_YAW = 30  # in degrees
N_SHOWN = 5  # number of faces with the largest errors in the figure, and with the smallest
MAX_YAW = 60  # of the test faces
YAW_SPREAD = 18  # standard deviation of the training faces; 10 % have a large yaw


def draw_faces(n_train, seed):
    """Generate portraits, and half as many test faces of other persons in more diverse poses."""
    spread = [YAW_SPREAD, 10, 8]  # of yaw, pitch and roll
    pose = np.random.default_rng(seed).normal(0, spread, (n_train, 3)).clip(-80, 80)
    train = make_faces(n_train, pose=pose, occlusion=0, random_state=seed)
    # Another random state generates other persons.
    n_test = max(1, n_train // 2)
    return train, make_faces(n_test, max_yaw=MAX_YAW, occlusion=0, random_state=seed + 1)


def make_pipeline(epochs, seed):
    """Balancer and cascade, with fewer epochs than the default."""
    regressor = CascadeLandmarkRegressor(max_epochs=tuple(epochs), random_state=seed, verbose=1)
    return Pipeline([("balance", PoseBalancer()), ("reg", regressor)])


def predict_mean_shape(train, test):
    """Predict the mean training shape in each box, as a baseline that ignores the image."""
    in_boxes = geometry.apply(geometry.from_box(train.data.boxes, size=1), train.target)
    return geometry.apply(
        geometry.invert(geometry.from_box(test.data.boxes, size=1)), in_boxes.mean(0)
    )


def errors_of(true, predicted):
    """NME of each face in percent.

    Errors are normalised by the face size (the geometric mean of the sides of the landmark
    bounding box), because the inter-ocular distance of profiles is close to 0.
    """
    boxes = geometry.boxes_of(true)
    return 100 * nme(true, predicted, normalizer="box", boxes=boxes, per_sample=True)


def measure(true, predicted, yaw):
    """Mean NME in percent of all faces, of frontal faces, and of faces with large yaw."""
    errors = errors_of(true, predicted)
    turned = np.abs(yaw) > LARGE_YAW
    chosen = {"all": slice(None), "ahead": ~turned, "turned": turned}
    return {name: float(np.mean(errors[rows])) for name, rows in chosen.items()}


def train_with_progress(train, epochs, seed):
    """Fitted pipeline."""
    print(f"Training on {len(train.data)} faces in two stages:")
    pipeline = make_pipeline(epochs, seed)
    start = time.perf_counter()
    pipeline.fit(train.data, train.target)
    repeats = pipeline.named_steps["balance"].repeats_
    print(
        f"took {time.perf_counter() - start:.0f} s; each face was used {repeats.min()} to "
        f"{repeats.max()} times per epoch, rare poses more often",
        flush=True,
    )
    return pipeline


def show(table, yaw):
    """Print a table of errors."""
    n_turned = int((np.abs(yaw) > LARGE_YAW).sum())
    heads = ["all faces", f"|yaw| <= {LARGE_YAW}", f"|yaw| > {LARGE_YAW}"]
    counts = [len(yaw), len(yaw) - n_turned, n_turned]
    print("\nNME in percent of the face size, on faces of other persons:")
    print(f"{'':28}" + "".join(f"{head:>14}" for head in heads))
    print(f"{'number of faces':28}" + "".join(f"{count:14}" for count in counts))
    for name, errors in table.items():
        print(f"{name:28}" + "".join(f"{error:14.2f}" for error in errors.values()))


def save_and_reload(pipeline, X):
    """Save and load a model; return whether its predictions are unchanged."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "landmarks.safetensors"
        save_model(pipeline, path)
        size, reloaded = path.stat().st_size / 1e6, load_model(path)
    same = np.array_equal(pipeline.predict(X), reloaded.predict(X))
    print(f"\nSaved to a file of {size:.0f} MB and reloaded, the model predicts the same: {same}")
    return same


def draw_picture(test, predictions, path):
    """Save a figure of the worst and the best faces, and of cumulative errors."""
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(
        1, 2, figsize=(15, 5.5), width_ratios=(2, 1), layout="constrained"
    )
    points = list(predictions.values())[-1]
    ranks = np.argsort(errors_of(test.target, points))
    LandmarkDisplay.from_predictions(
        test.data,
        test.target,
        points,
        order=[*ranks[: -N_SHOWN - 1 : -1], *ranks[:N_SHOWN]],
        normalizer="box",
        n_images=2 * N_SHOWN,
        ax=left,
    )
    for name, found in predictions.items():
        CumulativeErrorDisplay.from_predictions(
            test.target,
            found,
            normalizer="box",
            boxes=geometry.boxes_of(test.target),
            name=name,
            ax=right,
        )
    figure.savefig(path, dpi=100)
    print(f"\nLargest errors, smallest errors and cumulative errors: {path}")


def main(argv=None):
    """Run the example; return the errors, and whether the loaded model predicts the same."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=300, help="number of training faces")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[9, 14], help="number of epochs of each stage"
    )
    parser.add_argument(
        "--picture", type=Path, default=Path("quickstart.jpg"), help="file of the figure"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    start = time.perf_counter()
    print(f"Generating {args.n_samples} training faces and the test faces ...", flush=True)
    train, test = draw_faces(args.n_samples, args.seed)
    pipeline = train_with_progress(train, args.epochs, args.seed)
    predictions = {"mean shape in the box": predict_mean_shape(train, test)}
    stages = pipeline.named_steps["reg"].staged_predict(test.data)
    predictions |= {f"stage {i}": points for i, points in enumerate(stages, 1)}
    yaw = test.pose[:, 0]
    table = {name: measure(test.target, points, yaw) for name, points in predictions.items()}
    show(table, yaw)
    same = save_and_reload(pipeline, test.data)
    draw_picture(test, predictions, args.picture)
    print(f"Total time: {time.perf_counter() - start:.0f} s.")
    return table, same


if __name__ == "__main__":
    main()
