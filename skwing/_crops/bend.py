"""Deformation of crops in training: a shape is moved part of the way to that of another sample.

The other sample is the most similar one in the batch, so that the deformed shape is plausible,
but new for this texture. A thin-plate spline deforms the image accordingly (Bookstein,
*Principal Warps*, IEEE TPAMI 1989).
"""

import math

import torch
import torch.nn.functional as F

from skwing import geometry
from skwing._crops.warp import read_at, to_device
from skwing._utils.graphs import Replayed

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
_COINCIDENT = 1e-12  # lower limit of squared distances, which rounding can make negative


class Bend:
    """Deforms batches of crops, each crop towards the shape of another one.

    Parameters
    ----------
    size : int
        Side of the crops in pixels.
    amount : float
        Maximum strength; 1 reaches the other shape. Shapes without a close neighbour (such
        as articulated limbs) are deformed less or not at all.
    """

    def __init__(self, size, amount):
        self.size, self.amount = size, amount
        # Two parts, because the solver between them cannot be recorded as a CUDA graph.
        self._prepare = Replayed(self._moves_and_systems)
        self._finish = Replayed(self._points_and_field)

    def __call__(self, points, samples, generator, rows=slice(None)):
        """Deform a batch, or some rows of it.

        Parameters
        ----------
        points : float32 tensor of shape (n, L, 2)
            In crop pixels, NaN = missing.
        samples : int tensor of shape (n,)
            Index of the sample of each crop; a batch may contain a sample several times.
        generator : torch.Generator
        rows : int tensor of shape (n_rows,) or slice
            Rows to deform.

        Returns
        -------
        points : float32 tensor of shape (n_rows, L, 2)
            Landmarks in the deformed crops.
        field : float32 tensor of shape (n_rows, 2, n_nodes, n_nodes)
            Offsets, in pixels, from positions in the deformed crop to positions in the
            original crop, for :func:`skwing._crops.warp.sample`.
        """
        part = to_device(torch.rand(len(points), generator=generator)[rows], points.device)
        chosen = to_device(rows, points.device) if isinstance(rows, torch.Tensor) else None
        moves, *frame, system, values = self._prepare(points, samples, part, chosen)
        points = points if chosen is None else points[chosen]
        # The regularised system is not singular; a check would force a GPU sync.
        factors, _ = torch.linalg.solve_ex(system, values)
        bent, field = self._finish(points, moves, *frame, factors)
        # Copy, because a recorded graph writes the next batch to the same memory.
        return (bent.clone(), field.clone()) if self._finish.recorded else (bent, field)

    def _moves_and_systems(self, points, samples, part, rows=None):
        ways = offsets_to_nearest_shapes(points, samples, rows)
        points = points if rows is None else points[rows]
        similar = ((_OTHER - _mean_way(points, ways)) / (_OTHER - _SIMILAR)).clamp(0, 1)
        moves = (self.amount * similar * part)[:, None, None] * ways
        return moves, *_spline_systems(points + moves, moves, self.size)

    def _points_and_field(self, points, moves, knots, middle, unit, factors):
        field = _field(knots, middle, unit, factors, self.size)
        return _forward_points(points, moves, field, self.size), field


def offsets_to_nearest_shapes(points, samples, rows=None):
    """Offsets from each shape to the nearest aligned shape of another sample.

    Parameters
    ----------
    points : tensor of shape (n, L, 2)
        NaN = missing.
    samples : int tensor of shape (n,)
    rows : int tensor of shape (n_rows,), default=None
        Shapes to return offsets of; None means all.

    Returns
    -------
    ways : tensor of shape (n_rows, L, 2)
        NaN for landmarks that are missing in one of both shapes, or without another sample.
    """
    n = len(points)
    rows = (torch.arange(n, device=points.device) if rows is None else rows)[:, None]
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


def _spline_systems(places, moves, size):
    """Linear systems of the splines that map moved points back to their original positions.

    `places`, of shape (n, L, 2), are the positions after `moves`; NaN = unknown. Returns the
    knots, of shape (n, n_knots, 2), relative to the centre of each shape and in units of its
    longer side; the centres and the units; and matrix and right-hand side of the systems.
    """
    n, device = len(places), places.device
    every = math.ceil(places.shape[1] / _MOST_KNOTS)
    places, moves = places[:, ::every], moves[:, ::every]
    known = ~torch.isnan(places).any(-1)
    # Normalise by position and size of the shape, so that the deformation is independent of them.
    corner, extent = geometry.boxes_of(places)[:, None].nan_to_num(size).split(2, -1)
    middle, unit = corner + extent / 2, extent.amax(-1, keepdim=True)
    side = torch.linspace(-_ANCHORS, _ANCHORS, 3, device=device)
    square = torch.cartesian_prod(side, side)
    ring = torch.cat([square[:4], square[5:]]).expand(n, -1, 2)
    knots = torch.where(known[..., None], (places - middle) / unit, 0.0)
    knots, moved = (
        torch.cat([knots, ring], 1),
        torch.cat([known, known.new_ones(n, ring.shape[1])], 1),
    )
    values = F.pad(torch.where(known[..., None], -moves, 0.0), (0, 0, 0, ring.shape[1] + 3))
    # Rows and columns of unknown landmarks are those of the identity matrix.
    weight = moved[..., None].to(places.dtype)
    smoothing = torch.where(moved, _SMOOTHING, 1.0)
    bending = _spline(knots, knots) * weight * weight.mT + torch.diag_embed(smoothing)
    plane = F.pad(knots, (1, 0), value=1.0) * weight
    system = torch.cat([torch.cat([bending, plane], 2), F.pad(plane.mT, (0, 3))], 1)
    return knots, middle, unit, system, values


def _field(knots, middle, unit, factors, size):
    """Offsets of the splines at the nodes, of shape (n, 2, n_nodes, n_nodes), in pixels."""
    axis = torch.linspace(0, size - 1, _N_NODES, device=knots.device)
    nodes = (torch.cartesian_prod(axis, axis).flip(-1) - middle) / unit
    bent = _spline(nodes, knots) @ factors[:, :-3]
    field = bent + F.pad(nodes, (1, 0), value=1.0) @ factors[:, -3:]
    away = nodes.abs().amax(-1, keepdim=True)
    field = field * ((_STILL - away) / (_STILL - _ANCHORS)).clamp(0, 1)
    return field.mT.unflatten(2, (_N_NODES, _N_NODES))


def _spline(places, knots):
    """Thin-plate spline kernel of places and knots, of shape (n, n_places, n_knots)."""
    # Squared distances from matrix products, which is several times faster.
    square = places.square().sum(-1)[:, :, None] + knots.square().sum(-1)[:, None]
    square.baddbmm_(places, knots.mT, alpha=-2).clamp_min_(_COINCIDENT)
    return square.log().mul_(square)


def _forward_points(points, moves, field, size):
    """Positions that a field maps back to `points`, by fixed-point iteration."""
    nodes_a_pixel = (field.shape[-1] - 1) / (size - 1)
    places = points + moves.nan_to_num(0.0)
    for _ in range(_N_ITERATIONS):
        back = read_at(field, nodes_a_pixel * places.nan_to_num(0.0), 1).mT
        # Half steps, because full steps can overshoot where the image is stretched.
        places = places + (points - places - back) / 2
    return places
