"""Train with and without balancing, measure each stage, save a model and a picture.

    python examples/quickstart.py

Everything runs on faces that are drawn on the spot, so nothing is downloaded: two models
in about two minutes on two cores. The training faces are like a collection of portraits,
where few are turned far aside; balancing makes up for that. The faces measured are of other
persons, and many of them are turned. The picture shows predicted and true landmarks on some
of these. It needs matplotlib, which ``pip install ".[plot]"`` brings.
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

# In degrees:
LARGE_YAW = 30
N_SHOWN = 12  # faces in the picture
YAW_SPREAD = 18  # standard deviation among the training faces: one in ten has a large yaw


def draw_faces(n_train, seed):
    """Draw portraits to train on; half as many faces of other persons, in all poses, to test."""
    spread = [YAW_SPREAD, 10, 8]  # of yaw, pitch and roll
    pose = np.random.default_rng(seed).normal(0, spread, (n_train, 3)).clip(-80, 80)
    train = make_faces(n_train, pose=pose, random_state=seed)
    # Another random state draws other persons.
    return train, make_faces(max(1, n_train // 2), random_state=seed + 1)


def make_pipeline(balance, epochs, seed):
    """Balance the poses or not, then train the cascade; by itself it would train for longer."""
    regressor = CascadeLandmarkRegressor(max_epochs=tuple(epochs), random_state=seed, verbose=1)
    return Pipeline([("balance", PoseBalancer() if balance else "passthrough"), ("reg", regressor)])


def predict_mean_shape(train, test):
    """Put the mean of the training faces into each box: what a guess without looking gives."""
    in_boxes = geometry.apply(geometry.from_box(train.data.boxes, size=1), train.target)
    return geometry.apply(
        geometry.invert(geometry.from_box(test.data.boxes, size=1)), in_boxes.mean(0)
    )


def measure(true, predicted, yaw):
    """NME in percent: of all faces, of those that look ahead, of those turned far aside.

    The face's size (geometric mean of the sides of the box around its landmarks) divides
    the errors, as the distance of the eyes shrinks to nothing in a profile.
    """
    errors = 100 * nme(
        true, predicted, normalizer="box", boxes=geometry.boxes_of(true), per_sample=True
    )
    turned = np.abs(yaw) > LARGE_YAW
    chosen = {"all": slice(None), "ahead": ~turned, "turned": turned}
    return {name: float(np.mean(errors[rows])) for name, rows in chosen.items()}


def train_and_measure(train, test, balance, epochs, seed):
    """Fitted pipeline, and the errors of each of its stages on the faces to test."""
    print(f"\nTraining on {len(train.data)} faces {'with' if balance else 'without'} balancing:")
    pipeline = make_pipeline(balance, epochs, seed)
    start = time.perf_counter()
    pipeline.fit(train.data, train.target)
    print(f"took {time.perf_counter() - start:.0f} s", end="")
    if balance:
        repeats = pipeline.named_steps["balance"].repeats_
        print(f"; a face counted {repeats.min()} to {repeats.max()} times", end="")
    print(flush=True)
    stages = pipeline.named_steps["reg"].staged_predict(test.data)
    return pipeline, [measure(test.target, points, test.pose[:, 0]) for points in stages]


def show(table, yaw):
    """Print the errors of each row of a table."""
    n_turned = int((np.abs(yaw) > LARGE_YAW).sum())
    heads = ["all faces", f"|yaw| <= {LARGE_YAW}", f"|yaw| > {LARGE_YAW}"]
    counts = [len(yaw), len(yaw) - n_turned, n_turned]
    print("\nNME in percent of the face's size, on faces of persons not trained on:")
    print(f"{'':28}" + "".join(f"{head:>14}" for head in heads))
    print(f"{'number of faces':28}" + "".join(f"{count:14}" for count in counts))
    for name, errors in table.items():
        print(f"{name:28}" + "".join(f"{error:14.2f}" for error in errors.values()))


def save_and_reload(pipeline, X):
    """Whether a model predicts the same when it went through a file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "landmarks.safetensors"
        save_model(pipeline, path)
        size, reloaded = path.stat().st_size / 1e6, load_model(path)
    same = np.array_equal(pipeline.predict(X), reloaded.predict(X))
    print(f"\nSaved to a file of {size:.0f} MB and reloaded, the model predicts the same: {same}")
    return same


def draw_picture(pipeline, test, path):
    """Save a picture of faces of the test set, predicted landmarks beside true ones."""
    some = slice(N_SHOWN)
    display = LandmarkDisplay.from_estimator(
        pipeline, test.data[some], test.target[some], normalizer="box"
    )
    display.figure_.savefig(path, dpi=100)
    print(f"\nPredicted and true landmarks on {N_SHOWN} faces: {path}")


def main(argv=None):
    """Run the example; the errors that it prints, and whether the reloaded model agrees."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=300, help="faces to train on")
    parser.add_argument("--epochs", type=int, nargs="+", default=[14, 14], help="of each stage")
    parser.add_argument("--picture", type=Path, default=Path("quickstart.jpg"), help="file to save")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    start = time.perf_counter()
    print(f"Drawing {args.n_samples} faces to train on and others to test ...", flush=True)
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
    print(f"All of it took {time.perf_counter() - start:.0f} s.")
    return table, same


if __name__ == "__main__":
    main()
