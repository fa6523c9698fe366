"""Which landmarks are mirror images of each other, told by their names."""

from __future__ import annotations

import re
from collections import Counter
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["mirror_from_names", "mirror_of_pairs", "pairs_from_names"]

# Names are brought to one form first: lower case, words parted by "_".
_CAMEL = re.compile(r"(?<=[a-z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
_GAP = re.compile(r"[\s._/-]+")
_BEFORE, _AFTER = r"(?<![^\W\d_])", r"(?![^\W\d_])"  # no letter stands there

# From the surest sign to the weakest; a name goes by the first that it shows.
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
    """Mirror pairs told by the sides that names speak of.

    The words "left" and "right" count in any case, as do the letters "l" and "r" standing
    apart: ``left_eye``, ``eyeRight``, ``Left Wrist``, ``L_eye``, ``eye-r``, ``L1``. A side
    that is glued to another word, as in ``lefteye`` or ``lwing``, counts only where a
    partner bears it out: ``lip`` has no side unless there is a ``rip``.

    Parameters
    ----------
    landmark_names : sequence of str

    Returns
    -------
    pairs : list of (int, int)
        The lesser number first.
    lonely : dict of int to str
        Names with a side but without a partner, and what that was expected to be like. A
        letter that stands apart is a side only if letters tell the sides of others, so that
        the vertebrae L1 to L5 are not lonely.

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
    """Name on the other side.

    Where a word tells the side of the face and a letter that of the part, both change:
    ``left_eye_l`` goes with ``right_eye_r`` where there is one, and that name with it.
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
    """Pairs by one sign of a side, and the partners sought in vain."""
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
    """Mirror permutation told by the sides in the names, all of which must have a partner.

    Parameters
    ----------
    landmark_names : sequence of str
        ``left_eye`` pairs with ``right_eye``, ``L_eye`` with ``R_eye``; case, and whether
        words are parted by ``_``, ``-``, ``.``, blanks or capitals, do not matter. A name
        without a side is its own mirror image.

    Returns
    -------
    mirror : tuple of int
        ``mirror[i]`` is the point that takes place `i` in the mirrored shape.

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
        raise ValueError(f"Landmark {i}, {names[i]!r}, has no partner: no name is {partner!r}.")
    return mirror_of_pairs(pairs, len(names))


def mirror_of_pairs(pairs: Iterable[tuple[int, int]], n_landmarks: int) -> tuple[int, ...]:
    """Permutation that swaps these pairs."""
    mirror = list(range(n_landmarks))
    for i, j in pairs:
        mirror[i], mirror[j] = j, i
    return tuple(mirror)
