"""Fits that processes run together: ``python together.py FOLDER GROUPS``.

`GROUPS` is JSON, ``[[n_processes, [case, ...]], ...]``. The processes of a group are forked,
because importing takes longer than fits. Each process writes the results of its cases to a file
of the folder, ``GROUP-NUMBER.pickle``.
"""

import contextlib
import io
import json
import os
import pickle
import runpy
import signal
import socket
import sys
import warnings
from functools import cache, partial
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
import torch.distributed as dist
from sklearn.callback import ProgressBar
from sklearn.pipeline import Pipeline
from small import SHAPE_INDEXED, build_small
from torch import nn

from skwing import BoxedImages, CascadeLandmarkRegressor, PoseBalancer
from skwing._training import checkpoint, doubt_limit
from skwing._training.whole_batch_norm import whole_batch_norm
from skwing._utils import ranks
from skwing._utils.parts import computing
from skwing.datasets import make_faces
from skwing.networks import PatchCNN, PlainCNN

PLAIN = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8, batch_norm=True)
PATCHES = partial(
    PatchCNN, input_size=32, patch_size=8, width=4, n_blocks=1, n_hidden=8, scatter=1 / 32
)


class Dropping(PlainCNN):
    """A network with a layer of torch that draws random numbers."""

    def __init__(self, n_landmarks):
        super().__init__(n_landmarks, (4, 8), 16, n_hidden=8, batch_norm=True)
        self.dropout = nn.Dropout(0.3)

    def forward(self, images):
        return super().forward(self.dropout(images))


class Failing(PlainCNN):
    """A network that fails in a training step of the last process."""

    def __init__(self, n_landmarks):
        super().__init__(n_landmarks, (4, 8), 16, n_hidden=8, batch_norm=True)
        self.n_calls = 0

    def forward(self, images):
        self.n_calls += self.training
        if self.n_calls == 3 and ranks.part_of(100).last == 100:
            raise OSError("no such thing")
        return super().forward(images)


class Dying(Failing):
    """A network that ends the last process in a training step."""

    def forward(self, images):
        try:
            return super().forward(images)
        except OSError:
            os.kill(os.getpid(), signal.SIGKILL)


def number():
    return dist.get_rank() if dist.is_initialized() else 0


@cache
def faces():
    """Images and landmarks, of which most of some samples are missing."""
    shown = make_faces(13, image_size=40, max_yaw=45, random_state=0)
    points = shown.target.copy()
    points[[1, 5], :50] = np.nan
    points[2, 60:] = np.nan
    return shown.data, points


def regressor(**settings):
    # Without momentum of second order, which turns rounding errors of tiny gradients into steps.
    defaults = {
        **{"networks": (PLAIN, PLAIN), "optimizer": "sgd", "learning_rate": 0.3},
        **{"max_epochs": 2, "batch_size": 8, "random_state": 0},
    }
    return CascadeLandmarkRegressor(device="cpu", precision="float32", **{**defaults, **settings})


def fitted(reg):
    """What is fitted, without the time that it took."""
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in reg.history_]
    weights = [array for network in reg.networks_ for array in network.state_dict().items()]
    return {
        "weights": [(name, value.numpy().copy()) for name, value in weights],
        "asymmetry": np.array(reg.asymmetry_),
        "rows": rows,
        "limit": reg._retry.limit,
        "points": np.array(list(reg.staged_predict(faces()[0]))),
        "layers": [type(m).__name__ for n in reg.networks_ for m in n.modules()],
        "own attributes": ["forward" in vars(m) for n in reg.networks_ for m in n.modules()],
    }


def fit(**settings):
    return fitted(regressor(**settings).fit(*faces()))


def default():
    """Both default networks, with few crops for the limit of doubt, which take most of the time."""
    with mock.patch.multiple(doubt_limit, _N_TURNED=1, _N_ALIKE=4):
        return fit(networks="auto", max_epochs=1, learning_rate=5e-3)


def weighted():
    X, y = faces()
    weights = np.arange(13) % 4 + 0.5
    return fitted(regressor().fit(X, y, weights))


def balanced():
    pipe = Pipeline([("balance", PoseBalancer(max_repeats=4)), ("reg", regressor())])
    return fitted(pipe.fit(*faces())["reg"])


def unlabelled():
    X, y = faces()
    return fitted(regressor(max_epochs=2).fit(X[:8], y[:8], X_unlabelled=X[8:]))


def other_data():
    X, y = faces()
    return regressor().fit(X, y + number()), None


def invalid_data():
    X, y = faces()
    return regressor().fit(X, y if number() == 0 else y[:-1]), None


def unreadable():
    """An image that one process decodes is damaged."""
    X, y = faces()
    folder = Path(sys.argv[1]) / f"images{number()}"
    folder.mkdir()
    paths = [str(folder / f"{i}.png") for i in range(len(X))]
    for path in paths:
        Path(path).write_bytes(b"no image")
    return regressor().fit(BoxedImages(paths, X.boxes, schema="ibug68"), y), None


def stopped():
    calls = []
    reg = regressor(max_epochs=3, callbacks=[lambda row: calls.append(row) or row["epoch"] == 2])
    return reg.fit(*faces()).n_iter_, len(calls)


def failing_callback():
    def fail(row):
        raise KeyError("a callback")

    return regressor(callbacks=[fail]).fit(*faces())


def told():
    """Lines and warnings; scikit-learn's callbacks are set in all processes."""
    X, y = faces()
    boxes = X.boxes.copy()
    boxes[0] = np.nan
    output = io.StringIO()
    with contextlib.redirect_stdout(output), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reg = regressor(verbose=2, max_epochs=1).set_callbacks(ProgressBar())
        reg.fit(X.with_boxes(boxes), y)
    return output.getvalue().count("epoch 1:"), len(caught)


def resumed():
    """Fit whose process ends in the second stage, and again from its checkpoint."""
    path = Path(sys.argv[1]) / f"of process {number()}" / "fit.safetensors"
    path.parent.mkdir()
    checkpoint._INTERVAL, checkpoint._SHARE = 0.0, np.inf
    settings = {
        **{"optimizer": "adamw", "learning_rate": 1e-3, "checkpoint": path},
        "networks": (SHAPE_INDEXED, Dropping),
    }

    def end(row):
        if (row["stage"], row["epoch"]) == (2, 1):
            raise MemoryError

    with contextlib.suppress(MemoryError, ranks.FailedElsewhere):
        regressor(**settings, callbacks=[end]).fit(*faces())
    found = fitted(regressor(**settings).fit(*faces()))
    return found, path.exists(), fit(**{**settings, "checkpoint": None})


def seeds():
    return fit(random_state=None)


def script():
    """Run a script that initialises the group itself, in the environment that torchrun sets."""
    rank, n = dist.get_rank(), dist.get_world_size()
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = [free.getsockname()[1]]
    dist.broadcast_object_list(port)
    dist.destroy_process_group()
    os.environ |= {"MASTER_ADDR": "localhost", "MASTER_PORT": str(port[0])}
    os.environ |= {"RANK": str(rank), "LOCAL_RANK": str(rank), "WORLD_SIZE": str(n)}
    os.chdir(sys.argv[1])
    with pytest.MonkeyPatch.context() as patch:
        build_small(patch)
        runpy.run_path("train.py", run_name="__main__")
    return dist.is_initialized()


class _Lists(nn.Module):
    """Layers whose input is one list of numbers a sample, and images."""

    def __init__(self, **options):
        super().__init__()
        self.of_images = nn.BatchNorm2d(3, **options)
        self.of_lists = nn.BatchNorm1d(3, **options)

    def forward(self, images):
        return self.of_lists(self.of_images(images).square().mean((2, 3)))


def norms():
    """Outputs, gradients and statistics of batch normalisation, for a part of a batch."""
    found = []
    for options in ({}, {"momentum": None}, {"affine": False}, {"track_running_stats": False}):
        layers = _Lists(**options)
        with ranks.joined(), whole_batch_norm(layers):
            part = ranks.part_of(9)
            for seed in range(2):
                generator = torch.Generator().manual_seed(seed)
                whole = 3 + 2 * torch.randn(9, 3, 4, 5, generator=generator)
                factors = torch.randn(9, 3, generator=generator)
                images = whole[part.rows].requires_grad_()
                with computing(part, ranks.current_group()):
                    (layers(images) * factors[part.rows]).sum().backward()
            layers.eval()
            evaluated = layers(whole).detach()
            for parameter in layers.parameters():
                ranks.added(parameter.grad)
        found.append(
            {
                "images": ranks_of(images.grad, part),
                "state": [v.clone() for v in layers.state_dict().values()],
                "gradients": [p.grad for p in layers.parameters()],
                "evaluated": evaluated,
            }
        )
    return found


def ranks_of(rows, part):
    """Rows of a part, with zeros for the others."""
    whole = torch.zeros(part.n, *rows.shape[1:])
    whole[part.rows] = rows
    return whole


# Fits that equal those of one process.
EQUAL = {
    "two stages": fit,
    "shape-indexed": partial(fit, networks=(SHAPE_INDEXED, SHAPE_INDEXED), learning_rate=0.05),
    "patches": partial(fit, networks=(PLAIN, PATCHES)),
    "uneven parts": partial(fit, batch_size=7),
    "a sample each": partial(fit, batch_size=3, max_epochs=1),
    "without augmentation": partial(fit, augmentation=None, networks=(PLAIN,)),
    "without batch normalisation": partial(fit, networks=(partial(PLAIN, batch_norm=False),)),
    "weighted": weighted,
    "balanced": balanced,
    "early stopping": partial(
        fit, early_stopping=True, validation_fraction=0.25, n_iter_no_change=1, max_epochs=4
    ),
    "unlabelled": unlabelled,
}
OTHERS = {
    "default": default,
    "callback": stopped,
    "told": told,
    "resumed": resumed,
    "seeds": seeds,
    "random layers": partial(fit, networks=(Dropping, Dropping)),
    "norms": norms,
    "other data": other_data,
    "other parameters": lambda: regressor(w=10.0 + number()).fit(*faces()),
    "invalid data": invalid_data,
    "unreadable": unreadable,
    "small batch": partial(fit, batch_size=1),
    "failing step": partial(fit, networks=(Failing,)),
    "failing callback": failing_callback,
    "after failures": fit,
}
# After these, a process cannot run others.
LAST = {"dying": partial(fit, networks=(Dying,)), "script": script}
CASES = {**EQUAL, **OTHERS, **LAST}


def run(case):
    """Result of a case, or type and text of its error."""
    try:
        return CASES[case]()
    except Exception as error:
        return type(error).__name__, str(error)


def work(group, number, n, cases):
    """Run the cases of one process."""
    folder = Path(sys.argv[1])
    dist.init_process_group(
        "gloo", init_method=f"file://{folder}/meeting{group}", rank=number, world_size=n
    )
    with open(folder / f"{group}-{number}.pickle", "wb") as file:
        for case in cases:
            pickle.dump({case: run(case)}, file)
            file.flush()


def main():
    torch.set_num_threads(1)
    torch.optim.SGD([torch.zeros(1)])  # imports the compiler of torch
    faces()
    for group, (n, cases) in enumerate(json.loads(sys.argv[2])):
        started = []
        for number in range(n):
            started.append(os.fork())
            if not started[-1]:
                work(group, number, n, cases)
                os._exit(0)  # without the second that an orderly end takes
        for process in started:
            os.waitpid(process, 0)


if __name__ == "__main__":
    main()
