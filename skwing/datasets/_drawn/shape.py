"""Flat layout of the features of a face: proportions and expressions.

Lengths are in half face widths (about 7 cm), x to the right of the image, y down, and
y = 0 is the line of the eyes.
"""

from dataclasses import dataclass, fields

import numpy as np

__all__ = ["Expression", "Shape", "draw_expression", "draw_shape", "lay_out"]


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
    opening = 0.0 if rng.random() < 0.5 else 0.34 * rng.beta(1.2, 2.5)
    smile, brow = rng.normal(0.25, 0.45), rng.normal(0.0, 0.5)
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
    x = np.array([0.2, 0.36, 0.53, 0.69, 0.83])
    arch = np.array([0.0, 0.08, 0.1, 0.07, -0.03]) * (1 + 0.25 * shape.brow_arch)
    tilt = 0.025 * shape.brow_tilt * np.linspace(-1, 1, 5)
    y = -0.265 - 0.035 * shape.brow_height - arch - tilt
    sides = _both_sides(np.stack([x, y], 1))
    lift = np.array([1.0, 1.0, 1.0, 0.8, 0.6])
    sides[..., 1] -= 0.07 * np.array(expression.brows)[:, None] * lift
    squeeze = expression.frown * np.array([1.0, 0.5, 0.2, 0.0, 0.0])
    sides[..., 1] += 0.07 * squeeze
    sides[..., 0] -= np.array([[-1.0], [1.0]]) * 0.04 * squeeze
    return np.concatenate([sides[0, ::-1], sides[1]])


def _eyes(shape, expression):
    inner = 0.265 + 0.018 * shape.eye_gap
    width = 0.345 * (1 + 0.06 * shape.eye_width)
    tilt = -0.015 - 0.025 * shape.eye_tilt
    along = np.array([0.0, 0.32, 0.7, 1.0, 0.7, 0.32])
    upper = np.array([0.0, -0.085, -0.09, 0.0, 0.0, 0.0])
    lower = np.array([0.0, 0.0, 0.0, 0.0, 0.055, 0.05])
    sides = []
    for lid, sign in zip(expression.lids, (-1, 1), strict=True):
        # Closing an eye mainly lowers the upper lid.
        y = (1 + 0.15 * shape.eye_height) * (upper * lid + lower * (0.7 + 0.3 * lid))
        y = y + 0.04 * max(0.0, 1 - lid) * (upper < 0)
        sides.append(np.stack([sign * (inner + width * along), tilt * along + y], 1))
    # Points go from left to right in the image along the upper lid, and back along the lower one.
    return np.concatenate([sides[0][[3, 2, 1, 0, 5, 4]], sides[1]])


def _nose(shape):
    tip, base = 0.47 + 0.05 * shape.nose_length, 0.645 + 0.055 * shape.nose_length
    half = 0.215 * (1 + 0.11 * shape.nose_width)
    bridge = np.stack([np.zeros(4), np.linspace(0.0, tip, 4)], 1)
    x = half * np.array([-1.0, -0.52, 0.0, 0.52, 1.0])
    y = base + np.array([-0.05, -0.01, 0.015, -0.01, -0.05])
    return np.concatenate([bridge, np.stack([x, y], 1)])


def _mouth(shape, expression):
    half = 0.36 * (1 + 0.08 * shape.mouth_width) * (1 - 0.12 * max(0.0, expression.pout))
    middle = 0.945 + 0.03 * shape.mouth_height + 0.05 * shape.nose_length
    gap = expression.opening
    up = 0.095 * (1 + 0.22 * shape.upper_lip) * (1 + 0.1 * expression.pout)
    low = 0.125 * (1 + 0.2 * shape.lower_lip) * (1 + 0.1 * expression.pout)
    corner = 0.25 * gap
    outer_x = np.array([-1, -0.6, -0.22, 0, 0.22, 0.6, 1, 0.6, 0.25, 0, -0.25, -0.6])
    top, bottom = -0.12 * gap, 0.95 * gap
    outer_y = [corner, top - 0.78 * up, top - 1.05 * up, top - 0.92 * up]
    outer_y += outer_y[2:0:-1] + [corner]
    lower = [bottom + 0.72 * low, bottom + low, bottom + 1.05 * low]
    outer_y = np.array(outer_y + lower + lower[1::-1])
    inner_x = np.array([-0.87, -0.3, 0, 0.3, 0.87, 0.3, 0, -0.3])
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
