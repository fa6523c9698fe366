"""The text of a TPS file: its specimens, line by line."""

import re
from dataclasses import dataclass, field

from skwing.datasets._common import as_number

__all__ = ["Specimen", "parse_specimens"]

_MISSING = ("NA", "NaN", "na", "nan")
_COUNT = re.compile(r"[0-9]{1,9}")
_TEXTS = {"IMAGE": "image", "ID": "own_id", "VARIABLES": "variables"}


@dataclass
class Specimen:
    """One specimen as the file has it."""

    line: int
    landmarks: list = field(default_factory=list)
    curves: list = field(default_factory=list)
    n_curves: int | None = None
    image: str | None = None
    own_id: str | None = None
    variables: str | None = None
    comments: list = field(default_factory=list)
    scale: float | None = None

    def layout(self):
        """Numbers of landmarks and of the points of each curve."""
        return len(self.landmarks), *map(len, self.curves)


class _Section:
    """Lines of points that an entry like LM=3 announces."""

    def __init__(self, entry, line, n_points, points):
        self.entry, self.line, self.n_points, self.points = entry, line, n_points, points

    def check_full(self, path):
        if self.points is not None and len(self.points) != self.n_points:
            raise ValueError(
                f"{path}, line {self.line}: {self.entry} announces {self.n_points} points, but "
                f"{len(self.points)} follow."
            )


def parse_specimens(text, path):
    """Specimens of a file.

    Entries of other kinds (OUTLINES, CHAIN, RADII, ...) are passed over with their lines.
    """
    specimens, section, in_outline = [], None, False
    for number, line in enumerate(text.split("\n"), 1):
        key, equals, value = line.partition("=")
        if not equals:
            if line.strip():
                _take_point(line, section, path, number)
            continue
        key, value, where = key.strip().upper(), value.strip(), f"{path}, line {number}"
        if section is not None:
            section.check_full(path)
        section = None
        if key == "LM3":
            raise ValueError(f"{where}: LM3 are landmarks in three dimensions, expected LM.")
        if key == "LM":
            specimens.append(Specimen(number))
            section = _Section("LM", number, _count(value, where), specimens[-1].landmarks)
            in_outline = False
            continue
        if not specimens:
            raise ValueError(f"{where}: found {line.strip()!r:.60}, expected LM= first.")
        specimen = specimens[-1]
        if key == "POINTS" and not in_outline:
            specimen.curves.append([])
            section = _Section("POINTS", number, _count(value, where), specimen.curves[-1])
        elif _take_entry(specimen, key, value, where):
            in_outline = in_outline and key != "CURVES"
        else:
            in_outline = in_outline or key == "OUTLINES"
            section = _Section(key, number, 0, None)
    if section is not None:
        section.check_full(path)
    return specimens


def _count(value, where):
    if not _COUNT.fullmatch(value):
        raise ValueError(f"{where}: found {value!r:.60}, expected a number of points.")
    return int(value)


def _take_point(line, section, path, number):
    """Add the point of a line to its section; a section without points takes any line."""
    if section is not None and section.points is None:
        return
    if section is None or len(section.points) == section.n_points:
        raise ValueError(
            f"{path}, line {number}: found {line.strip()!r:.60}, expected an entry such as LM= "
            "or IMAGE=."
        )
    parts = line.split(None, 2)
    if len(parts) != 2:
        raise ValueError(
            f"{path}, line {number}: found {line.strip()!r:.60}, expected two numbers, x and y."
        )
    x, y = (as_number(part, f"{path}, line {number}", missing=_MISSING) for part in parts)
    section.points.append((x, y))


def _take_entry(specimen, key, value, where):
    """Whether an entry is of a known kind, which the specimen then has."""
    if key == "COMMENT":
        specimen.comments.append(value)
    elif key in _TEXTS:
        _once(specimen, _TEXTS[key], value, key, where)
    elif key == "CURVES":
        _once(specimen, "n_curves", _count(value, where), key, where)
    elif key == "SCALE" and not value:
        pass  # tpsDig writes this where no scale was set
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
