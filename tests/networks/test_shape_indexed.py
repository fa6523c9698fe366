import math
from functools import partial

import pytest
import torch

from skwing._crops.warp import read_at
from skwing._training import loop
from skwing._utils.random import drawing
from skwing.losses import wing
from skwing.networks import ShapeIndexedCNN, cnn6, locate, shape_indexed_64, start_at
from skwing.networks._dropout import dropout
from skwing.networks._refinement import off_middle

SMALL = {
    "input_size": 16,
    "width": 8,
    "n_hidden": 32,
    "n_features": 4,
    "dropout": 0.0,
    "landmark_dropout": 0.0,
}


def small(n_landmarks=3, **settings):
    torch.manual_seed(0)
    return ShapeIndexedCNN(n_landmarks, **{**SMALL, **settings})


def spots(n, generator, side=16, within=(4, 10)):
    """Dark images with one bright square each, and its centre as the only landmark."""
    images, points = torch.zeros(n, 3, side, side), torch.empty(n, 1, 2)
    for i in range(n):
        x, y = (int(k) for k in torch.randint(*within, (2,), generator=generator))
        images[i, :, y : y + 3, x : x + 3] = 1
        points[i, 0] = torch.tensor([x + 1.0, y + 1.0])
    return images, points


@pytest.mark.parametrize("stride", [2, 4])
def test_reading_a_map_meets_the_centres_of_its_cells(stride):
    maps = torch.arange(12.0).reshape(1, 1, 3, 4)
    rows, columns = torch.meshgrid(torch.arange(3), torch.arange(4), indexing="ij")
    cells = torch.stack([columns, rows], -1).reshape(1, -1, 2)
    centres = cells * stride + (stride - 1) / 2
    torch.testing.assert_close(read_at(maps, centres, stride)[0, 0], maps.flatten())


def test_reading_is_linear_between_cells_and_constant_beyond_the_border():
    maps = torch.tensor([[[[0.0, 4.0], [8.0, 12.0]]]])
    points = torch.tensor([[[0.25, 0.0], [0.0, 0.25], [0.5, 0.5], [-7.0, 0.0], [9.0, 9.0]]])
    read = read_at(maps, points, 1)[0, 0]
    torch.testing.assert_close(read, torch.tensor([1.0, 2.0, 6.0, 0.0, 12.0]))


def test_reading_has_the_slope_of_the_map_as_its_gradient():
    maps = (3.0 * torch.arange(8.0)).expand(1, 1, 8, 8)
    points = torch.tensor([[[3.2, 4.4]]], requires_grad=True)
    read_at(maps, points, 1).sum().backward()
    torch.testing.assert_close(points.grad, torch.tensor([[[3.0, 0.0]]]))


def test_it_starts_at_the_points_it_is_given_in_every_step():
    network, points = small(), torch.tensor([[1.0, 2.0], [3.0, 4.0], [15.0, 0.0]])
    assert start_at(network, points)
    answer = network(torch.rand(2, 3, 16, 16))
    assert answer.shape == (2, 4, 3, 2)
    assert torch.equal(answer, points.expand(2, 4, 3, 2))


def test_prediction_is_the_last_step():
    network = small()
    for parameter in network.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    images = torch.rand(2, 3, 16, 16)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eval()  # so that both modes see the same maps
    steps = network(images)
    torch.testing.assert_close(locate(network.eval(), images), steps[:, -1])
    assert not torch.equal(steps[:, 0], steps[:, -1])


def test_every_estimate_is_taught_alike_and_missing_points_are_left_out():
    points = torch.tensor([[[[1.0, 2.0]], [[3.0, 5.0]]], [[[7.0, 7.0]], [[8.0, 9.0]]]])
    targets = torch.tensor([[[1.0, 1.0]], [[math.nan, 7.0]]])
    value = loop.batch_loss(points, targets, None, torch.abs)
    torch.testing.assert_close(value, torch.tensor((0 + 1 + 2 + 4) / 4))
    targets[1, 0, 0] = 8.0
    weighted = loop.batch_loss(points, targets, torch.tensor([0.0, 2.0]), torch.abs)
    torch.testing.assert_close(weighted, torch.tensor((1 + 0 + 0 + 2) / 4))


@pytest.mark.slow
def test_it_learns_to_find_a_spot_that_moves():
    assert error_after_training(small(1, stride=2)) < 0.2


@pytest.mark.slow
def test_it_finds_what_is_too_far_to_be_read_and_where_no_image_showed_it():
    """A spot of 3 pixels anywhere in 64: around the start most images look alike.

    48 images are few: a layer over the flattened map alone stops at 0.06 to 0.1.
    """
    few = {"side": 64, "within": (2, 59), "n_images": 48}
    assert error_after_training(small(1, input_size=64, n_overview=64), **few) < 0.03


def error_after_training(network, side=16, n_images=None, **where):
    """Mean error as a fraction of how far the spots lie from the start, the middle."""
    generator, middle = torch.Generator().manual_seed(0), (side - 1) / 2
    start_at(network, [[middle, middle]])
    optimizer = torch.optim.AdamW(network.parameters(), lr=3e-3)
    pool = None if n_images is None else spots(n_images, generator, side, **where)
    for _ in range(150):
        if pool is None:
            images, points = spots(32, generator, side, **where)
        else:
            chosen = torch.randint(n_images, (32,), generator=generator)
            images, points = (part[chosen] for part in pool)
        optimizer.zero_grad()
        loop.batch_loss(locate(network, images), points, None, wing).backward()
        optimizer.step()
    images, points = spots(64, generator, side, **where)
    with torch.no_grad():
        error = (locate(network.eval(), images) - points).norm(dim=-1).mean()
    return error / (points - middle).norm(dim=-1).mean()


def test_the_shape_starts_where_scores_are_high_and_in_the_middle_without_any():
    torch.testing.assert_close(off_middle(torch.zeros(1, 9, 9)), torch.zeros(1, 2))
    scores = torch.full((2, 9, 9), -50.0)
    scores[0, 2, 7] = 50.0  # row, column
    scores[1, 0, 3] = scores[1, 0, 5] = 50.0
    expected = torch.tensor([[7.0 - 4, 2 - 4], [4 - 4, 0 - 4]])
    torch.testing.assert_close(off_middle(scores), expected)
    torch.testing.assert_close(
        off_middle(scores.roll((1, -2), (1, 2)))[0], expected[0] + torch.tensor([-2.0, 1])
    )


@pytest.mark.slow
def test_bfloat16_moves_coordinates_by_little():
    network = small(68, input_size=64).eval()
    start_at(network, 64 * torch.rand(68, 2))
    for layer in (network.score, *network.moves):
        torch.nn.init.normal_(layer.weight, std=1.0)
    images = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        exact = network(images)
        with torch.autocast("cpu", torch.bfloat16):
            rounded = network(images)
    assert (exact - network.start).abs().max() > 1
    assert rounded.dtype == torch.float32
    assert (rounded - exact).abs().max() < 0.02 * (exact - network.start).abs().max()


def test_each_landmark_reads_only_at_and_around_itself():
    network = small().eval()
    maps = torch.rand(1, 4, 4, 4)
    points = torch.tensor([[[3.0, 4.0], [8.0, 8.0], [12.0, 5.0]]])
    read = network._read(maps, points)
    assert read.shape == (3, 1, 4 * 5)
    moved = points.clone()
    moved[0, 1] += 3.0
    same = (network._read(maps, moved) == read).all(-1)[:, 0]
    assert same.tolist() == [True, False, True]
    own = read_at(maps, points, network.stride)[0].T
    torch.testing.assert_close(read[:, 0].reshape(3, 4, 5)[..., 0], own)


def test_each_landmark_moves_by_its_own_numbers_besides():
    network = small(n_steps=1).eval()
    start_at(network, [[4.0, 5.0], [8.0, 8.0], [11.0, 6.0]])
    with torch.no_grad():
        network.own_moves[0].weight[1] = 1.0
    moved = (network(torch.rand(2, 3, 16, 16)) - network.start).abs().amax((0, 2)) > 0
    assert moved.tolist() == [False, True, False]


def test_landmark_dropout_hides_whole_landmarks():
    network = small(64, landmark_dropout=0.5)
    seen = []
    network.hidden[0].register_forward_hook(lambda _, inputs, __: seen.append(inputs[0]))
    network(torch.rand(2, 3, 16, 16))
    condensed = seen[0].reshape(2, 64, -1)
    hidden = (condensed == 0).all(-1).float().mean()
    assert 0.3 < hidden < 0.7
    network.eval()(torch.rand(2, 3, 16, 16))
    assert (seen[-1].reshape(2, 64, -1) == 0).all(-1).float().mean() < 0.1


@pytest.mark.parametrize("batch_norm", [False, True])
def test_batch_norm_is_there_or_not_and_blocks_start_as_the_identity(batch_norm):
    network = shape_indexed_64(5, batch_norm=batch_norm)
    kinds = {type(module).__name__ for module in network.modules()}
    assert ("BatchNorm2d" in kinds) == batch_norm
    convolutions = [m for m in network.modules() if isinstance(m, torch.nn.Conv2d)]
    normalised = [m for m in convolutions if m.kernel_size != (1, 1)]
    assert all((m.bias is None) == batch_norm for m in normalised)
    maps = torch.rand(2, 48, 8, 8)
    blocks = [m for m in network.features if type(m).__name__ == "Residual"]
    assert len(blocks) == 2
    for block in blocks:
        torch.testing.assert_close(block(maps), maps)


@pytest.mark.parametrize("wrong", [{"stride": 3}, {"input_size": 18}, {"n_landmarks": 0}])
def test_settings_that_do_not_fit_are_refused(wrong):
    with pytest.raises(ValueError, match=r"input_size|n_landmarks"):
        small(**wrong)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.5, 0.9, 1.0])
def test_dropout_leaves_out_that_share_and_keeps_the_mean(p):
    values = torch.ones(100, 10, 33)
    with drawing(0):
        dropped = dropout(values, p, training=True)
    assert abs((dropped == 0).double().mean() - p) < 0.01
    kept = dropped[dropped != 0]
    assert p == 1 or (kept - 1 / (1 - p)).abs().max() < 0.01
    # Neighbours come from one draw, and are independent nonetheless.
    pairs = (dropped[..., 1:] == 0) & (dropped[..., :-1] == 0)
    assert abs(pairs.double().mean() - p**2) < 0.015
    assert torch.equal(dropout(values, p, training=False), values)


def test_features_are_taken_from_a_network_with_the_same_stride():
    before, after = small(n_steps=3), small(n_steps=2, input_size=32)
    with torch.no_grad():
        for tensor in before.state_dict().values():
            tensor.add_(1)
    own = {key: value.clone() for key, value in after.state_dict().items()}
    after.take_features(before)
    given = before.state_dict()
    for key, value in after.state_dict().items():
        shared = key.split(".")[0] in ("features", "readable", "condense")
        torch.testing.assert_close(value, given[key] if shared else own[key], rtol=0, atol=0)
    assert "features.1.running_mean" in own and "condense.1.weight" in own


@pytest.mark.parametrize("build", [partial(small, stride=2), cnn6])
def test_no_features_are_taken_from_other_networks(build):
    after = small()
    own = {key: value.clone() for key, value in after.state_dict().items()}
    before = build(3)
    with torch.no_grad():
        for tensor in before.state_dict().values():
            tensor.add_(1)
    after.take_features(before)
    for key, value in after.state_dict().items():
        assert torch.equal(value, own[key]), key
