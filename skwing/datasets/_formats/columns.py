"""Which columns of a table hold the image, the box and the landmarks, by their names."""

import os
import re
from collections import Counter
from dataclasses import dataclass

import numpy as np

from skwing.datasets._common import IMAGE_SUFFIXES, natural_key
from skwing.datasets._formats.pixels import is_pixels
from skwing.datasets._formats.rows import is_missing, is_number
from skwing.images._convert import BOX_COLUMNS, PATH_COLUMNS
from skwing.schema import LandmarkSchema, check_schema

__all__ = [
    "Columns",
    "check_box_rows",
    "check_one_row_each",
    "check_points",
    "find_columns",
    "in_order",
    "landmark_names",
    "order_of",
    "place_of",
    "schema_of",
]

_SEPARATORS = " _.:-"
_BOX_PREFIXES = ("", "box_", "bbox_", "face_", "box.", "bbox.", "face.")
_SIZES = (BOX_COLUMNS[2:], ("w", "h"))
# What corners of boxes are called; numbers alone, without a prefix, are landmarks.
_EXTREMES = [
    tuple(pattern.format(axis, end) for end in ("min", "max") for axis in "xy")
    for pattern in ("{}{}", "{}_{}", "{1}_{0}")
] + [("left", "top", "right", "bottom")]
_NUMBERED_CORNERS = [
    tuple(f"{axis}{end}" for end in ends for axis in "xy")
    for ends in ((1, 2), (0, 1), ("tl", "br"))
]
_CORNERS = [
    *(tuple(prefix + n for n in names) for prefix in _BOX_PREFIXES for names in _EXTREMES),
    *(
        tuple(prefix + n for n in names)
        for prefix in _BOX_PREFIXES
        if "box" in prefix
        for names in _NUMBERED_CORNERS
    ),
]
# What people call points that have a number and no name.
_NO_NAMES = frozenset(
    ["", "coord", "keypoint", "kp", "l", "landmark", "lm", "mark", "marker", "p", "part"]
    + ["point", "pt"]
)
_NUMBERED = re.compile(r"(.*?)([0-9]+)", re.DOTALL)

# "Facial Keypoints Detection", Kaggle 2013. Its left is the person's own, which is the
# right of an image.
_KAGGLE_NAMES = (
    *("left_eye_center", "right_eye_center", "left_eye_inner_corner", "left_eye_outer_corner"),
    *("right_eye_inner_corner", "right_eye_outer_corner", "left_eyebrow_inner_end"),
    *("left_eyebrow_outer_end", "right_eyebrow_inner_end", "right_eyebrow_outer_end"),
    *("nose_tip", "mouth_left_corner", "mouth_right_corner", "mouth_center_top_lip"),
    "mouth_center_bottom_lip",
)
_KAGGLE15 = LandmarkSchema.from_names(
    "kaggle15",
    _KAGGLE_NAMES,
    normalizers={"inter_pupil": ((1,), (0,)), "inter_ocular": ((5,), (3,))},
)


@dataclass(frozen=True)
class Columns:
    """Places of the columns of a table.

    Parameters
    ----------
    image : int
    boxes : tuple of 4 int, or None
    names : tuple of str
        Of the landmarks.
    points : tuple of int
        x and y of each landmark in turn.
    rest : tuple of int
        All others that have a name.
    """

    image: int
    boxes: tuple | None
    names: tuple
    points: tuple
    rest: tuple


def place_of(header, where):
    """Place of each column by its name; a name that comes twice is an error."""
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


# ---------------------------------------------------------------------------------------
# Boxes
# ---------------------------------------------------------------------------------------
def _usual_boxes(place):
    """Columns named like x, y, width, height, and columns named like corners."""
    lower = {name.lower(): i for name, i in reversed(place.items())}
    usual = (
        [prefix + name for name in (*BOX_COLUMNS[:2], *size)]
        for prefix in _BOX_PREFIXES
        for size in _SIZES
    )
    return [
        next((tuple(lower[n] for n in names) for names in kind if lower.keys() >= set(names)), ())
        for kind in (usual, _CORNERS)
    ]


def _box_columns(boxes, header, place, where):
    """Columns of boxes, or None, and those that are of boxes but not wanted."""
    usual, corners = _usual_boxes(place)
    if boxes is None:
        if corners and not usual:
            raise ValueError(
                f"{where}: the columns {', '.join(header[i] for i in corners)} look like corners "
                "of boxes, which are not read: give x, y, width, height, or pass boxes=() for no "
                "boxes."
            )
        return usual or None, corners
    boxes = tuple(boxes)
    if len(boxes) not in (0, 4):
        raise ValueError(
            f"{where}: boxes names {len(boxes)} columns, expected 4: x, y, width, height."
        )
    found = tuple(_lookup(name, place, "boxes", where) for name in boxes)
    return found or None, (*usual, *corners)


def check_box_rows(boxes, where):
    """Check boxes; `where` gives the words for a row."""
    absent = np.isnan(boxes)
    wrong = (absent.any(axis=1) & ~absent.all(axis=1)) | (boxes[:, 2:] <= 0).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{where(row)}: the box (x, y, width, height) is {tuple(boxes[row].tolist())}, "
            "expected four numbers with a width and height above 0, or none."
        )
    return boxes


# ---------------------------------------------------------------------------------------
# Landmarks
# ---------------------------------------------------------------------------------------
def _meet(before, after):
    """Whether two neighbouring characters part words: not both letters, or as in noseX."""
    return not (before.isalpha() and after.isalpha()) or (before.islower() and after.isupper())


def _at_end(column):
    """nose_x, nose.x, p1x, noseX, x: name, axis, and what the partner must share."""
    if not column or column[-1] not in "xyXY":
        return None
    stem, axis = column[:-1], column[-1]
    if stem and not _meet(stem[-1], axis):
        return None
    name = stem[:-1] if stem and stem[-1] in _SEPARATORS else stem
    return name, axis, (stem, axis.isupper())


def _at_start(column):
    """x0, x_nose, xNose."""
    if len(column) < 2 or column[0] not in "xyXY" or not _meet(column[0], column[1]):
        return None
    rest = column[1:]
    name = rest[1:] if rest[0] in _SEPARATORS else rest
    return name, column[0], (rest, column[0].isupper())


def _inside(column):
    """lm_x_0, point.x1: the last x or y that stands alone."""
    for i in range(len(column) - 2, 0, -1):
        alone = not column[i - 1].isalpha() and not column[i + 1].isalpha()
        if column[i] in "xyXY" and alone:
            before, after = column[:i], column[i + 1 :]
            name = (before[:-1] if before[-1] in _SEPARATORS else before) + after
            return name, column[i], (before, after, column[i].isupper())
    return None


def _pairs(header, free, where, choose):
    """Landmark columns (x, y) by landmark name, in the order of the table.

    `choose` takes the first of several pairs of one name, which else are an error.
    """
    found = []
    for form in (_at_end, _at_start, _inside):
        partners = {}
        for i in free:
            if parts := form(header[i]):
                name, axis, key = parts
                partners.setdefault(key, {"name": name})[axis.lower()] = i
        new = [(p["x"], p["y"], p["name"]) for p in partners.values() if "x" in p and "y" in p]
        found += new
        taken = {i for x, y, _ in new for i in (x, y)}
        free = [i for i in free if i not in taken]
    pairs = {}
    for x, y, name in sorted(found):
        if name in pairs and choose:
            continue
        if name in pairs:
            other = [header[i] for i in pairs[name]]
            raise ValueError(
                f"{where}: the columns {header[x]}, {header[y]} and {other[0]}, {other[1]} are "
                f"all of landmark {name!r}: say with landmarks= which columns to take."
            )
        pairs[name] = (x, y)
    return pairs


def _counted(header, free, where):
    """Columns that have only numbers for names, x0 y0 x1 y1 ... in their order."""
    numbers = [header[i] for i in free]
    if not numbers or not all(name.isascii() and name.isdigit() for name in numbers):
        return {}
    if len(numbers) % 2:
        raise ValueError(
            f"{where}: found {len(numbers)} columns of numbers, expected pairs x0, y0, x1, y1, ..."
        )
    return {str(i): pair for i, pair in enumerate(zip(free[::2], free[1::2], strict=True))}


def _chosen(landmarks, pairs, place, where):
    """Pairs the user asked for, by landmark name or by the names of both columns."""
    if isinstance(landmarks, str):
        raise ValueError(f"{where}: landmarks must be a sequence, got the text {landmarks!r}.")
    chosen = {}
    for item in landmarks:
        if isinstance(item, str):
            if item not in pairs:
                raise ValueError(
                    f"{where}: no columns for x and y of landmark {item!r}; found landmarks "
                    f"{_shortened(pairs)}."
                )
            name, pair = item, pairs[item]
        else:
            columns = [str(name) for name in item]
            if len(columns) != 2:
                raise ValueError(
                    f"{where}: landmarks holds {item!r}, expected a name or a pair of columns."
                )
            pair = tuple(_lookup(name, place, "landmarks", where) for name in columns)
            known = [name for name, found in pairs.items() if found == pair]
            name = known[0] if known else columns[0]
        if name in chosen:
            raise ValueError(f"{where}: landmark {name!r} is asked for twice.")
        chosen[name] = pair
    return chosen


# ---------------------------------------------------------------------------------------
# The image
# ---------------------------------------------------------------------------------------
def _text_column(header, sample, free, where):
    """The column that must be the path: the only text, or the only name of an image file."""
    texts = [i for i in free if not _is_numeric(sample[i])]
    named = [i for i in texts if str(sample[i]).lower().endswith(IMAGE_SUFFIXES)]
    # A column without a name stands in front, where the row's own name belongs.
    likely = [i for i in texts if _looks_like_image(sample[i]) or not header[i]]
    for candidates in (likely, named):
        if len(candidates) == 1:
            return candidates[0]
    raise ValueError(
        f"{where}: which column holds the image? None is named {', '.join(PATH_COLUMNS)}, and "
        f"{len(named)} hold names of image files: {_shortened(header[i] for i in named)}; say "
        f"which. Columns: {_shortened(header)}."
    )


def _looks_like_image(value):
    """Whether a cell is an image, its grey levels as text, or the path of a file."""
    if isinstance(value, (np.ndarray, os.PathLike)) or is_pixels(value):
        return True
    text = str(value).lower()
    return text.endswith(IMAGE_SUFFIXES) or "/" in text or "\\" in text


def _is_numeric(value):
    """Whether a cell is a number or empty; the text of None, NaN, pandas' NA tells as well."""
    if isinstance(value, np.ndarray):
        return False
    text = str(value)
    return is_missing(text) or is_number(text)


def find_columns(header, sample, where, *, image=None, landmarks=None, boxes=None):
    """Tell the columns of a wide table apart.

    Parameters
    ----------
    header : list of str
        Names of the columns.
    sample : list
        Values of the first row.
    where : str
        For errors.
    image : str, default=None
        Column of the image; None finds it.
    landmarks : sequence of str or (str, str), default=None
        Names of landmarks, or of their two columns, in the order wanted; None takes all
        pairs of columns whose names differ by x and y only. Numbered ones are sorted.
    boxes : sequence of 4 str, default=None
        Columns of x, y, width, height; None finds them, an empty one has none.

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
        # An "image" that is a number, beside a "filename", is the number of a row.
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
    names = list(pairs) if chosen else in_order(pairs)
    points = tuple(i for name in names for i in pairs[name])
    used = {image, *(box or ()), *points}
    rest = tuple(i for i in range(len(header)) if i not in used and _says_something(header[i]))
    return Columns(image, box, tuple(names), points, rest)


def _says_something(name):
    """Whether a column is more than the row numbers that pandas writes."""
    return bool(name) and not name.startswith("Unnamed: ")


# ---------------------------------------------------------------------------------------
# Names and schemas
# ---------------------------------------------------------------------------------------
def _stem_of_all(names):
    """What numbered names have before the number, if all share it; else None."""
    stems = {found[1] if (found := _NUMBERED.fullmatch(name)) else None for name in names}
    return stems.pop() if len(stems) == 1 else None


def in_order(names):
    """Names sorted by number if they are a word and a number each, else as they come."""
    names = list(names)
    return names if _stem_of_all(names) is None else sorted(names, key=natural_key)


def _have_meaning(names):
    stem = _stem_of_all(names)
    return (stem is None or stem.strip(_SEPARATORS).lower() not in _NO_NAMES) and tuple(names) != (
        "",
    )


def schema_of(names, schema, where):
    """Schema of landmarks of these names, and the order to bring them into.

    Parameters
    ----------
    names : sequence of str
    schema : str, LandmarkSchema or None
        The user's; None makes one where the names are more than numbers.
    where : str

    Returns
    -------
    schema : LandmarkSchema or None
    order : list of int
        Place in `names` of each landmark of the schema.
    """
    names = list(names)
    order = list(range(len(names)))
    if schema is None:
        if not names or not _have_meaning(names):
            return None, order
        if set(names) == set(_KAGGLE_NAMES):
            return _KAGGLE15, order_of(names, _KAGGLE_NAMES)
        return LandmarkSchema.from_names("table", names), order
    try:
        schema = check_schema(schema, len(names))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    if set(names) == set(schema.landmark_names):
        order = order_of(names, schema.landmark_names)
    return schema, order


def order_of(names, wanted):
    """Place in `names` of each wanted name."""
    place = {name: i for i, name in enumerate(names)}
    return [place[name] for name in wanted]


def landmark_names(schema, names, n_landmarks):
    """Names to write: the user's, the schema's, or numbers."""
    if names is None:
        names = range(n_landmarks) if schema is None else schema.landmark_names
    names = [str(name) for name in names]
    if len(names) != n_landmarks or len(set(names)) != n_landmarks:
        raise ValueError(
            f"names holds {len(names)} names, {len(set(names))} of them different; expected "
            f"{n_landmarks}, one for each landmark."
        )
    return names


def check_one_row_each(columns, header, images, where):
    """Refuse a table of one point a row, several of them of one image.

    Programs write their lists of points so. Which landmark each is it does not say, and a
    sample a point would be silently wrong.
    """
    if columns.names != ("",) or columns.boxes is not None or len(set(images)) == len(images):
        return
    x, y = (header[i] for i in columns.points)
    raise ValueError(
        f"{where}: found several rows of one image, {Counter(images).most_common(1)[0][0]!r:.60}, "
        f"with one point each ({x}, {y}) and no column that names the landmark. Add a column "
        f"'landmark'; or landmarks=[({x!r}, {y!r})] says that each row is a sample of its own."
    )


def check_points(points, names, where):
    """Check that landmarks have both coordinates or none; `where` gives the words for a row."""
    absent = np.isnan(points)
    half = absent[..., 0] != absent[..., 1]
    if half.any():
        row, landmark = (int(i) for i in np.argwhere(half)[0])
        known, lost = "yx" if absent[row, landmark, 0] else "xy"
        raise ValueError(
            f"{where(row)}: landmark {names[landmark]!r:.60} has {known} and no {lost}; expected "
            "both, or neither where the landmark is missing."
        )
    return points
