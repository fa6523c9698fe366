"""Compare a model with its exported files, on faces that it was not trained on.

    python benchmarks/model_files.py --data youtube_faces
    python benchmarks/model_files.py --data DIR --faces aflw
    python benchmarks/model_files.py --data DIR --faces aflw --model old.safetensors --onnx

Faces are frames of YouTube Faces, evenly spaced over persons and videos, or every sixth of the
faces of AFLW with 68 landmarks, of all yaws, for which nothing was chosen (`_folds.py`). Rows:
`predict` with its defaults, without repeated predictions (``retry=False``), with one look as well
(``average_mirrored=False``), and each ONNX file with ONNX Runtime. Errors are in percent of the
distance between the pupils, where they are known, and of the landmark bounding box. Landmarks
"moved" are compared with the row "one attempt", in pixels; the difference of the errors is given
with its standard error over the faces. Times are processor time, relative to "one attempt".
"""

import argparse
import time
from pathlib import Path

import numpy as np
from _errors import sample_errors
from _folds import Source, aflw_test_rows, load_faces
from _report import add_out, append, environment
from starting_models import load_quietly

from skwing.datasets import make_faces
from skwing.runtime import OnnxLocalizer

MODELS = Path(__file__).parent.parent / "models"
FIRST = "one attempt"
WAYS = {
    FIRST: {"retry": False},
    "predict": {},
    "one look": {"retry": False, "average_mirrored": False},
}


def load_tested(args):
    """Images with boxes, and landmarks."""
    if args.data is None:
        faces = make_faces(6, random_state=0)
        return faces.data, faces.target
    if args.faces == "youtube":
        faces = load_faces(Source(args.data, "youtube"))
        rows = np.linspace(0, len(faces.target) - 1, args.n_faces).astype(int)
    else:
        faces = load_faces(Source(args.data, "turned"))
        rows = aflw_test_rows(faces)
    return faces.data[rows], faces.target[rows]


def all_predictions(args, X):
    """Landmarks and processor time of each way to predict, by name."""
    model = load_quietly(args.model).set_params(device="cpu")
    ways = {}
    for name, params in WAYS.items():
        own = {"retry": True, "average_mirrored": True, **params}
        ways[name] = _timed(lambda own=own: model.set_params(**own).predict(X))
    images = [X.decode(i) for i in range(len(X))]
    for path in args.onnx:
        localizer = OnnxLocalizer(path)
        ways[path.name] = _timed(lambda own=localizer: own.predict(images, X.boxes))
    return ways


def _timed(predict):
    start = time.process_time()
    return predict(), time.process_time() - start


def compare(true, ways):
    """Errors of each way, and what it changes."""
    first, seconds_first = ways[FIRST]
    errors_first = sample_errors(true, first)
    rows = {}
    for name, (points, seconds) in ways.items():
        errors = sample_errors(true, points)
        row = {"n": len(true), "n_pupil": int(np.isfinite(errors["pupil"]).sum())}
        for by in ("pupil", "box"):
            change = errors[by] - errors_first[by]
            change = change[np.isfinite(change)]
            row[f"nme_{by}"] = round(float(np.nanmean(errors[by])), 4)
            row[f"change_{by}"] = round(float(change.mean()), 4)
            row[f"standard_error_{by}"] = round(float(change.std() / np.sqrt(len(change))), 4)
        moved = np.linalg.norm(points - first, axis=-1)
        row["moved_mean"], row["moved_median"] = (
            round(float(of(moved)), 4) for of in (np.mean, np.median)
        )
        row["processor_ratio"] = round(seconds / seconds_first, 3)
        rows[name] = row
        print(f"{name}: {row}", flush=True)
    return rows


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder of the faces; without it, six generated faces")
    parser.add_argument("--faces", choices=("youtube", "aflw"), default="youtube")
    parser.add_argument("--n-faces", type=int, default=500, help="frames of YouTube Faces")
    parser.add_argument("--model", type=Path, default=MODELS / "faces.safetensors")
    parser.add_argument(
        "--onnx",
        type=Path,
        nargs="*",
        default=[MODELS / "faces.onnx", MODELS / "faces.int8.onnx"],
        help="exported files of the model",
    )
    add_out(parser, "model_files")
    return parser.parse_args(argv)


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    X, y = load_tested(args)
    told = {"model": args.model.name, "faces": "generated" if args.data is None else args.faces}
    ways = compare(y, all_predictions(args, X))
    append({**environment("cpu"), **told, "ways": ways}, args.out)


if __name__ == "__main__":
    main()
