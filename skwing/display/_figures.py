"""Common functions of the displays: import of matplotlib, axes, colours and styles."""

from __future__ import annotations

from itertools import cycle, islice
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.optional import import_optional

if TYPE_CHECKING:
    from typing import Any

    from skwing._utils.types import Floats
    from skwing.schema import LandmarkSchema

# Palette of Okabe and Ito, Color Universal Design, which is suitable for colour-blind readers.
# Line styles distinguish curves in grey prints as well.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", (0, (2, 1)), (0, (5, 1, 1, 1, 1, 1)), (0, (1, 1)), (0, (8, 2)))
BEFORE, AFTER = COLOURS[0], COLOURS[4]
GREY = "0.45"


def import_pyplot(caller: type) -> Any:
    """Import matplotlib.pyplot, or raise an error that states what to install.

    Parameters
    ----------
    caller : class
        The display that requires it.

    Raises
    ------
    ImportError
        If matplotlib cannot be imported.
    """
    return import_optional("matplotlib.pyplot", f"{caller.__name__} draws, which", "plot")


def one_axes(caller: type, ax: Any, figsize: tuple[float, float] | None = None) -> Any:
    """Return `ax`, or the axes of a new figure if it is None."""
    plt = import_pyplot(caller)
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    elif not hasattr(ax, "get_subplotspec"):
        raise TypeError(f"ax must be one matplotlib Axes or None; got {type(ax).__name__}.")
    return ax


def grid_axes(caller: type, ax: Any, figsize: tuple[float, float]) -> tuple[Any, Any]:
    """Prepare axes as an empty frame for panels, and return its grid cell.

    Returns
    -------
    ax : matplotlib Axes
        Axes without lines and ticks.
    spec : matplotlib SubplotSpec
        ``spec.subgridspec(...)`` divides it into panels.

    Raises
    ------
    ValueError
        If the axes do not belong to a grid.
    """
    ax = one_axes(caller, ax, figsize)
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError(
            f"{caller.__name__} divides ax into panels, but this ax does not belong to a grid: "
            "create it by plt.subplots or figure.add_subplot, or pass ax=None."
        )
    ax.set_axis_off()
    return ax, spec


def legend_above(
    ax: Any, spec: Any, handles: list[Any], labels: list[str], ratio: float, **keywords: Any
) -> Any:
    """Draw a legend in a strip above the panels, and return the grid cell below it.

    Parameters
    ----------
    ax : matplotlib Axes
        Axes of the figure.
    spec : matplotlib SubplotSpec
        Grid cell for the legend and the panels.
    handles, labels
        Entries of the legend.
    ratio : float
        Ratio of the height of the panels to the height of the legend.
    **keywords : dict
        Passed to matplotlib's ``legend``.

    Returns
    -------
    below : matplotlib SubplotSpec
    """
    strip, below = spec.subgridspec(2, 1, height_ratios=[1, ratio])
    strip_ax = ax.figure.add_subplot(strip)
    strip_ax.set_axis_off()
    strip_ax.legend(
        handles, labels, loc="center", borderaxespad=0, frameon=False, handlelength=3, **keywords
    )
    return below


def next_curve(ax: Any, shown: str, label: str) -> int:
    """Number of labelled curves in axes, to which a curve of errors is added.

    Parameters
    ----------
    ax : matplotlib Axes
    shown : str
        Present label of the axis of errors, which states their unit.
    label : str
        Label of this axis for the new curve.

    Raises
    ------
    ValueError
        If there are curves of errors in another unit.
    """
    number = len(ax.get_legend_handles_labels()[1])
    if number and shown not in ("", label):
        raise ValueError(
            f"ax shows {shown!r}, this display {label!r}: errors in different units cannot be "
            "compared. Use separate axes."
        )
    return number


def curve_style(number: int, style: dict[str, Any] | None = None) -> dict[str, Any]:
    """Style of the curve with index `number`, updated by the user's keywords."""
    own = {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINES[number % len(LINES)],
        "linewidth": 1.8,
    }
    return own | aliases_resolved(style)


def aliases_resolved(style: dict[str, Any] | None) -> dict[str, Any]:
    """Convert aliases of keywords to full names, so that ``lw`` replaces ``linewidth``."""
    if not style:
        return {}
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return normalize_kwargs(style, Line2D)


def first_colours(n: int) -> list[str]:
    """The first `n` colours of the palette, repeated cyclically."""
    return list(islice(cycle(COLOURS), n))


def draw_shape(
    ax: Any,
    points: Floats,
    schema: LandmarkSchema | None,
    *,
    color: str,
    label: str | None = None,
    size: float = 4.0,
    width: float = 1.0,
    outline: bool = False,
) -> list[Any]:
    """Draw landmarks as dots, connected by the contours of a schema.

    Parameters
    ----------
    ax : matplotlib Axes
    points : ndarray of shape (n_landmarks, 2)
        Points with NaN are not drawn, and leave gaps in contours.
    schema : LandmarkSchema or None
        None draws only dots.
    color, label, size, width
        Style of dots and lines; `size` and `width` are in typographic points.
    outline : bool, default=False
        Whether to add a dark outline, for visibility on any background.

    Returns
    -------
    artists : list of matplotlib Line2D
        The dots, then the contours.
    """
    style = {"color": color}
    if outline:
        from matplotlib.patheffects import withStroke

        style["path_effects"] = [withStroke(linewidth=width + 1.2, foreground="0.1")]
    missing = np.isnan(points).any(-1, keepdims=True)
    points = np.where(missing, np.nan, points)  # points with one NaN coordinate are missing
    dots = {"marker": "o", "markersize": size, "markeredgewidth": 0.5, "linestyle": "none"}
    if outline:
        dots["markeredgecolor"] = "0.1"
    artists = ax.plot(points[:, 0], points[:, 1], label=label, zorder=3, color=color, **dots)
    for _, indices, closed in schema.contours if schema is not None else ():
        line = points[list(indices) + list(indices[:1]) * closed]
        artists += ax.plot(line[:, 0], line[:, 1], linewidth=width, zorder=2, **style)
    return artists


def percent_ticks(axis: Any) -> None:
    """Set ticks at round numbers, for an axis in percent."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]))
