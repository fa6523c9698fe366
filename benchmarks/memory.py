"""Peak resident memory of fit and predict.

    python benchmarks/memory.py

fit: faces in files, and faces in an array. Two fits of different size run in separate
processes. The growth of the peak per face is compared with the size of a chip; the memory of
an array X is subtracted. All chips and their half-size copies (a quarter more) are kept in
memory. A second copy of the images would be visible in the results.

fit with a cache: paths of a few files, repeated, each time with another box, so that no two
chips are equal. A tiny network, which reads 32 pixels from chips of 64, learns five landmarks.
Chips are in files; what grows is a few numbers per sample. The memory before fit, with X and y,
is told apart. A second fit in a new process finds all chips.

predict: paths of a few files, repeated, in a separate process for each number of paths. Only
the predictions, of shape (n, 68, 2), and the list of paths should grow with n.

The peak is VmHWM of /proc on Linux, which is reset in each process, and otherwise getrusage.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import cv2
import joblib
import numpy as np
from _report import add_out, append, environment, peak_bytes, show_environment

from skwing import BoxedImages, CascadeLandmarkRegressor
from skwing._training import loop
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

N_FILES = 16
FIT_SIDE, PREDICT_SIDE = 256, 128  # side of the images, in pixels
FIVE = (36, 45, 30, 48, 54)  # outer corners of the eyes, tip of the nose, corners of the mouth
TINY = partial(PlainCNN, widths=(8, 16), input_size=32, n_hidden=32)


def write_faces(folder, side):
    """Write a few generated faces to image files, and their boxes and landmarks to another file."""
    faces = make_faces(N_FILES, image_size=side, random_state=0)
    folder.mkdir()
    for i in range(N_FILES):
        cv2.imwrite(str(folder / f"{i}.jpg"), faces.data.decode(i)[..., ::-1])
    np.savez(folder / "faces.npz", boxes=faces.data.boxes, target=faces.target)


def read_faces(folder, n, source):
    """Faces of a folder, repeated, as paths or as an array; returns X and y."""
    with np.load(folder / "faces.npz") as file:
        boxes, target = file["boxes"], file["target"]
    paths = [str(folder / f"{i}.jpg") for i in range(N_FILES)]
    rows = np.arange(n) % N_FILES
    if source == "array":
        images = np.empty((n, FIT_SIDE, FIT_SIDE, 3), np.uint8)
        for i, row in enumerate(rows):
            images[i] = cv2.imread(paths[row])
    else:
        images = [paths[row] for row in rows]
    return BoxedImages(images, boxes[rows], schema="ibug68"), target, rows


def run_fit(folder, n, source, networks):
    """Fit n faces for one epoch per stage; runs in a separate process."""
    X, target, rows = read_faces(Path(folder), n, source)
    regressor = CascadeLandmarkRegressor(networks=tuple(networks), max_epochs=1, random_state=0)
    regressor.fit(X, target[rows])
    return {"peak": peak_bytes(), "chip": 3 * regressor._frame.size**2}


def run_predict(folder, n, model):
    """Predict n paths; runs in a separate process."""
    regressor = joblib.load(model)
    X = read_faces(Path(folder), n, "files")[0]
    answer = regressor.predict(X)
    return {"peak": peak_bytes(), "answer": answer.nbytes}


def limit_steps(n_steps):
    """Let epochs have at most this number of steps; the memory does not depend on it."""
    train = loop.train

    def train_less(*arguments, **keywords):
        keywords["n_steps"] = min(n_steps, keywords["n_steps"])
        return train(*arguments, **keywords)

    loop.train = train_less


def run_cached_fit(folder, n, cache, source, n_steps):
    """Fit n paths for one epoch with a cache; runs in a separate process."""
    if n_steps:
        limit_steps(n_steps)
    X, target, rows = read_faces(Path(folder), n, "files")
    random = np.random.default_rng(0)
    boxes = X.boxes + random.uniform(-2, 2, (n, 4)).astype(np.float32)
    images = X.paths
    if source == "arrays":
        few = [X.decode(i) for i in range(N_FILES)]
        images = [few[row] for row in rows]
    X = BoxedImages(images, boxes)
    del images
    y = target[:, FIVE][rows]
    del target, rows, boxes
    before, start = peak_bytes(), time.perf_counter()
    regressor = CascadeLandmarkRegressor(
        networks=(TINY,), max_epochs=1, batch_size=256, random_state=0, cache=cache, retry=False
    )
    regressor.fit(X, y)
    seconds = time.perf_counter() - start
    epoch = regressor.history_[0]["seconds"]
    chips = 3 * regressor._frame.size**2 * n
    return {
        "before": before,
        "peak": peak_bytes(),
        "seconds": seconds,
        "epoch": epoch,
        "chips": chips,
    }


RUNS = {"fit": run_fit, "cached": run_cached_fit, "predict": run_predict}


def in_process(run, *arguments):
    """Result of a run in a new process."""
    command = [sys.executable, __file__, "--child", json.dumps([run, *map(_plain, arguments)])]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def _plain(value):
    return str(value) if isinstance(value, Path) else value


def measure_fit(folder, sizes, networks):
    """Rows of results for faces from files and from an array."""
    rows = []
    for source in ("files", "array"):
        few, many = (in_process("fit", folder, n, source, networks) for n in sizes)
        own = 3 * FIT_SIDE**2 if source == "array" else 0
        growth = (many["peak"] - few["peak"]) / (sizes[1] - sizes[0])
        rows.append(
            {
                "source": source,
                "n_samples": list(sizes),
                "peak_mb": [round(run["peak"] / 1e6, 1) for run in (few, many)],
                "chip_bytes": many["chip"],
                "image_bytes": 3 * FIT_SIDE**2,
                "growth_bytes_per_face": round(growth - own),
                "growth_in_chips": round((growth - own) / many["chip"], 3),
                "peak_in_chips": round(many["peak"] / (sizes[1] * many["chip"]), 3),
            }
        )
        show_fit(rows[-1])
    return rows


def show_fit(row):
    """Print the memory usage of fits."""
    (few, many), (low, high) = row["n_samples"], row["peak_mb"]
    besides = " besides X itself" if row["source"] == "array" else ""
    print(
        f"fit from {row['source']}: peak {low:.0f} MB for {few} faces, {high:.0f} MB for {many}: "
        f"{row['growth_bytes_per_face'] / 1e3:.0f} kB a face{besides} = "
        f"{row['growth_in_chips']:.2f} chips of {row['chip_bytes'] / 1e3:.0f} kB "
        f"(a decoded image has {row['image_bytes'] / 1e3:.0f} kB)",
        flush=True,
    )


def measure_cached(folder, sizes, cache, source, n_steps):
    """Rows of results for fits with a cache, two for each number of samples."""
    rows = []
    for n in sizes:
        for chips in ("cut", "found"):
            run = in_process("cached", folder, n, cache / str(n), source, n_steps)
            rows.append(
                {
                    "n_samples": n,
                    "source": source,
                    "n_steps": n_steps,
                    "chips": chips,
                    "chips_gb": round(run["chips"] / 1e9, 2),
                    "before_mb": round(run["before"] / 1e6, 1),
                    "peak_mb": round(run["peak"] / 1e6, 1),
                    "seconds": round(run["seconds"], 1),
                    "epoch_seconds": round(run["epoch"], 1),
                }
            )
            print(
                f"fit with a cache, {n} samples, {rows[-1]['chips_gb']:.2f} GB of chips, {chips}: "
                f"peak {rows[-1]['peak_mb']:.0f} MB, {rows[-1]['before_mb']:.0f} MB before fit; "
                f"{run['seconds']:.0f} s, of which the epoch {run['epoch']:.0f} s",
                flush=True,
            )
    return rows


def measure_predict(folder, sizes, network):
    """Rows of results, one per number of paths."""
    X, target, rows = read_faces(folder, 2 * N_FILES, "files")
    model = CascadeLandmarkRegressor(networks=(network,), max_epochs=1, random_state=0)
    model.fit(X, target[rows])
    path = folder / "model.joblib"
    joblib.dump(model, path)
    rows = []
    for n in sizes:
        run = in_process("predict", folder, n, path)
        rows.append(
            {
                "n_samples": n,
                "peak_mb": round(run["peak"] / 1e6, 1),
                "answer_mb": round(run["answer"] / 1e6, 1),
            }
        )
        print(
            f"predict {n} paths: peak {rows[-1]['peak_mb']:.0f} MB, "
            f"{rows[-1]['peak_mb'] - rows[-1]['answer_mb']:.0f} MB without the answer of "
            f"{rows[-1]['answer_mb']:.0f} MB",
            flush=True,
        )
    if len(rows) > 1:
        first, last = rows[0], rows[-1]
        rest = [row["peak_mb"] - row["answer_mb"] for row in (first, last)]
        per_path = 1e6 * (rest[1] - rest[0]) / (last["n_samples"] - first["n_samples"])
        print(f"predict: {per_path:.0f} bytes more for each path, the answer apart", flush=True)
    return rows


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument(
        "--n-fit",
        type=int,
        nargs="*",
        default=[500, 3000],
        help="two numbers of faces for fit, or none",
    )
    parser.add_argument(
        "--n-cached",
        type=int,
        nargs="*",
        default=[1000, 10_000],
        help="numbers of samples for fit with a cache, such as 10000 1000000, or none",
    )
    parser.add_argument(
        "--cached-source",
        choices=("files", "arrays"),
        default="files",
        help="arrays are cut faster, as nothing is decoded",
    )
    parser.add_argument(
        "--cached-steps", type=int, help="maximum number of steps of fits with a cache"
    )
    parser.add_argument("--networks", nargs="+", default=["cnn6", "cnn7"], help="networks to fit")
    parser.add_argument(
        "--n-predict",
        type=int,
        nargs="*",
        default=[10_000, 100_000],
        help="numbers of paths, such as 10000 1000000, or none",
    )
    parser.add_argument("--predict-network", default="cnn6")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    add_out(parser, "memory")
    args = parser.parse_args(argv)
    if len(args.n_fit) not in (0, 2):
        parser.error("--n-fit takes two numbers or none")
    return args


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    if args.child:
        run, *arguments = json.loads(args.child)
        print(json.dumps(RUNS[run](*arguments)))
        return
    row = environment()
    show_environment(row)
    with tempfile.TemporaryDirectory() as folder:
        faces, small_faces = Path(folder) / "fit", Path(folder) / "predict"
        write_faces(faces, FIT_SIDE)
        write_faces(small_faces, PREDICT_SIDE)
        row["networks"], row["predict_network"] = args.networks, args.predict_network
        row["fit"] = measure_fit(faces, args.n_fit, args.networks) if args.n_fit else []
        row["cached"] = measure_cached(
            small_faces,
            args.n_cached,
            Path(folder) / "cache",
            args.cached_source,
            args.cached_steps,
        )
        row["predict"] = (
            measure_predict(small_faces, args.n_predict, args.predict_network)
            if args.n_predict
            else []
        )
    append(row, args.out)


if __name__ == "__main__":
    main()
