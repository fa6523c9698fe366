"""Marks beside and around landmarks: numbers, names, and circles of standard deviations."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from typing import Any

    from skwing._utils.types import Floats
    from skwing.schema import LandmarkSchema

_NUMBERED = re.compile(r"[^\W\d]*?(\d+(?:_\d+)*)")  # lm_1, p10, curve_1_3


def number_labels(
    numbers: bool | str, schema: LandmarkSchema | None, n_landmarks: int
) -> list[str]:
    """Text beside each landmark: a number or a name; empty for no text."""
    if isinstance(numbers, str):
        if numbers != "names":
            raise ValueError(f"numbers must be True, False or 'names'; got {numbers!r}.")
        if schema is None:
            raise ValueError("numbers='names' requires the names of a schema: pass schema=.")
        return list(schema.landmark_names)
    if not numbers:
        return []
    found = [] if schema is None else [_NUMBERED.fullmatch(name) for name in schema.landmark_names]
    own = [match[1] for match in found if match]
    if len(set(own)) == n_landmarks:  # all names are numbered, and no number occurs twice
        return own
    return [str(i) for i in range(n_landmarks)]


def write_labels(ax: Any, points: Floats, labels: list[str]) -> None:
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=1.6, foreground="0.1")]  # legible on any background
    for label, (x, y) in zip(labels, points, strict=True):
        if not np.isnan(x + y):
            ax.annotate(
                label,
                (x, y),
                xytext=(2, 2),
                textcoords="offset points",
                fontsize=6,
                color="white",
                path_effects=outline,
            )


def draw_circles(ax: Any, points: Floats, radii: Floats, color: str, width: float) -> None:
    """Draw thin circles with a dark outline, above the landmarks."""
    from matplotlib.patches import Circle
    from matplotlib.patheffects import withStroke

    outline = [withStroke(linewidth=width + 0.7, foreground="0.1")]
    style = {"fill": False, "edgecolor": color, "linewidth": 0.8 * width, "path_effects": outline}
    for (x, y), radius in zip(points, radii, strict=True):
        if not np.isnan(x + y + radius):
            ax.add_patch(Circle((x, y), radius, zorder=3.5, **style))


def ring_handle(color: str) -> Any:
    """Entry of a legend for the circles of :func:`draw_circles`."""
    from matplotlib.lines import Line2D
    from matplotlib.patheffects import withStroke

    ring: dict[str, Any] = {"markerfacecolor": "none", "markeredgecolor": color, "markersize": 9}
    outline = [withStroke(linewidth=2, foreground="0.1")]
    return Line2D([], [], linestyle="none", marker="o", path_effects=outline, **ring)
