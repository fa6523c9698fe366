"""Tables in long layout, with one row per image and landmark."""

import numpy as np

from skwing._utils.optional import import_optional
from skwing.datasets._checks import check_alike
from skwing.datasets._formats.columns import place_of
from skwing.datasets._formats.names import check_points, in_order, order_of
from skwing.datasets._formats.table import LONGEST_NAME, check_names
from skwing.datasets._formats.visibility import VISIBLE_COLUMNS, hidden_rows
from skwing.images._convert import PATH_COLUMNS

_LANDMARK_COLUMNS = ("landmark", "landmark_name", "keypoint", "point", "part", "bodypart")
_LANDMARK_COLUMNS_IF_LONG = ("name", "label", "feature")  # may have any meaning in a wide table


def long_columns(header, path, image, layout):
    """Columns of image, landmark, x, y and visibility (or None); None if not long layout."""
    place = {name.lower(): i for name, i in reversed(place_of(header, path).items())}
    marks = _LANDMARK_COLUMNS + (_LANDMARK_COLUMNS_IF_LONG if layout == "long" else ())
    image, landmark, visible = (
        next((place[name] for name in names if name in place), None)
        for names in (PATH_COLUMNS if image is None else (image.lower(),), marks, VISIBLE_COLUMNS)
    )
    found = (image, landmark, place.get("x"), place.get("y"))
    of_box = layout == "auto" and {"width", "height"} <= set(place)
    if None in found or image == landmark or of_box:
        return None
    return (*found, visible)


def _cells(table, image, landmark, path):
    """Names of images and landmarks, and the position of each row in their table."""
    pandas = import_optional("pandas", "reading tables", "csv")
    of_image, images = pandas.factorize(table.values(image))
    of_landmark, marks = pandas.factorize(table.values(landmark))
    images = check_names(images, lambda number: table.cell((of_image == number).argmax(), image))
    for number, name in enumerate(marks):
        if not name or name != name.strip() or len(name) > LONGEST_NAME:
            row = int((of_landmark == number).argmax())
            raise ValueError(
                f"{table.where(row)}: found {name!r:.60}, expected the name of a landmark."
            )
    if len(images) * len(marks) > 1_000_000 + 50 * len(table):
        raise ValueError(
            f"{path}: found {len(images)} images and {len(marks)} landmarks in only {len(table)} "
            "rows; is that the column of the landmarks?"
        )
    cells = of_image * len(marks) + of_landmark
    again = pandas.Series(cells).duplicated().to_numpy()
    if again.any():
        row = int(again.argmax())
        before = int((cells == cells[row]).argmax())
        raise ValueError(
            f"{table.where(row)}: landmark {marks[of_landmark[row]]!r:.60} of "
            f"{images[of_image[row]]!r:.60} was given already in {table.where(before)}."
        )
    return images, list(marks), cells


def read_long(text, columns, landmarks):
    """Names of images and landmarks, and points; NaN for landmarks without a row."""
    path = text.path
    image, landmark, x, y, visible = columns
    table = text.read([i for i in (image, landmark, visible) if i is not None])
    hidden = () if visible is None else hidden_rows(table, visible)
    values = table.numbers([x, y], absent=set(hidden))
    values[list(hidden)] = np.nan
    check_points(values[:, None], ["of this row"], table.where)
    images, names, cells = _cells(table, image, landmark, path)
    points = np.full((len(images) * len(names), 2), np.nan)
    points[cells] = values
    points = points.reshape(len(images), len(names), 2)
    check_alike(names, points, path)
    if landmarks is not None:
        wanted = [str(name) for name in landmarks]
        if not wanted or len(set(wanted)) < len(wanted) or not set(wanted) <= set(names):
            raise ValueError(
                f"{path}: landmarks is {wanted!r:.200}, expected some of those in the "
                f"file, each once: {names!r:.200}."
            )
    else:
        wanted = in_order(names)
    return images, wanted, points[:, order_of(names, wanted)]
