import numpy as np
import pytest
import torch
import torch.nn.functional as F

from skwing import geometry
from skwing._crops.bend import _spline_weights, bend, offsets_to_nearest_shapes
from skwing._crops.warp import read_at

SIZE = 64
SHAPE = torch.tensor([[14.0, 20], [45, 22], [31, 33], [18, 50], [38, 47], [50, 38], [28, 12]])


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def make_shapes(n, noise=1.5, seed=0):
    return SHAPE + noise * torch.randn(n, *SHAPE.shape, generator=seeded(seed))


def bent(points, samples, amount, seed=0):
    """Deform each crop, by a random part of the way to another shape, up to an amount."""
    return bend(points, samples, amount * torch.rand(len(points), generator=seeded(seed)), SIZE)


def bent_spots(points, field):
    """Bent images with a soft spot at each landmark, each landmark in a channel of its own."""
    field = F.interpolate(field, (SIZE, SIZE), mode="bilinear", align_corners=True)
    axis = torch.arange(SIZE, dtype=torch.float32)
    pixels = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    places = (pixels + field.permute(0, 2, 3, 1))[:, None]
    away = (places - points[:, :, None, None]).square().sum(-1)
    return torch.exp(-away / (2 * 2.5**2))


def middles(images):
    """Middle of the spot in each channel, of its pixels above half its peak."""
    axis = torch.arange(SIZE, dtype=torch.float32)
    weight = (images - images.amax((-1, -2), keepdim=True) / 2).clamp_min(0)
    x, y = (weight * axis).sum((-1, -2)), (weight * axis[:, None]).sum((-1, -2))
    return torch.stack([x, y], -1) / weight.sum((-1, -2))[..., None]


def test_pixels_go_with_their_landmarks():
    points = make_shapes(12)
    moved, field = bent(points, torch.arange(12), 1.0)
    assert (moved - points).norm(dim=-1).max() > 2
    there = middles(bent_spots(points, field))
    torch.testing.assert_close(there, moved, atol=0.5, rtol=0)
    assert (there - moved).norm(dim=-1).mean() < 0.15
    nodes = (field.shape[-1] - 1) / (SIZE - 1) * moved
    back = moved + read_at(field, nodes, 1).mT
    torch.testing.assert_close(back, points, atol=0.01, rtol=0)


@pytest.mark.parametrize("strength", [0.5, 1.5, 10.0])
def test_landmarks_whose_place_is_not_found_are_missing(strength):
    """Where the image is folded; all others are where their pixels are."""
    points = make_shapes(100)
    moved, field = bent(points, torch.arange(100), strength)
    back = moved + read_at(field, (field.shape[-1] - 1) / (SIZE - 1) * moved, 1).mT
    lost = moved.isnan().any(-1)
    assert (back - points)[~lost].norm(dim=-1).max() < SIZE / 64
    assert lost.float().mean() < (0.001 if strength < 2 else 0.5)


def test_a_shape_goes_part_of_the_way_to_another():
    points, samples = make_shapes(200), torch.arange(200)
    ways = offsets_to_nearest_shapes(points, samples)
    moved, _ = bent(points, samples, 0.8)
    went = moved - points
    parts = (went * ways).sum((1, 2)) / ways.square().sum((1, 2))
    assert parts.min() > -0.01
    assert 0.7 < parts.max() < 0.85
    np.testing.assert_allclose(parts.mean(), 0.4, atol=0.05)
    # The spline gives way a little instead of tearing the image.
    off = (went - parts[:, None, None] * ways).norm(dim=(1, 2)) / ways.norm(dim=(1, 2))
    assert off.median() < 0.1


@pytest.mark.parametrize(
    "apart, low, high",
    [(0.03, 0.9, 1), (0.062, 0.85, 1), (0.075, 0.4, 0.6), (0.087, 0.05, 0.15), (0.092, 0, 0)],
)
def test_a_shape_without_one_like_it_is_bent_less_or_not_at_all(apart, low, high):
    points = SHAPE.expand(2, -1, -1).clone()
    points[1] += 10 * torch.randn(SHAPE.shape, generator=seeded(3))
    for _ in range(5):  # until they lie that far apart, turned and scaled onto each other
        ways = offsets_to_nearest_shapes(points, torch.arange(2))[0]
        far = ways.square().sum(-1).mean().sqrt() / geometry.boxes_of(points)[0, 2:].amax()
        points[1] = points[0] + (points[1] - points[0]) * apart / far
    points = points[[0, 1] * 100]
    moved, _ = bent(points, torch.arange(2).repeat(100), 1.0)
    went = (moved - points)[::2].norm(dim=(1, 2)) / ways.norm()
    assert low - 0.02 <= went.max() <= high + 0.02


def test_the_other_is_the_most_similar_of_another_sample():
    square = torch.tensor([[-1.0, -1], [1, -1], [1, 1], [-1, 1]])
    flat = square * torch.tensor([1.0, 0.5])
    shapes = 10 * torch.stack([square, flat, 1.05 * flat + torch.tensor([0.1, 0.0]), square]) + 32
    shapes[1, 0, 0] -= 1
    turned = geometry.apply(
        geometry.from_parts(
            torch.rand(4, generator=seeded()), torch.full((4,), 1.3), torch.full((4, 2), 3.0), 31.5
        ),
        shapes,
    )
    ways = offsets_to_nearest_shapes(turned, torch.tensor([0, 1, 2, 0]))
    # Shape 3 is 0 again, and the same sample: each has to go to a flat one.
    assert ways[0].norm() > 3
    torch.testing.assert_close(ways[0].norm(), ways[3].norm(), rtol=0.3, atol=0)
    assert ways[1].norm() < 2
    assert ways[2].norm() < 2
    alone = offsets_to_nearest_shapes(turned, torch.arange(4))
    torch.testing.assert_close(alone[[0, 3]], torch.zeros(2, 4, 2), atol=1e-4, rtol=0)


def test_turned_moved_and_scaled_the_same_way_is_no_other_shape():
    n = 8
    angle, scale = torch.rand(n, generator=seeded()), 1 + torch.rand(n, generator=seeded(1)) / 4
    points = geometry.apply(
        geometry.from_parts(angle, scale, torch.full((n, 2), 2.0), 31.5), SHAPE.expand(n, -1, -1)
    )
    moved, field = bent(points, torch.arange(n), 1.0)
    torch.testing.assert_close(moved, points, atol=1e-3, rtol=0)
    assert field.abs().max() < 2e-3


@pytest.mark.parametrize(
    "n, samples, n_landmarks",
    [(1, [0], 7), (3, [5, 5, 5], 7), (4, [0, 1, 2, 3], 1), (4, [0, 1, 2, 3], 2)],
    ids=["one image", "one sample", "one landmark", "two landmarks"],
)
def test_without_another_shape_nothing_is_bent(n, samples, n_landmarks):
    points = make_shapes(n)[:, :n_landmarks]
    moved, field = bent(points, torch.tensor(samples), 1.0)
    torch.testing.assert_close(moved, points, atol=1e-3, rtol=0)
    assert field.abs().max() < 2e-3


def test_missing_landmarks_stay_missing_and_go_along_where_only_the_other_misses_them():
    points = make_shapes(2)
    whole, _ = bent(points, torch.arange(2), 1.0)
    lacking = points.clone()
    lacking[0, 2] = torch.nan
    moved, field = bent(lacking, torch.arange(2), 1.0)
    assert torch.equal(torch.isnan(moved), torch.isnan(lacking))
    assert torch.isfinite(field).all()
    there = middles(bent_spots(points, field))
    torch.testing.assert_close(there[1], moved[1], atol=0.5, rtol=0)
    assert (moved[1, 2] - points[1, 2]).norm() > 0.1  # between the others, which move
    assert (moved - whole)[:, [0, 1, 3, 4, 5, 6]].norm(dim=-1).max() < 4


def test_nothing_known_is_nothing_bent():
    points = make_shapes(3)
    points[1] = torch.nan
    points[2, 1:] = torch.nan
    moved, field = bent(points, torch.arange(3), 1.0)
    assert torch.equal(torch.isnan(moved), torch.isnan(points))
    assert field.abs().max() < 2e-3


def test_a_small_shape_bends_like_a_large_one():
    large = make_shapes(6)
    small = (large - 31.5) / 4 + 31.5
    moves = [bent(points, torch.arange(6), 1.0)[0] - points for points in (large, small)]
    # Not exactly, as its field is as coarse.
    assert (moves[0] / 4 - moves[1]).norm() < 0.3 * moves[1].norm()


@pytest.mark.parametrize("scale", [0.02, 0.1, 1.0, 5.0])
@pytest.mark.parametrize("middle", [(31.5, 31.5), (5.0, 60.0)])
def test_bending_stays_near_the_shape_and_within_its_moves(scale, middle):
    points = (make_shapes(6) - 31.5) * scale + torch.tensor(middle)
    points[:, 3] = points[:, 4]  # coincident landmarks
    greatest = offsets_to_nearest_shapes(points, torch.arange(6)).norm(dim=-1).amax(-1)
    moved, field = bent(points, torch.arange(6), 1.0)
    assert ((moved - points).norm(dim=-1).amax(-1) < 1.2 * greatest).all()
    assert (field.norm(dim=1).amax((1, 2)) < 1.5 * greatest).all()
    axis = torch.linspace(0, SIZE - 1, field.shape[-1])
    nodes = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    away = (nodes - torch.tensor(middle)).abs().amax(-1) > 2 * (50 * scale + 1)
    assert (field.norm(dim=1)[:, away] == 0).all()


def test_of_many_landmarks_all_go_along():
    angle = torch.linspace(0, 6, 400)
    circle = 31.5 + 20 * torch.stack([torch.cos(angle), torch.sin(angle)], -1)
    wide = torch.tensor([[1.0, 1.0], [1.15, 0.9], [0.9, 1.1]])[:, None]
    points = (circle - 31.5) * wide + 31.5
    moved, field = bent(points, torch.arange(3), 1.0)
    assert (moved - points).norm(dim=-1).max() > 1
    nodes = (field.shape[-1] - 1) / (SIZE - 1) * moved
    torch.testing.assert_close(moved + read_at(field, nodes, 1).mT, points, atol=0.1, rtol=0)


@pytest.mark.parametrize("place", [1, 7, 16, 31])
def test_the_other_is_found_wherever_it_lies_in_a_batch_of_32(place):
    points = make_shapes(32, noise=12.0)
    points[place] = points[0] + 0.5
    points[place, 2] += 1.0
    ways = offsets_to_nearest_shapes(points, torch.arange(32))
    assert ways[0].norm() < 1.5
    assert ways[place].norm() < 1.5
    assert ways.norm(dim=(1, 2)).median() > 5


def test_each_of_a_hundred_landmarks_goes_its_own_way():
    angle = torch.linspace(0, 2 * torch.pi, 101)[:-1]
    circle = 31.5 + 22 * torch.stack([torch.cos(angle), torch.sin(angle)], -1)
    points = circle.repeat(2, 1, 1)
    points[1, ::2] = 31.5 + (points[1, ::2] - 31.5) * 1.04
    points = points[[0, 1] * 20]
    samples = torch.arange(2).repeat(20)
    ways = offsets_to_nearest_shapes(points, samples)[0]
    moved, _ = bent(points, samples, 1.0)
    went = (moved - points)[::2]
    # Neighbours go opposite ways, which the smoothing holds back; yet each goes its own.
    most = went[went.norm(dim=(1, 2)).argmax()]
    along = (most * ways).sum(-1) / ways.square().sum(-1)
    assert along.min() > 0.1


@pytest.mark.parametrize("apart", [0.05, 0.2, 0.5])
def test_landmarks_of_one_place_that_part_go_most_of_the_way_and_do_not_tear_the_image(apart):
    points = SHAPE.repeat(2, 1, 1)
    points = torch.cat([points, points[:, :1] + torch.tensor([apart, 0.0])], 1)
    points[1, 0, 1] -= 1.5
    points[1, 7, 1] += 1.5
    points = points[[0, 1] * 50]
    moved, field = bent(points, torch.arange(2).repeat(50), 1.0)
    went = (moved - points)[::2, [0, 7], 1].abs().amax(0)
    assert 0.5 * 1.5 < went.min() < 1.5
    # Torn or folded, the places that are read would not keep their order: a determinant < 0.
    step = (SIZE - 1) / (field.shape[-1] - 1)
    along_x = (field[:, :, :-1, 1:] - field[:, :, :-1, :-1]) / step
    along_y = (field[:, :, 1:, :-1] - field[:, :, :-1, :-1]) / step
    area = (1 + along_x[:, 0]) * (1 + along_y[:, 1]) - along_y[:, 0] * along_x[:, 1]
    assert area.min() > 0


def test_a_seed_decides_and_the_global_generator_is_left_alone():
    points, state = make_shapes(5), torch.get_rng_state()
    first, again, other = (bent(points, torch.arange(5), 1.0, seed=seed) for seed in (1, 1, 2))
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], other[0])
    assert torch.equal(torch.get_rng_state(), state)


def kernel(places, knots):
    """The kernel of thin-plate splines, see Bookstein (1989), equation 2."""
    square = ((places[:, None] - knots[None]) ** 2).sum(-1)
    return np.where(square > 0, square * np.log(np.where(square > 0, square, 1)), 0)


@pytest.mark.parametrize("n_knots", [8, 30, 136])
def test_splines_solve_their_linear_systems(n_knots):
    rng = np.random.RandomState(n_knots)
    knots, values = 0.4 * rng.randn(n_knots, 2), rng.randn(n_knots, 2)
    knots[:8] = [[-1, -1], [-1, 0], [-1, 1], [0, -1], [0, 1], [1, -1], [1, 0], [1, 1]]
    known = rng.rand(n_knots) < 0.8
    known[:8] = True
    values[~known] = 0
    inner, plane = knots[known], np.column_stack([np.ones(known.sum()), knots[known]])
    system = np.block(
        [
            [kernel(inner, inner) + 8e-4 * np.eye(len(inner)), plane],
            [plane.T, np.zeros((3, 3))],
        ]
    )
    wanted = np.linalg.solve(system, np.vstack([values[known], np.zeros((3, 2))]))
    given = (torch.tensor(each, dtype=torch.float32)[None] for each in (knots, values))
    knots_given, values_given = given
    found = _spline_weights(knots_given, torch.tensor(known)[None], values_given)
    weights, affine = (each[0].double().numpy() for each in found)
    assert np.abs(weights[~known]).max(initial=0) < 1e-5
    at = rng.uniform(-1, 1, (200, 2))
    terms = np.column_stack([np.ones(200), at])
    np.testing.assert_allclose(
        kernel(at, knots[known]) @ weights[known] + terms @ affine,
        kernel(at, inner) @ wanted[:-3] + terms @ wanted[-3:],
        atol=0.02 * np.abs(values).max(),
    )
