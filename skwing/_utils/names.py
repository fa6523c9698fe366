"""Comparison of landmark names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SEPARATORS = " _.:-"
# Common names of numbered points.
_NO_NAMES = frozenset(
    ["", "coord", "keypoint", "kp", "l", "landmark", "lm", "mark", "marker", "p", "part"]
    + ["point", "pt"]
)
_NUMBERED = re.compile(r"(.*?)([0-9]+)", re.DOTALL)


def stem_of_all(names: Sequence[str]) -> str | None:
    """Common prefix of numbered names, or None.

    Examples
    --------
    >>> from skwing._utils.names import stem_of_all
    >>> stem_of_all(["lm_1", "lm_2"])
    'lm_'
    """
    stems = {found[1] if (found := _NUMBERED.fullmatch(name)) else None for name in names}
    return stems.pop() if len(stems) == 1 else None


def have_meaning(names: Sequence[str]) -> bool:
    """Whether names are more than numbers such as 0, lm_1 or point 2.

    Examples
    --------
    >>> from skwing._utils.names import have_meaning
    >>> have_meaning(["lm_1", "lm_2"]), have_meaning(["nose", "chin"])
    (False, True)
    """
    stem = stem_of_all(names)
    return (stem is None or stem.strip(SEPARATORS).lower() not in _NO_NAMES) and tuple(names) != (
        "",
    )


def misplaced(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    """Index in `names` of the first one that is elsewhere in `wanted`, of the same length.

    Upper and lower case are the same. Numbers may begin at 0 here and at 1 there: in names without
    meaning, only another order of the same numbers is found.

    Examples
    --------
    >>> from skwing._utils.names import misplaced
    >>> misplaced(["nose", "chin", "ear"], ["nose", "ear", "eye"])
    2
    >>> misplaced(["0", "1"], ["1", "2"])
    """
    own, other = ([name.casefold() for name in of] for of in (names, wanted))
    if len(set(own)) < len(own) or len(set(other)) < len(other):  # names differ by case only
        own, other = list(names), list(wanted)
    if set(own) != set(other) and not (have_meaning(own) and have_meaning(other)):
        return None
    place = {name: i for i, name in enumerate(other)}
    return next((i for i, name in enumerate(own) if place.get(name, i) != i), None)
