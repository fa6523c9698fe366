"""Patches lie where landmarks are expected, in training and in prediction."""

from itertools import islice

import numpy as np
import pytest
import torch
from drawn import draw_dots

from skwing import BoxedImages, geometry
from skwing._crops.chips import ChipFrame, Chips, cut_chips
from skwing._crops.crop import Crop
from skwing._crops.random_changes import StageAugmentation
from skwing._prediction.confidence import crop_spread
from skwing._prediction.stages import Stage, read_crops, read_stages
from skwing._training.batches import TrainingTargets
from skwing._training.draws import EndlessDraws
from skwing._training.patch_batches import patch_batches, patch_places

LAYOUT = np.array([[0, 0], [80, 8], [40, 40], [10, 90], [70, 85.0]])
MIRROR = torch.tensor([1, 0, 2, 4, 3])
N, L = 4, len(LAYOUT)
FRAME = ChipFrame(240, 0.5)
SIZE = 160  # of the frame of the patches
CPU = torch.device("cpu")


def make_shapes():
    rng = np.random.default_rng(0)
    turns = geometry.from_parts(
        rng.uniform(-0.5, 0.5, N), rng.uniform(0.9, 1.1, N), rng.uniform(70, 80, (N, 2)), 40.0
    )
    return geometry.apply(turns, LAYOUT)


SHAPES = make_shapes()


@pytest.fixture(scope="module")
def chips():
    images = [draw_dots(points, (250, 260)) for points in SHAPES]
    return cut_chips(BoxedImages(images, boxes=geometry.boxes_of(SHAPES)), FRAME)


@pytest.fixture(scope="module")
def truth(chips):
    return TrainingTargets(torch.as_tensor(chips.to_chip(SHAPES), dtype=torch.float32), MIRROR)


class Centers(torch.nn.Module):
    """A network that finds the centre of what is bright in each patch."""

    input_size, patch_size, reads_patches = SIZE, 32, True
    scatter = 0.01

    def forward(self, patches):
        bright = patches.mean(2)
        axis = torch.arange(patches.shape[-1]) - (patches.shape[-1] - 1) / 2
        x, y = (bright.sum(i) @ axis / bright.sum((2, 3)) for i in (2, 3))
        return torch.stack([x, y], -1)


class Guesses(torch.nn.Module):
    """First stage that is wrong by a few pixels."""

    def __init__(self, points, off):
        super().__init__()
        self.points = points + off

    def forward(self, crops):
        return self.points[: len(crops)]


def frame_crop(chips):
    return Crop.of_shape(SIZE, 0.3, LAYOUT, chips.to_chip(SHAPES).mean(0))


def patch_stage(chips, **settings):
    return Stage(Centers(), frame_crop(chips), **settings)


@pytest.mark.parametrize("as_tensor", [False, True])
@pytest.mark.parametrize("size", [200, 80])
def test_a_patch_is_a_part_of_the_crop(chips, truth, as_tensor, size):
    if as_tensor:  # as on a GPU
        chips = Chips(torch.as_tensor(chips.pixels), chips.matrices, FRAME)
    crop = Crop.of_shape(size, 0.3, LAYOUT, chips.to_chip(SHAPES).mean(0))
    assert (crop.scale < 0.75) == (size == 80)
    rows, matrices = torch.arange(N), crop.matrices(N, CPU, truth.points)
    whole = chips.sample(rows, matrices, size, crop.scale)
    middles = torch.tensor([[20.5, 30.5], [40.5, 24.5]])
    found = chips.patches(rows, matrices, middles.expand(N, 2, 2), 16, crop.scale)
    assert found.shape == (N, 2, 3, 16, 16)
    for i, (x, y) in enumerate([(13, 23), (33, 17)]):
        part = whole[:, :, y : y + 16, x : x + 16]
        # OpenCV rounds positions to 1/32 of a pixel, from another origin.
        torch.testing.assert_close(found[:, i], part, atol=0.03, rtol=0)


@pytest.mark.parametrize("mirrored", [False, True])
def test_landmarks_are_found_around_those_of_the_stage_before(chips, truth, mirrored):
    off = torch.tensor([[3.0, -2], [-4, 1], [0, 5], [2, 2], [-3, -3]])
    box = Crop.of_box(FRAME.size, FRAME.margin, FRAME)  # chip pixels
    first = Stage(Guesses(truth.points, off), box)
    stages = [first, patch_stage(chips, permutation=MIRROR if mirrored else None)]
    before, after = read_stages(stages, chips, torch.arange(N)).points
    torch.testing.assert_close(before, truth.points + off)
    torch.testing.assert_close(after, truth.points, atol=0.2, rtol=0)


def test_an_asymmetry_is_added_in_pixels_of_the_frame(chips, truth):
    stage = patch_stage(chips)
    matrices = stage.crop.matrices(N, CPU, truth.points)
    plain = read_crops(stage, chips, torch.arange(N), matrices, before=truth.points)
    stage.asymmetry = torch.full((L, 2), 2.0)
    moved = read_crops(stage, chips, torch.arange(N), matrices, before=truth.points)
    off = geometry.apply(matrices, moved) - geometry.apply(matrices, plain)
    torch.testing.assert_close(off, torch.full((N, L, 2), 2.0), atol=1e-3, rtol=0)


def test_lost_landmarks_of_the_stage_before_stay_lost(chips, truth):
    off = torch.zeros(N, L, 2)
    off[1, 2, 0] = torch.nan
    first = Stage(Guesses(truth.points, off), Crop.of_box(FRAME.size, FRAME.margin, FRAME))
    _, after = read_stages([first, patch_stage(chips)], chips, torch.arange(N)).points
    assert after.isnan().all((1, 2)).tolist() == [False, True, False, False]
    assert after[[0, 2, 3]].isfinite().all()


class Still(Centers):
    """A network that leaves every landmark in the middle of its patch."""

    def forward(self, patches):
        return torch.zeros(*patches.shape[:2], 2)


def test_spread_is_that_of_guesses_and_not_of_what_the_image_shows(chips, truth):
    rows, stage = torch.arange(N), patch_stage(chips)
    matrices = stage.crop.matrices(N, CPU, truth.points)
    sure = crop_spread(stage, chips, rows, matrices, truth.points)
    stage.network = Still()
    guessed = crop_spread(stage, chips, rows, matrices, truth.points)
    # Four of seven looks are shifted by 4 % of a patch.
    shift = 0.04 * 32 / geometry.scale_of(matrices)[:, None]
    torch.testing.assert_close(guessed, shift * (4 / 7) ** 0.5 * torch.ones(L), rtol=1e-3, atol=0)
    assert (sure < 0.2 * guessed).all()


def draw_batches(stage, places, chips, truth, augmentation, n_batches=6):
    generator = torch.Generator().manual_seed(0)
    draws = EndlessDraws(torch.ones(N, dtype=torch.int64), 16, generator)
    batches = patch_batches(stage, augmentation, places, chips, truth, draws, generator)
    return list(islice(batches, n_batches))


def test_targets_lie_on_what_their_patches_show(chips, truth):
    strong = StageAugmentation(rotation=30, scale=0.1, shift=0.1, mirror=0.5, contrast=0.3)
    stage = patch_stage(chips)
    batches = draw_batches(stage, truth.points, chips, truth, strong)
    assert len({tuple(flags.tolist()) for (_, _, flags), _, _ in batches}) > 1
    for (patches, _, _), targets, weights in batches:
        assert weights is None
        black = patches.amin((2, 3, 4), keepdim=True)  # contrast changes it
        torch.testing.assert_close(Centers()(patches - black), targets, atol=0.4, rtol=0)
    shifts = torch.cat([targets for _, targets, _ in batches])
    size = np.sqrt(0.5**2 + np.exp(2 * 0.5**2)) * Centers.scatter * SIZE
    assert float(shifts.std()) == pytest.approx(size, rel=0.15)


def test_missing_landmarks_have_patches_where_they_are_expected(chips, truth):
    points = truth.points.clone()
    points[0, 1] = points[2, 3, 0] = torch.nan
    lacking = TrainingTargets(points, MIRROR)
    first = Stage(Guesses(truth.points, 1.0), Crop.of_box(FRAME.size, FRAME.margin, FRAME))
    places = patch_places([first, patch_stage(chips)], chips, lacking)
    missing = points.isnan().any(-1)
    torch.testing.assert_close(places[missing], truth.points[missing] + 1)
    torch.testing.assert_close(places[~missing], truth.points[~missing])
    ((patches, *_), targets, _) = draw_batches(
        patch_stage(chips), places, chips, lacking, StageAugmentation(), 1
    )[0]
    assert targets.isnan().any(-1).sum() == 8  # each of the four samples is drawn four times
    assert (patches.amax((2, 3, 4)) > 0.5).all()
