import pickle
import threading
import tracemalloc
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from drawn import draw_dots, find_dots

from skwing import BoxedImages, geometry
from skwing._crops import chips as module
from skwing._crops.chips import ChipFrame, Chips, cut_chips, iter_chips
from skwing._crops.pack import StoredPixels
from skwing._utils.opencv import cv2

FRAME = ChipFrame(size=96, margin=0.25)
# OpenCV 4 rounds positions to 1/32 of a pixel; across a dot that is two grey levels.
GREYS = 3 / 255
# Image sizes, boxes and dots in them. The second box reaches beyond its image, the third is
# magnified, the last sample has no box.
SHAPES = [(300, 260), (150, 200), (80, 90), (120, 170)]
BOXES = np.array(
    [[40.0, 60, 150, 170], [-30, 10.5, 120, 130], [20, 15, 33, 29.5], [np.nan] * 4],
)
POINTS = np.array(
    [
        [[70.3, 90.6], [160.2, 100.8], [110.1, 200.4]],
        [[15.7, 40.2], [70.4, 60.9], [30.6, 120.3]],
        [[27.2, 20.1], [45.8, 26.3], [31.4, 39.7]],
        [[30.9, 40.5], [130.3, 30.2], [85.5, 100.7]],
    ]
)


def dot_images():
    scales = geometry.scale_of(FRAME.matrices(np.where(np.isnan(BOXES), [0, 0, 170, 120], BOXES)))
    sigmas = 1.5 / scales  # so that every dot is as wide in its chip
    images = [draw_dots(*args) for args in zip(POINTS, SHAPES, sigmas, strict=True)]
    return BoxedImages(images, boxes=BOXES)


@pytest.fixture(scope="module")
def chips():
    return cut_chips(dot_images(), FRAME)


def to_frame(chips, size, margin):
    """Matrices that show every sample's box and a margin."""
    matrix = torch.as_tensor(chips.frame.to_box_frame(size, margin), dtype=torch.float32)
    return matrix.expand(len(chips), 2, 3)


def test_dots_of_chips_lie_where_points_are_mapped(chips):
    assert chips.pixels.shape == (4, 96, 96, 3)
    for pixels, expected in zip(chips.pixels, chips.to_chip(POINTS), strict=True):
        np.testing.assert_allclose(find_dots(pixels[..., 0], expected, 5), expected, atol=0.1)


def test_points_come_back_to_the_image(chips):
    np.testing.assert_allclose(chips.to_image(chips.to_chip(POINTS)), POINTS)


def test_boxes_lie_in_the_middle_of_chips(chips):
    boxes = np.where(np.isnan(BOXES), [0, 0, 170, 120], BOXES)
    np.testing.assert_allclose(chips.matrices, geometry.from_box(boxes, 96, 0.25))


def test_no_box_is_the_whole_image(chips):
    boxes = BOXES.copy()
    boxes[3] = [0, 0, 170, 120]
    boxed = cut_chips(dot_images().with_boxes(boxes), FRAME)
    np.testing.assert_array_equal(chips.pixels[3], boxed.pixels[3])


@pytest.mark.parametrize(("size", "margin"), [(64, 0.0), (40, 0.1), (128, 0.25)])
def test_box_frames_are_reached_through_chips(chips, size, margin):
    through = geometry.compose(chips.frame.to_box_frame(size, margin), chips.matrices)
    boxes = np.where(np.isnan(BOXES), [0, 0, 170, 120], BOXES)
    np.testing.assert_allclose(through, geometry.from_box(boxes, size, margin), atol=1e-9)


# From 1.3 times as fine as the chips down to the level of a quarter of their side.
@pytest.mark.parametrize(("size", "scale"), [(128, 1.33), (64, 0.67), (40, 0.42), (24, 0.25)])
def test_crops_show_dots_where_points_are_mapped_at_every_level(chips, size, scale):
    matrices = to_frame(chips, size, 0.25)
    np.testing.assert_allclose(geometry.scale_of(matrices), scale, atol=0.01)
    expected = geometry.apply(matrices, torch.as_tensor(chips.to_chip(POINTS)))
    batch = chips.sample(torch.arange(4), matrices, size, scale)
    radius = max(3, round(5 * scale))
    for image, points in zip(batch, expected.tolist(), strict=True):
        np.testing.assert_allclose(find_dots(image[0], points, radius), points, atol=0.1)


@pytest.mark.parametrize(("size", "scale"), [(128, 1.33), (64, 0.67), (40, 0.42)])
def test_chips_in_a_tensor_give_the_same_crops(chips, size, scale):
    # What a GPU runs, on the CPU.
    tensor = Chips(torch.from_numpy(chips.pixels), chips.matrices, chips.frame)
    matrices = to_frame(chips, size, 0.25)
    expected = chips.sample(torch.arange(4), matrices, size, scale)
    batch = tensor.sample(torch.arange(4), matrices, size, scale)
    torch.testing.assert_close(batch, expected, rtol=0, atol=GREYS)
    torch.testing.assert_close(
        tensor.sample(torch.tensor([2]), matrices[:1], size, scale)[0], batch[2]
    )


def noise_chips(n=2, size=96):
    pixels = np.random.default_rng(0).integers(0, 256, (n, size, size, 3), dtype=np.uint8)
    return Chips(pixels, np.zeros((n, 2, 3)), ChipFrame(size, 0.25))


def test_crops_at_half_the_scale_are_averaged():
    chips = noise_chips()
    matrices = torch.tensor(geometry.halving(), dtype=torch.float32).expand(2, 2, 3)
    batch = chips.sample(torch.arange(2), matrices, 48, 0.5).permute(0, 2, 3, 1) * 255
    means = chips.pixels.reshape(2, 48, 2, 48, 2, 3).mean((2, 4))
    np.testing.assert_allclose(batch, means, atol=0.51)
    matrices = torch.tensor(geometry.halving(2), dtype=torch.float32).expand(2, 2, 3)
    batch = chips.sample(torch.arange(2), matrices, 24, 0.25).permute(0, 2, 3, 1) * 255
    means = chips.pixels.reshape(2, 24, 4, 24, 4, 3).mean((2, 4))
    np.testing.assert_allclose(batch, means, atol=1.01)
    # Off the blocks as well: here pixels of the first half would come through unmixed.
    beside = matrices + torch.tensor([[0, 0, 0.25], [0, 0, 0.25]])
    batch = chips.sample(torch.arange(2), beside, 24, 0.25) * 255
    assert batch.std() < chips.pixels.std() / 5


def test_chips_of_an_odd_side_are_not_halved():
    chips = noise_chips(size=35)
    matrices = torch.eye(2, 3).expand(2, 2, 3)
    batch = chips.sample(torch.arange(2), matrices, 35, 0.3)
    np.testing.assert_allclose(batch.permute(0, 2, 3, 1) * 255, chips.pixels, atol=1e-3)


def test_crops_come_in_the_order_asked_for_and_depend_on_no_other(chips):
    matrices = to_frame(chips, 32, 0.1)
    many = chips.sample(torch.tensor([2, 0, 2, 1]), matrices, 32, 0.4)
    for i, image in zip((2, 0, 2, 1), many, strict=True):
        alone = chips.sample(torch.tensor([i]), matrices[:1], 32, 0.4)
        assert torch.equal(alone[0], image)


@pytest.mark.parametrize("n", [1, 3])
def test_chips_kept_in_memory_are_sent_to_their_device_batch_by_batch(chips, n, monkeypatch):
    monkeypatch.setattr("skwing._crops.chips.sample", lambda pixels, *_: pixels)
    elsewhere = Chips(chips.pixels, chips.matrices, chips.frame, torch.device("meta"))
    sent = elsewhere.sample(torch.arange(n), torch.empty(n, 2, 3, device="meta"), 32)
    assert sent.shape == (n, 96, 96, 3)
    assert sent.device.type == "meta"


def test_portions_are_all_chips_in_order(chips):
    for n_samples, expected in ((1, [1, 1, 1, 1]), (3, [3, 1]), (4, [4]), (9, [4])):
        portions = list(iter_chips(dot_images(), FRAME, n_samples=n_samples))
        assert [len(portion) for portion in portions] == expected
        for name in ("pixels", "matrices"):
            together = np.concatenate([getattr(portion, name) for portion in portions])
            np.testing.assert_array_equal(together, getattr(chips, name))
    assert list(iter_chips(dot_images()[:0], FRAME)) == []


class Counting:
    """Ten samples that count how many were decoded."""

    def __init__(self, rows=range(10), log=None):
        self.rows, self.log = rows, [] if log is None else log
        self.boxes = np.full((len(rows), 4), np.nan)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, key):
        return Counting(self.rows[key], self.log)

    def decode(self, i):
        self.log.append(self.rows[i])
        return np.full((8, 8, 3), self.rows[i], np.uint8)

    def describe(self, i):
        return f"sample {self.rows[i]}"


def test_only_one_portion_is_cut_ahead():
    data = Counting()
    portions = iter_chips(data, FRAME, n_samples=2)
    assert data.log == []
    first = next(portions)
    assert first.pixels[:, 0, 0, 0].tolist() == [0, 1]
    assert set(data.log) <= {0, 1, 2, 3}
    portions.close()


def test_threads_make_no_difference(chips, monkeypatch):
    monkeypatch.setattr("skwing._crops.chips.decoding_threads", lambda: 1)
    alone = cut_chips(dot_images(), FRAME)
    np.testing.assert_array_equal(alone.pixels, chips.pixels)


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{i}.png" for i in range(6)]
    for path in paths:
        assert cv2.imwrite(str(path), np.zeros((20, 30, 3), np.uint8))
    return paths


def test_a_missing_file_is_named_through_the_threads(files):
    files[4].unlink()
    data = BoxedImages(files)
    with pytest.raises(FileNotFoundError, match=r"sample 4 \(.*4\.png\)"):
        cut_chips(data, FRAME)
    portions = iter_chips(data, FRAME, n_samples=2)
    assert len([next(portions), next(portions)]) == 2
    with pytest.raises(FileNotFoundError, match=r"sample 4 \(.*4\.png\)"):
        next(portions)


def test_a_broken_file_is_named_through_the_threads(files, monkeypatch):
    monkeypatch.setattr("skwing._crops.chips.decoding_threads", lambda: 4)
    files[5].write_bytes(files[5].read_bytes()[:30])
    files[3].write_bytes(b"no image")
    # The first of the two, however fast the threads are.
    with pytest.raises(ValueError, match=r"sample 3 \(.*3\.png\)"):
        cut_chips(BoxedImages(files), FRAME)


def test_a_box_outside_its_image_is_named_through_the_threads(files):
    boxes = np.tile([0.0, 0, 10, 10], (6, 1))
    boxes[2] = [30, 0, 10, 10]
    with pytest.raises(ValueError, match=r"sample 2 .*outside the image"):
        cut_chips(BoxedImages(files, boxes=boxes), FRAME)


def test_chips_pickle(chips):
    chips.sample(torch.arange(1), to_frame(chips, 32, 0.25)[:1], 32, 0.33)
    again = pickle.loads(pickle.dumps(chips))
    np.testing.assert_array_equal(again.pixels, chips.pixels)
    assert again.frame == chips.frame


@pytest.mark.gpu
@pytest.mark.parametrize("scale", [1.33, 0.67, 0.42])
def test_chips_on_a_gpu_give_the_crops_of_the_cpu(chips, scale, monkeypatch, tmp_path):
    size = round(96 * scale)
    matrices = to_frame(chips, size, 0.25)
    on_cpu = chips.sample(torch.arange(4), matrices, size, scale)
    kept = cut_chips(dot_images(), FRAME, "cuda")
    assert kept.pixels.is_cuda
    copied = cut_chips(dot_images(), FRAME, "cuda", cache=str(tmp_path))
    assert copied.pixels.is_cuda
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda *_: (0, 0))  # no free memory
    sent = cut_chips(dot_images(), FRAME, "cuda")
    assert isinstance(sent.pixels, np.ndarray)
    stored = cut_chips(dot_images(), FRAME, "cuda", cache=str(tmp_path))
    assert isinstance(stored.pixels, StoredPixels)
    for on_gpu in (kept, copied, sent, stored):
        batch = on_gpu.sample(torch.arange(4), matrices.cuda(), size, scale)
        torch.testing.assert_close(batch.cpu(), on_cpu, rtol=0, atol=GREYS)


@pytest.mark.gpu
def test_sampling_never_waits_for_the_gpu(chips):
    on_gpu = cut_chips(dot_images(), FRAME, "cuda")
    matrices = to_frame(chips, 48, 0.25).cuda()
    on_gpu.sample(torch.arange(4), matrices, 48, 0.5)
    torch.cuda.set_sync_debug_mode("error")
    try:
        on_gpu.sample(torch.arange(4), matrices, 48, 0.5)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_threads_may_halve_chips_at_the_same_time(chips, monkeypatch):
    matrices, rows = to_frame(chips, 12, 0.25), torch.arange(4)
    alone = Chips(chips.pixels, chips.matrices, FRAME).sample(rows, matrices, 12, 1 / 8)
    both, halve = threading.Barrier(2, timeout=30), module.halve

    def halve_together(pixels):
        both.wait()
        return halve(pixels)

    monkeypatch.setattr(module, "halve", halve_together)
    shared = Chips(chips.pixels, chips.matrices, FRAME)
    with ThreadPoolExecutor(2) as pool:
        found = list(pool.map(lambda _: shared.sample(rows, matrices, 12, 1 / 8), range(2)))
    for each in (*found, shared.sample(rows, matrices, 12, 1 / 8)):
        torch.testing.assert_close(each, alone, rtol=0, atol=0)


@pytest.mark.parametrize(
    "compute",
    [
        lambda chips, points: chips.to_chip(points, np.float32),
        lambda chips, points: chips.mean_in_chip(points),
        lambda chips, points: chips.extents(points),
    ],
    ids=["to_chip", "mean_in_chip", "extents"],
)
def test_coordinates_of_many_samples_take_little_memory_beside_the_result(compute):
    n = 100_000
    random = np.random.default_rng(0)
    points = random.uniform(0, 100, (n, 5, 2))
    points[::7, 2] = np.nan
    boxes = random.uniform(10, 60, (n, 4))
    pixels = np.broadcast_to(np.uint8(0), (n, 96, 96, 3))
    chips = Chips(pixels, FRAME.matrices(boxes), FRAME)
    tracemalloc.start()
    result = compute(chips, points)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak - result.nbytes < 0.8 * points.nbytes


def test_means_and_extents_are_those_of_the_points_in_chips(chips):
    points = np.tile(POINTS, (5000, 1, 1))
    points[::3, 1] = np.nan
    many = Chips(
        np.broadcast_to(np.uint8(0), (len(points), 1, 1, 3)),
        np.tile(chips.matrices, (5000, 1, 1)),
        FRAME,
    )
    moved = geometry.apply(many.matrices, points)
    np.testing.assert_array_equal(many.to_chip(points), moved)
    np.testing.assert_allclose(many.mean_in_chip(points), np.nanmean(moved, axis=0), rtol=1e-12)
    np.testing.assert_array_equal(many.extents(points), geometry.boxes_of(moved)[:, 2:].max(-1))
