"""What each setting of the regressor does, seen by a network that remembers what it is shown."""

from functools import partial

import numpy as np
import pytest
import torch
from drawn import draw_dots, find_dots
from small import only

from skwing import BoxedImages, CascadeLandmarkRegressor, LandmarkSchema
from skwing._crops.augmentation import AUGMENTATIONS
from skwing._training import loop
from skwing.losses import LOSSES, soft_wing, wing

SIDE = 48
N = 12
DOTS = np.array([[15.0, 18.0], [33.0, 21.0], [22.0, 34.0]])
SCHEMA = LandmarkSchema("three", ("left", "right", "tip"), mirror=(1, 0, 2))


def one_dot_a_channel(points):
    return np.stack([draw_dots(points[i : i + 1], (SIDE, SIDE))[..., 0] for i in range(3)], -1)


X = np.stack([one_dot_a_channel(DOTS)] * N)
Y = np.stack([DOTS] * N)
# Two shades of grey beside each other.
SHADES = np.full((N, SIDE, SIDE, 3), 102, np.uint8)
SHADES[:, :, SIDE // 2 :] = 153


class Watcher(torch.nn.Module):
    """Answers the same points whatever it sees, and remembers what it saw in training."""

    def __init__(self, n_landmarks, size=SIDE, points=None):
        super().__init__()
        points = torch.zeros(n_landmarks, 2) if points is None else torch.as_tensor(points).float()
        self.input_size = size
        self.points = torch.nn.Parameter(points)
        self.ballast = torch.nn.Parameter(torch.ones(2, 2))  # changes no answer
        self.seen = []

    def forward(self, images):
        if self.training:
            self.seen.append(images.detach().clone())
            self.mixed = torch.is_autocast_enabled("cpu")
        return self.points.expand(len(images), -1, -1) + 0 * self.ballast.sum()


def fit(X=X, y=Y, **settings):
    changes = {name: settings.pop(name) for name in AUGMENTATIONS if name in settings}
    defaults = {
        "augmentation": only(**changes),
        "margin": 0.0,
        "networks": (Watcher,),
        "schema": SCHEMA,
        "max_epochs": 8,
        "batch_size": 6,
        "learning_rate": 1e-12,
        "weight_decay": 0.0,
        "random_state": 0,
    }
    return CascadeLandmarkRegressor(device="cpu", **{**defaults, **settings}).fit(X, y)


def seen_by(reg, stage=0):
    """Everything that a stage was shown in training, of shape (n, 3, size, size)."""
    return torch.cat(reg.networks_[stage].seen).numpy()


def dots_in(images):
    """Where the dot of each channel lies in each image, of shape (n, 3, 2)."""
    middle = (images.shape[-1] - 1) / 2
    return np.array(
        [
            [find_dots(channel, [(middle, middle)], images.shape[-1])[0] for channel in image]
            for image in images
        ]
    )


def moves_in(images):
    """Turn in degrees, scale, and shift of the middle: what brings the dots to where they are."""
    source, found = DOTS @ [1, 1j], dots_in(images) @ [1, 1j]
    factor = ((found - found.mean(1, keepdims=True)) * (source - source.mean()).conj()).sum(1)
    factor = factor / (abs(source - source.mean()) ** 2).sum()
    middle = (SIDE - 1) / 2 * (1 + 1j)
    shift = found.mean(1) - factor * (source.mean() - middle) - middle
    return np.degrees(np.angle(factor)), abs(factor), shift


def spans(values, low, high):
    """Whether random values fill a range, and stay in it."""
    room = (high - low) * 0.03 + 1e-9
    inside = values.min() >= low - room and values.max() <= high + room
    wide = values.min() < low + 0.2 * (high - low) and values.max() > high - 0.2 * (high - low)
    return inside and wide


# ---------------------------------------------------------------------------------------
# Where crops lie
# ---------------------------------------------------------------------------------------
def test_without_augmentation_every_crop_is_the_box():
    images = seen_by(fit())
    np.testing.assert_allclose(images, X[:1].transpose(0, 3, 1, 2).repeat(96, 0) / 255, atol=0.01)


def test_rotation_is_the_greatest_turn_in_degrees_about_the_middle():
    turn, scale, shift = moves_in(seen_by(fit(rotation=15.0)))
    assert spans(turn, -15, 15)
    np.testing.assert_allclose(scale, 1, atol=0.02)
    np.testing.assert_allclose(abs(shift), 0, atol=0.3)


def test_scale_is_the_greatest_factor_both_ways():
    turn, scale, shift = moves_in(seen_by(fit(scale=0.25)))
    assert spans(np.log(scale), -np.log(1.25), np.log(1.25))
    np.testing.assert_allclose(turn, 0, atol=1)
    np.testing.assert_allclose(abs(shift), 0, atol=0.3)


def test_shift_is_a_fraction_of_the_input_along_each_axis():
    turn, scale, shift = moves_in(seen_by(fit(shift=0.1)))
    assert spans(shift.real, -0.1 * SIDE, 0.1 * SIDE)
    assert spans(shift.imag, -0.1 * SIDE, 0.1 * SIDE)
    assert abs(np.corrcoef(shift.real, shift.imag)[0, 1]) < 0.4
    np.testing.assert_allclose(scale, 1, atol=0.02)
    np.testing.assert_allclose(turn, 0, atol=1)


@pytest.mark.parametrize("margin", [-0.1, 0.2])
def test_margin_is_what_a_crop_shows_around_the_box(margin):
    turn, scale, shift = moves_in(seen_by(fit(margin=margin, max_epochs=1)))
    np.testing.assert_allclose(scale, 1 / (1 + 2 * margin), rtol=0.02)
    np.testing.assert_allclose(turn, 0, atol=1)
    np.testing.assert_allclose(abs(shift), 0, atol=0.3)


@pytest.mark.slow
def test_margin_of_a_later_stage_is_what_it_shows_around_the_mean_shape():
    networks = (partial(Watcher, points=DOTS), Watcher)
    for margin in (0.3, 0.6):
        reg = fit(networks=networks, margin=(0, margin), max_epochs=1, schema=None)
        found = dots_in(seen_by(reg, 1))
        extent = np.ptp(found, axis=1).max(1)
        np.testing.assert_allclose(extent, SIDE / (1 + 2 * margin), rtol=0.02)


@pytest.mark.slow
def test_mirror_is_the_probability_of_a_mirrored_crop():
    plain = X[0].transpose(2, 0, 1) / 255
    for probability in (0.0, 0.3, 1.0):
        images = seen_by(fit(mirror=probability, max_epochs=20))
        mirrored = [abs(image - plain[..., ::-1]).max() < 0.02 for image in images]
        unchanged = [abs(image - plain).max() < 0.02 for image in images]
        assert np.logical_xor(mirrored, unchanged).all()
        assert np.mean(mirrored) == pytest.approx(probability, abs=0.12)


@pytest.mark.slow
def test_deformation_is_how_far_shapes_go_to_another():
    tips = DOTS + np.stack([np.zeros(N), np.linspace(-1.5, 1.5, N)], -1)[:, None] * [[0], [0], [1]]
    images = np.stack([one_dot_a_channel(points) for points in tips])
    went = []
    for deformation in (0.0, 0.5, 1.0):
        reg = fit(images, tips, deformation=deformation, batch_size=N, max_epochs=20)
        found = dots_in(seen_by(reg))
        # What is left when each is brought back onto the nearest of the plain shapes.
        far = np.linalg.norm(found[:, None] - tips, axis=-1).max(-1).min(1)
        went.append(far.mean())
    assert went[0] < 0.05
    assert went[1] > 2 * went[0]
    assert went[2] > 1.2 * went[1]


@pytest.mark.parametrize("refine_on", ["predicted", "truth"])
def test_refine_on_is_what_cuts_the_crops_of_later_stages(refine_on):
    wrong = DOTS + [3.0, 0.0]  # the first stage is three pixels off
    networks = (partial(Watcher, points=wrong), Watcher)
    reg = fit(networks=networks, refine_on=refine_on, max_epochs=1, margin=(0, 0.5), schema=None)
    magnified = SIDE / 2 / np.ptp(DOTS, axis=0).max()
    expected = (DOTS - (DOTS.min(0) + DOTS.max(0)) / 2) * magnified + (SIDE - 1) / 2
    if refine_on == "predicted":
        expected[:, 0] -= 3 * magnified
    np.testing.assert_allclose(dots_in(seen_by(reg, 1)) - expected, 0, atol=0.3)


# ---------------------------------------------------------------------------------------
# What crops look like
# ---------------------------------------------------------------------------------------
def shades_in(images):
    """The two shades, and how far single pixels are from them."""
    left, right = images[..., : SIDE // 2 - 3], images[..., SIDE // 2 + 3 :]
    flat = max(np.ptp(left, axis=(1, 2, 3)).max(), np.ptp(right, axis=(1, 2, 3)).max())
    return left.mean((1, 2, 3)), right.mean((1, 2, 3)), flat


def test_brightness_is_the_greatest_change_as_a_fraction_of_white():
    dark, light, flat = shades_in(seen_by(fit(SHADES, brightness=0.2, max_epochs=15)))
    assert spans((dark + light) / 2, 0.3, 0.7)
    np.testing.assert_allclose(light - dark, 0.2, atol=0.005)
    assert flat < 0.01


def test_contrast_is_the_greatest_change_of_a_factor_about_grey():
    dark, light, flat = shades_in(seen_by(fit(SHADES, contrast=0.5, max_epochs=15)))
    assert spans((light - dark) / 0.2, 0.5, 1.5)
    np.testing.assert_allclose((dark + light) / 2, 0.5, atol=0.005)
    assert flat < 0.01


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_blur_is_the_probability_of_a_blurred_crop(probability):
    images = seen_by(fit(SHADES, blur=probability, max_epochs=15))
    steps = np.diff(images, axis=-1).max((1, 2, 3))
    # Of an edge, a Gaussian blur of one pixel leaves a step of 0.4 of its height.
    blurred = steps < 0.1
    np.testing.assert_allclose(steps[~blurred], 0.2, atol=0.01)
    np.testing.assert_allclose(steps[blurred], 0.08, atol=0.01)
    assert blurred.mean() == pytest.approx(probability, abs=0.12)
    dark, light, _ = shades_in(images)
    np.testing.assert_allclose([dark, light], [[0.4], [0.6]] + 0 * dark, atol=0.005)


@pytest.mark.parametrize("probability", [0.0, 0.3, 1.0])
def test_occlusion_is_the_probability_of_a_covered_rectangle(probability):
    shades = SHADES.copy()
    shades[::2] += 60  # so that a piece of another image shows
    images = seen_by(fit(shades, occlusion=probability, max_epochs=15))
    plain = np.stack([shades[0], shades[1]]).transpose(0, 3, 1, 2) / 255
    changed = (abs(images[:, None] - plain) > 0.02).any(2)
    covered = changed.mean((-1, -2)).min(1)
    # Pieces of the same image in the same place cover and do not show.
    assert (covered > 0).mean() == pytest.approx(probability, abs=0.2)
    assert covered.max() < 0.6
    assert (covered.max() > 0.02) == (probability > 0)


# ---------------------------------------------------------------------------------------
# Training
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("batch_size", [1, 5, N, 500])
def test_batch_size_is_the_number_of_crops_a_step_but_at_most_32_of_few_samples(batch_size):
    reg = fit(batch_size=batch_size, max_epochs=2)
    assert {len(batch) for batch in reg.networks_[0].seen} == {min(batch_size, max(N, 32))}
    assert len(reg.networks_[0].seen) == 2 * -(-N // batch_size)


def test_stages_see_their_samples_in_orders_of_their_own():
    greys = np.arange(N, dtype=np.uint8)[:, None, None, None] * np.full((1, SIDE, SIDE, 3), 20)
    networks = (partial(Watcher, points=DOTS), Watcher)
    # By the truth, so that nothing is drawn before the order is.
    settings = {"networks": networks, "rotation": 10.0, "refine_on": "truth", "max_epochs": 3}
    reg = fit(greys.astype(np.uint8), **settings)
    first, second = (
        np.round(seen_by(reg, stage).mean((1, 2, 3)) * 255 / 20).astype(int) for stage in (0, 1)
    )
    for order in (first, second):
        assert sorted(order) == sorted([*range(N)] * 3)
    assert (first != second).any()


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("momentum", [0.0, 0.5])
@pytest.mark.parametrize("rate, decay", [(0.01, 0.3), (0.02, 0.3), (0.01, 5.0)])
def test_a_weight_without_gradient_decays_as_stated(optimizer, momentum, rate, decay):
    reg = fit(
        optimizer=optimizer,
        momentum=momentum,
        learning_rate=rate,
        weight_decay=decay,
        schedule="constant",
        max_epochs=3,
        loss="l1",
    )
    weight, speed = 1.0, 0.0
    for _ in range(3 * N // 6):
        if optimizer == "adamw":  # decoupled: moments of the gradient do not know of it
            weight *= 1 - rate * decay
        else:
            speed = momentum * speed + decay * weight
            weight -= rate * speed
    np.testing.assert_allclose(reg.networks_[0].ballast.detach(), weight, rtol=1e-5)


@pytest.mark.parametrize("precision, mixed", [("mixed", True), ("float32", False)])
def test_precision_is_that_of_training(precision, mixed):
    assert fit(precision=precision, max_epochs=1).networks_[0].mixed == mixed


def test_momentum_is_the_first_beta_of_adamw():
    made = {
        momentum: loop.make_optimizer("adamw", [torch.zeros(2)], 0.1, momentum, 0.0)
        for momentum in (0.0, 0.7)
    }
    for momentum, optimizer in made.items():
        assert all(group["betas"] == (momentum, 0.999) for group in optimizer.param_groups)


@pytest.mark.slow
def test_the_learning_rate_follows_its_schedule():
    def rates(schedule):
        history = fit(schedule=schedule, learning_rate=2e-3, max_epochs=20, loss="l1").history_
        return np.array([row["learning_rate"] for row in history]) / 2e-3

    assert (rates("constant") == 1).all()
    cosine, exponential, one_cycle = map(rates, ("cosine", "exponential", "one_cycle"))
    t = np.arange(1, 21) / 20
    np.testing.assert_allclose(cosine, 1e-3 + 0.999 * (1 + np.cos(np.pi * t)) / 2)
    np.testing.assert_allclose(exponential, 10 ** (-2 * t))
    assert np.argmax(one_cycle) == 1
    assert one_cycle[1] == pytest.approx(1)
    assert 0.4 < one_cycle[0] < 0.6
    assert (np.diff(one_cycle[1:]) < 0).all()
    assert one_cycle[-1] == pytest.approx(1e-3)


@pytest.mark.parametrize(
    "settings, function",
    [
        ({"loss": "wing", "w": 7.0, "epsilon": 0.5}, partial(wing, w=7.0, epsilon=0.5)),
        ({"loss": "wing", "w": 3.0, "epsilon": 4.0}, partial(wing, w=3.0, epsilon=4.0)),
        ({"loss": "soft_wing", "w": 7.0, "epsilon": 0.5}, partial(soft_wing, w=7.0, epsilon=0.5)),
        ({"loss": "l1", "w": 7.0}, LOSSES["l1"]),
        ({"loss": "l2"}, LOSSES["l2"]),
        ({"loss": "smooth_l1"}, LOSSES["smooth_l1"]),
    ],
    ids=lambda part: str(part) if isinstance(part, dict) else "",
)
def test_the_loss_is_of_residuals_in_pixels_of_the_input(settings, function):
    off = torch.tensor([[0.5, -1.0], [2.0, 4.0], [-8.0, 16.0]])
    for size in (24, 48):
        answer = DOTS * size / SIDE + (size / SIDE - 1) / 2 + off.numpy()
        reg = fit(networks=(partial(Watcher, size=size, points=answer),), max_epochs=1, **settings)
        assert reg.history_[0]["loss"] == pytest.approx(float(function(off).mean()), rel=1e-3)


def test_settings_of_one_stage_are_those_of_no_other():
    reg = fit(
        networks=(partial(Watcher, points=DOTS), Watcher),
        rotation=(0.0, 30.0),
        brightness=(0.2, 0.0),
        max_epochs=(3, 5),
        learning_rate=(1e-12, 2e-12),
        schedule="constant",
        margin=(0.0, 0.4),
    )
    assert reg.n_iter_ == [3, 5]
    assert [row["learning_rate"] for row in reg.history_] == [1e-12] * 3 + [2e-12] * 5
    background = [images.min((1, 2, 3)) for images in (seen_by(reg, 0), seen_by(reg, 1))]
    assert np.ptp(background[0]) > 0.1
    assert np.ptp(background[1]) < 0.01
    found = dots_in(seen_by(reg, 1))
    way = (found[:, 1] - found[:, 0]) @ [1, 1j]
    assert np.ptp(np.degrees(np.angle(way))) > 40


def test_repeats_and_weights_are_what_samples_count():
    greys = np.arange(N, dtype=np.uint8)[:, None, None, None] * np.full((1, SIDE, SIDE, 3), 20)
    repeats = np.array([1, 2, 3] * 4)
    images = BoxedImages(greys.astype(np.uint8), repeats=repeats)
    seen = seen_by(fit(images, max_epochs=6))  # 72 draws are three passes of 24
    drawn = np.round(seen.mean((1, 2, 3)) * 255 / 20).astype(int)
    np.testing.assert_array_equal(np.bincount(drawn, minlength=N), 3 * repeats)
