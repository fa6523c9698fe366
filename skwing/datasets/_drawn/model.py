"""3D model of a head: a grid of vertices with 68 points on it.

Lengths are in half face widths (about 7 cm). The head looks along +z towards the camera;
x points to the right of the image, y down, and y = 0 is the line of the eyes. The grid
surrounds the vertical axis: columns are angles (0 in front), rows are heights, from the
crown to the shoulders. One row follows the lower rim of the jaw, so that the jaw points are
on an edge of the mesh.

A landmark is a position on the grid, a fractional ``(row, column)``. Its 3D point is the
linear interpolation inside the triangle that contains it. The painter uses the same
interpolation; the landmarks are therefore exact.
"""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from skwing.datasets._drawn.shape import lay_out


def _columns():
    steps = np.repeat([0.07, 0.1, 0.12, 0.11], [4, 4, 3, 5])
    half = np.concatenate([np.cumsum(steps), np.linspace(np.sum(steps), np.pi, 7)[1:]])
    return np.concatenate([-half[::-1], [0.0], half])


# Angle of each column, in radians, from -pi to pi.
COLUMNS = _columns()
# Rows from the crown to the temples; each has a constant height around the head.
_CROWN = np.linspace(np.pi / 2, 0, 7)[:-1]
_UPPER = np.concatenate([-0.65 - 1.0 * np.sin(_CROWN), np.linspace(-0.65, -0.2, 6)])
# Rows from the temples to the rim of the jaw, as fractions of the way down.
_FACE = np.linspace(0, 1, 20)[1:]
JAW_ROW = len(_UPPER) + len(_FACE) - 1
# Rows from the rim back to the neck (fraction of the radius of the face, height below the
# rim), then fractions of the way from there to the collar and the shoulders.
_UNDER = ((0.93, 0.025), (0.62, 0.07), (0.3, 0.11), (0.08, 0.16))
_NECK = np.linspace(0, 1, 5)[1:]
_COLLAR, _SHOULDER = 2.05, (2.12, 2.25, 2.6, 5.0)
N_ROWS = JAW_ROW + 1 + len(_UNDER) + len(_NECK) + len(_SHOULDER)
COLLAR_ROW = N_ROWS - 1 - len(_SHOULDER)


def _trunk():
    own, thick, deep = np.ones(N_ROWS), np.full(N_ROWS, 0.68), np.full(N_ROWS, 0.57)
    own[JAW_ROW + 1 :] = 0.0
    own[JAW_ROW + 1 : JAW_ROW + 1 + len(_UNDER)] = [share for share, _ in _UNDER]
    thick[COLLAR_ROW + 1 :] = [0.8, 1.3, 1.75, 1.9]
    deep[COLLAR_ROW + 1 :] = [0.6, 0.7, 0.8, 0.8]
    return np.stack([own, thick, deep])[..., None]


# For each row, the fraction of the radius of the face, and half width and depth of the trunk.
_TRUNK = _trunk()
# Angles of jaw points 8 (chin) to 16 (beside the ear); from point 12 upwards they leave
# the rim and climb in front of the ear to the heights below.
_JAW_ANGLES = np.array([0.0, 0.46, 0.87, 1.1, 1.21, 1.27, 1.31, 1.33, 1.34])
_JAW_HEIGHTS = np.array([0.8, 0.545, 0.28, 0.0])
_RIM = PchipInterpolator(
    [0, 0.45, 0.85, 1.09, 1.2, 1.32, 1.46, 1.58, 2.2, np.pi],
    [1.475, 1.445, 1.355, 1.195, 1.03, 0.86, 0.62, 0.42, 0.5, 0.62],
)(np.abs(COLUMNS))
# The part of the grid that has features: from the brows to below the chin, ear to ear.
FACE = slice(len(_CROWN), JAW_ROW + len(_UNDER))
FRONT = slice(*np.searchsorted(COLUMNS, [-1.56, 1.56]))
# Half width and front depth of the head by height, tabulated once.
_HEIGHTS = np.linspace(-2, 3, 501)
_WIDTH = PchipInterpolator(
    [-2, -0.65, 0, 0.5, 0.76, 0.99, 1.17, 1.33, 1.46, 3],
    [1.03, 1.03, 1.03, 1.01, 0.98, 0.945, 0.795, 0.64, 0.53, 0.45],
)(_HEIGHTS)
_DEPTH = PchipInterpolator(
    [-2, -0.65, -0.3, 0, 0.6, 1.0, 1.25, 1.46, 3],
    [1.05, 1.1, 1.12, 1.04, 1.0, 1.02, 0.97, 0.95, 0.95],
)(_HEIGHTS)


@dataclass(frozen=True)
class Head:
    """A head in its own frame, with its landmarks.

    `vertices` has shape (N_ROWS, n_columns, 3). `marks` (68, 2) contains (row, column) on
    this grid, `points` (68, 3) the same landmarks in 3D, `flat` (68, 2) their (x, y) in the
    flat layout.
    """

    vertices: np.ndarray
    marks: np.ndarray
    points: np.ndarray
    flat: np.ndarray


def rotation(yaw, pitch, roll):
    """Rotation matrix for angles in degrees: yaw first, then pitch, then roll.

    Positive yaw moves the tip of the nose to the right of the image, positive pitch
    moves it up, positive roll rotates the image clockwise (x axis towards y axis).
    """
    (sy, sp, sr), (cy, cp, cr) = (f(np.radians([yaw, pitch, roll])) for f in (np.sin, np.cos))
    turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
    lean = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    return lean @ nod @ turn


class _Frame:
    """Widths, depths and heights of a head without features."""

    def __init__(self, shape, expression):
        stretch = 1 + 0.045 * shape.stretch
        drop = 0.035 * shape.chin + 0.85 * expression.opening
        jaw = np.clip((_HEIGHTS - 0.55) / 0.85, 0, 1)
        self._down = stretch * _HEIGHTS + drop * jaw * jaw * (3 - 2 * jaw)
        self._width = _WIDTH * (1 + 0.085 * shape.jaw_width * jaw)
        self._depth = _DEPTH * (1 + 0.04 * shape.depth)
        self.stretch = stretch
        self.rim = np.interp(_RIM, _HEIGHTS, self._down)

    def height(self, canonical):
        return np.interp(canonical, _HEIGHTS, self._down)

    def width(self, y):
        return np.interp(y, self._down, self._width)

    def depth(self, y):
        return np.interp(y, self._down, self._depth)

    def heights(self):
        """Height of every vertex, (N_ROWS, n_columns)."""
        upper = np.repeat(_UPPER[:, None], len(COLUMNS), 1)
        start = _UPPER[-1]
        face = start + _FACE[:, None] * (self.rim - start)
        under = self.rim + np.array([[down] for _, down in _UNDER])
        neck = under[-1] + _NECK[:, None] * (_COLLAR - under[-1])
        shoulder = np.repeat(np.array(_SHOULDER)[:, None], len(COLUMNS), 1)
        return np.concatenate([upper, face, under, neck, shoulder])


def _skull(frame, shape, y):
    """Coordinates x and z of the head without features."""
    sine, cosine = np.sin(COLUMNS), np.cos(COLUMNS)
    crown = np.ones((N_ROWS, 1))
    crown[: len(_CROWN), 0] = np.cos(_CROWN)
    back = np.interp(y, [-0.4, 0.1, 0.62], [1.3, 1.2, 0.85])
    depth = np.where(cosine > 0, frame.depth(y), back)
    x, z = frame.width(y) * crown * sine, depth * crown * cosine
    own, thick, deep = _TRUNK
    thick = thick * np.where(np.arange(N_ROWS) > COLLAR_ROW, 1, 1 + 0.12 * shape.neck)[:, None]
    return own * x + (1 - own) * thick * sine, own * z + (1 - own) * (deep * cosine - 0.18)


def bumps(x, y, table):
    """Sum of bell-shaped bumps.

    Parameters
    ----------
    x, y : ndarray of shape (rows, columns)
    table : sequence of (height, x, y, x_spread, y_spread)

    Returns
    -------
    heights : ndarray of shape (rows, columns)
    """
    height, cx, cy, sx, sy = np.array(table).T[..., None, None]
    across, down = (x - cx) / sx, (y - cy) / sy
    return (height * np.exp(-across * across - down * down)).sum(0)


def _ridge_of_nose(x, y, flat, height):
    """Height of the nose above the face, without its wings."""
    root, tip, base = flat[[27, 30, 33], 1]
    down = np.clip((y - root + 0.12) / (tip - root + 0.12), 0, 1)
    under = np.clip((base - y) / (base - tip), 0, 1)
    under = under * under * (3 - 2 * under)
    across = x / (0.085 + 0.085 * down * down)
    return height * down * np.sqrt(down) * under * np.exp(-across * across)


def _relief(x, y, flat, shape, expression):
    """Displacement along z that adds the features to the smooth front."""
    lips, slit = flat[48:60], flat[[62, 66], 1].mean()
    half, pout = lips[6, 0] - lips[0, 0], 0.11 * (1 + 0.4 * expression.pout)
    middle, nose = lips[:, 0].mean(), 0.37 * (1 + 0.13 * shape.nose_height)
    table = [
        (0.06, 0, 0.95, 0.42, 0.3),
        (0.09, 0, flat[33, 1] + 0.01, 0.15, 0.08),
        (pout, middle, lips[3, 1] + 0.05, 0.36 * half, 0.06),
        (pout, middle, lips[9, 1] - 0.055, 0.36 * half, 0.06),
        (-0.05, middle, slit, 0.4 * half, 0.03 + 0.5 * expression.opening),
        (-0.04, 0, lips[9, 1] + 0.08, 0.25, 0.05),
        (0.04, 0, flat[8, 1] - 0.16, 0.2, 0.13),
    ]
    for side, eye in ((-1, flat[36:42].mean(0)), (1, flat[42:48].mean(0))):
        table += [
            (0.19, side * 0.86, -0.25, 0.2, 0.14),
            (-0.15, eye[0] - side * 0.1, eye[1], 0.26, 0.15),
            (-0.07, *lips[3 + 3 * side], 0.12, 0.1),
            (0.07, *eye, 0.15, 0.09),
            (0.09, side * 0.66, 0.6, 0.22, 0.32),
            (0.28 * nose, side * 0.8 * flat[35, 0], flat[33, 1] - 0.09, 0.085, 0.085),
        ]
    return _ridge_of_nose(x, y, flat, nose) + bumps(x, y, table)


def _to_grid(heights, points, frame):
    """(row, column) of points given by their (x, y) on the smooth front."""
    angle = np.arcsin(np.clip(points[:, 0] / frame.width(points[:, 1]), -0.98, 0.98))
    column = np.interp(angle, COLUMNS, np.arange(len(COLUMNS)))
    return np.stack([row_of(heights, points[:, 1], column), column], 1)


def row_of(heights, y, column):
    """Fractional row at which a column reaches a height."""
    left = np.minimum(column.astype(int), heights.shape[1] - 2)
    share = column - left
    lines = (1 - share) * heights[:, left] + share * heights[:, left + 1]
    row = np.clip((lines <= y).sum(0) - 1, 0, len(heights) - 2)
    each = np.arange(len(y))
    low, high = lines[row, each], lines[row + 1, each]
    return row + np.clip((y - low) / (high - low), 0, 1)


def on_grid(values, marks):
    """Interpolate vertex values of shape (rows, columns, k) at (row, column).

    As in the painter, each cell is split into two triangles by the diagonal that points down
    and away from the middle of the face, so that the mesh is symmetric.
    """
    rows, columns = values.shape[:2]
    row = np.minimum(marks[:, 0].astype(int), rows - 2)
    column = np.minimum(marks[:, 1].astype(int), columns - 2)
    v, u = (marks - np.stack([row, column], 1)).T[..., None]
    near = column + (column < columns // 2)
    far = 2 * column + 1 - near
    u = np.where(near[:, None] > column[:, None], 1 - u, u)
    first, last = values[row, near], values[row + 1, far]
    aside, below = values[row, far], values[row + 1, near]
    upper = first + u * (aside - first) + v * (last - aside)
    lower = first + v * (below - first) + u * (last - below)
    return np.where(u >= v, upper, lower)


def _jaw_marks(frame, heights):
    """(row, column) of the 17 jaw points."""
    angles = np.concatenate([-_JAW_ANGLES[:0:-1], _JAW_ANGLES])
    columns = np.interp(angles, COLUMNS, np.arange(len(COLUMNS)))
    rows = np.full(17, float(JAW_ROW))
    rows[13:] = row_of(heights, frame.height(_JAW_HEIGHTS), columns[13:])
    rows[:4] = rows[:12:-1]
    return np.stack([rows, columns], 1)


def build_head(shape, expression):
    """The head of a person with an expression.

    Parameters
    ----------
    shape : Shape
    expression : Expression

    Returns
    -------
    head : Head
        Without hair, which the painter adds.
    """
    frame = _Frame(shape, expression)
    y = frame.heights()
    inner = lay_out(shape, expression)
    inner[:, 1] *= frame.stretch
    jaw = _jaw_marks(frame, y)
    marks = np.concatenate([jaw, _to_grid(y, inner, frame)])
    x, z = _skull(frame, shape, y)
    flat = np.concatenate([on_grid(np.stack([x, y], -1), jaw), inner])
    fade = np.clip(np.cos(COLUMNS[FRONT]) * 3, 0, 1)
    z[FACE, FRONT] += fade * _relief(x[FACE, FRONT], y[FACE, FRONT], flat, shape, expression)
    ear = np.exp(-(((np.abs(COLUMNS) - 1.64) / 0.14) ** 2)) * np.sign(COLUMNS)
    lobe = np.exp(-(np.abs((y - 0.1) / 0.27) ** 3))
    x += (0.16 + 0.04 * shape.ears) * ear * lobe
    vertices = np.stack([x, y, z], -1)
    return Head(vertices, marks, on_grid(vertices, marks), flat)
