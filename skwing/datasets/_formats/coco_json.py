"""Validation of COCO files: structure, numbers, categories and their schema."""

import contextlib
import itertools
import json

import numpy as np

from skwing.datasets._formats.names import lines_of
from skwing.datasets._text import as_number, read_text
from skwing.schema import LandmarkSchema


def load_json(path):
    """Load a JSON file; all problems of its content raise a ValueError."""

    def refuse(text):
        raise ValueError(f"found {text}, which is no number in JSON")

    text = read_text(path)
    try:
        return json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        raise ValueError(f"{path}, line {error.lineno}: not JSON: {error.msg}") from None
    except RecursionError:
        raise ValueError(f"{path}: nested too deep for a file of keypoints") from None
    except ValueError as error:  # invalid JSON, or a number with thousands of digits
        raise ValueError(f"{path}: {error}") from None


def objects_of(content, key, path):
    """List of objects under a key of the file."""
    if not isinstance(content, dict):
        raise ValueError(f"{path}: expected an object with images, annotations and categories.")
    found = content.get(key)
    if not isinstance(found, list):
        raise ValueError(
            f"{path}: expected a list of {key}, found {_short(found)}; the keys there are "
            f"{', '.join(map(repr, list(content)[:8])) or 'none'}."
        )
    for i, item in enumerate(found):
        if not isinstance(item, dict):
            raise ValueError(f"{path}, {key}[{i}]: found {_short(item)}, expected an object.")
    return found


def _short(value):
    if isinstance(value, (list, dict)):  # repr may be as long as the file
        return f"a {type(value).__name__} of {len(value)}"
    return f"{value!r:.60}"


def id_of(item, key, where):
    """Return an id, which is a number or a string."""
    found = item.get(key)
    if isinstance(found, bool) or not isinstance(found, (int, float, str)):
        raise ValueError(f"{where}: {key} is {_short(found)}, expected a number or a text.")
    return found


def find_categories(categories, wanted, path, has_schema=False):
    """Find categories by names or ids, or the only one with keypoints.

    Parameters
    ----------
    categories : list of dict
    wanted : str, int, list of these, or None
    path : str
        For errors.
    has_schema : bool, default=False
        Whether the user passes a schema, so that names of keypoints are not required.

    Returns
    -------
    chosen : list of dict
        All with the same list of keypoints.
    """
    usable = [c for c in categories if c.get("keypoints")]
    if not usable and has_schema:
        usable = categories
    with_names = " with names of keypoints" if usable and usable[0].get("keypoints") else ""
    choices = ", ".join(
        f"{_short(c.get('name'))} (id {_short(c.get('id'))})" for c in usable[:20]
    ) + (f" and {len(usable) - 20} more" if len(usable) > 20 else "")
    if wanted is None and len(usable) > 1:
        raise ValueError(
            f"{path}: several categories have keypoints; choose one with category=, or a list of "
            f"them that share their keypoints: {choices}."
        )
    if wanted is None and not usable:
        names = ", ".join(_short(c.get("name")) for c in categories[:20])
        raise ValueError(
            f"{path}: no category with names of keypoints; the categories are: {names or 'none'}. "
            "If the landmarks are known, pass their schema=."
        )
    if wanted is None:
        chosen = usable
    else:
        wanted = list(wanted) if isinstance(wanted, (list, tuple, set)) else [wanted]
        if not wanted:
            raise ValueError(f"{path}: category is an empty list, expected names or ids.")
        chosen = [_one_category(usable, one, with_names, choices, path) for one in wanted]
    for one in chosen:
        _check_category(one, path)
        if one.get("keypoints") != chosen[0].get("keypoints"):
            raise ValueError(
                f"{path}: the categories {_short(chosen[0]['name'])} and {_short(one['name'])} "
                "have different keypoints, expected the same names in the same order."
            )
    return chosen


def _one_category(usable, wanted, with_names, choices, path):
    found = [c for c in usable if wanted in (c.get("name"), c.get("id"))]
    if len(found) != 1:
        raise ValueError(
            f"{path}: {'several' if found else 'no'} category {wanted!r:.60}{with_names}; "
            f"there are: {choices or 'none'}."
        )
    return found[0]


def _check_category(category, path):
    where = f"{path}, category {_short(category.get('name'))}"
    id_of(category, "id", where)
    if not isinstance(category.get("name"), str):
        raise ValueError(f"{where}: expected a name.")
    names = category.get("keypoints") or []
    if not isinstance(names, list) or not all(isinstance(n, str) for n in names):
        raise ValueError(f"{where}: keypoints is {_short(names)}, expected a list of names.")


def number_rows(rows, n_columns, describe):
    """Convert lists of numbers to an array; `describe` returns the description of row i."""
    regular = all(type(row) is list and len(row) == n_columns for row in rows)
    if regular and set(map(type, itertools.chain.from_iterable(rows))) <= {int, float}:
        with contextlib.suppress(OverflowError):  # integers too large for a float
            array = np.array(rows, dtype=np.float64).reshape(-1, n_columns)
            if np.isfinite(array).all():
                return array
    for i, row in enumerate(rows):
        where = describe(i)
        if not isinstance(row, list) or len(row) != n_columns:
            raise ValueError(f"{where} is {_short(row)}, expected {n_columns} numbers.")
        for value in row:
            if type(value) not in (int, float):  # strings are not numbers in JSON
                raise ValueError(f"{where}: found {_short(value)}, expected a number.")
            as_number(value, where)
    raise AssertionError("one row at least was no list of finite numbers")


def schema_of(category, path):
    """Schema of a category: its names, its skeleton as lines, its pairs."""
    names, where = category["keypoints"], f"{path}, category {category['name']!r:.60}"
    try:
        contours = _lines(category.get("skeleton") or [], names)
        if "flip_pairs" in category or "swap" in category:
            pairs = _stated_pairs(category, names)
            if pairs is None:
                return LandmarkSchema(category["name"], names, None, contours)
            return LandmarkSchema.from_names(
                category["name"], names, contours=contours, pairs=pairs
            )
        return LandmarkSchema.from_names(category["name"], names, contours=contours)
    except ValueError as error:
        raise ValueError(f"{where}: {error}") from None


def _is_pair(value, kinds):
    return isinstance(value, list) and len(value) == 2 and all(type(v) in kinds for v in value)


def _lines(skeleton, names):
    """Lines of two points; indices start at 1 as in COCO, or at 0 if the file contains a 0."""
    if not isinstance(skeleton, list) or not all(_is_pair(line, (int,)) for line in skeleton):
        raise ValueError("skeleton is no list of pairs of whole numbers")
    first = 0 if any(0 in line for line in skeleton) else 1
    ends = [(a - first, b - first) for a, b in skeleton]
    for a, b in ends:
        if not (0 <= a < len(names) and 0 <= b < len(names)):
            raise ValueError(
                f"skeleton joins keypoints {a + first} and {b + first}, but there are {len(names)}"
            )
    return lines_of(ends, names)


def _stated_pairs(category, names):
    """Pairs under "flip_pairs", names or indices from 0, or "swap", the partner of each name."""
    if "flip_pairs" in category:
        pairs = category["flip_pairs"]
        if pairs is not None and not (
            isinstance(pairs, list) and all(_is_pair(pair, (int, str)) for pair in pairs)
        ):
            raise ValueError("flip_pairs is no list of pairs of names or of whole numbers")
        return pairs
    swap = category["swap"]
    if isinstance(swap, list) and len(swap) == len(names):
        swap = dict(zip(names, swap, strict=True))
    if not isinstance(swap, dict) or not all(isinstance(v, str) for v in swap.values()):
        raise ValueError("swap does not name the partner of each keypoint, or '' for none")
    pairs = {tuple(sorted(pair)) for pair in swap.items() if pair[1] not in ("", pair[0])}
    return sorted(pairs)
