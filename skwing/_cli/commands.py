"""Functions of the commands: each takes parsed arguments and returns an exit code."""

from pathlib import Path

import numpy as np
from tqdm import tqdm

from skwing import tracking
from skwing._cli.annotated import draw_worst, read_annotated, read_data
from skwing._cli.formats import FORMATS, Writing, find_format, warn_of_lost, write_landmarks
from skwing._cli.measure import Measure, columns_of, print_errors, print_landmarks
from skwing._cli.names import schema_to_write, table_columns
from skwing._cli.outputs import check_outputs, check_samples, check_writing
from skwing._cli.passes import predict_all
from skwing._cli.pictures import displays, draw_landmarks, save
from skwing._cli.samples import (
    count_found,
    detector_of,
    images_to_read,
    landmarks_to_keep,
    needs_detector,
    tell_missing,
    tell_unsure,
    with_boxes,
)
from skwing._cli.training import (
    can_calibrate,
    hold_out,
    make_model,
    note_of_schema,
    note_of_seen,
)
from skwing._cli.video import VIDEOS, about_video, open_table, open_video
from skwing._cli.words import count, say
from skwing._utils.unwrap import predictor_of, schema_of
from skwing._utils.warnings import warn_caller
from skwing.balance import PoseBalancer
from skwing.display._inputs import sample_errors
from skwing.export import to_onnx
from skwing.images import BoxedImages
from skwing.persistence import describe_model, load_model, save_model

NOT_BOXED = (
    "the model was trained without boxes, on whole images: it does not find its landmarks in the "
    "boxes of faces unless these images were cropped like them; train --detect gives samples boxes"
)


def predict(args):
    """Run ``skwing predict``: predict landmarks, write them to a file and draw them."""
    out, form = _output(args)
    asked = [("IMAGES", path) for path in args.images] + [("--model", args.model)]
    _check_replaced(args, out, form, asked)
    samples = images_to_read(args)
    _check_replaced(args, out, form, [("an image", path) for path in samples.data.paths])
    model = load_model(args.model)
    schema = schema_to_write(model, samples.data)
    if out is not None:
        _check_planned(args, out, _named(samples.data, schema, form), samples, model)
    kept = landmarks_to_keep(samples, model, args)
    samples = with_boxes(samples, model, args)
    data = samples.data
    points, confidence = predict_all(model, data, args.quiet, args.skip_unreadable, kept)
    found = np.flatnonzero(~np.isnan(points).all(axis=(1, 2)))
    tell_missing(samples)
    tell_unsure(samples, confidence)
    if out is not None:
        named, further = _named(data, schema, form), samples.further.for_other_landmarks()
        _write(out, named, points, further, args.to, _writing(args), boxes=False, names=False)
        say(f"landmarks of {count_found(samples, points)}: {out}")
    if args.draw:
        if not len(found):
            raise ValueError(f"no landmarks were found in any image; {args.draw} is not written")
        draw_landmarks(
            args.draw,
            data,
            y_pred=points,
            schema=schema,
            rows=found[np.argsort(confidence[found], kind="stable")],  # NaN last
            n_most=args.draw_max,
            confidence=None if np.isnan(confidence).all() else confidence,
        )
    return 0 if len(found) == len(data) else 1


def train(args):
    """Run ``skwing train``: train a model on annotated images."""
    check_outputs({"--out": args.out}, [("DATA", args.data)])  # before training, not after
    _check_needed(args, ("yunet",), "detect")
    samples = read_annotated(args, args.data, "nothing to train on")
    model = make_model(args, samples.dataset)
    note_of_schema(model, samples.dataset)
    samples = samples.with_detected(args)
    kept, held_out = hold_out(samples.data, args.hold_out, args.seed)
    data = samples.data[kept]
    model.fit(data, samples.target[kept])
    save_model(model, args.out)
    say(f"model trained on {_photographs(data)}: {args.out}")
    if len(held_out):
        data, target = samples.data[held_out], samples.target[held_out]
        say(f"error on {_photographs(data)} held out:")
        points, _ = predict_all(model, data, args.quiet)
        print_errors(target, points, data, Measure(schema=schema_of(model, data)))
        note_of_seen(model, data, target)
        if can_calibrate(target):
            predictor_of(model).calibrate(data, target)
            save_model(model, args.out)
            say("the held-out samples calibrated the model: predict names doubtful predictions")
    elif args.hold_out is None:
        say("no error is measured: there is only one photograph")
    return 0


def evaluate(args):
    """Run ``skwing evaluate``: print the errors of a model on annotated images."""
    inputs = [("DATA", args.data), ("--model", args.model)]
    check_outputs({}, inputs, {"--draw": args.draw})
    _check_needed(args, ("yunet",), "detect")
    model = load_model(args.model)
    samples = read_annotated(args, args.data, "nothing to measure", model).with_detected(args)
    data, target = samples.data, samples.target
    measure = Measure.of(args, model, data, columns_of(samples.dataset, samples.rows))
    points, _ = predict_all(model, data, args.quiet)
    errors = print_errors(target, points, data, measure)
    note_of_seen(model, data, target)
    if args.landmarks:
        print_landmarks(target, points, data, measure)
    if args.draw:
        draw_worst(
            args.draw,
            samples,
            points,
            errors,
            n_most=args.draw_max,
            schema=measure.schema,
            normalizer=measure.normalizer if measure.unit is None else 1.0,
        )
    return 0


def convert(args):
    """Run ``skwing convert``: convert landmarks from one file format to another."""
    source, target, writing = Path(args.source), Path(args.target), _writing(args)
    form = check_writing(target, args.to, writing)  # raises an error before a long file is read
    if form.suffix:
        check_outputs({"TARGET": target}, [("SOURCE", source)])
    elif target.exists() and source.samefile(target):
        raise ValueError(f"{target} is both SOURCE and TARGET; expected two different folders")
    dataset = read_data(args, source)
    data, points = dataset.data, dataset.target
    further = find_format(source, args.format).further(dataset)
    check_samples(target, data, points.shape[1], further, args.to, writing)
    _write(target, data, points, further, args.to, writing, names=args.schema is None)
    say(f"{count(len(data), 'samples')} of {points.shape[1]} landmarks: {target}")
    return 0


def track(args):
    """Run ``skwing track``: follow faces through a video; write a table and a video."""
    out = "landmarks.csv" if args.out is None and args.draw is None else args.out
    for name, path, suffixes in (("--out", out, (".csv",)), ("--draw", args.draw, tuple(VIDEOS))):
        if path is not None and Path(path).suffix.lower() not in suffixes:
            raise ValueError(f"{name} {path}: expected a file {' or '.join(suffixes)}")
    check_outputs(
        {"--out": out, "--draw": args.draw}, [("VIDEO", args.video), ("--model", args.model)]
    )
    frames = tracking.read_video(args.video)
    rate, n_frames = about_video(args.video)
    model = load_model(args.model)
    detect = None if args.box else detector_of(args)
    if getattr(predictor_of(model), "box_relation_", None) is None:
        warn_caller(NOT_BOXED)
    every, found, faces, n_seen = args.detect_every, 0, set(), 0
    tracked = tracking.track(model, frames, args.box, detect=detect, detect_every=every)
    bar = tqdm(tracked, total=n_frames, disable=args.quiet, unit=" frames")
    with (
        open_table(out, table_columns(model), rate, args.decimals) as write_faces,
        open_video(args.draw, rate) as write_picture,
    ):
        for frame in bar:
            n_seen += 1
            write_faces(frame)
            write_picture(frame.draw() if args.draw else None)
            located = ~np.isnan(frame.landmarks).any(axis=(1, 2))
            faces.update(frame.ids[located].tolist())
            found += bool(located.any())
    say(f"{count(len(faces), 'faces')} in {found} of {count(n_seen, 'frames')}")
    for what, path in (("landmarks", out), ("video", args.draw)):
        if path is not None:
            say(f"{what}: {path}")
    return 0 if found else 1


def export(args):
    """Run ``skwing export``: write a model to an ONNX file."""
    inputs = [("MODEL", args.model), ("--calibration", args.calibration)]
    check_outputs({"OUT": args.out}, inputs)
    _check_needed(args, ("format", "images", "schema", "category"), "calibration")
    model, settings = load_model(args.model), {}
    if args.calibration is not None:
        samples = read_annotated(args, args.calibration, "nothing to compare", model)
        settings = {"calibration": samples.data, "calibration_target": samples.target}
    batch_size = args.batch_size
    to_onnx(model, args.out, precision=args.precision, batch_size=batch_size, **settings)
    say(f"ONNX file: {args.out}")
    return 0


def plot(args):
    """Run ``skwing plot``: draw annotated images, errors or poses."""
    if args.kind == "errors" and args.model is None:
        raise ValueError("--kind errors requires --model")
    inputs = [("DATA", args.data), ("--model", args.model)]
    check_outputs({}, inputs, {"--out": args.out})
    model = None if args.model is None else load_model(args.model)
    samples = read_annotated(args, args.data, "nothing to draw", model)
    if args.kind == "landmarks":
        _plot_landmarks(args, model, samples)
        return 0
    display = displays()
    if args.kind == "errors":
        drawn = display.CumulativeErrorDisplay.from_estimator(model, samples.data, samples.target)
    else:
        balancer = PoseBalancer().fit(samples.data, samples.target)
        drawn = display.PoseHistogramDisplay.from_estimator(balancer, samples.data)
    save(drawn, args.out)
    return 0


def _plot_landmarks(args, model, samples):
    """Draw the landmarks of some samples; with predictions, those of largest error first."""
    options = {"schema": schema_of(model, samples.data), "n_most": args.draw_max}
    if model is None:
        everything, rows = samples.dataset, samples.rows
        draw_landmarks(args.out, everything.data, everything.target, rows=rows, **options)
        return
    points, _ = predict_all(model, samples.data, args.quiet)
    errors, _ = sample_errors(samples.target, points, "auto", options["schema"], None)
    draw_worst(args.out, samples, points, errors, **options)


def describe(args):
    """Run ``skwing describe``: print the metadata of a model file."""
    for name, value in describe_model(args.model).items():
        print(f"{name}: {value}")
    return 0


def _output(args):
    """File that `predict` writes and its format; None for both if it only draws."""
    out = args.out
    if out is None and (args.to or not args.draw):
        out = f"landmarks{FORMATS[args.to or 'csv'].suffix}"
    form = None if out is None else check_writing(out, args.to, _writing(args))
    if form is not None and args.all_faces and form.one_per_image:
        raise ValueError(f"--all-faces: the format of {out} has one sample for each image")
    if args.all_faces and args.keep:
        raise ValueError("--keep keeps landmarks of samples, --all-faces makes other samples")
    return out, form


def _check_replaced(args, out, form, inputs):
    """Raise an error if an output of `predict` would replace an input."""
    is_file = form is not None and form.suffix
    check_outputs({"--out": out} if is_file else {}, inputs, {"--draw": args.draw})


def _check_planned(args, out, planned, samples, model):
    """Raise an error if the format cannot hold the samples that `predict` will write."""
    if needs_detector(samples, model, args):  # boxes are columns too
        planned = planned.with_boxes([[0, 0, 1, 1]] * len(planned))
    n_landmarks = predictor_of(model).n_landmarks_
    check_samples(out, planned, n_landmarks, samples.further, args.to, _writing(args))


def _check_needed(args, names, needed):
    """Raise an error if options are given that have no effect without another one."""
    given = [f"--{name}" for name in names if getattr(args, name) is not None]
    if given and not getattr(args, needed):
        raise ValueError(f"{given[0]} has no effect without --{needed}: pass both or neither")


def _writing(args):
    return Writing(args.decimals, args.whole_pixels, args.overwrite)


def _write(path, data, points, further, name, writing, **content):
    """Write landmarks; say what was changed, and warn of what the format does not hold."""
    kept, messages = write_landmarks(path, data, points, further, name, writing)
    for message in messages:
        say(message)
    warn_of_lost(path, data, further, kept, **content)


def _named(data, schema, form):
    """Images with the schema of predicted landmarks, whose names the file gets.

    Parts of dlib's files are numbered if those of the images have no names, because dlib sorts
    them by name.
    """
    if data.schema is None and form is FORMATS["dlib"]:
        return data
    return BoxedImages(data.paths, boxes=data.boxes if data.has_boxes else None, schema=schema)


def _photographs(data):
    """Numbers of photographs and samples in words."""
    n_photographs = len(data.by_image())
    return f"{count(n_photographs, 'photographs')} ({count(len(data), 'samples')})"
