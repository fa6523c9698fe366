"""Milliseconds from an image and a box to landmarks on one core: skwing and dlib.

    python benchmarks/latency.py
    python benchmarks/latency.py --data 300w --fold 1 --model fold1.safetensors --dlib fold1.dat
    python benchmarks/latency.py --model fast.safetensors --against default.safetensors

Rows: dlib's shape predictor (`pip install dlib`), `predict` of skwing by PyTorch, and
`OnnxLocalizer` with ONNX Runtime and OpenVINO, for files of float32 and int8. "Two looks" average
the predictions for a crop and its mirror image, "one look" is ``average_mirrored=False``; doubtful
predictions are not repeated (``retry=False``). Files of int8 are calibrated on training faces of
dlib. ``--files`` is a folder in which ONNX files are kept; those that exist are not written again.
OpenVINO computes faces one after the other.

Each row runs in processes of its own, on the same core, in turn with the others. Times are
processor time, so that other programs on the core hardly change them, and medians over the
rounds. Images are decoded before; the chip, or the grey image of dlib, is included. Memory is
what the process has after importing, loading and one prediction, less that of Python and NumPy.

With ``--against``, the first model is compared to another one instead: both in one process, in
turn in each round, by the same engine, one by one. dlib and the errors are left out.

Faces are generated, and different from those that `models/drawn.safetensors` was trained on; with
``--data``, they are a fold of 300-W (see `_folds.py`). A model for ``--model`` must not be trained
on them: without it, `models/faces.safetensors` is measured, which was trained on all of 300-W, and
no error is stated. dlib is trained with its defaults on ``--n-train`` generated faces, or on the
faces of the other folds, and stored in the file of ``--dlib``, or read from it if it exists. The
size and time of its model do not depend on the number of faces.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import warnings
from importlib.util import find_spec
from pathlib import Path

import _latency_pair
import numpy as np
import torch
from _errors import summarize
from _folds import Source, load_faces, make_folds
from _report import add_out, append, environment, show_environment
from peers import DLIB, train_dlib
from starting_models import DRAWN

from skwing import load_model
from skwing.datasets import make_faces
from skwing.exceptions import NoticeWarning
from skwing.export import to_onnx

ROOT = Path(__file__).parent.parent
SEED = 100_000  # of generated faces; the models of the folder models/ have seen much lower ones
LOOKS = {True: "two looks", False: "one look"}
ENGINES = {"onnxruntime": "ONNX Runtime", "openvino": "OpenVINO"}
PRECISIONS = ("float32", "int8")
N_CALIBRATION = 200  # training faces of dlib that determine the ranges of int8
AROUND = 1.0  # margin of the images, as a fraction of the longer side of the box


def chosen_faces(args):
    """Test faces, training faces of dlib, and what they are."""
    if args.data is None:
        train = make_faces(args.n_train, random_state=SEED, **DRAWN)
        test = make_faces(args.n_test, random_state=SEED + 1, **DRAWN)
        return test, train, "generated"
    source = Source(args.data)
    faces = load_faces(source)
    train, test = make_folds(faces, source)[args.fold]
    test = test[:: max(1, len(test) // args.n_test)][: args.n_test]
    parts = [{"data": faces.data[rows], "target": faces.target[rows]} for rows in (test, train)]
    return *(type(faces)(**part) for part in parts), f"300-W, fold {args.fold}"


def write_faces(faces, path):
    """Write images around the boxes to a file, and return the landmarks in these images."""
    arrays, points, boxes = {}, faces.target.copy(), faces.data.boxes.copy()
    for i, (x, y, width, height) in enumerate(faces.data.boxes):
        pad = AROUND * max(width, height)
        left, top = max(int(x - pad), 0), max(int(y - pad), 0)
        part = faces.data.decode(i)[top : int(y + height + pad), left : int(x + width + pad)]
        arrays[f"image{i}"] = np.ascontiguousarray(part)
        points[i] -= left, top
        boxes[i, :2] -= left, top
    np.savez(path, boxes=boxes, **arrays)
    return points


def dlib_file(args, train, folder):
    """File of a shape predictor of dlib, and the number of faces that it was trained on."""
    path = args.dlib or folder / "dlib.dat"
    if path.is_file():
        return path, None
    print(f"training dlib on {len(train.data)} faces", flush=True)
    settings = DLIB | {"mirror": False, "scale": 1}
    train_dlib(train.data, train.target, settings, 0, os.cpu_count()).save(str(path))
    return path, len(train.data)


def contenders(args, train, folder):
    """Rows of the table, without results, and the reasons for missing ones."""
    rows, missing = [], []
    if find_spec("dlib") is None:
        missing.append("dlib: not installed (pip install dlib)")
    else:
        path, n_train = dlib_file(args, train, folder)
        rows.append(_row("dlib", "dlib", path, {"path": str(path)}, n_train=n_train))
    absent = [name for name in ENGINES if find_spec(name) is None]
    missing += [f"{ENGINES[name]}: not installed (pip install {name})" for name in absent]
    for name, library, path, options in predictors(args.model, args, train, folder):
        rows.append(_row(name, library, path, options))
    return rows, missing


def predictors(path, args, train, folder):
    """Name, library, file and options of each predictor of a model; writes the ONNX files."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoticeWarning)
        model = load_model(path).set_params(device="cpu")
    installed = [engine for engine in ENGINES if find_spec(engine) is not None]
    calibration = train.data[:: max(1, len(train.data) // N_CALIBRATION)]
    for average, looks in LOOKS.items():
        if looks not in args.looks:
            continue
        options = {"path": str(path), "average_mirrored": average}
        yield f"skwing, PyTorch, {looks}", "torch", path, options
        model.set_params(average_mirrored=average)
        for precision in PRECISIONS:
            file = (args.files or folder) / f"{path.stem} {looks} {precision}.onnx"
            own = {} if precision == "float32" else {"calibration": calibration}
            if not file.is_file():
                to_onnx(model, file, precision=precision, **own)
            for engine in installed:
                options = {"path": str(file), "engine": engine}
                yield f"skwing, {ENGINES[engine]} {precision}, {looks}", engine, file, options


def _row(name, library, path, options, **more):
    return {"name": name, "library": library, "disk_mb": path.stat().st_size / 1e6} | {
        "options": options,
        **more,
    }


def _kind(library):
    """Kind of predictor, see `_latency_child.KINDS`."""
    return library if library in ("dlib", "torch") else "onnx"


def run_child(row, folder, n_repeats, with_errors):
    """Results of a row in a process of its own, which writes the landmarks for errors."""
    kind = _kind(row["library"])
    points = str(folder / "points.npy") if with_errors else None
    task = {key: row[key] for key in ("library", "options")}
    task |= {"kind": kind, "n_repeats": n_repeats, "points": points}
    task |= {"faces": str(folder / "faces.npz")}
    command = [sys.executable, str(Path(__file__).with_name("_latency_child.py")), json.dumps(task)]
    paths = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    settings = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": paths}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=settings)
    return json.loads(done.stdout.splitlines()[-1])


def measure(rows, folder, target, args):
    """Fill in the results: medians over the rounds."""
    found = {row["name"]: [] for row in rows}
    for number in range(args.rounds):
        for row in rows:
            # The errors are the same in each round.
            with_errors = args.states_errors and number == 0
            found[row["name"]].append(run_child(row, folder, args.repeats, with_errors))
            if with_errors:
                row["errors"] = summarize(target, np.load(folder / "points.npy"))
    for row in rows:
        of_rounds = found[row["name"]]
        for key in of_rounds[0]:
            values = [told[key] for told in of_rounds]
            row[key] = None if None in values else float(np.median(values))
        del row["options"]


def measure_pair(args, train, folder):
    """Results of the model relative to that of ``--against``, for each engine."""
    torch.set_num_threads(1)
    both = [list(predictors(path, args, train, folder)) for path in (args.model, args.against)]
    rows = []
    for (name, library, _, own), (*_, other) in zip(*both, strict=True):
        faces = folder / "faces.npz"
        rows.append(_latency_pair.compare(name, _kind(library), (own, other), faces, args.rounds))
    return rows


def show(rows, missing):
    """Print the table, in Markdown; times relative to the first row too."""
    print(
        "| | ms a face, one by one | batches of 64 | relative, one by one | file, MB | memory, MB "
        "| import, s | inter-pupil | inter-ocular |\n" + "|---" * 9 + "|"
    )
    for row in rows:
        memory = "" if row["memory_mb"] is None else f"{row['memory_mb']:.0f}"
        errors = row.get("errors")
        told = (
            [f"{errors[key]:.2f} %" for key in ("nme_pupil", "nme_ocular")] if errors else [""] * 2
        )
        cells = (
            row["name"],
            *(f"{row[key]:.2f}" for key in ("ms_1", "ms_64")),
            f"{row['ms_1'] / rows[0]['ms_1']:.1f}",
            f"{row['disk_mb']:.1f}",
            memory,
            f"{row['import_cpu_seconds']:.2f}",
            *told,
        )
        print(f"| {' | '.join(cells)} |")
    for reason in missing:
        print(f"left out: {reason}")


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder of 300-W; by default, faces are generated")
    parser.add_argument("--fold", type=int, default=0, help="fold of 300-W for the test")
    parser.add_argument("--model", type=Path, help="model file that has not seen the test faces")
    parser.add_argument("--against", type=Path, help="compare to this model instead of dlib")
    parser.add_argument("--dlib", type=Path, help="file of a shape predictor; written if missing")
    parser.add_argument("--files", type=Path, help="folder in which to keep the ONNX files")
    parser.add_argument("--n-train", type=int, default=300, help="generated faces for dlib")
    parser.add_argument("--n-test", type=int, default=200, help="faces for the errors")
    parser.add_argument("--looks", nargs="+", default=[*LOOKS.values()], choices=[*LOOKS.values()])
    parser.add_argument("--rounds", type=int, default=3, help="processes of each row")
    parser.add_argument("--repeats", type=int, default=3, help="repeats in a process")
    parser.add_argument("--core", type=int, help="core to use; by default, the first available")
    add_out(parser, "latency")
    args = parser.parse_args(argv)
    if args.against is not None and (args.model is None or args.model.stem == args.against.stem):
        parser.error("--against needs --model, a file of another name")
    args.states_errors = args.model is not None or args.data is None
    if args.model is None:
        args.model = ROOT / "models" / f"{'drawn' if args.data is None else 'faces'}.safetensors"
    return args


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    told = environment() | {"model": args.model.name, "rounds": args.rounds}
    show_environment(told)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        test, train, told["faces"] = chosen_faces(args)
        target = write_faces(test, folder / "faces.npz")
        print(f"{told['faces']}: {len(target)} faces")
        if args.against is not None:
            with one_core(args.core):
                rows = measure_pair(args, train, folder)
            models = args.model.stem, args.against.stem
            _latency_pair.show(rows, models)
            found = {"against": args.against.name, "rows": rows}
        else:
            rows, missing = contenders(args, train, folder)
            with one_core(args.core):
                measure(rows, folder, target, args)
            show(rows, missing)
            found = {"rows": rows, "left_out": missing}
    append(told | {"n_test": len(target)} | found, args.out)


@contextlib.contextmanager
def one_core(core):
    """Context manager in which this process, and those that it starts, use one core."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before) if core is None else core})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


if __name__ == "__main__":
    main()
