"""Landmark localisation with scikit-learn estimators.

    CascadeLandmarkRegressor   locate landmarks: fit, predict, score, calibrate
    Augmentation               its random changes of training images
    PoseBalancer               balance poses before it, as a step of a pipeline
    BoxedImages                images, files and boxes, as X; images
    LandmarkSchema             names and symmetry of landmarks; schema
    save_model, load_model     models in files; persistence, export (ONNX)
    datasets                   read, write and draw data sets
    detection, boxes           find boxes, make and compare them
    metrics, display           measure and draw errors
    recipes, networks, losses  settings and parts of the cascade
    tracking                   follow faces through a video
    shapes, geometry           means and modes of shapes, matrices of crops
    exceptions                 categories of warnings

All modules are there after ``import skwing``; those that it does not need itself are imported
when they are first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from skwing._crops.augmentation import Augmentation
from skwing._utils.version import __version__
from skwing.balance import PoseBalancer, PoseResampler
from skwing.cascade import CascadeLandmarkRegressor
from skwing.images import BoxedImages
from skwing.persistence import load_model, save_model
from skwing.schema import LandmarkSchema

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
    from skwing import networks as networks
    from skwing import persistence as persistence
    from skwing import recipes as recipes
    from skwing import schema as schema
    from skwing import shapes as shapes
    from skwing import tracking as tracking

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
    *("geometry", "images", "losses", "metrics", "networks", "persistence", "recipes", "schema"),
    *("shapes", "tracking"),
)


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(f"skwing.{name}")
    raise AttributeError(f"module 'skwing' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *_MODULES})
