"""Conversion of user input to BoxedImages, and concatenation."""

from __future__ import annotations

from numbers import Number
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.box_columns import (
    BOX_COLUMNS,
    box_columns,
    corner_columns,
    incomplete_columns,
    numbered_corners,
)
from skwing.images._boxed_images import BoxedImages

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from skwing._utils.types import Floats
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

PATH_COLUMNS = ("path", "image", "file", "filename")


def concatenate(parts: Iterable[ImagesLike]) -> BoxedImages:
    """Concatenate several BoxedImages without copying pixels.

    Parameters
    ----------
    parts : sequence of BoxedImages
        All must have the same schema. If only some have repeats, those of others are 1; if only
        some have boxes, those of others are missing (NaN), which is not the whole image.

    Returns
    -------
    images : BoxedImages

    Raises
    ------
    ValueError
        If the schemas differ, or `parts` is empty.

    Examples
    --------
    >>> from skwing.images import BoxedImages, concatenate
    >>> concatenate([BoxedImages(["a.jpg"]), BoxedImages(["b.jpg", "c.jpg"])])
    BoxedImages(3 paths)
    """
    views = [as_boxed_images(part) for part in parts]
    if not views:
        raise ValueError("parts is empty: there is nothing to concatenate.")
    schema = views[0].schema
    for number, part in enumerate(views):
        if part.schema != schema:
            raise ValueError(
                f"part {number} has {_in_short(part.schema)}, the first has {_in_short(schema)}; "
                "expected the same."
            )
    items = [source[row] for source, index in (part._store for part in views) for row in index]
    has_boxes = any(part._boxes is not None for part in views)
    has_repeats = any(part.repeats is not None for part in views)
    repeats = [np.ones(len(p), int) if p.repeats is None else p.repeats for p in views]
    whole = BoxedImages(
        items,
        boxes=np.concatenate([part.boxes for part in views]) if has_boxes else None,
        repeats=np.concatenate(repeats) if has_repeats else None,
        schema=schema,
    )
    sources = dict.fromkeys(part._stated_by for part in views if part._stated_by is not None)
    if not sources:
        return whole
    unknown = [np.full((len(p), 2), np.nan) for p in views]
    sizes = [
        none if p._stated_sizes is None else p._stated_sizes
        for p, none in zip(views, unknown, strict=True)
    ]
    return whole.with_stated_sizes(np.concatenate(sizes), " or ".join(sources))


def _in_short(schema: LandmarkSchema | None) -> str:
    if schema is None:
        return "no schema"
    return f"the schema {schema.name!r:.60} of {schema.n_landmarks} landmarks"


def as_boxed_images(X: ImagesLike) -> BoxedImages:
    """Convert images in any supported form to BoxedImages.

    Parameters
    ----------
    X : array, sequence, DataFrame or BoxedImages
        A uint8 array of shape (n, height, width[, channels]); a sequence of image arrays
        or of file paths; a DataFrame with a column ``path``, ``image``, ``file`` or
        ``filename`` (the first that exists is used) and optional columns ``x``, ``y``,
        ``width`` and ``height`` of the box, NaN if it is missing, also named ``w`` and ``h``
        and after ``box_``, ``bbox_`` or ``face_``; or a BoxedImages, which is returned
        unchanged.

    Returns
    -------
    images : BoxedImages

    Raises
    ------
    TypeError
        If X has another type, is a single path, or contains an item that is neither an
        image nor a path.
    ValueError
        If shapes, columns or boxes are invalid.

    Examples
    --------
    >>> from skwing.images import as_boxed_images
    >>> as_boxed_images(["left.jpg", "right.jpg"])
    BoxedImages(2 paths)
    """
    if isinstance(X, BoxedImages):
        return X
    if hasattr(X, "columns") and hasattr(X, "__getitem__"):
        return _from_table(X)
    return BoxedImages(X)


def _from_table(table: Any) -> BoxedImages:
    """Create BoxedImages from the columns of a DataFrame."""
    columns = list(table.columns)
    path_columns = [c for name in PATH_COLUMNS for c in columns if str(c).lower() == name]
    # Prefer text columns: if there is a "filename", a numeric "image" is a row number.
    path_columns.sort(key=lambda name: isinstance(next(iter(_column(table, name)), None), Number))
    if not path_columns:
        raise ValueError(
            f"the DataFrame has no column of paths: expected one of {', '.join(PATH_COLUMNS)}, "
            f"found {columns}. Rename it: X.rename(columns={{'photo': 'path'}})."
        )
    boxes = boxes_of_table(table)
    if boxes is None:
        _check_no_boxes([str(name) for name in columns])
    return BoxedImages(list(_column(table, path_columns[0])), boxes=boxes)


def _column(table: Any, name: Any) -> Any:
    """Column of a DataFrame; an error if several have this name."""
    if list(table.columns).count(name) > 1:
        raise ValueError(f"the DataFrame has several columns named {name!r:.60}.")
    return table[name]


def _check_no_boxes(header: list[str]) -> None:
    """Raise an error if a table without box columns has columns that look like boxes."""
    if corners := corner_columns(header) or numbered_corners(header):
        raise ValueError(
            f"the columns {', '.join(header[i] for i in corners)} of the DataFrame look like "
            "corners of boxes, which are not supported: use x, y, width, height, or leave them out."
        )
    if found := incomplete_columns(header):
        raise ValueError(
            f"the columns {', '.join(header[i] for i in found)} of the DataFrame look like a part "
            "of boxes, which need x, y, width and height: complete them, or leave them out."
        )
    missing = [name for name in BOX_COLUMNS if name not in header]
    if len(missing) < len(BOX_COLUMNS):
        raise ValueError(
            f"the DataFrame has only some of the box columns: {', '.join(missing)} missing."
        )


def boxes_of_table(table: Any) -> Floats | None:
    """Boxes of the rows of a DataFrame, found by the names of its columns, or None."""
    columns = list(table.columns)
    found = box_columns([str(name) for name in columns])
    if not found:
        return None
    own = [_column(table, columns[i]) for i in found]
    try:
        parts = [np.asarray(column, dtype=np.float64) for column in own]
    except (TypeError, ValueError) as error:
        raise ValueError(f"box columns must hold numbers: {error}.") from None
    return np.stack(parts, axis=1)
