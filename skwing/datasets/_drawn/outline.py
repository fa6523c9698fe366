"""Jaw landmarks on the visible outline of a rotated face, as annotators place them."""

import numpy as np

from skwing.datasets._drawn.model import COLUMNS, JAW_ROW, on_grid, row_of

# The positions tried instead of a landmark: from a factor of its angle around the vertical axis,
# slightly behind the edge of the bone, to an angle near the front, in radians, and their number.
_BACK, _FRONT, _N_TRIED = 1.07, 0.25, 16
# Number of steps along the whole jaw, a multiple of the number of steps between landmarks.
_N_STEPS = 64


def _pushed_out(head, marks, place, sideways):
    """Move positions at constant height to the furthest point to the side.

    On the far side of the face they move forward, on the near side slightly back.
    """
    columns = np.arange(len(COLUMNS))
    angle = np.interp(marks[:, 1], columns, COLUMNS)
    share = np.linspace(0, 1, _N_TRIED)[:, None]
    ends = np.sign(angle) * np.minimum(np.abs(angle), _FRONT)
    tried = np.interp((1 - share) * _BACK * angle + share * ends, COLUMNS, columns).ravel()
    heights = head.vertices[..., 1]
    y = np.tile(on_grid(heights[..., None], marks)[:, 0], _N_TRIED)
    rows = row_of(heights, y, tried)
    path = np.stack([np.minimum(rows, JAW_ROW), tried], 1)
    out = (place(on_grid(head.vertices, path)) @ sideways).reshape(_N_TRIED, -1) * np.sign(angle)
    # Behind the chin, the face does not reach down to the height of the landmark.
    out[(rows > JAW_ROW + 0.01).reshape(out.shape)] = -np.inf
    return path.reshape(_N_TRIED, -1, 2)[out.argmax(0), np.arange(len(marks))]


def _lengths(points):
    """Length of a line from its start to each of its points."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=1)
    return np.concatenate([[0.0], np.cumsum(steps)])


def on_outline(head, marks, place, down):
    """Positions on the jaw that are on the outline of the face in the picture.

    On each side, the line from the chin to the ear is moved to the outline, and divided in
    the picture in the same proportions as on the frontal face.

    Parameters
    ----------
    head : Head
    marks : ndarray of shape (n, 2)
        Positions (row, column) on the jaw, from side to side, with the chin in the middle.
    place : callable
        Projection of points of the head frame to pixels.
    down : ndarray of shape (2,)
        Direction of the vertical axis of the head in the picture.

    Returns
    -------
    marks : ndarray of shape (n, 2)
    """
    n = len(marks)
    at = np.linspace(0, n - 1, _N_STEPS + 1)
    dense = np.stack([np.interp(at, np.arange(n), part) for part in marks.T], 1)
    sideways = np.array([down[1], -down[0]]) / np.linalg.norm(down)
    moved = _pushed_out(head, dense, place, sideways)
    seen, frontal = place(on_grid(head.vertices, moved)), on_grid(head.vertices, dense)[:, :2]
    found = np.empty_like(marks)
    middle = _N_STEPS // 2
    for side in (slice(middle, None, -1), slice(middle, None)):
        length, calm = _lengths(seen[side]), _lengths(frontal[side])
        wanted = calm[:: _N_STEPS // (n - 1)] / calm[-1] * length[-1]
        line = [np.interp(wanted, length, part) for part in moved[side].T]
        found[slice(n // 2, None, side.step)] = np.stack(line, 1)
    return found
