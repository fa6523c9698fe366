"""CumulativeErrorDisplay: cumulative distribution of errors."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.landmarks import as_points
from skwing._utils.unwrap import schema_of
from skwing.display._figures import curve_style, import_pyplot, next_curve, one_axes, percent_ticks
from skwing.display._inputs import name_of, sample_errors, unit_of
from skwing.metrics import ced_auc, ced_curve, failure_rate
from skwing.metrics._samples import boxes_of_data, with_boxes_only
from skwing.schema import check_schema

if TYPE_CHECKING:
    from typing import Any, Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.lines import Line2D
    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats, Predictor
    from skwing.display._inputs import Unit
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema


class CumulativeErrorDisplay:
    """Cumulative error distribution (CED), with its area and the failure rate.

    It is recommended to create a display by :meth:`from_estimator` or
    :meth:`from_predictions`. To compare several models in one plot, pass the `ax_` of the
    first display as `ax`.

    Parameters
    ----------
    thresholds, fractions : ndarray of shape (n_thresholds,)
        The curve, as returned by :func:`skwing.metrics.ced_curve`.
    threshold : float
        Upper limit for `auc`; samples with larger errors are failures.
    auc, failure_rate : float
        Area under the curve and failure rate, as fractions.
    name : str, default=None
        Name of the model in the legend.
    normalizer : str, default="lengths"
        Normaliser of the errors, for the label of the axis: "pixels" for errors in pixels,
        otherwise a key of the schema such as "inter_ocular", or another text.

    Attributes
    ----------
    line_ : matplotlib Line2D
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    See Also
    --------
    ErrorByPoseDisplay : Mean error by pose.
    skwing.metrics.ced_curve : Computes the curve.

    Examples
    --------
    >>> from skwing.datasets import make_faces
    >>> from skwing.display import CumulativeErrorDisplay
    >>> y = make_faces(8, random_state=0).target
    >>> good = CumulativeErrorDisplay.from_predictions(y, y + 1, schema="ibug68", name="good")
    >>> poor = CumulativeErrorDisplay.from_predictions(
    ...     y, y + 1.5, schema="ibug68", name="poor", ax=good.ax_
    ... )
    >>> [text.get_text() for text in poor.ax_.get_legend().get_texts()]
    ['good: AUC 51.2 %, failures 0.0 % (at 10 %)', 'poor: AUC 30.6 %, failures 25.0 % (at 10 %)']
    """

    line_: Line2D
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        thresholds: Floats,
        fractions: Floats,
        threshold: float,
        auc: float,
        failure_rate: float,
        name: str | None = None,
        normalizer: str = "lengths",
    ) -> None:
        self.thresholds = thresholds
        self.fractions = fractions
        self.threshold = threshold
        self.auc = auc
        self.failure_rate = failure_rate
        self.name = name
        self.normalizer = normalizer

    def plot(
        self,
        ax: Axes | None = None,
        *,
        name: str | None = None,
        max_error: float | None = None,
        **line_kwargs: Any,
    ) -> Self:
        """Plot the curve.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a new figure.
        name : str, default=None
            Name in the legend; None uses `self.name`.
        max_error : float, default=None
            Upper limit of the axis, in the unit of `threshold`. None uses `threshold`, or
            the present limit of `ax` if it is larger.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : CumulativeErrorDisplay

        Raises
        ------
        ValueError
            If `ax` shows errors in another unit.
        """
        unit = unit_of(self.normalizer)
        ax = one_axes(type(self), ax)
        number = next_curve(ax, ax.get_xlabel(), unit.label)
        end = self.threshold if max_error is None else max_error
        if number and max_error is None:
            end = max(end, ax.get_xlim()[1] / unit.factor)
        # Extend the curve, in case that the axis is extended later.
        far = max(self.thresholds[-1], 100 * end)
        name = self.name if name is None else name
        style = curve_style(number, {"label": self._legend(name, unit), **line_kwargs})
        (self.line_,) = ax.plot(
            unit.factor * np.append(self.thresholds, far),
            100 * np.append(self.fractions, self.fractions[-1]),
            drawstyle="steps-post",
            **style,
        )
        if end > self.threshold:
            ax.axvline(unit.factor * self.threshold, color="0.6", linewidth=0.8, zorder=0)
        ax.set(xlim=(0, unit.factor * end), ylim=(0, 101), xlabel=unit.label, ylabel="Samples (%)")
        percent_ticks(ax.xaxis)
        ax.grid(True, color="0.9")
        ax.set_axisbelow(True)
        ax.legend(loc="best", fontsize="small")
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _legend(self, name: str | None, unit: Unit) -> str:
        numbers = (
            f"AUC {100 * self.auc:.1f} %, failures {100 * self.failure_rate:.1f} % "
            f"(at {unit.factor * self.threshold:g}{unit.sign})"
        )
        return numbers if name is None else f"{name}: {numbers}"

    @classmethod
    def from_estimator(
        cls,
        estimator: Predictor,
        X: ImagesLike,
        y: ArrayLike,
        *,
        threshold: float = 0.1,
        normalizer: str | ArrayLike = "auto",
        schema: str | LandmarkSchema | None = None,
        boxes: ArrayLike | None = None,
        name: str | None = None,
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
        threshold, normalizer, schema, ax, **line_kwargs
            See :meth:`from_predictions`. If `schema` is None, that of the estimator or of X
            is used.
        boxes : array-like of shape (n_samples, 4), default=None
            Boxes for ``normalizer="box"``; None uses those of X.
        name : str, default=None
            Name in the legend; None uses the name of the estimator's class.

        Returns
        -------
        display : CumulativeErrorDisplay
        """
        import_pyplot(cls)
        X, y, boxes, normalizer = with_boxes_only(X, as_points(y), boxes, normalizer)
        return cls.from_predictions(
            y,
            estimator.predict(X),
            threshold=threshold,
            normalizer=normalizer,
            schema=schema_of(estimator, X, check_schema(schema)),
            boxes=boxes_of_data(X, boxes),
            name=name_of(estimator) if name is None else name,
            ax=ax,
            **line_kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        y_true: ArrayLike,
        y_pred: ArrayLike,
        *,
        threshold: float = 0.1,
        normalizer: str | ArrayLike = "auto",
        schema: str | LandmarkSchema | None = None,
        boxes: ArrayLike | None = None,
        name: str | None = None,
        ax: Axes | None = None,
        **line_kwargs: Any,
    ) -> Self:
        """Create a display from predictions.

        Parameters
        ----------
        y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
                (n_samples, 2 * n_landmarks)
            In image pixels; NaN in `y_true` = missing.
        threshold : float, default=0.1
            A fraction of the normalising length; pixels if `normalizer` is 1.
        normalizer : str, float or array-like of shape (n_samples,), default="auto"
            See :func:`skwing.metrics.normalizing_lengths`. "auto" uses the inter-ocular
            distance if the schema defines it, else the size of the box around the true
            landmarks.
        schema : str or LandmarkSchema, default=None
            Schema of the landmarks.
        boxes : array-like of shape (n_samples, 4), default=None
            Boxes for ``normalizer="box"``.
        name : str, default=None
            Name of the model in the legend.
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a new figure.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : CumulativeErrorDisplay

        Raises
        ------
        ValueError
            If shapes differ, no error can be computed, or the threshold is not positive.
        """
        import_pyplot(cls)
        errors, word = sample_errors(y_true, y_pred, normalizer, schema, boxes)
        return cls.from_errors(
            errors, threshold=threshold, normalizer=word, name=name, ax=ax, **line_kwargs
        )

    @classmethod
    def from_errors(
        cls,
        errors: ArrayLike,
        *,
        threshold: float = 0.1,
        normalizer: str = "lengths",
        name: str | None = None,
        ax: Axes | None = None,
        **line_kwargs: Any,
    ) -> Self:
        """Create a display from the errors of samples.

        Parameters
        ----------
        errors : array-like of shape (n_samples,)
            Error of each sample, a fraction; NaN is ignored, infinity is a failure.
        threshold : float, default=0.1
            Upper limit for the area, and lower limit for failures.
        normalizer : str, default="lengths"
            Normaliser of the errors, for the label; "pixels" for errors in pixels.
        name, ax, **line_kwargs
            See :meth:`from_predictions`.

        Returns
        -------
        display : CumulativeErrorDisplay
        """
        import_pyplot(cls)
        thresholds, fractions = ced_curve(errors)
        display = cls(
            thresholds=thresholds,
            fractions=fractions,
            threshold=threshold,
            auc=ced_auc(errors, threshold),
            failure_rate=failure_rate(errors, threshold),
            name=name,
            normalizer=normalizer,
        )
        return display.plot(ax, **line_kwargs)
