"""Joint training steps of several networks, and first stages that are trained together."""

import copy
from functools import partial

import numpy as np
import pytest
import torch
from small import SHAPE_INDEXED, UNBENT

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing._training import together
from skwing._training.asymmetry import WithAsymmetry
from skwing._training.joint import JointStep
from skwing._training.loop import TrainingStep, make_optimizer
from skwing._utils.graphs import Replayed
from skwing._utils.random import alike, drawing, drawing_from, generator_on
from skwing.datasets import make_faces
from skwing.losses import bind_loss
from skwing.networks import PlainCNN

N, L, B = 3, 5, 8
PLAIN = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)


class InPlace(PlainCNN):
    def forward(self, images):
        return super().forward(images.sub_(0.5).relu_())


BUILDERS = {
    "plain": PLAIN,
    "batch normalisation": partial(PLAIN, batch_norm=True),
    "shape-indexed": SHAPE_INDEXED,
    "shape-indexed, plain": partial(SHAPE_INDEXED, batch_norm=False, dropout=0.5),
    "input changed in place": partial(InPlace, widths=(4, 8), input_size=16, n_hidden=8),
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


def some_steps(networks, device="cpu", mixed=False):
    """A joint step of networks with different losses."""
    losses = [bind_loss("wing", w, 1.0) for w in (5.0, 8.0, 10.0)]
    optimizers = [make_optimizer("adamw", n.parameters(), 1e-2, 0.9, 0.1) for n in networks]
    with drawing(3):
        step = JointStep(networks, losses, optimizers, torch.device(device), mixed)
    return step, losses


def check_joint_steps(networks, device="cpu", mixed=False, **close):
    """Compare joint steps with steps of each network alone."""
    (inputs, targets), alone = some_batch(), copy.deepcopy(networks)
    inputs, targets = [each.to(device) for each in inputs], targets.to(device)
    step, losses = some_steps(networks, device, mixed)
    joint = Replayed(step, *step.generators)
    found = [joint(targets, None, *inputs).tolist() for _ in range(6)]
    for i, (network, loss) in enumerate(zip(alone, losses, strict=True)):
        optimizer = make_optimizer("adamw", network.parameters(), 1e-2, 0.9, 0.1)
        own = TrainingStep(network, loss, optimizer, mixed)
        with drawing(3):
            wanted = [own(targets, None, *inputs).item() for _ in range(6)]
        np.testing.assert_allclose([row[i] for row in found], wanted, **close)
        torch.testing.assert_close(networks[i].state_dict(), network.state_dict(), **close)
    return joint


@pytest.mark.parametrize("name", BUILDERS)
def test_joint_steps_are_those_of_each(name):
    check_joint_steps(some_networks(BUILDERS[name]), rtol=0, atol=0)


def test_the_generators_of_joint_steps_continue_the_present_ones():
    with drawing(5):
        generator_on("cpu").manual_seed(7)
        torch.rand(3, generator=generator_on("cpu"))
        copies = alike(2)
        wanted = torch.rand(4, generator=generator_on("cpu"))
    for copied in copies:
        with drawing_from(copied):
            assert torch.equal(torch.rand(4, generator=generator_on("cpu")), wanted)


def test_the_part_without_gradients_is_not_trained():
    networks = some_networks(PLAIN)
    for network in networks:
        network.flat.requires_grad_(False)
    kept = [network.flat.clone() for network in networks]
    inputs, targets = some_batch()
    step, _ = some_steps(networks)
    step(targets, None, *inputs)
    assert all(torch.equal(n.flat, flat) for n, flat in zip(networks, kept, strict=True))


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


def test_networks_of_other_layers_are_trained_together_too(faces, tmp_path):
    class Own(PlainCNN):
        pass

    builder = partial(Own, widths=(4, 8), input_size=16, n_hidden=8)
    plans, alone = [], []
    for w in (5.0, 10.0):
        reg = regressor(networks=(builder,), w=w)
        alone.append(reg.fit(faces.data, faces.target).predict(faces.data))
        reg = regressor(networks=(builder,), w=w, checkpoint=tmp_path)
        plans.append(reg._check(faces.data, faces.target, None, None, None, resumes=True))
    together.train_together(plans, reg._prepare)
    for w, wanted in zip((5.0, 10.0), alone, strict=True):
        reg = regressor(networks=(builder,), w=w, checkpoint=tmp_path)
        reg.fit(faces.data, faces.target)
        np.testing.assert_array_equal(reg.predict(faces.data), wanted)


@pytest.mark.gpu
@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("name", BUILDERS)
def test_joint_steps_on_a_gpu_are_those_of_each(name, mixed):
    networks = [network.cuda() for network in some_networks(BUILDERS[name])]
    for network in networks:
        network.permutation = network.permutation.cuda()
    joint = check_joint_steps(networks, "cuda", mixed, rtol=0.05, atol=0.05 if mixed else 0.01)
    assert joint.recorded


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
    together.train_together(plans, reg._prepare)
    assert [step.recorded for step in steps] == [True]
    assert len(list(tmp_path.iterdir())) == 2
