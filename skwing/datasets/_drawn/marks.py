"""Positions of the landmarks of each mark-up on a head.

A head is built with the 68 points of 300-W. The landmarks of other mark-ups are computed
from these points and from the painted brows, lids and irises. Landmarks with the same name
in two mark-ups have the same position, except for jaw and lids, where WFLW has more points.
"""

import numpy as np

from skwing._utils.opencv import cv2
from skwing.datasets._drawn.paint import (
    BROW_EDGES,
    brow_profile,
    eye_scale,
    iris_center,
    smooth,
    under_hair,
)
from skwing.schema import AFLW19, COFW29, IBUG68, WFLW98

MARK_UPS = {schema.name: schema for schema in (AFLW19, COFW29, IBUG68, WFLW98)}

_EYES = {"left": slice(36, 42), "right": slice(42, 48)}
# Each brow, from its outer to its inner end.
_BROWS = {"left": slice(17, 22), "right": slice(26, 21, -1)}
_ALONG_BROW = (("outer", 0), ("middle", 2), ("inner", 4))


def _jaw(marks):
    """33 positions on the jaw: the 17 of 300-W, and the midpoints between them."""
    jaw = np.repeat(marks[:17], 2, axis=0)[:-1]
    jaw[1::2] = (marks[:16] + marks[1:17]) / 2
    return jaw


def _lids(eye):
    """Eight positions around an eye, on the painted line of its lids."""
    outline = smooth(eye)
    outline = np.concatenate([outline, outline[:1]])
    # Each is a quarter of the way between the corners.
    at = np.arange(8) * (len(outline) - 1) / 8
    return np.stack([np.interp(at, np.arange(len(outline)), part) for part in outline.T], 1)


def _brow(side, brow, look):
    """Names and positions on the edges of a painted brow; `brow` starts at its outer end."""
    half = brow_profile(look, 13)[::3]
    named = {f"{side}_brow_{part}": brow[i] for part, i in _ALONG_BROW}
    for part, share in zip(("top", "bottom"), BROW_EDGES, strict=True):
        edge = brow + share * half[:, None] * [1, 0]
        named[f"{side}_brow_{part}"] = edge[2]
        named |= {f"{side}_brow_{part}_{i}": edge[i] for i in (1, 2, 3, 4)}
    return named


def _pupil(eye, flat, gaze):
    eye = eye[:, ::-1]
    return iris_center(eye, gaze, eye_scale(eye, flat))[::-1]


def _named(head, look, expression):
    """Position (row, column) of each landmark name of the mark-ups other than 300-W."""
    marks = head.marks
    named = dict(zip(IBUG68.landmark_names, marks, strict=True))
    named |= zip(WFLW98.landmark_names[:33], _jaw(marks), strict=True)
    lids = np.concatenate([_lids(marks[eye]) for eye in _EYES.values()])
    named |= zip(WFLW98.landmark_names[60:76], lids, strict=True)
    for side, eye in _EYES.items():
        named |= _brow(side, marks[_BROWS[side]], look)
        named |= {
            f"{side}_eye_top": named[f"{side}_eye_top_middle"],
            f"{side}_eye_bottom": named[f"{side}_eye_bottom_middle"],
            f"{side}_eye_center": marks[eye].mean(0),
            f"{side}_pupil": _pupil(marks[eye], head.flat[eye], expression.gaze),
            f"{side}_nose": named[f"{side}_nose_outer"],
        }
    upper, lower = named["upper_lip_inside"], named["lower_lip_inside"]
    named |= {"upper_lip_bottom": upper, "lower_lip_top": lower}
    return named | {"mouth_center": (upper + lower) / 2}


def mark_up(schema, head, look, expression):
    """Positions of the landmarks of a schema on the grid of a head.

    Parameters
    ----------
    schema : LandmarkSchema
        One of `MARK_UPS`.
    head : Head
    look : Look
    expression : Expression

    Returns
    -------
    marks : ndarray of shape (n_landmarks, 2)
        Fractional (row, column).
    """
    if schema == IBUG68:
        return head.marks
    named = _named(head, look, expression)
    return np.array([named[name] for name in schema.landmark_names])


def hidden_by_head(schema, head, marks, hair_rows):
    """Mask of landmarks hidden by hair or a closed lid in all views.

    Parameters
    ----------
    schema : LandmarkSchema
    head : Head
    marks : ndarray of shape (n_landmarks, 2)
        Return value of :func:`mark_up`.
    hair_rows : ndarray of shape (n_columns,)
        Lower end of the hair in each column.

    Returns
    -------
    hidden : ndarray of bool of shape (n_landmarks,)
    """
    hidden = under_hair(marks, hair_rows)
    for i, name in enumerate(schema.landmark_names):
        if "_brow_" in name:  # brows are painted over the hair
            hidden[i] = False
        elif name.endswith("_pupil"):
            outline = smooth(head.marks[_EYES[name.removesuffix("_pupil")]])
            inside = cv2.pointPolygonTest(outline.astype(np.float32), marks[i].tolist(), False)
            hidden[i] |= inside < 0
    return hidden
