"""ErrorByPoseDisplay: mean error by pose."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy import stats

from skwing._utils.landmarks import as_points
from skwing._utils.unwrap import schema_of
from skwing.display._figures import GREY, curve_style, import_pyplot, next_curve, one_axes
from skwing.display._inputs import (
    absolute_label,
    name_of,
    poses_of,
    sample_errors,
    unit_of,
)
from skwing.metrics._samples import boxes_of_data, with_boxes_only
from skwing.schema import check_schema

if TYPE_CHECKING:
    from typing import Any, Self

    from matplotlib.axes import Axes
    from matplotlib.container import ErrorbarContainer
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike
    from sklearn.base import BaseEstimator

    from skwing._utils.types import Floats, Ints, Predictor
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

_COUNTS = "skwing-counts"  # gid of the sample counts, so that a second curve does not repeat them


class ErrorByPoseDisplay:
    """Mean error by yaw or another measure of pose, with confidence intervals.

    It is recommended to create a display by :meth:`from_estimator` or
    :meth:`from_predictions`. To compare several models in one plot, pass the `ax_` of the
    first display as `ax`.

    Parameters
    ----------
    bin_edges : ndarray of shape (n_bins + 1,)
        Edges of the bins of the pose.
    bin_counts : ndarray of int of shape (n_bins,)
        Number of samples with a known error in each bin.
    bin_errors : ndarray of shape (n_bins,)
        Mean error of each bin; NaN for an empty bin.
    bin_intervals : ndarray of shape (2, n_bins)
        Lower and upper limit of the confidence interval of the mean; NaN for fewer than two
        samples.
    confidence : float, default=0.95
        Confidence level of the intervals.
    name : str, default=None
        Name of the model in the legend.
    normalizer : str, default="lengths"
        Normaliser of the errors, see :class:`CumulativeErrorDisplay`.
    pose_label : str, default="Pose"
        Label of the x axis.

    Attributes
    ----------
    line_ : matplotlib Line2D
        The mean errors.
    intervals_ : matplotlib ErrorbarContainer
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    PoseHistogramDisplay : Frequency of poses.

    Notes
    -----
    The intervals are those of Student's t distribution for the mean of independent samples.
    Several images of one person are not independent; the true intervals are then wider.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing.datasets import make_faces
    >>> from skwing.display import ErrorByPoseDisplay
    >>> faces = make_faces(40, random_state=0)
    >>> noise = np.random.default_rng(0).normal(0, 2, faces.target.shape)
    >>> display = ErrorByPoseDisplay.from_predictions(
    ...     faces.target, faces.target + noise, faces.pose[:, 0],
    ...     bins=[-90, -30, 30, 90], pose_label="Yaw (degrees)",
    ... )
    >>> display.bin_counts
    array([ 7, 25,  8])
    """

    line_: Line2D
    intervals_: ErrorbarContainer
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        bin_edges: Floats,
        bin_counts: Ints,
        bin_errors: Floats,
        bin_intervals: Floats,
        confidence: float = 0.95,
        name: str | None = None,
        normalizer: str = "lengths",
        pose_label: str = "Pose",
    ) -> None:
        self.bin_edges = bin_edges
        self.bin_counts = bin_counts
        self.bin_errors = bin_errors
        self.bin_intervals = bin_intervals
        self.confidence = confidence
        self.name = name
        self.normalizer = normalizer
        self.pose_label = pose_label

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        counts: bool = True,
        **line_kwargs: Any,
    ) -> Self:
        """Plot the mean errors at the centres of the bins.

        Curves after the first are shifted slightly to the side, so that intervals do not
        overlap. Intervals are clipped at twice the largest mean.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a new figure.
        name : str, default=None
            Name in the legend; None uses `self.name`.
        counts : bool, default=True
            Whether to show the number of samples above each bin, once per axes.
        **line_kwargs : dict
            Passed to matplotlib's ``errorbar``.

        Returns
        -------
        display : ErrorByPoseDisplay

        Raises
        ------
        ValueError
            If `ax` shows errors in another unit.
        """
        unit = unit_of(self.normalizer)
        ax = one_axes(type(self), ax)
        number = next_curve(ax, ax.get_ylabel(), unit.label)
        name = self.name if name is None else name
        label = "mean error" if name is None else name
        own = {"marker": "o", "capsize": 3, "elinewidth": 1.2, "label": label, **line_kwargs}
        style = curve_style(number, own)
        middles = (self.bin_edges[:-1] + self.bin_edges[1:]) / 2
        lengths = np.abs(self.bin_intervals - self.bin_errors)
        self.intervals_ = ax.errorbar(
            middles,
            unit.factor * self.bin_errors,
            yerr=unit.factor * lengths,
            transform=ax.transData + _aside(ax, number),
            **style,
        )
        self.line_ = self.intervals_.lines[0]
        # Bins of two or three samples may have very large intervals; clip them.
        top = min(
            np.nanmax([self.bin_errors, self.bin_intervals[1]]), 2 * np.nanmax(self.bin_errors)
        )
        top = max(1.05 * unit.factor * top, ax.get_ylim()[1] if number else 0.0)
        ax.set(ylim=(0, top or 1.0), xlabel=self.pose_label, ylabel=unit.label)
        if number == 0:
            ax.set_xlim(self.bin_edges[0], self.bin_edges[-1])
        if counts:
            self._write_counts(ax)
        for edge in self.bin_edges[1:-1]:
            ax.axvline(edge, color="0.92", linewidth=0.8, zorder=0)
        title = f"mean and {100 * self.confidence:g} % confidence interval"
        ax.legend(
            loc="best", fontsize="small", title=title, title_fontsize="small", alignment="left"
        )
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _write_counts(self, ax: Any) -> None:
        if any(text.get_gid() == _COUNTS for text in ax.texts):
            return
        place = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points"}
        style = {"ha": "center", "va": "bottom", "fontsize": "small", "color": GREY}
        middles = (self.bin_edges[:-1] + self.bin_edges[1:]) / 2
        for middle, count in zip(middles, self.bin_counts, strict=True):
            ax.annotate(str(count), (middle, 1), (0, 3), gid=_COUNTS, **place, **style)
        note = {"ha": "right", "va": "bottom", "fontsize": "small", "color": GREY}
        ax.annotate(
            "n =",
            (0, 1),
            (-4, 3),
            xycoords="axes fraction",
            textcoords="offset points",
            gid=_COUNTS,
            **note,
        )

    @classmethod
    def from_estimator(
        cls,
        estimator: Predictor,
        X: ImagesLike,
        y: ArrayLike,
        poses: ArrayLike | BaseEstimator,
        *,
        bins: int | ArrayLike = 8,
        absolute: bool = False,
        confidence: float = 0.95,
        normalizer: str | ArrayLike = "auto",
        schema: str | LandmarkSchema | None = None,
        boxes: ArrayLike | None = None,
        name: str | None = None,
        pose_label: str | None = None,
        ax: Axes | None = None,
        **line_kwargs: Any,
    ) -> Self:
        """Create a display from an estimator.

        Parameters
        ----------
        estimator : fitted regressor of landmarks, or pipeline or search with one
        X : BoxedImages, array, sequence or DataFrame of n_samples images
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels; NaN = missing.
        poses : array-like of shape (n_samples,), or fitted PoseBalancer
        bins, absolute, confidence, normalizer, schema, boxes, pose_label, ax, **line_kwargs
            See :meth:`from_predictions`. If `schema` or `boxes` is None, those of the
            estimator or of X are used.
        name : str, default=None
            Name in the legend; None uses the name of the estimator's class.

        Returns
        -------
        display : ErrorByPoseDisplay
        """
        import_pyplot(cls)
        X, y, poses, boxes, normalizer = with_boxes_only(X, as_points(y), poses, boxes, normalizer)
        return cls.from_predictions(
            y,
            estimator.predict(X),
            poses,
            bins=bins,
            absolute=absolute,
            confidence=confidence,
            normalizer=normalizer,
            schema=schema_of(estimator, X, check_schema(schema)),
            boxes=boxes_of_data(X, boxes),
            name=name_of(estimator) if name is None else name,
            pose_label=pose_label,
            ax=ax,
            **line_kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        poses: ArrayLike | BaseEstimator,
        *,
        bins: int | ArrayLike = 8,
        absolute: bool = False,
        confidence: float = 0.95,
        normalizer: str | ArrayLike = "auto",
        schema: str | LandmarkSchema | None = None,
        boxes: ArrayLike | None = None,
        name: str | None = None,
        pose_label: str | None = None,
        ax: Axes | None = None,
        **line_kwargs: Any,
    ) -> Self:
        """Create a display from predictions.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
                (n_samples, 2 * n_landmarks)
            In image pixels; NaN in `y_true` = missing.
        poses : array-like of shape (n_samples,), or fitted PoseBalancer
            Poses, such as yaw in degrees; samples with NaN are ignored. With a balancer, or a
            pipeline with one, the coefficients of its component are computed from `y_true`.
        bins : int or array-like of shape (n_bins + 1,), default=8
            Number of bins of equal width, or their edges in ascending order. Samples outside
            the edges are ignored; the last bin includes both edges.
        absolute : bool, default=False
            Whether rotations to the left and to the right share bins.
        confidence : float, default=0.95
            Confidence level of the interval of the mean.
        normalizer : str, float or array-like of shape (n_samples,), default="auto"
            See :meth:`CumulativeErrorDisplay.from_predictions`. The inter-ocular distance
            decreases with yaw; "box" is independent of the pose.
        schema : str or LandmarkSchema, default=None
            Schema of the landmarks.
        boxes : array-like of shape (n_samples, 4), default=None
            Boxes for ``normalizer="box"``.
        name : str, default=None
            Name of the model in the legend.
        pose_label : str, default=None
            Label of the x axis, with the unit.
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a new figure.
        **line_kwargs : dict
            Passed to matplotlib's ``errorbar``.

        Returns
        -------
        display : ErrorByPoseDisplay

        Raises
        ------
        ValueError
            If shapes differ, `bins` or `confidence` is out of range, or no sample has both an
            error and a pose within the bins.
        """
        import_pyplot(cls)
        if not 0 < confidence < 1:
            raise ValueError(f"confidence must be a number between 0 and 1; got {confidence!r}.")
        errors, word = sample_errors(y_true, y_pred, normalizer, schema, boxes)
        values, label = poses_of(poses, y_true, len(errors))
        known = ~(np.isnan(errors) | np.isnan(values))
        if not known.any():
            raise ValueError(f"none of the {len(errors)} samples has both an error and a pose.")
        values = np.abs(values) if absolute else values
        edges = _check_edges(bins, values[known], absolute)
        means, intervals, counts = _binned(errors[known], values[known], edges, confidence)
        if not counts.any():
            raise ValueError(
                f"no pose is within the bins, from {edges[0]:g} to {edges[-1]:g}: poses are "
                f"between {values[known].min():g} and {values[known].max():g}."
            )
        if pose_label is None:
            pose_label = absolute_label(label) if absolute else label
        display = cls(
            bin_edges=edges,
            bin_counts=counts,
            bin_errors=means,
            bin_intervals=intervals,
            confidence=confidence,
            name=name,
            normalizer=word,
            pose_label=pose_label,
        )
        return display.plot(ax, **line_kwargs)


def _aside(ax: Any, number: int) -> Any:
    """Horizontal shift of a curve, so that intervals do not overlap."""
    from matplotlib.transforms import ScaledTranslation

    points = 5 * ((number + 1) // 2) * (-1) ** number
    return ScaledTranslation(points / 72, 0, ax.figure.dpi_scale_trans)


def _check_edges(bins: Any, values: Floats, absolute: bool) -> Floats:
    if np.ndim(bins) == 0:
        if isinstance(bins, (bool, np.bool_)) or int(bins) != bins or bins < 1:
            raise ValueError(f"bins must be an integer of at least 1, or edges; got {bins!r}.")
        low, high = (0.0 if absolute else values.min()), values.max()
        return np.linspace(low, high if high > low else low + 1, int(bins) + 1)
    edges = np.asarray(bins, dtype=np.float64)
    if edges.ndim != 1 or len(edges) < 2 or not (np.diff(edges) > 0).all():
        raise ValueError(f"bins must be two or more ascending edges, or an integer; got {bins!r}.")
    return edges


def _binned(
    errors: Floats, values: Floats, edges: Floats, confidence: float
) -> tuple[Floats, Floats, Ints]:
    """Mean, confidence interval and number of the errors in each bin."""
    n_bins = len(edges) - 1
    number = np.searchsorted(edges, values, side="right") - 1
    number[values == edges[-1]] = n_bins - 1
    means, intervals = np.full(n_bins, np.nan), np.full((2, n_bins), np.nan)
    counts = np.zeros(n_bins, dtype=np.int64)
    for i in range(n_bins):
        own = errors[number == i]
        counts[i] = len(own)
        if len(own):
            means[i] = own.mean()
        if len(own) > 1:
            half = stats.t.ppf((1 + confidence) / 2, len(own) - 1) * stats.sem(own)
            intervals[:, i] = means[i] - half, means[i] + half
    return means, intervals, counts
