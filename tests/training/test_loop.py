import math

import numpy as np
import pytest
import torch

from skwing._training import loop
from skwing._training.weights import Diverged
from skwing.losses import LOSSES, l2, wing
from skwing.networks import cnn6

N_LANDMARKS, SIZE = 3, 8
CONSTANT = loop.SCHEDULES["constant"]


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def some_points(n=4, seed=0):
    return SIZE * torch.rand(n, N_LANDMARKS, 2, generator=seeded(seed))


@pytest.mark.parametrize("name", LOSSES)
def test_all_known_and_no_weights_is_the_plain_mean(name):
    points, targets, loss = some_points(), some_points(seed=1), LOSSES[name]
    value = loop.batch_loss(points, targets, None, loss)
    torch.testing.assert_close(value, loss(points - targets).mean())
    torch.testing.assert_close(value, loop.average_loss(loss(points - targets)))


@pytest.mark.parametrize("name", LOSSES)
def test_missing_targets_are_left_out_of_loss_and_gradient(name):
    points, targets, loss = some_points().requires_grad_(), some_points(seed=1), LOSSES[name]
    targets[1] = math.nan  # a sample without any
    targets[2, 0] = math.nan
    known = ~torch.isnan(targets)
    value = loop.batch_loss(points, targets, None, loss)
    torch.testing.assert_close(value, loss((points - targets)[known]).mean())
    value.backward()
    assert torch.isfinite(points.grad).all()
    assert (points.grad[~known] == 0).all()
    assert (points.grad[known] != 0).any()


def test_a_loss_without_a_slope_at_zero_poisons_nothing():
    def root(residual):
        return residual.abs().sqrt()

    points, targets = some_points().requires_grad_(), some_points(seed=1)
    targets[0, 0] = math.nan
    loop.batch_loss(points, targets, None, root).backward()
    assert torch.isfinite(points.grad).all()


def test_a_target_that_lacks_one_coordinate_is_missing():
    points, targets = some_points(), some_points(seed=1)
    half = targets.clone()
    half[0, 1, 1] = math.nan
    targets[0, 1] = math.nan
    wanted = loop.batch_loss(points, targets, None, l2)
    assert loop.batch_loss(points, half, None, l2) == wanted


def test_patience_waits_for_the_rate_to_come_down():
    """What is best at a high rate says little: epochs count from a tenth of it on."""
    errors = iter([0.1, *[1.0] * 99])
    options = {"validate": lambda: next(errors), "patience": 3, "n_steps": 1}
    schedule = loop.SCHEDULES["one_cycle"]
    _, rows = train(n_epochs=50, schedule=schedule, **options)
    low = next(epoch for epoch in range(1, 51) if epoch > 5 and schedule(epoch / 50) <= 0.1)
    assert 35 < low < 50
    assert len(rows) == low + 3
    errors = iter([0.1, *[1.0] * 99])
    _, rows = train(n_epochs=50, schedule=CONSTANT, **options)
    assert len(rows) == 4


def test_the_best_weights_are_of_the_epochs_in_which_the_rate_is_low():
    states, network = [], Toy()
    errors = iter([*[0.1] * 14, 1.0, 1.0, 1.0, 1.0, 0.5, 0.9])

    def validate():
        states.append(network.layers[-1].weight.clone())
        return next(errors)

    _, rows = train(network, validate=validate, patience=9, n_epochs=20, n_steps=2)
    assert len(rows) == 20
    assert torch.equal(network.layers[-1].weight, states[18])


@pytest.mark.parametrize("weights", [None, torch.ones(4)])
def test_a_batch_of_nothing_known_has_loss_and_gradient_zero(weights):
    points = some_points().requires_grad_()
    value = loop.batch_loss(points, torch.full_like(points, math.nan), weights, wing)
    value.backward()
    assert value == 0
    assert (points.grad == 0).all()


def test_weights_are_repetitions():
    points, targets = some_points(), some_points(seed=1)
    targets[3, 1] = math.nan
    weights = torch.tensor([2, 0, 1, 3])
    value = loop.batch_loss(points, targets, weights, wing)
    rows = torch.repeat_interleave(torch.arange(4), weights)
    expected = loop.batch_loss(points[rows], targets[rows], None, wing)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(loop.batch_loss(points, targets, 7.5 * weights, wing), value)


def test_a_batch_without_weight_has_no_gradient():
    points = some_points().requires_grad_()
    loop.batch_loss(points, some_points(seed=1), torch.zeros(4), wing).backward()
    assert (points.grad == 0).all()


def test_points_of_bfloat16_cost_as_their_numbers():
    points = some_points().bfloat16()
    value = loop.batch_loss(points.float(), some_points(seed=1), None, wing)
    assert value.dtype == torch.float32


@pytest.mark.parametrize("name", loop.OPTIMIZERS)
def test_weights_decay_and_biases_do_not(name):
    network = cnn6(N_LANDMARKS, batch_norm=True)
    optimizer = loop.make_optimizer(name, network.parameters(), 0.1, 0.9, 0.05)
    decays = {
        id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]
    }
    names = dict(network.named_parameters())
    assert len(decays) == len(names)
    for key, parameter in names.items():
        is_weight = key.endswith("weight") and parameter.ndim > 1
        assert decays[id(parameter)] == (0.05 if is_weight else 0.0), key
    assert {group["lr"] for group in optimizer.param_groups} == {0.1}


@pytest.mark.parametrize("name", loop.OPTIMIZERS)
def test_decay_shrinks_weights_that_the_loss_does_not_hold(name):
    layer = torch.nn.Linear(3, 3)
    with torch.no_grad():
        layer.weight.fill_(1.0)
        layer.bias.fill_(1.0)
    optimizer = loop.make_optimizer(name, layer.parameters(), 0.1, 0.0, 0.5)
    for parameter in layer.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(layer.weight.detach(), torch.full((3, 3), 1 - 0.1 * 0.5))
    assert (layer.bias == 1).all()


def test_momentum_reaches_both_optimisers():
    layer = torch.nn.Linear(2, 2)
    sgd = loop.make_optimizer("sgd", layer.parameters(), 0.1, 0.8, 0.0)
    adamw = loop.make_optimizer("adamw", layer.parameters(), 0.1, 0.8, 0.0)
    assert {group["momentum"] for group in sgd.param_groups} == {0.8}
    assert {group["betas"] for group in adamw.param_groups} == {(0.8, 0.999)}


@pytest.mark.parametrize(
    ("name", "start", "end"),
    [
        ("one_cycle", 0.04, 1e-3),
        ("cosine", 1.0, 1e-3),
        ("exponential", 1.0, 1e-2),
        ("constant", 1.0, 1.0),
    ],
)
def test_schedules_reach_their_ends(name, start, end):
    schedule = loop.SCHEDULES[name]
    assert schedule(0.0) == pytest.approx(start)
    assert schedule(1.0) == pytest.approx(end)
    factors = np.array([schedule(progress) for progress in np.linspace(0, 1, 501)])
    assert factors.max() == pytest.approx(1.0)
    assert (factors > 0).all()
    peak = factors.argmax()
    assert (np.diff(factors[: peak + 1]) >= 0).all()
    assert (np.diff(factors[peak:]) <= 0).all()
    assert abs(np.diff(factors)).max() < 0.05  # without jumps


class Toy(torch.nn.Module):
    """Points that are a linear function of the image."""

    def __init__(self, batch_norm=False):
        super().__init__()
        n = 3 * SIZE * SIZE
        norm = [torch.nn.BatchNorm2d(3)] if batch_norm else []
        self.layers = torch.nn.Sequential(
            *norm, torch.nn.Flatten(), torch.nn.Linear(n, 2 * N_LANDMARKS)
        )
        with torch.no_grad():
            self.layers[-1].weight.zero_()
            self.layers[-1].bias.zero_()

    def forward(self, images):
        return self.layers(images).reshape(len(images), N_LANDMARKS, 2)


def toy_batches(batch_size=16, device="cpu", weights=False):
    """Endless batches of images whose brightness says where the points are."""
    generator = seeded(5)
    while True:
        level = torch.rand(batch_size, 1, 1, 1, generator=generator)
        images = level.expand(-1, 3, SIZE, SIZE).clone().to(device)
        targets = (SIZE * level[:, :, :1, 0] * torch.tensor([1.0, 0.5])).expand(-1, N_LANDMARKS, 2)
        weight = torch.ones(batch_size, device=device) if weights else None
        yield (images,), targets.to(device), weight


def train(network=None, batches=None, loss=wing, optimizer="adamw", learning_rate=0.01, **options):
    network = Toy() if network is None else network
    options = {"n_epochs": 4, "n_steps": 10, **options}
    rows = loop.train(
        network,
        toy_batches() if batches is None else batches,
        loss,
        loop.make_optimizer(optimizer, network.parameters(), learning_rate, 0.9, 0.01),
        options.pop("schedule", loop.SCHEDULES["one_cycle"]),
        **options,
    )
    return network, rows


@pytest.mark.parametrize(("optimizer", "learning_rate"), [("adamw", 0.01), ("sgd", 0.003)])
def test_training_lowers_the_loss(optimizer, learning_rate):
    network, rows = train(optimizer=optimizer, learning_rate=learning_rate)
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]
    assert all(row["n_samples"] == 160 and row["seconds"] > 0 for row in rows)
    assert "validation_error" not in rows[0]
    assert not network.training
    inputs, targets, _ = next(toy_batches())
    with torch.no_grad():
        assert (network(*inputs) - targets).abs().mean() < 0.5


def test_the_schedule_runs_over_all_steps():
    _, rows = train(learning_rate=0.01, schedule=lambda progress: 1 - progress)
    rates = [row["learning_rate"] for row in rows]
    np.testing.assert_allclose(rates, [0.0075, 0.005, 0.0025, 0], atol=1e-9)


def test_the_first_step_takes_the_start_of_the_schedule():
    network, rows = train(
        n_epochs=1, n_steps=1, optimizer="sgd", schedule=lambda progress: float(progress > 0)
    )
    assert all((parameter == 0).all() for parameter in network.parameters())
    assert rows[0]["loss"] > 0


def test_the_mean_loss_of_an_epoch_is_told():
    batches, seen = toy_batches(), []

    def watched():
        for inputs, targets, weights in batches:
            seen.append(wing(-targets).mean())
            yield inputs, targets, weights

    _, rows = train(batches=watched(), schedule=lambda _: 0.0, n_epochs=2, n_steps=5)
    assert rows[0]["loss"] == pytest.approx(float(torch.stack(seen[:5]).mean()))
    assert rows[1]["loss"] == pytest.approx(float(torch.stack(seen[5:10]).mean()))
    assert len(seen) == 10


def test_early_stopping_restores_the_best_weights():
    errors, states = iter([3.0, 1.0, 2.0, 1.0, 1.5, 0.1]), []
    network = Toy()

    def validate():
        assert not network.training
        states.append({key: value.clone() for key, value in network.state_dict().items()})
        return next(errors)

    _, rows = train(network, validate=validate, patience=3, n_epochs=9, schedule=CONSTANT)
    # Equal is not better: epochs 3, 4 and 5 wait in vain, and the 0.1 is never seen.
    assert [row["validation_error"] for row in rows] == [3.0, 1.0, 2.0, 1.0, 1.5]
    for key, value in network.state_dict().items():
        assert torch.equal(value, states[1][key])
        assert not torch.equal(value, states[4][key])


def test_patience_keeps_the_best_weights_of_a_full_run_as_well():
    errors, states = iter([1.0, 0.5, 0.9]), []
    network = Toy()

    def validate():
        states.append(network.layers[-1].weight.clone())
        return next(errors)

    _, rows = train(network, validate=validate, patience=5, n_epochs=3, schedule=CONSTANT)
    assert len(rows) == 3
    assert torch.equal(network.layers[-1].weight, states[1])


def test_without_patience_validation_only_watches():
    errors, states = iter([1.0, 2.0, 3.0, 4.0]), []
    network = Toy()

    def validate():
        states.append(network.layers[-1].weight.clone())
        return next(errors)

    _, rows = train(network, validate=validate)
    assert [row["validation_error"] for row in rows] == [1.0, 2.0, 3.0, 4.0]
    assert torch.equal(network.layers[-1].weight, states[-1])


def test_an_error_that_is_not_a_number_is_never_the_best():
    errors = iter([math.nan, 1.0, math.nan, math.nan])
    _, rows = train(validate=lambda: next(errors), patience=2, schedule=CONSTANT)
    assert len(rows) == 4
    network, rows = train(validate=lambda: math.nan, patience=2, schedule=CONSTANT)
    assert len(rows) == 2
    assert all(torch.isfinite(parameter).all() for parameter in network.parameters())


def test_a_loss_that_diverges_is_an_error():
    with pytest.raises(Diverged, match=r"the loss is (nan|inf)"):
        train(loss=l2, optimizer="sgd", learning_rate=1e4, schedule=loop.SCHEDULES["constant"])


def test_a_report_can_stop_the_training():
    told = []

    def report(row):
        told.append(row)
        return row["epoch"] == 2

    _, rows = train(on_epoch=report)
    assert told == rows
    assert len(rows) == 2
    _, rows = train(on_epoch=lambda row: None)
    assert len(rows) == 4


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [1, 2])
def test_tiny_batches_go_through_batch_normalisation(batch_size):
    network, rows = train(Toy(batch_norm=True), toy_batches(batch_size), n_epochs=2)
    assert math.isfinite(rows[-1]["loss"])
    network, rows = train(
        cnn6(N_LANDMARKS, batch_norm=True), cnn6_batches(batch_size), n_epochs=1, n_steps=2
    )
    assert all(torch.isfinite(value).all() for value in network.state_dict().values())


def cnn6_batches(batch_size):
    generator = seeded()
    while True:
        images = torch.rand(batch_size, 3, 64, 64, generator=generator)
        yield (images,), 64 * torch.rand(batch_size, N_LANDMARKS, 2, generator=generator), None


def test_normalisation_is_trained_in_training_mode_and_used_in_the_other():
    network, _ = train(Toy(batch_norm=True), n_epochs=2, validate=lambda: 0.0)
    assert int(network.layers[0].num_batches_tracked) == 20


@pytest.mark.slow
def test_mixed_precision_keeps_weights_and_coordinates_in_float32():
    network = cnn6(N_LANDMARKS)
    network, rows = train(network, cnn6_batches(2), mixed=True, n_epochs=1, n_steps=2)
    assert math.isfinite(rows[0]["loss"])
    assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
    (images,), *_ = next(cnn6_batches(2))
    with loop.autocast("cpu", True):
        assert torch.is_autocast_enabled("cpu")
        assert network(images).dtype == torch.float32
    with loop.autocast("cpu", False):
        assert not torch.is_autocast_enabled("cpu")


@pytest.mark.gpu
@pytest.mark.parametrize("mixed", [False, True])
def test_training_on_a_gpu(mixed):
    network, rows = train(Toy().cuda(), toy_batches(device="cuda", weights=True), mixed=mixed)
    assert rows[-1]["loss"] < 0.3 * rows[0]["loss"]
    assert all(parameter.is_cuda for parameter in network.parameters())


@pytest.mark.gpu
def test_a_step_never_waits_for_the_gpu():
    batches = [next(toy_batches(device="cuda"))]
    network = Toy().cuda()
    train(network, iter(batches), n_epochs=1, n_steps=1)

    def watched():
        torch.cuda.set_sync_debug_mode("error")
        for _ in range(5):
            yield batches[0]
        torch.cuda.set_sync_debug_mode("default")
        yield batches[0]

    try:
        train(network, watched(), n_epochs=1, n_steps=6)
    finally:
        torch.cuda.set_sync_debug_mode("default")
