import copy
import io
import pickle
import pickletools
import random
import warnings
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from small import STILL, UNBENT, first_fast, only
from torch import nn

from skwing import (
    Augmentation,
    BoxedImages,
    CascadeLandmarkRegressor,
    LandmarkSchema,
    PoseBalancer,
)
from skwing.boxes import landmark_boxes
from skwing.datasets import make_faces
from skwing.exceptions import DataWarning
from skwing.losses import wing
from skwing.metrics import nme
from skwing.networks import PlainCNN, ShapeIndexedCNN

PLAIN = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)
TINY = partial(PLAIN, batch_norm=True)  # learns in a second
# Outer eye corners, tip of the nose, corners of the mouth.
FIVE = [36, 45, 30, 48, 54]
SCHEMA = LandmarkSchema(
    "five",
    ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth"),
    mirror=(1, 0, 2, 4, 3),
    normalizers={"inter_ocular": ((0,), (1,))},
)
# Steps too small to change a float32, and no statistics that move without them.
FROZEN = {"networks": (PLAIN, PLAIN), "learning_rate": 1e-12, "weight_decay": 0.0}
# Cutting a crop rounds to 8 bits: what differs by rounding errors in a matrix differs by this.
ROUNDING = 0.01


def tiny(**settings):
    defaults = {"networks": (TINY, TINY), "max_epochs": 2, "batch_size": 4, "random_state": 0}
    plain = {"average_mirrored": False}  # so that a schema changes nothing in predict
    return CascadeLandmarkRegressor(device="cpu", **{**UNBENT, **defaults, **plain, **settings})


@pytest.fixture(scope="module")
def faces():
    return make_faces(12, image_size=48, random_state=0)


@pytest.fixture(scope="module")
def X(faces):
    """The images alone, without boxes or schema."""
    return np.stack([faces.data.decode(i) for i in range(len(faces.data))])


@pytest.fixture(scope="module")
def y(faces):
    return faces.target[:, FIVE]


@pytest.fixture(scope="module")
def fitted(X, y):
    """Trained a little, so that its answers differ from image to image. Not to be changed."""
    reg = tiny(max_epochs=25, learning_rate=1e-2, **STILL).fit(X, y)
    assert reg.predict(X).std(axis=0).min() > 1
    return reg


@pytest.fixture(scope="module")
def plain(X, y):
    """As `tiny` comes. Not to be changed."""
    return tiny().fit(X, y)


def errors_of(reg, X, y):
    return nme(y, reg.predict(X), schema=SCHEMA, per_sample=True)


# ---------------------------------------------------------------------------------------
# Learning
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_cascade_learns_faces_by_heart_and_its_second_stage_does_better(faces):
    network = partial(PlainCNN, widths=(8, 16, 32), input_size=32, batch_norm=True)
    settings = {"augmentation": only(mirror=0.5), "max_epochs": 60, "learning_rate": 3e-3}
    reg = tiny(networks=(network, network), **settings).fit(faces.data, faces.target)
    first, second = (nme(faces.target, p, schema="ibug68") for p in reg.staged_predict(faces.data))
    mean = np.broadcast_to(faces.target.mean(axis=0), faces.target.shape)
    guess = nme(faces.target, mean, schema="ibug68")
    assert second < first < 0.4 * guess
    assert second < 0.2 * guess


@pytest.mark.slow
def test_training_starts_at_the_mean_of_the_training_landmarks(X, y):
    reg = tiny(max_epochs=1, **{**STILL, **FROZEN, "networks": (PLAIN,)}).fit(X, y)
    expected = np.broadcast_to(y.mean(axis=0), y.shape)
    np.testing.assert_allclose(reg.predict(X), expected, atol=ROUNDING)


# ---------------------------------------------------------------------------------------
# Layouts of y
# ---------------------------------------------------------------------------------------
def test_predict_answers_in_the_layout_that_fit_saw(plain, X, y):
    points = plain.predict(X)
    flat = tiny().fit(X, y.reshape(len(y), -1)).predict(X)
    assert points.shape == (12, 5, 2)
    assert points.dtype == np.float64
    assert flat.shape == (12, 10)
    np.testing.assert_array_equal(flat.reshape(points.shape), points)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [list, pd.DataFrame, torch.as_tensor, np.float32])
def test_y_may_be_any_array_like(plain, X, y, kind):
    answer = tiny().fit(X, kind(y.reshape(len(y), -1))).predict(X)
    np.testing.assert_allclose(answer.reshape(y.shape), plain.predict(X), atol=ROUNDING)


def test_every_stage_answers_in_the_layout_of_fit(X, y):
    reg = tiny(max_epochs=1).fit(X, y.reshape(len(y), -1))
    assert [p.shape for p in reg.staged_predict(X)] == [(12, 10), (12, 10)]


def test_score_takes_either_layout(fitted, X, y):
    assert fitted.score(X, y.reshape(len(y), -1)) == fitted.score(X, y)


# ---------------------------------------------------------------------------------------
# Missing landmarks
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_missing_landmarks_are_learned_from_the_other_samples(X, y):
    holes = y.copy()
    holes[::2, 0] = np.nan
    holes[1, 3] = np.nan
    holes[5] = np.nan
    reg = tiny(max_epochs=30, learning_rate=1e-2, **STILL).fit(X, holes)
    assert np.isfinite(reg.mean_shape_).all()
    assert np.isfinite(reg.predict(X)).all()
    known = [1, 3, 7, 9, 11]
    mean = np.broadcast_to(y.mean(axis=0), y.shape)
    guess = nme(y[known], mean[known], schema=SCHEMA)
    assert errors_of(reg, X, y)[known].mean() < 0.5 * guess


@pytest.mark.slow
def test_an_image_without_landmarks_teaches_nothing(X, y):
    holes = y.copy()
    holes[2] = np.nan
    negative = X.copy()
    negative[2] = 255 - negative[2]
    settings = {"networks": (PLAIN, PLAIN), "learning_rate": 1e-2}
    answer = tiny(**settings).fit(X, holes).predict(X)
    other = tiny(**settings).fit(negative, holes).predict(X)
    np.testing.assert_allclose(answer, other, atol=ROUNDING)


def test_score_leaves_missing_landmarks_out(fitted, X, y):
    holes = y.copy()
    holes[0, 2] = holes[4] = np.nan
    reg = copy.copy(fitted)
    reg.schema_ = SCHEMA
    expected = nme(holes, fitted.predict(X), schema=SCHEMA)
    assert reg.score(X, holes) == pytest.approx(-expected)


# ---------------------------------------------------------------------------------------
# Weights and repeats
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_fit_keeps_how_its_boxes_lie_around_landmarks(X, y):
    boxes = landmark_boxes(y, margin=0.1, shift=(0.0, 0.05), square=True)
    boxes[0] = np.nan
    with pytest.warns(DataWarning, match="sample 0, 1 of 12 samples, has no box"):
        known = tiny().fit(BoxedImages(X, boxes), y).box_relation_
    assert (known["margin"], known["shift"]) == (pytest.approx(0.1), pytest.approx((0.0, 0.05)))
    assert tiny().fit(X, y).box_relation_ is None
    whole = np.tile([0, 0, *X.shape[2:0:-1]], (len(X), 1))  # as COCO files store images without
    assert tiny().fit(BoxedImages(X, whole), y).box_relation_ is None


@pytest.mark.slow
def test_weight_zero_leaves_a_sample_out(X, y):
    wild = y.copy()
    wild[3] = 1e6
    weight = np.ones(len(y))
    weight[3] = 0
    keep = weight > 0
    with_weights = tiny().fit(X, wild, sample_weight=weight)
    without = tiny().fit(X[keep], y[keep])
    np.testing.assert_array_equal(with_weights.mean_shape_, without.mean_shape_)
    np.testing.assert_allclose(with_weights.predict(X), without.predict(X), atol=ROUNDING)


@pytest.mark.slow
def test_only_the_ratios_of_weights_matter(plain, X, y):
    weight = np.linspace(1, 2, len(y))
    one = tiny().fit(X, y, sample_weight=weight)
    four = tiny().fit(X, y, sample_weight=4 * weight)
    np.testing.assert_array_equal(four.predict(X), one.predict(X))
    assert np.abs(plain.predict(X) - one.predict(X)).max() > ROUNDING


def torn(X, y, shift=8.0):
    """Every image twice, with landmarks that contradict each other."""
    return np.concatenate([X, X]), np.concatenate([y - shift / 2, y + shift / 2])


def shift_learned(reg, X, y):
    return (reg.predict(X) - y).mean()


@pytest.mark.slow
@pytest.mark.parametrize(("low", "high"), first_fast([(15, 1), (1, 15)]))
@pytest.mark.parametrize("by", ["sample_weight", "repeats"])
def test_samples_pull_by_weight_and_by_repeats(X, y, by, low, high):
    X2, y2 = torn(X, y)
    counts = np.repeat([low, high], len(X))
    # The median of a torn target is at either end, so the side of the heavier is taken.
    reg = tiny(networks=(TINY,), max_epochs=20, learning_rate=1e-2, loss="l1", **STILL)
    if by == "repeats":
        reg.fit(BoxedImages(X2, repeats=counts), y2)
    else:
        reg.fit(X2, y2, sample_weight=counts)
    learned = shift_learned(reg, X, y)
    assert learned > 2 if high > low else learned < -2


@pytest.mark.slow
def test_weights_and_repeats_multiply(X, y):
    X2, y2 = torn(X, y)
    counts = np.repeat([6, 1], len(X))
    reg = tiny(networks=(TINY,), max_epochs=20, learning_rate=1e-2, loss="l2", **STILL)
    reg.fit(BoxedImages(X2, repeats=counts), y2, sample_weight=1 / counts)
    assert abs(shift_learned(reg, X, y)) < 1.5


def test_an_epoch_is_as_long_with_repeats_as_without(X, y):
    repeats = np.arange(len(X)) + 1
    rows = tiny().fit(BoxedImages(X, repeats=repeats), y).history_
    assert [row["n_samples"] for row in rows] == [12, 12, 12, 12]


def test_score_weighs_samples(fitted, X, y):
    weight = np.arange(len(y), dtype=float)
    single = [fitted.score(X[i : i + 1], y[i : i + 1]) for i in range(len(y))]
    expected = np.average(single, weights=weight)
    assert fitted.score(X, y, sample_weight=weight) == pytest.approx(expected, rel=1e-3)


# ---------------------------------------------------------------------------------------
# Random numbers
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_the_same_seed_gives_the_same_model(plain, X, y):
    one, two, other = plain, tiny().fit(X, y), tiny(random_state=4).fit(X, y)
    np.testing.assert_array_equal(one.predict(X), two.predict(X))
    assert [row["loss"] for row in one.history_] == [row["loss"] for row in two.history_]
    assert np.abs(one.predict(X) - other.predict(X)).max() > ROUNDING


@pytest.mark.slow
def test_a_second_fit_starts_anew(plain, X, y):
    reg = copy.deepcopy(plain).fit(X, y)
    np.testing.assert_array_equal(reg.predict(X), plain.predict(X))
    assert len(reg.history_) == 4


@pytest.mark.slow
def test_a_random_state_object_goes_on_between_fits(X, y):
    def answers(rng):
        reg = tiny(networks=(TINY,), max_epochs=1, random_state=rng)
        return [reg.fit(X, y).predict(X) for _ in range(2)]

    one, two = answers(np.random.RandomState(5)), answers(np.random.RandomState(5))
    np.testing.assert_array_equal(one, two)
    assert np.abs(one[0] - one[1]).max() > ROUNDING


def global_states():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), (name, keys.tolist(), *rest), torch.get_rng_state().tolist()


@pytest.mark.slow
def test_global_random_states_are_neither_read_nor_moved(X, y):
    before = global_states()
    one = tiny(early_stopping=True, validation_fraction=0.25).fit(X, y)
    answer = pickle.loads(pickle.dumps(one)).predict(X)
    one.score(X, y)
    assert global_states() == before
    with torch.random.fork_rng():
        torch.manual_seed(99)
        two = tiny(early_stopping=True, validation_fraction=0.25).fit(X, y)
    np.testing.assert_array_equal(two.predict(X), answer)


def test_a_failed_fit_leaves_global_random_states_alone(X, y):
    before = global_states()
    with pytest.raises(ValueError, match="diverged"):
        tiny(loss=lambda residual: residual * float("nan")).fit(X, y)
    assert global_states() == before


# ---------------------------------------------------------------------------------------
# Networks and losses
# ---------------------------------------------------------------------------------------
class Pooled(nn.Module):
    """A user's own: flat answers, no attribute `output`, another input size."""

    input_size = 24

    def __init__(self, n_landmarks):
        super().__init__()
        self.pool = nn.AvgPool2d(4)
        self.linear = nn.Linear(3 * 6 * 6, 2 * n_landmarks)

    def forward(self, images):
        return self.linear(self.pool(images).flatten(1))


@pytest.mark.parametrize(
    "networks", [(TINY,), [TINY] * 3, (Pooled, TINY), (lambda n: Pooled(n),)], ids=len
)
def test_any_number_and_kind_of_networks(X, y, networks):
    reg = tiny(networks=networks, max_epochs=1).fit(X, y)
    stages = list(reg.staged_predict(X))
    assert len(stages) == len(reg.networks_) == len(reg.n_iter_) == len(networks)
    assert all(np.isfinite(points).all() for points in stages)
    assert not any(network.training for network in reg.networks_)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "batch_norm"), [("cnn6_plain", False), ("cnn6", True)])
def test_networks_by_name(X, y, name, batch_norm):
    reg = tiny(networks=(name,), max_epochs=1).fit(X[:4], y[:4])
    layers = [type(layer).__name__ for layer in reg.networks_[0].modules()]
    assert ("BatchNorm2d" in layers) == batch_norm
    assert np.isfinite(reg.predict(X)).all()


def test_a_later_stage_leaves_the_first_as_it_is(X, y):
    # With tight boxes: of small shapes it would need finer chips.
    X = BoxedImages(X, boxes=landmark_boxes(y))
    alone = tiny(networks=(TINY,)).fit(X, y).predict(X)
    first, second = tiny(networks=(TINY, TINY)).fit(X, y).staged_predict(X)
    np.testing.assert_array_equal(first, alone)
    assert np.abs(second - first).max() > ROUNDING


@pytest.mark.slow
def test_a_loss_may_be_a_function(plain, X, y):
    by_name = tiny(loss="wing", w=1.0, epsilon=1.0).fit(X, y)
    own = tiny(loss=partial(wing, w=1.0, epsilon=1.0)).fit(X, y)
    np.testing.assert_array_equal(own.predict(X), by_name.predict(X))
    assert np.abs(plain.predict(X) - by_name.predict(X)).max() > ROUNDING


@pytest.mark.slow
def test_settings_per_stage(plain, X, y):
    expected = list(plain.staged_predict(X))
    spelt = tiny(w=(10.0, 10.0, 99.0), max_epochs=[2]).fit(X, y)
    np.testing.assert_array_equal(list(spelt.staged_predict(X)), expected)
    mixed = tiny(w=(10.0, 1.0), max_epochs=(2, 3)).fit(X, y)
    first, second = mixed.staged_predict(X)
    assert mixed.n_iter_ == [2, 3]
    np.testing.assert_array_equal(first, expected[0])
    assert np.abs(second - expected[1]).max() > ROUNDING


# ---------------------------------------------------------------------------------------
# Schema and mirroring
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_faces_are_mirrored_only_where_a_schema_says_how(X, y):
    never, always = (tiny(augmentation=Augmentation(deformation=0.0, mirror=p)) for p in (0.0, 1.0))
    expected = never.fit(X, y).predict(X)
    np.testing.assert_array_equal(always.fit(X, y).predict(X), expected)
    blind = LandmarkSchema("blind", SCHEMA.landmark_names, mirror=None)
    always.set_params(schema=blind)
    np.testing.assert_array_equal(always.fit(X, y).predict(X), expected)
    always.set_params(schema=SCHEMA)
    assert np.abs(always.fit(X, y).predict(X) - expected).max() > ROUNDING


@pytest.mark.slow
def test_a_mirrored_training_set_finds_mirrored_faces(X, y):
    """Trained on mirrored faces alone, it finds them in mirrored images."""
    settings = {"augmentation": only(mirror=1.0), "max_epochs": 80, "batch_size": 12}
    settings["learning_rate"] = 1e-2
    reg = tiny(schema=SCHEMA, **settings).fit(X, y)
    mirrored = SCHEMA.mirror_points(y) * [-1, 1] + [X.shape[2] - 1, 0]
    X_mirrored = np.ascontiguousarray(X[:, :, ::-1])
    # With five seeds between 0.33 and 0.47; about 1 if nothing were mirrored or renamed.
    assert errors_of(reg, X_mirrored, mirrored).mean() < 0.7 * errors_of(reg, X, y).mean()


@pytest.mark.slow
def test_the_schema_comes_with_the_data_unless_given(X, y):
    data = BoxedImages(X, schema=SCHEMA)
    other = LandmarkSchema("other", SCHEMA.landmark_names, mirror=SCHEMA.mirror)
    assert tiny(max_epochs=1).fit(X, y).schema_ is None
    assert tiny(max_epochs=1).fit(data, y).schema_ == SCHEMA
    assert tiny(max_epochs=1, schema=other).fit(data, y).schema_ == other


def test_score_is_minus_the_error_by_inter_ocular_distance(X, y):
    reg = tiny(schema=SCHEMA).fit(X, y)
    assert reg.score(X, y) == pytest.approx(-nme(y, reg.predict(X), schema=SCHEMA))


def test_score_without_a_schema_is_by_the_box_of_the_landmarks(fitted, X, y):
    sides = np.ptp(y, axis=1) + 1
    lengths = np.sqrt(sides.prod(axis=1))
    expected = nme(y, fitted.predict(X), normalizer=lengths)
    assert fitted.score(X, y) == pytest.approx(-expected)


# ---------------------------------------------------------------------------------------
# History, early stopping, warm start
# ---------------------------------------------------------------------------------------
def test_history_has_a_row_an_epoch(X, y):
    reg = tiny(max_epochs=(2, 1), schedule="constant", learning_rate=2e-3).fit(X, y)
    rows = reg.history_
    assert [(row["stage"], row["epoch"]) for row in rows] == [(1, 1), (1, 2), (2, 1)]
    assert reg.n_iter_ == [2, 1]
    assert all(np.isfinite(row["loss"]) and row["loss"] > 0 for row in rows)
    assert {row["learning_rate"] for row in rows} == {2e-3}
    assert all(row["seconds"] > 0 and row["n_samples"] == 12 for row in rows)
    assert not any("validation_error" in row for row in rows)
    assert len(pd.DataFrame(rows)) == 3


@pytest.mark.slow
def test_given_validation_data_are_reported_and_change_nothing(X, y):
    plain = tiny().fit(X[:8], y[:8])
    reg = tiny().fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:].reshape(4, -1))
    np.testing.assert_array_equal(reg.predict(X), plain.predict(X))
    assert reg.n_iter_ == [2, 2]
    assert all("validation_error" in row for row in reg.history_)
    assert reg.history_[-1]["validation_error"] == pytest.approx(-reg.score(X[8:], y[8:]))


@pytest.mark.slow
@pytest.mark.parametrize("given", [False, True])
def test_early_stopping_waits_and_then_stops(X, y, given):
    reg = tiny(
        max_epochs=20,
        early_stopping=True,
        validation_fraction=0.25,
        n_iter_no_change=3,
        schedule="constant",
        **FROZEN,
    )
    if given:
        reg.fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:])
    else:
        reg.fit(X, y)
    # Nothing moves, so the first epoch stays the best and three more are waited for.
    assert reg.n_iter_ == [4, 4]
    assert len(reg.history_) == 8


@pytest.mark.slow
def test_early_stopping_keeps_the_best_weights(X, y):
    reg = tiny(
        max_epochs=30,
        early_stopping=True,
        n_iter_no_change=4,
        learning_rate=3e-2,
        schedule="constant",
    ).fit(X[:8], y[:8], X_val=X[8:], y_val=y[8:])
    for stage, points in enumerate(reg.staged_predict(X[8:]), start=1):
        errors = [row["validation_error"] for row in reg.history_ if row["stage"] == stage]
        assert min(errors) < errors[-1], "no test: the last epoch is the best"
        lengths = np.sqrt((np.ptp(y[8:], axis=1) + 1).prod(axis=1))
        assert nme(y[8:], points, normalizer=lengths) == pytest.approx(min(errors))


@pytest.mark.slow
def test_held_out_samples_are_not_trained_on(X, y):
    reg = tiny(early_stopping=True, validation_fraction=0.25, batch_size=1).fit(X, y)
    assert [row["n_samples"] for row in reg.history_] == [9] * 4


@pytest.mark.slow
def test_warm_start_goes_on_where_the_last_fit_ended(X, y):
    reg = tiny(warm_start=True, max_epochs=10, learning_rate=1e-2, schedule="constant", **STILL)
    first = reg.fit(X, y).history_
    networks = list(reg.networks_)
    second = reg.fit(X, y).history_
    assert not any(a is b for a, b in zip(networks, reg.networks_, strict=True))
    assert reg.n_iter_ == [10, 10]
    assert second[0]["loss"] < 0.7 * first[0]["loss"]


def test_training_that_diverges_leaves_a_warm_started_model_as_it_was(X, y):
    reg = tiny(warm_start=True).fit(X, y)
    before = reg.predict(X)
    reg.set_params(learning_rate=1e30, optimizer="sgd", schedule="constant", max_epochs=20)
    with pytest.raises(ValueError, match="diverged"):
        reg.fit(X, y)
    np.testing.assert_array_equal(reg.predict(X), before)


def test_averaging_mirrored_crops_makes_predictions_mirror_themselves(X, y):
    """Of a mirrored image the mirrored landmarks, whatever the networks learned.

    But for what labels do not mirror, which is added.
    """
    reg = tiny(networks=(PLAIN, PLAIN), schema=SCHEMA).fit(X, y)
    reg.asymmetry_ = [0 * asymmetry for asymmetry in reg.asymmetry_]
    flipped = np.ascontiguousarray(np.asarray(X)[:, :, ::-1])
    width = flipped.shape[2]

    def asymmetry():
        mirrored = SCHEMA.mirror_points(reg.predict(flipped)) * [-1, 1] + [width - 1, 0]
        return np.abs(mirrored - reg.predict(X)).max()

    assert asymmetry() > 0.1
    reg.set_params(average_mirrored=True)
    assert asymmetry() < 0.01


def test_fit_does_not_mind_where_gradients_are_switched_off(plain, X, y):
    with torch.no_grad():
        inside = tiny().fit(X, y)
    np.testing.assert_array_equal(inside.predict(X), plain.predict(X))


@pytest.fixture(scope="module")
def without_norm(X, y):
    return tiny(networks=(PLAIN, PLAIN), max_epochs=30, learning_rate=1e-2, **STILL).fit(X, y)


@pytest.mark.slow
def test_warm_start_keeps_the_schema_unless_another_is_given(X, y):
    n = y.shape[1]
    names = tuple(f"point_{i}" for i in range(n))
    pairs = LandmarkSchema("pairs", names, (1, 0, *range(2, n)))
    plain = LandmarkSchema("plain", names, None)
    start = tiny(schema=pairs).fit(X, y)
    for data, given, expected in (
        (X, None, pairs),
        (BoxedImages(list(X), schema=plain), None, pairs),
        (X, plain, plain),
    ):
        further = pickle.loads(pickle.dumps(start)).set_params(warm_start=True, schema=given)
        assert further.fit(data, y).schema_ == expected
    fresh = pickle.loads(pickle.dumps(start)).set_params(schema=None)
    assert fresh.fit(X, y).schema_ is None


@pytest.mark.slow
@pytest.mark.parametrize("change", [{}, {"margin": 0.6}, {"schema": SCHEMA}])
def test_warm_start_keeps_what_was_learned_when_settings_change(without_norm, X, y, change):
    reg = copy.deepcopy(without_norm)
    before = reg.predict(X)
    assert before.std(axis=0).min() > 0.1
    reg.set_params(warm_start=True, max_epochs=1, **change, **FROZEN).fit(X[:6], y[:6])
    np.testing.assert_allclose(reg.predict(X), before, atol=ROUNDING)


@pytest.mark.slow
def test_a_warm_started_model_can_be_stored(X, y):
    reg = tiny(warm_start=True).fit(X, y)
    reg.set_params(networks=(Pooled, Pooled)).fit(X, y)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reg)).predict(X), reg.predict(X))


@pytest.mark.slow
def test_a_loaded_model_can_be_trained_on(X, y):
    reg = tiny(warm_start=True, **FROZEN).fit(X, y)
    before = reg.predict(X)
    loaded = pickle.loads(pickle.dumps(reg)).fit(X, y)
    np.testing.assert_allclose(loaded.predict(X), before, atol=ROUNDING)


def test_warm_start_refuses_another_number_of_landmarks_or_networks(X, y):
    reg = tiny(warm_start=True, max_epochs=1).fit(X, y)
    with pytest.raises(ValueError, match="5 landmarks, but there are 2 networks and 4 landmarks"):
        reg.fit(X, y[:, :4])
    with pytest.raises(ValueError, match="2 networks for 5 landmarks, but there are 1 networks"):
        reg.set_params(networks=(TINY,)).fit(X, y)


# ---------------------------------------------------------------------------------------
# Prediction
# ---------------------------------------------------------------------------------------
def test_the_last_stage_is_the_prediction(fitted, X):
    stages = list(fitted.staged_predict(X))
    assert len(stages) == 2
    np.testing.assert_array_equal(stages[-1], fitted.predict(X))


def test_each_stage_reads_what_the_one_before_it_asks_for(fitted, X):
    """The second stage once more, as a third: it reads other crops, so it answers anew."""
    fitted = copy.copy(fitted).set_params(retry=False)
    longer = copy.copy(fitted)
    longer.networks_ = [*longer.networks_, longer.networks_[1]]
    longer.asymmetry_ = [*longer.asymmetry_, longer.asymmetry_[1]]
    longer.crops_ = [*longer.crops_, longer.crops_[1]]
    longer.mirrored_ = [*longer.mirrored_, longer.mirrored_[1]]
    first, second, third = longer.staged_predict(X)
    np.testing.assert_array_equal([first, second], list(fitted.staged_predict(X)))
    assert np.abs(third - second).max() > 10 * ROUNDING


@pytest.mark.slow
def test_predict_reads_the_networks_as_they_are_now(X, y, monkeypatch):
    """It runs copies with normalisation folded in."""
    small = partial(ShapeIndexedCNN, input_size=16, width=8, n_hidden=32)
    reg = tiny(networks=(small,), learning_rate=1e-2, **STILL).fit(X, y)
    before = reg.predict(X)
    reg.networks_[0].features[1].running_mean.add_(0.5)
    changed = reg.predict(X)
    assert np.abs(changed - before).max() > 10 * ROUNDING
    monkeypatch.setattr("skwing._prediction.prediction_mixin.folded", lambda network: network)
    np.testing.assert_allclose(reg.predict(X), changed, atol=ROUNDING)


def test_a_prediction_depends_on_its_own_image_alone(fitted, X):
    together = fitted.predict(X)
    order = np.random.default_rng(0).permutation(len(X))
    np.testing.assert_allclose(fitted.predict(X[order]), together[order], atol=ROUNDING)
    for i in range(len(X)):
        np.testing.assert_allclose(fitted.predict(X[i : i + 1])[0], together[i], atol=ROUNDING)


def test_many_samples_are_predicted_in_portions(fitted, X):
    many = np.arange(300) % len(X)
    answer = fitted.predict(BoxedImages(X)[many])
    np.testing.assert_allclose(answer, fitted.predict(X)[many], atol=ROUNDING)


def test_predictions_follow_the_box(X, y):
    """Further into a larger image, with the box as far: the landmarks are as far."""
    fitted = tiny(networks=(TINY,)).fit(X, y)
    n, height, width, _ = X.shape
    left, top = 9, 4
    larger = np.pad(X, ((0, 0), (top, 30), (left, 20), (0, 0)), mode="edge")
    boxes = np.tile([left, top, width, height], (n, 1))
    answer = fitted.predict(BoxedImages(larger, boxes=boxes))
    np.testing.assert_allclose(answer, fitted.predict(X) + [left, top], atol=ROUNDING)


def test_kinds_of_images(fitted, X):
    colour = fitted.predict(X)
    alpha = np.full((*X.shape[:3], 1), 255, dtype=np.uint8)
    grey = X.mean(axis=3).astype(np.uint8)
    three = np.repeat(grey[..., None], 3, axis=3)
    np.testing.assert_array_equal(fitted.predict(np.concatenate([X, alpha], axis=3)), colour)
    np.testing.assert_array_equal(fitted.predict(X / 255), colour)
    np.testing.assert_array_equal(fitted.predict(X.astype(np.float32) / 255), colour)
    np.testing.assert_array_equal(fitted.predict(list(X)), colour)
    np.testing.assert_array_equal(fitted.predict(grey), fitted.predict(three))
    np.testing.assert_array_equal(fitted.predict(grey[..., None]), fitted.predict(three))
    assert np.abs(fitted.predict(grey) - colour).max() > ROUNDING


def test_files_and_arrays_give_the_same(fitted, X, tmp_path):
    from skwing._utils.opencv import cv2

    paths = []
    for i, image in enumerate(X):
        paths.append(tmp_path / f"{i}.png")
        cv2.imwrite(str(paths[-1]), image[..., ::-1])
    expected = fitted.predict(X)
    boxes = {"x": 0.0, "y": 0.0, "width": X.shape[2], "height": X.shape[1]}
    np.testing.assert_array_equal(fitted.predict(paths), expected)
    np.testing.assert_array_equal(fitted.predict([str(path) for path in paths]), expected)
    np.testing.assert_array_equal(fitted.predict(pd.DataFrame({"path": paths})), expected)
    np.testing.assert_array_equal(fitted.predict(pd.DataFrame({"path": paths, **boxes})), expected)


def test_images_of_different_sizes(fitted, X):
    sizes = [X[0], np.pad(X[1], ((0, 9), (0, 30), (0, 0))), X[2][:30], X[3][..., 0]]
    together = fitted.predict(sizes)
    for i, image in enumerate(sizes):
        np.testing.assert_allclose(fitted.predict([image])[0], together[i], atol=ROUNDING)


@pytest.mark.parametrize("method", ["predict", "staged_predict", "score"])
def test_before_fit_there_is_nothing_to_predict_with(X, y, method):
    call = getattr(tiny(), method)
    with pytest.raises(NotFittedError, match="not fitted yet"):
        list(call(X, y) if method == "score" else call(X))


# ---------------------------------------------------------------------------------------
# The estimator's manners
# ---------------------------------------------------------------------------------------
def test_fit_writes_no_parameter_and_only_fitted_attributes(X, y):
    reg = tiny(max_epochs=1, early_stopping=True)
    before = reg.get_params(deep=False)
    attributes = set(vars(reg))
    assert attributes == set(before)
    assert reg.fit(X, y) is reg
    after = reg.get_params(deep=False)
    assert all(after[name] is before[name] for name in before)
    public = {name for name in set(vars(reg)) - attributes if not name.startswith("_")}
    assert public == {
        name
        for name in dir(reg)
        if name.endswith("_") and not name.startswith("_") and name in vars(reg)
    }


def test_input_is_neither_changed_nor_has_to_be_writable(X, y):
    images, points, weight = X.copy(), y.copy(), np.ones(len(y))
    for array in (images, points, weight):
        array.flags.writeable = False
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        reg = tiny(networks=(TINY,), max_epochs=1).fit(images, points, sample_weight=weight)
        reg.predict(images)
        reg.score(images, points)
    np.testing.assert_array_equal(images, X)
    np.testing.assert_array_equal(points, y)


def test_what_predict_returns_belongs_to_the_caller(fitted, X):
    answer = fitted.predict(X)
    kept = answer.copy()
    answer[:] = 0
    np.testing.assert_array_equal(fitted.predict(X), kept)


def test_clones_and_representations(fitted):
    copied = clone(fitted)
    assert not hasattr(copied, "networks_")
    assert "PlainCNN" in repr(fitted)
    assert "CascadeLandmarkRegressor" in fitted._repr_html_()


@pytest.mark.parametrize("device", ["cuda:77", "no-such-device", None])
def test_a_device_that_is_not_there_is_an_error(X, y, device):
    reg = tiny().set_params(device=device)
    with pytest.raises(ValueError, match=f"device={device!r} cannot be used here: .+"):
        reg.fit(X, y)


def test_a_device_may_be_a_torch_device(plain, X, y):
    by_object = tiny().set_params(device=torch.device("cpu")).fit(X, y)
    np.testing.assert_array_equal(by_object.predict(X), plain.predict(X))


def test_a_model_from_a_machine_with_another_device_predicts_on_the_cpu(fitted, X):
    moved = copy.deepcopy(fitted).set_params(device="cuda:77")
    with pytest.warns(UserWarning, match="device 'cuda:77' is unavailable: using the CPU"):
        answer = moved.predict(X)
    np.testing.assert_array_equal(answer, fitted.predict(X))


@pytest.mark.slow
def test_verbose_says_how_much_is_told(X, y, capsys):
    tiny(max_epochs=1).fit(X, y)
    assert capsys.readouterr() == ("", "")
    tiny(max_epochs=(1, 2), verbose=2).fit(X, y)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "stage 1, epoch 1",
        "stage 2, epoch 1",
        "stage 2, epoch 2",
    ]
    tiny(max_epochs=(1, 2), verbose=1).fit(X, y)
    out, err = capsys.readouterr()
    assert out == ""
    assert "3/3" in err and "loss=" in err


# ---------------------------------------------------------------------------------------
# Storing
# ---------------------------------------------------------------------------------------
def by_joblib(reg):
    file = io.BytesIO()
    joblib.dump(reg, file)
    file.seek(0)
    return joblib.load(file)


@pytest.mark.parametrize(
    "store", [lambda reg: pickle.loads(pickle.dumps(reg)), by_joblib, copy.deepcopy, copy.copy]
)
def test_a_stored_model_predicts_the_same(fitted, X, store):
    loaded = store(fitted)
    np.testing.assert_array_equal(loaded.predict(X), fitted.predict(X))
    assert loaded.history_ == fitted.history_
    assert loaded.get_params()["learning_rate"] == fitted.learning_rate
    assert all(isinstance(network, nn.Module) for network in fitted.networks_)


def test_a_stored_model_holds_nothing_of_torch(fitted):
    """Its arrays are numpy's, so where and with what torch it was trained does not matter."""
    names = {argument for _, argument, _ in pickletools.genops(pickle.dumps(fitted)) if argument}
    strings = {name for name in names if isinstance(name, str)}
    assert "numpy" in {name.split(".")[0] for name in strings}
    assert not {name for name in strings if name.split(".")[0].split(" ")[0] == "torch"}
    networks = fitted.__getstate__()["fitted"]["networks"]
    arrays = [array for network in networks for array in network["weights"].values()]
    assert {type(array) for array in arrays} == {np.ndarray}


def test_batch_norm_statistics_are_stored(X, y):
    network = partial(TINY, batch_norm=True)
    reg = tiny(networks=(network,), max_epochs=3).fit(X, y)
    np.testing.assert_array_equal(by_joblib(reg).predict(X), reg.predict(X))


def test_a_copy_does_not_share_weights(fitted, X):
    expected = fitted.predict(X)
    loaded = copy.copy(fitted)
    with torch.no_grad():
        for parameter in loaded.networks_[0].parameters():
            parameter.zero_()
    np.testing.assert_array_equal(fitted.predict(X), expected)


def test_an_unfitted_regressor_is_stored_too(X):
    loaded = pickle.loads(pickle.dumps(tiny(w=3.0)))
    assert loaded.w == 3.0
    with pytest.raises(NotFittedError):
        loaded.predict(X)


@pytest.mark.gpu
def test_a_model_trained_on_a_gpu_predicts_the_same_on_the_cpu(X, y):
    reg = tiny(max_epochs=10, learning_rate=1e-2).set_params(device="cuda").fit(X, y)
    on_gpu = reg.predict(X)
    loaded = pickle.loads(pickle.dumps(reg)).set_params(device="cpu")
    np.testing.assert_allclose(loaded.predict(X), on_gpu, atol=0.1)
    assert next(loaded.networks_[0].parameters()).device.type == "cpu"


@pytest.mark.slow
def test_the_regressor_as_it_comes_learns_and_is_kept(faces, tmp_path):
    """All defaults but the number of epochs, in the pipeline that users write."""
    pipe = Pipeline([("balance", PoseBalancer()), ("reg", CascadeLandmarkRegressor())])
    pipe.set_params(reg__max_epochs=(10, 1), reg__random_state=0, reg__device="cpu")
    pipe.fit(faces.data, faces.target)
    first, last = pipe.named_steps["reg"].staged_predict(faces.data)
    guess = faces.target.mean(0)
    errors = [np.linalg.norm(y - faces.target, axis=-1).mean() for y in (guess, first, last)]
    assert errors[1] < 0.7 * errors[0] and errors[2] < 0.7 * errors[0]
    joblib.dump(pipe, tmp_path / "pipe.joblib")
    np.testing.assert_array_equal(
        joblib.load(tmp_path / "pipe.joblib").predict(faces.data), pipe.predict(faces.data)
    )
