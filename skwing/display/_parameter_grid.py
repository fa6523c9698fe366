"""ParameterGridDisplay: heat map of the scores of a grid search over two parameters."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING

import numpy as np

from skwing.display._figures import import_pyplot, one_axes
from skwing.display._inputs import find_fitted

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from typing import Any, Literal, Self

    from matplotlib.axes import Axes
    from matplotlib.colorbar import Colorbar
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from skwing._utils.types import Floats


# Range of the colours, so that chance differences do not cover the whole scale.
_LEAST_RANGE = 4  # in mean standard deviations over the folds
_LEAST_SHARE = 0.1  # of the mean error


class ParameterGridDisplay:
    r"""Heat map of the scores of a grid search over two parameters.

    The best cell is framed. The colours cover at least four standard deviations over the
    folds, and for errors at least a tenth of their mean, so that small differences look small.
    It is recommended to create a display by
    :meth:`from_estimator` or :meth:`from_cv_results`.

    Parameters
    ----------
    means, deviations : ndarray of shape (n_y, n_x)
        Mean and standard deviation of the score over the folds; NaN if there is none.
    x_values, y_values : list of length n_x and n_y
        Values of the parameters.
    x_name, y_name : str
        Names of the parameters; `y_name` may be None if there is only one.
    n_splits : int
        Number of folds.
    others : tuple of str, default=()
        Further parameters that vary; a cell shows the best score over their values.
    show : {"error", "score"}, default="error"
        Quantity to show. "error" interprets scores as negative normalised errors, as those
        of this package are, and shows errors in percent. "score" shows scores.

    Attributes
    ----------
    best_ : tuple of int
        Row and column of the cell with the highest mean score.
    image_ : matplotlib AxesImage
    text_ : ndarray of matplotlib Text of shape (n_y, n_x)
    colorbar_ : matplotlib Colorbar
    ax_ : matplotlib Axes
    figure_ : matplotlib Figure

    Examples
    --------
    >>> from skwing.display import ParameterGridDisplay
    >>> results = {  # as of a GridSearchCV
    ...     "params": [{"w": w, "epsilon": e} for e in (1, 2) for w in (5, 10)],
    ...     "mean_test_score": [-0.045, -0.043, -0.044, -0.041],
    ...     "std_test_score": [0.001, 0.002, 0.001, 0.001],
    ... }
    >>> display = ParameterGridDisplay.from_cv_results(results, x="w", y="epsilon")
    >>> display.best_, display.text_[1, 1].get_text()
    ((1, 1), '4.10\n± 0.10')
    """

    image_: AxesImage
    text_: NDArray[np.object_]
    best_: tuple[int, int]
    colorbar_: Colorbar | None
    ax_: Axes
    figure_: Figure

    def __init__(
        self,
        *,
        means: Floats,
        deviations: Floats,
        x_values: list[Any],
        y_values: list[Any],
        x_name: str,
        y_name: str | None,
        n_splits: int | None = None,
        others: tuple[str, ...] = (),
        show: Literal["error", "score"] = "error",
    ) -> None:
        self.means = means
        self.deviations = deviations
        self.x_values = x_values
        self.y_values = y_values
        self.x_name = x_name
        self.y_name = y_name
        self.n_splits = n_splits
        self.others = others
        self.show = show

    def plot(
        self,
        ax: Axes | None = None,
        *,
        cmap: str = "cividis",
        digits: int = 2,
        colorbar: bool = True,
    ) -> Self:
        """Plot the heat map.

        Parameters
        ----------
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a new figure.
        cmap : str or matplotlib Colormap, default="cividis"
            Colormap whose upper end is used for the best cells.
        digits : int, default=2
            Number of decimals.
        colorbar : bool, default=True
            Whether to add a colour bar.

        Returns
        -------
        display : ParameterGridDisplay
        """
        n_rows, n_columns = self.means.shape
        # Small grids need a minimum size for the title.
        ax = one_axes(type(self), ax, (max(4.8, n_columns + 2.0), max(2.8, 0.75 * n_rows + 1.6)))
        plt = import_pyplot(type(self))
        factor, label = (-100.0, "NME (%)") if self.show == "error" else (1.0, "Score")
        values = factor * self.means
        colours = plt.get_cmap(cmap)
        if self.show == "error":
            colours = colours.reversed()
        least = _LEAST_RANGE * abs(factor) * _mean(self.deviations)
        if self.show == "error":
            least = max(least, _LEAST_SHARE * _mean(values))
        low, high = _colour_limits(values, least)
        self.image_ = ax.imshow(values, cmap=colours, vmin=low, vmax=high, aspect="auto")
        self._write_cells(ax, values, abs(factor) * self.deviations, digits)
        row, column = np.unravel_index(np.nanargmax(self.means), values.shape)
        self.best_ = int(row), int(column)
        self._frame(ax, *self.best_)
        ax.set_xticks(range(n_columns), [_shown(value) for value in self.x_values])
        ax.set_yticks(range(n_rows), [_shown(value) for value in self.y_values])
        ax.set_xlabel(_short(self.x_name))
        if self.y_name is None:
            ax.set_yticks([])
        else:
            ax.set_ylabel(_short(self.y_name))
        ax.set_title(self._title(label), fontsize="medium")
        self.colorbar_ = None
        if colorbar:
            self.colorbar_ = ax.figure.colorbar(self.image_, ax=ax, label=label)
        self.ax_, self.figure_ = ax, ax.figure
        return self

    def _write_cells(self, ax: Any, values: Floats, deviations: Floats, digits: int) -> None:
        self.text_ = np.empty(values.shape, dtype=object)
        for (row, column), value in np.ndenumerate(values):
            text, deviation = "no score", deviations[row, column]
            if not np.isnan(value):
                text = f"{value:.{digits}f}"
                text += "" if np.isnan(deviation) else f"\n± {deviation:.{digits}f}"
            light = np.isnan(value) or self._brightness(value) > 0.5
            colour = "black" if light else "white"
            self.text_[row, column] = ax.text(
                column, row, text, ha="center", va="center", color=colour, fontsize="small"
            )

    def _brightness(self, value: Any) -> float:
        red, green, blue, _ = self.image_.cmap(self.image_.norm(value))
        return 0.299 * red + 0.587 * green + 0.114 * blue

    def _frame(self, ax: Any, row: int, column: int) -> None:
        from matplotlib.patches import Rectangle

        corner = (column - 0.48, row - 0.48)
        for colour, width in (("white", 5), ("#D55E00", 2.5)):
            ax.add_patch(
                Rectangle(corner, 0.96, 0.96, fill=False, edgecolor=colour, linewidth=width)
            )
        self.text_[row, column].set_fontweight("bold")

    def _title(self, label: str) -> str:
        spread = "" if np.isnan(self.deviations).all() else " ± standard deviation"
        folds = "" if self.n_splits is None else f" over {self.n_splits} folds"
        lines = [f"{label}, best framed", f"mean{spread}{folds}"]
        if self.others:
            lines.append(f"best over {', '.join(map(_short, self.others))} in each cell")
        return "\n".join(lines)

    @classmethod
    def from_estimator(
        cls,
        search: Any,
        *,
        x: str | None = None,
        y: str | None = None,
        metric: str = "score",
        show: Literal["error", "score"] = "error",
        ax: Axes | None = None,
    ) -> Self:
        """Create a display from a fitted search.

        Parameters
        ----------
        search : fitted GridSearchCV, RandomizedSearchCV or similar
        x, y, metric, show, ax
            See :meth:`from_cv_results`.

        Returns
        -------
        display : ParameterGridDisplay

        Raises
        ------
        NotFittedError
            If `search` has no `cv_results_`.
        """
        results = find_fitted(search, "cv_results_", "a GridSearchCV").cv_results_
        return cls.from_cv_results(results, x=x, y=y, metric=metric, show=show, ax=ax)

    @classmethod
    def from_cv_results(
        cls,
        cv_results: Mapping[str, Any],
        *,
        x: str | None = None,
        y: str | None = None,
        metric: str = "score",
        show: Literal["error", "score"] = "error",
        ax: Axes | None = None,
    ) -> Self:
        """Create a display from the results of a search.

        Parameters
        ----------
        cv_results : dict
            The attribute `cv_results_` of a search, with ``params``,
            ``mean_test_<metric>`` and optionally ``std_test_<metric>``.
        x, y : str, default=None
            Parameters of the columns and rows: full names, or the parts after the last
            ``__``. Optional if one or two parameters vary. If further parameters vary, each
            cell shows the best score over their values.
        metric : str, default="score"
            Name of the metric, for searches with several metrics.
        show : {"error", "score"}, default="error"
            "error" interprets scores as negative normalised errors, as those of this
            package are, and shows errors in percent; "score" shows scores.
        ax : matplotlib Axes, default=None
            Axes to plot on; None creates a new figure.

        Returns
        -------
        display : ParameterGridDisplay

        Raises
        ------
        ValueError
            If a parameter or a metric is unknown, all scores are NaN, more than two
            parameters vary and `x` and `y` are not given, or `show` is "error" and a score
            is above 0.
        """
        import_pyplot(cls)
        if show not in ("error", "score"):
            raise ValueError(f"show must be 'error' or 'score'; got {show!r}.")
        params, means, deviations = _columns(cv_results, metric)
        if show == "error" and np.nanmax(means) > 0:
            raise ValueError(
                f"a score is {np.nanmax(means):g}, but negative errors cannot be positive. Pass "
                "show='score' to show scores."
            )
        x, y, others = _choose(params, x, y)
        x_values = _distinct(row.get(x) for row in params if x in row)
        y_values = [None] if y is None else _distinct(row.get(y) for row in params if y in row)
        table = np.full((2, len(y_values), len(x_values)), np.nan)
        for i in np.argsort(-means)[::-1]:  # NaN first and the best last, which overwrites others
            row = params[i]
            if not np.isnan(means[i]) and x in row and (y is None or y in row):
                column = _position(row[x], x_values)
                line = 0 if y is None else _position(row[y], y_values)
                table[:, line, column] = means[i], deviations[i]
        display = cls(
            means=table[0],
            deviations=table[1],
            x_values=x_values,
            y_values=y_values,
            x_name=x,
            y_name=y,
            n_splits=_count_splits(cv_results, metric),
            others=others,
            show=show,
        )
        return display.plot(ax)


def _mean(values: Floats) -> float:
    """Mean of the known values, 0 if there are none."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else 0.0


def _colour_limits(values: Floats, least: float) -> tuple[float, float]:
    """Limits of the colours, which cover the values and at least a given range."""
    low, high = float(np.nanmin(values)), float(np.nanmax(values))
    pad = max(least - (high - low), 0.0) / 2
    return low - pad, high + pad


def _columns(results: Mapping[str, Any], metric: str) -> tuple[list[Any], Floats, Floats]:
    """Parameters, means and standard deviations of all candidates."""
    key = f"mean_test_{metric}"
    if key not in results or "params" not in results:
        metrics = sorted(k[len("mean_test_") :] for k in results if k.startswith("mean_test_"))
        raise ValueError(f"cv_results has no {key!r}; its metrics are {metrics}.")
    params, means = list(results["params"]), np.asarray(results[key], dtype=np.float64)
    if np.isnan(means).all():
        raise ValueError(
            f"all {len(means)} values of {key!r} are NaN: every fit or its scoring failed."
        )
    deviations = results.get(f"std_test_{metric}", np.full(len(means), np.nan))
    return params, means, np.asarray(deviations, dtype=np.float64)


def _count_splits(results: Mapping[str, Any], metric: str) -> int | None:
    count = sum(k.startswith("split") and k.endswith(f"_test_{metric}") for k in results)
    return count or None


def _choose(params: list[Any], x: str | None, y: str | None) -> tuple[Any, Any, tuple[str, ...]]:
    """Full names of the two parameters, and of the others that vary."""
    names = list(dict.fromkeys(name for row in params for name in row))
    varied = [n for n in names if len(_distinct(row[n] for row in params if n in row)) > 1]
    if x is None and y is None:
        if len(varied) > 2:
            raise ValueError(f"{len(varied)} parameters vary: choose x and y from {varied}.")
        # As in the table of the paper: rows are epsilon, columns are w.
        *rest, x = varied or names[:1]
        y = rest[0] if rest else None
    else:
        x, y = (None if name is None else _full_name(name, names) for name in (x, y))
        if x == y:
            raise ValueError(f"x and y are both {x!r}: choose two parameters of {names}.")
        free = [n for n in varied if n not in (x, y)]
        if x is None:
            x, y = (free[0], y) if len(free) == 1 else (y, None)
        elif y is None and len(free) == 1:
            y = free[0]
    return x, y, tuple(n for n in varied if n not in (x, y))


def _full_name(name: str, names: list[str]) -> str:
    fitting = [n for n in names if n == name] or [n for n in names if _short(n) == name]
    if len(fitting) != 1:
        what = "fits several of" if fitting else "is none of"
        raise ValueError(f"{name!r} {what} the parameters {names}.")
    return fitting[0]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Unique values; numbers are sorted, others are in order of appearance."""
    found: list[Any] = []
    for value in values:
        if not any(_same(value, other) for other in found):
            found.append(value)
    numbers = all(isinstance(v, Number) and not isinstance(v, (bool, np.bool_)) for v in found)
    return sorted(found) if numbers else found


def _same(value: object, other: object) -> bool:
    """Whether two parameter values are equal; estimators and arrays are compared by repr."""
    if isinstance(value, Number) and isinstance(other, Number):
        return value == other
    return type(value) is type(other) and repr(value) == repr(other)


def _position(value: object, values: list[Any]) -> int:
    return next(i for i, other in enumerate(values) if _same(value, other))


def _short(name: str) -> str:
    return name.rpartition("__")[2]


def _shown(value: object) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 20 else text[:19] + "…"
