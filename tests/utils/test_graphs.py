"""Work that a CUDA device records and replays gives what it gives launched piece by piece."""

from functools import partial

import pytest
import torch
from torch import nn

from skwing._crops.bend import bend
from skwing._training import loop
from skwing._utils.graphs import Replayed, can_record
from skwing._utils.random import drawing, generator_on
from skwing.losses import wing
from skwing.networks import cnn6, resnet50, shape_indexed_64

N_LANDMARKS = 5


def batches(device):
    generator = torch.Generator().manual_seed(0)
    while True:
        images = torch.rand(8, 3, 64, 64, generator=generator)
        points = 20 + 24 * torch.rand(8, N_LANDMARKS, 2, generator=generator)
        points[0, 1] = torch.nan
        yield (images.to(device),), points.to(device), None


def trained(build, optimizer, recorded, device="cuda", n_epochs=2):
    """Weights and history after a short training."""
    with drawing(3):
        torch.manual_seed(0)
        network = build(N_LANDMARKS).to(device, memory_format=torch.channels_last)
        rows = loop.train(
            network,
            batches(device),
            wing,
            loop.make_optimizer(optimizer, network.parameters(), 1e-3, 0.9, 1e-3),
            loop.SCHEDULES["one_cycle"],
            n_epochs=n_epochs,
            n_steps=10,
            recorded=recorded,
        )
    return network, rows


def test_what_is_on_the_cpu_is_never_recorded():
    calls = []
    replayed = Replayed(lambda value, nothing: calls.append(nothing) or value + 1)
    for i in range(6):
        assert replayed(torch.tensor([float(i)]), None).item() == i + 1
    assert len(calls) == 6
    assert not replayed.recorded


def test_code_of_others_is_not_recorded():
    class Own(nn.Module):
        def forward(self, images):
            return images

    for build in (cnn6, resnet50, shape_indexed_64):
        assert can_record(build(N_LANDMARKS))
    assert can_record(nn.Sequential(nn.Flatten(), nn.Linear(12, 2)))
    assert not can_record(nn.Sequential(Own(), nn.Linear(12, 2)))
    hooked = cnn6(N_LANDMARKS)
    hooked.hidden.register_forward_hook(lambda *_: None)
    assert not can_record(hooked)


@pytest.mark.gpu
@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize(
    "build", [cnn6, partial(cnn6, batch_norm=True), shape_indexed_64], ids=["cnn6", "bn", "shape"]
)
def test_recorded_steps_train_as_others_do(build, optimizer, monkeypatch):
    made = []

    class Kept(Replayed):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            made.append(self)

    monkeypatch.setattr(loop, "Replayed", Kept)
    build = partial(
        build, **({"dropout": 0.0, "landmark_dropout": 0.0} if build is shape_indexed_64 else {})
    )
    plain, rows = trained(build, optimizer, recorded=False)
    replayed, again = trained(build, optimizer, recorded=True)
    assert [step.recorded for step in made] == [True]
    for one, two in zip(rows, again, strict=True):
        assert two["learning_rate"] == pytest.approx(one["learning_rate"], rel=1e-5)
        assert two["loss"] == pytest.approx(one["loss"], rel=0.02)
    for one, two in zip(plain.parameters(), replayed.parameters(), strict=True):
        torch.testing.assert_close(one, two, atol=5e-3, rtol=0.05)


@pytest.mark.gpu
def test_each_replay_draws_numbers_of_its_own():
    with drawing(0):
        generator = generator_on("cuda")
        drawn = Replayed(
            lambda like: torch.empty_like(like).uniform_(generator=generator), generator
        )
        values = [drawn(torch.zeros(4, device="cuda")).clone() for _ in range(8)]
    assert drawn.recorded
    assert len(torch.stack(values).unique(dim=0)) == 8
    with drawing(0):
        generator = generator_on("cuda")
        plain = [torch.empty(4, device="cuda").uniform_(generator=generator) for _ in range(8)]
    torch.testing.assert_close(torch.stack(values), torch.stack(plain))


@pytest.mark.gpu
def test_what_can_not_be_recorded_runs_as_it_is():
    asks = Replayed(lambda value: value * value.max().item())
    values = torch.tensor([1.0, 2.0], device="cuda")
    for _ in range(6):
        assert asks(values).tolist() == [2.0, 4.0]
    assert not asks.recorded


@pytest.mark.gpu
def test_recorded_bending_is_the_same_as_any():
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(6, 16, 9, 2, generator=generator)
    shapes = 64 * torch.rand(1, 9, 2, generator=generator) + 2 * noise
    recorded = Replayed(partial(bend, size=64))
    for points in shapes:
        drawn = points, torch.arange(16), torch.rand(16, generator=generator)
        found, wanted = recorded(*(each.cuda() for each in drawn)), bend(*drawn, size=64)
        torch.testing.assert_close(found[0].cpu(), wanted[0], atol=0.05, rtol=0)
        torch.testing.assert_close(found[1].cpu(), wanted[1], atol=0.05, rtol=0)
    assert recorded.recorded


@pytest.mark.gpu
def test_a_fresh_answer_is_not_written_again():
    doubled = Replayed(lambda value: (2 * value, None))
    answers = [doubled.fresh(torch.tensor([float(i)], device="cuda"))[0] for i in range(8)]
    assert doubled.recorded
    assert torch.cat(answers).tolist() == [2.0 * i for i in range(8)]
