"""Detection of mirror pairs from landmark names."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Names are normalised to lower case, with words separated by "_".
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[\s._/-]+")
_BEFORE, _AFTER = r"(?<![^\W\d_])", r"(?![^\W\d_])"  # no letter stands there

# Patterns for sides, from the most to the least reliable; the first match is used.
_WORD = re.compile(rf"{_BEFORE}(left|right){_AFTER}")
_LETTER = re.compile(rf"{_BEFORE}(l|r){_AFTER}")
_GLUED = (
    re.compile(rf"{_BEFORE}(left|right)|(left|right){_AFTER}"),  # lefteye, eyeleft
    re.compile(r"^(l|r)(?=[a-z])"),  # lwing
    re.compile(r"(?<=[a-z])(l|r)$"),  # wingl
)
_OTHER = {"left": "right", "right": "left", "l": "r", "r": "l"}


def _plain(name: str) -> str:
    return _GAP.sub("_", _CAMEL.sub("_", name)).lower()


def pairs_from_names(landmark_names: Iterable[str]) -> tuple[list[tuple[int, int]], dict[int, str]]:
    """Detect mirror pairs from the sides in names.

    The separate words "left" and "right" and the separate letters "l" and "r", in upper or
    lower case, are sides: ``left_eye``, ``eyeRight``, ``Left Wrist``, ``L_eye``, ``eye-r``,
    ``L1``. A side that is joined to another word, as in ``lefteye`` or ``lwing``, is only
    recognised if there is a partner: ``lip`` has no side unless there is a ``rip``.

    Parameters
    ----------
    landmark_names : sequence of str

    Returns
    -------
    pairs : list of (int, int)
        The smaller index first.
    lonely : dict of int to str
        Index of each name that has a side but no partner, and the expected name of the
        partner. Separate letters are sides only if other names are paired by letters, so
        the vertebrae L1 to L5 are not reported.

    Examples
    --------
    >>> from skwing.schema._names import pairs_from_names
    >>> pairs_from_names(["leftEye", "tip", "rightEye", "left_toe"])
    ([(0, 2)], {3: 'right_toe'})
    """
    plain = [_plain(name) for name in landmark_names]
    counts = Counter(plain)
    place = {name: i for i, name in enumerate(plain) if counts[name] == 1}
    pairs: list[tuple[int, int]] = []
    lonely: dict[int, str] = {}
    settled: set[int] = set()
    for sign in (_WORD, _LETTER, *_GLUED):
        found, alone = _pairs_by(sign, plain, place, settled)
        pairs += found
        settled.update(i for pair in found for i in pair)
        if sign is _WORD or (sign is _LETTER and found):
            lonely |= alone
            settled.update(alone)
    return sorted(pairs), dict(sorted(lonely.items()))


def _partner(name: str, sign: re.Pattern[str], place: dict[str, int]) -> str:
    """Expected name of the partner on the other side.

    If a word gives the side of the face and a letter that of the part, both change:
    ``left_eye_l`` and ``right_eye_r`` are partners if both exist.
    """
    partner = sign.sub(lambda match: _OTHER[match[0]], name)
    if sign is not _WORD or partner == name:
        return partner
    both = _LETTER.sub(lambda match: _OTHER[match[0]], partner)
    if both == partner or both not in place:
        return partner
    # All four, or only these two: else the letter is no side, as in left_l1 and right_l1.
    letter = _LETTER.sub(lambda match: _OTHER[match[0]], name)
    return both if (letter in place) == (partner in place) else partner


def _pairs_by(
    sign: re.Pattern[str], plain: Sequence[str], place: dict[str, int], settled: set[int]
) -> tuple[list[tuple[int, int]], dict[int, str]]:
    """Pairs found with one pattern of sides, and the names without a partner."""
    found, alone = [], {}
    for i, name in enumerate(plain):
        partner = _partner(name, sign, place)
        if i in settled or partner == name:
            continue
        j = place.get(partner)
        if j is None or j in settled or name not in place:
            alone[i] = partner
        elif i < j:
            found.append((i, j))
    return found, alone


def mirror_from_names(landmark_names: Iterable[str]) -> tuple[int, ...]:
    """Mirror permutation from the sides in names; each name with a side needs a partner.

    Parameters
    ----------
    landmark_names : sequence of str
        ``left_eye`` is paired with ``right_eye``, ``L_eye`` with ``R_eye``. Case and
        separators (``_``, ``-``, ``.``, spaces or capital letters) are ignored. A name
        without a side is its own mirror image.

    Returns
    -------
    mirror : tuple of int
        Point `i` of the mirrored shape is point ``mirror[i]`` of the original.

    Raises
    ------
    ValueError
        If a name with a side has no partner.

    Examples
    --------
    >>> from skwing.schema import mirror_from_names
    >>> mirror_from_names(["left_ear", "nose", "right_ear"])
    (2, 1, 0)
    """
    names = list(landmark_names)
    pairs, lonely = pairs_from_names(names)
    for i, partner in lonely.items():
        raise ValueError(f"Landmark {i}, {names[i]!r}, has no partner: found no {partner!r}.")
    return mirror_of_pairs(pairs, len(names))


def mirror_of_pairs(pairs: Iterable[tuple[int, int]], n_landmarks: int) -> tuple[int, ...]:
    """Permutation that swaps the given pairs."""
    mirror = list(range(n_landmarks))
    for i, j in pairs:
        mirror[i], mirror[j] = j, i
    return tuple(mirror)
