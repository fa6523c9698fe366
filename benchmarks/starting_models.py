"""Train the models of the folder models/, and measure them on held-out photographs.

    python benchmarks/starting_models.py faces --data DIR --out models
    python benchmarks/starting_models.py drawn --out models
    python benchmarks/starting_models.py faces --data DIR --model models/faces.safetensors \
        --out models
    python benchmarks/starting_models.py faces --data DIR --fold 0
    python benchmarks/starting_models.py drawn --data DIR --model models/drawn.safetensors --fold 0
    python benchmarks/starting_models.py --report

The first two commands train a model with one seed, and write it with `save_model` and `to_onnx`:
``faces`` on all photographs of DIR, which contains ``300w`` and ``300w_helen_rest``, and
``drawn`` on generated faces only. The fourth trains on all photographs except for a fold of
300-W (see `_folds.py`; the other faces of its photographs are excluded too) and measures the
error on the fold. The fifth measures a model that was not trained on photographs; fold 0 was
not used to improve the generated faces. With ``--model`` and ``--out``, the ONNX files of a model
that exists are written again: ``.onnx`` with weights of float16, and ``.int8.onnx``, calibrated on
400 faces of its training set. ``--report`` writes the measured errors into
models/README.md.

Errors are appended to ``--results``, as numbers of faces and sums of errors by subset, yaw and
size, so that folds can be added up. ``--tiny`` trains small networks on few faces in a minute.
"""

import argparse
import time
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
from _errors import YAW_BINS, YAW_EDGES, sample_errors
from _gpu_data import load_all, load_split
from _report import append, environment
from _starting_report import write_report
from _yaw import estimate_yaw
from joblib import Parallel, delayed

from skwing import CascadeLandmarkRegressor, __version__, load_model, save_model
from skwing._prediction.retry import Retry
from skwing._utils.device import check_device
from skwing.datasets import make_faces
from skwing.exceptions import NoticeWarning
from skwing.export import to_onnx
from skwing.geometry import boxes_of
from skwing.images import BoxedImages

ROOT = Path(__file__).parent.parent
SEED = 0
# Generated faces: number, number per seed, and parameters. 300-W has its jaw landmarks on the
# outline of the face, few faces that turn more than 45 degrees, and larger images.
N_DRAWN, N_PER_SEED = 16000, 500
N_CALIBRATION = 400  # faces from which the ranges of the int8 file are determined
DRAWN = {"jaw": "outline", "max_yaw": 60, "faces_per_identity": 1, "image_size": 192}
SIZE_EDGES = (0, 60, 90, 130, 10_000)  # longer side of the landmark bounding box, in pixels
PARTS = {"jaw": (0, 17), "brows": (17, 27), "nose": (27, 36), "eyes": (36, 48), "mouth": (48, 68)}
# Predictions for photographs have more doubt than those for generated faces.
DOUBT_OF_PHOTOGRAPHS = 1.7
TINY = {"networks": ("cnn6",), "max_epochs": 1}
PHOTOGRAPHS = (
    "This model was trained on photographs of 300-W (LFPW, HELEN, AFW), which are available for "
    "research only. Commercial use of the model may need the consent of the owners of the data."
)


def make_regressor(args):
    """Regressor with the default parameters and a fixed seed."""
    own = TINY if args.tiny else {}
    return CascadeLandmarkRegressor(random_state=SEED, device=args.device, verbose=1, **own)


def drawn_faces(args, n=N_DRAWN):
    """Images and landmarks of the training set of the drawn model, or of its first n faces."""
    n, n_jobs = (40, 1) if args.tiny else (n, -1)
    sizes = [min(N_PER_SEED, n - start) for start in range(0, n, N_PER_SEED)]
    parts = Parallel(n_jobs)(
        delayed(make_faces)(size, random_state=SEED + i, **DRAWN) for i, size in enumerate(sizes)
    )
    images = [part.data.decode(i) for part in parts for i in range(len(part.data))]
    boxes, target = (
        np.concatenate(part)
        for part in zip(*((f.data.boxes, f.target) for f in parts), strict=True)
    )
    return BoxedImages(images, boxes=boxes, schema=parts[0].schema), target


def training_set(args, **settings):
    """Images and landmarks of the training set of a model."""
    if args.kind == "drawn":
        return drawn_faces(args, **settings)
    faces = load_all(args.data)
    rows = np.arange(len(faces.target))[:: 50 if args.tiny else 1]
    return faces.data[rows], faces.target[rows]


def train(args):
    """Train a model on all faces of its kind, and write it."""
    start = time.perf_counter()
    X, y = training_set(args)
    regressor = make_regressor(args).fit(X, y)
    if args.kind == "drawn":
        drawn = regressor._retry
        limits = [DOUBT_OF_PHOTOGRAPHS * limit for limit in (drawn.limit, drawn.limit_once)]
        regressor._retry = Retry(drawn.start, *limits)
    print(f"{len(y)} faces, {time.perf_counter() - start:.0f} s", flush=True)
    loaded = write(regressor, args.kind, args.out)
    write_onnx(loaded, X, y, args.kind, args.out)
    moved = np.linalg.norm(loaded.predict(X[:200]) - regressor.predict(X[:200]), axis=-1)
    print(f"float16 moves landmarks by {moved.mean():.3f} pixels (max {moved.max():.3f})")


def write(regressor, kind, folder):
    """Write a model with `save_model`, with weights of float16; return it loaded."""
    folder.mkdir(parents=True, exist_ok=True)
    regressor.set_params(device="auto", verbose=0)
    notice = PHOTOGRAPHS if kind == "faces" else None
    path = folder / f"{kind}.safetensors"
    save_model(regressor, path, dtype="float16", notice=notice)
    return load_quietly(path)  # the ONNX files get the rounded weights and the notice


def load_quietly(path):
    """Load a model without the warning that it has terms of use."""
    with warnings.catch_warnings(action="ignore", category=NoticeWarning):
        return load_model(path)


def write_onnx(model, X, y, kind, folder):
    """Write the ONNX files of a model."""
    to_onnx(model, folder / f"{kind}.onnx", precision="float16")
    rows = np.unique(np.linspace(0, len(y) - 1, N_CALIBRATION).astype(int))
    calibration = {"calibration": X[rows], "calibration_target": y[rows]}
    to_onnx(model, folder / f"{kind}.int8.onnx", precision="int8", **calibration)


def export(args):
    """Write the ONNX files of a model that exists."""
    X, y = training_set(args, **({"n": N_CALIBRATION} if args.kind == "drawn" else {}))
    write_onnx(load_quietly(args.model), X, y, args.kind, args.out)


def _sums(true, predicted, subset):
    """Number of faces and sums of errors in percent, by kind and bin."""
    errors = sample_errors(true, predicted)
    yaw, size = np.abs(estimate_yaw(true)), boxes_of(true)[:, 2:].max(1)
    bins = {"all": {"all": np.full(len(true), True)}}
    bins["subset"] = {str(name): subset == name for name in np.unique(subset)}
    bins["yaw"] = {
        name: (yaw >= low) & (yaw < high)
        for name, (low, high) in zip(YAW_BINS, pairwise(YAW_EDGES), strict=True)
    }
    bins["size"] = {
        f"size_{low}_{high}": (size >= low) & (size < high) for low, high in pairwise(SIZE_EDGES)
    }
    return {
        kind: {
            name: {
                "n": int(faces.sum()),
                "above_10": int((errors["pupil"][faces] > 10).sum()),
                **{by: round(float(values[faces].sum()), 3) for by, values in errors.items()},
            }
            for name, faces in cut.items()
        }
        for kind, cut in bins.items()
    }


def _by_part(true, predicted):
    """Mean error of each part of the face, in percent of the inter-pupil distance."""
    pupils = np.stack([true[:, 36:42].mean(1), true[:, 42:48].mean(1)])
    unit = np.linalg.norm(pupils[0] - pupils[1], axis=1)
    errors = 100 * np.linalg.norm(predicted - true, axis=2) / unit[:, None]
    return {name: round(float(errors[:, a:b].mean()), 3) for name, (a, b) in PARTS.items()}


def measure(args):
    """Measure a model on photographs that it was not trained on."""
    if args.fold is None:
        raise SystemExit("pass --out to train a model, or --fold to measure it")
    split = load_split(args.data, args.tiny, args.fold)
    faces, test = split.faces, split.test
    told = {"model": args.kind, "fold": args.fold}
    if args.kind == "drawn":
        regressor = load_model(args.model).set_params(device=args.device)
        told["epochs"] = regressor.n_iter_
    else:
        start = time.perf_counter()
        rows = split.rows["all"]
        regressor = make_regressor(args).fit(faces.data[rows], faces.target[rows])
        told |= {
            "n_train": len(rows),
            "fit_seconds": round(time.perf_counter() - start, 1),
            "epochs": regressor.n_iter_,
        }
    true, predicted = faces.target[test], regressor.predict(faces.data[test])
    row = {
        "skwing": __version__,
        **told,
        **environment(check_device(args.device)),
        "median_pupil": round(float(np.median(sample_errors(true, predicted)["pupil"])), 4),
        "parts": _by_part(true, predicted),
        "sums": _sums(true, predicted, faces.subset[test]),
    }
    append(row, args.results)
    whole = row["sums"]["all"]["all"]
    print(f"{told}: {whole['pupil'] / whole['n']:.3f} % inter-pupil on {whole['n']} faces")


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("kind", nargs="?", choices=("faces", "drawn"), help="model")
    parser.add_argument("--data", help="folder with 300w and 300w_helen_rest")
    parser.add_argument("--out", type=Path, help="folder of the model; without it, measure")
    parser.add_argument("--fold", type=int, help="fold of 300-W to hold out")
    parser.add_argument("--model", type=Path, help="model to measure, or to export again")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--tiny", action="store_true", help="small networks and few faces")
    parser.add_argument("--report", action="store_true", help="write models/README.md")
    parser.add_argument(
        "--results", type=Path, default=ROOT / "benchmarks" / "results" / "starting_models.jsonl"
    )
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    if args.report:
        write_report(args.results, ROOT / "models" / "README.md")
    elif args.kind is None:
        raise SystemExit("name a model: faces or drawn")
    elif args.out is not None:
        (train if args.model is None else export)(args)
    else:
        measure(args)


if __name__ == "__main__":
    main()
