import copy
import math

import numpy as np
import pytest
import torch

from skwing import CascadeLandmarkRegressor, geometry, load_model, save_model
from skwing._crops.chips import ChipFrame, Chips
from skwing._crops.crop import Crop
from skwing._prediction import retry as module
from skwing._prediction.read_images import read_chips
from skwing._prediction.retry import NEVER, Retry, doubts_of, looks_alike_turned, read_again
from skwing._prediction.stages import Reading, Stage, read_stages
from skwing._prediction.state import put, taken
from skwing._training import doubt_limit
from skwing.datasets import make_faces

# Two eyes (red) above a tip (green); the eyes swap places in a mirrored image.
SHAPE = np.array([[-14.0, -12.0], [14.0, -12.0], [0.0, 16.0]])
MIRROR = torch.tensor([1, 0, 2])
SIDE = 160
FRAME = ChipFrame(SIDE, 0.5)
ANGLES = np.radians([0, 10, -20, 60, 90, 137, 180, -100])
OFF = np.array([[0, 0], [9, -7], [0, 0], [0, 0], [8, 5], [0, 0], [-6, 6], [0, 0.0]])


def shapes(angles=ANGLES, scales=1.0, off=OFF):
    n = len(angles)
    shift = np.full((n, 2), (SIDE - 1) / 2) + off
    return geometry.apply(geometry.from_parts(angles, np.full(n, scales), shift, 0.0), SHAPE)


def draw(points):
    rows, columns = np.indices((SIDE, SIDE))
    spots = [np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 18) for x, y in points]
    image = np.stack([spots[0] + spots[1], spots[2], np.zeros_like(spots[0])], -1)
    return np.round(255 * image.clip(0, 1)).astype(np.uint8)


def chips_of(points):
    pixels = np.stack([draw(each) for each in points])
    return Chips(pixels, np.repeat(np.eye(2, 3)[None], len(points), 0), FRAME)


class Upright(torch.nn.Module):
    """Finds upright shapes; takes those that are rolled for an upright one, a bit to the right."""

    def __init__(self, size, roll=30):
        super().__init__()
        self.roll = math.radians(roll)
        upright = SHAPE * size / 64 + (size - 1) / 2 + [6, 0]
        self.upright = torch.tensor(upright, dtype=torch.float32)

    def forward(self, images):
        eyes, tip = images[:, 0] ** 2, images[:, 1] ** 2
        y, x = torch.meshgrid(*map(torch.arange, eyes.shape[-2:]), indexing="ij")

        def middle(weight):
            total = weight.sum((1, 2)).clamp_min(1e-6)
            return torch.stack([(weight * each).sum((1, 2)) / total for each in (x, y)], -1)

        center = middle(eyes)
        left = x[None] < center[:, :1, None]
        points = torch.stack([middle(eyes * left), middle(eyes * ~left), middle(tip)], 1)
        down = points[:, 2] - center
        rolled = torch.atan2(down[:, 0], down[:, 1]).abs() > self.roll
        return torch.where(rolled[:, None, None], self.upright, points)


def cascade(mirrored=True):
    names = MIRROR if mirrored else None
    mean = SHAPE + (SIDE - 1) / 2
    crops = Crop.of_box(64, 0.1, FRAME), Crop.of_shape(48, 0.3, SHAPE, mean)
    start = np.float32(geometry.apply(crops[0].matrix, mean))
    return [Stage(Upright(crop.size), crop, names) for crop in crops], Retry(start, 0.02)


@pytest.mark.parametrize("mirrored", [True, False])
def test_shapes_of_any_roll_are_found(mirrored):
    stages, retry = cascade(mirrored)
    truth = shapes()
    chips = chips_of(truth)
    before, doubt = read_chips(stages, chips)
    (first, last), after = read_chips(stages, chips, retry)
    error = np.linalg.norm(before[-1] - truth, axis=-1).mean(1)
    assert (error[:3] < 0.5).all() and (error[3:] > 2).all()
    assert (doubt[3:] > retry.limit).all()
    np.testing.assert_allclose(last, truth, atol=0.6)
    np.testing.assert_allclose(first, truth, atol=0.8)  # both stages are those of the same attempt
    assert (after <= doubt).all() and (after < retry.limit).all()


def test_small_and_far_off_shapes_are_found():
    stages, retry = cascade()
    for scale in (0.7, 1.4):
        truth = shapes(ANGLES, scale, 2 * OFF)
        (_, last), _ = read_chips(stages, chips_of(truth), retry)
        np.testing.assert_allclose(last, truth, atol=1)


class Central(Upright):
    """Finds upright shapes of the expected size and place only."""

    def forward(self, images):
        points, size = super().forward(images), images.shape[-1]
        away = torch.linalg.vector_norm(points.mean(1) - (size - 1) / 2, dim=-1)
        width = torch.linalg.vector_norm(points[:, 1] - points[:, 0], dim=-1)
        width = width / torch.linalg.vector_norm(self.upright[1] - self.upright[0])
        seen = (away < size / 6) & (width > 0.8) & (width < 1.5)
        return torch.where(seen[:, None, None], points, self.upright)


def test_shapes_far_from_the_middle_are_found():
    stages, retry = cascade()
    stages[0] = Stage(Central(64), stages[0].crop, MIRROR)
    directions = np.radians(np.arange(20, 380, 45))
    truth = shapes(ANGLES, 0.7, 26 * np.stack([np.cos(directions), np.sin(directions)], 1))
    chips = chips_of(truth)
    before, _ = read_chips(stages, chips)
    lost = np.linalg.norm(before[-1] - truth, axis=-1).mean(1) > 5
    assert lost.sum() >= 5
    (_, last), _ = read_chips(stages, chips, retry)
    np.testing.assert_allclose(last[lost], truth[lost], atol=1)


def test_other_crops_agree_with_right_predictions_only():
    stages, retry = cascade()
    truth = shapes()
    chips, rows = chips_of(truth), torch.arange(len(truth))
    crops = stages[0].crop.matrices(len(rows), chips.device)
    first = Stage(Upright(64, roll=75), stages[0].crop, MIRROR)
    turned = shapes(ANGLES + np.radians(130))
    right, wrong = (
        module._agreement(first, chips, rows, reading(points), retry, crops)
        for points in (truth, turned)
    )
    assert (right > 0.8).all() and (wrong < module._AGREED).all()


def test_a_prediction_that_other_crops_agree_with_is_not_searched_for(monkeypatch):
    class Beside(Upright):
        """A bit to the right, so that a mirrored crop contradicts."""

        def forward(self, images):
            return super().forward(images) + torch.tensor([5.0, 0.0])

    (first, last), retry = cascade()
    stages = [
        Stage(network, stage.crop, MIRROR)
        for network, stage in ((Upright(64, roll=75), first), (Beside(48, roll=75), last))
    ]
    searched, search = [], module._best

    def spy(stages, chips, indices, *others):
        searched.extend(indices.tolist())
        return search(stages, chips, indices, *others)

    monkeypatch.setattr(module, "_best", spy)
    chips = chips_of(shapes(np.radians([20, -20, 90, 180]), off=OFF[:4]))
    _, doubt = read_chips(stages, chips)
    assert (doubt > retry.limit).all()
    read_chips(stages, chips, retry)
    assert set(searched) == {2, 3}


def test_predictions_without_doubt_are_not_repeated():
    stages, retry = cascade()
    chips = chips_of(shapes())
    before, doubt = read_chips(stages, chips)
    after, _ = read_chips(stages, chips, retry)
    sure = doubt <= retry.limit
    assert sure.any()
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one[sure], other[sure])
    never, _ = read_chips(stages, chips, Retry(retry.start, NEVER))
    np.testing.assert_array_equal(never[-1], before[-1])


def test_two_eyes_above_a_tip_do_not_look_alike_turned():
    stages, retry = cascade(mirrored=False)
    chips = chips_of(shapes(ANGLES[:3], off=OFF[:3]))
    assert not looks_alike_turned(stages, chips, torch.arange(3), retry)


def test_the_limit_depends_on_whether_mirrored_crops_are_used():
    retry = Retry(cascade()[1].start, 0.02, 0.03)
    for mirrored, limit in (True, 0.02), (False, 0.03):
        assert retry.of(cascade(mirrored)[0]).limit == limit


def test_with_few_training_samples_the_limit_lies_between_right_and_wrong_ones(monkeypatch):
    stages, retry = cascade()
    training = chips_of(shapes(np.radians([0, 10, -20, 5]), off=OFF[:4]))
    _, right = read_chips(stages, training)
    _, wrong = read_chips(stages, chips_of(shapes(ANGLES[3:], off=OFF[3:])))
    never = Retry(retry.start, NEVER)
    limit = doubt_limit._limit(stages, training, never, 1.5)
    assert 1.5 * right.max() < limit < wrong.min()
    monkeypatch.setattr(doubt_limit, "_FEW", len(training))
    limit = doubt_limit._limit(stages, training, never, 1.5)
    assert limit == pytest.approx(1.5 * np.quantile(right, 0.95))


def test_what_is_found_does_not_depend_on_the_batch():
    stages, retry = cascade()
    truth = shapes()
    (_, together), _ = read_chips(stages, chips_of(truth), retry)
    for i in range(len(truth)):
        (_, alone), _ = read_chips(stages, chips_of(truth[[i]]), retry)
        np.testing.assert_allclose(alone[0], together[i], atol=1e-3)


def test_doubtful_samples_are_divided_among_threads(monkeypatch):
    parts = []

    def spy(stages, chips, indices, *rest):
        parts.append(indices)
        return read_again(stages, chips, indices, *rest)

    monkeypatch.setattr("skwing._prediction.read_images.read_again", spy)
    stages, retry = cascade()
    chips = chips_of(shapes())
    _, doubt = read_chips(stages, chips)
    read_chips(stages, chips, retry)
    assert len(parts) > 1
    doubtful = np.flatnonzero(doubt > retry.limit)
    np.testing.assert_array_equal(torch.cat(parts).sort().values, doubtful)


class Fickle(torch.nn.Module):
    """Answers something else for every image."""

    def forward(self, images):
        seen = images.mean((2, 3))
        return 20 + 24 * torch.sin(977 * seen[:, :, None] + torch.tensor([0.0, 1.3]))


def test_a_prediction_gives_way_only_to_one_of_less_doubt():
    (first, last), retry = cascade()
    stages = [first, Stage(Fickle(), last.crop, MIRROR)]
    rng = np.random.default_rng(0)
    chips = chips_of(shapes(rng.uniform(-3, 3, 40), 1.0, rng.uniform(-9, 9, (40, 2))))
    before, doubt = read_chips(stages, chips)
    after, now = read_chips(stages, chips, retry)
    changed = (before[-1] != after[-1]).any((1, 2))
    assert changed.any()
    assert (now[changed] < doubt[changed]).all()
    np.testing.assert_array_equal(now[~changed], doubt[~changed])


def test_only_objects_of_much_doubt_are_searched_for_in_other_places(monkeypatch):
    (first, last), retry = cascade()
    stages, places = [first, Stage(Fickle(), last.crop, MIRROR)], []
    search = module._best

    def spy(*inputs):  # once for each place
        places.append(inputs)
        return search(*inputs)

    monkeypatch.setattr(module, "_best", spy)
    monkeypatch.setattr(module, "_AGREED", 2.0)  # no prediction is taken for right
    monkeypatch.setattr(module, "_LOST", 0.0)  # nor for lost
    none = torch.zeros(1, dtype=torch.bool)
    monkeypatch.setattr(module, "_from_itself", lambda *inputs: (inputs[3], none))
    chips, rows = chips_of(shapes(ANGLES[:1], off=OFF[:1])), torch.tensor([0])
    crops = first.crop.matrices(1, chips.device)
    found = read_stages(stages, chips, rows)
    doubt = float(doubts_of(found))
    for times, n_places in (1.3, 1), (1.4, 5):
        places.clear()
        read_again(stages, chips, rows, found, Retry(retry.start, doubt / times), crops)
        assert len(places) == n_places


def reading(points, before=None, apart=None, sides=None):
    n = len(points)
    points = torch.as_tensor(points, dtype=torch.float32)
    earlier = [] if before is None else [torch.as_tensor(before, dtype=torch.float32)]
    apart = None if apart is None else torch.as_tensor(apart, dtype=torch.float32)
    sides = torch.full((n,), 10.0) if sides is None else torch.as_tensor(sides)
    return Reading([*earlier, points], apart, sides)


def test_doubt_is_relative_to_the_size_of_the_shape():
    size = np.sqrt(SHAPE.var(0).sum())
    for scale in (0.1, 1.0, 30.0):
        points = scale * SHAPE[None]
        found = doubts_of(reading(points, points + [3 * scale, 0], [12 * scale]))
        np.testing.assert_allclose(found, [6 / size], rtol=1e-5)  # the mean of 3 and 12 is 6
    np.testing.assert_allclose(doubts_of(reading(points, apart=[30.0])), [1 / size], rtol=1e-5)
    one = reading(points[:, :1], points[:, :1] + [0, 4], sides=[8.0])
    np.testing.assert_allclose(doubts_of(one), [0.5])
    assert doubts_of(reading(points)) == 0
    answers = [scale * SHAPE[None] + [x, 0] for x in (0, 2, 10)]  # of three stages
    answers = [torch.as_tensor(points, dtype=torch.float32) for points in answers]
    once = doubts_of(Reading(answers, None, torch.tensor([10.0])))
    np.testing.assert_allclose(once, [4 / (scale * size)], rtol=1e-5)  # the mean of 2 and 8 is 4
    both = doubts_of(Reading(answers, torch.tensor([0.5]), torch.tensor([10.0])))
    np.testing.assert_allclose(both, [2 / (scale * size)], rtol=1e-5)
    points = np.where([[True], [False], [False]], np.nan, points)
    assert doubts_of(reading(points, SHAPE[None])) == np.inf


@pytest.fixture(scope="module")
def fitted():
    faces = make_faces(16, image_size=48, random_state=0)
    reg = CascadeLandmarkRegressor(
        networks=("cnn6", "cnn6"), max_epochs=1, random_state=0, device="cpu"
    )
    return reg.fit(faces.data[:12], faces.target[:12]), faces.data


def test_retry_is_off_where_it_is_not_wanted(fitted, monkeypatch):
    from skwing._prediction import read_images

    reg, X = fitted
    assert 0 < reg._retry.limit < NEVER and reg._retry.start.shape == (68, 2)
    assert 0 < reg._retry.limit_once < NEVER
    asked = []

    def spy(stages, chips, indices, reading, retry, crops):
        asked.extend(indices.tolist())
        return reading

    monkeypatch.setattr(read_images, "read_again", spy)
    for average in (True, False):
        monkeypatch.setattr(reg, "average_mirrored", average)
        for limits in (0.0, NEVER), (NEVER, 0.0):  # everything or nothing is doubtful
            monkeypatch.setattr(reg, "_retry", Retry(reg._retry.start, *limits))
            reg.predict(X)
            assert sorted(asked) == (list(range(len(X))) if limits[not average] == 0 else [])
            asked.clear()
    monkeypatch.setattr(reg, "retry", False)
    reg.predict(X)
    assert not asked


def test_without_schema_predictions_are_repeated_too():
    faces = make_faces(12, image_size=48, random_state=0)
    reg = CascadeLandmarkRegressor(networks=("cnn6", "cnn6"), max_epochs=1, device="cpu")
    reg.fit(np.stack([faces.data.decode(i) for i in range(12)]), faces.target)
    assert reg._retry.limit == NEVER and 0 < reg._retry.limit_once < NEVER


def test_models_keep_when_to_repeat(fitted, tmp_path):
    reg, X = fitted
    save_model(reg, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    assert again._retry.limit == reg._retry.limit
    assert again._retry.limit_once == reg._retry.limit_once
    np.testing.assert_array_equal(again._retry.start, reg._retry.start)
    np.testing.assert_array_equal(again.predict(X), reg.predict(X))


def test_without_mirrored_crops_models_of_0_16_do_not_repeat(fitted):
    state = copy.deepcopy(taken(fitted[0]))
    state["certainty"] = {"intercept": 1.0, "slope": -1.0, "averaged": False}
    del state["retry"]["limit_once"]
    reg = CascadeLandmarkRegressor()
    put(reg, state, "a model")
    assert reg._retry.limit == fitted[0]._retry.limit and reg._retry.limit_once == NEVER
    assert reg._certainty is not None  # the doubt of two stages is the same


def test_the_confidence_of_another_doubt_is_not_kept(fitted):
    state = copy.deepcopy(taken(fitted[0]))
    for key in ("networks", "crops", "asymmetry", "n_iter", "mirrored"):
        state[key].append(state[key][-1])
    state["n_planned"] = 3
    for averaged in (True, False):
        state["certainty"] = {"intercept": 1.0, "slope": -1.0, "averaged": averaged}
        for before_0_17 in (False, True):
            if before_0_17:
                state["retry"].pop("limit_once", None)
            reg = CascadeLandmarkRegressor()
            put(reg, state, "a model")
            assert (reg._certainty is None) == (before_0_17 and not averaged)
        state["retry"]["limit_once"] = 0.1
