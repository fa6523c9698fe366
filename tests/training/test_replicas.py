"""Steps in parts: the model of whole batches, and the same for any number of threads."""

import copy
import math
from functools import partial

import numpy as np
import pytest
import torch
from small import PLAIN, SHAPE_INDEXED
from torch import nn

from skwing import CascadeLandmarkRegressor
from skwing._training import loop, train_stage
from skwing._training.replicas import replicas
from skwing._utils.random import drawing, draws_state
from skwing.datasets import make_faces
from skwing.losses import LOSSES
from skwing.networks import NETWORKS

N_LANDMARKS, SIZE, N = 3, 16, 9
NETWORKS_IN_PARTS = {
    "plain": partial(PLAIN, N_LANDMARKS, batch_norm=True),
    "with dropout": partial(SHAPE_INDEXED, N_LANDMARKS),
}


def trained(build, n_parts, n_at_once=1, weighted=True, missing=True):
    """Losses of some steps, the network after them, and the generators."""
    torch.manual_seed(0)
    network = build().train()
    optimizer = loop.make_optimizer("sgd", network.parameters(), 0.1, 0.9, 1e-3)
    numbers, losses = torch.Generator().manual_seed(0), []
    with drawing(5), replicas(network, n_parts, n_at_once) as copies:
        step = loop.TrainingStep(network, LOSSES["wing"], optimizer, copies=copies)
        for _ in range(3):
            images = torch.rand(N, 3, SIZE, SIZE, generator=numbers)
            targets = SIZE * torch.rand(N, N_LANDMARKS, 2, generator=numbers)
            weights = torch.rand(N, generator=numbers) if weighted else None
            if missing:
                targets[:2] = targets[5, 0] = math.nan
            losses.append(step(targets, weights, images))
        return torch.stack(losses), network, draws_state()


@pytest.mark.parametrize("build", NETWORKS_IN_PARTS.values(), ids=list(NETWORKS_IN_PARTS))
@pytest.mark.parametrize("n_parts", [2, 3])
@pytest.mark.parametrize("given", [True, False])
def test_parts_give_the_gradients_of_the_whole_batch(build, n_parts, given):
    options = {"weighted": given, "missing": given}
    losses, network, draws = trained(build, n_parts, **options)
    wanted_losses, wanted, wanted_draws = trained(build, 1, **options)
    torch.testing.assert_close(losses, wanted_losses)
    torch.testing.assert_close(network.state_dict(), wanted.state_dict(), rtol=1e-4, atol=1e-5)
    assert draws.keys() == wanted_draws.keys()
    assert all(torch.equal(draws[name], wanted_draws[name]) for name in draws)


@pytest.mark.parametrize("build", NETWORKS_IN_PARTS.values(), ids=list(NETWORKS_IN_PARTS))
def test_the_number_of_threads_changes_no_bit(build):
    losses, network, _ = trained(build, 3, n_at_once=1)
    for n_at_once in (2, 3):
        again, other, _ = trained(build, 3, n_at_once)
        assert torch.equal(losses, again)
        for own, wanted in zip(
            other.state_dict().values(), network.state_dict().values(), strict=True
        ):
            assert torch.equal(own, wanted)


def test_copies_made_in_training_are_plain_networks():
    """A callback may copy the network, and use the copy outside of the steps."""
    network, images = PLAIN(N_LANDMARKS, batch_norm=True).train(), torch.rand(4, 3, SIZE, SIZE)
    wanted = network(images)
    with replicas(network, 2, 2):
        other = copy.deepcopy(network)
        torch.testing.assert_close(network(images), wanted)
        torch.testing.assert_close(other(images), wanted)
    torch.testing.assert_close(other(images), wanted)


def test_an_error_in_a_part_is_raised():
    def fails_for_the_last(residual):
        if (residual == 0).all():  # the targets of the last part are missing
            raise ArithmeticError("in a part")
        return residual.abs()

    network = PLAIN(N_LANDMARKS, batch_norm=True).train()
    optimizer = loop.make_optimizer("sgd", network.parameters(), 0.1, 0.9, 0.0)
    targets = torch.zeros(4, N_LANDMARKS, 2)
    targets[2:] = math.nan
    with replicas(network, 2, 2) as copies, pytest.raises(ArithmeticError, match="in a part"):
        step = loop.TrainingStep(network, fails_for_the_last, optimizer, copies=copies)
        step(targets, None, torch.rand(4, 3, SIZE, SIZE))


@pytest.fixture
def in_parts(monkeypatch):
    """Split the steps of the small networks; the numbers of parts of all trained stages."""
    monkeypatch.setattr(train_stage, "_LEAST_SIZE", SIZE)
    found, n_parts_of = [], train_stage.n_parts_of

    def noted(*args):
        found.append(n_parts_of(*args))
        return found[-1]

    monkeypatch.setattr(train_stage, "n_parts_of", noted)
    return found


def fitted(faces, **settings):
    settings = {"augmentation": None, "retry": False, "max_epochs": 1, **settings}
    return CascadeLandmarkRegressor(random_state=0, **settings).fit(*faces)


@pytest.fixture(scope="module")
def faces():
    return make_faces(20, image_size=32, random_state=0, return_X_y=True)


def test_a_fit_does_not_depend_on_the_number_of_threads(faces, in_parts):
    networks, models = (SHAPE_INDEXED, PLAIN), []
    for n in (1, 2):
        torch.set_num_threads(n)
        try:
            models.append(fitted(faces, networks=networks, augmentation="default"))
        finally:
            torch.set_num_threads(1)
    assert in_parts == [2] * 4
    first, second = models
    np.testing.assert_array_equal(first.predict(faces[0]), second.predict(faces[0]))
    assert [row["loss"] for row in first.history_] == [row["loss"] for row in second.history_]


class Own(nn.Module):
    """A layer of a user."""

    def forward(self, values):
        return values


def with_own(n_landmarks):
    network = PLAIN(n_landmarks)
    network.own = Own()
    return network


@pytest.mark.parametrize(
    "settings",
    [{"networks": (with_own,)}, {"loss": lambda residual: residual.abs()}, {"batch_size": 15}],
    ids=["network", "loss", "small batches"],
)
def test_custom_code_gets_whole_batches(faces, in_parts, settings):
    fitted(faces, **{"networks": (PLAIN,), **settings})
    assert in_parts == [1]


def test_networks_of_small_crops_get_whole_batches():
    sizes = [NETWORKS[name](5).input_size for name in ("cnn6", "shape_indexed_64_coarse")]
    assert max(sizes) < train_stage._LEAST_SIZE
