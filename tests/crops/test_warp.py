import warnings

import numpy as np
import pytest
import torch
from drawn import draw_dots, find_dots

from skwing import geometry
from skwing._crops.warp import _grid_sample, halve, sample
from skwing._utils.opencv import cv2
from skwing.runtime import cut_chip

# OpenCV 4 rounds positions to 1/32 of a pixel, which is worth about a grey level.
GREY = 1.5 / 255


def warp(images, matrices, size, field=None):
    """By OpenCV, and by what a GPU would run."""
    matrices = torch.as_tensor(np.asarray(matrices), dtype=torch.float32)
    return {
        "cv2": sample(list(images), matrices, size, field),
        "grid": _grid_sample(torch.from_numpy(np.asarray(images)), matrices, size, field),
    }


def smooth_noise(n, height, width, seed=0):
    noise = np.random.default_rng(seed).uniform(0, 255, (n, height, width, 3))
    return np.stack([cv2.GaussianBlur(image, (0, 0), 3.0) for image in noise]).astype(np.uint8)


DOTS = np.array([[18.3, 20.8], [44.6, 17.2], [38.1, 45.7], [15.4, 42.5]])
TURN = geometry.from_parts(np.array(0.4), np.array(1.5), np.array([14.2, 10.9]), 31.5)
WARPS = {
    "turn": TURN,
    "shrink": geometry.from_parts(np.array(-0.2), np.array(0.8), np.array([9.6, 20.3]), 31.5),
    "mirror": geometry.compose(geometry.reflect(90), TURN),
}


@pytest.mark.parametrize("path", ["cv2", "grid"])
@pytest.mark.parametrize("name", WARPS)
def test_dots_land_where_points_are_mapped(name, path):
    expected = geometry.apply(WARPS[name], DOTS)
    batch = warp(draw_dots(DOTS, (64, 70))[None], WARPS[name][None], 90)[path]
    found = find_dots(batch[0, 0], expected, radius=9)
    np.testing.assert_allclose(found, expected, atol=0.1)


@pytest.mark.parametrize("path", ["cv2", "grid"])
def test_mirror_is_the_flipped_image_and_twice_the_image_itself(path):
    images = np.random.default_rng(0).integers(0, 256, (2, 31, 31, 3), dtype=np.uint8)
    flip = geometry.reflect(31)
    for matrix, expected in (
        (flip, images[:, :, ::-1]),
        (geometry.compose(flip, flip), images),
    ):
        batch = warp(images, np.stack([matrix] * 2), 31)[path]
        np.testing.assert_allclose(batch.permute(0, 2, 3, 1) * 255, expected, atol=0.01)


def test_opencv_and_torch_agree_beyond_the_border_as_well():
    images = smooth_noise(24, 60, 44)
    rng = np.random.default_rng(1)
    matrices = geometry.from_parts(
        rng.uniform(-3, 3, 24), rng.uniform(0.6, 3, 24), rng.uniform(-40, 40, (24, 2)), 25.0
    )
    matrices[::2] = geometry.compose(geometry.reflect(50), matrices[::2])
    both = warp(images, matrices, 50)
    corners = np.array([[0.0, 0], [49, 0], [0, 49], [49, 49]])
    seen = geometry.apply(geometry.invert(matrices), corners)
    assert ((seen < 0) | (seen > [43, 59])).any(), "the border is not tried"
    # Rounded to 8 bits once, and interpolated at rounded positions in OpenCV 4.
    np.testing.assert_allclose(both["cv2"], both["grid"], atol=GREY + 0.5 / 255)
    assert abs(both["cv2"] - both["grid"]).mean() < 0.5 / 255


def test_beyond_the_border_its_pixels_go_on():
    image = smooth_noise(1, 20, 20)
    away = np.array([[1.0, 0, 30], [0, 1, 5]])  # the image lies right of the result
    for batch in warp(image, away[None], 16).values():
        left = batch[0, :, 5:, 0] * 255
        np.testing.assert_allclose(left.T, image[0, :11, 0], atol=0.01)
        np.testing.assert_array_equal(batch[..., 0], batch[..., 15])


def test_batches_lie_in_memory_as_convolutions_like_them():
    images = smooth_noise(3, 20, 20)
    for batch in warp(images, np.stack([TURN] * 3), 8).values():
        assert batch.shape == (3, 3, 8, 8)
        assert batch.dtype == torch.float32
        assert batch.is_contiguous(memory_format=torch.channels_last)
        assert 0 <= batch.min() < batch.max() <= 1


@pytest.mark.parametrize("n_nodes", [2, 7, 40])
@pytest.mark.parametrize("path", ["cv2", "grid"])
def test_a_field_without_moves_bends_nothing(path, n_nodes):
    images, matrices = smooth_noise(3, 44, 50), np.stack([*WARPS.values()])
    plain = warp(images, matrices, 40)[path]
    bent = warp(images, matrices, 40, torch.zeros(3, 2, n_nodes, n_nodes))[path]
    # OpenCV rounds positions, and not in the same way.
    np.testing.assert_allclose(bent, plain, atol=GREY if path == "cv2" else 1e-5)
    assert bent.is_contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("n_nodes", [2, 5, 40])
@pytest.mark.parametrize("path", ["cv2", "grid"])
def test_a_field_leads_to_pixels_of_the_square_that_would_be(path, n_nodes):
    images = smooth_noise(2, 60, 60)
    # A field that is a similarity itself, so that a matrix can say the same.
    change = np.stack(
        [
            geometry.from_parts(np.array(0.2), np.array(1.1), np.array([3.0, -2.0]), 19.5),
            geometry.from_parts(np.array(-0.1), np.array(0.9), np.array([-4.0, 1.0]), 19.5),
        ]
    )
    axis = torch.linspace(0, 39, n_nodes)
    nodes = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
    moved = geometry.apply(torch.as_tensor(change, dtype=torch.float32), nodes.reshape(1, -1, 2))
    field = (moved.reshape(2, n_nodes, n_nodes, 2) - nodes).permute(0, 3, 1, 2)
    matrices = np.stack([TURN, WARPS["mirror"]])
    bent = warp(images, matrices, 40, field)[path]
    said = warp(images, geometry.compose(geometry.invert(change), matrices), 40)[path]
    np.testing.assert_allclose(bent, said, atol=2 * GREY)
    assert abs(bent - warp(images, matrices, 40)[path]).mean() > 2 * GREY


def test_sampling_needs_no_square_and_no_equal_images():
    images = [smooth_noise(1, 20, 50)[0], smooth_noise(1, 70, 30)[0]]
    batch = sample(images, torch.as_tensor(np.stack([TURN] * 2)), 8)
    for image, one in zip(images, batch, strict=True):
        alone = sample([image], torch.as_tensor(TURN[None]), 8)[0]
        np.testing.assert_array_equal(one, alone)


def test_an_empty_batch():
    matrices = torch.zeros(0, 2, 3)
    assert sample([], matrices, 8).shape == (0, 3, 8, 8)
    assert sample(torch.zeros(0, 5, 5, 3, dtype=torch.uint8), matrices, 8).shape == (0, 3, 8, 8)


def noise(height, width):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def test_cut_averages_what_it_shrinks():
    matrix = geometry.from_box(np.array([3.0, 5, 512, 512]), 64)
    chip = cut_chip(noise(600, 600), matrix, 64)
    # White noise of standard deviation 73.9, the mean of 64 pixels; bilinear leaves 4 times that.
    np.testing.assert_allclose(chip.std(), 256 / 12**0.5 / 8, rtol=0.1)


def test_cut_takes_the_exact_means_where_pixels_fit():
    image = noise(64, 64)
    chip = cut_chip(image, geometry.from_box(np.array([8.0, 24, 32, 32]), 8), 8)
    blocks = image[24:56, 8:40].reshape(8, 4, 8, 4, 3).mean((1, 3))
    np.testing.assert_allclose(chip, blocks, atol=0.51)


@pytest.mark.parametrize("side", [30.0, 24, 31.9, 33.7, 44.4, 61.3])
def test_cut_keeps_ramps_to_the_edge(side):
    # Means over areas and bilinear interpolation keep what is linear; the two roundings do not.
    rows, columns = np.indices((80, 80))
    image = np.stack([3 * columns, 3 * rows, 0 * rows], -1).astype(np.uint8)
    for offset in (8.0, 8.3, 8.45, 8.55, 8.8):
        matrix = geometry.from_box(np.array([offset, offset, side, side]), 30)
        at = geometry.apply(geometry.invert(matrix), np.stack([np.arange(30.0)] * 2, -1))[:, 0]
        expected = np.stack([*np.meshgrid(3 * at, 3 * at), np.zeros((30, 30))], -1)
        np.testing.assert_allclose(cut_chip(image, matrix, 30), expected, atol=1.1)


def test_cut_copies_where_nothing_changes():
    image = noise(40, 50)
    chip = cut_chip(image, geometry.from_box(np.array([11.0, 7, 16, 16]), 16), 16)
    np.testing.assert_array_equal(chip, image[7:23, 11:27])


@pytest.mark.parametrize(
    "box",
    [
        [100.0, 80, 237, 237],  # shrinks by 3.7
        [60.0, 30, 500.7, 471.3],  # reaches beyond the image
        [-150.5, -80.25, 700, 700],  # holds the image
        [166.3, 128.9, 51.1, 53.2],  # magnifies
        [381.0, 140, 140, 120],  # reaches beyond the right border while it shrinks by 2.2
    ],
)
def test_dots_keep_their_place_in_chips(box):
    size = 64
    matrix = geometry.from_box(np.array(box), size)
    scale = geometry.scale_of(matrix)
    # 250 grey levels make dots of a width of half a pixel and more in the chip.
    sigma = max(1.0, 1.5 / scale)
    grid = np.stack(np.meshgrid([0.3, 0.7], [0.25, 0.75]), -1).reshape(-1, 2)
    points = geometry.apply(geometry.invert(matrix), grid * size)
    radius = int(np.ceil(3 * sigma * scale)) + 1
    inside = ((points > 3 * sigma) & (points < np.array([440, 360]) - 3 * sigma)).all(1)
    assert inside.any()
    image = draw_dots(points[inside], (360, 440), sigma)
    found = find_dots(cut_chip(image, matrix, size)[..., 0], grid[inside] * size, radius)
    np.testing.assert_allclose(found, grid[inside] * size, atol=0.1)


@pytest.mark.parametrize("scale", [0.37, 1.0, 2.3])
def test_cut_goes_on_with_the_border(scale):
    image = np.zeros((50, 40, 3), np.uint8)
    image[:, 30:] = 200
    image[:, :30] = [10, 20, 30]
    box = np.array([-30.0, 0, 30 / scale, 30 / scale])
    box[0] = -box[2] - 20  # wholly left of the image
    assert (cut_chip(image, geometry.from_box(box, 30), 30) == [10, 20, 30]).all()
    box[0] = 60  # wholly right of it
    assert (cut_chip(image, geometry.from_box(box, 30), 30) == 200).all()


def test_cut_of_a_scan_wider_than_opencv_can_warp():
    width = 40000
    image = np.zeros((24, width, 3), np.uint8)
    image[:, 39900:39950] = 255
    chip = cut_chip(image, geometry.from_box(np.array([39880.0, 0, 24, 24]), 24), 24)
    np.testing.assert_array_equal(chip[:, :20], 0)
    np.testing.assert_array_equal(chip[:, 20:], 255)


@pytest.mark.parametrize(
    "box", [[-1e30, -1e30, 2e30, 2e30], [0, 0, 1e6, 1], [20, 20, 1e-9, 1e-9], [1e18, 0, 5, 5]]
)
def test_odd_boxes_give_a_chip_and_no_warning(box):
    image = np.full((40, 40, 3), 77, np.uint8)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        chip = cut_chip(image, geometry.from_box(np.array(box, dtype=float), 16), 16)
    assert (chip == 77).all()


def test_cut_reads_arrays_that_forbid_writing():
    image = noise(40, 40)
    image.flags.writeable = False
    for side in (10, 16, 30):
        cut_chip(image, geometry.from_box(np.array([3.0, 5, side, side]), 16), 16)


def test_halved_pixels_are_means_of_four():
    images = np.stack([noise(12, 12), noise(13, 13)[1:, 1:]])
    means = images.reshape(2, 6, 2, 6, 2, 3).mean((2, 4))
    np.testing.assert_allclose(halve(images), means, atol=0.51)
    assert halve(images[:0]).shape == (0, 6, 6, 3)
    np.testing.assert_array_equal(halve(torch.from_numpy(images)).numpy(), halve(images))


@pytest.mark.gpu
def test_a_gpu_samples_as_the_cpu_does():
    images = smooth_noise(8, 44, 44)
    matrices = torch.as_tensor(np.stack([*WARPS.values()] * 2), dtype=torch.float32)
    on_gpu = sample(torch.from_numpy(images[:6]).cuda(), matrices.cuda(), 50)
    assert on_gpu.is_cuda
    on_cpu = _grid_sample(torch.from_numpy(images[:6]), matrices, 50)
    torch.testing.assert_close(on_gpu.cpu(), on_cpu, rtol=0, atol=1e-3)


@pytest.mark.parametrize("size", [4, 10, 20, 32, 38])
def test_every_pixel_counts_alike_in_a_chip_that_shrinks(size):
    """What is read bilinearly instead leaves out most of some pixels, and aliases."""
    matrix = geometry.from_box(np.array([0.0, 0, 40, 40]), size)
    share = []
    for column in range(40):
        image = np.zeros((40, 40, 3), np.uint8)
        image[:, column] = 240
        share.append(cut_chip(image, matrix, size).mean() / 240 * 40)
    np.testing.assert_allclose(share, 1, atol=0.05)


@pytest.mark.parametrize("side", [16.0, 11.3, 5.9])
@pytest.mark.parametrize("corner", [(12.4, 9.7), (20.1, 3.05), (0.0, 0.3)])
def test_a_chip_that_is_not_shrunk_is_sampled_from_the_whole_image(side, corner):
    """Up to its last row: interpolation goes by the pixels beyond the square as well."""
    image = smooth_noise(1, 40, 50)
    image += np.random.default_rng(0).integers(0, 9, image.shape, dtype=np.uint8)
    matrix = geometry.from_box(np.array([*corner, side, side]), 16)
    expected = warp(image, matrix[None], 16)
    chip = cut_chip(image[0], matrix, 16)
    for sampled in expected.values():
        np.testing.assert_allclose(chip, sampled[0].permute(1, 2, 0) * 255, atol=1.6)
    rough = np.random.default_rng(1).integers(0, 256, (40, 50, 3), dtype=np.uint8)
    exact = warp(rough[None], matrix[None], 16)["cv2"][0].permute(1, 2, 0) * 255
    # The same function samples the part and the whole: only its rounding differs.
    assert np.abs(cut_chip(rough, matrix, 16) - exact.numpy()).max() < 12
