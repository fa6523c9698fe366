"""Landmark localisers as scikit-learn estimators."""

from skwing.balance import PoseBalancer, PoseResampler
from skwing.cascade import CascadeLandmarkRegressor
from skwing.images import BoxedImages
from skwing.schema import LandmarkSchema

__version__ = "0.6.0"

__all__ = [
    "BoxedImages",
    "CascadeLandmarkRegressor",
    "LandmarkSchema",
    "PoseBalancer",
    "PoseResampler",
    "__version__",
]
