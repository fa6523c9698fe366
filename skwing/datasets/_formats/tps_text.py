"""Parser of TPS files."""

import math
import re
from dataclasses import dataclass, field

from skwing.datasets._text import as_number

_MISSING = ("NA", "NaN", "na", "nan")
_COUNT = re.compile(r"[0-9]{1,9}")
_TEXTS = {"IMAGE": "image", "ID": "own_id", "VARIABLES": "variables"}


@dataclass
class Specimen:
    """Content of the file for one specimen."""

    line: int
    landmarks: list = field(default_factory=list)
    curves: list = field(default_factory=list)
    n_curves: int | None = None
    image: str | None = None
    own_id: str | None = None
    variables: str | None = None
    comments: list = field(default_factory=list)
    scale: float | None = None
    unread: dict = field(default_factory=dict)  # names of entries that are not read, in order

    def layout(self):
        """Numbers of landmarks and of the points of each curve."""
        return len(self.landmarks), *map(len, self.curves)


def _entries(text, path):
    """Line, key and value of each entry such as LM=3, and the lines after it."""
    entry = None
    for number, line in enumerate(text.split("\n"), 1):
        key, equals, value = line.partition("=")
        if equals:
            if entry:
                yield entry
            entry = number, key.strip().upper(), value.strip(), []
        elif line.strip():
            if entry is None:
                raise _unexpected(line, path, number)
            entry[3].append((number, line))
    if entry:
        yield entry


def _unexpected(line, path, number):
    return ValueError(
        f"{path}, line {number}: found {line.strip()!r:.60}, expected an entry such as LM= or "
        "IMAGE=."
    )


def parse_specimens(text, path):
    """Parse the specimens of a file.

    Other entries (OUTLINES, CHAIN, RADII, ...) and their lines are ignored.
    """
    specimens, in_outline = [], False
    for number, key, value, lines in _entries(text, path):
        where = f"{path}, line {number}"
        if key == "LM3":
            raise ValueError(f"{where}: LM3 are landmarks in three dimensions, expected LM.")
        if key == "LM":
            specimens.append(Specimen(number))
            in_outline = False
        elif not specimens:
            raise ValueError(f"{where}: found {f'{key}={value}'!r:.60}, expected LM= first.")
        specimen, n_points = specimens[-1], 0
        if key == "LM" or (key == "POINTS" and not in_outline):
            n_points = _count(value, where)
            points = [_point(line, path, i) for i, line in lines[:n_points]]
            if len(points) < n_points:
                raise ValueError(
                    f"{where}: {key} announces {n_points} points, but {len(points)} follow."
                )
            if key == "LM":
                specimen.landmarks = points
            else:
                specimen.curves.append(points)
        elif _take_entry(specimen, key, value, where):
            in_outline = in_outline and key != "CURVES"
        else:
            in_outline = in_outline or key == "OUTLINES"
            if not (in_outline and key == "POINTS"):
                specimen.unread[key] = None
            continue
        if lines[n_points:]:
            raise _unexpected(lines[n_points][1], path, lines[n_points][0])
    return specimens


def _count(value, where):
    if not _COUNT.fullmatch(value):
        raise ValueError(f"{where}: found {value!r:.60}, expected a number of points.")
    return int(value)


def _point(line, path, number):
    parts, where = line.split(None, 2), f"{path}, line {number}"
    if len(parts) != 2:
        raise ValueError(f"{where}: found {line.strip()!r:.60}, expected two numbers, x and y.")
    x, y = (as_number(part, where, missing=_MISSING) for part in parts)
    if math.isnan(x) != math.isnan(y):
        raise ValueError(
            f"{where}: found {line.strip()!r:.60}, expected two numbers, or 'NA NA' where the "
            "landmark is missing."
        )
    return x, y


def _take_entry(specimen, key, value, where):
    """Store an entry in the specimen; return whether its key is known."""
    if key == "COMMENT":
        specimen.comments.append(value)
    elif key in _TEXTS:
        _once(specimen, _TEXTS[key], value, key, where)
    elif key == "CURVES":
        _once(specimen, "n_curves", _count(value, where), key, where)
    elif key == "SCALE" and not value:
        pass  # written by tpsDig if no scale is set
    elif key == "SCALE":
        scale = as_number(value, where)
        if scale <= 0:
            raise ValueError(f"{where}: the scale is {value}, expected a number above 0.")
        _once(specimen, "scale", scale, key, where)
    else:
        return False
    return True


def _once(specimen, name, value, key, where):
    if getattr(specimen, name) is not None:
        raise ValueError(f"{where}: {key} is there twice for the specimen of line {specimen.line}.")
    setattr(specimen, name, value)
