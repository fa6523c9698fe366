"""LandmarkSchema and the four predefined schemas."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from numbers import Integral
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, overload

from skwing._utils.checks import told
from skwing._utils.files import write_text
from skwing._utils.warnings import warn_caller
from skwing.schema import _markups
from skwing.schema._json import as_text, parts_of_text
from skwing.schema._names import mirror_of_pairs, pairs_from_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Self

    from skwing._utils.types import Array, FilePath


@dataclass(frozen=True)
class LandmarkSchema:
    """Definition of the landmarks of a data set; immutable, hashable and validated.

    Parameters
    ----------
    name : str
        Short name, such as ``"ibug68"``.
    landmark_names : sequence of str
        Unique name of each landmark.
    mirror : sequence of int, default=None
        Permutation that renames the points of a mirrored shape: its point `i` is point
        ``mirror[i]`` of the original. The permutation is its own inverse. None disables
        mirroring. :meth:`from_names` derives it from the names.
    contours : sequence of (str, sequence of int, bool), default=()
        Lines for drawing: name, indices of landmarks in order, and whether the line is closed.
    normalizers : mapping of str to (sequence of int, sequence of int), default={}
        For each normalising length, the left and the right group of landmarks. The length
        is the distance between the means of the two groups.

    Raises
    ------
    ValueError
        If names are not unique, `mirror` is not such a permutation, or an index is out of
        range.
    TypeError
        If a part is no sequence of the items above.

    Examples
    --------
    >>> from skwing.schema import LandmarkSchema
    >>> moth = LandmarkSchema("moth", ("left_wing", "head", "right_wing"), mirror=(2, 1, 0))
    >>> moth.n_landmarks, moth.mirror
    (3, (2, 1, 0))
    """

    name: str
    landmark_names: tuple[str, ...]
    mirror: tuple[int, ...] | None = None
    contours: tuple[tuple[str, tuple[int, ...], bool], ...] = ()
    normalizers: Mapping[str, tuple[tuple[int, ...], tuple[int, ...]]] = field(
        default_factory=dict, hash=False
    )

    if TYPE_CHECKING:  # what is taken is converted by __post_init__

        def __init__(
            self,
            name: str,
            landmark_names: Iterable[str],
            mirror: Iterable[int] | None = None,
            contours: Iterable[tuple[str, Iterable[int], bool]] = (),
            normalizers: Mapping[str, Sequence[Iterable[int]]] = ...,
        ) -> None: ...

    def __post_init__(self) -> None:
        """Convert all attributes to immutable types and validate them."""
        set_part = object.__setattr__  # the dataclass is frozen
        set_part(self, "landmark_names", tuple(map(str, self.landmark_names)))
        if self.mirror is not None:
            set_part(self, "mirror", _as_indices(self.mirror))
        set_part(self, "contours", tuple(map(_as_contour, self.contours)))
        if not isinstance(self.normalizers, Mapping):
            raise TypeError(f"normalizers must be a mapping, got {told(self.normalizers)}")
        pairs = {key: _as_groups(key, value) for key, value in self.normalizers.items()}
        set_part(self, "normalizers", MappingProxyType(pairs))
        self._check()

    def _check(self) -> None:
        n = self.n_landmarks
        if n == 0 or len(set(self.landmark_names)) != n:
            raise ValueError(f"Schema {self.name!r} needs unique landmark names.")
        if self.mirror is not None:
            twice = len(self.mirror) == n and all(
                0 <= j < n and self.mirror[j] == i for i, j in enumerate(self.mirror)
            )
            if not twice:
                raise ValueError(
                    f"mirror of schema {self.name!r} must be a permutation of its {n} "
                    f"landmarks that is its own inverse; got {self.mirror}."
                )
        groups = {f"contour {name!r}": indices for name, indices, _ in self.contours}
        for key, (left, right) in self.normalizers.items():
            groups |= {f"left of {key!r}": left, f"right of {key!r}": right}
        for what, indices in groups.items():
            if not indices or not all(0 <= i < n for i in indices):
                raise ValueError(
                    f"{what} of schema {self.name!r} needs landmarks in 0..{n - 1}; got {indices}."
                )

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle and copy by the constructor, as MappingProxyType cannot be pickled."""
        parts = (self.name, self.landmark_names, self.mirror, self.contours)
        return type(self), (*parts, dict(self.normalizers))

    @classmethod
    def from_names(
        cls,
        name: str,
        landmark_names: Iterable[str],
        *,
        contours: Iterable[tuple[str, Iterable[int], bool]] = (),
        normalizers: Mapping[str, Sequence[Iterable[int]]] | None = None,
        pairs: Iterable[tuple[str, str] | tuple[int, int]] | None = None,
    ) -> Self:
        """Create a schema with mirror pairs derived from the names.

        Parameters
        ----------
        name : str
            Name of the schema.
        landmark_names : sequence of str
            Names of the landmarks. Sides are the words "left" and "right" or the letters
            "l" and "r", in upper or lower case and at any position: ``left_eye``,
            ``eyeLeft``, ``Left Wrist``, ``L_eye``, ``eye-r``. If they are joined to another
            word, as in ``lefteye`` or ``lwing``, they are recognised only if there is a
            partner. If there are pairs, a name without a side is its own mirror image.
        contours, normalizers
            See :class:`LandmarkSchema`.
        pairs : sequence of (name, name) or (int, int), default=None
            Mirror pairs. All other landmarks are their own mirror images; with
            ``pairs=()``, all are. None derives the pairs from the names.

        Returns
        -------
        schema : LandmarkSchema
            With ``mirror=None`` (mirroring disabled) if no left/right names are found or
            one of them has no partner.

        Warns
        -----
        UserWarning
            If a name has a side but no partner.

        Raises
        ------
        ValueError
            If names are not unique, or `pairs` contains an unknown landmark or one twice.

        Examples
        --------
        >>> from skwing.schema import LandmarkSchema
        >>> LandmarkSchema.from_names("moth", ["wing_L", "head", "wing_R"]).mirror
        (2, 1, 0)
        >>> LandmarkSchema.from_names("leaf", ["tip", "stem"]).mirror is None
        True
        """
        names = [str(n) for n in landmark_names]
        mirror = None
        if pairs is not None:
            mirror = mirror_of_pairs(_check_pairs(name, names, pairs), len(names))
        else:
            found, lonely = pairs_from_names(names)
            if lonely:
                warn_caller(
                    f"Schema {name!r} has no mirror: "
                    f"{', '.join(f'{names[i]!r} has no {p!r}' for i, p in lonely.items())}. "
                    "Pass the pairs (pairs=...), or () if there are none.",
                )
            elif found:
                mirror = mirror_of_pairs(found, len(names))
        return cls(name, names, mirror, contours, normalizers or {})

    @overload
    def to_json(self, path: None = None) -> str: ...

    @overload
    def to_json(self, path: FilePath) -> None: ...

    def to_json(self, path: FilePath | None = None) -> str | None:
        """Save the schema as JSON.

        Parameters
        ----------
        path : str or os.PathLike, default=None
            Path of the file to write; None returns the text.

        Returns
        -------
        text : str or None
            The JSON text if `path` is None.

        Examples
        --------
        >>> from skwing.schema import LandmarkSchema
        >>> print(LandmarkSchema("eyes", ("left_eye", "right_eye"), (1, 0)).to_json())
        {
          "version": 1,
          "name": "eyes",
          "landmark_names": ["left_eye", "right_eye"],
          "mirror": [1, 0],
          "contours": [],
          "normalizers": {}
        }
        """
        text = as_text(
            name=self.name,
            landmark_names=self.landmark_names,
            mirror=self.mirror,
            contours=self.contours,
            normalizers=dict(self.normalizers),
        )
        if path is None:
            return text
        write_text(path, text + "\n")
        return None

    @classmethod
    def from_json(cls, source: FilePath) -> Self:
        """Load a schema saved by :meth:`to_json`.

        Parameters
        ----------
        source : str or os.PathLike
            JSON text, if it begins with ``{``, else the path of a file.

        Returns
        -------
        schema : LandmarkSchema

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If the content is not a valid schema.

        Examples
        --------
        >>> from skwing.schema import IBUG68, LandmarkSchema
        >>> LandmarkSchema.from_json(IBUG68.to_json()) == IBUG68
        True
        """
        is_text = isinstance(source, str) and source.lstrip().startswith("{")
        where = "the JSON text" if is_text else os.fspath(source)
        try:
            return cls(**parts_of_text(str(source) if is_text else Path(source).read_bytes()))
        except ValueError as error:
            raise ValueError(f"{where} is not a landmark schema: {error}") from None

    def select(self, landmarks: Iterable[str] | Iterable[int], name: str | None = None) -> Self:
        """Schema of some of the landmarks.

        Parameters
        ----------
        landmarks : sequence of str or of int
            Names or indices of the landmarks, in the order of the new schema.
        name : str, default=None
            Name of the new schema; None keeps the name.

        Returns
        -------
        schema : LandmarkSchema
            With the contours and normalising lengths whose landmarks are all selected, and with
            ``mirror=None`` (mirroring disabled) if the partner of a landmark is not.

        Raises
        ------
        ValueError, TypeError
            If a landmark is unknown or selected twice, none is selected, or `landmarks` is no
            sequence of names or indices, as a mask.

        Examples
        --------
        >>> from skwing.schema import IBUG68
        >>> eyes = IBUG68.select(range(36, 48), name="eyes")
        >>> eyes.landmark_names[0], eyes.n_landmarks, sorted(eyes.normalizers)
        ('left_eye_outer', 12, ['inter_ocular', 'inter_pupil'])
        """
        if isinstance(landmarks, str) or not isinstance(landmarks, Iterable):
            raise TypeError(
                f"select: landmarks must be a sequence of names or indices, got {told(landmarks)}"
            )
        # Of arrays and tensors, the numbers.
        listed = landmarks.tolist() if hasattr(landmarks, "tolist") else landmarks
        rows = [self._index_of(landmark) for landmark in listed]
        place = {row: i for i, row in enumerate(rows)}
        if not rows or len(place) < len(rows):
            twice = [self.landmark_names[i] for i in place if rows.count(i) > 1]
            what = f"{twice[0]!r} is selected twice" if rows else "no landmark is selected"
            raise ValueError(f"select: {what}")
        mirror = None
        if self.mirror is not None and {self.mirror[row] for row in rows} == {*place}:
            mirror = [place[self.mirror[row]] for row in rows]
        contours = [
            (contour, [place[i] for i in part], closed)
            for contour, part, closed in self.contours
            if place.keys() >= {*part}
        ]
        normalizers = {
            key: [[place[i] for i in group] for group in groups]
            for key, groups in self.normalizers.items()
            if place.keys() >= {*groups[0], *groups[1]}
        }
        names = [self.landmark_names[row] for row in rows]
        return type(self)(name or self.name, names, mirror, contours, normalizers)

    def _index_of(self, landmark: str | int) -> int:
        """Index of a landmark, given by its name or its index."""
        if isinstance(landmark, str):
            if landmark in self.landmark_names:
                return self.landmark_names.index(landmark)
        elif isinstance(landmark, bool) or not isinstance(landmark, Integral):
            raise TypeError(
                f"select: landmarks must be names or indices, got {told(landmark)}; "
                "np.flatnonzero(mask) are the indices of a mask"
            )
        elif 0 <= landmark < self.n_landmarks:
            return int(landmark)
        raise ValueError(
            f"select: schema {self.name!r} has no landmark {landmark!r}; expected one of its names "
            f"or an index in 0..{self.n_landmarks - 1}"
        )

    @property
    def n_landmarks(self) -> int:
        """Number of landmarks."""
        return len(self.landmark_names)

    def mirror_points(self, points: Array) -> Array:
        """Rename the points of a reflected shape.

        Mirroring a shape takes two steps: the reflection, see
        :func:`skwing.geometry.reflect`, and this renaming.

        Parameters
        ----------
        points : ndarray or tensor of shape (..., n_landmarks, 2)

        Returns
        -------
        points : ndarray or tensor of shape (..., n_landmarks, 2)
            A copy in the mirrored order.

        Raises
        ------
        ValueError
            If the schema has no mirror permutation or the number of points differs.

        Examples
        --------
        >>> import numpy as np
        >>> from skwing.geometry import apply, reflect
        >>> from skwing.schema import LandmarkSchema
        >>> eyes = LandmarkSchema("eyes", ("left_eye", "right_eye"), (1, 0))
        >>> eyes.mirror_points(apply(reflect(64), np.array([[20.0, 30], [50, 31]])))
        array([[13., 31.],
               [43., 30.]])
        """
        if self.mirror is None:
            raise ValueError(f"Schema {self.name!r} has no mirror permutation.")
        if points.shape[-2] != self.n_landmarks:
            raise ValueError(
                f"Schema {self.name!r} has {self.n_landmarks} landmarks; got points of "
                f"shape {tuple(points.shape)}."
            )
        return points[..., list(self.mirror), :]


def _as_parts(value: Any, expected: str, n_parts: int | None = None) -> tuple[Any, ...]:
    """Items of a sequence, or an error; a single string is not a sequence of its letters."""
    is_sequence = isinstance(value, Iterable) and not isinstance(value, (str, bytes))
    parts = tuple(value) if is_sequence else ()
    if not is_sequence or n_parts not in (None, len(parts)):
        raise TypeError(f"{expected}, got {told(value)}")
    return parts


def _as_contour(contour: Any) -> tuple[str, tuple[int, ...], bool]:
    name, indices, is_closed = _as_parts(contour, "a contour must be (name, indices, is_closed)", 3)
    return str(name), _as_indices(indices), bool(is_closed)


def _as_groups(key: str, groups: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    left, right = _as_parts(groups, f"normalizer {key!r} must be two groups of landmarks", 2)
    return _as_indices(left), _as_indices(right)


def _as_indices(indices: Any) -> tuple[int, ...]:
    """Indices of landmarks as int; a mask is an error instead of the indices 0 and 1."""
    listed = indices.tolist() if hasattr(indices, "tolist") else indices
    listed = _as_parts(listed, "expected a sequence of indices of landmarks")
    for i in listed:
        is_whole = isinstance(i, Integral) or (isinstance(i, float) and i.is_integer())
        if isinstance(i, bool) or not is_whole:
            raise TypeError(
                f"indices of landmarks must be whole numbers, got {told(i)}; np.flatnonzero(mask) "
                "are the indices of a mask"
            )
    return tuple(int(i) for i in listed)


def _check_pairs(
    name: str, landmark_names: Sequence[str], pairs: Iterable[Any]
) -> list[tuple[int, int]]:
    """Convert pairs of indices or names to pairs of indices."""
    place: dict[Any, int] = {n: i for i, n in enumerate(landmark_names)}
    place |= {i: i for i in range(len(landmark_names))}
    indices: list[tuple[int, int]] = []
    for pair in pairs:
        both: list[Any] = (
            [place.get(end) for end in pair] if isinstance(pair, (tuple, list)) else []
        )
        if len(both) != 2 or None in both or both[0] == both[1]:
            raise ValueError(
                f"pairs of schema {name!r} must consist of two of its landmarks; got {pair!r:.80}."
            )
        indices.append((both[0], both[1]))
    for i, count in Counter(i for pair in indices for i in pair).items():
        if count > 1:
            raise ValueError(f"pairs of schema {name!r} contain {landmark_names[i]!r} twice.")
    return indices


def check_schema(
    schema: str | LandmarkSchema | None, n_landmarks: int | None = None
) -> LandmarkSchema | None:
    """Return the schema for a name, or the schema itself; None is returned unchanged.

    Parameters
    ----------
    schema : str, LandmarkSchema or None
        A key of `SCHEMAS`, or a schema.
    n_landmarks : int, default=None
        Required number of landmarks; None accepts any.

    Returns
    -------
    schema : LandmarkSchema or None

    Raises
    ------
    ValueError
        If no schema has this name, or it has another number of landmarks.
    TypeError
        If `schema` has another type.

    Examples
    --------
    >>> from skwing.schema import check_schema
    >>> check_schema("ibug68").n_landmarks
    68
    """
    if schema is None:
        return None
    if isinstance(schema, str):
        if schema not in SCHEMAS:
            raise ValueError(
                f"Unknown schema {schema!r}; choose from {sorted(SCHEMAS)} or pass a "
                f"LandmarkSchema."
            )
        schema = SCHEMAS[schema]
    if not isinstance(schema, LandmarkSchema):
        raise TypeError(
            f"schema must be one of {sorted(SCHEMAS)}, a LandmarkSchema or None; got "
            f"{told(schema)}."
        )
    if n_landmarks is not None and schema.n_landmarks != n_landmarks:
        raise ValueError(
            f"Schema {schema.name!r} has {schema.n_landmarks} landmarks, the data have "
            f"{n_landmarks}. schema.select makes the schema of some of the landmarks, "
            "LandmarkSchema.from_names that of others; X.with_schema gives it to the images."
        )
    return schema


def can_mirror(schema: LandmarkSchema | None) -> bool:
    """Whether the schema defines mirror pairs."""
    return schema is not None and schema.mirror is not None


AFLW19 = LandmarkSchema(**_markups.AFLW19)
COFW29 = LandmarkSchema(**_markups.COFW29)
IBUG68 = LandmarkSchema(**_markups.IBUG68)
WFLW98 = LandmarkSchema(**_markups.WFLW98)

SCHEMAS = {schema.name: schema for schema in (AFLW19, COFW29, IBUG68, WFLW98)}
