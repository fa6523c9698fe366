"""Training that begins with the weights of another model: parameter `start`."""

import copy
import pickle
import warnings
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.frozen import FrozenEstimator
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from small import SHAPE_INDEXED, STILL, first_fast
from torch import nn

from skwing import (
    BoxedImages,
    CascadeLandmarkRegressor,
    LandmarkSchema,
    PoseBalancer,
    load_model,
    save_model,
)
from skwing._training.start import beginning, matching_rows
from skwing.datasets import make_faces
from skwing.exceptions import DataWarning, NoticeWarning
from skwing.networks import (
    NETWORKS,
    PlainCNN,
    ResNet,
    check_network,
    check_networks,
    landmark_axes,
    resnet50,
    shape_indexed_64,
)
from skwing.persistence import NotInFile

PLAIN = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)
NORMED = partial(PLAIN, batch_norm=True)
UNNORMED = partial(SHAPE_INDEXED, batch_norm=False)
RES = partial(ResNet, n_blocks=(1, 1), width=4, input_size=40)
NAMES = ("left_eye", "right_eye", "nose", "left_mouth", "right_mouth")
FIVE = LandmarkSchema("five", NAMES, mirror=(1, 0, 2, 4, 3))
ROUNDING = 0.01  # of crops to 8 bits


class Pooled(nn.Module):
    """A custom network that says nothing about its landmarks."""

    def __init__(self, n_landmarks):
        super().__init__()
        self.input_size = 16
        self.trunk = nn.Conv2d(3, 8, 3)
        self.head = nn.Linear(8, 2 * n_landmarks)

    def forward(self, images):
        return self.head(self.trunk(images).amax((2, 3)))


@pytest.fixture(scope="module")
def X():
    faces = make_faces(8, image_size=48, random_state=0).data
    return BoxedImages([faces.decode(i) for i in range(8)], faces.boxes)


@pytest.fixture(scope="module")
def y():
    return make_faces(8, image_size=48, random_state=0).target[:, [36, 45, 30, 48, 54]]


def tiny(*networks, **settings):
    defaults = {"max_epochs": 1, "batch_size": 4, "random_state": 0, "schema": FIVE}
    plain = {"average_mirrored": False, "device": "cpu"}
    given = {"networks": networks or (PLAIN,), **defaults, **plain, **STILL, **settings}
    return CascadeLandmarkRegressor(**given)


def frozen(*networks, **settings):
    """Steps too small to change a float32."""
    return tiny(*networks, learning_rate=1e-12, weight_decay=0.0, **settings)


def trained(X, y, *networks, **settings):
    return tiny(*networks, max_epochs=6, learning_rate=1e-2, **settings).fit(X, y)


@pytest.fixture(scope="module")
def start(X, y):
    return trained(X, y)


@pytest.fixture(scope="module")
def path(start, tmp_path_factory):
    path = tmp_path_factory.mktemp("start") / "start.safetensors"
    save_model(start, path)
    return path


# ---------------------------------------------------------------------------------------
# Which weights are taken
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "networks",
    first_fast([(PLAIN, PLAIN), ((UNNORMED, UNNORMED),), ((Pooled, Pooled),)]),
)
def test_training_of_the_same_landmarks_begins_where_the_start_is(X, y, tmp_path, networks):
    start = trained(X, y, *networks)
    before, weights = start.predict(X), copy.deepcopy(start.networks_[0].state_dict())
    assert before.std(axis=0).min() > 0.05
    save_model(start, tmp_path / "start.safetensors")
    some = X[:5]  # with another mean shape: crops are those of the start
    for given in (start, tmp_path / "start.safetensors", str(tmp_path / "start.safetensors")):
        regressor = frozen(*networks, start=given, margin=0.3).fit(some, y[:5])
        np.testing.assert_allclose(regressor.predict(X), before, atol=ROUNDING)
        np.testing.assert_array_equal(regressor.mean_shape_, start.mean_shape_)
    tiny(*networks, start=start, learning_rate=1e-2).fit(X, y)
    for key, value in start.networks_[0].state_dict().items():
        assert torch.equal(value, weights[key])
    np.testing.assert_array_equal(start.predict(X), before)


def features_of(network):
    return network.features[0].weight


@pytest.mark.slow
def test_stages_begin_with_the_features_of_the_stage_before(X, y):
    alone = tiny(UNNORMED, random_state=0).fit(X, y)
    both = tiny(UNNORMED, UNNORMED, learning_rate=(3e-3, 1e-12), weight_decay=0.0).fit(X, y)
    first, second = map(features_of, both.networks_)
    torch.testing.assert_close(second, first, rtol=0, atol=1e-6)
    start = trained(X, y, UNNORMED, UNNORMED)
    again = frozen(UNNORMED, UNNORMED, start=start).fit(X, y)
    assert not torch.allclose(*map(features_of, start.networks_), rtol=0, atol=1e-4)
    for own, given in zip(again.networks_, start.networks_, strict=True):
        torch.testing.assert_close(features_of(own), features_of(given), rtol=0, atol=1e-6)
    further = frozen(UNNORMED, UNNORMED, start=alone).fit(X, y)
    second = features_of(further.networks_[1])
    torch.testing.assert_close(second, features_of(alone.networks_[0]), rtol=0, atol=1e-6)


def test_networks_of_a_start_that_are_not_in_its_file_are_asked_for(X, y, tmp_path):
    save_model(trained(X, y, PLAIN, Pooled), tmp_path / "own.safetensors")
    with pytest.raises(ValueError, match=r"the network of stage 2, .*Pooled, is not in the model"):
        CascadeLandmarkRegressor(start=tmp_path / "own.safetensors", schema=FIVE).fit(X, y)
    regressor = frozen(PLAIN, Pooled, start=tmp_path / "own.safetensors").fit(X, y)
    assert isinstance(regressor.networks_[1], Pooled)


def test_auto_is_the_networks_of_the_start(X, y):
    regressor = tiny(start=trained(X, y, PLAIN, PLAIN)).set_params(networks="auto").fit(X, y)
    assert [type(network) for network in regressor.networks_] == [PlainCNN, PlainCNN]
    assert [network.input_size for network in regressor.networks_] == [16, 16]


def test_a_start_of_searches_and_pipelines_is_their_regressor(X, y, start):
    before = start.predict(X)
    for given in (make_pipeline(PoseBalancer(), start), FrozenEstimator(start)):
        np.testing.assert_allclose(frozen(start=given).fit(X, y).predict(X), before, atol=ROUNDING)


@pytest.mark.parametrize("networks", [(PLAIN, PLAIN), (UNNORMED, UNNORMED)])
def test_landmarks_in_another_order_take_their_own_weights(X, y, networks):
    order = [3, 1, 4, 0, 2]
    schema = LandmarkSchema("turned", [NAMES[i] for i in order])
    start = trained(X, y, *networks, schema=LandmarkSchema("five", NAMES))
    turned = frozen(*networks, start=start, schema=schema).fit(X, y[:, order])
    np.testing.assert_allclose(turned.predict(X), start.predict(X)[:, order], atol=5 * ROUNDING)


def test_some_of_the_landmarks_keep_their_weights(X, y, start):
    """A plain network locates each landmark from the same features."""
    some = LandmarkSchema("some", ("right_mouth", "chin", "left_eye"))
    regressor = frozen(start=start, schema=some).fit(X, y[:, [4, 2, 0]])
    found, before = regressor.predict(X), start.predict(X)
    np.testing.assert_allclose(found[:, [0, 2]], before[:, [4, 0]], atol=ROUNDING)
    # The new one begins at its mean position in all crops.
    assert regressor.networks_[0].output.weight[2:4].abs().max() < 1e-6


def test_a_smaller_crop_moves_the_output_of_known_landmarks(X, y):
    """Three of five landmarks fill the crop of the second stage more than all five."""
    start = trained(X, y, PLAIN, PLAIN)
    some = LandmarkSchema("some", NAMES[:3])
    of_some = frozen(PLAIN, PLAIN, start=start, schema=some).fit(X, y[:, :3])
    old, new = (model.crops_[1].shape[:3] for model in (start, of_some))
    assert np.abs(old - new).max() > 1
    moved = of_some.networks_[1].output.bias - start.networks_[1].output.bias[:6]
    np.testing.assert_allclose(moved.detach().reshape(-1, 2), new - old, atol=1e-4)


@pytest.mark.filterwarnings("ignore:none of the 5 landmarks")
@pytest.mark.parametrize("network", [NORMED, SHAPE_INDEXED, RES, Pooled])
@pytest.mark.parametrize("n", [5, 3])
def test_other_landmarks_take_what_does_not_depend_on_landmarks(X, y, network, n):
    start = trained(X, y, network)
    other = LandmarkSchema("other", [f"{letter}-wing" for letter in "ABCDE"[:n]])
    regressor = frozen(network, start=start, schema=other).fit(X, y[:, :n])
    fresh = frozen(network, schema=other).fit(X, y[:, :n])
    axes = landmark_axes(regressor.networks_[0], network, n)
    own, new = (dict(model.networks_[0].named_parameters()) for model in (regressor, fresh))
    old = dict(start.networks_[0].named_parameters())
    assert {key.partition(".")[0] for key in own} > {key.partition(".")[0] for key in axes} - {
        "start"
    }
    for key, value in own.items():
        expected = new[key] if key in axes else old[key]
        torch.testing.assert_close(value, expected, atol=1e-6, rtol=0)


@pytest.mark.parametrize("name", [*NETWORKS, SHAPE_INDEXED, Pooled])
def test_networks_know_which_of_their_parameters_have_landmarks(name):
    """All whose shape depends on the number of landmarks, and along which axis."""
    build = partial(resnet50, input_size=40, width=4) if name == "resnet50" else check_network(name)
    three, five = build(3), build(5)
    axes, shapes = landmark_axes(three, build, 3), dict(five.state_dict().items())
    for key, value in three.state_dict().items():
        assert (key in axes) == (value.shape != shapes[key].shape), key
        if key in axes and axes[key] is not None:
            axis = axes[key]
            assert shapes[key].shape[axis] * 3 == value.shape[axis] * 5


@pytest.mark.parametrize("n", [5, 3])
def test_further_networks_than_those_of_the_start_begin_anew(X, y, start, n):
    """And then crops and the mean shape are those of the new data."""
    regressor = frozen(PLAIN, PLAIN, start=start, schema=None).fit(X[:5], y[:5, :n])
    assert regressor.n_iter_ == [1, 1]  # all are trained
    first, second = (network.features[0].weight for network in regressor.networks_)
    torch.testing.assert_close(first, start.networks_[0].features[0].weight, atol=1e-6, rtol=0)
    fresh = frozen(PLAIN, PLAIN, schema=None).fit(X[:5], y[:5, :n])
    torch.testing.assert_close(second, fresh.networks_[1].features[0].weight, atol=1e-6, rtol=0)
    assert regressor.schema_ == (FIVE if n == 5 else None)
    assert np.abs(regressor.mean_shape_ - start.mean_shape_[:n]).max() > 1e-3
    if n == 5:
        found, before = next(regressor.staged_predict(X)), start.predict(X)
        np.testing.assert_allclose(found, before, atol=5 * ROUNDING)


@pytest.mark.parametrize(("size", "n_stages"), [(1, 2), (20, 3)])
def test_large_images_get_a_stage_that_the_start_lacks(y, size, n_stages):
    builders = check_networks([PLAIN, PLAIN])
    model = SimpleNamespace(
        networks_=[None, None], _builders=builders, n_landmarks_=5, schema_=FIVE
    )
    given = SimpleNamespace(
        warm_start=False, start=model, networks="auto", margin=(0.0, 0.08), schema=None
    )
    before, start, schema = beginning(tiny(), given, size * y, None)
    assert given.networks == (PLAIN, PLAIN, "patches_256")[:n_stages]
    assert (before is model) == (n_stages == 2)
    assert start.same and schema == FIVE


NUMBERED = LandmarkSchema("tps", [f"lm_{i}" for i in range(5)])


@pytest.mark.parametrize(
    ("schema", "n", "start_schema", "same", "rows"),
    [
        (None, 5, None, True, [0, 1, 2, 3, 4]),
        (FIVE, 5, None, True, [0, 1, 2, 3, 4]),
        (NUMBERED, 5, FIVE, True, [0, 1, 2, 3, 4]),
        (FIVE, 5, LandmarkSchema("named alike", NAMES), True, [0, 1, 2, 3, 4]),
        (None, 4, FIVE, False, [-1] * 4),
        (LandmarkSchema("tps", [f"lm_{i}" for i in range(4)]), 4, NUMBERED, False, [-1] * 4),
        (LandmarkSchema("two", ["nose", "chin"]), 2, FIVE, False, [2, -1]),
        (LandmarkSchema("turned", NAMES[::-1]), 5, FIVE, False, [4, 3, 2, 1, 0]),
    ],
)
def test_landmarks_are_matched_by_names_that_are_no_numbers(schema, n, start_schema, same, rows):
    assert matching_rows(schema, n, start_schema, 5) == (same, rows)


def test_as_many_landmarks_of_other_names_are_told(X, y, start, recwarn):
    own = LandmarkSchema("own", [f"{name} by hand" for name in NAMES])
    with pytest.warns(DataWarning, match=r"none of the 5 .*pass their schema, 'five'"):
        tiny(start=start, schema=own).fit(X, y)
    recwarn.clear()
    for names in (NAMES, ["nose", *"abcd"], "abcd"):  # the same, one of them, another number
        schema = LandmarkSchema("some", names)
        tiny(start=start, schema=schema).fit(X, y[:, : len(names)])
    assert not [warning for warning in recwarn if warning.category is DataWarning]


def test_the_schema_of_the_start_is_kept_if_data_have_none(X, y, start):
    assert tiny(start=start, schema=None).fit(X, y).schema_ == FIVE
    assert tiny(start=start, schema=None).fit(X, y[:, :3]).schema_ is None


def test_a_previous_fit_does_not_go_on_with_landmarks_in_another_order(X, y, start):
    regressor = copy.deepcopy(start).set_params(warm_start=True, schema=None)
    turned = LandmarkSchema("turned", NAMES[::-1])
    with pytest.raises(ValueError, match="in another order: landmark 0 is 'left_eye'"):
        regressor.set_params(schema=turned).fit(X, y[:, ::-1])


# ---------------------------------------------------------------------------------------
# Settings
# ---------------------------------------------------------------------------------------
def test_training_from_a_start_is_shorter_and_slower(X, y, start):
    auto = {"max_epochs": "auto", "learning_rate": "auto", "batch_size": 64, "schedule": "constant"}
    rows = np.arange(400) % 8
    X, y = X[rows], y[rows] + np.random.default_rng(0).normal(size=(400, 1, 2))
    epochs, rates = [], []
    for own, n in ((None, 5), (start, 5), (start, 4)):
        regressor = tiny(start=own, **auto, schema=None)
        settings = regressor._check(X, y[:, :n], None, None, None).settings[0]
        epochs.append(settings.max_epochs)
        rates.append(settings.learning_rate)
    assert epochs[1] == epochs[2] == pytest.approx(epochs[0] / 2, abs=1)
    assert rates == pytest.approx([3e-3, 1e-3, 3e-3])  # less if all weights are taken


def test_a_fitted_regressor_with_warm_start_ignores_the_start(X, y, path, tmp_path):
    own = tmp_path / "gone.safetensors"
    own.write_bytes(path.read_bytes())
    regressor = frozen(start=own, warm_start=True).fit(X, y)
    own.unlink()
    regressor.networks_[0].output.bias.data += 5
    before = regressor.predict(X)
    np.testing.assert_allclose(regressor.fit(X, y).predict(X), before, atol=ROUNDING)
    with pytest.raises(FileNotFoundError, match=r"^start: .* there is no file .*gone\.safetensors"):
        regressor.set_params(warm_start=False).fit(X, y)


def test_parameters_of_a_start_are_not_those_of_the_regressor(start):
    regressor = tiny(start=start)
    assert not any(name.startswith("start__") for name in regressor.get_params())
    assert regressor.get_params()["start"] is start
    with pytest.raises(ValueError, match="start__w is a parameter of another model"):
        regressor.set_params(start__w=5.0)
    assert start.w == 10.0


@pytest.mark.parametrize(
    "around",
    [lambda reg: reg, make_pipeline, FrozenEstimator, lambda reg: tiny(start=reg)]
    + [lambda reg: GridSearchCV(make_pipeline(tiny(start=reg)), {})],
)
def test_a_regressor_is_not_its_own_start(around):
    regressor = tiny()
    with pytest.raises(ValueError, match=r"start cannot be this estimator .* warm_start=True"):
        regressor.set_params(start=around(regressor))
    assert repr(regressor) == repr(tiny())
    assert regressor.set_params(start=around(tiny())).start is not None


# ---------------------------------------------------------------------------------------
# Clones, searches and files
# ---------------------------------------------------------------------------------------
def test_clones_keep_files_and_frozen_models_and_name_them_to_others(X, y, start, path):
    before = start.predict(X)
    for given in (path, FrozenEstimator(start)):
        copied = clone(frozen(start=given)).fit(X, y)
        np.testing.assert_allclose(copied.predict(X), before, atol=ROUNDING)
    for unfitted in (clone(frozen(start=start)), frozen(start=make_pipeline(tiny()))):
        with pytest.raises(ValueError, match=r"not a fitted .*path of a file.*FrozenEstimator"):
            unfitted.fit(X, y)


def test_a_search_compares_starts(X, y, start, path):
    grid = {"start": [None, path, FrozenEstimator(start)]}
    search = GridSearchCV(frozen(), grid, cv=2, error_score="raise").fit(X, y)
    scores = search.cv_results_["mean_test_score"]
    assert scores[1] == pytest.approx(scores[2], rel=1e-3) and scores[1] > scores[0]
    pipe = make_pipeline(PoseBalancer(), frozen())
    GridSearchCV(pipe, {"cascadelandmarkregressor__start": [path]}, cv=2).fit(X, y)


def test_models_are_stored_without_the_model_that_they_began_with(X, y, start, path, tmp_path):
    file = tmp_path / "model.safetensors"
    save_model(tiny(start=path).fit(X, y), file)
    assert load_model(file).start == str(path)
    save_model(tiny(start=start).fit(X, y), file)
    loaded = load_model(file)
    assert loaded.start == NotInFile("a fitted CascadeLandmarkRegressor")
    for refused in (loaded, clone(loaded)):
        with pytest.raises(ValueError, match=r"start was a fitted Casc.* which is not in the file"):
            refused.fit(X, y)
    loaded.set_params(warm_start=True).fit(X, y)
    clone(loaded).set_params(start=None).fit(X, y)
    pickled = pickle.loads(pickle.dumps(tiny(start=start).fit(X, y)))
    np.testing.assert_array_equal(pickled.start.predict(X), start.predict(X))


def test_the_terms_of_the_start_stay_with_its_weights(X, y, start, tmp_path):
    file = tmp_path / "terms.safetensors"
    save_model(start, file, notice="for research only")
    for landmarks, schema in ((y, FIVE), (y[:, :3], None)):
        with pytest.warns(NoticeWarning, match="for research only"):
            regressor = tiny(start=file, schema=schema).fit(X, landmarks)
        assert regressor.notice_ == "for research only"
        again = tiny(start=regressor, schema=schema).fit(X, landmarks)
        assert again.notice_ == "for research only"
    with warnings.catch_warnings():
        warnings.simplefilter("error", NoticeWarning)
        assert again.set_params(start=None).fit(X, landmarks).notice_ is None


def test_custom_networks_are_those_of_the_regressor(X, y, tmp_path):
    start = trained(X, y, Pooled)
    save_model(start, tmp_path / "custom.safetensors")
    own = frozen(Pooled, start=tmp_path / "custom.safetensors").fit(X, y)
    np.testing.assert_allclose(own.predict(X), start.predict(X), atol=ROUNDING)


def test_a_start_in_a_pipeline_file_is_its_regressor(X, y, start, tmp_path):
    pipe = make_pipeline(PoseBalancer(), frozen(start=start)).fit(X, y)
    save_model(pipe, tmp_path / "pipe.safetensors")
    own = frozen(start=tmp_path / "pipe.safetensors").fit(X, y)
    np.testing.assert_allclose(own.predict(X), start.predict(X), atol=ROUNDING)


# ---------------------------------------------------------------------------------------
# Starts that do not fit
# ---------------------------------------------------------------------------------------
WIDE = partial(PLAIN, widths=(8, 32))
LARGE = partial(PLAIN, input_size=32)
ROUND = partial(shape_indexed_64, radius=0.1)


@pytest.mark.parametrize(
    ("own", "networks", "match"),
    [
        ((PLAIN, PLAIN), (PLAIN,), "has 2 networks, expected 1"),
        ((PLAIN,), (SHAPE_INDEXED,), "found a PlainCNN, expected ShapeIndexedCNN"),
        ((PLAIN,), (LARGE,), "found input_size 16, expected 32"),
        ((PLAIN,), (WIDE,), r"found features.3.weight of shape \(16, 8, 3, 3\), expected \(32"),
        ((PLAIN,), (NORMED,), "found features.2.weight missing, expected present"),
        ((shape_indexed_64,), (ROUND,), r"found around = \[0.0, 0.0, 3.2.* expected .* 6.4"),
    ],
)
@pytest.mark.parametrize("n", [5, 3])
def test_a_start_with_other_networks_is_an_error(X, y, own, networks, match, n):
    start = frozen(*own).fit(X, y)
    with pytest.raises(ValueError, match=match) as error:
        tiny(*networks, start=start, schema=None).fit(X, y[:, :n])
    assert "start" in str(error.value)


def test_a_file_that_is_no_model_is_an_error(X, y, tmp_path):
    (tmp_path / "text.safetensors").write_text("no model")
    with pytest.raises(ValueError, match=r"start: .*text\.safetensors cannot be read as a model"):
        tiny(start=tmp_path / "text.safetensors").fit(X, y)
    save_model(PoseBalancer().fit(X, y), tmp_path / "balance.safetensors")
    with pytest.raises(ValueError, match=r"start: .*balance\.safetensors, .* lacks 'networks'"):
        tiny(start=tmp_path / "balance.safetensors").fit(X, y)
    with pytest.raises(ValueError, match=r"start: .* is not a regular file"):
        tiny(start=tmp_path).fit(X, y)


def test_a_failed_fit_changes_nothing(X, y, start):
    before = start.predict(X)
    regressor = tiny(start=start, learning_rate=1e30)
    with pytest.raises(ValueError, match="diverged"):
        regressor.fit(X, y)
    assert not hasattr(regressor, "networks_")
    np.testing.assert_array_equal(start.predict(X), before)
