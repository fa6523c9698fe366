"""Time of what handles all samples at once, without their pixels: X, y, folds and balancing.

    python benchmarks/many_samples.py --n-samples 1000000

Paths of files that do not exist, random boxes and five landmarks; three samples per person. The
processor time is told as well, because it hardly depends on other load.
"""

import argparse
import pickle
import time

import numpy as np
from _report import add_out, append, environment, peak_bytes, show_environment
from sklearn.model_selection import GroupKFold, KFold

from skwing import BoxedImages, PoseBalancer
from skwing._training.samples import check_samples, drop_unused_samples, split_samples

N_LANDMARKS, PER_PERSON = 5, 3


def make_data(n, random):
    """Images of paths, landmarks and names of persons."""
    paths = [f"images/person_{i // PER_PERSON:07d}/{i:08d}.jpg" for i in range(n)]
    boxes = np.concatenate([random.uniform(0, 50, (n, 2)), random.uniform(80, 120, (n, 2))], 1)
    y = random.normal(size=(N_LANDMARKS, 2)) * 20 + 60 + random.normal(size=(n, N_LANDMARKS, 2)) * 4
    groups = np.array([path.split("/")[1] for path in paths])
    return BoxedImages(paths, boxes), y, groups


def steps(n, random):
    """Names of steps, and functions without arguments."""
    X, y, groups = make_data(n, random)
    rows, mask = random.permutation(n)[: 2 * n // 3], random.random(n) < 0.5
    partly = y.copy()
    partly[::2, :2] = np.nan
    seeded = np.random.RandomState(0)
    return {
        "X of paths and boxes": lambda: BoxedImages(list(X.paths), X.boxes),
        "X[rows]": lambda: X[rows],
        "X[mask]": lambda: X[mask],
        "pickle and unpickle X": lambda: pickle.loads(pickle.dumps(X)),
        "pickle a fold of X": lambda: pickle.dumps(X[rows]),
        "group by image": X.by_image,
        "KFold": lambda: list(KFold(5, shuffle=True, random_state=0).split(X)),
        "GroupKFold by name": lambda: list(GroupKFold(5).split(X, groups=groups)),
        "validation of X and y": lambda: drop_unused_samples(check_samples(X, y)),
        "validation split": lambda: split_samples(check_samples(X, y), 0.1, seeded),
        "PoseBalancer": lambda: PoseBalancer().fit_transform(X, y),
        "PoseBalancer, half with missing points": lambda: PoseBalancer().fit_transform(X, partly),
    }


def main(argv=None):
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--n-samples", type=int, default=100_000)
    add_out(parser, "many_samples")
    args = parser.parse_args(argv)
    row = environment() | {"n_samples": args.n_samples, "steps": {}}
    show_environment(row)
    for name, step in steps(args.n_samples, np.random.default_rng(0)).items():
        wall, cpu = time.perf_counter(), time.process_time()
        step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        row["steps"][name] = {"seconds": round(wall, 2), "cpu_seconds": round(cpu, 2)}
        print(f"{name:40s} {wall:7.2f} s, processor {cpu:7.2f} s", flush=True)
    row["peak_mb"] = round(peak_bytes() / 1e6, 1)
    print(f"peak memory {row['peak_mb']:.0f} MB")
    append(row, args.out)


if __name__ == "__main__":
    main()
