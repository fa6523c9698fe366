import math
from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from skwing import geometry
from skwing._crops import random_changes
from skwing._crops.random_changes import (
    StageAugmentation,
    by_name,
    draw,
    draw_move,
    of_photometric,
    photometric,
    random_matrices,
    rename_mirrored,
)
from skwing._crops.warp import sample

SIZE = 64
STRONG = StageAugmentation(
    rotation=40,
    scale=0.3,
    shift=0.1,
    mirror=0.5,
    blur=0.5,
    brightness=0.3,
    contrast=0.5,
    occlusion=0.5,
)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def noise_images(n, size=16, seed=0):
    return torch.rand(n, 3, size, size, generator=seeded(seed))


def look(images, augmentation, generator):
    """Photometric changes with numbers of a generator."""
    n, names = len(images), of_photometric(augmentation)
    numbers = draw(n, names, generator).to(images.device)
    move = draw_move(images.shape[-1], augmentation, generator).to(images.device)
    return photometric(images, augmentation, by_name(numbers, n, names), move)


def test_without_strength_nothing_changes():
    matrices, mirrored = random_matrices(5, SIZE, StageAugmentation(), seeded())
    torch.testing.assert_close(matrices, torch.eye(2, 3).expand(5, 2, 3))
    assert not mirrored.any()
    images = noise_images(5)
    assert torch.equal(look(images.clone(), StageAugmentation(), seeded()), images)


# Deformation is a matter of the whole batch: see test_bend.py and ../reading/test_stages.py.
@pytest.mark.parametrize(
    "field", [field.name for field in fields(StageAugmentation) if field.name != "deformation"]
)
def test_each_strength_changes_something_of_its_own(field):
    augmentation = StageAugmentation(**{field: 0.9})
    matrices, _ = random_matrices(50, SIZE, augmentation, seeded())
    images = noise_images(50)
    moved = not torch.allclose(matrices, torch.eye(2, 3).expand(50, 2, 3))
    looks = not torch.equal(look(images.clone(), augmentation, seeded()), images)
    of_looks = field in ("blur", "brightness", "contrast", "occlusion")
    assert (moved, looks) == (not of_looks, of_looks)


def test_matrices_fill_the_ranges_asked_for():
    matrices, mirrored = random_matrices(4000, SIZE, STRONG, seeded())
    assert matrices.dtype == torch.float32
    back = torch.as_tensor(geometry.reflect(SIZE), dtype=torch.float32).expand_as(matrices)
    plain = torch.where(mirrored[:, None, None], geometry.compose(matrices, back), matrices)
    angle = torch.rad2deg(torch.atan2(plain[:, 1, 0], plain[:, 0, 0]))
    scale = geometry.scale_of(plain)
    middle = torch.full((1, 2), (SIZE - 1) / 2)
    shift = (geometry.apply(plain, middle) - middle)[:, 0] / SIZE
    for values, low, high in ((angle, -40, 40), (scale, 1 / 1.3, 1.3), (shift, -0.1, 0.1)):
        slack = 0.02 * (high - low)
        assert low - 1e-3 <= values.min() <= low + slack
        assert high - slack <= values.max() <= high + 1e-3
    # As much smaller as larger.
    np.testing.assert_allclose(scale.log().mean(), 0, atol=0.01)
    np.testing.assert_allclose(mirrored.float().mean(), 0.5, atol=0.04)


def test_mirrored_tells_which_matrices_reflect():
    matrices, mirrored = random_matrices(200, SIZE, STRONG, seeded())
    assert torch.equal(torch.linalg.det(matrices[:, :, :2]) < 0, mirrored)
    for probability, expected in ((0.0, False), (1.0, True)):
        _, mirrored = random_matrices(200, SIZE, replace(STRONG, mirror=probability), seeded())
        assert (mirrored == expected).all()


def test_a_seed_decides_everything():
    def draw(seed):
        generator = seeded(seed)
        matrices, mirrored = random_matrices(9, SIZE, STRONG, generator)
        return matrices, mirrored, look(noise_images(9), STRONG, generator)

    for first, again, other in zip(draw(1), draw(1), draw(2), strict=True):
        assert torch.equal(first, again)
        assert not torch.equal(first, other)


def test_the_global_generator_is_left_alone():
    state = torch.get_rng_state()
    random_matrices(9, SIZE, STRONG, seeded())
    look(noise_images(9), STRONG, seeded())
    assert torch.equal(torch.get_rng_state(), state)


# A shape with neither symmetry nor centre: its landmarks are told apart by their grey.
SHAPE = torch.tensor([[14.0, 20], [45, 22], [31, 33], [18, 50], [38, 47]])
MIRROR = torch.tensor([1, 0, 2, 4, 3])
GREYS = torch.tensor([60.0, 100, 150, 200, 250])


def draw_shape():
    rows, columns = torch.meshgrid(torch.arange(SIZE), torch.arange(SIZE), indexing="ij")
    at = torch.stack([columns, rows], -1)[None] - SHAPE[:, None, None]
    dots = (at.square().sum(-1) <= 3.5**2) * GREYS[:, None, None]
    return dots.sum(0).to(torch.uint8)[..., None].expand(-1, -1, 3).numpy()


def grey_at(image, points):
    """Mean of the nine pixels around each point, in grey levels."""
    x, y = points.round().long().unbind(-1)
    around = torch.cartesian_prod(torch.arange(-1, 2), torch.arange(-1, 2))
    return torch.stack([image[0, y + dy, x + dx] for dx, dy in around]).mean(0) * 255


def test_mirroring_is_a_reflection_of_pixels_and_points_and_a_renaming():
    augmentation = StageAugmentation(rotation=15, scale=0.1, shift=0.05, mirror=0.5)
    matrices, mirrored = random_matrices(60, SIZE, augmentation, seeded())
    images = sample([draw_shape()] * 60, matrices, SIZE)
    points = geometry.apply(matrices, SHAPE.expand(60, -1, -1))
    for image, own, is_mirrored in zip(images, points, mirrored, strict=True):
        torch.testing.assert_close(grey_at(image, own), GREYS, rtol=0, atol=3)
        sides = own[[1, 4], 0] > own[[0, 3], 0]
        assert (sides != is_mirrored).all()
    renamed = rename_mirrored(points, mirrored, MIRROR)
    assert torch.equal(renamed[~mirrored], points[~mirrored])
    for image, own in zip(images[mirrored], renamed[mirrored], strict=True):
        # The left eye of the mirrored face is the right eye of the photograph.
        torch.testing.assert_close(grey_at(image, own), GREYS[MIRROR], rtol=0, atol=3)
        assert (own[[1, 4], 0] > own[[0, 3], 0]).all()


def test_mirroring_twice_restores_pixels_points_and_names():
    matrices, mirrored = random_matrices(1, SIZE, StageAugmentation(mirror=1.0), seeded())
    image = draw_shape()
    once = sample([image], matrices, SIZE)
    pixels = (once[0].permute(1, 2, 0) * 255).round().to(torch.uint8).numpy()
    twice = sample([pixels], matrices, SIZE)
    np.testing.assert_array_equal((twice[0, 0] * 255).round(), image[..., 0])
    points = SHAPE[None]
    for _ in range(2):
        points = rename_mirrored(geometry.apply(matrices, points), mirrored, MIRROR)
    torch.testing.assert_close(points, SHAPE[None])


def test_missing_points_are_renamed_like_others():
    points = SHAPE[None].clone()
    points[0, 0] = math.nan
    renamed = rename_mirrored(points, torch.tensor([True]), MIRROR)
    assert torch.isnan(renamed).any(-1)[0].tolist() == [False, True, False, False, False]


def test_looks_stay_between_black_and_white_and_change_in_place():
    images = noise_images(60)
    changed = look(images, STRONG, seeded())
    assert changed is images
    assert 0 == images.min() < images.max() == 1


def test_batches_keep_their_layout_in_memory():
    images = noise_images(60).contiguous(memory_format=torch.channels_last)
    changed = look(images, STRONG, seeded())
    assert changed.is_contiguous(memory_format=torch.channels_last)


def test_brightness_is_an_offset():
    images = 0.4 + 0.2 * noise_images(300)
    offsets = look(images.clone(), StageAugmentation(brightness=0.3), seeded()) - images
    assert offsets.flatten(1).std(1).max() < 1e-6
    offsets = offsets.mean((1, 2, 3))
    assert -0.3 <= offsets.min() < -0.28
    assert 0.28 < offsets.max() <= 0.3


def test_contrast_is_a_factor_about_mid_grey():
    images = 0.3 + 0.4 * noise_images(300)
    changed = look(images.clone(), StageAugmentation(contrast=0.5), seeded())
    factors = ((changed - 0.5) * (images - 0.5)).sum((1, 2, 3))
    factors = factors / (images - 0.5).square().sum((1, 2, 3))
    expected = 0.5 + factors[:, None, None, None] * (images - 0.5)
    torch.testing.assert_close(changed, expected)
    assert 0.5 <= factors.min() < 0.52
    assert 1.48 < factors.max() <= 1.5


def test_blur_keeps_the_mean_and_spreads_a_dot_by_one_pixel():
    images = torch.zeros(1, 3, 15, 15)
    images[:, :, 7, 7] = 1
    (dot,) = look(images, StageAugmentation(blur=1.0), seeded())[:, 0]
    at = torch.arange(15.0) - 7
    assert dot.sum() == pytest.approx(1)
    assert (dot.sum(0) * at).sum() == pytest.approx(0, abs=1e-6)
    torch.testing.assert_close(dot, dot.T)
    # The taps end at two sigma, which costs a little of the variance.
    assert (dot.sum(0) * at**2).sum() == pytest.approx(1, abs=0.15)


def test_blur_goes_on_beyond_the_border():
    grey = torch.full((2, 3, 9, 9), 0.7)
    torch.testing.assert_close(look(grey.clone(), StageAugmentation(blur=1.0), seeded()), grey)


def test_only_some_images_are_blurred():
    images = noise_images(400)
    blurred = look(images.clone(), StageAugmentation(blur=0.25), seeded())
    touched = (blurred != images).flatten(1).any(1)
    assert 0.18 < touched.float().mean() < 0.32
    assert (blurred[touched].std((1, 2, 3)) < 0.6 * images[touched].std((1, 2, 3))).all()


def test_occlusion_covers_a_rectangle_of_some_images():
    images = noise_images(200, size=32)
    changed = look(images.clone(), StageAugmentation(occlusion=0.25), seeded())
    different = (changed != images).any(1)
    assert 0.15 < different.flatten(1).any(1).float().mean() < 0.35
    one_colour = 0
    for image, mask in zip(changed, different, strict=True):
        if not mask.any():
            continue
        rows, columns = mask.any(1), mask.any(0)
        assert mask[rows][:, columns].all()  # the whole of a rectangle and nothing else
        assert 1 <= rows.sum() <= 0.45 * 32 and 1 <= columns.sum() <= 0.45 * 32
        piece = image[:, mask]
        one_colour += bool((piece == piece[:, :1]).all())
    n_covered = different.flatten(1).any(1).sum()
    assert 0.3 * n_covered < one_colour < 0.7 * n_covered


def test_what_covers_an_image_is_of_another_image():
    images = torch.arange(5.0).reshape(5, 1, 1, 1).expand(5, 3, 16, 16) / 5
    changed = look(images.clone(), StageAugmentation(occlusion=1.0), seeded(3))
    following = images.roll(-1, 0)
    pasted = (changed == following).flatten(1).any(1)
    assert pasted.any()
    assert ((changed == images) | (changed == following))[pasted].all()


def test_a_batch_none_of_which_is_blurred():
    images = noise_images(1)
    for seed in range(10):
        look(images, StageAugmentation(blur=1e-6), seeded(seed))
    assert torch.equal(images, noise_images(1))


@pytest.mark.parametrize("seed", range(4))
def test_changes_that_wait_for_nothing_are_the_same(seed, monkeypatch):
    images = noise_images(20).contiguous(memory_format=torch.channels_last)
    wanted = look(images.clone(), STRONG, seeded(seed))
    monkeypatch.setattr(random_changes, "_is_at_hand", lambda device: False)
    found = look(images.clone(), STRONG, seeded(seed))
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-6)


def test_numbers_drawn_at_once_are_those_drawn_one_after_the_other():
    names = of_photometric(STRONG)
    found = by_name(draw(7, names, seeded()), 7, names)
    generator = seeded()
    for name, number in names.items():
        assert torch.equal(found[name], torch.rand(7, number, generator=generator))


@pytest.mark.gpu
def test_a_seed_means_the_same_on_a_gpu():
    on_cpu = look(noise_images(20), STRONG, seeded())
    on_gpu = look(noise_images(20).cuda(), STRONG, seeded())
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=1e-3)
