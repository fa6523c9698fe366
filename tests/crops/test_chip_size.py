from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest

from skwing import CascadeLandmarkRegressor, geometry
from skwing._crops import chip_size
from skwing._crops.chip_size import cut_to_learn_on, finer_frame, frame_for_patches
from skwing._crops.chips import ChipFrame, Chips, cut_chips, iter_chips
from skwing.images import BoxedImages
from skwing.networks import PlainCNN

SIZES, MARGINS = [16, 32], [0.0, 0.0]


def chips_of(side, image_side, n=2):
    """Chips that show images of some side as a whole."""
    matrices = np.zeros((n, 2, 3))
    matrices[:, 0, 0] = matrices[:, 1, 1] = side / image_side
    return Chips(np.zeros((n, side, side, 3), np.uint8), matrices, ChipFrame(side, 0.0))


def extents_of(points):
    return geometry.boxes_of(points)[:, 2:].max(-1)


def shapes_of(extents):
    """Two landmarks for each extent, that far apart."""
    return np.array([[[5.0, 7.0], [5.0 + extent, 7.0]] for extent in extents])


@pytest.mark.parametrize(
    ("extent", "image_side", "size"),
    [
        (31, 4000, 64),  # as large as the crop that magnifies it
        (16, 4000, 64),
        (15, 4000, 128),  # 16 pixels wide: half of the crop's pixels are there
        (7, 4000, 256),
        (1, 4000, 64 * 16),
        (1, 64, 64),  # the image has no more
        (1, 127, 64),
        (1, 128, 128),
    ],
)
def test_chips_are_as_fine_as_shapes_are_small_and_images_allow(extent, image_side, size):
    chips = chips_of(64, image_side)
    frame = finer_frame(chips, extents_of(shapes_of([extent, extent])), SIZES, MARGINS)
    assert frame == ChipFrame(size, 0.0)


def test_only_later_stages_magnify_shapes():
    chips, points = chips_of(64, 4000), shapes_of([3, 3])
    assert finer_frame(chips, extents_of(points), [128], [0.0]) == chips.frame
    assert finer_frame(chips, extents_of(points), [512, 32], [0.0, 0.0]).size == 64 * 8
    assert finer_frame(chips, extents_of(points), [16, 32], [0.0, 0.5]).size == 64 * 4
    assert finer_frame(chips, extents_of(points), [16, 32, 64], [0.0] * 3).size == 64 * 16


def test_missing_points_and_lonely_ones_tell_no_size():
    chips, points = chips_of(64, 4000, n=3), shapes_of([7.0, 7.0, 7.0])
    points[1, 0] = np.nan
    points[2] = np.nan
    assert finer_frame(chips, extents_of(points), SIZES, MARGINS).size == 256
    points[0, 1] = np.nan
    assert finer_frame(chips, extents_of(points), SIZES, MARGINS) == chips.frame


def test_chips_stay_in_memory(monkeypatch):
    chips, points = chips_of(64, 4000), shapes_of([1.0, 1.0])
    monkeypatch.setattr(chip_size, "_MOST_BYTES", 4 * chips.pixels.nbytes)
    assert finer_frame(chips, extents_of(points), SIZES, MARGINS).size == 128
    monkeypatch.setattr(chip_size, "_MOST_BYTES", 1)
    assert finer_frame(chips, extents_of(points), SIZES, MARGINS) == chips.frame


@pytest.mark.parametrize(
    ("extent", "image_side", "size"),
    [
        (63, 4000, 256),  # as fine as a frame of 256 pixels that shows the shape alone
        (59, 4000, 256),  # 273 pixels, rounded to a multiple of 32
        (40, 4000, 384),
        (40, 256, 256),  # the image has no more
        (40, 60, 64),
        (1000, 4000, 64),  # at least what the other stages need
    ],
)
def test_chips_are_as_fine_as_patches_need(extent, image_side, size):
    chips, points = chips_of(64, image_side), shapes_of([extent, extent])
    extents = extents_of(points)
    assert frame_for_patches(chips.frame, chips, extents, 256, 0.0) == ChipFrame(size, 0.0)


def test_chips_for_patches_stay_in_memory_and_need_a_shape(monkeypatch):
    chips, points = chips_of(64, 4000), shapes_of([40.0, 40.0])
    assert (
        frame_for_patches(chips.frame, chips, extents_of(points * np.nan), 256, 0.0) == chips.frame
    )
    monkeypatch.setattr(chip_size, "_MOST_BYTES", 9 * chips.pixels.nbytes)
    assert frame_for_patches(chips.frame, chips, extents_of(points), 256, 0.0).size == 3 * 64
    monkeypatch.setattr(chip_size, "_MOST_BYTES", 1)
    assert frame_for_patches(chips.frame, chips, extents_of(points), 256, 0.0) == chips.frame


def crosses(n, side=256, seed=0):
    """Large images with a small cross of thin lines each; its centre and its four ends."""
    rng = np.random.RandomState(seed)
    images, points = np.zeros((n, side, side, 3), np.uint8), np.empty((n, 5, 2))
    for image, shape in zip(images, points, strict=True):
        x, y = rng.randint(side // 4, 3 * side // 4, 2)
        image[y - 8 : y + 9, x] = image[y, x - 8 : x + 9] = 255
        shape[:] = [(x, y), (x - 8, y), (x + 8, y), (x, y - 8), (x, y + 8)]
    return images, points


def test_fit_cuts_fine_chips_of_small_objects_and_predict_the_same():
    images, points = crosses(6)
    network = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32, batch_norm=True)
    reg = CascadeLandmarkRegressor(
        networks=(network, network), max_epochs=1, random_state=0, device="cpu"
    )
    reg.fit(images, points)
    (large,) = (chips.frame.size for chips in iter_chips(BoxedImages(images), reg._frame))
    one = CascadeLandmarkRegressor(networks=(network,), max_epochs=1, random_state=0, device="cpu")
    assert large > 2 * one.fit(images, points)._frame.size
    np.testing.assert_allclose(reg.predict(images[:1])[0], reg.predict(images)[0], atol=1e-3)
    again = reg.set_params(warm_start=True).fit(images, points)
    assert again._frame.size == large


def test_chips_to_learn_on_are_those_of_their_frame():
    images, points = crosses(2)
    samples = SimpleNamespace(data=BoxedImages(images), points=points)
    chips = cut_to_learn_on(samples, SIZES, MARGINS, "cpu")
    plain = cut_chips(samples.data, chips.frame)
    np.testing.assert_array_equal(chips.pixels, plain.pixels)
    # The ends of the cross lie as far apart as the crop of 32 pixels needs, or half of that.
    extent = np.ptp(chips.to_chip(points), axis=1).max()
    assert 16 <= extent < 64


@pytest.mark.slow
def test_portions_hold_fewer_of_large_chips():
    data = BoxedImages(np.zeros((40, 8, 8, 3), np.uint8))
    assert [len(chips) for chips in iter_chips(data, ChipFrame(16, 0.0))] == [40]
    sizes = [len(chips) for chips in iter_chips(data, ChipFrame(1024, 0.0))]
    assert sum(sizes) == 40
    assert max(sizes) < 20
