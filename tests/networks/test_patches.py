import copy
from functools import partial

import pytest
import torch

from skwing._training import loop
from skwing._utils.random import drawing
from skwing.losses import wing
from skwing.networks import PatchCNN, check_networks, folded, landmark_axes, locate, patches_256
from skwing.networks._transfer import take_weights

SMALL = {"input_size": 64, "patch_size": 24, "width": 8, "n_blocks": 1, "n_hidden": 16}
STILL = {"dropout": 0.0, "landmark_dropout": 0.0}


def small(n_landmarks=3, **settings):
    torch.manual_seed(0)
    return PatchCNN(n_landmarks, **{**SMALL, **settings})


def spots(n, n_landmarks, generator, side=24):
    """Dark patches with a bright square each, and its offset from the centre of the patch."""
    patches = torch.zeros(n, n_landmarks, 3, side, side)
    corners = torch.randint(3, side - 6, (n, n_landmarks, 2), generator=generator)
    for i in range(n):
        for j, (x, y) in enumerate(corners[i].tolist()):
            patches[i, j, :, y : y + 3, x : x + 3] = 1
    return patches, corners + 1.0 - (side - 1) / 2


def trained(network, n_epochs=30):
    generator = torch.Generator().manual_seed(0)
    patches, offsets = spots(32, network.n_landmarks, generator)
    batches = iter(lambda: ((patches,), offsets, None), None)
    with drawing(0):
        loop.train(
            network,
            batches,
            partial(wing, w=10.0, epsilon=2.0),
            loop.make_optimizer("adamw", network.parameters(), 1e-2, 0.9, 0.0),
            loop.SCHEDULES["one_cycle"],
            n_epochs=n_epochs,
            n_steps=4,
        )
    return network


def test_every_landmark_is_first_in_the_middle_of_its_patch():
    network, patches = small(), torch.rand(2, 3, 3, 24, 24)
    assert torch.equal(network.eval()(patches), torch.zeros(2, 3, 2))
    assert locate(network.train(), patches).shape == (2, 3, 3, 2)


def test_it_learns_where_things_are_in_patches():
    network = trained(small(**STILL))
    patches, offsets = spots(16, 3, torch.Generator().manual_seed(1))
    off = (network(patches) - offsets).norm(dim=-1).mean()
    assert off < 0.3 * offsets.norm(dim=-1).mean()


def test_without_shared_moves_a_landmark_depends_on_its_own_patch_only():
    network = small(**STILL).eval()
    torch.nn.init.normal_(network.score)
    for layer in network.own_moves:
        torch.nn.init.normal_(layer.weight)
    patches = torch.rand(1, 3, 3, 24, 24)
    other = patches.clone()
    other[:, 1] = torch.rand(3, 24, 24)
    same = torch.isclose(network(patches), network(other)).all(-1)[0]
    assert same.tolist() == [True, False, True]
    for layer in network.moves:
        torch.nn.init.normal_(layer.weight)
    assert not torch.isclose(network(patches), network(other)).any()


def test_landmarks_may_differ_in_what_they_look_for():
    network = small(2).eval()
    torch.nn.init.normal_(network.score)
    patch = torch.rand(1, 1, 3, 24, 24).expand(1, 2, 3, 24, 24)
    first, second = network(patch)[0]
    assert not torch.isclose(first, second).any()


def test_folding_batch_norm_changes_nothing():
    network = trained(small(), n_epochs=1).eval()
    patches = torch.rand(2, 3, 3, 24, 24)
    torch.testing.assert_close(folded(network)(patches), network(patches), atol=1e-4, rtol=1e-4)


def test_bfloat16_does_not_round_coordinates():
    network = trained(small(**STILL), n_epochs=10).eval()
    patches, _ = spots(8, 3, torch.Generator().manual_seed(2))
    with torch.autocast("cpu", torch.bfloat16):
        found = network(patches)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, network(patches), atol=0.5, rtol=0)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_landmarks": 0}, "n_landmarks must be at least 1, got 0"),
        ({"patch_size": 30}, "patch_size must be a multiple of 4, got 30"),
        ({"patch_size": 0}, "patch_size must be a multiple of 4, got 0"),
    ],
)
def test_sizes_that_do_not_work_are_named(settings, message):
    with pytest.raises(ValueError, match=message):
        PatchCNN(**{"n_landmarks": 3, **settings})


def test_a_custom_network_of_patches_is_tried_on_patches():
    (build,) = check_networks([partial(small, **STILL)])
    assert build(5).n_landmarks == 5

    class Wrong(PatchCNN):
        def forward(self, patches):
            return super().forward(patches)[:, :1]

    (build,) = check_networks([partial(Wrong, **SMALL)])
    with pytest.raises(ValueError, match=r"returns an array of shape \(1, 1, 2\)"):
        build(5)


def test_the_attribute_patch_size_alone_means_nothing():
    """Vision transformers have an attribute of this name."""

    class Transformer(torch.nn.Module):
        input_size, patch_size = 16, 4

        def forward(self, images):
            return images.new_zeros(len(images), 10)

    (build,) = check_networks([lambda n: Transformer()])
    assert build(5).input_size == 16


def test_landmarks_keep_their_weights_among_others():
    network, other = small(3), small(2)
    for value in network.parameters():
        torch.nn.init.normal_(value)
    axes = landmark_axes(other, small, 2)
    torch.manual_seed(1)
    shapes = {key: value.shape for key, value in small(5).state_dict().items()}
    changed = {key for key, value in other.state_dict().items() if value.shape != shapes[key]}
    assert set(axes) == changed
    take_weights(other, network, [2, 0], torch.zeros(2, 2), axes)
    assert torch.equal(other.score, network.score[[2, 0]])
    for mine, given in zip(other.own_moves, network.own_moves, strict=True):
        assert torch.equal(mine.weight, given.weight[[2, 0]])
    columns = network.hidden[0].weight.unflatten(1, (3, -1))[:, [2, 0]].flatten(1)
    assert torch.equal(other.hidden[0].weight, columns)


def test_copies_are_independent():
    network = patches_256(4)
    twin = copy.deepcopy(network)
    torch.nn.init.ones_(twin.score)
    assert not network.score.any()
