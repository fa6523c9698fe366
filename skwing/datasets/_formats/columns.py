"""Detection of the columns of image, box and landmarks in a table by their names."""

import os
import re
from dataclasses import dataclass

import numpy as np

from skwing._utils.box_columns import (
    box_columns,
    corner_columns,
    incomplete_columns,
    numbered_corners,
)
from skwing._utils.names import SEPARATORS
from skwing._utils.warnings import warn_of_data
from skwing.datasets._formats.names import in_order
from skwing.datasets._formats.pixels import is_pixels
from skwing.datasets._formats.table import is_missing, is_number
from skwing.datasets._formats.visibility import VISIBLE_COLUMNS
from skwing.datasets._paths import IMAGE_SUFFIXES
from skwing.images._convert import PATH_COLUMNS

# Positions of the axis in names of landmarks: nose_x, noseX, p1x, x; x0, x_nose, xNose; lm_x_0.
_AXES = (
    re.compile(r"(|.*[\W\d_]|.*[a-z](?=[XY]))([xyXY])()", re.DOTALL),
    re.compile(r"()([xyXY])((?:[\W\d_]|(?<=[xy])[A-Z]).*)", re.DOTALL),
    re.compile(r"(.*[\W\d_])([xyXY])([\W\d_].*)", re.DOTALL),
)
# Remainder of the name without the axis: nose_ of nose_x and lm_ of lm_x_0, _nose of x_nose.
_END, _START = re.compile(rf"[{SEPARATORS}]\Z"), re.compile(rf"\A[{SEPARATORS}]")


@dataclass(frozen=True)
class Columns:
    """Indices of the columns of a table.

    Parameters
    ----------
    image : int
    boxes : tuple of 4 int, or None
    names : tuple of str
        Names of the landmarks.
    points : tuple of int
        x and y of each landmark in turn.
    visible : tuple of (int or None)
        Visibility of each landmark.
    rest : tuple of int
        All other named columns, including those of the visibility.
    """

    image: int
    boxes: tuple | None
    names: tuple
    points: tuple
    visible: tuple
    rest: tuple


def place_of(header, where):
    """Index of each column by its name; duplicate names raise an error."""
    place = {}
    for i, name in enumerate(header):
        if name and name in place:
            raise ValueError(
                f"{where}: columns {place[name] + 1} and {i + 1} are both named {name!r:.60}."
            )
        place.setdefault(name, i)
    return place


def _shortened(names):
    names = list(names)
    return f"{names[:12]!r:.400}" + (f" and {len(names) - 12} more" if len(names) > 12 else "")


def _lookup(name, place, what, where):
    if name not in place:
        raise ValueError(
            f"{where}: there is no column {name!r} for the {what}; found {_shortened(place)}."
        )
    return place[name]


def _box_columns(boxes, header, place, where):
    """Columns of boxes or None, and columns of boxes that are not used."""
    usual, corners = box_columns(header), corner_columns(header)
    if boxes is None:
        if not usual:
            _refuse(corners, header, where)
        return usual or None, corners
    boxes = tuple(boxes)
    if len(boxes) not in (0, 4):
        raise ValueError(
            f"{where}: boxes names {len(boxes)} columns, expected 4: x, y, width, height."
        )
    found = tuple(_lookup(name, place, "boxes", where) for name in boxes)
    return found or None, (*usual, *corners)


def _refuse(corners, header, where):
    """Raise an error if there are columns of corners of boxes."""
    if corners:
        raise ValueError(
            f"{where}: the columns {', '.join(header[i] for i in corners)} look like corners of "
            "boxes, which are not supported: use x, y, width, height, or pass boxes=() for no "
            "boxes."
        )


def _pairs(header, free, where, choose):
    """Columns (x, y) of each landmark, in the order of the table.

    With `choose`, the first of several pairs with the same name is used; otherwise, this is
    an error.
    """
    found = []
    for form in _AXES:
        partners = {}
        for i in free:
            if parts := form.fullmatch(header[i]):
                before, axis, after = parts.groups()
                key = before, after, axis.isupper()
                partners.setdefault(key, {})[axis.lower()] = i
        for (before, after, _), axes in partners.items():
            if len(axes) == 2:
                name = _END.sub("", before) + after if before else _START.sub("", after)
                found.append((axes["x"], axes["y"], name))
        taken = {i for x, y, _ in found for i in (x, y)}
        free = [i for i in free if i not in taken]
    pairs = {}
    for x, y, name in sorted(found):
        if name in pairs and not choose:
            other = [header[i] for i in pairs[name]]
            raise ValueError(
                f"{where}: the columns {header[x]}, {header[y]} and {other[0]}, {other[1]} are "
                f"all of landmark {name!r}: say with landmarks= which columns to take."
            )
        pairs.setdefault(name, (x, y))
    return pairs


def _warn_of_halves(header, sample, free, of_pairs, where):
    """Warn of columns that are named as those of the landmarks, and have no partner."""
    forms = [form for form in _AXES if any(form.fullmatch(name) for name in of_pairs)]
    halves = [
        header[i]
        for i in free
        if _is_numeric(sample[i]) and any(form.fullmatch(header[i]) for form in forms)
    ]
    if halves:
        warn_of_data(
            f"{where}: no landmark is read from the columns {_shortened(halves)}: each lacks the "
            "column of the other coordinate. If they are not of landmarks, pass landmarks= with "
            "the names of the landmarks to read."
        )


def _warn_of_boxes(header, taken, where):
    """Warn of columns of landmarks that are named as those of boxes."""
    if found := [header[i] for i in incomplete_columns(header) if i in taken]:
        warn_of_data(
            f"{where}: the columns {', '.join(found)} are read as landmarks, but look like a part "
            "of boxes, which need x, y, width and height. boxes= names the columns of boxes, () "
            "for none; landmarks= names the landmarks to read."
        )


def _counted(header, free, where):
    """Columns x0, y0, x1, y1, ... if names are only numbers."""
    numbers = [header[i] for i in free]
    if not numbers or not all(name.isascii() and name.isdigit() for name in numbers):
        return {}
    if len(numbers) % 2:
        raise ValueError(
            f"{where}: found {len(numbers)} columns of numbers, expected pairs x0, y0, x1, y1, ..."
        )
    return {str(i): pair for i, pair in enumerate(zip(free[::2], free[1::2], strict=True))}


def _chosen(landmarks, pairs, place, where):
    """Pairs of columns selected by landmark names or by names of both columns."""
    if isinstance(landmarks, str):
        raise ValueError(f"{where}: landmarks must be a sequence, got the text {landmarks!r}.")
    chosen, name_of = {}, {pair: name for name, pair in pairs.items()}
    for item in landmarks:
        if not isinstance(item, str):
            if len(item) != 2:
                raise ValueError(
                    f"{where}: landmarks holds {item!r}, expected a name or a pair of columns."
                )
            pair = tuple(_lookup(str(name), place, "landmarks", where) for name in item)
            name = name_of.get(pair, str(item[0]))
        elif item in pairs:
            name, pair = item, pairs[item]
        else:
            raise ValueError(
                f"{where}: no columns for x and y of landmark {item!r}; found landmarks "
                f"{_shortened(pairs)}."
            )
        if name in chosen:
            raise ValueError(f"{where}: landmark {name!r} is selected twice.")
        chosen[name] = pair
    return chosen


def _visible_column(pair, header):
    """Column of the visibility of a landmark, such as nose_v of nose_x and nose_y, or None."""
    lower = {name.lower(): i for i, name in reversed(list(enumerate(header)))}
    for form in _AXES:
        x, y = (form.fullmatch(header[i]) for i in pair)
        if x and y and (x[1], x[3]) == (y[1], y[3]):
            names = ((x[1] + name + x[3]).lower() for name in VISIBLE_COLUMNS)
            return next((lower[name] for name in names if name in lower), None)
    return None


def _is_numeric(value):
    """Whether a cell is a number or a missing value such as None, NaN or NA."""
    text = "" if value is None else str(value)
    return not isinstance(value, np.ndarray) and (is_missing(text) or is_number(text))


def _text_column(header, sample, free, where):
    """Column of paths: the only one with text, or the only one with names of image files."""
    texts = [i for i in free if not _is_numeric(sample[i])]
    named = [i for i in texts if str(sample[i]).lower().endswith(IMAGE_SUFFIXES)]
    # A first column without a name contains the names of rows.
    likely = [i for i in texts if i in named or _looks_like_image(sample[i]) or not header[i]]
    for candidates in (likely, named):
        if len(candidates) == 1:
            return candidates[0]
    raise ValueError(
        f"{where}: which column holds the image? None is named {', '.join(PATH_COLUMNS)}, and "
        f"{len(named)} hold names of image files: {_shortened(header[i] for i in named)}; say "
        f"which. Columns: {_shortened(header)}."
    )


def _looks_like_image(value):
    """Whether a cell is an image, its grey levels as text, or a path with folders."""
    is_image = isinstance(value, (np.ndarray, os.PathLike)) or is_pixels(value)
    return is_image or bool({"/", "\\"} & set(str(value)))


def find_columns(header, sample, where, *, image=None, landmarks=None, boxes=None):
    """Detect the columns of a wide table.

    Parameters
    ----------
    header : list of str
        Names of the columns.
    sample : list
        Values of the first row.
    where : str
        Description of the table for error messages.
    image : str, default=None
        Column of the image; None detects it.
    landmarks : sequence of str or (str, str), default=None
        Names of landmarks, or of their two columns, in the required order. None uses all
        pairs of columns whose names differ only in x and y; numbered landmarks are sorted.
    boxes : sequence of 4 str, default=None
        Columns of x, y, width, height; None detects them, an empty sequence means no boxes.

    Returns
    -------
    columns : Columns
    """
    place = place_of(header, where)
    if image is not None:
        image = _lookup(image, place, "image", where)
    else:
        lower = {name.lower(): i for name, i in reversed(place.items())}
        named = [lower[name] for name in PATH_COLUMNS if name in lower]
        # If there is a "filename", a numeric "image" is a row number.
        image = next((i for i in named if not _is_numeric(sample[i])), next(iter(named), None))
    box, unwanted = _box_columns(boxes, header, place, where)
    other = {image, *(box or ()), *unwanted}
    free = [i for i in range(len(header)) if i not in other]
    chosen, wanted = landmarks is not None, landmarks is None or len(landmarks) > 0
    pairs = _pairs(header, free, where, chosen) if wanted else {}
    if image is None:
        taken = {i for pair in pairs.values() for i in pair}
        image = _text_column(header, sample, [i for i in free if i not in taken], where)
        free = [i for i in free if i != image]
    if not pairs and wanted:
        pairs = _counted(header, free, where)
    if chosen:
        pairs = _chosen(landmarks, pairs, place, where)
    elif not pairs:
        raise ValueError(
            f"{where}: no columns of landmarks: expected pairs such as nose_x, nose_y or x0, y0, "
            f"x1, y1; found {_shortened(header)}. landmarks=() reads a table without."
        )
    if pairs and not chosen:
        of_pairs = [header[i] for pair in pairs.values() for i in pair]
        taken = {image, *(i for pair in pairs.values() for i in pair)}
        _warn_of_halves(header, sample, [i for i in free if i not in taken], of_pairs, where)
        if boxes is None:
            _warn_of_boxes(header, taken, where)
        if boxes is None and box is None and len(pairs) > 2:
            _refuse(numbered_corners(header), header, where)
    names = list(pairs) if chosen else in_order(pairs)
    points = tuple(i for name in names for i in pairs[name])
    used = {image, *(box or ()), *points}
    # "Unnamed: 0" are the row numbers that pandas writes.
    rest = tuple(
        i
        for i, name in enumerate(header)
        if i not in used and name and not name.startswith("Unnamed: ")
    )
    visible = tuple(_visible_column(pairs[name], header) for name in names)
    return Columns(image, box, tuple(names), points, visible, rest)
