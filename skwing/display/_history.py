"""TrainingHistoryDisplay: loss, learning rate and validation error over the epochs."""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING

import numpy as np

from skwing.display._figures import GREY, aliases_resolved, first_colours, grid_axes, import_pyplot
from skwing.display._inputs import find_fitted, unit_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Self

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from skwing._utils.types import Floats, Ints, Predictor
    from skwing.display._inputs import Unit


class TrainingHistoryDisplay:
    """Loss, learning rate and validation error over the epochs of all stages.

    It is recommended to create a display by :meth:`from_estimator` or
    :meth:`from_history`.

    Parameters
    ----------
    stages : ndarray of int of shape (n_epochs,)
        Number of the stage in each epoch, counted from 1.
    loss, learning_rate : ndarray of shape (n_epochs,)
        Training loss and learning rate of each epoch.
    validation_error : ndarray of shape (n_epochs,), default=None
        A fraction; NaN in epochs without validation, None if there is none at all.
    normalizer : str, default="lengths"
        Normaliser of the validation errors, see :class:`CumulativeErrorDisplay`.

    Attributes
    ----------
    axes_ : ndarray of matplotlib Axes of shape (n_panels,)
        Panels of the loss, the validation error (if any) and the learning rate.
    ax_ : matplotlib Axes
        Empty frame around the panels.
    figure_ : matplotlib Figure

    See Also
    --------
    skwing.CascadeLandmarkRegressor : Its attribute `history_` is plotted.

    Examples
    --------
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing.datasets import make_faces
    >>> from skwing.display import TrainingHistoryDisplay
    >>> X, y = make_faces(8, random_state=0, return_X_y=True)
    >>> reg = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=2, random_state=0)
    >>> display = TrainingHistoryDisplay.from_estimator(reg.fit(X, y))
    >>> display.loss.shape, [ax.get_ylabel() for ax in display.axes_]
    ((2,), ['Training loss', 'Learning rate'])
    """

    axes_: NDArray[np.object_]
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        stages: Ints,
        loss: Floats,
        learning_rate: Floats,
        validation_error: Floats | None = None,
        normalizer: str = "lengths",
    ) -> None:
        self.stages = stages
        self.loss = loss
        self.learning_rate = learning_rate
        self.validation_error = validation_error
        self.normalizer = normalizer

    def plot(self, ax: Axes | None = None, **line_kwargs: Any) -> Self:
        """Plot a panel for each quantity over the epochs of all stages.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : TrainingHistoryDisplay
        """
        unit = unit_of(self.normalizer)
        rows = {"Training loss": self.loss}
        if self.validation_error is not None:
            rows[fill(f"Validation {unit.label}", 24)] = unit.factor * self.validation_error
        rows["Learning rate"] = self.learning_rate
        ax, spec = grid_axes(type(self), ax, figsize=(6.4, 2.0 * len(rows) + 0.6))
        heights = [2] * (len(rows) - 1) + [1]
        grid = spec.subgridspec(len(rows), 1, height_ratios=heights)
        panels: list[Any] = []
        for cell, (label, values) in zip(grid, rows.items(), strict=True):
            panel = ax.figure.add_subplot(cell, sharex=panels[0] if panels else None)
            self._draw(panel, values, line_kwargs)
            panel.set_ylabel(label)
            panel.tick_params(labelbottom=False)
            panels.append(panel)
        if self.validation_error is not None:
            self._mark_best(panels[1], unit)
        self._name_stages(panels[0])
        panels[-1].tick_params(labelbottom=True)
        panels[-1].set_xlabel("Epoch")
        panels[-1].ticklabel_format(axis="y", style="sci", scilimits=(-2, 3))
        self.axes_, self.ax_, self.figure_ = np.array(panels), ax, ax.figure
        return self

    def _draw(self, panel: Any, values: Floats, line_kwargs: dict[str, Any]) -> None:
        from matplotlib.ticker import MaxNLocator

        epochs, numbers = np.arange(1, len(values) + 1), np.unique(self.stages)
        marker = "." if len(values) <= 60 else None
        for number, colour in zip(numbers, first_colours(len(numbers)), strict=True):
            own = self.stages == number
            style = {"color": colour, "marker": marker, "label": f"stage {number}"}
            panel.plot(epochs[own], values[own], **(style | aliases_resolved(line_kwargs)))
        for last in np.flatnonzero(np.diff(self.stages)) + 1:
            panel.axvline(last + 0.5, color="0.7", linewidth=0.8, zorder=0)
        panel.set_xlim(0.5, len(values) + 0.5)
        panel.xaxis.set_major_locator(MaxNLocator(integer=True))
        panel.grid(True, axis="y", color="0.9")

    def _mark_best(self, panel: Any, unit: Unit) -> None:
        """Mark the smallest validation error of each stage."""
        for number in np.unique(self.stages):
            errors: Any = self.validation_error
            values = np.where(self.stages == number, errors, np.nan)
            if np.isnan(values).all():
                continue
            best = int(np.nanargmin(values))
            value = unit.factor * values[best]
            panel.plot(best + 1, value, marker="*", color="black", markersize=9, zorder=4)
            own = np.flatnonzero(self.stages == number)
            share = (best - own[0]) / max(len(own) - 1, 1)
            side = "left" if share < 0.2 else "right" if share > 0.8 else "center"
            panel.annotate(
                f"{value:.2f}{unit.sign}",
                (best + 1, value),
                (0, -8),
                textcoords="offset points",
                ha=side,
                va="top",
                fontsize="small",
            )
        low, high = panel.get_ylim()
        panel.set_ylim(low - 0.15 * (high - low), high)  # room for the numbers

    def _name_stages(self, panel: Any) -> None:
        numbers = np.unique(self.stages)
        if len(numbers) < 2:
            return
        for number in numbers:
            middle = np.flatnonzero(self.stages == number).mean() + 1
            panel.annotate(
                f"stage {number}",
                (middle, 1),
                (0, 3),
                xycoords=("data", "axes fraction"),
                textcoords="offset points",
                ha="center",
                color=GREY,
            )

    @classmethod
    def from_estimator(
        cls, estimator: Predictor, *, ax: Axes | None = None, **line_kwargs: Any
    ) -> Self:
        """Create a display from the history of a fitted regressor.

        Parameters
        ----------
        estimator : fitted CascadeLandmarkRegressor, or pipeline or search with one
        ax : matplotlib Axes, default=None
            Axes to divide into panels; None creates a new figure.
        **line_kwargs : dict
            Passed to matplotlib's ``plot``.

        Returns
        -------
        display : TrainingHistoryDisplay

        Raises
        ------
        NotFittedError
            If the estimator has no `history_`.
        """
        regressor = find_fitted(estimator, "history_", "a CascadeLandmarkRegressor")
        schema = getattr(regressor, "schema_", None)
        has_eyes = schema is not None and "inter_ocular" in schema.normalizers
        normalizer = "inter_ocular" if has_eyes else "landmark_box"
        return cls.from_history(regressor.history_, normalizer=normalizer, ax=ax, **line_kwargs)

    @classmethod
    def from_history(
        cls,
        history: Iterable[Mapping[str, Any]],
        *,
        normalizer: str = "lengths",
        ax: Axes | None = None,
        **line_kwargs: Any,
    ) -> Self:
        """Create a display from the rows of a history.

        Parameters
        ----------
        history : sequence of dict
            One row per epoch, with stage, loss, learning_rate and optionally
            validation_error.
        normalizer : str, default="lengths"
            Normaliser of the validation errors, for the label.
        ax, **line_kwargs
            See :meth:`from_estimator`.

        Returns
        -------
        display : TrainingHistoryDisplay

        Raises
        ------
        ValueError
            If there are no rows, or a row is incomplete.
        """
        import_pyplot(cls)
        history = list(history)
        if not history:
            raise ValueError("history is empty: there are no epochs to plot.")
        for i, row in enumerate(history):
            missing = [key for key in ("stage", "loss", "learning_rate") if key not in row]
            if missing:
                raise ValueError(f"history[{i}] has no {', '.join(missing)}: {dict(row)!r:.120}.")
        errors = np.array([row.get("validation_error", np.nan) for row in history], dtype=float)
        display = cls(
            stages=np.array([row["stage"] for row in history]),
            loss=np.array([row["loss"] for row in history], dtype=float),
            learning_rate=np.array([row["learning_rate"] for row in history], dtype=float),
            validation_error=None if np.isnan(errors).all() else errors,
            normalizer=normalizer,
        )
        return display.plot(ax, **line_kwargs)
