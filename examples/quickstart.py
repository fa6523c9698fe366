"""Train with and without balancing, measure each stage, save and reload a model.

    python examples/quickstart.py

Everything runs on faces that are drawn on the spot, so nothing is downloaded: two models
in about two minutes on two cores. The faces measured are of other persons than those
trained on.
"""

import argparse
import tempfile
import time
from pathlib import Path

import joblib
import numpy as np
from sklearn.model_selection import GroupShuffleSplit
from sklearn.pipeline import Pipeline

from skwing import CascadeLandmarkRegressor, PoseBalancer, geometry
from skwing.datasets import make_faces
from skwing.metrics import nme

LARGE_YAW = 30  # degrees


def draw_faces(n_samples, seed):
    """Draw faces; also the rows to train on and those of other persons to measure on."""
    faces = make_faces(n_samples, random_state=seed)
    split = GroupShuffleSplit(1, test_size=0.3, random_state=seed)
    train, test = next(split.split(faces.data, groups=faces.groups))
    return faces, train, test


def make_pipeline(balance, epochs, seed):
    """Balance the poses or not, then train a cascade of two small networks."""
    regressor = CascadeLandmarkRegressor(
        networks=("cnn6", "cnn6"),
        loss="wing",
        w=10.0,  # w and epsilon are in pixels of the 64x64 crops, as in the paper
        epsilon=2.0,
        max_epochs=tuple(epochs),
        random_state=seed,
        verbose=1,
    )
    return Pipeline([("balance", PoseBalancer() if balance else "passthrough"), ("reg", regressor)])


def predict_mean_shape(faces, train, test):
    """Put the mean of the training faces into each box: what a guess without looking gives."""
    to_unit_box = geometry.from_box(faces.data.boxes, size=1)
    mean = geometry.apply(to_unit_box[train], faces.target[train]).mean(0)
    return geometry.apply(geometry.invert(to_unit_box[test]), mean)


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


def train_and_measure(faces, train, test, balance, epochs, seed):
    """Fitted pipeline, and the errors of each of its stages on the faces held out."""
    print(f"\nTraining on {len(train)} faces {'with' if balance else 'without'} balancing:")
    pipeline = make_pipeline(balance, epochs, seed)
    start = time.perf_counter()
    pipeline.fit(faces.data[train], faces.target[train])
    print(f"took {time.perf_counter() - start:.0f} s", end="")
    if balance:
        repeats = pipeline.named_steps["balance"].repeats_
        print(f"; a face counted {repeats.min()} to {repeats.max()} times", end="")
    print()
    stages = pipeline.named_steps["reg"].staged_predict(faces.data[test])
    yaw = faces.pose[test, 0]
    return pipeline, [measure(faces.target[test], points, yaw) for points in stages]


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
        path = Path(folder) / "landmarks.joblib"
        joblib.dump(pipeline, path)
        size, reloaded = path.stat().st_size / 1e6, joblib.load(path)
    same = np.array_equal(pipeline.predict(X), reloaded.predict(X))
    print(f"\nSaved to a file of {size:.0f} MB and reloaded, the model predicts the same: {same}")
    return same


def main(argv=None):
    """Run the example; the errors that it prints, and whether the reloaded model agrees."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=800, help="faces to draw")
    parser.add_argument("--epochs", type=int, nargs="+", default=[30, 20], help="of each stage")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    start = time.perf_counter()
    print(f"Drawing {args.n_samples} faces ...", flush=True)
    faces, train, test = draw_faces(args.n_samples, args.seed)
    yaw = faces.pose[test, 0]
    guess = predict_mean_shape(faces, train, test)
    table = {"mean shape in the box": measure(faces.target[test], guess, yaw)}
    for balance in (False, True):
        pipeline, stages = train_and_measure(faces, train, test, balance, args.epochs, args.seed)
        for i, errors in enumerate(stages, 1):
            table[f"{'balanced' if balance else 'not balanced'}, stage {i}"] = errors
    show(table, yaw)
    same = save_and_reload(pipeline, faces.data[test])
    print(f"All of it took {time.perf_counter() - start:.0f} s.")
    return table, same


if __name__ == "__main__":
    main()
