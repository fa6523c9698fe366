"""Functions of the commands: each takes parsed arguments and returns an exit code."""

import ast
import io
import sys
from pathlib import Path

import numpy as np
from sklearn.pipeline import make_pipeline
from tqdm import tqdm

from skwing._cli.formats import (
    FORMATS,
    IMAGE_SUFFIXES,
    find_format,
    find_images,
    read_landmarks,
    write_landmarks,
)
from skwing._utils.files import check_target, write_bytes
from skwing._utils.optional import import_optional
from skwing._utils.unwrap import predictor_of, schema_of
from skwing.balance import PoseBalancer
from skwing.cascade import CascadeLandmarkRegressor
from skwing.detection import SkimageCascade, YuNet, detect_boxes
from skwing.export import to_onnx
from skwing.images import BoxedImages
from skwing.metrics import (
    ced_auc,
    check_measurable,
    failure_rate,
    landmark_report,
    nme,
    with_boxes_only,
)
from skwing.persistence import describe_model, load_model, save_model

_A_PASS = 64  # images between two updates of the progress bar
_N_SHOWN = 12


def predict(args):
    """Run ``skwing predict``: predict landmarks, write them to a file and draw them."""
    out = args.out
    if out is None and (args.to or not args.draw):
        out = f"landmarks{FORMATS[args.to or 'csv'].suffix}"
    if out is not None and find_format(out, args.to).suffix:  # not a folder
        check_target(out)
    model = load_model(args.model)
    data, source = _images_to_read(args)
    data = _with_boxes(data, model, args)
    points = _predict_all(model, data, args.skip_unreadable)
    if out is not None:
        write_landmarks(out, data, points, source, args.to)
        _say(f"landmarks of {len(data)} images: {out}")
    if args.draw:
        found = ~np.isnan(points).all(axis=(1, 2))
        if not found.any():
            raise ValueError(f"no landmarks were found in any image; {args.draw} is not written")
        _draw_landmarks(args.draw, data[found], y_pred=points[found], schema=schema_of(model, data))
    return 0 if not np.isnan(points).all(axis=(1, 2)).any() else 1


def train(args):
    """Run ``skwing train``: train a model on annotated images."""
    check_target(args.out)  # before training, not after
    dataset = read_landmarks(args.data, args.format, args.images, args.schema)
    settings = {
        "random_state": args.seed,
        "device": args.device,
        "verbose": 0 if args.quiet else 1,
        **dict(map(_setting, args.set)),
    }
    if args.epochs is not None:
        settings["max_epochs"] = tuple(args.epochs) if len(args.epochs) > 1 else args.epochs[0]
    model = CascadeLandmarkRegressor().set_params(**settings)
    if args.balance:
        model = make_pipeline(PoseBalancer(), model)
    X, y = _labelled(dataset)
    kept, held_out = _hold_out(X, args.hold_out, args.seed)
    model.fit(X[kept], y[kept])
    save_model(model, args.out)
    _say(f"model trained on {len(kept)} samples: {args.out}")
    if len(held_out):
        data, target = with_boxes_only(X[held_out], y[held_out])
        _say(f"error on {len(held_out)} held-out samples:")
        _print_errors(target, model.predict(data), model, data, "auto")
    return 0


def evaluate(args):
    """Run ``skwing evaluate``: print the errors of a model on annotated images."""
    model = load_model(args.model)
    dataset = read_landmarks(args.data, args.format, args.images, args.schema)
    dataset.data, dataset.target = with_boxes_only(dataset.data, dataset.target)
    points = _predict_all(model, dataset.data, skip=False)
    _print_errors(dataset.target, points, model, dataset.data, args.normalizer)
    schema = schema_of(model, dataset.data)
    if args.landmarks:
        boxes = dataset.data.boxes if dataset.data.has_boxes else None
        told = {"normalizer": args.normalizer, "schema": schema, "boxes": boxes}
        print(f"\n{landmark_report(dataset.target, points, **told)}")
    if args.draw:
        _draw_landmarks(args.draw, dataset.data, dataset.target, points, schema)
    return 0


def convert(args):
    """Run ``skwing convert``: convert landmarks from one file format to another."""
    source, target = Path(args.source), Path(args.target)
    if target.exists() and source.samefile(target):
        raise ValueError(f"{target} is both SOURCE and TARGET; expected two different files")
    find_format(target, args.to)  # raises an error before a long file is read
    dataset = read_landmarks(source, args.format, args.images, args.schema)
    write_landmarks(target, dataset.data, dataset.target, dataset, args.to)
    _say(f"{len(dataset.data)} samples of {dataset.target.shape[1]} landmarks: {target}")
    return 0


def export(args):
    """Run ``skwing export``: write a model to an ONNX file."""
    to_onnx(load_model(args.model), args.out)
    _say(f"ONNX file: {args.out}")
    return 0


def plot(args):
    """Run ``skwing plot``: draw annotated images, errors or poses."""
    dataset = read_landmarks(args.data, args.format, args.images, args.schema)
    model = None if args.model is None else load_model(args.model)
    if args.kind == "landmarks":
        points = None if model is None else _predict_all(model, dataset.data, skip=False)
        schema = schema_of(model, dataset.data)
        _draw_landmarks(args.out, dataset.data, dataset.target, points, schema)
        return 0
    display = _displays()
    if args.kind == "errors":
        if model is None:
            raise ValueError("--kind errors requires --model")
        drawn = display.CumulativeErrorDisplay.from_estimator(model, dataset.data, dataset.target)
    else:
        balancer = PoseBalancer().fit(dataset.data, dataset.target)
        drawn = display.PoseHistogramDisplay.from_estimator(balancer, dataset.data)
    _save(drawn, args.out)
    return 0


def describe(args):
    """Run ``skwing describe``: print the metadata of a model file."""
    for name, value in describe_model(args.model).items():
        print(f"{name}: {value}")
    return 0


def _say(text):
    print(text, file=sys.stderr)


def _setting(text):
    """Parse ``name=value``; values that are not Python literals are strings."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set expects name=value, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _images_to_read(args):
    """Images to predict, and their data set if they are read from an annotation file, else {}."""
    first = Path(args.images[0])
    is_file = first.is_file() and first.suffix.lower() not in IMAGE_SUFFIXES
    if len(args.images) == 1 and (args.format or is_file):
        dataset = read_landmarks(first, args.format)
        return dataset.data, dataset
    return BoxedImages(find_images(args.images)), {}


def _with_boxes(data, model, args):
    """Images with their own boxes, detected boxes, or none, as the model requires."""
    if args.whole:
        return data.with_boxes(None)
    was_boxed = getattr(predictor_of(model), "box_relation_", None) is not None
    if data.has_boxes or not (was_boxed or args.yunet):
        return data
    detector = YuNet(args.yunet) if args.yunet else SkimageCascade()
    _say(f"detecting faces with {type(detector).__name__}: the model was trained with boxes")
    found = detect_boxes(data, detector, verbose=not args.quiet)
    return data.with_boxes(found.boxes)


def _predict_all(model, data, skip):
    """Predict the landmarks of all images, with a progress bar if there are many."""
    on_error = {"on_error": "skip"} if skip else {}
    starts = range(0, len(data), _A_PASS)
    parts = []
    for start in tqdm(starts, disable=len(starts) < 2, unit_scale=_A_PASS, unit=" images"):
        parts.append(_as_points(model.predict(data[start : start + _A_PASS], **on_error)))
    return np.concatenate(parts)


def _as_points(points):
    return points.reshape(len(points), -1, 2)


def _labelled(dataset):
    """Images and landmarks of the samples with any known landmark."""
    todo = np.isnan(dataset.target).any(-1).all(-1)
    if todo.any() and not todo.all():
        _say(f"{todo.sum()} of {len(todo)} samples have no known landmark and are left out")
        return dataset.data[~todo], dataset.target[~todo]
    return dataset.data, dataset.target


def _hold_out(data, fraction, seed):
    """Indices of training and held-out samples; samples of one image stay together."""
    images = data.by_image()
    n_images = round(fraction * len(images))
    if fraction > 0 and not 0 < n_images < len(images):
        raise ValueError(
            f"--hold-out {fraction} of {len(images)} images leaves no image to train on or none to "
            "hold out; use another fraction, or 0 to train on all images"
        )
    order = np.random.default_rng(seed).permutation(len(images))
    parts = [images[i] for i in order]
    held_out = np.concatenate([*parts[:n_images], np.empty(0, int)]).astype(int)
    return np.setdiff1d(np.arange(len(data)), held_out), np.sort(held_out)


def _print_errors(true, points, model, data, normalizer):
    """Print statistics of the normalised errors, in percent."""
    schema = schema_of(model, data)
    boxes = data.boxes if data.has_boxes else None
    errors = nme(
        true,
        _as_points(points),
        normalizer=normalizer,
        schema=schema,
        boxes=boxes,
        per_sample=True,
    )
    known = errors[check_measurable(errors, "samples")]
    print(f"samples                      {len(known):8d} of {len(errors)}")
    print(f"mean error (NME)             {100 * known.mean():8.2f} %")
    print(f"median error                 {100 * np.median(known):8.2f} %")
    print(f"95 % of samples are below    {100 * np.quantile(known, 0.95):8.2f} %")
    print(f"samples above 10 %           {100 * failure_rate(known, 0.1):8.2f} %")
    print(f"area under the curve to 10 % {100 * ced_auc(known, 0.1):8.2f} %")


def _displays():
    """Import :mod:`skwing.display` with a matplotlib backend that opens no window."""
    import_optional("matplotlib", "a picture", "plot").use("Agg")
    from skwing import display

    return display


def _draw_landmarks(path, data, y_true=None, y_pred=None, schema=None):
    """Draw the first 12 images, or those with the largest errors if there are true landmarks."""
    display = _displays().LandmarkDisplay.from_predictions(
        data, y_true, y_pred, n_images=_N_SHOWN, schema=schema
    )
    _save(display, path)


def _save(display, path):
    """Save the figure of a display; the suffix determines the format."""
    suffix, picture = Path(path).suffix, io.BytesIO()
    formats = display.figure_.canvas.get_supported_filetypes()
    if suffix[1:].lower() not in formats:
        raise ValueError(
            f"{path}: pictures cannot be written as {suffix!r}; expected one of "
            f"{', '.join(formats)}"
        )
    display.figure_.canvas.print_figure(picture, dpi=150, format=suffix[1:].lower())
    write_bytes(path, picture.getvalue())
    _say(f"picture: {path}")
