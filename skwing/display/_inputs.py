"""Extraction of errors, poses and names from the arguments of displays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from sklearn.exceptions import NotFittedError

from skwing._utils.landmarks import as_points
from skwing._utils.unwrap import parts_of, predictor_of
from skwing.metrics import nme
from skwing.metrics._lengths import has_inter_ocular

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats
    from skwing.schema import LandmarkSchema


@dataclass(frozen=True)
class Unit:
    """Format of errors: label of the axis, sign after numbers, and scale factor."""

    label: str
    sign: str
    factor: float


_LENGTHS = {
    "inter_ocular": "the inter-ocular distance",
    "inter_pupil": "the inter-pupil distance",
    "box": "the size of the box",
    "landmark_box": "the size of the box around the landmarks",
    "lengths": "the given length",
}


def unit_of(normalizer: str) -> Unit:
    """Unit of errors for a normaliser, as returned by `sample_errors` or a key of a schema.

    Examples
    --------
    >>> from skwing.display._inputs import unit_of
    >>> unit_of("inter_pupil").label, unit_of("pixels").sign
    ('NME (% of the inter-pupil distance)', ' px')
    """
    if normalizer == "pixels":
        return Unit("Mean error (pixels)", " px", 1.0)
    return Unit(f"NME (% of {length_in_words(normalizer)})", " %", 100.0)


def length_in_words(normalizer: str) -> str:
    """Normalising length in words, given its name as returned by `sample_errors`.

    Examples
    --------
    >>> from skwing.display._inputs import length_in_words
    >>> length_in_words("landmark_box")
    'the size of the box around the landmarks'
    """
    words = str(normalizer).replace("_", " ")
    return _LENGTHS.get(normalizer, words if words.startswith("the ") else f"the {words}")


def sample_errors(
    y_true: ArrayLike,
    y_pred: ArrayLike,
    normalizer: str | ArrayLike,
    schema: str | LandmarkSchema | None,
    boxes: ArrayLike | None,
) -> tuple[Floats, str]:
    """Compute the error of each sample, and the name of the normaliser.

    Parameters
    ----------
    y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
            (n_samples, 2 * n_landmarks)
    normalizer : str, float or array-like of shape (n_samples,)
        "auto", or as for :func:`skwing.metrics.normalizing_lengths`.
    schema : str, LandmarkSchema or None
    boxes : array-like of shape (n_samples, 4) or None

    Returns
    -------
    errors : ndarray of shape (n_samples,)
        A fraction; NaN if it is undefined.
    normalizer : str
        Name for :func:`unit_of`.
    """
    errors = nme(y_true, y_pred, normalizer=normalizer, schema=schema, boxes=boxes, per_sample=True)
    if isinstance(normalizer, str) and normalizer == "auto":
        n_landmarks = as_points(y_true).shape[1]
        if n_landmarks == 1:
            return errors, "pixels"  # a single landmark has no extent
        has_eyes = has_inter_ocular(schema, n_landmarks)
        return errors, "inter_ocular" if has_eyes else "landmark_box"
    if isinstance(normalizer, str):
        return errors, normalizer
    in_pixels = np.ndim(normalizer) == 0 and float(normalizer) == 1.0
    return errors, "pixels" if in_pixels else "lengths"


def find_fitted(estimator: Any, attribute: str, what: str) -> Any:
    """Find the estimator, or the part of it, with a fitted attribute.

    Raises
    ------
    NotFittedError
        If there is none; `what` names the expected kind of estimator in the message.
    """
    for part in parts_of(estimator):
        if hasattr(part, attribute):
            return part
    raise NotFittedError(
        f"{type(estimator).__name__} has no {attribute}: expected {what}, fitted, or a fitted "
        "pipeline or search that contains one."
    )


def name_of(estimator: Any) -> str:
    """Class name of the predictor in a pipeline or a search."""
    return type(predictor_of(estimator)).__name__


def poses_of(poses: Any, y_true: ArrayLike | None, n_samples: int) -> tuple[Floats, str]:
    """Pose of each sample, and a label for the axis.

    Parameters
    ----------
    poses : array-like of shape (n_samples,), or fitted PoseBalancer or pipeline with one
        With a balancer, the coefficients of its component are computed from `y_true`, also
        for samples that it was not fitted to.
    y_true : array-like of landmarks or None
        Required only with a balancer.
    n_samples : int

    Returns
    -------
    poses : ndarray of shape (n_samples,)
        NaN if unknown.
    label : str

    Raises
    ------
    ValueError
        If there is not one number for each sample.
    """
    if hasattr(poses, "get_params"):
        return _coefficients_of(poses, y_true)
    poses = np.asarray(poses, dtype=np.float64)
    if poses.shape != (n_samples,):
        hint = ""
        if poses.ndim == 2 and len(poses) == n_samples:
            hint = " Pass one column, such as poses[:, 0] for the yaw of make_faces."
        raise ValueError(
            f"poses has shape {poses.shape}, expected one number for each of the {n_samples} "
            f"samples, ({n_samples},).{hint}"
        )
    if np.isinf(poses).any():
        first = int(np.flatnonzero(np.isinf(poses))[0])
        raise ValueError(f"poses[{first}] is {poses[first]}; mark unknown poses with NaN.")
    return poses, "Pose"


def _coefficients_of(estimator: Any, y_true: ArrayLike | None) -> tuple[Floats, str]:
    balancer = find_fitted(estimator, "components_", "a PoseBalancer")
    if y_true is None:
        raise ValueError(
            "poses of a PoseBalancer are computed from landmarks: pass y_true, or poses."
        )
    points = as_points(y_true, len(balancer.mean_shape_), "y_true")
    return balancer.pose_coefficients(points), coefficient_label(balancer.component_)


def coefficient_label(component: int, absolute: bool = False) -> str:
    """Label of an axis of pose coefficients."""
    label = f"Pose by shape mode {component} (0 = mean shape)"
    return absolute_label(label) if absolute else label


def absolute_label(label: str) -> str:
    """Label of an axis of absolute values, given that of the values with their signs."""
    what, bracket, rest = label.partition(" (")
    return f"{what}, both directions together{bracket}{rest}"


def pose_text(pose: float, label: str) -> str:
    """Pose of one sample in words, such as "yaw -54 degrees" for the label "Yaw (degrees)".

    Examples
    --------
    >>> from skwing.display._inputs import pose_text
    >>> pose_text(53.9, "Yaw (degrees)"), pose_text(0.187, "Pose by shape mode 0 (0 = mean)")
    ('yaw 54 degrees', 'pose 0.19')
    """
    what, _, rest = label.partition(" (")
    unit = rest.partition(")")[0]
    what = what.partition(" by ")[0]
    what = what[:1].lower() + what[1:]
    if np.isnan(pose):
        return f"{what} unknown"
    number = f"{pose:.0f}" if abs(pose) >= 10 else f"{pose:.2g}"
    number = number.replace("-", "\N{MINUS SIGN}")
    return f"{what} {number}" + (f" {unit}" if unit.isalpha() else "")
