"""Smooth shapes drawn by OpenCV at positions that are fractions of pixels."""

import numpy as np

from skwing._utils.opencv import cv2

SHIFT = 4  # OpenCV takes positions as integers, in units of 1 / 2**SHIFT pixels


def fixed(points):
    """Positions in the units of OpenCV."""
    return np.round(np.multiply(points, 1 << SHIFT)).astype(np.int32)


def fill(canvas, points, color):
    """Fill a polygon."""
    cv2.fillPoly(canvas, [fixed(points)], np.asarray(color, float), cv2.LINE_AA, SHIFT)


def stroke(canvas, points, color, width=1, closed=False):
    """Draw a line through points."""
    color = np.asarray(color, float)
    cv2.polylines(canvas, [fixed(points)], closed, color, width, cv2.LINE_AA, SHIFT)


def disc(canvas, center, radii, color):
    """Fill a circle, or an ellipse with two radii."""
    color = np.asarray(color, float)
    axes = fixed(np.broadcast_to(radii, 2))
    cv2.ellipse(canvas, fixed(center), axes, 0, 0, 360, color, -1, cv2.LINE_AA, SHIFT)
