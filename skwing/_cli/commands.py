"""Functions of the commands: each takes parsed arguments and returns an exit code."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from skwing._cli.formats import (
    FORMATS,
    Rounding,
    check_writing,
    read_landmarks,
    write_landmarks,
)
from skwing._cli.measure import Measure, print_errors, print_landmarks
from skwing._cli.pictures import displays, draw_landmarks, save
from skwing._cli.samples import (
    count_found,
    digitised,
    images_to_read,
    tell_missing,
    with_boxes,
)
from skwing._cli.training import hold_out, make_model, note_of_schema
from skwing._cli.words import count, say
from skwing._utils.files import check_target
from skwing._utils.unwrap import predictor_of, schema_of
from skwing.balance import PoseBalancer
from skwing.export import to_onnx
from skwing.persistence import describe_model, load_model, save_model

_A_PASS = 64  # images between two updates of the progress bar


def predict(args):
    """Run ``skwing predict``: predict landmarks, write them to a file and draw them."""
    out, rounding = args.out, Rounding(args.decimals, args.whole_pixels)
    if out is None and (args.to or not args.draw):
        out = f"landmarks{FORMATS[args.to or 'csv'].suffix}"
    if out is not None:
        form = check_writing(out, args.to, rounding)
        if args.all_faces and form.one_per_image:
            raise ValueError(f"--all-faces: the format of {out} has one sample for each image")
        if form.suffix:  # not a folder
            check_target(out)
    model = load_model(args.model)
    data, source = images_to_read(args)
    data, source, noun = with_boxes(data, source, model, args)
    points = _predict_all(model, data, args.skip_unreadable)
    found = np.flatnonzero(~np.isnan(points).all(axis=(1, 2)))
    tell_missing(data, noun)
    schema = schema_of(model, data)
    if out is not None:
        write_landmarks(out, data, points, {**source, "schema": schema}, args.to, rounding)
        say(f"landmarks of {count_found(data, points, noun)}: {out}")
    if args.draw:
        if not len(found):
            raise ValueError(f"no landmarks were found in any image; {args.draw} is not written")
        draw_landmarks(
            args.draw, data, y_pred=points, schema=schema, rows=found, n_most=args.draw_max
        )
    return 0 if len(found) == len(data) else 1


def train(args):
    """Run ``skwing train``: train a model on annotated images."""
    check_target(args.out)  # before training, not after
    dataset = read_landmarks(args.data, args.format, args.images, args.schema)
    usable = digitised(dataset, args.data, "nothing to train on")
    model = make_model(args, dataset)
    note_of_schema(model, dataset)
    data, target = dataset.data[usable], dataset.target[usable]
    kept, held_out = hold_out(data, args.hold_out, args.seed)
    model.fit(data[kept], target[kept])
    save_model(model, args.out)
    say(f"model trained on {_photographs(data[kept])}: {args.out}")
    if len(held_out):
        data, target = data[held_out], target[held_out]
        say(f"error on {_photographs(data)} held out:")
        points = _predict_all(model, data, skip=False)
        print_errors(target, points, data, Measure(schema=schema_of(model, data)))
    elif args.hold_out is None:
        say("no error is measured: there is only one photograph")
    return 0


def evaluate(args):
    """Run ``skwing evaluate``: print the errors of a model on annotated images."""
    model = load_model(args.model)
    dataset = read_landmarks(args.data, args.format, args.images, args.schema)
    rows = digitised(dataset, args.data, "nothing to measure")
    data, target = dataset.data[rows], dataset.target[rows]
    scales = dataset.scale[rows] if "scale" in dataset else None
    measure = Measure.of(args, model, data, scales)
    points = _predict_all(model, data, skip=False)
    errors = print_errors(target, points, data, measure)
    if args.landmarks:
        print_landmarks(target, points, data, measure)
    if args.draw:
        # All samples are passed, so that numbers in the picture are rows of the file.
        everything = np.full_like(dataset.target, np.nan)
        everything[rows] = points
        draw_landmarks(
            args.draw,
            dataset.data,
            dataset.target,
            everything,
            rows=rows[np.argsort(-errors, kind="stable")],
            n_most=args.draw_max,
            schema=measure.schema,
            normalizer=measure.normalizer if measure.unit is None else 1.0,
        )
    return 0


def convert(args):
    """Run ``skwing convert``: convert landmarks from one file format to another."""
    source, target = Path(args.source), Path(args.target)
    rounding = Rounding(args.decimals, args.whole_pixels)
    if target.exists() and source.samefile(target):
        raise ValueError(f"{target} is both SOURCE and TARGET; expected two different files")
    check_writing(target, args.to, rounding)  # raises an error before a long file is read
    dataset = read_landmarks(source, args.format, args.images, args.schema)
    write_landmarks(target, dataset.data, dataset.target, dataset, args.to, rounding)
    say(f"{count(len(dataset.data), 'samples')} of {dataset.target.shape[1]} landmarks: {target}")
    return 0


def export(args):
    """Run ``skwing export``: write a model to an ONNX file."""
    to_onnx(load_model(args.model), args.out)
    say(f"ONNX file: {args.out}")
    return 0


def plot(args):
    """Run ``skwing plot``: draw annotated images, errors or poses."""
    dataset = read_landmarks(args.data, args.format, args.images, args.schema)
    model = None if args.model is None else load_model(args.model)
    if args.kind == "landmarks":
        points = None if model is None else _predict_all(model, dataset.data, skip=False)
        schema = schema_of(model, dataset.data)
        draw_landmarks(
            args.out, dataset.data, dataset.target, points, schema=schema, n_most=args.draw_max
        )
        return 0
    display = displays()
    if args.kind == "errors":
        if model is None:
            raise ValueError("--kind errors requires --model")
        drawn = display.CumulativeErrorDisplay.from_estimator(model, dataset.data, dataset.target)
    else:
        balancer = PoseBalancer().fit(dataset.data, dataset.target)
        drawn = display.PoseHistogramDisplay.from_estimator(balancer, dataset.data)
    save(drawn, args.out)
    return 0


def describe(args):
    """Run ``skwing describe``: print the metadata of a model file."""
    for name, value in describe_model(args.model).items():
        print(f"{name}: {value}")
    return 0


def _photographs(data):
    """Numbers of photographs and samples in words."""
    n_photographs = len(data.by_image())
    return f"{count(n_photographs, 'photographs')} ({count(len(data), 'samples')})"


def _predict_all(model, data, skip):
    """Predict the landmarks of all images, NaN without a box; a progress bar if there are many."""
    on_error = {"on_error": "skip"} if skip else {}
    rows = np.flatnonzero(~data.missing_boxes)
    points = np.full((len(data), predictor_of(model).n_landmarks_, 2), np.nan)
    starts = range(0, len(rows), _A_PASS)
    for start in tqdm(starts, disable=len(starts) < 2, unit_scale=_A_PASS, unit=" images"):
        part = rows[start : start + _A_PASS]
        points[part] = model.predict(data[part], **on_error).reshape(len(part), -1, 2)
    return points
