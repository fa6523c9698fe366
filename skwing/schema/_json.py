"""Conversion of landmark schemas to and from JSON text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

_VERSION = 1
_KEYS = ("name", "landmark_names", "mirror", "contours", "normalizers")


def as_text(**parts: object) -> str:
    """JSON text of a schema with one line for each part.

    The indentation of `json` would use one line for each index, which is hard to read.
    """
    lines = [f'  "{key}": {json.dumps(parts[key])}' for key in _KEYS]
    return ",\n".join([f'{{\n  "version": {_VERSION}', *lines]) + "\n}"


def parts_of_text(text: str | bytes) -> dict[str, Any]:
    """Parse the result of :func:`as_text`, given as text or as UTF-8 bytes.

    Raises
    ------
    ValueError
        If the text is not a valid schema. The message does not name the source.
    """
    try:
        if isinstance(text, bytes):
            text = text.decode("utf-8-sig")
        parts = json.loads(text, parse_constant=_no_number, object_pairs_hook=_once_each)
        return _check_parts(parts)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _no_number(text: str) -> None:
    raise ValueError(f"found {text}, which is not a number")


def _once_each(items: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = set()
    for key, _ in items:
        if key in keys:
            raise ValueError(f"the key {key!r:.60} occurs twice")
        keys.add(key)
    return dict(items)


def _check_parts(parts: Any) -> dict[str, Any]:
    if not isinstance(parts, dict):
        raise ValueError(f"expected an object, found {parts!r:.60}")
    version = parts.pop("version", _VERSION)
    if version != _VERSION:
        raise ValueError(f"it is of version {version!r:.60}, expected {_VERSION}")
    if unknown := sorted(parts.keys() - set(_KEYS)):
        raise ValueError(f"the key {unknown[0]!r:.60} is unknown")
    parts = {"mirror": None, "contours": [], "normalizers": {}} | parts
    for key, (is_right, expected) in _CHECKS.items():
        if key not in parts:
            raise ValueError(f"the key {key!r} is missing")
        if not is_right(parts[key]):
            raise ValueError(f"{key!r} is {parts[key]!r:.60}, expected {expected}")
    return parts


def _is_text(value: object) -> bool:
    return isinstance(value, str)


def _is_list(value: Any, is_right: Callable[[Any], bool]) -> bool:
    return isinstance(value, list) and all(map(is_right, value))


def _are_indices(value: object) -> bool:
    return _is_list(value, lambda i: type(i) is int)


def _is_contour(value: Any) -> bool:
    if not isinstance(value, list) or len(value) != 3:
        return False
    name, indices, closed = value
    return _is_text(name) and _are_indices(indices) and isinstance(closed, bool)


def _are_two_groups(value: Any) -> bool:
    return _is_list(value, _are_indices) and len(value) == 2


_CHECKS = {
    "name": (_is_text, "a text"),
    "landmark_names": (lambda value: _is_list(value, _is_text), "a list of texts"),
    "mirror": (
        lambda value: value is None or _are_indices(value),
        "a list of whole numbers, or null",
    ),
    "contours": (
        lambda value: _is_list(value, _is_contour),
        "a list of [name, [landmarks], true or false]",
    ),
    "normalizers": (
        lambda value: isinstance(value, dict) and all(map(_are_two_groups, value.values())),
        "an object of [[left landmarks], [right landmarks]]",
    ),
}
