"""Models to train, and samples to train them on."""

import ast
import re
import warnings

import numpy as np
from sklearn.base import clone
from sklearn.pipeline import Pipeline, make_pipeline

from skwing._cli.words import say
from skwing._training.samples import check_samples
from skwing._training.seen import told_of_seen
from skwing._training.start import matching_rows
from skwing._utils.unwrap import predictor_of, schema_of
from skwing.balance import PoseBalancer
from skwing.cascade import CascadeLandmarkRegressor
from skwing.exceptions import NoticeWarning
from skwing.persistence import load_model
from skwing.schema import SCHEMAS, check_schema

_HELD_OUT = 0.1
_CALIBRATING = 10  # minimum number of held-out samples to calibrate a model with


def make_model(args, dataset):
    """Model with the settings of the arguments: a new one, or that of ``--start``."""
    settings = {
        "random_state": args.seed,
        "device": args.device,
        "verbose": 0 if args.quiet else 1,
        "checkpoint": args.checkpoint,
        **dict(map(_setting, args.set)),
    }
    if args.epochs is not None:
        settings["max_epochs"] = tuple(args.epochs) if len(args.epochs) > 1 else args.epochs[0]
    if args.start is None:
        if settings.get("warm_start"):
            raise ValueError(
                "--set warm_start=True has no effect on a new model; --start MODEL continues from "
                "one"
            )
        model = CascadeLandmarkRegressor()
    else:
        model, own = _started(args, dataset, settings)
        settings = own | settings
    predictor_of(model).set_params(**settings)
    if args.balance and not isinstance(model, Pipeline):
        model = make_pipeline(PoseBalancer(), model)
    return model


def _started(args, dataset, settings):
    """Model with the settings of a start, and parameters that make it the start."""
    for name in ("networks", "start", "warm_start"):
        if name in settings:
            raise ValueError(f"--set {name}=... contradicts --start, which determines it")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoticeWarning)  # is given by fit
        start = load_model(args.start)
    own = {
        "start": args.start,
        "warm_start": False,
        "max_epochs": "auto",
        "learning_rate": "auto",
    }
    regressor, n_landmarks = predictor_of(start), dataset.target.shape[1]
    now = settings.get("schema", dataset.data.schema)
    now = check_schema(now, n_landmarks)
    same, rows = matching_rows(now, n_landmarks, regressor.schema_, regressor.n_landmarks_)
    own["schema"] = regressor.schema_ if same and (now is None or _is_plain(now)) else now
    if not same:
        n_shared = sum(row >= 0 for row in rows)
        say(
            f"{args.data} has other landmarks than {args.start}: {n_landmarks}, not "
            f"{regressor.n_landmarks_}, or other names. Training starts from the weights that do "
            f"not depend on landmarks, and those of {n_shared} landmarks of the same names"
        )
    return clone(start), own


def _setting(text):
    """Parse ``name=value``; values that are not Python literals are strings."""
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"--set expects name=value, got {text!r}")
    try:
        return name, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def _is_plain(schema):
    """Whether a schema has names only, as that of a TPS file."""
    return schema.mirror is None and not schema.normalizers


def _is_numbered(schema):
    """Whether the names of a plain schema are numbers, which tell nothing of the landmarks."""
    names = schema.landmark_names
    return _is_plain(schema) and all(re.fullmatch(r"\D*\d+", name) for name in names)


def note_of_schema(model, dataset):
    """Say that landmarks may be those of a predefined schema, which was not named."""
    schema, n_landmarks = schema_of(model, dataset.data), dataset.target.shape[1]
    fitting = [name for name, own in SCHEMAS.items() if own.n_landmarks == n_landmarks]
    if fitting and (schema is None or (not isinstance(schema, str) and _is_numbered(schema))):
        say(
            f"{n_landmarks} landmarks without a schema: samples are not mirrored, and errors are "
            f"in percent of the size of the landmarks; --schema {fitting[0]} if they are those of "
            f"{_LABELS.get(fitting[0], fitting[0])}"
        )


def note_of_seen(model, data, target):
    """Say that a model, or the model that it started from, was trained on samples."""
    marks = getattr(predictor_of(model), "_seen", None)
    if told := told_of_seen(check_samples(data, target), marks):
        say(f"{told}, of this model or its start: errors on new samples are larger")


_LABELS = {"ibug68": "iBUG", "aflw19": "AFLW", "cofw29": "COFW", "wflw98": "WFLW"}


def hold_out(data, fraction, seed):
    """Indices of training and held-out samples; samples of one image stay together.

    At least one image is held out if `fraction` is above 0. With None, a tenth is held out if
    there are several images.
    """
    images = data.by_image()
    default = _HELD_OUT if len(images) > 1 else 0
    share = default if fraction is None else fraction
    n_images = max(1, round(share * len(images))) if share > 0 else 0
    if share < 0 or n_images >= len(images):
        raise ValueError(
            f"--hold-out {fraction} of {len(images)} images leaves no image to train on or none to "
            "hold out; use another fraction, or 0 to train on all images"
        )
    order = np.random.default_rng(seed).permutation(len(images))
    parts = [images[i] for i in order]
    held_out = np.concatenate([*parts[:n_images], np.empty(0, int)]).astype(int)
    return np.setdiff1d(np.arange(len(data)), held_out), np.sort(held_out)


def can_calibrate(target):
    """Whether held-out samples are enough to calibrate a model, with each landmark in some."""
    known = ~np.isnan(target).any(axis=-1)
    return len(target) >= _CALIBRATING and bool(known.any(axis=0).all())
