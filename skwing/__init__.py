"""Landmark localisation with scikit-learn estimators.

    CascadeLandmarkRegressor   predict landmarks: fit, predict, score, calibrate
    Augmentation               augmentation of training images
    PoseBalancer               balance poses, as a step of a pipeline
    BoxedImages                images or files with boxes, as X; see images
    LandmarkSchema             names and mirror pairs of landmarks; see schema
    save_model, load_model     model files; see persistence, export (ONNX), runtime (run ONNX)
    datasets                   read, write and generate data sets
    detection, boxes           detect, create and compare boxes
    metrics, display           compute and plot errors
    model_selection            grid search on one GPU
    recipes, networks, losses  parameters and parts of the cascade
    tracking                   track faces in a video
    shapes, geometry           statistics of shapes, affine transforms
    exceptions                 warning classes

All modules are available after ``import skwing``; they are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skwing._utils.version import __version__

if TYPE_CHECKING:
    from skwing import balance as balance
    from skwing import boxes as boxes
    from skwing import cascade as cascade
    from skwing import datasets as datasets
    from skwing import detection as detection
    from skwing import display as display
    from skwing import exceptions as exceptions
    from skwing import export as export
    from skwing import geometry as geometry
    from skwing import images as images
    from skwing import losses as losses
    from skwing import metrics as metrics
    from skwing import model_selection as model_selection
    from skwing import networks as networks
    from skwing import persistence as persistence
    from skwing import recipes as recipes
    from skwing import runtime as runtime
    from skwing import schema as schema
    from skwing import shapes as shapes
    from skwing import tracking as tracking
    from skwing._crops.augmentation import Augmentation
    from skwing.balance import PoseBalancer, PoseResampler
    from skwing.cascade import CascadeLandmarkRegressor
    from skwing.images import BoxedImages
    from skwing.persistence import load_model, save_model
    from skwing.schema import LandmarkSchema

__all__ = [
    "Augmentation",
    "BoxedImages",
    "CascadeLandmarkRegressor",
    "LandmarkSchema",
    "PoseBalancer",
    "PoseResampler",
    "__version__",
    "load_model",
    "save_model",
]

_MODULES = (
    *("balance", "boxes", "cascade", "datasets", "detection", "display", "exceptions", "export"),
    *("geometry", "images", "losses", "metrics", "model_selection", "networks", "persistence"),
    *("recipes", "runtime", "schema", "shapes", "tracking"),
)
_HOMES = {
    "Augmentation": "skwing._crops.augmentation",
    "BoxedImages": "skwing.images",
    "CascadeLandmarkRegressor": "skwing.cascade",
    "LandmarkSchema": "skwing.schema",
    "PoseBalancer": "skwing.balance",
    "PoseResampler": "skwing.balance",
    "load_model": "skwing.persistence",
    "save_model": "skwing.persistence",
}


if not TYPE_CHECKING:  # to a type checker, any name would be there

    def __getattr__(name: str) -> Any:
        if name in _MODULES:
            return import_module(f"skwing.{name}")
        if name in _HOMES:
            value = globals()[name] = getattr(import_module(_HOMES[name]), name)
            return value
        raise AttributeError(f"module 'skwing' has no attribute {name!r}")


def __dir__() -> list[str]:
    own = {name for name in globals() if name.startswith("_")}
    return sorted({*own, *_MODULES, *_HOMES})
