"""Settings and networks that several files of tests train in a moment."""

import copy
from functools import partial

import pytest

from skwing import Augmentation
from skwing._crops.augmentation import AUGMENTATIONS
from skwing._training import loop
from skwing.export import _onnx
from skwing.networks import NETWORKS, PatchCNN, PlainCNN, ShapeIndexedCNN

# No random change of any crop.
STILL = {"augmentation": None}
# Without the costliest random change, which is no matter of most tests.
UNBENT = {"augmentation": Augmentation(deformation=0.0)}
SHAPE_INDEXED = partial(
    ShapeIndexedCNN, input_size=16, stride=4, width=8, n_blocks=1, n_hidden=16, n_overview=16
)

PLAIN = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
_FEW = {"patch_size": 16, "width": 4, "n_blocks": 1, "n_features": 4, "n_condensed": 4}
PATCHES = partial(PatchCNN, n_hidden=8, **_FEW)  # reads as large images as the default


def first_fast(values):
    """Parameters of a test, all but the first of them marked slow; a tuple is several of them."""
    first, *others = values
    several = [value if isinstance(value, tuple) else (value,) for value in others]
    return [first, *(pytest.param(*value, marks=pytest.mark.slow) for value in several)]


def only(**strengths):
    """Augmentation by a few random changes and no others."""
    return Augmentation(**{**dict.fromkeys(AUGMENTATIONS, 0.0), **strengths})


def train_at_most(monkeypatch, n_epochs):
    """Train each stage for so many epochs at most, whatever the parameters are."""
    train = loop.train

    def train_shorter(*args, **settings):
        return train(*args, **settings | {"n_epochs": min(n_epochs, settings["n_epochs"])})

    monkeypatch.setattr(loop, "train", train_shorter)


def build_small(monkeypatch):
    """Build small networks in place of those with a name."""
    for name in NETWORKS:
        small = PATCHES if name.startswith("patches") else PLAIN
        monkeypatch.setitem(NETWORKS, name, small)


def trace_once(monkeypatch):
    """Trace the graph of equal regressors once, for all the files that are written of them."""
    models = {}

    def graph_once(stages, frame, batch_size=None):
        weights = [w for stage in stages for w in stage.network.state_dict().values()]
        key = repr((stages, frame, batch_size)), *(w.numpy().tobytes() for w in weights)
        if key not in models:
            models[key] = graph_of(stages, frame, batch_size)
        return copy.deepcopy(models[key])

    graph_of = _onnx.graph_of
    monkeypatch.setattr(_onnx, "graph_of", graph_once)
