"""What the displays share of matplotlib: its import, axes, and colours that all can tell apart."""

from itertools import cycle, islice

import numpy as np

from skwing._utils.optional import import_optional

# Okabe and Ito, Color Universal Design: distinct under the common colour blindnesses. Line
# styles tell curves apart once more, where they are printed in grey or run together.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
LINES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (1, 3)), (0, (8, 2)))
BEFORE, AFTER = COLOURS[0], COLOURS[4]
GREY = "0.45"


def import_pyplot(caller):
    """matplotlib.pyplot, or an error that says what to install.

    Parameters
    ----------
    caller : class
        The display that needs it.

    Raises
    ------
    ImportError
        If matplotlib cannot be imported.
    """
    return import_optional("matplotlib.pyplot", f"{caller.__name__} draws, which", "plot")


def one_axes(caller, ax, figsize=None):
    """The axes given, or those of a new figure."""
    plt = import_pyplot(caller)
    if ax is None:
        _, ax = plt.subplots(figsize=figsize, layout="constrained")
    elif not hasattr(ax, "get_subplotspec"):
        raise TypeError(f"ax must be one matplotlib Axes or None; got {type(ax).__name__}.")
    return ax


def grid_axes(caller, ax, figsize):
    """Axes that become a mere frame for panels, and the grid cell that they stand in.

    Returns
    -------
    ax : matplotlib Axes
        Emptied of its own lines and ticks.
    spec : matplotlib SubplotSpec
        ``spec.subgridspec(...)`` makes places for panels in it.

    Raises
    ------
    ValueError
        If the axes given stand in no grid.
    """
    ax = one_axes(caller, ax, figsize)
    spec = ax.get_subplotspec()
    if spec is None:
        raise ValueError(
            f"{caller.__name__} divides the place of ax into panels, and this ax stands in no "
            "grid: pass one that plt.subplots or figure.add_subplot made, or ax=None."
        )
    ax.set_axis_off()
    return ax, spec


def legend_above(ax, spec, handles, labels, ratio, **keywords):
    """Draw a legend in a strip of its own, so that it covers nothing; the place below it.

    Parameters
    ----------
    ax : matplotlib Axes
        Of the figure to draw in.
    spec : matplotlib SubplotSpec
        The place for both.
    handles, labels
        Of the legend.
    ratio : float
        Height of what lies below in terms of the strip's.
    **keywords : dict
        For matplotlib's ``legend``.

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


def n_curves(ax):
    """Number of curves with a label that axes show already."""
    return len(ax.get_legend_handles_labels()[1])


def curve_style(number, style=None):
    """Keywords of the curve of that number, with a user's own over them."""
    own = {
        "color": COLOURS[number % len(COLOURS)],
        "linestyle": LINES[number % len(LINES)],
        "linewidth": 1.8,
    }
    return own | aliases_resolved(style)


def aliases_resolved(style):
    """A user's keywords by their full names, so that ``lw`` replaces ``linewidth``."""
    if not style:
        return {}
    from matplotlib.cbook import normalize_kwargs
    from matplotlib.lines import Line2D

    return normalize_kwargs(style, Line2D)


def first_colours(n):
    """As many colours, over again where there are more than the palette has."""
    return list(islice(cycle(COLOURS), n))


def draw_shape(ax, points, schema, *, color, label=None, size=4.0, width=1.0, outline=False):
    """Draw landmarks as dots, joined by the contours of a schema.

    Parameters
    ----------
    ax : matplotlib Axes
    points : ndarray of shape (n_landmarks, 2)
        Those with NaN are left out, and contours have a gap there.
    schema : LandmarkSchema or None
        None draws dots only.
    color, label, size, width
        Of dots and lines; `size` and `width` in typographic points.
    outline : bool, default=False
        Whether to draw all on a dark rim, so that it shows on any picture.

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
    points = np.where(missing, np.nan, points)  # half a point is none
    dots = {"marker": "o", "markersize": size, "markeredgewidth": 0.5, "linestyle": "none"}
    if outline:
        dots["markeredgecolor"] = "0.1"
    artists = ax.plot(points[:, 0], points[:, 1], label=label, zorder=3, color=color, **dots)
    for _, indices, closed in schema.contours if schema is not None else ():
        line = points[list(indices) + list(indices[:1]) * closed]
        artists += ax.plot(line[:, 0], line[:, 1], linewidth=width, zorder=2, **style)
    return artists


def percent_ticks(axis):
    """Write the ticks of an axis, whose numbers are percent, without a long fraction."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(nbins=8, steps=[1, 2, 2.5, 5, 10]))
