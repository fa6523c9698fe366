"""The parameter `augmentation`, and the parameters that it took out of the regressor."""

import inspect
import pickle
from functools import partial

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from small import only

import skwing
from skwing import Augmentation, CascadeLandmarkRegressor
from skwing._crops.augmentation import AUGMENTATIONS
from skwing.networks import PlainCNN, check_network, cnn6, cnn7

TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)


def tiny(**settings):
    defaults = {"networks": (TINY,), "max_epochs": 2, "random_state": 0, "device": "cpu"}
    return CascadeLandmarkRegressor(**{**defaults, **settings})


def data(n=6):
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (n, 24, 24), dtype=np.uint8), rng.uniform(4, 20, (n, 3, 2))


def answer(**settings):
    X, y = data()
    return tiny(**settings).fit(X, y).predict(X)


# ---------------------------------------------------------------------------------------
# What it means
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_default_is_a_plain_augmentation_and_none_is_one_of_zeros():
    np.testing.assert_array_equal(answer(), answer(augmentation=Augmentation()))
    still = answer(augmentation=None)
    np.testing.assert_array_equal(still, answer(augmentation=only()))
    assert abs(still - answer()).max() > 0.01


@pytest.mark.slow
def test_arrays_are_values_of_stages():
    arrays = {"w": np.array([5.0, 6.0]), "epsilon": np.array([1.0]), "max_epochs": np.array([1, 2])}
    tuples = {name: tuple(value.tolist()) for name, value in arrays.items()}
    turns = {"networks": (TINY, TINY)}
    of_arrays = answer(**arrays, **turns, augmentation=Augmentation(rotation=np.array([9.0, 3.0])))
    of_tuples = answer(**tuples, **turns, augmentation=Augmentation(rotation=(9.0, 3.0)))
    np.testing.assert_array_equal(of_arrays, of_tuples)
    np.testing.assert_array_equal(clone(tiny(**arrays)).w, arrays["w"])


# ---------------------------------------------------------------------------------------
# As a nested parameter
# ---------------------------------------------------------------------------------------
def test_parameters_are_nested_for_the_default_too():
    reg = CascadeLandmarkRegressor()
    nested = {k: v for k, v in reg.get_params().items() if k.startswith("augmentation__")}
    assert nested == {f"augmentation__{k}": v for k, v in Augmentation().get_params().items()}
    assert not any("__" in name for name in reg.get_params(deep=False))
    assert reg.set_params(augmentation__rotation=5) is reg
    assert reg.augmentation.get_params() == Augmentation(rotation=5).get_params()
    assert repr(reg) == "CascadeLandmarkRegressor(augmentation=Augmentation(rotation=5))"
    reg.set_params(augmentation__mirror=0)
    assert (reg.augmentation.rotation, reg.augmentation.mirror) == (5, 0)
    reg.set_params(augmentation="default", augmentation__blur=1)
    assert reg.augmentation.get_params() == Augmentation(blur=1).get_params()


def test_regressors_share_no_augmentation():
    first, second = CascadeLandmarkRegressor(), CascadeLandmarkRegressor()
    first.set_params(augmentation__rotation=5)
    assert second.augmentation == "default"
    assert second.get_params()["augmentation__rotation"] == (20.0, 15.0)
    copy = clone(first).set_params(augmentation__rotation=6)
    assert (first.augmentation.rotation, copy.augmentation.rotation) == (5, 6)


@pytest.mark.parametrize("augmentation", ["default", None, Augmentation(rotation=3)])
def test_it_is_cloned_and_pickled(augmentation):
    reg = CascadeLandmarkRegressor(augmentation=augmentation)
    for copy in (clone(reg), pickle.loads(pickle.dumps(reg))):
        assert repr(copy) == repr(reg)
    assert b"_crops" not in pickle.dumps(Augmentation())


@pytest.mark.slow
def test_a_grid_varies_single_changes():
    grid = {"reg__augmentation__rotation": [0, 40], "reg__augmentation__mirror": [0.0]}
    pipeline = Pipeline([("reg", tiny())])
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(*data())
    rotation = search.best_params_["reg__augmentation__rotation"]
    best = search.best_estimator_.named_steps["reg"].augmentation
    assert (best.rotation, best.mirror, best.blur) == (rotation, 0.0, 0.2)
    assert len(set(search.cv_results_["mean_test_score"])) == 2
    assert pipeline.named_steps["reg"].augmentation == "default"
    search.set_params(param_grid={"reg__augmentation": [None, Augmentation()]}).fit(*data())
    assert len(set(search.cv_results_["mean_test_score"])) == 2


def test_no_augmentation_has_no_parameters_to_set():
    reg = CascadeLandmarkRegressor(augmentation=None)
    assert not any(name.startswith("augmentation__") for name in reg.get_params())
    with pytest.raises(ValueError, match="augmentation is None, so its parameters cannot be set"):
        reg.set_params(augmentation__rotation=3)
    assert reg.augmentation is None
    reg.set_params(augmentation=Augmentation(), augmentation__rotation=3)
    assert reg.augmentation.rotation == 3
    with pytest.raises(ValueError, match="Invalid parameter 'rotaton' for estimator Augmentation"):
        CascadeLandmarkRegressor().set_params(augmentation__rotaton=3)


# ---------------------------------------------------------------------------------------
# What was a parameter of the regressor
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_the_parameters_of_before_say_what_replaces_them(name):
    given = {name: (0.1, 0.2)}
    instead = rf"augmentation=Augmentation\({name}=\(0.1, 0.2\)\)"
    with pytest.raises(TypeError, match=f"has no parameter '{name}': .*{instead}"):
        CascadeLandmarkRegressor(**given)
    nested = rf"has no parameter '{name}': .* augmentation__{name}=\(0.1, 0.2\)"
    reg = CascadeLandmarkRegressor()
    with pytest.raises(TypeError, match=nested):
        reg.set_params(**given, w=3.0)
    with pytest.raises(TypeError, match=nested):
        Pipeline([("reg", reg)]).set_params(**{f"reg__{name}": (0.1, 0.2)})
    assert repr(reg) == "CascadeLandmarkRegressor()"


def test_all_of_them_are_told_at_once():
    with pytest.raises(TypeError, match=r"Augmentation\(rotation=20, blur=0\)"):
        CascadeLandmarkRegressor(blur=0, rotation=20)


def test_batch_norm_is_of_the_networks():
    for call in (CascadeLandmarkRegressor, CascadeLandmarkRegressor().set_params):
        with pytest.raises(TypeError, match=r"has no parameter 'batch_norm': .*'cnn6_plain'"):
            call(batch_norm=False)


def test_a_subclass_may_have_a_parameter_of_such_a_name():
    class Turned(CascadeLandmarkRegressor):
        def __init__(self, *, rotation=3, w=10.0):
            super().__init__(w=w)
            self.rotation = rotation

    assert clone(Turned(rotation=5)).set_params(rotation=6).rotation == 6
    with pytest.raises(TypeError, match="Turned has no parameter 'mirror'"):
        Turned(mirror=0)


def test_other_unknown_parameters_are_unknown_as_ever():
    with pytest.raises(TypeError, match="unexpected keyword argument 'colour'"):
        CascadeLandmarkRegressor(colour=3)
    with pytest.raises(ValueError, match="Invalid parameter 'colour'"):
        CascadeLandmarkRegressor().set_params(colour=3)
    assert list(inspect.signature(CascadeLandmarkRegressor).parameters)[:2] == ["networks", "loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "function", "batch_norm"),
    [
        ("cnn6", cnn6, True),
        ("cnn7", cnn7, True),
        ("cnn6_plain", cnn6, False),
        ("cnn7_plain", cnn7, False),
    ],
)
def test_names_have_batch_norm_except_those_called_plain(name, function, batch_norm):
    built, expected = check_network(name)(4), function(4, batch_norm=batch_norm)
    assert list(built.state_dict()) == list(expected.state_dict())
    assert any("running_mean" in key for key in built.state_dict()) == batch_norm


def test_it_is_public():
    assert skwing.Augmentation is Augmentation
    assert Augmentation.__module__ == "skwing"
