"""Schemas from landmark names, and validation of landmarks and boxes in tables."""

import itertools

import numpy as np

from skwing._utils.names import have_meaning, misplaced, stem_of_all
from skwing.datasets._text import natural_key
from skwing.schema import LandmarkSchema, check_schema

# "Facial Keypoints Detection", Kaggle 2013. "left" is the person's left, which is on the right of
# the image.
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


def in_order(names):
    """Names sorted by number if each is a word and a number, else in their order."""
    names = list(names)
    return names if stem_of_all(names) is None else sorted(names, key=natural_key)


def schema_of(names, schema, where):
    """Schema of landmarks with the given names, and their order in it.

    Parameters
    ----------
    names : sequence of str
    schema : str, LandmarkSchema or None
        Schema passed by the user; None creates one unless names are only numbers.
    where : str

    Returns
    -------
    schema : LandmarkSchema or None
    order : list of int
        Index in `names` of each landmark of the schema.
    """
    names = list(names)
    order = list(range(len(names)))
    if schema is None:
        if not names or not have_meaning(names):
            return None, order
        if set(names) == set(_KAGGLE_NAMES):
            return _KAGGLE15, order_of(names, _KAGGLE_NAMES)
        return LandmarkSchema.from_names("table", names), order
    try:
        schema = check_schema(schema, len(names))
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None
    return schema, order_in(schema, names, where)


def order_in(schema, names, where):
    """Index in `names` of each landmark of a schema with as many landmarks.

    The order is kept if no name is in the schema. Upper and lower case are the same.
    """
    wanted, own = ([name.casefold() for name in of] for of in (schema.landmark_names, names))
    if set(own) == set(wanted) and len(set(own)) == len(own):
        return order_of(own, wanted)
    i = misplaced(names, schema.landmark_names)
    if i is not None:
        raise ValueError(
            f"{where}: landmark {names[i]!r:.60} is number {wanted.index(own[i]) + 1} in the "
            f"schema {schema.name!r:.60} and number {i + 1} here, where not all names are "
            "those of the schema; expected its names, or other names in its order."
        )
    return list(range(len(names)))


def order_of(names, wanted):
    """Index in `names` of each requested name."""
    place = {name: i for i, name in enumerate(names)}
    return [place[name] for name in wanted]


def edges_of(schema):
    """Pairs of landmarks connected by the contours of a schema."""
    lines = (
        [*indices, indices[0]] if closed and len(indices) > 2 else indices
        for _, indices, closed in schema.contours
    )
    return [ends for line in lines for ends in itertools.pairwise(line)]


def lines_of(edges, names):
    """Contours of a schema for edges between pairs of landmarks."""
    return [(f"{names[a]}-{names[b]}", (a, b), False) for a, b in edges]


def mirror_pairs(schema):
    """Pairs of names that are swapped by mirroring; None if mirroring is disabled."""
    if schema.mirror is None:
        return None
    names = schema.landmark_names
    return [[names[i], names[j]] for i, j in enumerate(schema.mirror) if i < j]


def landmark_names(schema, names, n_landmarks):
    """Names to write: those passed by the user, those of the schema, or numbers."""
    if names is None:
        names = range(n_landmarks) if schema is None else schema.landmark_names
    names = [str(name) for name in names]
    if len(names) != n_landmarks or len(set(names)) != n_landmarks:
        raise ValueError(
            f"names holds {len(names)} names, {len(set(names))} of them different; expected "
            f"{n_landmarks}, one for each landmark."
        )
    return names


def check_points(points, names, where):
    """Check that landmarks have both coordinates or none; `where` describes a row."""
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


def check_box_rows(boxes, where):
    """Check boxes; `where` describes a row."""
    absent = np.isnan(boxes)
    wrong = (absent.any(axis=1) & ~absent.all(axis=1)) | (boxes[:, 2:] <= 0).any(axis=1)
    if wrong.any():
        row = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"{where(row)}: the box (x, y, width, height) is {tuple(boxes[row].tolist())}, "
            "expected four numbers with a width and height above 0, or none."
        )
    return boxes
