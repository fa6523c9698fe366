"""Relation of boxes to landmarks, given or estimated from recent boxes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.checks import check_number
from skwing.boxes._relation import middles, relative_to

if TYPE_CHECKING:
    from typing import Any

    from skwing._utils.types import Floats
    from skwing.boxes import BoxRelation

_REMEMBERED = 100  # number of recent boxes used to estimate the relation


class Relation:
    """Relation of boxes to landmarks: logarithm of the size, and shift of the centre."""

    def __init__(self, like: Mapping[str, Any] | BoxRelation | None) -> None:
        self._fixed: Floats | None = None
        self._rows: deque[Floats] = deque(maxlen=_REMEMBERED)
        if like is not None:
            if not isinstance(like, Mapping):
                raise TypeError(f"like must be a mapping such as dict; got {like!r:.60}.")
            margin = check_number(like.get("margin", 0.0), "like['margin']", -0.5, ends="()")
            shift = np.array(like.get("shift", (0.0, 0.0)), dtype=np.float64)
            if shift.shape != (2,) or not np.isfinite(shift).all():
                raise ValueError(f"like['shift'] must be two numbers; got {like['shift']!r:.60}.")
            self._fixed = np.array([np.log(1 + 2 * margin), *shift])

    def learn(self, box: Floats, around: Floats) -> None:
        """Add a box and the bounding box of the landmarks predicted in it."""
        self._rows.append(relative_to(box, around))

    def box(self, around: Floats, size: float) -> Floats:
        """Square box for landmarks with bounding box `around` and (smoothed) size `size`."""
        row = np.median(self._rows, axis=0) if self._fixed is None else self._fixed
        side = size * np.exp(row[0])
        return np.array([*(middles(around) + size * row[1:] - side / 2), side, side])
