"""Tune the loss parameters and the balancing with GridSearchCV.

    python examples/grid_search.py

Two candidates are trained in parallel. The example takes less than two minutes on two cores.
Training is too short for a meaningful ranking of the candidates; the example demonstrates
the interface.
"""

import argparse
import time

from sklearn.model_selection import GridSearchCV, GroupKFold
from sklearn.pipeline import Pipeline

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing.datasets import make_faces
from skwing.metrics import make_nme_scorer

GRID = {
    "balance": ["passthrough", PoseBalancer()],
    "reg__w": [5.0, 10.0],
    "reg__epsilon": [1.0, 2.0],
}


def search(faces, epochs, n_jobs):
    """Fit each candidate on each fold, and the best candidate on all faces."""
    regressor = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=epochs, random_state=0)
    return GridSearchCV(
        Pipeline([("balance", PoseBalancer()), ("reg", regressor)]),
        GRID,
        # The inter-ocular distance of profiles is close to 0, so errors are normalised by the box.
        scoring=make_nme_scorer("box"),
        cv=GroupKFold(2),  # all faces of a person in one fold
        n_jobs=n_jobs,
        verbose=1,
    ).fit(faces.data, faces.target, groups=faces.groups)


def show(found):
    """Print the candidates, best first."""
    results = found.cv_results_
    print("\nNME of held-out faces, in percent of the face size:")
    for i in results["rank_test_score"].argsort():
        params = results["params"][i]
        balanced = "not balanced" if params["balance"] == "passthrough" else "balanced"
        error, seconds = -100 * results["mean_test_score"][i], results["mean_fit_time"][i]
        print(
            f"{error:6.2f}   w {params['reg__w']:4.1f}, epsilon {params['reg__epsilon']:3.1f}, "
            f"{balanced} ({seconds:.1f} s per fit)"
        )


def main(argv=None):
    """Run the example; return the fitted search."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=200, help="number of faces")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--n-jobs", type=int, default=2)
    args = parser.parse_args(argv)
    start = time.perf_counter()
    found = search(make_faces(args.n_samples, random_state=0), args.epochs, args.n_jobs)
    show(found)
    print(f"Total time: {time.perf_counter() - start:.0f} s.")
    return found


if __name__ == "__main__":
    main()
