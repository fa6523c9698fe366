"""Painting of the skin texture of a head, with `TEXELS` pixels per grid cell.

Features are drawn at the positions of their landmarks. The renderer samples this texture for
each visible position of the grid.
"""

import numpy as np

from skwing._utils.opencv import cv2
from skwing.datasets._drawn.model import (
    COLLAR_ROW,
    COLUMNS,
    FACE,
    FRONT,
    JAW_ROW,
    N_ROWS,
    bumps,
    row_of,
)
from skwing.datasets._drawn.strokes import disc, fill, stroke

TEXELS = 6
_SHAPE = N_ROWS * TEXELS, len(COLUMNS) * TEXELS


def _hair_rows(look, heights, rng):
    """Lower end of the hair in each column: irregular, and higher over the ears."""
    top, length = look.hairline, look.length
    fringe = look.fringe * np.clip(1 + look.part * COLUMNS, 0, 1.6)
    angles = [0, 0.45, 0.75, 0.95, 1.12, 1.25, 1.34, 1.42, 1.68, 1.8, 2.2, np.pi]
    ends = [top, top - 0.5 * look.recess, top + 0.08 - look.recess, top + 0.25, -0.45, -0.28]
    ends += [-0.12, -0.2, -0.2, length, length, max(length, 0.65)]
    angle = np.abs(COLUMNS)
    line = np.interp(angle, angles, ends) + fringe * np.interp(angle, [0.5, 1.1], [1, 0])
    if length > 1:
        line = np.where(angle > look.curtain, length, line)
    line += look.ragged * rng.standard_normal(len(angle)) * np.interp(angle, [1.0, 1.3], [1, 0.2])
    return row_of(heights, line, np.arange(len(COLUMNS), dtype=float))


def grow_hair(head, rows, look):
    """Vertices of a head, moved outwards where there is hair, except for the brows.

    `rows` contains the lower end of the hair in each column.
    """
    brow = np.floor(head.marks[17:27, 0].min())
    rows = np.where(np.abs(COLUMNS) < 1.1, np.minimum(rows, brow), rows)
    depth = np.clip((rows - np.arange(N_ROWS)[:, None]) / 2, 0, 1)
    out, y = head.vertices.copy(), head.vertices[..., 1]
    grow = 1 + look.volume * depth
    # Hair over the neck has the width of the head.
    radius = np.hypot(out[..., 0], out[..., 2])
    hanging = (1.0 + look.volume) * depth / (radius + 1e-9)
    grow = np.where(y > 0.3, np.maximum(grow, hanging), grow)
    out[..., [0, 2]] *= grow[..., None]
    out[..., 1] -= look.volume * depth * np.clip(-y - 0.3, 0, 1)
    return out


def under_hair(marks, rows):
    """Mask of grid positions (row, column) that are covered by hair, shape (len(marks),)."""
    column = marks[:, 1].astype(int)
    return np.maximum(rows[column], rows[column + 1]) > marks[:, 0]


def _texel(marks):
    """(x, y) in the skin texture of (row, column) on the grid."""
    return (np.asarray(marks)[..., ::-1] + 0.5) * TEXELS - 0.5


def smooth(points, closed=True, steps=3):
    """Catmull-Rom curve through all points."""
    ends = (points[-1:], points[:2]) if closed else (points[:1], points[-1:])
    path = np.concatenate([ends[0], points, ends[1]])
    a, b, c, d = (path[i : len(path) - 3 + i, None] for i in range(4))
    t = (np.arange(steps) / steps)[:, None]
    bend = (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    curve = (b + 0.5 * ((c - a) * t + bend)).reshape(-1, 2)
    return curve if closed else np.concatenate([curve, points[-1:]])


def paint_base(look, heights, rng):
    """Bare skin, hair and clothes of a person.

    Returns
    -------
    canvas : ndarray of shape (N_ROWS * TEXELS, n_columns * TEXELS, 3), uint8
    rows : ndarray of shape (n_columns,)
        Lower end of the hair in each column.
    """
    grain = np.frombuffer(rng.bytes(_SHAPE[0] * _SHAPE[1]), np.uint8).reshape(_SHAPE)
    shades = np.clip(look.skin * np.linspace(0.95, 1.05, 256)[:, None], 0, 255)
    canvas = cv2.LUT(cv2.merge([grain] * 3), shades.astype(np.uint8)[None])
    _paint_clothes(canvas, look, rng)
    rows = _hair_rows(look, heights, rng)
    edge = _texel(np.stack([rows, np.arange(len(rows))], 1))
    edge[[0, -1], 0] = -5, _SHAPE[1] + 5
    mask = np.zeros(_SHAPE, np.uint8)
    fill(mask, np.concatenate([edge, [[_SHAPE[1] + 5, -5], [-5, -5]]]), (255,))
    strands = rng.integers(0, 256, (N_ROWS // 4, _SHAPE[1]), np.uint8)
    strands = cv2.resize(strands, _SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
    shades = np.clip(look.hair * np.linspace(0.72, 1.28, 256)[:, None], 0, 255)
    hair = cv2.LUT(cv2.merge([strands] * 3), shades.astype(np.uint8)[None])
    cv2.copyTo(hair, mask, canvas)
    return canvas, rows


def _paint_clothes(canvas, look, rng):
    """Clothes with a pattern of random coarseness; a collar may be open in front."""
    cells = rng.integers(2, 40, 2)
    pattern = rng.random((*cells, 1)) * rng.uniform(-120, 120, 3) * rng.uniform(0, 1)
    cloth = np.clip(look.cloth + pattern, 0, 255).astype(np.uint8)
    width = rng.uniform(0.2, 1.2) if rng.random() < 0.6 else 0.01
    rows = COLLAR_ROW + 1 - look.collar * np.clip(np.abs(COLUMNS) / width, 0, 1)
    mask = np.arange(_SHAPE[0])[:, None] >= TEXELS * np.repeat(rows, TEXELS)
    cloth = cv2.resize(cloth, _SHAPE[::-1], interpolation=cv2.INTER_LINEAR)
    canvas[mask] = cloth[mask]


# Upper and lower edge of a brow below its landmarks, in halves of its thickness. Labels of 300-W
# are at the upper edge or above it: a model of brows that start at -0.2 predicts 300-W's labels
# 2.5 % of the distance of the eyes too low.
BROW_EDGES = 0.2, 2.2


def brow_profile(look, n_points):
    """Half the thickness along a brow, in rows of the grid, shape (n_points,)."""
    return 0.5 * look.brow_width * 10 * np.sin(np.linspace(0.37, np.pi - 0.37, n_points))


def eye_scale(eye, flat):
    """Width of the six (x, y) points of an eye, relative to the width in the layout."""
    return (eye[3] - eye[0])[0] / (flat[3] - flat[0])[0]


def iris_center(eye, gaze, scale):
    """Centre of the iris, (x, y), from the six points and the scale of an eye."""
    return eye.mean(0) + scale * (np.multiply(gaze, [0.06, 0.03]) - [0, 0.01])


def _paint_brow(canvas, brow, look):
    curve = smooth(brow, closed=False)
    thick = TEXELS * brow_profile(look, len(curve))
    above, below = (np.stack([0 * thick, thick * part], 1) for part in BROW_EDGES)
    fill(canvas, np.concatenate([curve + above, (curve + below)[::-1]]), look.brow)


def _paint_eye(canvas, eye, look, gaze, scale):
    """Paint an eye, clipped by its lids; `scale` is in texels per half face width."""
    outline = smooth(eye)
    low = np.floor(outline.min(0)).astype(int) - 2
    high = np.ceil(outline.max(0)).astype(int) + 3
    patch = canvas[low[1] : high[1], low[0] : high[0]]
    ball = np.empty_like(patch)
    ball[:] = look.white * np.array([230, 224, 220]) + (1 - look.white) * 0.75 * look.skin
    radius = 0.082 * scale
    middle = iris_center(eye, gaze, scale) - low
    for share, color in ((1, look.iris * 0.6), (0.82, look.iris), (0.45, (12, 10, 12))):
        disc(ball, middle, share * radius, color)
    disc(ball, middle - 0.3 * radius, 0.22 * radius, (255, 255, 255))
    mask = np.zeros(patch.shape[:2], np.uint8)
    fill(mask, outline - low, (255,))
    cv2.copyTo(ball, mask, patch)
    upper = 3 * 3 + 1
    lid = outline[:upper] - [0, 0.055 * scale]
    _blend(canvas, [*lid, *outline[upper - 1 :: -1]], look.skin * 0.5, look.shadow)
    stroke(canvas, lid, look.skin * 0.72)
    stroke(canvas, outline[upper - 1 :], look.skin * 0.65)
    stroke(canvas, outline[:upper], look.brow * 0.4, 2)


def _blend(canvas, points, color, share):
    """Fill a polygon with a translucent colour."""
    low, high = np.min(points, 0).astype(int) - 1, np.max(points, 0).astype(int) + 2
    patch = canvas[low[1] : high[1], low[0] : high[0]]
    filled = patch.copy()
    fill(filled, points - low, color)
    cv2.addWeighted(filled, share, patch, 1 - share, 0, dst=patch)


def _paint_folds(canvas, texels, look, expression):
    """Paint the folds from the nose to the corners of the mouth, and those below the eyes."""
    size = texels[45, 0] - texels[36, 0]
    for side, nose, corner, lid, smile in (
        (-1, 31, 48, (36, 41, 40, 39), expression.smile[0]),
        (1, 35, 54, (45, 46, 47, 42), expression.smile[1]),
    ):
        strength = look.folds * np.clip(0.5 + smile, 0.1, 1)
        ends = texels[nose] + size * np.array([0.06 * side, -0.03])
        below = texels[corner] + size * np.array([0.09 * side, 0.02])
        bow = (ends + below) / 2 + size * np.array([0.03 * side, -0.02])
        path = smooth(np.array([ends, bow, below]), closed=False)
        ridge = path + size * np.linspace(0.01, 0.035, len(path))[:, None] * [side, 0]
        _blend(canvas, [*path, *ridge[::-1]], look.skin * 0.45, strength)
        bag = smooth(texels[list(lid)], closed=False) + [0, 0.07 * size]
        stroke(canvas, bag[2:-2], look.skin * (1 - 0.5 * look.folds), 2)


def _paint_nose(canvas, base, look):
    """Paint the nostrils and the edge between nose and lip, from landmarks 31 to 35."""
    for side in (1, 3):
        center = base[side] - [0, 0.35 * TEXELS]
        radii = 0.36 * abs(base[4, 0] - base[2, 0]), 0.4 * TEXELS
        disc(canvas, center, radii, look.skin * 0.36)
    stroke(canvas, smooth(base, closed=False), look.skin * 0.6)


def _paint_mouth(canvas, outer, inner, look, opening):
    fill(canvas, smooth(outer), look.lips)
    fill(canvas, inner, (60, 22, 24))
    if opening > 0.03:
        down = (inner[[7, 6, 5]] - inner[[1, 2, 3]]) * min(0.9, 0.09 / opening + 0.1)
        ends = 0.5 * (inner[[0, 4]] + inner[[1, 3]])
        teeth = [ends[:1], inner[1:4], ends[1:], (inner[1:4] + down)[::-1]]
        fill(canvas, np.concatenate(teeth), (226, 220, 208))
    stroke(canvas, inner, look.lips * 0.45, closed=True)


def paint_face(canvas, head, look, expression, mark=None):
    """Draw the features on the bare skin, in place.

    `mark` is a position (row, column) of the grid where a small dot is drawn. Tests use it to
    verify that landmarks are drawn at their coordinates.
    """
    texels = _texel(head.marks)
    _paint_folds(canvas, texels, look, expression)
    _paint_nose(canvas, texels[31:36], look)
    _paint_mouth(canvas, texels[48:60], texels[60:68], look, expression.opening)
    for eye in (slice(36, 42), slice(42, 48)):
        scale = eye_scale(texels[eye], head.flat[eye])
        _paint_eye(canvas, texels[eye], look, expression.gaze, scale)
    for brow in (slice(17, 22), slice(22, 27)):
        _paint_brow(canvas, texels[brow], look)
    if mark is not None:
        spot = _texel(mark)
        x, y = np.round(spot).astype(int)
        disc(canvas, spot, 2, (0, 0, 0) if canvas[y, x].sum() > 360 else (255, 255, 255))


def _beard(x, y, mouth, rows, look):
    """Colour factors of a beard."""
    angle = np.abs(COLUMNS[FRONT])
    line = mouth + np.interp(angle, [0, 0.35, 0.8, 1.2, 1.4], [-0.19, -0.17, 0.0, -0.45, -0.75])
    full = np.clip((y - line) / 0.12, 0, 1) * (rows <= JAW_ROW + look.under) * (angle < 1.42)
    full *= 1 - np.exp(-((x / 0.33) ** 4) - ((y - mouth) / (0.13 * look.gap)) ** 4)
    return 1 - look.beard * full[..., None] * (1 - np.minimum(look.hair / look.skin, 1))


def tint_of(head, look):
    """Colour factors for hollows, blush and beard, shape (N_ROWS, n_columns, 3)."""
    flat, rows = head.flat, np.arange(N_ROWS)[:, None]
    neck = (rows > JAW_ROW) & (rows < COLLAR_ROW)
    tint = np.ones((N_ROWS, len(COLUMNS), 3))
    tint -= look.neck * (neck * np.clip((COLLAR_ROW + 2 - rows) / 6, 0, 1))[..., None]
    x, y = head.vertices[FACE, FRONT, 0], head.vertices[FACE, FRONT, 1]
    hollows = [(0.3, 0, flat[33, 1] + 0.03, 0.2, 0.05), (0.18, 0, flat[57, 1] + 0.06, 0.22, 0.05)]
    red = [(1, 0, 0.5, 0.15, 0.12)]
    for side, eye in ((-1, flat[36:42].mean(0)), (1, flat[42:48].mean(0))):
        hollows.append((0.16, eye[0], eye[1] - 0.02, 0.24, 0.14))
        hollows.append((0.18, side * 0.27, 0.57, 0.07, 0.1))
        red.append((1, side * 0.58, 0.5, 0.22, 0.2))
    blush = look.blush * bumps(x, y, red)[..., None] * [0.0, 1.0, 0.8]
    tint[FACE, FRONT] -= bumps(x, y, hollows)[..., None] + blush
    if look.beard:
        tint[FACE, FRONT] *= _beard(x, y, flat[[62, 66], 1].mean(), rows[FACE], look)
    return tint
