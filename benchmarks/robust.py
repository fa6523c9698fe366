"""Turned faces, poor boxes, and the confidence of predictions.

    python benchmarks/robust.py --data DIR
    python benchmarks/robust.py --data DIR --model fold1.safetensors
    python benchmarks/robust.py --data DIR --model models/faces.safetensors --test aflw
    python benchmarks/robust.py --data DIR --objects wings --n-train 43 --epochs 60 150 80

The default regressor is trained on a fold of 300-W (see `_gpu_data.py`) or on ``--n-train`` other
objects (see `_few_data.py`), or loaded from a model file that was trained on them; ``--once``
sets ``average_mirrored=False``. The test faces of the fold, with ``--test aflw`` every sixth of
the faces of AFLW with 68 landmarks (`_folds.py`), or the rest of the other objects, are predicted
in four versions: as they are, turned by up to 180 degrees about the centre of their boxes, with
boxes that are moved by up to 20 % of their side and scaled by 0.7 to 1.4, and with both changes;
with and without repeated predictions (`retry`). Errors are in percent of the distance between the
pupils, or for other objects of the size of the shape. Then half of the photographs calibrate the
confidence, which is measured on all versions of the other half. The shares of right predictions
are compared with the mean confidence in five ranges.
"""

import argparse
import time
from pathlib import Path

import cv2
import numpy as np
from _errors import sample_errors
from _few_data import OBJECTS, load_objects
from _folds import Source, aflw_test_rows, load_faces
from _gpu_data import FOLD, load_split
from _report import add_out, append, environment
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline

from skwing import CascadeLandmarkRegressor, PoseBalancer, load_model
from skwing._prediction.certainty import relative_errors
from skwing.images import BoxedImages, concatenate

LOST = 10.0  # error in percent
SHIFT, SCALE = 0.2, (0.7, 1.4)
RANGES = (0, 0.2, 0.4, 0.6, 0.8, 1)
TINY = {"networks": ("cnn6",), "max_epochs": 1}


def turned(image, box, points, degrees):
    """Turn an image about the centre of a box; the border is replicated."""
    center = box[:2] + box[2:] / 2 - 0.5
    matrix = cv2.getRotationMatrix2D(tuple(map(float, center)), degrees, 1.0)
    height, width = image.shape[:2]
    corners = np.array([[0, 0], [width, 0], [0, height], [width, height]], dtype=np.float64)
    corners = corners @ matrix[:, :2].T + matrix[:, 2]
    matrix[:, 2] -= corners.min(0)
    size = np.ceil(np.ptp(corners, axis=0)).astype(int)
    image = cv2.warpAffine(
        image, matrix, tuple(map(int, size)), flags=cv2.INTER_AREA, borderMode=cv2.BORDER_REPLICATE
    )
    center = matrix[:, :2] @ center + matrix[:, 2]
    box = np.array([*(center - box[2:] / 2 + 0.5), *box[2:]])
    return image, box, points @ matrix[:, :2].T + matrix[:, 2]


def misplaced(box, rng):
    """Move and scale a box."""
    middle = box[:2] + box[2:] / 2 + rng.uniform(-SHIFT, SHIFT, 2) * box[2:].max()
    sides = box[2:] * np.exp(rng.uniform(*np.log(SCALE)))
    return np.array([*(middle - sides / 2), *sides])


def version(data, target, seed, *, turn, move):
    """Images, boxes and landmarks with changes."""
    rng, images, boxes, points = np.random.RandomState(seed), [], [], []
    for i in range(len(data)):
        one = data.decode(i), np.array(data.boxes[i], dtype=np.float64), target[i]
        if turn:
            one = turned(*one, rng.uniform(-180, 180))
        images.append(one[0])
        boxes.append(misplaced(one[1], rng) if move else one[1])
        points.append(one[2])
    return BoxedImages(images, np.array(boxes), schema=data.schema), np.array(points)


VERSIONS = {
    "as they are": {"turn": False, "move": False},
    "turned": {"turn": True, "move": False},
    "poor boxes": {"turn": False, "move": True},
    "both": {"turn": True, "move": True},
}


def trained(args):
    """The regressor to measure."""
    average = {"average_mirrored": False} if args.once else {}
    if args.model is not None:
        return load_model(args.model).set_params(device=args.device, **average)
    settings = {"max_epochs": tuple(args.epochs)} if args.epochs else {}
    settings |= (TINY if args.tiny else {}) | average
    regressor = CascadeLandmarkRegressor(
        random_state=0, device=args.device, verbose=args.verbose, **settings
    )
    if args.objects != "faces68":
        found = other_objects(args)
        rows = found.train[: 20 if args.tiny else None]
        return regressor.set_params(schema=found.schema).fit(found.data[rows], found.target[rows])
    split = load_split(args.data, args.tiny, args.fold)
    rows = split.rows["few"]
    make_pipeline(PoseBalancer(), regressor).fit(split.faces.data[rows], split.faces.target[rows])
    return regressor


def other_objects(args):
    """Other objects than faces, with the whole images as boxes if there are none."""
    found = load_objects(args.objects, args.data, args.n_train, args.draw, args.fold, args.tiny)
    if np.isnan(found.data.boxes).any():
        images = [found.data.decode(i) for i in range(len(found.data))]
        boxes = np.array([[0, 0, image.shape[1], image.shape[0]] for image in images], dtype=float)
        found.data = BoxedImages(images, boxes)
    return found


def tested(args):
    """Test samples: data, target, and groups by photograph."""
    if args.objects != "faces68":
        found = other_objects(args)
        rows = found.test[:: 20 if args.tiny else 1]
        return found.data[rows], found.target[rows], rows
    if args.test == "aflw":
        faces = load_faces(Source(args.data, "turned"))
        rows = aflw_test_rows(faces)
        pupils = faces.target[rows][:, 36:48]  # the errors are relative to their distance
        rows = rows[np.isfinite(pupils).all((1, 2))][:: 20 if args.tiny else 1]
        return faces.data[rows], faces.target[rows], faces.groups[rows]
    split = load_split(args.data, args.tiny, args.fold)
    groups = split.faces.get("groups", np.arange(len(split.faces.target)))
    return split.faces.data[split.test], split.faces.target[split.test], groups[split.test]


def percent(points, y, unit):
    """Errors in percent of the distance between the pupils, or of the size of the shape."""
    if unit == "pupil":
        return sample_errors(y, points)["pupil"]
    return 100 * relative_errors(points, y, np.full(len(y), np.nan))


def errors_of(regressor, X, y, unit):
    """Errors in percent, and seconds of wall-clock and processor time."""
    start = np.array([time.perf_counter(), time.process_time()])
    points = regressor.predict(X)
    seconds = np.array([time.perf_counter(), time.process_time()]) - start
    return percent(points, y, unit), seconds


def measure_errors(regressor, faces, unit):
    """Errors of all versions, with and without repeated predictions."""
    rows = {}
    for name, (X, y) in faces.items():
        off, seconds_off = errors_of(regressor.set_params(retry=False), X, y, unit)
        on, seconds_on = errors_of(regressor.set_params(retry=True), X, y, unit)
        rows[name] = {
            f"nme_{unit}": round(on.mean(), 3),
            f"nme_{unit}_without": round(off.mean(), 3),
            f"median_{unit}": round(float(np.median(on)), 3),
            "lost": round(100 * (on > LOST).mean(), 2),
            "lost_without": round(100 * (off > LOST).mean(), 2),
            "seconds_ratio": round(seconds_on[0] / seconds_off[0], 3),
            "processor_ratio": round(seconds_on[1] / seconds_off[1], 3),
        }
        print(f"{name}: {rows[name]}", flush=True)
    return rows


def measure_confidence(regressor, faces, half, unit):
    """Area under the ROC curve and calibration, on the other half of the photographs."""
    X, y = faces["as they are"]
    regressor.calibrate(X[half], y[half])
    X = concatenate([X[~half] for X, _ in faces.values()])
    y = np.concatenate([y[~half] for _, y in faces.values()])
    points, confidence = regressor.predict(X, return_confidence=True)
    lost = percent(points, y, unit) > LOST
    right = relative_errors(points, y, np.full(len(y), np.nan)) < 0.1
    bins = np.digitize(confidence, RANGES[1:-1])
    table = [
        {
            "from": RANGES[i],
            "n": int((bins == i).sum()),
            "confidence": round(float(confidence[bins == i].mean()), 3),
            "right": round(float(right[bins == i].mean()), 3),
        }
        for i in range(len(RANGES) - 1)
        if (bins == i).any()
    ]
    row = {
        "n": len(y),
        "auc_lost": round(roc_auc_score(lost, -confidence), 4) if 0 < lost.mean() < 1 else None,
        "mean_confidence": round(float(confidence.mean()), 4),
        "share_right": round(float(right.mean()), 4),
        "calibration": table,
    }
    print(row, flush=True)
    return row


def parse(argv=None):
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", help="folder that contains 300w; without it, generated faces")
    parser.add_argument("--model", type=Path, help="model trained on the fold, instead of a fit")
    parser.add_argument("--fold", type=int, default=FOLD)
    parser.add_argument("--test", choices=("fold", "aflw"), default="fold", help="test faces")
    parser.add_argument("--objects", default="faces68", choices=list(OBJECTS))
    parser.add_argument("--n-train", type=int, help="other objects to train on")
    parser.add_argument("--draw", type=int, default=0, help="seed of the choice of other objects")
    parser.add_argument("--epochs", nargs="+", type=int, help="of each stage; by default, auto")
    parser.add_argument("--once", action="store_true", help="do not average over mirror images")
    parser.add_argument("--versions", nargs="+", choices=VERSIONS, default=list(VERSIONS))
    parser.add_argument("--device", default="auto")
    parser.add_argument("--verbose", type=int, default=1)
    parser.add_argument("--tiny", action="store_true", help="few faces and one epoch")
    add_out(parser, "robust")
    args = parser.parse_args(argv)
    if args.objects != "faces68" and args.n_train is None:
        parser.error("pass --n-train with --objects")
    return args


def main(argv=None):
    """Run the benchmark."""
    args = parse(argv)
    regressor = trained(args)
    X, y, groups = tested(args)
    unit = "pupil" if args.objects == "faces68" else "size"
    faces = {name: version(X, y, 0, **VERSIONS[name]) for name in args.versions}
    half = np.isin(groups, np.unique(groups)[::2])
    errors = measure_errors(regressor, faces, unit)
    calibrates = "as they are" in faces and (unit == "pupil" or half.sum() >= 10)
    row = {
        **environment(args.device if args.device != "auto" else "cpu"),
        "objects": args.objects,
        "once": args.once,
        "fold": args.fold if args.test == "fold" and unit == "pupil" else None,
        "test": args.test if unit == "pupil" else args.draw,
        "n_test": len(y),
        "errors": errors,
        "confidence": measure_confidence(regressor, faces, half, unit) if calibrates else None,
    }
    append(row, args.out)


if __name__ == "__main__":
    main()
