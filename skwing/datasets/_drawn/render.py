"""Lighting of a head, and the visible grid position at each pixel."""

import numpy as np

from skwing._utils.opencv import cv2
from skwing.datasets._drawn.strokes import SHIFT, fixed


def _normals(vertices):
    """Unit normals of the vertices as three planes, (3, rows, columns)."""
    planes = np.ascontiguousarray(np.moveaxis(vertices, -1, 0))
    along, down = np.empty_like(planes), np.empty_like(planes)
    along[:, :, 1:-1] = planes[:, :, 2:] - planes[:, :, :-2]
    # The grid is closed behind the head: the last column equals the first.
    along[:, :, [0, -1]] = planes[:, :, [1]] - planes[:, :, [-2]]
    down[:, 1:-1] = planes[:, 2:] - planes[:, :-2]
    down[:, [0, -1]] = planes[:, [1, -1]] - planes[:, [0, -2]]
    normal = np.stack(
        [
            along[1] * down[2] - along[2] * down[1],
            along[2] * down[0] - along[0] * down[2],
            along[0] * down[1] - along[1] * down[0],
        ]
    )
    return normal / (np.sqrt(normal[0] ** 2 + normal[1] ** 2 + normal[2] ** 2) + 1e-9)


def light_of(vertices, rng):
    """Shading of each vertex, as a factor of its colour.

    The light consists of a lamp of random strength, mostly from the front and above, with
    specular highlights, and of ambient light.

    Parameters
    ----------
    vertices : ndarray of shape (rows, columns, 3)
        In the camera frame: z points towards the camera, y down.
    rng : numpy.random.Generator

    Returns
    -------
    light : ndarray of shape (rows, columns, 3)
        Factors of red, green and blue.
    """
    normal = _normals(vertices)
    turn, rise = rng.normal(0, 0.9), rng.uniform(-0.3, 1.1)
    lamp = np.array([np.sin(turn) * np.cos(rise), -np.sin(rise), np.cos(turn) * np.cos(rise)])
    ambient = rng.uniform(0.2, 0.9)
    facing = np.clip(np.tensordot(lamp, normal, 1), 0, None)
    warm = 1 + 0.06 * rng.standard_normal() * np.array([1.0, 0.0, -1.0])
    half = lamp + [0, 0, 1]
    shine = np.clip(np.tensordot(half / np.linalg.norm(half), normal, 1), 0, None) ** 24
    shine *= 0.5 * rng.random() ** 2
    around = ambient * (0.85 - 0.15 * normal[1]) + shine
    return around[..., None] + (1.2 - ambient) * facing[..., None] * warm


def shade_of(pixels, rng):
    """Uneven light: blotches, and the shadow of something beside the camera.

    Parameters
    ----------
    pixels : ndarray of shape (rows, columns, 2)
        Vertices in the picture.
    rng : numpy.random.Generator

    Returns
    -------
    shade : ndarray of shape (rows, columns, 1)
        Factors of the light.
    """
    low, size = pixels.min((0, 1)), np.ptp(pixels[..., 0])
    place = (pixels - low) / size
    angle, soft = rng.uniform(0, 2 * np.pi), 10 ** rng.uniform(-1.7, -0.6)
    wave = rng.uniform(0, 0.15) * np.sin(rng.uniform(2, 12) * place[..., 1] + 6 * rng.random())
    edge = (place - [0.5, 0.4]) @ [np.cos(angle), np.sin(angle)] + wave - rng.normal(0, 0.25)
    dark = rng.uniform(0.1, 0.7) if rng.random() < 0.4 else 0.0
    shade = 1 - dark / (1 + np.exp(np.clip(edge / soft, -30, 30)))
    for waves in (3, 9):
        turn, phase = rng.uniform(-waves, waves, (2, 2)), 6 * rng.random(2)
        blotch = np.sin(6 * place @ turn + phase).prod(-1)
        shade = shade * (1 + rng.uniform(0, 0.15) * blotch)
    return shade[..., None]


def cover(pixels, depth, shape):
    """Visible grid position at each pixel.

    The indices of cells are drawn from far to near. The position inside a cell is then
    computed from the triangle that contains the centre of the pixel.

    Parameters
    ----------
    pixels : ndarray of shape (rows, columns, 2)
        Vertices in image pixels.
    depth : ndarray of shape (rows, columns)
        Larger values are nearer to the camera.
    shape : tuple of int
        Height and width of the image, in pixels.

    Returns
    -------
    row, column : ndarray of shape (height, width), float32
        Fractional positions; -9 where the grid is not visible.
    """
    first, right = pixels[:-1, :-1], pixels[:-1, 1:]
    last, below = pixels[1:, 1:], pixels[1:, :-1]
    quads = np.stack([first, right, last, below], 2).reshape(-1, 4, 2)
    one, two = (quads[:, 2] - quads[:, 0]).T, (quads[:, 3] - quads[:, 1]).T
    cells = np.flatnonzero(one[0] * two[1] - one[1] * two[0] > 0)
    nearness = (depth[:-1, :-1] + depth[1:, 1:] + depth[:-1, 1:] + depth[1:, :-1]).ravel()
    cells = cells[np.argsort(nearness[cells], kind="stable")]
    quads = quads[cells]
    drawn = np.zeros(shape, np.int32)
    for number, quad in enumerate(fixed(quads), 1):
        cv2.fillConvexPoly(drawn, quad, number, 8, SHIFT)
    return _places(quads, *np.divmod(cells, pixels.shape[1] - 1), pixels.shape[1], drawn)


def _triangles(quads, row, start, step):
    """Tables of the cells and of their triangles.

    Returns
    -------
    cells : ndarray of shape (n, 6), float32
        Factors of (x, y, 1), negative on the side of the second triangle; then row, start
        and step.
    maps : ndarray of shape (2 * n, 6), float32
        Factors of (x, y, 1) that give u, and those that give v, for the first and the
        second triangle of each cell.
    """
    first, aside, last, below = np.ascontiguousarray(quads.transpose(1, 2, 0))
    x, y = first
    dx, dy = last - first
    ax, ay = aside - first
    dx, dy = np.where(dx * ay < dy * ax, -1.0, 1.0) * (dx, dy)
    cells = np.stack([-dy, dx, dy * x - dx * y, row, start, step], 1)
    maps = np.empty((len(quads), 2, 6))
    for i, (over, down) in enumerate(
        ((aside - first, last - aside), (last - below, below - first))
    ):
        det = over[0] * down[1] - over[1] * down[0]
        det = np.where(np.abs(det) < 1e-6, 1e-6, det)
        for k, (a, b) in enumerate(((down[1], -down[0]), (-over[1], over[0]))):
            a, b = a / det, b / det
            maps[:, i, 3 * k], maps[:, i, 3 * k + 1] = a, b
            maps[:, i, 3 * k + 2] = -a * x - b * y
    return cells.astype(np.float32), maps.reshape(-1, 6).astype(np.float32)


def _places(quads, row, column, n_columns, drawn):
    # In the left half of the image, cells start from the other upper corner.
    flip = column < n_columns // 2
    quads = np.where(flip[:, None, None], quads[:, [1, 0, 3, 2]], quads)
    cells, maps = _triangles(quads, row, column + flip, np.where(flip, -1, 1))
    spots = np.flatnonzero(drawn != 0)
    cell = drawn.ravel()[spots] - 1
    y, x = (part.astype(np.float32) for part in np.divmod(spots, drawn.shape[1]))
    table = cells.take(cell, 0).T
    second = table[0] * x + table[1] * y + table[2] < 0
    chosen = maps.take(2 * cell + second, 0).T
    u = np.clip(chosen[0] * x + chosen[1] * y + chosen[2], 0, 1)
    v = np.clip(chosen[3] * x + chosen[4] * y + chosen[5], 0, 1)
    rows, columns = np.full((2, drawn.size), -9, np.float32)
    rows[spots] = table[3] + v
    columns[spots] = table[4] + table[5] * u
    return rows.reshape(drawn.shape), columns.reshape(drawn.shape)
