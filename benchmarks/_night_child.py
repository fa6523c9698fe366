"""The process that benchmarks/night.py kills: a fit or a search with a checkpoint.

It appends lines to a log: when the fit begins, where each stage begins or continues, after each
step, and after each write of a checkpoint; each with the time.
"""

import hashlib
import json
import os
import time
import warnings
from functools import cache, partial
from pathlib import Path

import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing._training import checkpoint, loop
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

TINY = partial(PlainCNN, widths=(8, 16, 16), input_size=32, n_hidden=64, batch_norm=True)


@cache
def drawn(n_samples):
    """Faces to train on."""
    return make_faces(n_samples, image_size=64, max_yaw=45, random_state=0)


def regressor(where, epochs):
    """Regressor of two stages with early stopping, mirrored crops and random deformation."""
    return CascadeLandmarkRegressor(
        networks=(TINY, TINY),
        max_epochs=epochs,
        batch_size=8,
        early_stopping=True,
        n_iter_no_change=1000,
        random_state=0,
        device="cpu",
        checkpoint=where,
    )


def model(what, where, epochs):
    """The model to fit: a pipeline, or a search of two candidates in two folds."""
    if what == "fit":
        return Pipeline([("balance", PoseBalancer()), ("reg", regressor(where, epochs))])
    return GridSearchCV(regressor(where, epochs), {"w": [5.0, 10.0]}, cv=2, error_score="raise")


def log_steps(path, pause):
    """Log each step and write; a pause after each step stands for the work of a larger network."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    place = {"file": "", "stage": 0, "step": 0}
    begin, finish = checkpoint.StageKeeper.begin, checkpoint.Checkpoint.finish
    step, write = loop.TrainingStep.__call__, checkpoint.write_content

    def note(what):
        line = {"what": what, **place, "time": time.time()}
        os.write(log, (json.dumps(line) + "\n").encode())

    def begin_noted(self, state):
        place.update(file=os.path.basename(self._checkpoint.path), stage=self._number, step=0)
        begin(self, state)
        place["step"] = state.scheduler.last_epoch
        note("begin")

    def finish_noted(self, number, *rest):
        place.update(stage=number + 1, step=0)
        finish(self, number, *rest)

    def step_noted(self, *args):
        value = step(self, *args)
        time.sleep(pause)
        place["step"] += 1
        note("step")
        return value

    def write_noted(*args):
        write(*args)
        note("written")

    checkpoint.StageKeeper.begin = begin_noted
    checkpoint.Checkpoint.finish = finish_noted
    checkpoint.write_content = write_noted
    loop.TrainingStep.__call__ = step_noted
    note("fit")


def digest(fitted):
    """Digest of everything that is fitted, without times; after it, the scores of a search."""
    total, scores = hashlib.sha256(), {}
    if isinstance(fitted, GridSearchCV):
        scores = {k: v.tolist() for k, v in fitted.cv_results_.items() if k.startswith("split")}
        best = fitted.best_estimator_
    else:
        best = fitted[-1]
    for network in best.networks_:
        for array in network.state_dict().values():
            total.update(array.numpy().tobytes())
    for array in (*best.asymmetry_, best.mean_shape_):
        total.update(array.tobytes())
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in best.history_]
    total.update(repr([rows, best.n_iter_, best._retry.limit]).encode())
    return f"{total.hexdigest()} {json.dumps(scores)}"


def run(options):
    """Run in a process of its own; the digest of the result is written to a file."""
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    checkpoint._INTERVAL, checkpoint._SHARE = options["interval"], 1.0
    faces = drawn(options["n_samples"])
    if options["where"] is not None:
        log_steps(options["log"], options["pause"])
    fitted = model(options["what"], options["where"], options["epochs"])
    found = digest(fitted.fit(faces.data, faces.target))
    Path(options["digest"]).write_text(found)
