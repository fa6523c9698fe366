"""Pose-based data balancing: samples of rare poses are repeated in training.

Feng et al. (2018) align all shapes, select the principal component that describes the pose,
divide the range of its coefficient into bins of equal width, and repeat the samples of each
bin until it is about as full as the largest. :class:`PoseBalancer` does this in scikit-learn
pipelines without copying samples; :class:`PoseResampler` does it in imbalanced-learn pipelines.
"""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING

import numpy as np
from sklearn.base import TransformerMixin
from sklearn.exceptions import NotFittedError
from sklearn.utils import _safe_indexing
from sklearn.utils.validation import check_is_fitted

from skwing._utils.callbacks import CallbackSupportMixin, with_callbacks
from skwing._utils.checks import By, Either, Flag, Only, check_table, count
from skwing._utils.doc_links import DocLinkMixin
from skwing._utils.estimators import BaseEstimator
from skwing._utils.landmarks import as_points, check_reach
from skwing._utils.pickle_format import (
    check_keys,
    pack,
    packed_of_first_pickles,
    unpack,
    written_by,
)
from skwing._utils.unwrap import check_order
from skwing.images import as_boxed_images
from skwing.schema import check_schema
from skwing.shapes import ShapeModes
from skwing.shapes._poses import (
    bin_poses,
    choose_component,
    count_repeats,
    pose_modes,
    project_poses,
)

if TYPE_CHECKING:
    from collections.abc import Sized
    from typing import Any, Literal, Self, TypeVar

    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats, Ints
    from skwing.images import BoxedImages
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

    Samples = TypeVar("Samples", bound=Sized)
    Target = TypeVar("Target")

__all__ = ["PoseBalancer", "PoseResampler"]

_MOST_BINS = 10**6

# Constraints of the parameters of PoseBalancer and PoseResampler.
SETTINGS = {
    "n_bins": count(high=_MOST_BINS),
    "component": Either(count(0), Only("auto")),
    "max_repeats": Either(count(), Only(None)),
    "absolute": Flag(),
    "schema": By(check_schema),
}

# Range of pose coefficients, in units of the shape's radius, below which poses are equal.
_SAME_POSE = 1e-9


# Fitted attributes: all are arrays, except for the two integers in _COUNTS.
ATTRIBUTES = (
    *("mean_shape_", "components_", "explained_variance_ratio_", "component_", "poses_"),
    *("bin_edges_", "bin_counts_", "target_count_", "repeats_", "sample_indices_"),
)
_COUNTS = ("component_", "target_count_")


def balance_of(balancer: _PoseHistogram) -> dict[str, Any] | None:
    """Fitted attributes of a balancer as a dict, or None if it is not fitted."""
    if not hasattr(balancer, "repeats_"):
        return None
    return {name.rstrip("_"): getattr(balancer, name) for name in ATTRIBUTES}


def put_balance(balancer: _PoseHistogram, fitted: dict[str, Any], what: str) -> None:
    """Set the fitted attributes of a balancer from the result of :func:`balance_of`.

    Raises
    ------
    ValueError
        If an attribute is missing, unknown or of the wrong type.
    """
    check_keys(fitted, [name.rstrip("_") for name in ATTRIBUTES], what)
    for name in ATTRIBUTES:
        value = fitted[name.rstrip("_")]
        if isinstance(value, Integral) is not (name in _COUNTS) or np.asarray(value).dtype == "O":
            raise ValueError(f"{what}: {name} is {value!r:.60}")
        setattr(balancer, name, int(value) if name in _COUNTS else np.array(value))


def _balance(points: Floats, settings: Any, schema: LandmarkSchema | None) -> dict[str, Any]:
    """Fitted attributes of a balancer for landmarks of shape (n, L, 2)."""
    modes, coefficients = pose_modes(points)
    component = choose_component(settings.component, modes, schema)
    poses = coefficients[:, component]
    values = np.abs(poses) if settings.absolute else poses
    known = values[~np.isnan(values)]
    bins = bin_poses(known, settings.n_bins, from_zero=settings.absolute)
    repeats = np.ones(len(values), dtype=np.int64)
    if np.ptp(poses[~np.isnan(poses)]) > _SAME_POSE:
        repeats = count_repeats(values, *bins, settings.max_repeats)
    sample_indices = np.repeat(np.arange(len(values)), repeats)
    shape = (modes.mean, modes.components, modes.variance_ratios)
    found = (*shape, component, poses, *bins, repeats, sample_indices)
    return dict(zip(ATTRIBUTES, found, strict=True))


class _PoseHistogram(DocLinkMixin, BaseEstimator):
    """Parameters and fitted attributes that balancer and resampler share."""

    _constraints = SETTINGS

    mean_shape_: Floats
    components_: Floats
    explained_variance_ratio_: Floats
    component_: int
    poses_: Floats
    bin_edges_: Floats
    bin_counts_: Ints
    target_count_: int
    repeats_: Ints
    sample_indices_: Ints

    def __init__(
        self,
        *,
        n_bins: int = 9,
        component: int | Literal["auto"] = "auto",
        max_repeats: int | None = 20,
        absolute: bool = True,
        schema: str | LandmarkSchema | None = None,
    ) -> None:
        self.n_bins = n_bins
        self.component = component
        self.max_repeats = max_repeats
        self.absolute = absolute
        self.schema = schema

    def _fit_poses(self, y: Any, n_samples: int, data_schema: str | LandmarkSchema | None) -> None:
        settings = check_table(self._constraints, self)
        if y is None:
            raise ValueError(f"{type(self).__name__} needs y, the landmarks; got None")
        points = as_points(y)
        check_reach(points)
        if len(points) != n_samples:
            raise ValueError(
                f"X has {n_samples} samples, y has {len(points)}; expected the same number"
            )
        own = self.schema if self.schema is not None else data_schema
        schema = check_schema(own, n_landmarks=points.shape[1])
        check_order(schema, data_schema, "the balancer")
        self.__dict__.update(_balance(points, settings, schema))

    def pose_coefficients(self, y: ArrayLike) -> Floats:
        """Compute the coefficients of the balanced component for new shapes.

        Parameters
        ----------
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing. May differ from the samples of `fit`.

        Returns
        -------
        poses : ndarray of shape (n_samples,)
            In the units of `poses_`. For the samples of `fit`, there are small differences
            from `poses_`, because shapes are aligned to `mean_shape_`. NaN if a sample has
            fewer than two distinct landmarks. Missing landmarks are inferred from `y`.

        Raises
        ------
        NotFittedError
            If called before `fit`.
        ValueError
            If the shape of `y` is invalid, or the number of landmarks differs.

        Examples
        --------
        >>> import numpy as np
        >>> from skwing import PoseBalancer
        >>> lean = np.array([0, 0, 0, 0, 0, 1, 1, 6])
        >>> y = np.array([[[0.0, 0], [8, 0], [4 + a, 8]] for a in lean])
        >>> balancer = PoseBalancer(n_bins=2).fit(np.zeros((8, 32, 32), dtype=np.uint8), y)
        >>> new = np.array([[[10.0, 10], [26, 10], [18 + 2, 26]]])  # leans as far as y[5]
        >>> bool(np.isclose(balancer.pose_coefficients(new), balancer.poses_[5], atol=0.01)[0])
        True
        """
        if not hasattr(self, "components_"):
            raise NotFittedError(f"this {type(self).__name__} is not fitted yet")
        points = as_points(y, len(self.mean_shape_))
        check_reach(points)
        components = self.components_[[self.component_]]
        modes = ShapeModes(self.mean_shape_, components, np.empty(1), np.empty(1))
        return project_poses(points, modes)[:, 0]

    def __getstate__(self) -> dict[str, Any]:
        fitted = balance_of(self)
        return pack(self, super().__getstate__(), ATTRIBUTES, fitted)

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "format" not in state:
            state = packed_of_first_pickles(state, ATTRIBUTES)
        fitted = unpack(self, state)
        if fitted is not None:
            put_balance(self, fitted, written_by(self, state["skwing"]))

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array = False
        tags.input_tags.three_d_array = True
        tags.input_tags.allow_nan = True
        tags.target_tags.required = True
        tags.target_tags.multi_output = True
        return tags


class PoseBalancer(  # type: ignore[call-arg]
    CallbackSupportMixin, TransformerMixin, _PoseHistogram, auto_wrap_output_keys=None
):
    """Balance the poses of the training samples, as a step of a pipeline.

    When the pipeline is fitted, the balancer attaches a number of repeats to each sample.
    The regressor samples it that often per epoch, each time with different augmentation. No
    sample is copied, and y is unchanged. When the pipeline predicts, X is returned
    unchanged, so scores are computed on the original distribution.

    Parameters
    ----------
    n_bins : int, default=9
        Number of bins of equal width for the range of poses.
    component : int or "auto", default="auto"
        Index of the principal component of the shapes that describes the pose, counted from
        0. "auto" selects the component that contributes most to the variance of what changes
        sign when the shapes are mirrored, which is yaw. Without a schema that defines the
        mirror image of each landmark, it selects component 0.
    max_repeats : int or None, default=20
        Maximum number of repeats of a sample; None sets no limit.
    absolute : bool, default=True
        Whether rotations to the left and to the right share bins, which then start at 0.
        If False, bins extend from the smallest to the largest coefficient.
    schema : str, LandmarkSchema or None, default=None
        Definition of the landmarks; None uses the schema of the data.

    Attributes
    ----------
    mean_shape_ : ndarray of shape (n_landmarks, 2)
        Mean of the aligned shapes, with a root mean square radius of about 1.
    components_ : ndarray of shape (n_components, n_landmarks, 2)
        Principal components: ``mean_shape_ + b * components_[k]`` is a shape.
    explained_variance_ratio_ : ndarray of shape (n_components,)
        Fraction of the variance that each component explains.
    component_ : int
        Index of the component that is balanced.
    poses_ : ndarray of shape (n_samples,)
        Coefficient of this component for each sample, in units of the mean shape's radius,
        and therefore independent of the image resolution. With ``component="auto"`` and a
        schema for faces, it is positive if the nose points to the right of the image. NaN
        if a sample has fewer than two distinct landmarks.
    bin_edges_ : ndarray of shape (n_bins + 1,)
        Bin edges of ``abs(poses_)``, or of `poses_` if not `absolute`.
    bin_counts_ : ndarray of int of shape (n_bins,)
        Number of samples in each bin. Samples on an inner edge count in both bins.
    target_count_ : int
        Size of the largest bin, up to which samples of other bins are repeated. As in the
        authors' code, it is computed from a histogram between the smallest and the largest
        value, and may differ from the maximum of `bin_counts_` by samples near an edge.
    repeats_ : ndarray of int of shape (n_samples,)
        ``round(target_count_ / count)``, where count is the size of the sample's bin.
    sample_indices_ : ndarray of int of shape (n_repeated_samples,)
        Index of each sample, repeated according to `repeats_`, for example for
        ``y[balancer.sample_indices_]``.

    See Also
    --------
    PoseResampler : The same for pipelines of imbalanced-learn.

    Notes
    -----
    This is the pose-based data balancing of Feng et al. (2018), section 5. With
    ``component=0, max_repeats=None``, the repeats equal those of the authors' code (for
    shapes of 19 landmarks, the authors use ``component=1``). There are three differences
    where that code fails: empty bins are ignored, no sample is dropped, and if all shapes
    have the same pose, all repeats are 1.

    Missing landmarks are inferred, see :func:`skwing.shapes.complete_shapes`. A sample with
    fewer than two distinct landmarks has no pose; it is not repeated and not counted in any
    bin.

    If X already has repeats, they are multiplied by the new ones. Two balancers in a
    pipeline therefore balance two components.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.balance import PoseBalancer
    >>> X = np.zeros((8, 32, 32), dtype=np.uint8)
    >>> lean = np.array([0, 0, 0, 0, 0, 1, 1, 6])
    >>> y = np.array([[[0.0, 0], [8, 0], [4 + a, 8]] for a in lean])
    >>> balancer = PoseBalancer(n_bins=2)
    >>> images = balancer.fit_transform(X, y)
    >>> images.repeats
    array([1, 1, 1, 1, 1, 1, 1, 7])
    """

    @with_callbacks
    def fit(self, X: ImagesLike, y: ArrayLike) -> Self:
        """Compute the poses and the number of repeats of each sample.

        Parameters
        ----------
        X : BoxedImages, array, sequence or DataFrame of n_samples images
            Only its length and its schema are used.
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing.

        Returns
        -------
        self : PoseBalancer

        Raises
        ------
        ValueError
            If a parameter is out of range, X and y differ in length, y is neither layout
            of landmarks or does not fit the schema, or no sample has two distinct points.
        """
        context = self._init_callback_context()
        context.call_on_fit_task_begin(estimator=self, X=X, y=y)
        images = as_boxed_images(X)
        self._fit_poses(y, len(images), images.schema)
        context.call_on_fit_task_end(estimator=self, X=X, y=y)
        return self

    def fit_transform(self, X: ImagesLike, y: ArrayLike) -> BoxedImages:
        """Fit to the landmarks and attach the repeats to X.

        Parameters
        ----------
        X : BoxedImages, array, sequence or DataFrame of n_samples images
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing.

        Returns
        -------
        images : BoxedImages of n_samples images
            X with `repeats_`, multiplied by the previous repeats of X, if any.

        Raises
        ------
        ValueError
            See :meth:`fit`.
        """
        images = as_boxed_images(X)
        repeats = self.fit(images, y).repeats_
        return images.with_repeats(repeats if images.repeats is None else repeats * images.repeats)

    def transform(self, X: Samples) -> Samples:
        """Return X unchanged: only training is balanced.

        Parameters
        ----------
        X : any type

        Returns
        -------
        X : the same object
        """
        check_is_fitted(self)
        return X

    def set_output(self, *, transform: Any = None) -> Self:
        """Do nothing: images cannot be converted to a table.

        Pipelines call this method for all of their steps.

        Parameters
        ----------
        transform : {"default", "pandas", "polars"}, default=None
            Ignored.

        Returns
        -------
        self : PoseBalancer
        """
        return self


class PoseResampler(_PoseHistogram):
    """Balance poses by repeating samples, as a step of imbalanced-learn's Pipeline.

    Unlike :class:`PoseBalancer`, it returns a longer X and y, and therefore works with
    regressors that do not support repeats. It is skipped when the pipeline predicts.

    Parameters
    ----------
    n_bins : int, default=9
        Number of bins of equal width for the range of poses.
    component : int or "auto", default="auto"
        Index of the principal component that describes the pose; see :class:`PoseBalancer`.
    max_repeats : int or None, default=20
        Maximum number of repeats of a sample; None sets no limit.
    absolute : bool, default=True
        Whether rotations to the left and to the right share bins.
    schema : str, LandmarkSchema or None, default=None
        Definition of the landmarks; None uses the schema of the data.

    Attributes
    ----------
    sample_indices_ : ndarray of int of shape (n_repeated_samples,)
        Indices into X and y of the returned samples.
    repeats_ : ndarray of int of shape (n_samples,)
        Number of repeats of each sample. All other attributes of :class:`PoseBalancer` are
        available too.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.balance import PoseResampler
    >>> lean = np.array([0, 0, 0, 0, 0, 1, 1, 6])
    >>> y = np.array([[[0.0, 0], [8, 0], [4 + a, 8]] for a in lean])
    >>> X, y_balanced = PoseResampler(n_bins=2).fit_resample(list("abcdefgh"), y)
    >>> "".join(X), y_balanced.shape
    ('abcdefghhhhhhh', (14, 3, 2))
    """

    # No fit and no transform: imbalanced-learn rejects steps with both kinds of methods.
    def fit_resample(self, X: Samples, y: Target) -> tuple[Samples, Target]:
        """Repeat the samples of rare poses.

        Parameters
        ----------
        X : array, sequence, DataFrame or BoxedImages of n_samples samples
            Anything that can be indexed.
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing.

        Returns
        -------
        X : same type as X
            The samples at `sample_indices_`.
        y : same type as y
            The landmarks at `sample_indices_`.

        Raises
        ------
        ValueError
            If a parameter is out of range, X and y differ in length, y is neither layout
            of landmarks or does not fit the schema, or no sample has two distinct points.
        """
        self._fit_poses(y, len(X), getattr(X, "schema", None))
        return tuple(_safe_indexing(part, self.sample_indices_) for part in (X, y))
