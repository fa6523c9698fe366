"""Landmark localisation as scikit-learn estimators."""

from skwing._crops.augmentation import Augmentation
from skwing._utils.version import __version__
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
