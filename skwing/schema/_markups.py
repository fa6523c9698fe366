"""Definitions of the predefined schemas of four face data sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

from skwing.schema._names import mirror_from_names

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any


def _both(pattern: str, parts: Sequence[object]) -> tuple[list[str], list[str]]:
    """Names for all parts on the left, and in reverse order on the right."""
    left = [pattern.format(side="left", part=part) for part in parts]
    right = [pattern.format(side="right", part=part) for part in reversed(parts)]
    return left, right


def _jaw(n_side: int) -> list[str]:
    left, right = _both("{side}_jaw_{part}", range(n_side))
    return [*left, "chin", *right]


def _nose() -> list[str]:
    left, right = _both("{side}_nose_{part}", ("outer", "inner"))
    bridge = ["nose_bridge_0", "nose_bridge_1", "nose_bridge_2", "nose_tip"]
    return [*bridge, *left, "nose_base", *right]


def _eyes(upper: Sequence[str]) -> list[str]:
    """Both eyes, each clockwise on screen; `upper` names the lid from outside to inside."""
    top_left, top_right = _both("{side}_eye_top_{part}", upper)
    bottom_left, bottom_right = _both("{side}_eye_bottom_{part}", upper)
    left = ["left_eye_outer", *top_left, "left_eye_inner", *reversed(bottom_left)]
    right = ["right_eye_inner", *top_right, "right_eye_outer", *reversed(bottom_right)]
    return left + right


def _mouth() -> list[str]:
    """The 12 outer and 8 inner points, both clockwise from the left corner."""
    up_left, up_right = _both("{side}_upper_lip_{part}", ("outer", "inner"))
    low_left, low_right = _both("{side}_lower_lip_{part}", ("outer", "inner"))
    ring = ["left_mouth_corner", *up_left, "upper_lip_top", *up_right, "right_mouth_corner"]
    ring += [*reversed(low_right), "lower_lip_bottom", *reversed(low_left)]
    inside = ["left_mouth_inside", "left_upper_lip_inside", "upper_lip_inside"]
    inside += ["right_upper_lip_inside", "right_mouth_inside", "right_lower_lip_inside"]
    return [*ring, *inside, "lower_lip_inside", "left_lower_lip_inside"]


def _run(first: int, last: int) -> tuple[int, ...]:
    return tuple(range(first, last + 1))


def _parts(
    name: str,
    landmark_names: list[str],
    contours: Sequence[tuple[str, tuple[int, ...], bool]],
    inter_pupil: tuple[tuple[int, ...], tuple[int, ...]],
    inter_ocular: tuple[tuple[int, ...], tuple[int, ...]],
) -> dict[str, Any]:
    """Arguments of a LandmarkSchema."""
    return {
        "name": name,
        "landmark_names": landmark_names,
        "mirror": mirror_from_names(landmark_names),
        "contours": contours,
        "normalizers": {"inter_pupil": inter_pupil, "inter_ocular": inter_ocular},
    }


# AFLW (Koestinger et al. 2011) in the order of its feature table, without the two ear
# lobes (Zhu et al., CVPR 2016). The annotated eye centres are used as pupils.
AFLW19 = _parts(
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
# The pupils are the means of the six points around each eye, as in Ren et al. (CVPR 2014)
# and Feng et al.
IBUG68 = _parts(
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

# COFW (Burgos-Artizzu et al., ICCV 2013) has annotated pupils: points 16 and 17 (17 and 18
# counted from 1). The outer eye corners are 8 and 9.
COFW29 = _parts(
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

# WFLW (Wu et al., "Look at Boundary", CVPR 2018): similar to 300-W with more points per
# contour, closed contours of the brows, and annotated pupils (96, 97). Its error is
# normalised by the distance of the outer eye corners, 60 and 72.
WFLW98 = _parts(
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
