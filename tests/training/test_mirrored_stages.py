"""Which stages read mirrored crops, and which shapes are made symmetric."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from small import UNBENT

from skwing import Augmentation, BoxedImages, CascadeLandmarkRegressor, LandmarkSchema
from skwing._utils.parts import Part
from skwing.datasets import make_faces
from skwing.networks import PlainCNN
from skwing.shapes._reference import is_symmetric, reference_shape

TINY = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)
# Snout, dorsal fin, both tips of the tail, belly: a fish that swims to the left.
FISH = np.array([[0.0, 20], [24, 6], [50, 10], [52, 30], [26, 32]])
NAMES = ("snout", "dorsal", "tail_up", "tail_down", "belly")


def tiny(**settings):
    defaults = {"networks": (TINY, TINY), "max_epochs": 2, "batch_size": 4, "random_state": 0}
    return CascadeLandmarkRegressor(device="cpu", **{**UNBENT, **defaults, **settings})


@pytest.fixture(scope="module")
def faces():
    return make_faces(12, image_size=48, random_state=0)


def fish(n=8):
    rng = np.random.default_rng(0)
    y = FISH + 4 + rng.normal(0, 0.6, (n, 5, 2))
    return rng.integers(0, 255, (n, 48, 64, 3), dtype=np.uint8), y


def flip(data):
    images = [np.ascontiguousarray(data.decode(i)[:, ::-1]) for i in range(len(data))]
    boxes = data.boxes.copy()
    boxes[:, 0] = [im.shape[1] for im in images] - boxes[:, 0] - boxes[:, 2]
    return BoxedImages(images, boxes=boxes, schema=data.schema)


def mirrors_itself(reg, data):
    """Whether mirrored images are answered by mirrored landmarks."""
    width = data.decode(0).shape[1]
    there = data.schema.mirror_points(reg.predict(flip(data)))
    return np.abs([width - 1, 0] + [-1, 1] * there - reg.predict(data)).max() < 0.05


@pytest.mark.slow
@pytest.mark.parametrize(("mirror", "expected"), [(0.0, [False] * 2), (0.5, [True] * 2)])
def test_a_network_reads_mirrored_crops_if_it_has_learned_on_them(faces, mirror, expected):
    reg = tiny(
        augmentation=Augmentation(deformation=0.0, mirror=mirror), networks=(TINY, TINY)
    ).fit(faces.data, faces.target)
    assert reg.mirrored_ == expected
    single = reg.set_params(networks=(TINY,)).fit(faces.data, faces.target)
    for asymmetry in single.asymmetry_:
        asymmetry[:] = 0
    assert mirrors_itself(single, faces.data) == expected[0]


@pytest.mark.slow
def test_it_holds_for_each_stage_and_goes_with_the_model(faces, tmp_path):
    import pickle

    from skwing import load_model, save_model

    later = Augmentation(deformation=0.0, mirror=(0.0, 0.5))
    reg = tiny(augmentation=later, random_state=1).fit(faces.data, faces.target)
    assert reg.mirrored_ == [False, True]
    off = tiny(augmentation=later, random_state=1, average_mirrored=False)
    off.fit(faces.data, faces.target)
    first, second = reg.staged_predict(faces.data)
    first_off, second_off = off.staged_predict(faces.data)
    np.testing.assert_array_equal(first, first_off)
    assert not np.allclose(second, second_off)
    save_model(reg, tmp_path / "model.safetensors")
    pickled, stored = (pickle.loads(pickle.dumps(reg)), load_model(tmp_path / "model.safetensors"))
    for other in (pickled, stored):
        assert other.mirrored_ == [False, True]
        np.testing.assert_array_equal(other.predict(faces.data), second)


@pytest.mark.slow
def test_the_last_training_counts(faces):
    reg = tiny(warm_start=True, augmentation=Augmentation(deformation=0.0, mirror=(0.5, 0))).fit(
        faces.data, faces.target
    )
    assert reg.set_params(augmentation__mirror=(0, 0.5)).fit(
        faces.data, faces.target
    ).mirrored_ == [False, True]


@pytest.mark.parametrize("turn", [0, 40])
def test_a_shape_from_the_side_is_not_made_a_line(turn):
    schema = LandmarkSchema.from_names("fish", NAMES, pairs=())
    angle = np.radians(turn)
    matrix = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    shape = reference_shape((fish()[1] - 30) @ matrix, 2, schema)
    (width, height), _ = np.ptp(shape @ matrix.T, axis=0), None
    assert width == pytest.approx(2, rel=0.3) and height > 0.4 * width
    assert not is_symmetric(shape, schema)


def test_later_stages_do_not_mirror_what_has_no_symmetric_shape():
    X, y = fish()
    schema = LandmarkSchema.from_names("fish", NAMES, pairs=())
    with pytest.warns(UserWarning, match=r"'fish'.*only the first stage.*mirror=None") as told:
        reg = tiny(schema=schema).fit(X, y)
    assert sum("only the first stage" in str(one.message) for one in told) == 1
    assert reg.mirrored_ == [True, False]
    none = LandmarkSchema("fish", NAMES)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*only the first stage")
        plain = tiny(schema=none).fit(X, y)
        tiny(schema=schema, augmentation=Augmentation(deformation=0.0, mirror=(0.5, 0))).fit(X, y)
        tiny(schema=schema, networks=(TINY,)).fit(X, y)
    np.testing.assert_allclose(reg.mean_shape_, plain.mean_shape_)
    np.testing.assert_allclose(reg.crops_[1].shape, plain.crops_[1].shape)


def test_legs_in_pairs_do_not_make_a_horse_symmetric():
    horse = np.array([[0.0, 10], [40, 12], [12, 40], [14, 40], [36, 41], [38, 41]])
    schema = LandmarkSchema("horse", tuple("hilrmn"), mirror=(0, 1, 3, 2, 5, 4))
    points = horse + np.random.default_rng(0).normal(0, 0.5, (9, 6, 2))
    assert not is_symmetric(reference_shape(points, 2, schema), schema)


def test_faces_and_spines_are_symmetric(faces):
    schema = faces.data.schema
    shape = reference_shape(faces.target, 2, schema)
    assert is_symmetric(shape, schema)
    # All turned to one side, and narrowed by that: symmetric still.
    turned = faces.target * [0.5, 1] + 0.3 * faces.target[..., ::-1] * [1, 0]
    assert is_symmetric(reference_shape(turned, 2, schema), schema)
    rng = np.random.default_rng(0)
    spine = np.stack([np.zeros(8), np.arange(8.0)], -1) + rng.normal(0, 0.05, (20, 8, 2))
    line = LandmarkSchema("spine", tuple("abcdefgh"), mirror=range(8))
    assert is_symmetric(reference_shape(spine, 2, line), line)


class Perfect(torch.nn.Module):
    """Finds the brightest pixels' middle, and says it for both landmarks."""

    input_size = 32

    def __init__(self, n_landmarks):
        super().__init__()
        self.n_landmarks = n_landmarks
        self.unused = torch.nn.Parameter(torch.zeros(1))

    def forward(self, images):
        weight = images.mean(1) ** 2
        y, x = torch.meshgrid(*map(torch.arange, weight.shape[-2:]), indexing="ij")
        total = weight.sum((1, 2)).clamp_min(1e-9)
        middle = torch.stack([(weight * x).sum((1, 2)), (weight * y).sum((1, 2))], -1)
        return (middle / total[:, None])[:, None].expand(-1, self.n_landmarks, 2)


def test_asymmetry_turns_with_the_crop():
    """A network that finds its landmarks however the crop lies has no spread."""
    from skwing._crops.chips import ChipFrame, Chips
    from skwing._crops.crop import Crop
    from skwing._prediction.confidence import crop_spread
    from skwing._prediction.stages import Stage

    rows, columns = np.indices((64, 64))
    spot = np.exp(-((columns - 30) ** 2 + (rows - 34) ** 2) / 18)
    pixels = np.repeat(np.round(255 * spot)[None, ..., None], 3, -1).astype(np.uint8)
    frame = ChipFrame(64, 0.5)
    chips = Chips(pixels, np.eye(2, 3)[None], frame)
    asymmetry = torch.tensor([[3.0, 0.0], [-1.0, 2.0]])
    stage = Stage(Perfect(2), Crop.of_box(32, 0.5, frame), asymmetry=asymmetry)
    matrices = stage.crop.matrices(1, chips.device)
    spread = crop_spread(stage, chips, torch.tensor([0]), matrices)
    assert spread.max() < 0.05


def test_guesses_for_later_stages_have_it_turned_as_well():
    from skwing._crops.chips import ChipFrame, Chips
    from skwing._crops.crop import Crop
    from skwing._crops.random_changes import StageAugmentation
    from skwing._prediction.stages import Stage, read_stages
    from skwing._training.batches import _guess

    rows, columns = np.indices((64, 64))
    spot = np.exp(-((columns - 30) ** 2 + (rows - 34) ** 2) / 18)
    pixels = np.repeat(np.round(255 * spot)[None, ..., None], 3, -1).astype(np.uint8)
    frame = ChipFrame(64, 0.5)
    chips = Chips(np.repeat(pixels, 6, 0), np.repeat(np.eye(2, 3)[None], 6, 0), frame)
    asymmetry = torch.tensor([[6.0, 0.0], [-1.0, 2.0]])
    changes = StageAugmentation(rotation=90, scale=0.2, shift=0.02)
    stage = Stage(Perfect(2), Crop.of_box(32, 0.5, frame), asymmetry=asymmetry)
    indices = torch.arange(6)
    generator = torch.Generator().manual_seed(0)
    guess = _guess([stage], [changes], chips, indices, generator, Part.whole(6))
    (plain,) = read_stages([stage], chips, indices).points
    torch.testing.assert_close(guess, plain, atol=0.15, rtol=0)
