"""Deformation of crops in training: a shape is moved part of the way to that of another sample.

The other sample is the most similar one in the batch, so that the deformed shape is plausible,
but new for this texture. A thin-plate spline deforms the image accordingly (Bookstein,
*Principal Warps*, IEEE TPAMI 1989).
"""

import math
from functools import lru_cache

import torch
import torch.nn.functional as F

from skwing import geometry
from skwing._crops.warp import read_at

_N_CANDIDATES = 31  # number of shapes to compare with: the others in a batch of 32
_MOST_KNOTS = 128  # maximum number of landmarks in the spline, whose cost is cubic in it
_N_NODES = 24  # number of nodes per axis at which the spline is evaluated
_SMOOTHING = 8e-4  # regularisation of the spline, against foldings between close landmarks
# Distances from the centre of the shape, in units of its longer side: of a ring of fixed
# anchors, and beyond which the deformation is zero.
_ANCHORS, _STILL = 1.0, 1.5
# Limits of the root mean square distance between two shapes, as a fraction of the longer side:
# below the first, the deformation has full strength, above the second it is zero. The nearest of
# 31 faces has a distance of 0.04, that of articulated figures 0.1.
_SIMILAR, _OTHER = 0.06, 0.09
_N_ITERATIONS = 6
_LOST = 1 / 128  # distance from its place at which a landmark is not found, relative to the side
_COINCIDENT = 1e-12  # lower limit of squared distances, which rounding can make negative


def bend(points, samples, strengths, size, rows=slice(None)):
    """Deform a batch of crops, or some rows of it, each crop towards the shape of another one.

    Shapes without a close neighbour (such as articulated limbs) are deformed less or not at all.

    Parameters
    ----------
    points : float32 tensor of shape (n, L, 2)
        In crop pixels, NaN = missing.
    samples : int tensor of shape (n,)
        Index of the sample of each crop; a batch may contain a sample several times.
    strengths : float32 tensor of shape (n,)
        1 reaches the other shape.
    size : int
        Side of the crops in pixels.
    rows : int tensor of shape (n_rows,) or slice
        Rows to deform.

    Returns
    -------
    points : float32 tensor of shape (n_rows, L, 2)
        Landmarks in the deformed crops; NaN also if the position is not found.
    field : float32 tensor of shape (n_rows, 2, n_nodes, n_nodes)
        Offsets, in pixels, from positions in the deformed crop to positions in the
        original crop, for :func:`skwing._crops.warp.sample`.
    """
    ways = offsets_to_nearest_shapes(points, samples, rows)
    points, strengths = points[rows], strengths[rows]
    similar = ((_OTHER - _mean_way(points, ways)) / (_OTHER - _SIMILAR)).clamp(0, 1)
    moves = (similar * strengths)[:, None, None] * ways
    field = _spline_field(points + moves, moves, size)
    return _forward_points(points, moves, field, size), field


def offsets_to_nearest_shapes(points, samples, rows=slice(None)):
    """Offsets from each shape to the nearest aligned shape of another sample.

    They are of shape (n_rows, L, 2); NaN for landmarks that are missing in one of both shapes, or
    without another sample.
    """
    n = len(points)
    rows = torch.arange(n, device=points.device)[rows][:, None]
    n_candidates = min(max(n - 1, 1), _N_CANDIDATES)
    candidates = (rows + torch.arange(1, n_candidates + 1, device=points.device)) % n
    others = points[candidates]
    others = torch.where((samples[candidates] == samples[rows])[..., None, None], math.nan, others)
    own = points[rows]
    ways = geometry.apply(geometry.similarity(others, own), others) - own
    nearest = _mean_square(ways).nan_to_num(math.inf).argmin(1)
    return ways[torch.arange(len(rows), device=points.device), nearest]


def _mean_square(ways):
    """Mean of squared lengths over the known landmarks; NaN if there are none."""
    return ways.square().sum(-1).nanmean(-1)


def _mean_way(points, ways):
    """Root mean square of offsets, as a fraction of the longer side of each shape."""
    return _mean_square(ways).sqrt() / geometry.boxes_of(points)[:, 2:].amax(-1)


def _spline_field(places, moves, size):
    """Offsets from moved points back to their original positions, interpolated by splines.

    `places`, of shape (n, L, 2), are the positions after `moves`; NaN = unknown. Returns the
    offsets at the nodes, of shape (n, 2, n_nodes, n_nodes), in pixels.
    """
    n, device = len(places), places.device
    every = math.ceil(places.shape[1] / _MOST_KNOTS)
    places, moves = places[:, ::every], moves[:, ::every]
    known = ~torch.isnan(places).any(-1)
    # Normalise by position and size of the shape, so that the deformation is independent of them.
    corner, extent = geometry.boxes_of(places)[:, None].nan_to_num(size).split(2, -1)
    middle, unit = corner + extent / 2, extent.amax(-1, keepdim=True)
    ring = _ring(device).expand(n, -1, -1)
    knots = torch.cat([torch.where(known[..., None], (places - middle) / unit, 0.0), ring], 1)
    values = torch.cat([torch.where(known[..., None], -moves, 0.0), torch.zeros_like(ring)], 1)
    known = F.pad(known, (0, ring.shape[1]), value=True)
    weights, plane = _spline_weights(knots, known, values)
    axis = torch.linspace(0, size - 1, _N_NODES, device=device)
    nodes = (torch.cartesian_prod(axis, axis).flip(-1) - middle) / unit
    field = _spline(nodes, knots) @ weights + _affine(nodes) @ plane
    away = nodes.abs().amax(-1, keepdim=True)
    field = field * ((_STILL - away) / (_STILL - _ANCHORS)).clamp(0, 1)
    return field.mT.unflatten(2, (_N_NODES, _N_NODES))


def _spline_weights(knots, known, values):
    """Weights and affine parts of smoothing splines with given values at the known knots.

    The kernel is positive definite only on weights without an affine part. Its values at three
    corners of a triangle are subtracted, which changes the affine part of the spline alone, and
    makes it positive definite on all weights. The systems can then be solved by the Cholesky
    decomposition, which can be recorded as a CUDA graph; elimination with pivots cannot.

    Parameters
    ----------
    knots : tensor of shape (n, n_knots, 2)
    known : bool tensor of shape (n, n_knots)
    values : tensor of shape (n, n_knots, 2)
        0 where knots are unknown.

    Returns
    -------
    weights : tensor of shape (n, n_knots, 2)
    plane : tensor of shape (n, 3, 2)
        Factors of 1, x and y.
    """
    corners, to_corners, among = _triangle(knots.device)
    shares = _affine(knots) @ to_corners  # barycentric coordinates
    at_corners = _spline(knots, corners.expand(len(knots), -1, -1))
    cross = shares @ (at_corners - shares @ among / 2).mT
    kernel = _spline(knots, knots) - cross - cross.mT
    # Rows and columns of unknown landmarks are those of the identity matrix.
    weight = known[..., None].to(knots.dtype)
    smoothing = torch.where(known, _SMOOTHING, 1.0)
    system = kernel * weight * weight.mT + torch.diag_embed(smoothing)
    plane = _affine(knots) * weight
    # Both factorised matrices are positive definite; a check would force a GPU sync.
    root, _ = torch.linalg.cholesky_ex(system)
    reduced = torch.linalg.solve_triangular(root, torch.cat([plane, values], -1), upper=False)
    planes, rest = reduced.split([3, 2], -1)
    root_of_plane, _ = torch.linalg.cholesky_ex(planes.mT @ planes)
    own = _solved(root_of_plane, planes.mT @ rest)
    weights = torch.linalg.solve_triangular(root.mT, rest - planes @ own, upper=True)
    return weights, own - to_corners @ (at_corners.mT @ weights)


def _solved(root, values):
    """Solve systems with their lower Cholesky factors."""
    half = torch.linalg.solve_triangular(root, values, upper=False)
    return torch.linalg.solve_triangular(root.mT, half, upper=True)


@lru_cache
def _ring(device):
    """Fixed anchors around a shape, of shape (8, 2)."""
    side = torch.linspace(-_ANCHORS, _ANCHORS, 3)
    square = torch.cartesian_prod(side, side)
    return torch.cat([square[:4], square[5:]]).to(device)


@lru_cache
def _triangle(device):
    """Corners of a triangle, the matrix from 1, x and y to barycentric coordinates, and a kernel.

    The latter is that of the spline at the corners, plus the identity matrix.
    """
    corners = _ANCHORS * torch.tensor([[-1.0, -1.0], [1.0, -1.0], [0.0, 1.0]])
    among = _spline(corners[None], corners[None])[0] + torch.eye(3)
    return tuple(each.to(device) for each in (corners, torch.linalg.inv(_affine(corners)), among))


def _affine(places):
    """Values of 1, x and y at places (..., 2), of shape (..., 3)."""
    return F.pad(places, (1, 0), value=1.0)


def _spline(places, knots):
    """Thin-plate spline kernel of places and knots, of shape (n, n_places, n_knots)."""
    # Squared distances from matrix products, which is several times faster.
    square = places.square().sum(-1)[:, :, None] + knots.square().sum(-1)[:, None]
    square.baddbmm_(places, knots.mT, alpha=-2).clamp_min_(_COINCIDENT)
    return square.log().mul_(square)


def _forward_points(points, moves, field, size):
    """Positions that a field maps back to `points`, by fixed-point iteration.

    Where a strong deformation folds the image, the iteration may not converge. Such a landmark, one
    in five hundred of those of faces at a strength of up to 1.5, is NaN.
    """
    nodes_a_pixel = (field.shape[-1] - 1) / (size - 1)
    found = torch.where(torch.isnan(points), 0.0, points)
    places = found + moves.nan_to_num(0.0)
    for _ in range(_N_ITERATIONS):
        before, back = places, read_at(field, nodes_a_pixel * places, 1).mT
        # Half steps, because full steps can overshoot where the image is stretched.
        places = (places + found - back) / 2
    off = 2 * torch.linalg.vector_norm(places - before, dim=-1, keepdim=True)
    return torch.where(torch.isnan(points) | (off > _LOST * size), torch.nan, places)
