"""Tables of one row per image and landmark."""

from array import array
from operator import itemgetter

import numpy as np

from skwing.datasets._common import check_alike
from skwing.datasets._formats.columns import check_points, in_order, order_of, place_of
from skwing.datasets._formats.rows import LONGEST_NAME, Numbers, check_name
from skwing.images._convert import PATH_COLUMNS

__all__ = ["long_columns", "read_long"]

_LANDMARK_COLUMNS = ("landmark", "landmark_name", "keypoint", "point", "part", "bodypart")
_LANDMARK_COLUMNS_IF_LONG = ("name", "label", "feature")  # may be anything in a wide table
_VISIBLE_COLUMNS = ("visible", "visibility", "v")
_HIDDEN, _SEEN = (
    frozenset(["0", "0.0", "false", "no"]),
    frozenset(["", "1", "2", "1.0", "2.0", "true", "yes"]),
)


def long_columns(header, path, image, layout):
    """Places of image, landmark, x, y and visibility (None without), or None if not long."""
    place = {name.lower(): i for name, i in reversed(place_of(header, path).items())}
    marks = _LANDMARK_COLUMNS + (_LANDMARK_COLUMNS_IF_LONG if layout == "long" else ())
    image, landmark, visible = (
        next((place[name] for name in names if name in place), None)
        for names in (PATH_COLUMNS if image is None else (image.lower(),), marks, _VISIBLE_COLUMNS)
    )
    found = (image, landmark, place.get("x"), place.get("y"))
    of_box = layout == "auto" and {"width", "height"} <= set(place)
    if None in found or image == landmark or of_box:
        return None
    return (*found, visible)


class _Long:
    """What the rows of a long table hold."""

    def __init__(self, path, decimal):
        self.path = path
        self.numbers = Numbers(path, ("x", "y"), decimal)
        self.images, self.landmarks = {}, {}
        self._image_of, self._landmark_of = array("q"), array("q")

    def read(self, rows, columns):
        """Take all rows."""
        pick, visible = itemgetter(*columns[:4]), columns[4]
        images, landmarks, numbers = self.images, self.landmarks, self.numbers
        add_image, add_landmark = self._image_of.append, self._landmark_of.append
        for line, fields in rows:
            name, landmark, x, y = pick(fields)
            if visible is not None and self._is_hidden(fields[visible], line):
                x = y = ""
            if name not in images:
                images[check_name(name, f"{self.path}, line {line}")] = len(images)
            if landmark not in landmarks:
                self._check_landmark(landmark, line)
                landmarks[landmark] = len(landmarks)
            numbers.add(line, (x, y))
            add_image(images[name])
            add_landmark(landmarks[landmark])
        return self

    def _check_landmark(self, name, line):
        if not name or name != name.strip() or len(name) > LONGEST_NAME:
            raise ValueError(
                f"{self.path}, line {line}: found {name!r:.60}, expected the name of a landmark."
            )

    def _is_hidden(self, text, line):
        text = text.strip().lower()
        if text not in _HIDDEN and text not in _SEEN:
            raise ValueError(
                f"{self.path}, line {line}: found {text!r:.60} for the visibility, expected 0 "
                "where the landmark is hidden, else 1 or 2."
            )
        return text in _HIDDEN

    def points(self):
        """Landmarks, an array of shape (n_images, n_landmarks, 2); NaN without a row."""
        shape = len(self.images), len(self.landmarks)
        cells = shape[0] * shape[1]
        if cells > 1_000_000 + 50 * len(self._image_of):
            raise ValueError(
                f"{self.path}: found {shape[0]} images and {shape[1]} landmarks in only "
                f"{len(self._image_of)} rows; is that the column of the landmarks?"
            )
        values = self.numbers.finish()
        check_points(values[:, None], ["of this row"], self.numbers.where)
        cell = np.array(self._image_of) * shape[1] + np.array(self._landmark_of)
        self._check_once(cell, cells)
        points = np.full((cells, 2), np.nan)
        points[cell] = values
        return points.reshape(*shape, 2)

    def _check_once(self, cell, cells):
        often = np.flatnonzero(np.bincount(cell, minlength=cells) > 1)
        if len(often):
            # The repetition that comes first in the file.
            again = np.flatnonzero(np.isin(cell, often))
            _, first = np.unique(cell[again], return_index=True)
            row = np.delete(again, first)[0]
            before = np.flatnonzero(cell[:row] == cell[row])[0]
            name = list(self.images)[self._image_of[row]]
            landmark = list(self.landmarks)[self._landmark_of[row]]
            raise ValueError(
                f"{self.numbers.where(row)}: landmark {landmark!r:.60} of {name!r:.60} was given "
                f"in line {self.numbers.lines[before]} already."
            )


def read_long(path, rows, columns, decimal, landmarks):
    """Names of the images, of the landmarks, and the points."""
    long = _Long(path, decimal).read(rows, columns)
    points, names = long.points(), list(long.landmarks)
    check_alike(names, points, path)
    if landmarks is not None:
        wanted = [str(name) for name in landmarks]
        if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(names):
            raise ValueError(
                f"{path}: landmarks asks for {wanted!r:.200}, expected some of those in the "
                f"file, each once: {names!r:.200}."
            )
    else:
        wanted = in_order(names)
    return list(long.images), wanted, points[:, order_of(names, wanted)]
