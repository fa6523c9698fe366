"""What a set of landmarks means: names, mirror images, contours, normalising points.

The rest of the library asks a :class:`LandmarkSchema`; nothing counts landmarks or
compares names of data sets. Indices count from 0. "left" and "right" are as seen in an
upright image: the left eye is the one nearer the left edge, the person's right one.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

__all__ = [
    "AFLW19",
    "COFW29",
    "IBUG68",
    "SCHEMAS",
    "WFLW98",
    "LandmarkSchema",
    "check_schema",
    "mirror_from_names",
]

_SIDE = re.compile(r"(?<![a-z])(left|right)(?![a-z])")


def mirror_from_names(landmark_names):
    """Mirror permutation told by the words "left" and "right" in the names.

    Parameters
    ----------
    landmark_names : sequence of str
        ``left_eye`` pairs with ``right_eye``; a name with neither word is its own mirror
        image. The words must be lower case and stand apart from other letters.

    Returns
    -------
    mirror : tuple of int
        ``mirror[i]`` is the point that takes place `i` in the mirrored shape.

    Raises
    ------
    ValueError
        If a name has no partner.

    Examples
    --------
    >>> from skwing.schema import mirror_from_names
    >>> mirror_from_names(["left_ear", "nose", "right_ear"])
    (2, 1, 0)
    """
    names = list(landmark_names)
    place = {name: i for i, name in enumerate(names)}
    mirror = []
    for i, name in enumerate(names):
        partner = _SIDE.sub(lambda m: "right" if m[1] == "left" else "left", name)
        if partner not in place:
            raise ValueError(f"Landmark {i}, {name!r}, has no partner: no name is {partner!r}.")
        mirror.append(place[partner])
    return tuple(mirror)


@dataclass(frozen=True)
class LandmarkSchema:
    """Meaning of the landmarks of a data set; immutable, hashable, checked on creation.

    Parameters
    ----------
    name : str
        Short name, such as ``"ibug68"``.
    landmark_names : sequence of str
        One per landmark, each different.
    mirror : sequence of int, default=None
        Permutation that renames the points of a mirrored shape: point `i` of it was point
        ``mirror[i]``. It is its own inverse. None says that mirroring is not known, so
        that nobody mirrors. :func:`mirror_from_names` can make it.
    contours : sequence of (str, sequence of int, bool), default=()
        Lines to draw: name, landmarks in order, and whether the line closes.
    normalizers : mapping of str to (sequence of int, sequence of int), default={}
        For each normalising length the left and the right group of landmarks; the length
        is the distance between the means of the two groups.

    Raises
    ------
    ValueError
        If names repeat, `mirror` is no such permutation, or an index is out of range.

    Examples
    --------
    >>> from skwing.schema import LandmarkSchema, mirror_from_names
    >>> names = ("left_wing", "head", "right_wing")
    >>> moth = LandmarkSchema("moth", names, mirror_from_names(names))
    >>> moth.n_landmarks, moth.mirror
    (3, (2, 1, 0))
    """

    name: str
    landmark_names: tuple
    mirror: tuple | None = None
    contours: tuple = ()
    normalizers: Mapping = field(default_factory=dict, hash=False)

    def __post_init__(self):
        """Turn every part into an immutable one and check it."""
        set_part = object.__setattr__  # the way round `frozen`, for the constructor only
        set_part(self, "landmark_names", tuple(str(n) for n in self.landmark_names))
        if self.mirror is not None:
            set_part(self, "mirror", _as_indices(self.mirror))
        contours = tuple((str(n), _as_indices(i), bool(closed)) for n, i, closed in self.contours)
        set_part(self, "contours", contours)
        pairs = {
            key: (_as_indices(left), _as_indices(right))
            for key, (left, right) in self.normalizers.items()
        }
        set_part(self, "normalizers", MappingProxyType(pairs))
        self._check()

    def _check(self):
        n = self.n_landmarks
        if n == 0 or len(set(self.landmark_names)) != n:
            raise ValueError(f"Schema {self.name!r} needs landmark names, each different.")
        if self.mirror is not None:
            twice = len(self.mirror) == n and all(
                0 <= j < n and self.mirror[j] == i for i, j in enumerate(self.mirror)
            )
            if not twice:
                raise ValueError(
                    f"mirror of schema {self.name!r} must be a permutation of its {n} "
                    f"landmarks that undoes itself; got {self.mirror}."
                )
        groups = {f"contour {name!r}": indices for name, indices, _ in self.contours}
        for key, (left, right) in self.normalizers.items():
            groups |= {f"left of {key!r}": left, f"right of {key!r}": right}
        for what, indices in groups.items():
            if not indices or not all(0 <= i < n for i in indices):
                raise ValueError(
                    f"{what} of schema {self.name!r} needs landmarks in 0..{n - 1}; got {indices}."
                )

    def __reduce__(self):
        """Pickle and copy by construction: a read-only mapping has no other way."""
        parts = (self.name, self.landmark_names, self.mirror, self.contours)
        return type(self), (*parts, dict(self.normalizers))

    @property
    def n_landmarks(self):
        """Number of landmarks."""
        return len(self.landmark_names)

    def mirror_points(self, points):
        """Rename the points of a shape that was reflected.

        This is only half of a mirroring; the reflection itself is a matrix, see
        :func:`skwing.geometry.reflect`.

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
            If the schema knows no mirroring or the number of points differs.

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


def _as_indices(indices):
    return tuple(int(i) for i in indices)


def check_schema(schema, n_landmarks=None):
    """Schema of that name, or the schema itself; None stays None.

    Parameters
    ----------
    schema : str, LandmarkSchema or None
        A key of `SCHEMAS`, or a schema.
    n_landmarks : int, default=None
        The number of landmarks it must have; None accepts any.

    Returns
    -------
    schema : LandmarkSchema or None

    Raises
    ------
    ValueError
        If no schema has that name, or it has another number of landmarks.
    TypeError
        If `schema` is none of the three.

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
            f"schema must be one of {sorted(SCHEMAS)}, a LandmarkSchema or None; got {schema!r}."
        )
    if n_landmarks is not None and schema.n_landmarks != n_landmarks:
        raise ValueError(
            f"Schema {schema.name!r} has {schema.n_landmarks} landmarks, the data have "
            f"{n_landmarks}."
        )
    return schema


def _both(pattern, parts):
    """The pattern for each part on the left, then for the parts backwards on the right."""
    left = [pattern.format(side="left", part=part) for part in parts]
    right = [pattern.format(side="right", part=part) for part in reversed(parts)]
    return left, right


def _jaw(n_side):
    left, right = _both("{side}_jaw_{part}", range(n_side))
    return [*left, "chin", *right]


def _nose():
    left, right = _both("{side}_nose_{part}", ("outer", "inner"))
    bridge = ["nose_bridge_0", "nose_bridge_1", "nose_bridge_2", "nose_tip"]
    return [*bridge, *left, "nose_base", *right]


def _eyes(upper):
    """Both eyes, each clockwise as seen; `upper` names the lid from outside to inside."""
    top_left, top_right = _both("{side}_eye_top_{part}", upper)
    bottom_left, bottom_right = _both("{side}_eye_bottom_{part}", upper)
    left = ["left_eye_outer", *top_left, "left_eye_inner", *reversed(bottom_left)]
    right = ["right_eye_inner", *top_right, "right_eye_outer", *reversed(bottom_right)]
    return left + right


def _mouth():
    """The 12 outer and 8 inner points, each ring clockwise from the left corner."""
    up_left, up_right = _both("{side}_upper_lip_{part}", ("outer", "inner"))
    low_left, low_right = _both("{side}_lower_lip_{part}", ("outer", "inner"))
    ring = ["left_mouth_corner", *up_left, "upper_lip_top", *up_right, "right_mouth_corner"]
    ring += [*reversed(low_right), "lower_lip_bottom", *reversed(low_left)]
    inside = ["left_mouth_inside", "left_upper_lip_inside", "upper_lip_inside"]
    inside += ["right_upper_lip_inside", "right_mouth_inside", "right_lower_lip_inside"]
    return [*ring, *inside, "lower_lip_inside", "left_lower_lip_inside"]


def _run(first, last):
    return tuple(range(first, last + 1))


def _ship(name, landmark_names, contours, inter_pupil, inter_ocular):
    normalizers = {"inter_pupil": inter_pupil, "inter_ocular": inter_ocular}
    mirror = mirror_from_names(landmark_names)
    return LandmarkSchema(name, landmark_names, mirror, contours, normalizers)


# AFLW (Koestinger et al. 2011) in the order of its feature table, without the two ear
# lobes (Zhu et al., CVPR 2016). It marks the middle of each eye, which serves as pupil.
AFLW19 = _ship(
    "aflw19",
    [
        *(f"left_brow_{part}" for part in ("outer", "middle", "inner")),
        *(f"right_brow_{part}" for part in ("inner", "middle", "outer")),
        *(f"left_eye_{part}" for part in ("outer", "center", "inner")),
        *(f"right_eye_{part}" for part in ("inner", "center", "outer")),
        *("left_nose", "nose_tip", "right_nose"),
        *("left_mouth_corner", "mouth_center", "right_mouth_corner", "chin"),
    ],
    contours=[
        ("left_brow", _run(0, 2), False),
        ("right_brow", _run(3, 5), False),
        ("left_eye", _run(6, 8), False),
        ("right_eye", _run(9, 11), False),
        ("nose", _run(12, 14), False),
        ("mouth", _run(15, 17), False),
    ],
    inter_pupil=((7,), (10,)),
    inter_ocular=((6,), (11,)),
)

# The 68 points of 300-W (Sagonas et al., ICCV workshops 2013; counted from 1 there).
# Its pupils are, by the custom of Ren et al. (CVPR 2014) that Feng et al. follow, the
# means of the six points around each eye.
IBUG68 = _ship(
    "ibug68",
    _jaw(8)
    + [f"left_brow_{i}" for i in range(5)]
    + [f"right_brow_{i}" for i in reversed(range(5))]
    + _nose()
    + _eyes(("outer", "inner"))
    + _mouth(),
    contours=[
        ("jaw", _run(0, 16), False),
        ("left_brow", _run(17, 21), False),
        ("right_brow", _run(22, 26), False),
        ("nose_bridge", _run(27, 30), False),
        ("nose_base", _run(31, 35), False),
        ("left_eye", _run(36, 41), True),
        ("right_eye", _run(42, 47), True),
        ("outer_lips", _run(48, 59), True),
        ("inner_lips", _run(60, 67), True),
    ],
    inter_pupil=(_run(36, 41), _run(42, 47)),
    inter_ocular=((36,), (45,)),
)

# COFW (Burgos-Artizzu et al., ICCV 2013) marks the pupils themselves: points 16 and 17
# (17 and 18 counted from 1), the outer corners being 8 and 9.
COFW29 = _ship(
    "cofw29",
    [
        *("left_brow_outer", "right_brow_outer", "left_brow_inner", "right_brow_inner"),
        *("left_brow_top", "left_brow_bottom", "right_brow_top", "right_brow_bottom"),
        *("left_eye_outer", "right_eye_outer", "left_eye_inner", "right_eye_inner"),
        *("left_eye_top", "left_eye_bottom", "right_eye_top", "right_eye_bottom"),
        *("left_pupil", "right_pupil", "left_nose", "right_nose", "nose_tip", "nose_base"),
        *("left_mouth_corner", "right_mouth_corner", "upper_lip_top", "upper_lip_bottom"),
        *("lower_lip_top", "lower_lip_bottom", "chin"),
    ],
    contours=[
        ("left_brow", (0, 4, 2, 5), True),
        ("right_brow", (3, 6, 1, 7), True),
        ("left_eye", (8, 12, 10, 13), True),
        ("right_eye", (11, 14, 9, 15), True),
        ("nose", (18, 20, 19, 21), True),
        ("outer_lips", (22, 24, 23, 27), True),
        ("inner_lips", (22, 25, 23, 26), True),
    ],
    inter_pupil=((16,), (17,)),
    inter_ocular=((8,), (9,)),
)

# WFLW (Wu et al., "Look at Boundary", CVPR 2018): 300-W's kinds of points, more closely
# set, with brows as closed contours and the pupils (96, 97) marked themselves. Its own
# error is normalised by the outer corners, 60 and 72.
WFLW98 = _ship(
    "wflw98",
    _jaw(16)
    + ["left_brow_outer"]
    + [f"left_brow_top_{i}" for i in (1, 2, 3, 4)]
    + [f"left_brow_bottom_{i}" for i in (4, 3, 2, 1)]
    + [f"right_brow_top_{i}" for i in (4, 3, 2, 1)]
    + ["right_brow_outer"]
    + [f"right_brow_bottom_{i}" for i in (1, 2, 3, 4)]
    + _nose()
    + _eyes(("outer", "middle", "inner"))
    + _mouth()
    + ["left_pupil", "right_pupil"],
    contours=[
        ("jaw", _run(0, 32), False),
        ("left_brow", _run(33, 41), True),
        ("right_brow", _run(42, 50), True),
        ("nose_bridge", _run(51, 54), False),
        ("nose_base", _run(55, 59), False),
        ("left_eye", _run(60, 67), True),
        ("right_eye", _run(68, 75), True),
        ("outer_lips", _run(76, 87), True),
        ("inner_lips", _run(88, 95), True),
    ],
    inter_pupil=((96,), (97,)),
    inter_ocular=((60,), (72,)),
)

SCHEMAS = {schema.name: schema for schema in (AFLW19, COFW29, IBUG68, WFLW98)}
