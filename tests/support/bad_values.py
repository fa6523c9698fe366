"""Values that hardly any setting accepts, and every public setting that is to refuse them.

No test is in here, so that other programs can run through the same tables.
"""

from functools import partial

import numpy as np
import torch

from skwing import (
    Augmentation,
    BoxedImages,
    CascadeLandmarkRegressor,
    PoseBalancer,
    PoseResampler,
    recipes,
)
from skwing._crops.augmentation import AUGMENTATIONS
from skwing.boxes import adjust_boxes, landmark_boxes, match_boxes
from skwing.datasets import make_faces
from skwing.detection import SkimageCascade, YuNet, detect_all, detect_boxes
from skwing.losses import rectified_wing, soft_wing, wing
from skwing.metrics import ced_auc, failure_rate, nme
from skwing.networks import PlainCNN
from skwing.shapes import shape_pca
from skwing.tracking import track

BAD_VALUES = {
    "None": None,
    "no": "no",
    "empty text": "",
    "nan": float("nan"),
    "inf": float("inf"),
    "-1": -1,
    "-0.7": -0.7,
    "10**400": 10**400,
    "10**5000": 10**5000,
    "object": object(),
    "list": [],
    "dict": {},
    "array of text": np.array(["a"]),
    "2-D array": np.ones((2, 2)),
    "complex": 1j,
    "lambda": lambda *_, **__: None,
    "class": dict,
    "tensor": torch.ones(2),
}

# What settings do accept of these, by estimator or function.
ACCEPTED = {
    ("CascadeLandmarkRegressor", "augmentation"): ("None",),
    ("CascadeLandmarkRegressor", "cache"): ("None", "no"),
    ("CascadeLandmarkRegressor", "schema"): ("None",),
    ("CascadeLandmarkRegressor", "start"): ("None",),
    ("CascadeLandmarkRegressor", "checkpoint"): ("None", "no"),
    ("CascadeLandmarkRegressor", "callbacks"): ("None", "list"),
    ("CascadeLandmarkRegressor", "random_state"): ("None",),
    ("PoseBalancer", "schema"): ("None",),
    ("PoseBalancer", "max_repeats"): ("None",),
    ("PoseResampler", "schema"): ("None",),
    ("PoseResampler", "max_repeats"): ("None",),
    ("landmark_boxes", "shift"): ("-1", "-0.7"),
    ("landmark_boxes", "random_state"): ("None",),
    ("adjust_boxes", "shift"): ("-1", "-0.7"),
    ("adjust_boxes", "random_state"): ("None",),
    ("shape_pca", "n_components"): ("None",),
    ("track", "threshold"): ("None", "-1", "-0.7"),
    ("make_faces", "random_state"): ("None",),
}

ESTIMATORS = (CascadeLandmarkRegressor, PoseBalancer, PoseResampler)
TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)


class Untouchable(BoxedImages):
    """Images that nobody may decode."""

    def decode(self, i):
        raise AssertionError(f"sample {i} was decoded")


_LANDMARKS = np.random.default_rng(0).uniform(5, 40, (6, 5, 2))
_BOX = np.array([[5.0, 5, 20, 20]])
_RESIDUALS = torch.ones(3)


def untouchable():
    """Data to fit to: X that nobody may decode, and y."""
    return Untouchable(np.zeros((6, 48, 48), dtype=np.uint8)), _LANDMARKS


def fit(estimator_class, **settings):
    """Fit an estimator; AssertionError where that went as far as to an image."""
    estimator = estimator_class(**settings)
    if hasattr(estimator, "fit_resample"):
        return estimator.fit_resample(*untouchable())
    return estimator.fit(*untouchable())


class _Still:
    def predict(self, X):
        return np.tile(_LANDMARKS[:1], (len(X), 1, 1))


def _track(**settings):
    return list(track(_Still(), np.zeros((2, 48, 48, 3), dtype=np.uint8), _BOX, **settings))


# What takes settings beside the estimators: settings that are checked, and the call.
CALLS = {
    "Augmentation": (
        AUGMENTATIONS,
        lambda **settings: fit(
            CascadeLandmarkRegressor, networks=(TINY, TINY), augmentation=Augmentation(**settings)
        ),
    ),
    "landmark_boxes": (
        ("margin", "shift", "square", "jitter", "random_state"),
        partial(landmark_boxes, _LANDMARKS),
    ),
    "adjust_boxes": (
        ("margin", "shift", "square", "jitter", "random_state"),
        partial(adjust_boxes, _BOX),
    ),
    "match_boxes": (("min_overlap",), partial(match_boxes, _BOX, _BOX)),
    "wing": (("w", "epsilon"), partial(wing, _RESIDUALS)),
    "rectified_wing": (("w", "epsilon", "r"), partial(rectified_wing, _RESIDUALS)),
    "soft_wing": (("w", "epsilon", "threshold"), partial(soft_wing, _RESIDUALS)),
    "ced_auc": (("threshold",), partial(ced_auc, [0.1, 0.2])),
    "failure_rate": (("threshold",), partial(failure_rate, [0.1, 0.2])),
    "nme": (("normalizer", "per_sample"), partial(nme, _LANDMARKS, _LANDMARKS)),
    "shape_pca": (("n_components",), partial(shape_pca, _LANDMARKS)),
    "track": (("detect_every", "patience", "smoothing", "threshold"), _track),
    "detect_boxes": (
        ("detector", "min_overlap", "prefer", "fallback", "verbose"),
        partial(detect_boxes, untouchable()[0], lambda image: []),
    ),
    "detect_all": (
        ("detector", "prefer", "verbose"),
        partial(detect_all, untouchable()[0], lambda image: []),
    ),
    "SkimageCascade": (
        ("min_size", "scale_factor", "step_ratio", "min_neighbors", "max_side"),
        SkimageCascade,
    ),
    "YuNet": (
        ("score_threshold", "nms_threshold", "top_k", "max_side"),
        partial(YuNet, "no such file.onnx"),
    ),
    "make_faces": (
        (
            "n_samples",
            "random_state",
            "schema",
            "image_size",
            "faces_per_identity",
            "n_faces_per_image",
            "yaw",
            "max_yaw",
            "occlusion",
            "hidden",
            "box_error",
            "return_X_y",
        ),
        lambda **settings: make_faces(**{"n_samples": 1, **settings}),
    ),
    "recipes.best": (("n_samples",), recipes.best),
    "recipes.paper": (
        ("n_samples", "n_landmarks"),
        lambda **settings: recipes.paper(**{"n_samples": 9, "n_landmarks": 5, **settings}),
    ),
}
