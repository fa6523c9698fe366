"""Bending of crops in training: a shape goes part of the way to that of another sample.

The other is the most similar one in its batch, so what comes out is a shape that might
occur, around a texture that never had it. A thin-plate spline takes the image along
(Bookstein, *Principal Warps*, IEEE TPAMI 1989).
"""

import math

import torch
import torch.nn.functional as F

from skwing import geometry
from skwing._crops.warp import read_at, to_device
from skwing._utils.graphs import Replayed

_N_CANDIDATES = 31  # others that a shape is compared with: as many as a batch of 32 has
_MOST_KNOTS = 128  # landmarks that the spline goes by: solving for it takes their number cubed
_N_NODES = 24  # along each side of the crop, on which the spline is evaluated
_SMOOTHING = 8e-4  # of the spline: landmarks that move apart do not tear the image
# Around the shape, in units of its longer side from its middle: where a ring of anchors
# stays in place, and beyond which nothing moves.
_ANCHORS, _STILL = 1.0, 1.5
# How far landmarks of two shapes lie apart, root mean square, as a fraction of the longer
# side: one that is similar is bent to freely, one that is another not at all. The most
# similar of 31 faces is 0.04 away, that of figures whose limbs turn freely 0.1.
_SIMILAR, _OTHER = 0.06, 0.09
_N_ITERATIONS = 6
_COINCIDENT = 1e-12  # least square of a distance: rounding must not make it negative


class Bend:
    """Bends batches of crops, each crop towards the shape of another one.

    Parameters
    ----------
    size : int
        Side of the crops in pixels.
    amount : float
        Greatest part of the way to the other shape: 1 is all of it. Shapes without a close
        neighbour (as of articulated limbs) are bent less or not at all.
    """

    def __init__(self, size, amount):
        self.size, self.amount = size, amount
        # Apart, as what lies between them can not be recorded.
        self._prepare = Replayed(self._moves_and_systems)
        self._finish = Replayed(self._points_and_field)

    def __call__(self, points, samples, generator):
        """Bend a batch.

        Parameters
        ----------
        points : float32 tensor of shape (n, L, 2)
            In pixels of the crops, NaN = missing.
        samples : int tensor of shape (n,)
            Which sample each crop shows: a batch may hold one several times.
        generator : torch.Generator

        Returns
        -------
        points : float32 tensor of shape (n, L, 2)
            Where the same landmarks lie in the bent crops.
        field : float32 tensor of shape (n, 2, n_nodes, n_nodes)
            From places in a bent crop to where their content lies in the crop as it was,
            in pixels; :func:`skwing._crops.warp.sample` takes it.
        """
        part = to_device(torch.rand(len(points), generator=generator), points.device)
        moves, *frame, system, values = self._prepare(points, samples, part)
        # Smoothed and anchored, it has a solution; to check that would make a GPU wait.
        factors, _ = torch.linalg.solve_ex(system, values)
        bent, field = self._finish(points, moves, *frame, factors)
        # Copies: the next batch is written to the same memory.
        return (bent.clone(), field.clone()) if self._finish.recorded else (bent, field)

    def _moves_and_systems(self, points, samples, part):
        ways = offsets_to_nearest_shapes(points, samples)
        similar = ((_OTHER - _mean_way(points, ways)) / (_OTHER - _SIMILAR)).clamp(0, 1)
        moves = (self.amount * similar * part)[:, None, None] * ways
        return moves, *_spline_systems(points + moves, moves, self.size)

    def _points_and_field(self, points, moves, knots, middle, unit, factors):
        field = _field(knots, middle, unit, factors, self.size)
        return _forward_points(points, moves, field, self.size), field


def offsets_to_nearest_shapes(points, samples):
    """From each shape to the most similar one of other samples, brought onto it by a similarity.

    Parameters
    ----------
    points : tensor of shape (n, L, 2)
        NaN = missing.
    samples : int tensor of shape (n,)

    Returns
    -------
    ways : tensor of shape (n, L, 2)
        NaN for landmarks that one of the two shapes lacks, or where there is no other sample.
    """
    n = len(points)
    rows = torch.arange(n, device=points.device)[:, None]
    n_candidates = min(max(n - 1, 1), _N_CANDIDATES)
    candidates = (rows + torch.arange(1, n_candidates + 1, device=points.device)) % n
    others = points[candidates]
    others = torch.where(
        (samples[candidates] == samples[:, None])[..., None, None], math.nan, others
    )
    own = points[:, None]
    ways = geometry.apply(geometry.similarity(others, own), others) - own
    return ways[rows[:, 0], _mean_square(ways).nan_to_num(math.inf).argmin(1)]


def _mean_square(ways):
    """Mean of squares over the landmarks that are known; NaN where none is."""
    return ways.square().sum(-1).nanmean(-1)


def _mean_way(points, ways):
    """Root mean square of ways, as a fraction of the longer side of each shape."""
    return _mean_square(ways).sqrt() / geometry.boxes_of(points)[:, 2:].amax(-1)


def _spline_systems(places, moves, size):
    """Equations of the splines that lead from each place to where it was before its move.

    `places`, of shape (n, L, 2), are where `moves` led to; NaN = no move known. Returns the
    knots, of shape (n, n_knots, 2), in units of each shape from its middle; the middle and
    the unit; and matrix and right side of the equations.
    """
    n, device = len(places), places.device
    every = math.ceil(places.shape[1] / _MOST_KNOTS)
    places, moves = places[:, ::every], moves[:, ::every]
    known = ~torch.isnan(places).any(-1)
    # In units of the shape, from its middle: one that is small in its crop bends likewise.
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
    # A landmark that is not known has a row and a column of its own, and takes no part.
    weight = moved[..., None].to(places.dtype)
    smoothing = torch.where(moved, _SMOOTHING, 1.0)
    bending = _spline(knots, knots) * weight * weight.mT + torch.diag_embed(smoothing)
    plane = F.pad(knots, (1, 0), value=1.0) * weight
    system = torch.cat([torch.cat([bending, plane], 2), F.pad(plane.mT, (0, 3))], 1)
    return knots, middle, unit, system, values


def _field(knots, middle, unit, factors, size):
    """Offsets by the splines at the nodes, of shape (n, 2, n_nodes, n_nodes), in pixels."""
    axis = torch.linspace(0, size - 1, _N_NODES, device=knots.device)
    nodes = (torch.cartesian_prod(axis, axis).flip(-1) - middle) / unit
    bent = _spline(nodes, knots) @ factors[:, :-3]
    field = bent + F.pad(nodes, (1, 0), value=1.0) @ factors[:, -3:]
    away = nodes.abs().amax(-1, keepdim=True)
    field = field * ((_STILL - away) / (_STILL - _ANCHORS)).clamp(0, 1)
    return field.mT.unflatten(2, (_N_NODES, _N_NODES))


def _spline(places, knots):
    """Thin-plate spline of each knot at each place, of shape (n, n_places, n_knots)."""
    # Squares of distances from products, several times faster than one by one.
    square = places.square().sum(-1)[:, :, None] + knots.square().sum(-1)[:, None]
    square.baddbmm_(places, knots.mT, alpha=-2).clamp_min_(_COINCIDENT)
    return square.log().mul_(square)


def _forward_points(points, moves, field, size):
    """Where landmarks are that a field leads back to `points`."""
    nodes_a_pixel = (field.shape[-1] - 1) / (size - 1)
    places = points + moves.nan_to_num(0.0)
    for _ in range(_N_ITERATIONS):
        back = read_at(field, nodes_a_pixel * places.nan_to_num(0.0), 1).mT
        # Half of what is missing: all of it can overshoot where the image is stretched.
        places = places + (points - places - back) / 2
    return places
