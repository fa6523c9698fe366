"""Flat layout of the features of a face: proportions and expressions.

Lengths are in half face widths (about 7 cm), x to the right of the image, y down, and
y = 0 is the line of the eyes.
"""

from dataclasses import dataclass, fields

import numpy as np


@dataclass(frozen=True)
class Shape:
    """Proportions of a person, with a standard deviation of about 1; 0 is the average."""

    stretch: float = 0.0
    jaw_width: float = 0.0
    chin: float = 0.0
    depth: float = 0.0
    eye_gap: float = 0.0
    eye_width: float = 0.0
    eye_height: float = 0.0
    eye_tilt: float = 0.0
    brow_height: float = 0.0
    brow_arch: float = 0.0
    brow_tilt: float = 0.0
    brow_gap: float = 0.0
    nose_width: float = 0.0
    nose_length: float = 0.0
    nose_height: float = 0.0
    mouth_width: float = 0.0
    mouth_height: float = 0.0
    upper_lip: float = 0.0
    lower_lip: float = 0.0
    ears: float = 0.0
    neck: float = 0.0


@dataclass(frozen=True)
class Expression:
    """Facial expression. Pairs are (image left, image right) of a frontal face."""

    opening: float = 0.0
    smile: tuple = (0.0, 0.0)
    pout: float = 0.0
    brows: tuple = (0.0, 0.0)
    frown: float = 0.0
    lids: tuple = (1.0, 1.0)
    gaze: tuple = (0.0, 0.0)


def draw_shape(rng):
    """Proportions of a random person."""
    values = np.clip(1.2 * rng.standard_normal(len(fields(Shape))), -2.4, 2.4)
    return Shape(*values.tolist())


def draw_expression(rng):
    """Random expression: half of the mouths are closed, most eyes are open."""
    opening = 0.0 if rng.random() < 0.4 else 0.34 * rng.beta(1.1, 2.8)
    smile, brow = rng.normal(0.4, 0.75), rng.normal(0.0, 0.5)
    lid = 0.08 if rng.random() < 0.06 else rng.uniform(0.65, 1.15)
    tilt = 0.15 * rng.standard_normal(5)
    return Expression(
        opening=float(opening),
        smile=(smile + tilt[0], smile - tilt[0]),
        pout=float(np.clip(rng.normal(0, 0.4), -0.6, 1)),
        brows=(brow + tilt[1], brow - tilt[1]),
        frown=float(max(0.0, rng.normal(-0.3, 0.5))),
        lids=(lid * (1 + 0.3 * tilt[2]), lid * (1 - 0.3 * tilt[2])),
        gaze=(2.5 * tilt[3], 1.2 * tilt[4]),
    )


def _both_sides(half):
    """Points of the right image half and their mirror images, shape (2, n, 2)."""
    half = np.asarray(half, float)
    return np.stack([half * [-1, 1], half])


def _brows(shape, expression):
    # The landmarks of a brow are on its upper edge, as in 300-W.
    x = np.array([0.163, 0.328, 0.505, 0.685, 0.823])
    x = x + shape.brow_gap * np.array([0.032, 0.026, 0.022, 0.02, 0.016])
    arch = np.array([0.0, 0.059, 0.084, 0.055, -0.052]) * (1 + 0.25 * shape.brow_arch)
    tilt = 0.025 * shape.brow_tilt * np.linspace(-1, 1, 5)
    y = -0.242 - 0.03 * shape.brow_height - arch - tilt
    sides = _both_sides(np.stack([x, y], 1))
    lift = np.array([1.0, 1.0, 1.0, 0.8, 0.6])
    sides[..., 1] -= 0.07 * np.array(expression.brows)[:, None] * lift
    squeeze = expression.frown * np.array([1.0, 0.5, 0.2, 0.0, 0.0])
    sides[..., 1] += 0.07 * squeeze
    sides[..., 0] -= np.array([[-1.0], [1.0]]) * 0.04 * squeeze
    return np.concatenate([sides[0, ::-1], sides[1]])


def _eyes(shape, expression):
    inner = 0.263 + 0.022 * shape.eye_gap
    width = 0.347 * (1 + 0.07 * shape.eye_width)
    tilt = -0.022 - 0.018 * shape.eye_tilt
    along = np.array([0.0, 0.31, 0.68, 1.0, 0.72, 0.34])
    upper = np.array([0.0, -0.083, -0.081, 0.0, 0.0, 0.0])
    lower = np.array([0.0, 0.0, 0.0, 0.0, 0.049, 0.043])
    sides = []
    for lid, sign in zip(expression.lids, (-1, 1), strict=True):
        # Closing an eye mainly lowers the upper lid.
        y = (1 + 0.15 * shape.eye_height) * (upper * lid + lower * (0.7 + 0.3 * lid))
        y = y + 0.04 * max(0.0, 1 - lid) * (upper < 0)
        sides.append(np.stack([sign * (inner + width * along), 0.008 + tilt * along + y], 1))
    # Points go from left to right in the image along the upper lid, and back along the lower one.
    return np.concatenate([sides[0][[3, 2, 1, 0, 5, 4]], sides[1]])


def _nose(shape):
    tip, base = 0.44 + 0.042 * shape.nose_length, 0.608 + 0.046 * shape.nose_length
    half = 0.192 * (1 + 0.11 * shape.nose_width)
    bridge = np.stack([np.zeros(4), np.linspace(-0.045, tip, 4)], 1)
    x = half * np.array([-1.0, -0.52, 0.0, 0.52, 1.0])
    y = base + np.array([-0.05, -0.01, 0.015, -0.01, -0.05])
    return np.concatenate([bridge, np.stack([x, y], 1)])


def _mouth(shape, expression):
    half = 0.352 * (1 + 0.1 * shape.mouth_width) * (1 - 0.12 * max(0.0, expression.pout))
    middle = 0.884 + 0.028 * shape.mouth_height + 0.042 * shape.nose_length
    gap = expression.opening
    up = 0.076 * (1 + 0.22 * shape.upper_lip) * (1 + 0.1 * expression.pout)
    low = 0.125 * (1 + 0.2 * shape.lower_lip) * (1 + 0.1 * expression.pout)
    corner = 0.25 * gap
    outer_x = np.array([-1, -0.64, -0.26, 0, 0.26, 0.64, 1, 0.66, 0.29, 0, -0.29, -0.66])
    top, bottom = -0.12 * gap, 0.95 * gap
    outer_y = [corner, top - 0.55 * up, top - 1.12 * up, top - 0.85 * up]
    outer_y += outer_y[2:0:-1] + [corner]
    lower = [bottom + 0.72 * low, bottom + low, bottom + 1.05 * low]
    outer_y = np.array(outer_y + lower + lower[1::-1])
    inner_x = np.array([-0.86, -0.28, 0, 0.28, 0.86, 0.28, 0, -0.28])
    inner_y = np.array([corner, top, top, top, corner, bottom, bottom, bottom])
    inner_y = inner_y + np.array([0, -0.008, 0.002, -0.008, 0, 0.008, 0.01, 0.008])
    x, y = np.concatenate([outer_x, inner_x]) * half, np.concatenate([outer_y, inner_y])
    # A smile moves the corners up and outwards.
    smile = np.where(x < 0, *expression.smile) * (np.abs(x) / half) ** 1.5
    return np.stack([x * (1 + 0.14 * np.abs(smile)), middle + y - 0.07 * smile], 1)


def lay_out(shape, expression):
    """Landmarks 17 to 67 (brows, nose, eyes, mouth) as (x, y), shape (51, 2)."""
    brows, eyes = _brows(shape, expression), _eyes(shape, expression)
    return np.concatenate([brows, _nose(shape), eyes, _mouth(shape, expression)])
