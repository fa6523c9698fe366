"""Common functions of the fault-injection checks of `faults.py`.

A check takes the fraction of its trials to run, and returns the number of trials and a list of
fault descriptions. Kinds of faults: A silently wrong results, B lost work, C crashes, D hangs,
E late or unclear errors.
"""

import subprocess
import sys
from functools import cache, partial
from typing import NamedTuple

import numpy as np

from skwing import BoxedImages, CascadeLandmarkRegressor, save_model
from skwing.datasets import (
    make_faces,
    write_coco,
    write_csv,
    write_dlib_xml,
    write_pts,
    write_tps,
)
from skwing.networks import PlainCNN

CHECKS = []
LIMIT = 120  # time limit of a process, in seconds
TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
# Common header of scripts that run in separate processes.
PRELUDE = """
import os, sys, signal, threading, time, warnings
from functools import partial
import numpy as np, torch
torch.set_num_threads(1)
signal.signal(signal.SIGINT, signal.default_int_handler)  # shells ignore it for background jobs
warnings.simplefilter("ignore")
from skwing import CascadeLandmarkRegressor, BoxedImages, PoseBalancer, save_model, load_model
from skwing.datasets import make_faces
from skwing.networks import PlainCNN
TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
def regressor(**settings):
    settings = {"networks": (TINY, TINY), "max_epochs": 2, "random_state": 0, **settings}
    return CascadeLandmarkRegressor(**settings)
X, y = make_faces(16, image_size=48, random_state=0, return_X_y=True)
"""


class Check(NamedTuple):
    """Expected behaviour, and the function that tests it."""

    name: str
    kind: str
    run: callable


def check(name, kind):
    """Register a function as a check."""

    def add(function):
        CHECKS.append(Check(name, kind, function))
        return function

    return add


@cache
def faces(n=16):
    """A few small generated faces."""
    return make_faces(n, image_size=48, random_state=0, return_X_y=True)


def regressor(**settings):
    """Regressor with two stages and very short training."""
    settings = {"networks": (TINY, TINY), "max_epochs": 2, "random_state": 0, **settings}
    return CascadeLandmarkRegressor(**settings)


@cache
def fitted():
    """A fitted regressor."""
    return regressor().fit(*faces())


def in_process(code, *arguments, limit=LIMIT, **options):
    """Output of a separate process, or a description of its failure."""
    command = [sys.executable, "-c", PRELUDE + code, *map(str, arguments)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, **options)
    except subprocess.TimeoutExpired:
        return f"hangs: not done after {limit} s"
    if done.returncode < 0:
        return f"ended by signal {-done.returncode}"
    return (done.stdout + done.stderr[-300:]).strip()


def refused(call, *words, errors=(ValueError, TypeError, OSError)):
    """None if a call raises an error that contains all words, else a description."""
    try:
        call()
    except errors as error:
        text = f"{error} {error.__cause__ or ''}"
        missing = [word for word in words if word not in text]
        return f"{type(error).__name__} without {missing}: {text[:150]}" if missing else None
    except BaseException as error:
        return f"{type(error).__name__}: {str(error)[:150]}"
    return "accepted"


def same(a, b):
    """Whether two fitted regressors have the same predictions."""
    return np.array_equal(a.predict(faces()[0]), b.predict(faces()[0]))


def writers():
    """Writers of single files, as functions of a path."""
    X, y = faces()
    with_paths = BoxedImages(
        [f"face{i}.png" for i in range(len(y))], boxes=X.boxes, schema=X.schema
    )
    return {
        "save_model": partial(save_model, fitted()),
        "to_json": lambda path: X.schema.to_json(path),
        "write_pts": lambda path: write_pts(path, y[0]),
        "write_tps": lambda path: write_tps(path, with_paths, y, image_height=48),
        "write_csv": lambda path: write_csv(path, with_paths, y),
        "write_coco": lambda path: write_coco(path, with_paths, y, image_sizes=[[48, 48]] * len(y)),
        "write_dlib_xml": lambda path: write_dlib_xml(path, with_paths, y),
    }
