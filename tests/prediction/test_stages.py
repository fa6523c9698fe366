from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from small import first_fast

from skwing import BoxedImages, geometry
from skwing._crops.chips import ChipFrame, Chips, cut_chips
from skwing._crops.crop import Crop, place_shape
from skwing._crops.random_changes import StageAugmentation
from skwing._prediction.stages import Stage, read_crops, read_stages
from skwing._training.batches import TrainingTargets, crop_variants, training_batches
from skwing._training.draws import EndlessDraws

# Seven landmarks without symmetry, each a disc of its own colour.
LAYOUT = np.array([[0, 0], [56, 4], [26, 26], [6, 60], [50, 52], [-20, 30], [84, 33.0]])
COLORS = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 1], [1, 1, 0], [1, 0, 1], [0, 1, 1], [1, 1, 1]])
MIRROR = np.array([1, 0, 2, 4, 3, 6, 5])
RADIUS = 8.0  # of a disc, in image pixels
N = 6
FRAME = ChipFrame(200, 0.5)
STRONG = StageAugmentation(
    rotation=40, scale=0.2, shift=0.08, mirror=0.5, blur=0.5, brightness=0.3, contrast=0.5
)
PLAIN = [StageAugmentation()] * 2  # of two stages
CPU = torch.device("cpu")


def draw_discs(points, shape):
    rows, columns = np.indices(shape)
    image = np.zeros((*shape, 3))
    for (x, y), color in zip(points, COLORS, strict=True):
        disc = np.clip(RADIUS + 0.5 - np.hypot(columns - x, rows - y), 0, 1)
        image = np.maximum(image, disc[..., None] * color)
    return np.round(255 * image).astype(np.uint8)


def make_shapes(seed=0):
    rng = np.random.default_rng(seed)
    turns = geometry.from_parts(
        rng.uniform(-0.6, 0.6, N), rng.uniform(0.9, 1.1, N), rng.uniform(75, 85, (N, 2)), 32.0
    )
    return geometry.apply(turns, LAYOUT)


SHAPES = make_shapes()


def draw_chips(shapes):
    boxes = geometry.boxes_of(shapes) + np.random.default_rng(1).uniform(-8, 8, (N, 4))
    images = BoxedImages([draw_discs(points, (230, 250)) for points in shapes], boxes=boxes)
    return cut_chips(images, FRAME)


@pytest.fixture(scope="module")
def chips():
    return draw_chips(SHAPES)


class Fixed(torch.nn.Module):
    """A network that has learned nothing but where landmarks lie on average."""

    def __init__(self, points):
        super().__init__()
        self.points = torch.nn.Parameter(torch.as_tensor(points, dtype=torch.float32))

    def forward(self, images):
        return self.points.expand(len(images), -1, -1)


class Finder(torch.nn.Module):
    """A network that finds every colour."""

    def forward(self, images):
        images = images[:, None]
        on = torch.as_tensor(COLORS, dtype=torch.bool)[None, :, :, None, None]
        weight = torch.where(on, images, 1 - images).prod(2) ** 4
        y, x = torch.meshgrid(*map(torch.arange, images.shape[-2:]), indexing="ij")
        total = weight.sum((2, 3))
        return (
            torch.stack([(weight * x).sum((2, 3)), (weight * y).sum((2, 3))], -1) / total[..., None]
        )


def box_crop(size=128, margin=0.3):
    return Crop.of_box(size, margin, FRAME)


def shape_crop(chips, size=96, margin=0.3):
    return Crop.of_shape(size, margin, LAYOUT, chips.to_chip(SHAPES).mean(0))


def make_truth(chips, shapes=SHAPES, **extra):
    points = torch.as_tensor(chips.to_chip(shapes), dtype=torch.float32)
    return TrainingTargets(points, torch.as_tensor(MIRROR), **extra)


def make_batches(
    stages, chips, truth, refine_on="predicted", *, changes=PLAIN, n_batches=8, seed=0
):
    generator = torch.Generator().manual_seed(seed)
    variants = crop_variants(stages, changes, chips, truth, refine_on, generator)
    draws = EndlessDraws(torch.ones(N, dtype=torch.int64), 16, generator)
    batches = training_batches(
        stages[-1], changes[len(stages) - 1], variants, chips, truth, draws, generator
    )
    return list(islice(batches, n_batches))


def look(image, target, radius):
    """Which colours are on at a target, and the centre of what is bright around it."""
    image = ((image - image.min()) / (image.max() - image.min())).numpy()
    column, row = np.round(target).astype(int)
    window = image[:, row - radius : row + radius + 1, column - radius : column + radius + 1]
    bright = window.max(0)
    rows, columns = np.indices(bright.shape) - radius
    center = np.array([column + (columns * bright).sum() / bright.sum()])
    center = np.append(center, row + (rows * bright).sum() / bright.sum())
    return tuple((image[:, row, column] > 0.5).astype(int)), center


def check_batches(batches, radius, atol=0.35):
    """Every target lies on the disc of its own landmark; also how many crops are mirrored."""
    n_mirrored = n_crops = n_inside = 0
    for (images, _, mirrored), targets, _ in batches:
        for image, is_mirrored, points in zip(images, mirrored, targets.numpy(), strict=True):
            size = image.shape[-1]
            inside = ((points > radius) & (points < size - 1 - radius)).all(-1)
            n_inside += inside.sum()
            seen = [look(image, points[i], radius) for i in np.flatnonzero(inside)]
            own = [tuple(color) for color in COLORS[inside]]
            others = [tuple(color) for color in COLORS[MIRROR][inside]]
            colors = [color for color, _ in seen]
            assert colors == (others if is_mirrored else own)
            centers = [center for _, center in seen]
            np.testing.assert_allclose(centers, points[inside], atol=atol)
            # Renamed, a mirrored shape turns the same way round as any other.
            (ax, ay), (bx, by) = points[1] - points[0], points[3] - points[0]
            assert ax * by - ay * bx > 0
            n_mirrored += int(is_mirrored)
            n_crops += 1
    assert n_inside > 0.8 * len(LAYOUT) * n_crops, "the crops show too little of the shapes"
    return n_mirrored, n_crops


@pytest.mark.slow
def test_first_stage_targets_lie_on_their_landmarks(chips):
    stage = Stage(Fixed(LAYOUT), box_crop())
    assert stage.crop.scale > 0.75
    batches = make_batches([stage], chips, make_truth(chips), changes=[STRONG])
    n_mirrored, n_crops = check_batches(batches, radius=9)
    assert 0.3 < n_mirrored / n_crops < 0.7


@pytest.mark.slow
@pytest.mark.parametrize("refine_on", first_fast(["predicted", "truth"]))
def test_later_stage_targets_lie_on_their_landmarks(chips, refine_on):
    crop = box_crop()
    first = Stage(Fixed(geometry.apply(crop.matrix, chips.to_chip(SHAPES).mean(0))), crop)
    second = Stage(Fixed(LAYOUT), shape_crop(chips))
    batches = make_batches(
        [first, second], chips, make_truth(chips), refine_on, changes=[STRONG] * 2
    )
    n_mirrored, n_crops = check_batches(batches, radius=8)
    assert 0.3 < n_mirrored / n_crops < 0.7


def test_a_small_crop_is_read_from_halved_chips_and_stays_aligned(chips):
    stage = Stage(Fixed(LAYOUT), box_crop(60, 0.3))
    assert stage.crop.scale < 0.75 / 2 + 0.01
    batches = make_batches([stage], chips, make_truth(chips), changes=[STRONG], n_batches=3)
    check_batches(batches, radius=5)


class Watcher(torch.nn.Module):
    """A network that remembers what it was shown."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, images):
        self.seen.append(images.clone())
        return torch.zeros(len(images), len(LAYOUT), 2)


@pytest.mark.parametrize("size, averaged", [(200, 1), (100, 2), (80, 2), (50, 4), (40, 4)])
def test_crops_that_shrink_chips_are_averaged_in_training_and_in_predict(size, averaged):
    pixels = np.random.default_rng(0).integers(0, 256, (N, 200, 200, 3), dtype=np.uint8)
    noise = Chips(pixels, np.zeros((N, 2, 3)), FRAME)
    crop = Crop.of_box(size, FRAME.margin, FRAME)
    stage = Stage(Watcher(), crop)
    matrices = crop.matrices(N, CPU)
    read_crops(stage, noise, torch.arange(N), matrices)
    draws = iter([torch.arange(N)])
    truth = TrainingTargets(torch.zeros(N, len(LAYOUT), 2))
    batches = training_batches(
        stage, PLAIN[0], matrices[:, None], noise, truth, draws, torch.Generator()
    )
    ((images, *_), _, _) = next(batches)
    (read,) = stage.network.seen
    assert torch.equal(images, read)
    # The mean of k x k pixels has a k-th of the noise, interpolation takes some more of it.
    spread = float(read.std()) * 255 / pixels.std()
    assert 0.6 / averaged < spread < 1.05 / averaged


def test_every_variant_of_a_crop_is_drawn_as_often(chips):
    shifts = torch.arange(5.0)
    variants = torch.eye(2, 3).repeat(N, 5, 1, 1)
    variants[..., 0, 2] = shifts
    truth = make_truth(chips)
    generator = torch.Generator().manual_seed(0)
    draws = EndlessDraws(torch.ones(N, dtype=torch.int64), 500, generator)
    stage = Stage(None, Crop(8, np.eye(2, 3, dtype=np.float32)))
    _, targets, _ = next(
        training_batches(stage, PLAIN[0], variants, chips, truth, draws, generator)
    )
    # Samples come in an order of their own, so a target is found by its height.
    heights = truth.points[:, 0, 1]
    rows = (targets[:, 0, 1, None] - heights).abs().argmin(1)
    drawn = (targets[:, 0, 0] - truth.points[rows, 0, 0]).round().long()
    counts = torch.bincount(drawn, minlength=5)
    assert counts.shape == (5,)
    assert counts.min() > 70
    for i in range(N):
        assert drawn[rows == i].unique().tolist() == [0, 1, 2, 3, 4]


@pytest.mark.slow
def test_bent_targets_lie_on_their_landmarks():
    # Shapes that differ by more than a similarity; a batch holds each of them several times.
    shapes = SHAPES + np.random.default_rng(3).normal(0, 3, SHAPES.shape)
    chips = draw_chips(shapes)
    truth = make_truth(chips, shapes)
    stage, changes = Stage(Fixed(LAYOUT), box_crop()), [replace(STRONG, deformation=1.0)]
    # Discs are bent as well, so that their middles move.
    check_batches(make_batches([stage], chips, truth, changes=changes), radius=9, atol=1.0)

    bent, straight = (
        make_batches([stage], chips, truth, changes=[changes], n_batches=1)[0]
        for changes in (StageAugmentation(deformation=1.0), StageAugmentation())
    )
    assert 0.5 < (bent[1] - straight[1]).norm(dim=-1).amax(-1).median() < 8


def test_crops_by_truth_bring_landmarks_onto_the_mean_shape(chips):
    stages = [Stage(Fixed(LAYOUT), box_crop()), Stage(Fixed(LAYOUT), shape_crop(chips))]
    ((_, targets, _),) = make_batches(stages, chips, make_truth(chips), "truth", n_batches=1)
    expected = torch.as_tensor(stages[1].crop.shape).expand_as(targets)
    torch.testing.assert_close(targets, expected, atol=1e-2, rtol=0)


@pytest.mark.slow
def test_crops_by_predictions_follow_the_stage_before(chips):
    crop = box_crop()
    stages = [Stage(Finder(), crop), Stage(None, shape_crop(chips))]
    truth, changes = make_truth(chips), [StageAugmentation(rotation=20), StageAugmentation()]
    generator = torch.Generator().manual_seed(0)
    found = crop_variants(stages, changes, chips, truth, "predicted", generator)
    true = crop_variants(stages, changes, chips, truth, "truth", None)
    assert found.shape[0] == true.shape[0] == N
    assert true.shape[1] == 1
    torch.testing.assert_close(
        geometry.apply(found, truth.points[:, None]),
        geometry.apply(true, truth.points[:, None]).expand(-1, found.shape[1], -1, -1),
        atol=0.5,
        rtol=0,
    )


def test_predictions_under_augmentation_differ_between_variants(chips):
    stages = [Stage(Fixed(LAYOUT), box_crop()), Stage(None, shape_crop(chips))]
    generator, truth = torch.Generator().manual_seed(0), make_truth(chips)
    found = crop_variants(stages, [STRONG, STRONG], chips, truth, "predicted", generator)
    assert len(found.flatten(0, 1).unique(dim=0)) == found.shape[0] * found.shape[1] > N


def test_stages_find_landmarks_one_after_the_other(chips):
    stages = [Stage(Finder(), box_crop()), Stage(Finder(), shape_crop(chips))]
    answers = read_stages(stages, chips, torch.arange(N)).points
    for points in answers:
        np.testing.assert_allclose(chips.to_image(points.numpy()), SHAPES, atol=0.4)
    # The second stage saw every shape upright, in the place of the mean shape.
    matrices = stages[1].crop.matrices(N, CPU, answers[0])
    seen = geometry.apply(matrices, make_truth(chips).points)
    expected = torch.as_tensor(stages[1].crop.shape).expand_as(seen)
    torch.testing.assert_close(seen, expected, atol=0.5, rtol=0)


def test_what_a_stage_finds_does_not_depend_on_the_batch(chips):
    stages = [Stage(Finder(), box_crop(60)), Stage(Finder(), shape_crop(chips))]
    together = read_stages(stages, chips, torch.arange(N)).points
    for i in range(N):
        alone = read_stages(stages, chips, torch.tensor([i])).points
        for points, point in zip(together, alone, strict=True):
            torch.testing.assert_close(point[0], points[i], atol=1e-3, rtol=0)


def test_missing_landmarks_stay_missing_under_their_new_name(chips):
    truth = make_truth(chips)
    truth.points[:, 0] = torch.nan
    stage = Stage(Fixed(LAYOUT), box_crop())
    names = set()
    for _, targets, _ in make_batches([stage], chips, truth, changes=[STRONG]):
        missing = torch.isnan(targets).any(-1)
        assert (missing.sum(1) == 1).all()
        names.update(missing.nonzero()[:, 1].tolist())
    assert names == {0, 1}


def test_shapes_without_two_landmarks_get_the_average_crop(chips):
    truth = make_truth(chips)
    truth.points[1] = torch.nan
    truth.points[2, 1:] = torch.nan
    crop = shape_crop(chips)
    matrices = crop.matrices(N, CPU, truth.points)
    average = torch.as_tensor(crop.matrix)
    for i, matrix in enumerate(matrices):
        assert torch.equal(matrix, average) == (i in (1, 2))


def test_weights_go_with_their_samples(chips):
    truth = make_truth(chips, weights=torch.arange(float(N)))
    crop = box_crop()
    for _, targets, weights in make_batches([Stage(Fixed(LAYOUT), crop)], chips, truth):
        shapes = geometry.apply(torch.as_tensor(crop.matrix), truth.points[weights.long()])
        torch.testing.assert_close(targets, shapes)
    ((_, _, weights),) = make_batches(
        [Stage(Fixed(LAYOUT), crop)], chips, make_truth(chips), n_batches=1
    )
    assert weights is None


def test_a_seed_decides_every_batch(chips):
    stages = [Stage(Fixed(LAYOUT), box_crop()), Stage(None, shape_crop(chips))]
    first, again, other = (
        make_batches(stages, chips, make_truth(chips), changes=[STRONG] * 2, n_batches=2, seed=seed)
        for seed in (3, 3, 4)
    )
    for a, b, c in zip(first, again, other, strict=True):
        assert all(map(torch.equal, a[0], b[0]))
        assert torch.equal(a[1], b[1])
        assert not torch.equal(a[1], c[1])


def test_gradients_flow_between_batches_but_not_in_them(chips):
    stages = [Stage(Fixed(LAYOUT), box_crop()), Stage(None, shape_crop(chips))]
    generator = torch.Generator().manual_seed(0)
    truth = make_truth(chips)
    variants = crop_variants(stages, PLAIN, chips, truth, "predicted", generator)
    draws = EndlessDraws(torch.ones(N, dtype=torch.int64), 4, generator)
    batches = training_batches(stages[1], PLAIN[1], variants, chips, truth, draws, generator)
    (images, *_), targets, _ = next(batches)
    assert torch.is_grad_enabled()
    assert not (variants.requires_grad or images.requires_grad or targets.requires_grad)


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=12).filter(any),
    st.integers(1, 20),
    st.integers(0, 100),
)
def test_every_pass_draws_each_sample_as_often_as_it_repeats(repeats, batch_size, seed):
    draws = EndlessDraws(torch.tensor(repeats), batch_size, torch.Generator().manual_seed(seed))
    n, n_passes = sum(repeats), 3
    batches = list(islice(draws, -(-n * n_passes // batch_size)))
    assert {len(batch) for batch in batches} == {batch_size}
    for rows in torch.cat(batches)[: n * n_passes].split(n):
        assert torch.bincount(rows, minlength=len(repeats)).tolist() == repeats


@pytest.mark.parametrize("repeats", [[1] * 40, [1, 500, 1, 30, 1, 1], [0, 7, 300, 0, 1]])
def test_a_pass_in_parts_draws_each_sample_as_often_as_it_repeats(monkeypatch, repeats):
    """And each part has its share, so that those drawn once do not come last."""
    monkeypatch.setattr("skwing._training.draws._MOST_WAITING", 20)
    n = sum(repeats)
    draws = EndlessDraws(torch.tensor(repeats), 1, torch.Generator().manual_seed(0))
    drawn = torch.cat(list(islice(draws, 2 * n))).numpy()
    for part in (drawn[:n], drawn[n:]):
        assert np.bincount(part, minlength=len(repeats)).tolist() == repeats
    if len(repeats) == 40:
        half = np.bincount(drawn[: n // 2], minlength=40)
        assert 0 < half[:20].sum() < 20 and 0 < half[20:].sum() < 20
        assert drawn[:n].tolist() != drawn[n:].tolist()
    else:  # the sample that is drawn most is so in every part
        most, share = int(np.argmax(repeats)), max(repeats) / n
        for part in np.array_split(drawn[:n], 10):
            assert abs((part == most).mean() - share) < 0.2


def test_passes_are_shuffled_anew():
    draws = EndlessDraws(torch.ones(50, dtype=torch.int64), 50, torch.Generator().manual_seed(0))
    first, second = islice(draws, 2)
    assert not torch.equal(first, torch.arange(50))
    assert not torch.equal(first, second)


def test_nothing_to_draw_is_an_error_and_no_endless_loop():
    with pytest.raises(ValueError, match=r"repeats .* are 0"):
        next(EndlessDraws(torch.zeros(3, dtype=torch.int64), 4, torch.Generator()))


@pytest.mark.parametrize("margin", [-0.2, 0.0, 0.25])
def test_shapes_are_placed_in_the_middle_with_their_margin(margin):
    placed = place_shape(LAYOUT * 7 - 300, 80, margin)
    low, high = placed.min(0), placed.max(0)
    np.testing.assert_allclose(low + high, 79)
    np.testing.assert_allclose((high - low).max() * (1 + 2 * margin), 80)
    assert np.isfinite(geometry.similarity(LAYOUT, placed)).all()


def test_the_first_crop_frames_the_box(chips):
    crop = box_crop(64, 0.1)
    boxes = np.array([[3.0, 4, 50, 60]])
    through = geometry.compose(crop.matrix.astype(float), FRAME.matrices(boxes))
    np.testing.assert_allclose(through, geometry.from_box(boxes, 64, 0.1), atol=1e-4)
    assert crop.scale == pytest.approx(64 / 1.2 / 100)
    mean = chips.to_chip(SHAPES).mean(0)
    np.testing.assert_allclose(crop.start(mean), geometry.apply(crop.matrix, mean))


def test_later_crops_start_at_the_mean_shape(chips):
    crop = shape_crop(chips, 96, 0.3)
    np.testing.assert_allclose(crop.start(None), place_shape(LAYOUT, 96, 0.3), atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_crops_read_arrays_that_forbid_writing(chips):
    crop = shape_crop(chips)
    for array in (crop.matrix, crop.shape):
        array.flags.writeable = False
    crop.matrices(N, CPU, make_truth(chips).points)


@pytest.mark.slow
@pytest.mark.parametrize("refine_on", ["predicted", "truth"])
@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_chips_in_a_tensor_make_the_same_batches(chips, refine_on, device):
    # Tensors are sampled as on a GPU, wherever they lie.
    crop, both = box_crop(), []
    mean = geometry.apply(crop.matrix, chips.to_chip(SHAPES).mean(0))
    tensor = Chips(
        torch.from_numpy(chips.pixels).to(device), chips.matrices, FRAME, torch.device(device)
    )
    for here in (chips, tensor):
        truth = vars(make_truth(chips, weights=torch.ones(N))).values()
        truth = TrainingTargets(*(value.to(here.device) for value in truth))
        first = Stage(Fixed(mean).to(here.device), crop)
        stages = [first, Stage(None, shape_crop(chips))]
        changes = [STRONG, replace(STRONG, deformation=1.0)]
        both.append(make_batches(stages, here, truth, refine_on, changes=changes, n_batches=3))
    on_cpu = [
        ([part.cpu() for part in inputs], targets.cpu(), weights.cpu())
        for inputs, targets, weights in both[1]
    ]
    check_batches(on_cpu, radius=8)
    for batch in both[1]:
        assert {part.device.type for part in (*batch[0], *batch[1:])} == {device}
    for expected, batch in zip(both[0], on_cpu, strict=True):
        torch.testing.assert_close(batch[1], expected[1], atol=0.01, rtol=0)
        assert (batch[0][0] - expected[0][0]).abs().mean() < 1 / 255
        torch.testing.assert_close(batch[0][1], expected[0][1])  # cosines of another device
        assert torch.equal(batch[0][2], expected[0][2])


@pytest.mark.gpu
def test_batches_never_wait_for_the_gpu(chips):
    stage, changes = Stage(Fixed(LAYOUT), box_crop()), replace(STRONG, deformation=1.0)
    on_gpu = Chips(
        torch.from_numpy(chips.pixels).cuda(), chips.matrices, FRAME, torch.device("cuda")
    )
    truth = make_truth(chips)
    truth = TrainingTargets(truth.points.cuda(), truth.permutation.cuda())
    generator = torch.Generator().manual_seed(0)
    variants = crop_variants([stage], [changes], on_gpu, truth, "predicted", generator)
    draws = EndlessDraws(torch.ones(N, dtype=torch.int64), 16, generator)
    batches = training_batches(stage, changes, variants, on_gpu, truth, draws, generator)
    next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for _ in range(5):
            next(batches)
    finally:
        torch.cuda.set_sync_debug_mode("default")
