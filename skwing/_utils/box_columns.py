"""Detection of the columns of boxes in a table by their names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

BOX_COLUMNS = ("x", "y", "width", "height")
_BOX_PREFIXES = ("", "box", "bbox", "face")
_BOXES = (BOX_COLUMNS, (*BOX_COLUMNS[:2], "w", "h"))
# Names of corners of boxes; without a prefix, numbered names are landmarks.
_CORNERS = (
    ("xmin", "ymin", "xmax", "ymax"),
    ("minx", "miny", "maxx", "maxy"),
    ("left", "top", "right", "bottom"),
)
_NUMBERED = tuple(tuple(f"x{a} y{a} x{b} y{b}".split()) for a, b in ("12", "01"))
_CORNERS_OF_BOXES = (*_CORNERS, *_NUMBERED, ("xtl", "ytl", "xbr", "ybr"))


def box_columns(header: Sequence[str]) -> tuple[int, ...]:
    """Indices of the columns of x, y, width and height of boxes, or ().

    Examples
    --------
    >>> from skwing._utils.box_columns import box_columns
    >>> box_columns(["path", "bbox_x", "bbox_y", "bbox_w", "bbox_h"])
    (1, 2, 3, 4)
    """
    return _usual(header, _BOX_PREFIXES, _BOXES)


def corner_columns(header: Sequence[str]) -> tuple[int, ...]:
    """Indices of the columns of the corners of boxes, or ().

    Examples
    --------
    >>> from skwing._utils.box_columns import corner_columns
    >>> corner_columns(["path", "xmin", "ymin", "xmax", "ymax"])
    (1, 2, 3, 4)
    """
    return _usual(header, ("",), _CORNERS) or _usual(header, _BOX_PREFIXES[1:], _CORNERS_OF_BOXES)


def numbered_corners(header: Sequence[str]) -> tuple[int, ...]:
    """Indices of the columns x1, y1, x2, y2 if no other column is x or y with a number, or ().

    They are corners of boxes, or two landmarks.

    Examples
    --------
    >>> from skwing._utils.box_columns import numbered_corners
    >>> numbered_corners(["path", "x1", "y1", "x2", "y2"])
    (1, 2, 3, 4)
    >>> numbered_corners(["path", "x1", "y1", "x2", "y2", "x3", "y3"])
    ()
    """
    several = sum(bool(re.fullmatch("[xy][0-9]+", _plain(name))) for name in header) > 4
    return () if several else _usual(header, ("",), _NUMBERED)


def incomplete_columns(header: Sequence[str]) -> tuple[int, ...]:
    """Indices of columns that are named as those of boxes, of which others lack, or ().

    Examples
    --------
    >>> from skwing._utils.box_columns import incomplete_columns
    >>> incomplete_columns(["path", "bbox_x", "bbox_y", "nose_x", "nose_y"])
    (1, 2)
    """
    if box_columns(header):
        return ()
    names = {prefix + name for prefix in ("box", "bbox") for kind in _BOXES for name in kind}
    return tuple(i for i, name in enumerate(header) if _plain(name) in names)


def _plain(name: str) -> str:
    return re.sub("[_.]", "", name.lower())


def _usual(
    header: Sequence[str], prefixes: Sequence[str], kinds: Iterable[Sequence[str]]
) -> tuple[int, ...]:
    """The first four columns with the given names after one of the prefixes, or ()."""
    plain = {_plain(name): i for i, name in reversed(list(enumerate(header)))}
    kinds = list(kinds)
    wanted = ([prefix + name for name in kind] for prefix in prefixes for kind in kinds)
    return next(
        (tuple(plain[n] for n in names) for names in wanted if plain.keys() >= {*names}), ()
    )
