"""LandmarkDisplay: images with their predicted and true landmarks."""

from __future__ import annotations

import inspect
import os
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.landmarks import as_points, one_sample_hint
from skwing._utils.unwrap import gives_confidence, schema_of, unwrapped
from skwing.display._figures import draw_shape, grid_axes, import_pyplot, legend_above
from skwing.display._inputs import pose_text, poses_of, sample_errors, unit_of
from skwing.display._marks import draw_circles, number_labels, ring_handle, write_labels
from skwing.display._order import choose_samples, doubt_of
from skwing.display._thumbnails import make_thumbnail, show_thumbnail
from skwing.images import as_boxed_images
from skwing.metrics._samples import boxes_of_data
from skwing.schema import check_schema

if TYPE_CHECKING:
    from typing import Any, Literal, Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import ArrayLike, NDArray
    from sklearn.base import BaseEstimator

    from skwing._utils.types import Floats, Ints, Predictor, RandomState
    from skwing.display._order import Order
    from skwing.display._thumbnails import Thumbnail
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema


# Sky blue and yellow of Okabe and Ito: suitable for colour-blind readers, and bright on skin.
_TRUE, _PREDICTED = "#56B4E9", "#F0E442"
_LONGEST_NAME = 22  # characters of a file name in a title


class LandmarkDisplay:
    """Grid of images with predicted and true landmarks, sorted by error.

    It is recommended to create a display by :meth:`from_estimator` or
    :meth:`from_predictions`. Only the displayed images are decoded.

    Parameters
    ----------
    crops : list of Thumbnail
        Excerpts of the images, with their positions (`pixels`, `extent`).
    indices : ndarray of int of shape (n_shown,)
        Indices of the samples in X.
    y_true, y_pred : ndarray of shape (n_shown, n_landmarks, 2) or None
        In image pixels; NaN = missing.
    errors : ndarray of shape (n_shown,) or None
        Error of each sample, a fraction; NaN if it is undefined.
    poses : ndarray of shape (n_shown,) or None
        Pose of each sample.
    schema : LandmarkSchema or None
        Schema that defines the contours.
    normalizer : str, default="lengths"
        Normaliser of the errors, see :class:`CumulativeErrorDisplay`.
    names : list of str or None, default=None
        File name of each image.
    std : ndarray of shape (n_shown, n_landmarks) or None, default=None
        Standard deviation of each predicted landmark, in image pixels.
    pose_label : str, default="Pose"
        Name of the poses, with the unit in brackets.
    confidence : ndarray of shape (n_shown,) or None, default=None
        Probability that the predicted landmarks of each sample are right.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_shown,)
        Panels of the images.
    ax_ : matplotlib Axes
        Frame around the panels, with the legend.
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skwing.datasets import make_faces
    >>> from skwing.display import LandmarkDisplay
    >>> X, y = make_faces(6, random_state=0, return_X_y=True)
    >>> wrong = y.copy()
    >>> wrong[4] += 9
    >>> display = LandmarkDisplay.from_predictions(X, y, wrong, n_images=2)
    >>> int(display.indices[0]), [len(ax.images) for ax in display.axes_]
    (4, [1, 1])
    """

    axes_: NDArray[np.object_]
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        crops: list[Thumbnail],
        indices: Ints,
        y_true: Floats | None = None,
        y_pred: Floats | None = None,
        errors: Floats | None = None,
        poses: Floats | None = None,
        schema: LandmarkSchema | None = None,
        normalizer: str = "lengths",
        names: list[str] | None = None,
        std: Floats | None = None,
        pose_label: str = "Pose",
        confidence: Floats | None = None,
    ) -> None:
        self.crops = crops
        self.indices = indices
        self.y_true = y_true
        self.y_pred = y_pred
        self.errors = errors
        self.poses = poses
        self.schema = schema
        self.normalizer = normalizer
        self.names = names
        self.std = std
        self.pose_label = pose_label
        self.confidence = confidence

    def plot(
        self,
        ax: Axes | None = None,
        *,
        n_columns: int | None = None,
        contours: bool = True,
        errors: bool = True,
        numbers: bool | Literal["names"] = False,
        n_std: float = 2.0,
        size: float = 2.8,
        width: float = 0.9,
    ) -> Self:
        """Plot the grid.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        n_columns : int, default=None
            Number of columns; None gives an approximately square grid.
        contours : bool, default=True
            Whether to draw the contours of the schema.
        errors : bool, default=True
            Whether to join each true landmark with its prediction by a line.
        numbers : bool or "names", default=False
            Whether to write the number of each landmark beside it: that of the schema if all
            its names are numbered, such as ``lm_1``, ``lm_2`` of TPS files, else the index,
            counted from 0. "names" writes the names of the schema.
        n_std : float, default=2.0
            Radius of the circles around predicted landmarks in standard deviations, where
            these are known. Titles have the mean standard deviation of the landmarks, in
            image pixels.
        size, width : float, default=2.8, 0.9
            Size of dots and width of lines, in typographic points. With circles, dots have half
            the size.

        Returns
        -------
        display : LandmarkDisplay
        """
        n = len(self.crops)
        columns = _n_columns(n) if n_columns is None else min(n_columns, n)
        rows = -(-n // columns)
        ax, spec = grid_axes(type(self), ax, (max(4.4, 2.2 * columns), 2.4 * rows + 0.5))
        schema = self.schema if contours else None
        has_circles = self.std is not None and self.y_pred is not None
        size = size / 2 if has_circles else size  # a dot must not hide its circle
        labels = number_labels(numbers, self.schema, self._n_landmarks())
        sets: list[Any] = [("true", self.y_true, _TRUE), ("predicted", self.y_pred, _PREDICTED)]
        sets = [one for one in sets if one[1] is not None]
        # In a narrow figure the unit of the errors would not fit beside the other entries.
        circles = f"{n_std:g} s.d." if has_circles else None
        below = self._add_legend(ax, spec, sets, 4.8 * rows, size, circles, stacked=columns < 3)
        grid, panels = below.subgridspec(rows, columns), []
        for i, crop in enumerate(self.crops):
            panel = ax.figure.add_subplot(grid[i // columns, i % columns])
            show_thumbnail(panel, crop)
            for label, points, colour in sets:
                draw_shape(
                    panel,
                    points[i],
                    schema,
                    color=colour,
                    label=label,
                    size=size,
                    width=width,
                    outline=True,
                )
            if errors:
                self._join(panel, i, width)
            if labels:
                write_labels(panel, sets[-1][1][i], labels)
            if self.std is not None and self.y_pred is not None:
                draw_circles(panel, self.y_pred[i], n_std * self.std[i], _PREDICTED, width)
            panel.set_title(self._title(i), fontsize="small")
            panels.append(panel)
        self.axes_, self.ax_, self.figure_ = np.array(panels), ax, ax.figure
        return self

    def _add_legend(
        self,
        ax: Any,
        spec: Any,
        sets: list[Any],
        ratio: float,
        size: float,
        circles: str | None,
        stacked: bool,
    ) -> Any:
        from matplotlib.lines import Line2D

        style: dict[str, Any] = {"marker": "o", "markersize": 2 * size, "markeredgecolor": "0.1"}
        handles = [Line2D([], [], color=colour, **style) for _, _, colour in sets]
        labels = [label for label, _, _ in sets]
        if circles is not None:
            handles.append(ring_handle(_PREDICTED))
            labels.append(circles)
        if self.errors is not None:
            handles.append(Line2D([], [], linestyle="none"))
            labels.append(unit_of(self.normalizer).label)
        keywords: dict[str, Any] = {"ncols": len(labels), "columnspacing": 1.2}
        if stacked and self.errors is not None:
            keywords = {"ncols": 1, "fontsize": "small", "labelspacing": 0.2}
        return legend_above(ax, spec, handles, labels, ratio, **keywords)

    def _join(self, ax: Any, i: int, width: float) -> None:
        """Join each true landmark with its prediction."""
        if self.y_true is not None and self.y_pred is not None:
            # A row of NaN after each pair keeps the lines apart.
            ends = np.stack([self.y_true[i], self.y_pred[i], np.full_like(self.y_true[i], np.nan)])
            x, y = ends.transpose(2, 1, 0).reshape(2, -1)
            ax.plot(x, y, color="white", linewidth=width, zorder=2.5)

    def _n_landmarks(self) -> int:
        points: Any = self.y_true if self.y_pred is None else self.y_pred
        return points.shape[1]

    def _title(self, i: int) -> str:
        parts = [f"#{self.indices[i]}"]
        if self.names is not None:
            name = self.names[i]
            short = name if len(name) <= _LONGEST_NAME else f"...{name[3 - _LONGEST_NAME :]}"
            parts = [f"#{self.indices[i]} {short}"]
        if self.errors is not None:
            unit = unit_of(self.normalizer)
            known = not np.isnan(self.errors[i])
            parts.append(f"{unit.factor * self.errors[i]:.1f}{unit.sign}" if known else "no error")
        if self.std is not None and not np.isnan(self.std[i]).all():
            parts.append(f"s.d. {np.nanmean(self.std[i]):.1f} px")
        if self.confidence is not None and not np.isnan(self.confidence[i]):
            parts.append(f"{100 * self.confidence[i]:.0f} % sure")
        if self.poses is not None:
            parts.append(pose_text(self.poses[i], self.pose_label))
        return ", ".join(parts)

    @classmethod
    def from_estimator(
        cls,
        estimator: Predictor,
        X: ImagesLike,
        y: ArrayLike | None = None,
        *,
        n_images: int = 12,
        order: Order | ArrayLike | None = None,
        poses: ArrayLike | BaseEstimator | None = None,
        margin: float = 0.25,
        normalizer: str | ArrayLike = "auto",
        schema: str | LandmarkSchema | None = None,
        boxes: ArrayLike | None = None,
        uncertainty: bool = False,
        pose_label: str | None = None,
        random_state: RandomState = None,
        ax: Axes | None = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Create a display from an estimator.

        Parameters
        ----------
        estimator : fitted regressor of landmarks, or pipeline or search with one
        X : BoxedImages, array, sequence or DataFrame of n_samples images
        y : array-like of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks), \
                default=None
            In image pixels; NaN = missing. None if the true landmarks are unknown.
        n_images, order, poses, margin, normalizer, boxes, pose_label, random_state, ax, \
                **plot_kwargs
            See :meth:`from_predictions`.
        schema : str or LandmarkSchema, default=None
            None uses the schema of the estimator or of X.
        uncertainty : bool, default=False
            Whether to draw the standard deviations of ``predict(X, return_std=True)``, which
            requires a calibrated estimator, and to write the confidence of
            ``predict(X, return_confidence=True)``, if it gives one, into the titles.
            ``order="least sure"`` implies it.

        Returns
        -------
        display : LandmarkDisplay

        Raises
        ------
        TypeError
            If standard deviations are needed, but the estimator, such as an exported file, gives
            none.
        """
        import_pyplot(cls)
        is_least_sure = isinstance(order, str) and order == "least sure"
        y_pred, y_std, confidence = _predict(estimator, X, uncertainty or is_least_sure)
        return cls.from_predictions(
            X,
            y,
            y_pred,
            y_std=y_std,
            confidence=confidence,
            n_images=n_images,
            order=order,
            poses=poses,
            margin=margin,
            normalizer=normalizer,
            schema=schema_of(estimator, X, check_schema(schema)),
            boxes=boxes,
            pose_label=pose_label,
            random_state=random_state,
            ax=ax,
            **plot_kwargs,
        )

    @classmethod
    def from_predictions(
        cls,
        X: ImagesLike,
        y_true: ArrayLike | None = None,
        y_pred: ArrayLike | None = None,
        *,
        y_std: ArrayLike | None = None,
        confidence: ArrayLike | None = None,
        n_images: int = 12,
        order: Order | ArrayLike | None = None,
        poses: ArrayLike | BaseEstimator | None = None,
        margin: float = 0.25,
        normalizer: str | ArrayLike = "auto",
        schema: str | LandmarkSchema | None = None,
        boxes: ArrayLike | None = None,
        pose_label: str | None = None,
        random_state: RandomState = None,
        ax: Axes | None = None,
        **plot_kwargs: Any,
    ) -> Self:
        """Choose, decode and draw.

        Parameters
        ----------
        X : BoxedImages, array, sequence or DataFrame of n_samples images
        y_true, y_pred : array-like of shape (n_samples, n_landmarks, 2) or \
                (n_samples, 2 * n_landmarks), default=None
            In image pixels; NaN = missing. One of them may be left out: to look at
            annotations, or at predictions where the truth is not known.
        y_std : array-like of shape (n_samples, n_landmarks), default=None
            Standard deviation of each predicted landmark in image pixels, as
            ``predict(X, return_std=True)`` returns it.
        confidence : array-like of shape (n_samples,), default=None
            Probability that the landmarks of each sample are right, as
            ``predict(X, return_confidence=True)`` returns it.
        n_images : int, default=12
            Maximum number of images.
        order : {"worst", "best", "least sure", "pose", "random", "first"} or sequence of int, \
                default=None
            Which samples are shown, and in which order: those with the largest or smallest
            errors; those with the least `confidence` or, without it, with the largest mean of
            `y_std`, relative to the extent of the predicted landmarks; samples spread evenly
            over the sorted `poses`; random samples; or the first ones. A sequence contains
            positions in X. None is "worst" if errors are known, else "first".
        poses : array-like of shape (n_samples,), or fitted PoseBalancer, default=None
            For ``order="pose"``, and to be written over the pictures. A balancer gives the
            coefficients of its component in `y_true`.
        margin : float, default=0.25
            What is shown round each box, on each side, as a fraction of its longer side. A
            picture is widened to show all true landmarks.
        normalizer : str, float or array-like of shape (n_samples,), default="auto"
            See :meth:`CumulativeErrorDisplay.from_predictions`.
        schema : str or LandmarkSchema, default=None
            None takes that of X; without any there are no contours.
        boxes : array-like of shape (n_samples, 4), default=None
            For ``normalizer="box"``; None takes those of X.
        pose_label : str, default=None
            Name of `poses` in the titles, with the unit in brackets, such as
            ``"Yaw (degrees)"``.
        random_state : int, RandomState or None, default=None
            Random state for ``order="random"``.
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        **plot_kwargs : dict
            Passed to :meth:`plot`.

        Returns
        -------
        display : LandmarkDisplay

        Raises
        ------
        ValueError
            If the numbers of samples differ, `order` is unknown or requires an argument that
            is missing, or an image cannot be decoded.
        FileNotFoundError
            If the file of an image does not exist.
        """
        import_pyplot(cls)
        images = as_boxed_images(X)
        schema = schema_of(None, images, check_schema(schema))
        true, pred, schema = _check_points(y_true, y_pred, len(images), schema)
        errors, word = None, "lengths"
        if true is not None and pred is not None:
            boxes = boxes_of_data(images, boxes)
            # Of a sample that was not predicted, as without a box, there is no error to show.
            absent = np.isnan(pred).all((1, 2), keepdims=True)
            known = np.where(absent, np.nan, true)
            errors, word = sample_errors(known, pred, normalizer, schema, boxes)
        values, label = (None, "Pose") if poses is None else poses_of(poses, true, len(images))
        if order is None:
            order = "first" if errors is None else "worst"
        std = None if y_std is None else _check_given(y_std, "y_std", 2, pred)
        sure = None
        if confidence is not None:
            sure = _check_given(confidence, "confidence", 1, pred)
        doubt = doubt_of(std, pred) if sure is None else -sure
        keys = {"worst": errors, "best": errors, "least sure": doubt, "pose": values}
        chosen = choose_samples(order, n_images, len(images), keys, random_state)
        points: Any = pred if true is None else true
        paths = images.paths

        def of_chosen(values: Any) -> Any:
            return None if values is None else values[chosen]

        display = cls(
            crops=[make_thumbnail(images, i, points[i], margin) for i in chosen],
            names=None if paths is None else [os.path.basename(paths[i]) for i in chosen],
            std=of_chosen(std),
            indices=chosen,
            y_true=of_chosen(true),
            y_pred=of_chosen(pred),
            errors=of_chosen(errors),
            poses=of_chosen(values),
            schema=schema,
            normalizer=word,
            pose_label=label if pose_label is None else pose_label,
            confidence=of_chosen(sure),
        )
        return display.plot(ax, **plot_kwargs)


def _n_columns(n: int) -> int:
    """Number of columns for an approximately square grid with few empty cells."""
    least = int(np.ceil(np.sqrt(n)))
    return min(range(least, int(1.6 * least) + 1), key=lambda columns: (-n % columns, columns))


def _check_points(
    y_true: ArrayLike | None,
    y_pred: ArrayLike | None,
    n_samples: int,
    schema: str | LandmarkSchema | None,
) -> tuple[Floats | None, Floats | None, LandmarkSchema | None]:
    if y_true is None and y_pred is None:
        raise ValueError("there are no landmarks to plot: pass y_true, y_pred or both.")
    true, pred = (
        None if y is None else as_points(y, name=name)
        for y, name in ((y_true, "y_true"), (y_pred, "y_pred"))
    )
    for points, name in ((true, "y_true"), (pred, "y_pred")):
        if points is not None and len(points) != n_samples:
            hint = one_sample_hint(y_true if name == "y_true" else y_pred)
            raise ValueError(f"X has {n_samples} samples, {name} has {len(points)}.{hint}")
    shown: Any = pred if true is None else true
    return true, pred, check_schema(schema, shown.shape[1])


def _predict(estimator: Any, X: Any, with_std: bool) -> Any:
    """Predictions and, if wanted, their standard deviations and confidence."""
    if not with_std:
        return estimator.predict(X), None, None
    estimator = unwrapped(estimator)
    taken = inspect.signature(estimator.predict).parameters
    if "return_std" not in taken and not any(p.kind is p.VAR_KEYWORD for p in taken.values()):
        raise TypeError(
            f"{type(estimator).__name__} has no predict(X, return_std=True): order='least sure' "
            "and uncertainty=True need a CascadeLandmarkRegressor, calibrated by calibrate(X, y)."
        )
    if gives_confidence(estimator):
        return estimator.predict(X, return_std=True, return_confidence=True)
    return *estimator.predict(X, return_std=True), None


def _check_given(values: ArrayLike, name: str, n_axes: int, pred: Floats | None) -> Floats:
    """Numbers for each sample or, with two axes, for each landmark of the predictions."""
    numbers = np.asarray(values, dtype=np.float64)
    if pred is None or numbers.shape != pred.shape[:n_axes]:
        expected = "y_pred as well" if pred is None else f"shape {pred.shape[:n_axes]}"
        raise ValueError(f"{name} has shape {numbers.shape}; expected {expected}.")
    return numbers
