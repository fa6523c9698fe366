"""Networks that are computed in one pass, and first stages that are trained together."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from small import SHAPE_INDEXED, UNBENT

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing._training import together
from skwing._training.asymmetry import WithAsymmetry
from skwing._training.loop import autocast, batch_loss
from skwing._training.stacked import Stacked
from skwing._utils.random import drawing
from skwing.datasets import make_faces
from skwing.losses import bind_loss
from skwing.networks import PlainCNN, resnet50

N, L, B = 3, 5, 8
PLAIN = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
BUILDERS = {
    "plain": PLAIN,
    "batch normalisation": partial(PLAIN, batch_norm=True),
    "shape-indexed": SHAPE_INDEXED,
    "shape-indexed, plain": partial(SHAPE_INDEXED, batch_norm=False, dropout=0.5),
}


def some_networks(build):
    """Networks of different weights, in training mode, with an asymmetry."""
    networks = []
    for seed in range(N):
        generator = torch.Generator().manual_seed(seed)
        own = WithAsymmetry(build(L), torch.zeros(L, 2), torch.tensor([1, 0, 2, 3, 4]), 4.0)
        for parameter in own.parameters():
            parameter.data = 0.1 * torch.randn(parameter.shape, generator=generator)
        networks.append(own.train())
    return networks


def some_batch():
    generator = torch.Generator().manual_seed(7)
    images = torch.rand(B, 3, 16, 16, generator=generator)
    mirrored = torch.rand(B, generator=generator) < 0.5
    targets = 16 * torch.rand(B, L, 2, generator=generator)
    targets[1, 2] = torch.nan
    return (images, torch.eye(2).expand(B, 2, 2), mirrored), targets


@pytest.mark.parametrize("name", BUILDERS)
def test_a_pass_of_several_networks_is_that_of_each(name):
    networks, (inputs, targets) = some_networks(BUILDERS[name]), some_batch()
    alone = copy.deepcopy(networks)
    losses = [bind_loss("wing", w, 1.0) for w in (5.0, 8.0, 10.0)]
    stacked = Stacked(networks)
    for _ in range(2):  # statistics of two batches
        with drawing(3):
            points = stacked(*inputs)
        values = [batch_loss(p, targets, None, f) for p, f in zip(points, losses, strict=True)]
        stacked.clear_gradients()
        sum(values).backward()
        stacked.share_gradients()
        for network, one, found, loss in zip(alone, networks, points, losses, strict=True):
            with drawing(3):
                wanted = network(*inputs)
            torch.testing.assert_close(found, wanted)
            network.zero_grad()
            batch_loss(wanted, targets, None, loss).backward()
            for own, other in zip(one.parameters(), network.parameters(), strict=True):
                torch.testing.assert_close(own.grad, other.grad, rtol=1e-3, atol=1e-4)
            torch.testing.assert_close(one.state_dict(), network.state_dict())
    assert not any("forward" in vars(m) for n in networks for m in n.modules())


def test_stacked_networks_remain_networks():
    networks = some_networks(BUILDERS["batch normalisation"])
    before = copy.deepcopy([network.state_dict() for network in networks])
    stacked, (inputs, _) = Stacked(networks), some_batch()
    torch.testing.assert_close([network.state_dict() for network in networks], before)
    with torch.no_grad():
        stacked(*inputs)
        for parameter in networks[1].parameters():
            parameter.zero_()
        assert not torch.equal(before[0]["network.features.2.running_mean"], stacked_mean(networks))
        points = stacked(*inputs)
    assert (points[1] == 0).all()
    assert (points[[0, 2]] != 0).any(-1).all()


def stacked_mean(networks):
    return networks[0].network.features[2].running_mean


def test_the_part_without_gradients_has_none():
    networks = some_networks(PLAIN)
    for network in networks:
        network.flat.requires_grad_(False)
    stacked, (inputs, _) = Stacked(networks), some_batch()
    stacked(*inputs).sum().backward()
    stacked.share_gradients()
    assert [network.flat.grad for network in networks] == [None] * N


def regressor(**settings):
    defaults = {"networks": (PLAIN,), "max_epochs": 1, "batch_size": 4, "random_state": 0}
    return CascadeLandmarkRegressor(**{**UNBENT, "device": "cpu", **defaults, **settings})


@pytest.fixture(scope="module")
def faces():
    return make_faces(8, image_size=40, random_state=0)


def kind(faces, tmp_path, rows=slice(None), **settings):
    reg = regressor(**{"checkpoint": tmp_path, **settings})
    X, y = faces.data[rows], faces.target[rows]
    return together.kind_of(reg, reg._check(X, y, None, None, None, resumes=True))


EQUAL_BATCHES = [
    {"w": 5.0},
    {"epsilon": (1.0, 3.0)},
    {"loss": "l1"},
    {"learning_rate": 1e-3},
    {"weight_decay": 0.0},
    {"momentum": 0.5},
    {"optimizer": "sgd"},
    {"schedule": "cosine"},
]
OTHER_BATCHES = [
    {"batch_size": 3},
    {"max_epochs": 2},
    {"random_state": 1},
    {"networks": ("cnn6",)},
    {"networks": (PLAIN, PLAIN)},
    {"augmentation": Augmentation(rotation=3.0)},
    {"margin": 0.1},
    {"precision": "mixed"},
    {"schema": "ibug68"},
    {"rows": slice(1, None)},
]
ALONE = [
    {"random_state": None},
    {"random_state": np.random.RandomState(0)},
    {"early_stopping": True, "validation_fraction": 0.3},
    {"callbacks": [print]},
    {"checkpoint": None},
]


def test_fits_with_equal_batches_are_of_a_kind(faces, tmp_path):
    kinds = {kind(faces, tmp_path, **settings) for settings in ({}, *EQUAL_BATCHES)}
    assert len(kinds) == 1 and None not in kinds


def test_fits_with_other_batches_are_not(faces, tmp_path):
    kinds = [kind(faces, tmp_path, **settings) for settings in ({}, *OTHER_BATCHES)]
    assert None not in kinds
    assert len(set(kinds)) == len(kinds)


@pytest.mark.parametrize("settings", ALONE, ids=lambda settings: next(iter(settings)))
def test_other_fits_are_trained_alone(faces, tmp_path, settings):
    assert kind(faces, tmp_path, **settings) is None


def test_a_fit_that_goes_on_is_trained_alone(faces, tmp_path):
    first = regressor(checkpoint=tmp_path).fit(faces.data, faces.target)
    assert kind(faces, tmp_path) is None
    other = regressor(start=first, checkpoint=tmp_path)
    plan = other._check(faces.data, faces.target, None, None, None, resumes=True)
    assert together.kind_of(other, plan) is None


def test_networks_of_other_layers_are_not_trained_together(faces, tmp_path):
    class Own(PlainCNN):
        pass

    builders = [partial(Own, widths=(4, 8), input_size=16, n_hidden=8)] * 2
    plans = []
    for w in (5.0, 10.0):
        reg = regressor(networks=builders, w=w, checkpoint=tmp_path)
        plans.append(reg._check(faces.data, faces.target, None, None, None, resumes=True))
    assert not together.train_together(plans, reg._prepare)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_resnet_is_computed_in_one_pass_too():
    torch.manual_seed(0)
    network = resnet50(L).train()
    networks = [network, copy.deepcopy(network)]
    alone = copy.deepcopy(network)
    images = torch.rand(2, 3, 64, 64)
    found, wanted = Stacked(networks)(images), alone(images)
    torch.testing.assert_close(found[1], wanted)
    torch.testing.assert_close(networks[1].state_dict(), alone.state_dict(), rtol=1e-3, atol=1e-4)


@pytest.mark.gpu
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", BUILDERS)
def test_a_pass_on_a_gpu_is_that_of_each(name, mixed):
    networks = [network.cuda() for network in some_networks(BUILDERS[name])]
    for network in networks:
        network.permutation = network.permutation.cuda()
    inputs, targets = some_batch()
    inputs, targets = [each.cuda() for each in inputs], targets.cuda()
    alone, stacked = copy.deepcopy(networks), Stacked(networks)
    losses = [bind_loss("wing", w, 1.0) for w in (5.0, 8.0, 10.0)]
    with drawing(3), autocast("cuda", mixed):
        points = stacked(*inputs)
    values = [batch_loss(p.float(), targets, None, f) for p, f in zip(points, losses, strict=True)]
    sum(values).backward()
    stacked.share_gradients()
    for network, one, found, loss in zip(alone, networks, points, losses, strict=True):
        with drawing(3), autocast("cuda", mixed):  # other dropout would be other points
            wanted = network(*inputs)
        torch.testing.assert_close(found, wanted, rtol=0.02, atol=0.2)
        batch_loss(wanted.float(), targets, None, loss).backward()
        own, other = (torch.cat([p.grad.flatten() for p in n.parameters()]) for n in (one, network))
        assert (own - other).norm() < (0.5 if mixed else 0.1) * other.norm()
        torch.testing.assert_close(
            one.state_dict(), network.state_dict(), rtol=0.05, atol=0.05 if mixed else 0.01
        )


@pytest.mark.gpu
@pytest.mark.parametrize("networks", [(PLAIN,), (SHAPE_INDEXED,), ("cnn6",), "auto"])
def test_joint_steps_are_replayed_on_a_gpu(faces, tmp_path, monkeypatch, networks):
    steps = []

    class Seen(together.Replayed):
        def __init__(self, *args):
            super().__init__(*args)
            steps.append(self)

    monkeypatch.setattr(together, "Replayed", Seen)
    plans = []
    for w in (5.0, 10.0):
        settings = {"networks": networks, "max_epochs": 5, "checkpoint": tmp_path, "w": w}
        reg = regressor(**settings, device="cuda")
        plans.append(reg._check(faces.data, faces.target, None, None, None, resumes=True))
    assert together.train_together(plans, reg._prepare)
    assert [step.recorded for step in steps] == [True]
    assert len(list(tmp_path.iterdir())) == 2
