from dataclasses import replace

import numpy as np
import pytest
import torch
from small import first_fast, only
from torch import nn

from skwing import CascadeLandmarkRegressor, LandmarkSchema, geometry
from skwing._crops.chips import ChipFrame, Chips
from skwing._crops.crop import Crop
from skwing._crops.random_changes import StageAugmentation, random_matrices, rename_mirrored
from skwing._prediction.stages import Stage, read_crops
from skwing._training.asymmetry import WithAsymmetry, mirror_image
from skwing._training.batches import TrainingTargets
from skwing._training.loop import make_optimizer
from skwing._training.parameters import SETTINGS, stage_settings
from skwing._training.train_stage import train_stage
from skwing._utils.checks import check_table
from skwing.losses import wing

SIZE, N = 32, 40
SCHEMA = LandmarkSchema("three", ("left", "right", "nose"), mirror=(1, 0, 2))
PERMUTATION = torch.tensor(SCHEMA.mirror)
LAYOUT = torch.tensor([[-6.0, -4], [6, -4], [0, 4]])
# What the mirror makes of it is its negative.
ASYMMETRY = torch.tensor([[0.5, 0.25], [0.5, -0.25], [-0.75, 0.0]])


class Spot(nn.Module):
    """Landmarks around the centre of what is bright: of mirrored images, mirrored ones."""

    input_size = SIZE

    def __init__(self, n_landmarks=3, n_estimates=None):
        super().__init__()
        self.layout = nn.Parameter(LAYOUT[:n_landmarks].clone())
        self.n_estimates = n_estimates

    def forward(self, images):
        axis = torch.arange(images.shape[-1], dtype=images.dtype, device=images.device)
        bright = images.mean(1)
        x, y = ((bright.sum(i) * axis).sum(-1) / bright.sum((1, 2)) for i in (1, 2))
        points = torch.stack([x, y], -1)[:, None] + self.layout
        if self.n_estimates is None or not self.training:
            return points
        return points[:, None].expand(-1, self.n_estimates, -1, -1)


def draw_spots(seed=0):
    """Images of a spot, and its centre in each, of shape (N, 1, 2)."""
    centers = np.random.default_rng(seed).uniform(12, 20, (N, 1, 2))
    y, x = np.indices((SIZE, SIZE))
    spots = np.exp(-((x - centers[..., :1]) ** 2 + (y - centers[..., 1:]) ** 2) / 8)
    return np.repeat(np.round(255 * spots).astype(np.uint8)[..., None], 3, axis=-1), centers


def learn(
    labels,
    *,
    mirror=0.5,
    rotation=0.0,
    permutation=PERMUTATION,
    layout=LAYOUT,
    start=0 * ASYMMETRY,
    validate=None,
    **settings,
):
    """A stage that was taught labels so far from the centres of the spots."""
    images, centers = draw_spots()
    frame = ChipFrame(SIZE, 0.0)
    chips = Chips(images, np.broadcast_to(np.eye(2, 3), (N, 2, 3)).copy(), frame)
    points = torch.as_tensor(centers, dtype=torch.float32) + labels
    crop = Crop.of_box(SIZE, 0.0, frame)
    network, changes = Spot(n_estimates=2), StageAugmentation(mirror=mirror, rotation=rotation)
    with torch.no_grad():
        network.layout.copy_(layout)
    stage = Stage(network, crop, asymmetry=start)
    defaults = {"max_epochs": 40, "batch_size": 8, "learning_rate": 1e-2, "weight_decay": 0.0}
    settings = {**defaults, **settings}
    (own,) = stage_settings(check_table(SETTINGS, CascadeLandmarkRegressor(**settings)), 1, N)
    loss, repeats = wing, np.ones(N, dtype=np.int64)
    train_stage(
        [stage],
        [replace(own, augmentation=changes)],
        chips,
        TrainingTargets(points, permutation),
        repeats,
        loss,
        seed=0,
        validate=None if validate is None else lambda: validate(stage),
        report=lambda row: None,
    )
    return stage, chips, points


def test_the_example_asymmetry_is_one():
    torch.testing.assert_close(mirror_image(ASYMMETRY, PERMUTATION), -ASYMMETRY)


CHANGES = StageAugmentation(rotation=180, scale=0.3, mirror=0.5)


def some_changes(n=8, augmentation=CHANGES):
    """Matrices from plain crops to changed ones, and which of them mirror."""
    return random_matrices(n, SIZE, augmentation, torch.Generator().manual_seed(0))


def test_of_a_changed_crop_it_gives_what_it_gives_of_the_plain_one_changed():
    sided = WithAsymmetry(Spot(), ASYMMETRY, PERMUTATION, unit=2.0)
    matrices, mirrored = some_changes()
    assert mirrored.any()
    assert not mirrored.all()
    plain = torch.full((1, 3, 2), 11.0) + ASYMMETRY
    seen = rename_mirrored(geometry.apply(matrices, plain.expand(8, 3, 2)), mirrored, PERMUTATION)
    at_spot = geometry.apply(matrices, torch.full((8, 3, 2), 11.0))
    sided.network.forward = lambda images: at_spot
    found = sided(torch.rand(8, 3, SIZE, SIZE), matrices[:, :, :2], mirrored)
    torch.testing.assert_close(found.detach(), seen)


@pytest.mark.parametrize("n_estimates", [None, 3])
def test_every_estimate_gets_it(n_estimates):
    network = Spot(n_estimates=n_estimates)
    sided = WithAsymmetry(network, ASYMMETRY, PERMUTATION, unit=2.0).train()
    matrices, mirrored = some_changes(4, StageAugmentation(mirror=0.5))
    images = torch.rand(4, 3, SIZE, SIZE)
    added = (sided(images, matrices[:, :, :2], mirrored) - network(images)).detach()
    sign = torch.where(mirrored, -1.0, 1.0).reshape(-1, *[1] * (added.ndim - 1))
    torch.testing.assert_close(added, (sign * ASYMMETRY).expand_as(added))


def test_the_part_that_both_sides_share_is_not_learned_here():
    sided = WithAsymmetry(Spot(), torch.zeros(3, 2), PERMUTATION, unit=2.0)
    optimizer = torch.optim.AdamW(sided.parameters(), lr=0.1, weight_decay=0.0)
    for seed in range(5):
        generator = torch.Generator().manual_seed(seed)
        images = torch.rand(4, 3, SIZE, SIZE, generator=generator)
        target = SIZE * torch.rand(4, 3, 2, generator=generator)
        optimizer.zero_grad()
        matrices, mirrored = some_changes(4)
        (sided(images, matrices[:, :, :2], mirrored) - target).abs().mean().backward()
        optimizer.step()
    asymmetry = sided.asymmetry
    assert asymmetry.abs().max() > 0.01
    torch.testing.assert_close(mirror_image(asymmetry, PERMUTATION), -asymmetry)


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", first_fast(["adamw", "sgd"]))
def test_labels_that_lie_off_the_mirrored_ones_are_learned(optimizer):
    settings = {"sgd": {"learning_rate": 0.1}}.get(optimizer, {})
    stage, chips, points = learn(LAYOUT + ASYMMETRY, optimizer=optimizer, **settings)
    torch.testing.assert_close(stage.asymmetry, ASYMMETRY, atol=0.03, rtol=0)
    torch.testing.assert_close(stage.network.layout.detach(), LAYOUT, atol=0.1, rtol=0)
    matrices = stage.crop.matrices(N, chips.device)
    for stage.permutation in (None, PERMUTATION):
        with torch.no_grad():
            found = read_crops(stage, chips, torch.arange(N), matrices)
        torch.testing.assert_close(found, points, atol=0.1, rtol=0)


@pytest.mark.slow
def test_it_is_learned_in_crops_that_are_turned_any_way():
    # All labels near the spot, so that the network has no way up to know.
    stage, *_ = learn(ASYMMETRY, rotation=180.0, layout=torch.zeros(3, 2))
    torch.testing.assert_close(stage.asymmetry, ASYMMETRY, atol=0.05, rtol=0)


@pytest.mark.slow
def test_labels_that_are_mirrored_exactly_have_none():
    stage, *_ = learn(LAYOUT)
    torch.testing.assert_close(stage.asymmetry, torch.zeros(3, 2), atol=0.01, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("off", first_fast([{"mirror": 0.0}, {"permutation": None, "mirror": 0.0}]))
def test_where_nothing_is_mirrored_the_network_learns_it_all(off):
    stage, *_ = learn(LAYOUT + ASYMMETRY, **off)
    assert (stage.asymmetry == 0).all()
    torch.testing.assert_close(stage.network.layout.detach(), LAYOUT + ASYMMETRY, atol=0.05, rtol=0)


@pytest.mark.slow
@pytest.mark.parametrize("off", first_fast([{"mirror": 0.0}, {"permutation": None, "mirror": 0.0}]))
def test_what_is_there_already_is_added_still(off):
    stage, *_ = learn(LAYOUT + ASYMMETRY, start=ASYMMETRY, **off)
    assert torch.equal(stage.asymmetry, ASYMMETRY)
    torch.testing.assert_close(stage.network.layout.detach(), LAYOUT, atol=0.05, rtol=0)


def test_training_goes_on_from_the_asymmetry_that_is_there():
    stage, *_ = learn(LAYOUT, start=ASYMMETRY, max_epochs=1, learning_rate=1e-9)
    torch.testing.assert_close(stage.asymmetry, ASYMMETRY)


def test_weight_decay_leaves_it_alone():
    sided = WithAsymmetry(Spot(), ASYMMETRY, PERMUTATION, unit=2.0)
    optimizer = make_optimizer("adamw", sided.parameters(), 0.1, 0.9, 5.0)
    for parameter in sided.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    torch.testing.assert_close(sided.asymmetry, ASYMMETRY)


def test_validation_sees_it_as_it_is_and_the_best_is_kept():
    seen = []

    def validate(stage):
        seen.append(stage.asymmetry.clone())
        return [3.0, 1.0, 2.0, 2.5][len(seen) - 1]

    stage, *_ = learn(
        LAYOUT + ASYMMETRY,
        validate=validate,
        max_epochs=4,
        early_stopping=True,
        schedule="constant",  # where every epoch may be the best
        n_iter_no_change=4,
    )
    assert len(seen) == 4
    assert not torch.equal(seen[0], seen[1])
    assert not torch.equal(seen[1], seen[3])
    assert torch.equal(stage.asymmetry, seen[1])


@pytest.mark.slow
def test_an_estimator_learns_adds_keeps_and_tells_it():
    images, centers = draw_spots()
    y = centers + (LAYOUT + ASYMMETRY).numpy()
    settings = {"networks": (Spot,), "schema": SCHEMA, "max_epochs": 40, "batch_size": 8}
    settings |= {"learning_rate": 1e-2, "weight_decay": 0.0}
    settings["augmentation"] = only(mirror=0.5, deformation=(0.5, 1.5))
    reg = CascadeLandmarkRegressor(**settings, random_state=0, device="cpu")
    reg.fit(images, y)
    (asymmetry,) = reg.asymmetry_
    np.testing.assert_allclose(asymmetry, ASYMMETRY, atol=0.05)
    np.testing.assert_allclose(reg.predict(images), y, atol=0.15)

    with_it = reg.predict(images)
    reg.asymmetry_ = [0 * asymmetry]
    np.testing.assert_allclose(with_it - reg.predict(images), asymmetry[None] + 0 * y, atol=1e-5)

    reg.asymmetry_ = [asymmetry]
    reg.set_params(warm_start=True, max_epochs=1, learning_rate=1e-9).fit(images, y)
    np.testing.assert_allclose(reg.asymmetry_[0], asymmetry, atol=1e-6)
    reg.set_params(augmentation__mirror=0.0, max_epochs=20, learning_rate=1e-2).fit(images, y)
    np.testing.assert_array_equal(reg.asymmetry_[0], asymmetry)
    np.testing.assert_allclose(reg.predict(images), y, atol=0.15)

    plain = CascadeLandmarkRegressor(**{**settings, "schema": None}, device="cpu")
    assert (plain.set_params(max_epochs=2).fit(images, y).asymmetry_[0] == 0).all()


@pytest.mark.gpu
def test_on_a_gpu_it_gives_the_same_and_never_waits():
    matrices, mirrored = some_changes()
    inputs = torch.rand(8, 3, SIZE, SIZE), matrices[:, :, :2], mirrored
    expected = WithAsymmetry(Spot(), ASYMMETRY, PERMUTATION, unit=2.0)(*inputs)
    sided = WithAsymmetry(Spot(), ASYMMETRY, PERMUTATION.cuda(), unit=2.0).cuda()
    inputs = [part.cuda() for part in inputs]
    sided(*inputs)
    torch.cuda.set_sync_debug_mode("error")
    try:
        points = sided(*inputs)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    torch.testing.assert_close(points.cpu(), expected, atol=1e-3, rtol=0)
