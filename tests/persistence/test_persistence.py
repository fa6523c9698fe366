"""Models in files of their own: all that is saved comes back, and nothing else gets in."""

import json
import os
import pickle
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.compose import TransformedTargetRegressor
from sklearn.exceptions import NotFittedError
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, RandomizedSearchCV
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer
from small import SHAPE_INDEXED, first_fast
from torch import nn

from skwing import (
    Augmentation,
    BoxedImages,
    CascadeLandmarkRegressor,
    LandmarkSchema,
    PoseBalancer,
    load_model,
    save_model,
)
from skwing._prediction import model_file
from skwing._prediction.model_file import read_model, write_model
from skwing._utils.unwrap import predictor_of
from skwing.exceptions import NoticeWarning
from skwing.losses import rectified_wing
from skwing.networks import NETWORKS, PlainCNN, ShapeIndexedCNN, cnn6, resnet50
from skwing.persistence import NotInFile, describe_model

MODELS = Path(__file__).parent / "models"
PLAIN = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
EYES = LandmarkSchema(
    "eyes", ("left_eye", "right_eye", "chin"), (1, 0, 2), (), {"inter_ocular": ((0,), (1,))}
)


def data(n_samples=8):
    rng = np.random.default_rng(0)
    X = rng.integers(0, 255, (n_samples, 32, 32), dtype=np.uint8)
    return X, [[8.0, 9], [22, 8], [15, 20]] + rng.normal(size=(n_samples, 3, 2))


def tiny(**settings):
    defaults = {"networks": (PLAIN, PLAIN), "max_epochs": 1, "batch_size": 4, "random_state": 0}
    return CascadeLandmarkRegressor(**{"device": "cpu", **defaults, **settings})


class Mine(nn.Module):
    """A user's own network."""

    input_size = 8

    def __init__(self, n_landmarks, width=6):
        super().__init__()
        self.n_landmarks = n_landmarks
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 64, width), nn.Linear(width, 2 * n_landmarks)
        )
        self.register_buffer("third", torch.ones(2, dtype=torch.bfloat16) / 3)
        self.register_buffer("one", torch.tensor(1, dtype=torch.bfloat16))

    def forward(self, images):
        return self.layers(images).unflatten(1, (self.n_landmarks, 2))


def my_loss(residual):
    return residual.abs()


@pytest.fixture(scope="module")
def fitted():
    return tiny(schema=EYES).fit(*data()).calibrate(*data())


@pytest.fixture(scope="module")
def pipeline():
    return Pipeline([("balance", PoseBalancer(n_bins=2)), ("reg", tiny(schema=EYES))]).fit(*data())


@pytest.fixture
def file(tmp_path):
    return tmp_path / "model.safetensors"


def again(model, file, **options):
    save_model(model, file)
    return load_model(file, **options)


def same_params(found, expected):
    """Parameters as texts, as partials do not compare."""
    return {k: repr(v) for k, v in found.get_params(deep=False).items()} == {
        k: repr(v) for k, v in expected.get_params(deep=False).items()
    }


# ---------------------------------------------------------------------------------------
# All comes back
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_regressor_comes_back_with_all_that_it_knows(fitted, file):
    loaded = again(fitted, file)
    X, y = data()
    for found, expected in zip(
        loaded.predict(X, return_std=True), fitted.predict(X, return_std=True), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    for found, expected in zip(loaded.staged_predict(X), fitted.staged_predict(X), strict=True):
        np.testing.assert_array_equal(found, expected)
    assert loaded.score(X, y) == fitted.score(X, y)
    assert same_params(loaded, fitted)
    assert vars(loaded).keys() == vars(fitted).keys()
    for name in ("history_", "n_iter_", "schema_", "n_landmarks_", "box_relation_"):
        assert getattr(loaded, name) == getattr(fitted, name), name
    assert not any(network.training for network in loaded.networks_)
    warm = loaded.set_params(warm_start=True).fit(X, y)
    assert np.isfinite(warm.predict(X)).all()


def test_what_is_saved_again_is_the_same_file(fitted, tmp_path):
    save_model(fitted, tmp_path / "one")
    save_model(load_model(tmp_path / "one"), tmp_path / "two")
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()


SETTINGS = {
    "names": {"networks": ["cnn6_plain"]},
    "still": {"augmentation": None},
    "augmentation": {"augmentation": Augmentation(rotation=[10, 5], blur=0.5)},
    "functions": {"networks": (cnn6,), "loss": rectified_wing},
    "numbers": {"w": np.float32(5), "epsilon": np.array([1.0, 2.0]), "max_epochs": np.int64(1)},
    "seed": {"random_state": np.random.RandomState(3)},
    "fresh": {"random_state": None, "verbose": False},
    "schema by name": {"schema": None, "device": torch.device("cpu")},
    "partial loss": {"loss": partial(rectified_wing, r=0.1)},
    "shape indexed": {
        "networks": (partial(ShapeIndexedCNN, input_size=32, width=8, n_steps=1, n_hidden=8),)
    },
    "partial of partial": {"networks": (partial(PLAIN, batch_norm=True),)},
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] if name in ("names", "functions") else [])
        for name in SETTINGS
    ],
)
def test_settings_of_every_kind_come_back(name, file):
    reg = tiny(**SETTINGS[name]).fit(*data())
    loaded = again(reg, file)
    np.testing.assert_array_equal(loaded.predict(data()[0]), reg.predict(data()[0]))
    assert vars(loaded).keys() == vars(reg).keys()
    loaded.fit(*data())  # every setting is what fit takes
    if name == "seed":
        save_model(reg, file)
        state, kept = reg.random_state.get_state(), load_model(file).random_state.get_state()
        assert all(np.array_equal(a, b) for a, b in zip(state, kept, strict=True))
    elif name != "numbers":  # which come back as Python's
        assert same_params(load_model(file), reg)


@pytest.mark.slow
def test_flat_landmarks_and_boxes_come_back(file):
    X, y = data()
    X = BoxedImages(X, boxes=[[2, 2, 26, 26]] * len(X))
    reg = tiny().fit(X, y.reshape(len(y), -1))
    loaded = again(reg, file)
    assert loaded.box_relation_ == reg.box_relation_ is not None
    np.testing.assert_array_equal(loaded.predict(X), reg.predict(X))
    assert loaded.predict(X).shape == (8, 6)


def test_a_loss_that_is_no_number_in_the_history_comes_back(file):
    reg = tiny().fit(*data())
    reg.history_[0]["loss"], reg.history_[1]["loss"] = float("nan"), float("inf")
    losses = [row["loss"] for row in again(reg, file).history_]
    assert np.isnan(losses[0]) and losses[1] == float("inf")


@pytest.mark.slow
def test_a_file_of_weights_is_not_needed_any_more(file, tmp_path):
    small = partial(resnet50, n_blocks=(1, 1), width=8, input_size=64)
    state = {k: v for k, v in small(3).state_dict().items() if not k.startswith("output")}
    torch.save(state, tmp_path / "start.pth")
    reg = tiny(networks=(partial(small, weights=tmp_path / "start.pth"),)).fit(*data())
    save_model(reg, file)
    (tmp_path / "start.pth").unlink()
    np.testing.assert_array_equal(load_model(file).predict(data()[0]), reg.predict(data()[0]))


def test_a_pipeline_comes_back_with_its_balancer(pipeline, file):
    loaded = again(pipeline, file)
    assert [name for name, _ in loaded.steps] == ["balance", "reg"]
    np.testing.assert_array_equal(loaded.predict(data()[0]), pipeline.predict(data()[0]))
    balancer, found = pipeline.named_steps["balance"], loaded.named_steps["balance"]
    assert vars(found).keys() == vars(balancer).keys()
    for name, value in vars(balancer).items():
        np.testing.assert_array_equal(getattr(found, name), value, strict=isinstance(value, float))
    loaded.fit(*data())


@pytest.mark.parametrize("step", ["passthrough", None])
def test_steps_that_do_nothing_come_back(step, file, tmp_path):
    pipe = Pipeline([("balance", step), ("reg", tiny())], memory=str(tmp_path), verbose=True)
    loaded = again(pipe.fit(*data()), file)
    assert loaded.steps[0] == ("balance", step) and loaded.verbose and loaded.memory is None
    np.testing.assert_array_equal(loaded.predict(data()[0]), pipe.predict(data()[0]))


GRID = {"reg__w": [5.0, 10.0]}
SEARCHES = {
    "grid": partial(GridSearchCV, param_grid=GRID),
    "random": partial(RandomizedSearchCV, param_distributions=GRID, n_iter=2, random_state=0),
    "halving": partial(HalvingGridSearchCV, param_grid=GRID, min_resources=4, random_state=0),
}


@pytest.mark.slow
@pytest.mark.parametrize("kind", first_fast(SEARCHES))
def test_of_a_search_the_best_comes_back_and_the_scores_are_told(pipeline, kind, file):
    search = SEARCHES[kind](pipeline, cv=2, error_score="raise").fit(*data())
    loaded = again(search, file)
    assert isinstance(loaded, Pipeline)
    np.testing.assert_array_equal(loaded.predict(data()[0]), search.predict(data()[0]))
    told = describe_model(file)["search"]
    assert told["class"] == type(search).__name__
    assert told["best_params"] == search.best_params_ and told["best_score"] == search.best_score_


def test_best_params_may_be_anything(file):
    grid = {"networks": [(PLAIN,)], "schema": [EYES], "loss": [my_loss]}
    search = GridSearchCV(tiny(), grid, cv=2).fit(*data())
    save_model(search, file)
    told = describe_model(file)["search"]["best_params"]
    assert told["schema"] == EYES and "my_loss" in told["loss"]


def test_of_frozen_and_nested_estimators_the_innermost_is_saved(pipeline, file):
    X, y = data()
    balancer, regressor = pipeline[0], pipeline[-1]
    search = GridSearchCV(GridSearchCV(tiny(), {"w": [5]}, cv=2), {"estimator__w": [5]}, cv=2)
    search.fit(X, y)
    for model in (
        FrozenEstimator(regressor),
        FrozenEstimator(pipeline),
        make_pipeline(balancer, FrozenEstimator(regressor)),
        search,
        FrozenEstimator(search),
    ):
        save_model(model, file)
        loaded = load_model(file)
        np.testing.assert_array_equal(loaded.predict(X), model.predict(X))
        assert isinstance(predictor_of(loaded), CascadeLandmarkRegressor)
        assert predictor_of(model) is not model


def test_a_file_tells_what_it_holds(pipeline, file):
    save_model(pipeline, file)
    told = describe_model(file)
    assert told["steps"] == ["PoseBalancer", "CascadeLandmarkRegressor"]
    assert told["n_landmarks"] == 3 and told["schema"] == "eyes" and told["search"] is None
    assert "PlainCNN" in told["networks"][0] and len(told["networks"]) == 2


def test_half_the_bytes_give_nearly_the_same_landmarks(fitted, file, tmp_path):
    save_model(fitted, file)
    save_model(fitted, tmp_path / "half", dtype="float16")
    full, half = load_model(file), load_model(tmp_path / "half")
    np.testing.assert_allclose(half.predict(data()[0]), full.predict(data()[0]), atol=0.05)
    for network, other in zip(full.networks_, half.networks_, strict=True):
        for (name, weights), rounded in zip(
            network.state_dict().items(), other.state_dict().values(), strict=True
        ):
            assert rounded.dtype == weights.dtype
            if weights.ndim > 1:
                weights = weights.half().float()
            assert torch.equal(weights, rounded), name
    saved = safetensors.torch.load_file(tmp_path / "half")
    assert saved["model.networks.1.weights.output.weight"].dtype == torch.float16
    assert saved["model.mean_shape"].dtype == torch.float64


def test_weights_beyond_float16_are_refused(file):
    reg = tiny().fit(*data())
    with torch.no_grad():
        reg.networks_[1].output.weight[0, 0] = 1e6
    with pytest.raises(ValueError, match=r"output\.weight has a number of 1e\+06.*65504"):
        save_model(reg, file, dtype="float16")
    assert not file.exists()
    with pytest.raises(ValueError, match="dtype"):
        save_model(reg, file, dtype="float8")


@pytest.mark.slow
def test_a_notice_is_shown_on_loading_and_stays_with_the_weights(pipeline, file, tmp_path):
    told = "Trained on photographs for research only."
    assert pipeline["reg"].notice_ is None
    save_model(pipeline, file, notice=told)
    assert pipeline["reg"].notice_ is None  # saving changes nothing
    assert describe_model(file)["notice"] == told
    with pytest.warns(NoticeWarning, match=rf"model\.safetensors: {told}") as warned:
        loaded = load_model(file)
    assert warned[0].filename == __file__
    assert loaded["reg"].notice_ == told
    copy = pickle.loads(pickle.dumps(loaded))
    save_model(copy, tmp_path / "again")
    assert describe_model(tmp_path / "again")["notice"] == told
    save_model(copy, tmp_path / "another", notice="Ask first.")
    assert describe_model(tmp_path / "another")["notice"] == "Ask first."
    X, y = data()
    reg = copy["reg"].set_params(warm_start=True).fit(X, y)
    assert reg.notice_ == told
    assert reg.set_params(warm_start=False).fit(X, y).notice_ is None
    with pytest.raises(TypeError, match="notice must be"):
        save_model(pipeline, file, notice=3)


def test_other_readers_of_safetensors_find_the_weights(fitted, file):
    save_model(fitted, file)
    tensors = safetensors.torch.load_file(file)
    weight = fitted.networks_[1].output.weight
    assert torch.equal(tensors["model.networks.1.weights.output.weight"], weight)


# ---------------------------------------------------------------------------------------
# What is the user's own
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_own_networks_are_asked_for_by_stage_and_name(file):
    reg = tiny(networks=(PLAIN, Mine, partial(Mine, width=9))).fit(*data())
    save_model(reg, file)
    with pytest.raises(
        ValueError, match=r"(?s)stage 2 needs .*:Mine; stage 3 needs .*width=9"
    ) as e:
        load_model(file)
    assert "networks=[None, ..., ...]" in str(e.value) and str(file) in str(e.value)
    given = (None, Mine, partial(Mine, width=9))
    loaded = load_model(file, networks=given)
    np.testing.assert_array_equal(loaded.predict(data()[0]), reg.predict(data()[0]))
    assert repr(loaded.networks) == repr((PLAIN, *given[1:]))
    kept = loaded.networks_[1].third
    assert kept.dtype == torch.bfloat16 and torch.equal(kept, reg.networks_[1].third)
    loaded.fit(*data())
    np.testing.assert_array_equal(
        load_model(file, reg.networks).predict(data()[0]), reg.predict(data()[0])
    )


@pytest.fixture(scope="module")
def own_network(tmp_path_factory):
    """File of a model with a named network and one of the user's."""
    file = tmp_path_factory.mktemp("own") / "model.safetensors"
    save_model(tiny(networks=("cnn6", Mine)).fit(*data()), file)
    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ((None, partial(Mine, width=7)), "do not fit the Mine"),
        ((None, "cnn6"), "do not fit the PlainCNN"),
        ((None, lambda n: 3), "must return a torch.nn.Module"),
        ((None, lambda n: 1 / 0), "division by zero"),
        ((None, 3), "network must be a name or a callable"),
        ((None, "cnn8"), "unknown network 'cnn8'"),
        ((Mine, Mine), r"stage 1 has the network cnn6, networks\[0\] is .*Mine"),
        ((Mine,), "has 2 stages, networks has 1"),
        (Mine, "has 2 stages, networks has 1"),
        ("cnn6", "has 2 stages, networks has 1"),
        (3, "networks must be a sequence"),
    ],
)
def test_networks_that_do_not_fit_are_named(given, message, own_network):
    with pytest.raises(ValueError, match=message) as e:
        load_model(own_network, networks=given)
    assert str(own_network) in str(e.value)


def test_names_of_networks_that_are_not_registered_any_more_are_own_networks(file, monkeypatch):
    monkeypatch.setitem(NETWORKS, "mine", PLAIN)
    reg = tiny(networks=("mine",)).fit(*data())
    save_model(reg, file)
    assert load_model(file).networks == ("mine",)
    monkeypatch.delitem(NETWORKS, "mine")
    with pytest.raises(ValueError, match=r"stage 1 needs mine, .* load_model\(path, networks=\["):
        load_model(file)
    loaded = load_model(file, networks=[PLAIN])
    np.testing.assert_array_equal(loaded.predict(data()[0]), reg.predict(data()[0]))
    assert loaded.networks == (PLAIN,)


def test_own_networks_of_settings_that_were_changed_since_are_kept_as_names(file):
    reg = tiny(networks=(PLAIN,)).fit(*data()).set_params(networks=(PLAIN, Mine))
    loaded = again(reg, file)
    assert isinstance(loaded.networks[1], NotInFile) and "Mine" in loaded.networks[1].name
    np.testing.assert_array_equal(loaded.predict(data()[0]), reg.predict(data()[0]))
    with pytest.raises(ValueError, match=r"(?s)Mine .* not in the file .* set_params"):
        loaded.fit(*data())


@pytest.mark.slow
@pytest.mark.parametrize("loss", [my_loss, lambda residual: residual.abs(), nn.Identity()])
def test_own_losses_are_not_needed_to_predict_but_to_fit(loss, file):
    reg = tiny(loss=loss).fit(*data())
    loaded = again(reg, file)
    np.testing.assert_array_equal(loaded.predict(data()[0]), reg.predict(data()[0]))
    loaded = pickle.loads(pickle.dumps(again(loaded, file)))  # kept on the way
    with pytest.raises(ValueError, match=r"(?s)not in the file .* set_params \(loss="):
        loaded.fit(*data())
    loaded.set_params(loss=loss).fit(*data())


def test_nothing_named_in_a_file_is_imported(file, tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "module_of_a_user.py").write_text("raise SystemExit('this was run')")
    mine = type("Net", (Mine,), {"__module__": "module_of_a_user"})
    save_model(tiny(networks=(mine,)).fit(*data()), file)
    with pytest.raises(ValueError, match="module_of_a_user:Net"):
        load_model(file)
    load_model(file, networks=[Mine])
    assert "module_of_a_user" not in sys.modules


# ---------------------------------------------------------------------------------------
# What is not saved
# ---------------------------------------------------------------------------------------
REFUSED = {
    "another estimator": (lambda: LinearRegression().fit([[0], [1]], [0, 1]), "LinearRegression"),
    "another last step": (
        lambda: Pipeline([("reg", LinearRegression())]).fit([[0], [1]], [0, 1]),
        "ends with a LinearRegression",
    ),
    "another step": (
        lambda: Pipeline([("same", FunctionTransformer()), ("reg", tiny())]).fit(*data()),
        "step 'same' of model is a FunctionTransformer",
    ),
    "a wrapped one": (
        lambda: TransformedTargetRegressor(tiny(), check_inverse=False),
        "TransformedTargetRegressor",
    ),
    "a subclass": (
        lambda: type("Sub", (CascadeLandmarkRegressor,), {})(networks=(PLAIN,)),
        "model is a Sub, which cannot be saved",
    ),
    "a parameter": (
        lambda: tiny().fit(*data()).set_params(w=object()),
        r"model\.params\.w is a object",
    ),
    "a network": (lambda: nn.Linear(2, 2), "model is a Linear"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_no_file_holds_is_named_and_leaves_the_file_as_it_was(name, file):
    file.write_bytes(b"before")
    make, message = REFUSED[name]
    with pytest.raises((TypeError, NotFittedError), match=message):
        save_model(make(), file)
    assert file.read_bytes() == b"before"


@pytest.mark.parametrize(
    "model",
    [
        tiny(),
        Pipeline([("balance", PoseBalancer()), ("reg", tiny())]),
        GridSearchCV(tiny(), {"w": [5]}),
    ],
)
def test_models_that_are_not_fitted_are_not_saved(model, file):
    with pytest.raises(NotFittedError):
        save_model(model, file)
    assert not file.exists()


@pytest.mark.slow
def test_a_search_without_a_best_estimator_is_not_saved(file):
    search = GridSearchCV(tiny(), {"w": [5]}, cv=2, refit=False).fit(*data())
    with pytest.raises(ValueError, match=r"GridSearchCV has no best_estimator_ .* refit=False"):
        save_model(search, file)


def test_a_model_that_diverged_is_not_saved(file):
    reg = tiny().fit(*data())
    with torch.no_grad():
        reg.networks_[1].output.bias[2] = float("nan")
    with pytest.raises(ValueError, match=r"weights of networks\[1\] contain NaN, in 'output.bias'"):
        save_model(reg, file)
    pickle.loads(pickle.dumps(reg))  # as workers hand it back


def test_a_folder_that_is_not_there_is_named(fitted, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere"):
        save_model(fitted, tmp_path / "nowhere" / "model.safetensors")


# ---------------------------------------------------------------------------------------
# Files that are not right
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_every_flipped_byte_and_every_cut_is_noticed(tmp_path):
    reg = tiny(networks=(partial(PlainCNN, widths=(2,), input_size=8, n_hidden=2),)).fit(*data())
    save_model(reg, tmp_path / "whole")
    whole, file = (tmp_path / "whole").read_bytes(), tmp_path / "model.safetensors"
    expected = load_model(tmp_path / "whole").predict(data()[0])
    rng = np.random.default_rng(0)
    places = {*range(40), *range(len(whole) - 8, len(whole)), *rng.integers(len(whole), size=150)}
    n_loaded = 0
    for place in sorted(places):
        broken = bytearray(whole)
        broken[place] ^= 1 << rng.integers(8)
        file.write_bytes(broken)
        try:
            loaded = load_model(file)
        except ValueError as error:
            assert str(file) in str(error)
        else:  # blanks between the parts
            n_loaded += 1
            np.testing.assert_array_equal(loaded.predict(data()[0]), expected)
    assert n_loaded < 20
    for length in {*range(20), *rng.integers(len(whole), size=30), len(whole) - 1}:
        file.write_bytes(whole[:length])
        with pytest.raises(ValueError, match=r"model\.safetensors"):
            load_model(file)
    file.write_bytes(whole + b"0")
    with pytest.raises(ValueError, match=r"model\.safetensors"):
        load_model(file)


def test_other_files_are_no_models(fitted, tmp_path):
    file = tmp_path / "model"
    with pytest.raises(
        FileNotFoundError, match=r"^no model can be loaded: there is no file .*model"
    ):
        load_model(file)
    for content in (b"", b"{}", pickle.dumps(fitted), b"\xff" * 100, os.urandom(2000)):
        file.write_bytes(content)
        with pytest.raises(
            ValueError,
            match=r"model cannot be read as a model.*joblib or pickle.*run ONNX files by",
        ):
            load_model(file)
    safetensors.torch.save_file({"weight": torch.ones(2)}, file)
    with pytest.raises(ValueError, match="not one written by save_model"):
        load_model(file)
    with pytest.raises(ValueError, match="is not a regular file"):
        load_model(tmp_path)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ValueError, match="is not a regular file"):
        load_model(tmp_path / "pipe")


def test_a_newer_format_names_the_version_that_wrote_it(fitted, file, monkeypatch):
    newer = replace(model_file.MODEL, newest=99)
    monkeypatch.setattr(model_file, "MODEL", newer)
    monkeypatch.setattr("skwing._prediction.model_file.__version__", "9.8")
    save_model(fitted, file)
    with pytest.raises(
        ValueError, match=r"model\.safetensors was written by skwing 9\.8 in format 99"
    ):
        monkeypatch.setattr(model_file, "MODEL", replace(newer, newest=98))
        load_model(file)


def changed(model, arrays, path, value):
    """Put a value into the JSON of a model: dicts are lists of pairs there."""
    node = model["estimator"]
    for key in path[:-1]:
        node = dict(node["dict"])[key] if "dict" in node else node[key]
    if "dict" in node:
        node["dict"] = [[k, value if k == path[-1] else v] for k, v in node["dict"]]
    else:
        node[path[-1]] = value


WRONG = {
    "class": (["class"], "os.system", "contains .* expected an estimator"),
    "no fitted": (["fitted"], None, "is None, expected a dict"),
    "params": (["params"], [], "has parameters"),
    "a parameter": (["params"], {"dict": [["turns", 3]]}, "a parameter 'turns'"),
    "public": (["params", "loss"], {"public": "os.system"}, "os.system"),
    "private": (["params", "loss"], {"public": "networks._cnn.PlainCNN"}, "not a valid public"),
    "kind": (["params", "loss"], {"eval": "1"}, "unknown type 'eval'"),
    "partial": (
        ["params", "loss"],
        {"partial": [{"own": "os:system"}, [], {"dict": []}]},
        "partial of",
    ),
    "array": (["params", "w"], {"array": "nowhere"}, "not a valid array"),
    "device": (["params", "device"], {"device": "nowhere"}, "not a valid device"),
    "schema": (["params", "schema"], {"schema": {"name": "x"}}, "schema"),
    "random state": (["params", "random_state"], {"random_state": {"dict": []}}, "random_state"),
    "dict": (["params", "w"], {"dict": [[3, 4]]}, "expected a string"),
    "pairs": (["params", "w"], {"dict": [[3]]}, "not a valid dict"),
    "float": (["params", "w"], {"float": "__import__('os')"}, "not a valid float"),
    "deep": (["params", "w"], json.loads("[" * 900 + "]" * 900), "nested too deep"),
    "pipeline": (["class"], "Pipeline", "lacks 'steps'"),
    "no stage": (["fitted", "networks"], [], "networks is empty"),
    "no networks": (["fitted", "networks"], None, "expected a list"),
    "mean shape": (["fitted", "mean_shape"], 3, "mean_shape is of shape"),
    "frame": (["fitted", "frame"], {"dict": [["size", "8"], ["margin", 0.5]]}, "size of frame"),
    "margin": (
        ["fitted", "frame"],
        {"dict": [["size", 8], ["margin", {"float": "nan"}]]},
        "margin",
    ),
    "flat": (["fitted", "flat"], 3, "flat is 3"),
    "history": (["fitted", "history"], [3], "other objects than rows"),
    "schema of others": (["fitted", "schema"], "ibug68", "68 landmarks, the data have 3"),
}


@pytest.mark.parametrize("name", WRONG)
def test_content_that_is_not_right_is_an_error_of_loading(fitted, file, name):
    """With a right checksum, as one who wants to do harm would write it."""
    save_model(fitted, file)
    model, arrays, _ = read_model(file)
    path, value, message = WRONG[name]
    changed(model, arrays, path, value)
    write_model(file, model, arrays)
    with pytest.raises(ValueError, match=f"(?s){message}") as error:
        load_model(file)
    assert str(file) in str(error.value)


WEIGHT = "model.networks.0.weights.output.bias"
ARRAYS = {
    "missing": ({WEIGHT: None}, "not a valid array"),
    "of another shape": ({WEIGHT: np.zeros(7, np.float32)}, "do not fit"),
    "of integers": ({WEIGHT: np.zeros(6, np.int32)}, "do not fit"),
    "not numbers": ({WEIGHT: np.full(6, np.nan, np.float32)}, "contain NaN, in 'output.bias'"),
    "crops without numbers": (
        {"model.crops.0.matrix": np.full((2, 3), np.inf, np.float32)},
        r"crops\[0\] matrix contains numbers that are not finite",
    ),
    "crops of another shape": (
        {"model.crops.1.shape": np.zeros((4, 2), np.float32)},
        r"crops\[1\] shape is of shape \(4, 2\)",
    ),
    "a calibration of others": ({"model.calibration.own": np.ones(4)}, "own of calibration"),
    "flags for a mean shape": ({"model.mean_shape": np.ones((3, 2), bool)}, "dtype bool"),
}


@pytest.mark.parametrize("name", ARRAYS)
def test_arrays_that_are_not_right_are_errors_of_loading(fitted, file, name):
    save_model(fitted, file)
    model, arrays, _ = read_model(file)
    changes, message = ARRAYS[name]
    assert changes.keys() <= arrays.keys()
    arrays = {k: v for k, v in (arrays | changes).items() if v is not None}
    write_model(file, model, arrays)
    with pytest.raises(ValueError, match=message) as error:
        load_model(file)
    assert str(file) in str(error.value)


REG = object()  # stands for the node of the regressor
BALANCER = {"class": "PoseBalancer", "params": {"dict": []}, "fitted": {"dict": []}}
STEPS = {
    "none": [],
    "no list": 3,
    "no pairs": [["reg"]],
    "no name": [[3, REG]],
    "a name twice": [["reg", "passthrough"], ["reg", REG]],
    "no regressor": [["balance", BALANCER]],
    "nothing last": [["reg", REG], ["last", "passthrough"]],
    "two regressors": [["one", REG], ["two", REG]],
    "a word": [["one", "os.system"], ["two", REG]],
    "a list": [["one", []], ["two", REG]],
}


@pytest.mark.parametrize("name", STEPS)
def test_pipelines_that_are_not_right_are_errors_of_loading(fitted, file, name):
    save_model(fitted, file)
    model, arrays, _ = read_model(file)
    steps = STEPS[name]
    if isinstance(steps, list):
        steps = [[model["estimator"] if part is REG else part for part in step] for step in steps]
    params = {"dict": [["transform_input", None], ["verbose", False]]}
    pipeline = {"class": "Pipeline", "params": params, "steps": steps}
    write_model(file, {"estimator": pipeline, "search": None}, arrays)
    for read in (load_model, describe_model):
        with pytest.raises(ValueError, match="its pipeline has the steps") as error:
            read(file)
        assert str(file) in str(error.value)


def test_a_balancer_that_is_not_right_is_an_error_of_loading(pipeline, file):
    save_model(pipeline, file)
    model, arrays, _ = read_model(file)
    model["estimator"]["steps"][0][1] = BALANCER
    write_model(file, model, arrays)
    with pytest.raises(ValueError, match="lacks 'mean_shape'") as error:
        load_model(file)
    assert str(file) in str(error.value)


@pytest.mark.slow
def test_ambient_settings_of_torch_do_not_matter(fitted, file, tmp_path):
    save_model(fitted, file)
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(torch.float64)
        with torch.inference_mode(), torch.device("meta"), torch.autocast("cpu"):
            save_model(fitted, tmp_path / "two")
            loaded = load_model(file)
    finally:
        torch.set_default_dtype(before)
    assert (tmp_path / "two").read_bytes() == file.read_bytes()
    np.testing.assert_array_equal(loaded.predict(data()[0]), fitted.predict(data()[0]))
    loaded.set_params(warm_start=True).fit(*data())


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_model_of_a_gpu_predicts_on_the_cpu(file):
    reg = tiny().fit(*data())
    expected = reg.predict(data()[0])
    loaded = again(reg.set_params(device="cuda"), file)
    with pytest.warns(UserWarning, match="device 'cuda' is unavailable"):
        np.testing.assert_array_equal(loaded.predict(data()[0]), expected)


@pytest.mark.slow
def test_loading_neither_reads_nor_moves_torchs_random_state(file):
    save_model(tiny(networks=(SHAPE_INDEXED, PLAIN)).fit(*data()), file)
    answers = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        answers.append(load_model(file).predict(data()[0]))
        assert torch.equal(torch.random.get_rng_state(), before)
    np.testing.assert_array_equal(*answers)


# ---------------------------------------------------------------------------------------
# Earlier versions
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["format-1", "version-0.8", "format-2", "format-3", "format-4"])
def test_files_of_earlier_versions_load_and_predict_the_same(name):
    known = np.load(MODELS / f"{name}.npz")
    model = load_model(MODELS / f"{name}.safetensors")
    balancer, reg = (step for _, step in model.steps)
    points, std = reg.predict(known["images"], return_std=True)
    # As far as processors and versions of OpenCV differ.
    np.testing.assert_allclose(points, known["points"], atol=0.05)
    np.testing.assert_allclose(std, known["std"], atol=0.05)
    np.testing.assert_allclose(next(reg.staged_predict(known["images"])), known["first"], atol=0.05)
    np.testing.assert_array_equal(balancer.repeats_, known["repeats"])
    if "confidence" in known:
        confidence = reg.predict(known["images"], return_confidence=True)[1]
        np.testing.assert_allclose(confidence, known["confidence"], atol=0.02)
    assert reg.w == (5.0, 10.0) and reg.schema_.name == "dots" and len(reg.history_) == 80
