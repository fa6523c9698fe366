"""Train with and without balancing, measure each stage, save a model and a figure.

    python examples/quickstart.py

This example uses generated faces and downloads nothing. It trains two models in about two
minutes on two cores. In the training faces, as in typical photo collections, large yaw is
rare; balancing compensates for this. The test faces show other persons in all poses. The
figure shows predicted and true landmarks of some test faces. It requires matplotlib:
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
from skwing.display import LandmarkDisplay
from skwing.metrics import nme

LARGE_YAW = 30  # in degrees
N_SHOWN = 12  # number of faces in the figure
YAW_SPREAD = 18  # standard deviation of the training faces; 10 % have a large yaw


def draw_faces(n_train, seed):
    """Generate portraits to train on, and half as many test faces of other persons in all poses."""
    spread = [YAW_SPREAD, 10, 8]  # of yaw, pitch and roll
    pose = np.random.default_rng(seed).normal(0, spread, (n_train, 3)).clip(-80, 80)
    train = make_faces(n_train, pose=pose, random_state=seed)
    # Another random state generates other persons.
    return train, make_faces(max(1, n_train // 2), random_state=seed + 1)


def make_pipeline(balance, epochs, seed):
    """Pipeline of the cascade, with or without balancing, with fewer epochs than the default."""
    regressor = CascadeLandmarkRegressor(max_epochs=tuple(epochs), random_state=seed, verbose=1)
    return Pipeline([("balance", PoseBalancer() if balance else "passthrough"), ("reg", regressor)])


def predict_mean_shape(train, test):
    """Predict the mean training shape in each box, as a baseline that ignores the image."""
    in_boxes = geometry.apply(geometry.from_box(train.data.boxes, size=1), train.target)
    return geometry.apply(
        geometry.invert(geometry.from_box(test.data.boxes, size=1)), in_boxes.mean(0)
    )


def measure(true, predicted, yaw):
    """NME in percent of all faces, of frontal faces, and of faces with large yaw.

    Errors are normalised by the face size (the geometric mean of the sides of the landmark
    bounding box), because the inter-ocular distance of profiles is close to 0.
    """
    errors = 100 * nme(
        true, predicted, normalizer="box", boxes=geometry.boxes_of(true), per_sample=True
    )
    turned = np.abs(yaw) > LARGE_YAW
    chosen = {"all": slice(None), "ahead": ~turned, "turned": turned}
    return {name: float(np.mean(errors[rows])) for name, rows in chosen.items()}


def train_and_measure(train, test, balance, epochs, seed):
    """Fitted pipeline, and the errors of each stage on the test faces."""
    print(f"\nTraining on {len(train.data)} faces {'with' if balance else 'without'} balancing:")
    pipeline = make_pipeline(balance, epochs, seed)
    start = time.perf_counter()
    pipeline.fit(train.data, train.target)
    print(f"took {time.perf_counter() - start:.0f} s", end="")
    if balance:
        repeats = pipeline.named_steps["balance"].repeats_
        print(f"; each face is repeated {repeats.min()} to {repeats.max()} times", end="")
    print(flush=True)
    stages = pipeline.named_steps["reg"].staged_predict(test.data)
    return pipeline, [measure(test.target, points, test.pose[:, 0]) for points in stages]


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


def draw_picture(pipeline, test, path):
    """Save a figure of test faces with predicted and true landmarks."""
    some = slice(N_SHOWN)
    display = LandmarkDisplay.from_estimator(
        pipeline, test.data[some], test.target[some], normalizer="box"
    )
    display.figure_.savefig(path, dpi=100)
    print(f"\nPredicted and true landmarks on {N_SHOWN} faces: {path}")


def main(argv=None):
    """Run the example; return the errors, and whether the loaded model predicts the same."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=300, help="number of training faces")
    parser.add_argument(
        "--epochs", type=int, nargs="+", default=[14, 14], help="number of epochs of each stage"
    )
    parser.add_argument(
        "--picture", type=Path, default=Path("quickstart.jpg"), help="file of the figure"
    )
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    start = time.perf_counter()
    print(f"Generating {args.n_samples} training faces and the test faces ...", flush=True)
    train, test = draw_faces(args.n_samples, args.seed)
    yaw = test.pose[:, 0]
    guess = predict_mean_shape(train, test)
    table = {"mean shape in the box": measure(test.target, guess, yaw)}
    for balance in (False, True):
        pipeline, stages = train_and_measure(train, test, balance, args.epochs, args.seed)
        for i, errors in enumerate(stages, 1):
            table[f"{'balanced' if balance else 'not balanced'}, stage {i}"] = errors
    show(table, yaw)
    same = save_and_reload(pipeline, test.data)
    draw_picture(pipeline, test, args.picture)
    print(f"Total time: {time.perf_counter() - start:.0f} s.")
    return table, same


if __name__ == "__main__":
    main()
