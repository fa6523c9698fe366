"""A search whose fits are trained together finds what the ordinary search finds."""

import os
import pickle
import tempfile
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn import config_context
from sklearn.base import clone
from sklearn.callback import ProgressBar
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import GridSearchCV, GroupKFold, ShuffleSplit
from sklearn.pipeline import Pipeline
from small import SHAPE_INDEXED, UNBENT, build_small

from skwing import CascadeLandmarkRegressor, PoseBalancer, load_model, model_selection, save_model
from skwing._training import loop
from skwing.datasets import make_faces
from skwing.model_selection import BatchedGridSearchCV
from skwing.networks import PlainCNN

TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8, batch_norm=True)
GRID = {"w": [5.0, 10.0]}


class Own(PlainCNN):
    """A network whose code may do anything."""


@pytest.fixture(scope="module")
def faces():
    return make_faces(8, image_size=40, max_yaw=45, random_state=0)


def regressor(**settings):
    # Without momentum of second order, which turns rounding errors of tiny gradients into steps.
    defaults = {
        **{"networks": (TINY,), "optimizer": "sgd", "learning_rate": 0.3, "max_epochs": 2},
        **{"batch_size": 4, "random_state": 0, "precision": "float32", "device": "cpu"},
    }
    return CascadeLandmarkRegressor(**{**UNBENT, **defaults, **settings})


@pytest.fixture
def groups(monkeypatch, tmp_path):
    """Sizes of the groups that are trained together, on a CPU as on a GPU."""
    sizes, real = [], model_selection.train_together

    def train_together(plans, prepare):
        real(plans, prepare)
        sizes.append(len(plans))

    monkeypatch.setattr(model_selection, "_KINDS", ("cpu",))
    monkeypatch.setattr(model_selection, "train_together", train_together)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    yield sizes
    assert list(tmp_path.glob("skwing-*")) == []


def contents(results):
    """All results of a search but for the times."""
    return {key: value for key, value in results.items() if not key.endswith("_time")}


def check_equal(found, wanted):
    """Check that two searches have the same results, except for rounding, and their refits."""
    found_results, wanted_results = contents(found.cv_results_), contents(wanted.cv_results_)
    assert list(found_results) == list(wanted_results)
    for key, value in wanted_results.items():
        if key.endswith("_score"):
            np.testing.assert_allclose(found_results[key], value, rtol=1e-4, atol=1e-8)
        elif not key.startswith("rank"):  # equal scores but for rounding
            assert list(found_results[key]) == list(value)
    assert found.get_params().keys() == wanted.get_params().keys()
    if hasattr(wanted, "best_estimator_"):
        mine, other = found.best_estimator_.get_params(), wanted.best_estimator_.get_params()
        names = {name for name in mine if name.endswith(("checkpoint", "cache"))}
        assert names and [mine[name] for name in names] == [other[name] for name in names]


def both(estimator, grid, faces, *, cv=2, **further):
    """A search whose fits are trained together, after a check that it equals the ordinary one."""
    settings = {"cv": cv, "refit": False, **further.pop("search", {})}
    fitted = [
        kind(clone(estimator), grid, **settings).fit(faces.data, faces.target, **further)
        for kind in (BatchedGridSearchCV, GridSearchCV)
    ]
    check_equal(*fitted)
    return fitted[0]


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"networks": (SHAPE_INDEXED,)},
        pytest.param({"networks": (SHAPE_INDEXED, SHAPE_INDEXED)}, marks=pytest.mark.slow),
        pytest.param({"networks": "auto", "max_epochs": 1}, marks=pytest.mark.slow),
    ],
    ids=lambda settings: str(settings.get("networks", "plain"))[:12],
)
def test_results_are_those_of_the_ordinary_search(faces, groups, settings, monkeypatch):
    build_small(monkeypatch)
    both(regressor(**settings), GRID, faces, search={"return_train_score": True})
    assert groups == [2, 2]


@pytest.mark.slow
def test_what_enters_each_step_alone_may_differ(faces, groups):
    grid = [
        {"loss": ["l1"], "learning_rate": [0.1], "weight_decay": [0.0]},
        {"optimizer": ["adamw"], "learning_rate": [1e-4], "momentum": [0.5]},
        {"schedule": ["constant"], "epsilon": [0.5], "w": [5.0]},
    ]
    both(regressor(), grid, faces)
    assert groups == [3, 3]


@pytest.mark.slow
def test_fits_of_other_batches_are_in_other_groups(faces, groups):
    grid = [{**GRID, "batch_size": [3, 4]}, {**GRID, "networks": [(SHAPE_INDEXED,)]}]
    both(regressor(max_epochs=1), grid, faces)
    assert groups == [2] * 6


@pytest.mark.slow
def test_fits_of_a_pipeline_see_what_its_first_steps_give(faces, groups):
    pipe = Pipeline([("balance", PoseBalancer()), ("reg", regressor())])
    balancer = PoseBalancer(n_bins=3, absolute=False)
    grid = {"reg__w": [5.0, 10.0], "balance": [balancer, "passthrough"]}
    search = both(pipe, grid, faces, cv=GroupKFold(2), groups=np.arange(8) // 2)
    assert groups == [2, 2, 2, 2]
    assert isinstance(search.cv, GroupKFold)


@pytest.mark.slow
def test_regressors_of_the_grid_have_no_checkpoint(faces, groups):
    one_step = Pipeline([("reg", regressor())])
    both(one_step, {"reg__w": [5.0, 10.0], "reg": [regressor(max_epochs=1)]}, faces)
    assert groups == []


@pytest.mark.slow
def test_equal_fits_are_trained_once(faces, groups):
    first_steps = [PoseBalancer(max_repeats=1), "passthrough"]  # which give the same
    pipe = Pipeline([("balance", PoseBalancer()), ("reg", regressor())])
    both(pipe, {"reg__w": [5.0, 10.0], "balance": first_steps}, faces)
    assert groups == [2, 2]


@pytest.mark.slow
def test_the_best_one_is_fitted_as_ever(faces, groups):
    search = both(regressor(), GRID, faces, search={"refit": True})
    assert search.best_estimator_.get_params()["w"] == search.best_params_["w"]
    alone = regressor(**search.best_params_).fit(faces.data, faces.target)
    assert np.array_equal(search.predict(faces.data), alone.predict(faces.data))
    assert search.estimator.checkpoint is None and search.cv == 2


def test_a_refit_that_fails_leaves_no_temporary_folder(faces, groups):
    n_epochs = 0

    def stop_refit(row):
        nonlocal n_epochs
        n_epochs += 1
        if n_epochs > 8:  # of two candidates in two splits
            raise RuntimeError("mine")

    search = BatchedGridSearchCV(regressor(callbacks=[stop_refit]), GRID, cv=2)
    with pytest.raises(RuntimeError, match="mine"):
        search.fit(faces.data, faces.target)
    found = search.best_estimator_.get_params()
    assert found["checkpoint"] is None and found["cache"] is None


@pytest.mark.slow
def test_the_ordinary_fits_find_their_first_stage_trained(faces, groups, monkeypatch):
    calls, real = [], loop.TrainingStep.__call__

    def counted(self, *batch):
        calls.append(self.network.network)
        return real(self, *batch)

    monkeypatch.setattr(loop.TrainingStep, "__call__", counted)
    search = BatchedGridSearchCV(regressor(), GRID, cv=2, refit=False)
    search.fit(faces.data, faces.target)
    assert groups == [2, 2] and calls == []
    assert (search.cv_results_["mean_fit_time"] > 0).all()
    search.set_params(estimator=regressor(networks=(TINY, TINY), max_epochs=(2, 1)))
    search.fit(faces.data, faces.target)
    assert len(calls) == 4  # steps of the second stages


def test_random_splits_are_drawn_once(faces, groups):
    cv = ShuffleSplit(2, test_size=3, random_state=np.random.RandomState(0))
    BatchedGridSearchCV(regressor(), GRID, cv=cv, refit=False).fit(faces.data, faces.target)
    assert groups == [2, 2]
    other = ShuffleSplit(2, test_size=3, random_state=np.random.RandomState(0))
    list(other.split(faces.data))
    assert cv.random_state.randint(10**9) == other.random_state.randint(10**9)


@pytest.mark.slow
def test_a_fit_that_diverges_is_the_search_s_to_judge(faces, groups):
    grid = {"learning_rate": [0.3, 1e30, 0.1]}
    with pytest.warns(FitFailedWarning, match="2 fits failed"):
        search = both(regressor(), grid, faces)
    assert groups == [3, 3]
    assert np.isnan(search.cv_results_["mean_test_score"]).tolist() == [False, True, False]
    raising = BatchedGridSearchCV(regressor(), grid, cv=2, error_score="raise")
    with pytest.raises(ValueError, match="diverged"):
        raising.fit(faces.data, faces.target)
    assert raising.estimator.checkpoint is None and raising.cv == 2


def test_parameters_that_are_refused_are_refused_by_the_search(faces, groups):
    search = BatchedGridSearchCV(regressor(), {"w": [5.0, -1.0, 10.0]}, cv=2, refit=False)
    with pytest.warns(FitFailedWarning, match="2 fits failed"):
        search.fit(faces.data, faces.target)
    assert groups == [2, 2]
    search.set_params(param_grid={"w": [1.0, 2.0]}, estimator=regressor(device="no such"))
    with pytest.raises(ValueError, match="no such"):
        search.set_params(error_score="raise").fit(faces.data, faces.target)


@pytest.mark.parametrize("is_pipe", [False, True])
def test_an_unknown_parameter_is_the_ordinary_error_at_once(faces, groups, is_pipe):
    estimator = Pipeline([("balance", PoseBalancer()), ("reg", regressor())])
    estimator, prefix = (estimator, "reg__") if is_pipe else (regressor(), "")
    grid = [{prefix + "w": [5.0, 10.0]}, {prefix + "no_such": [1]}]
    told = []
    for kind in (GridSearchCV, BatchedGridSearchCV):
        with pytest.raises(ValueError, match="'no_such'") as error:
            kind(estimator, grid, cv=2).fit(faces.data, faces.target)
        told.append(str(error.value))
    assert told[0] == told[1]  # which shows the estimator as given
    assert groups == []


ALONE = {
    "no seed": {"random_state": None},
    "early stopping": {"early_stopping": True, "validation_fraction": 0.3},
    "callbacks": {"callbacks": [lambda row: None]},
}


@pytest.mark.parametrize("name", ALONE)
def test_other_fits_are_trained_by_themselves(faces, groups, name):
    search = BatchedGridSearchCV(regressor(**ALONE[name]), GRID, cv=2, refit=False)
    search.fit(faces.data, faces.target)
    assert groups == []
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


@pytest.mark.slow
def test_networks_of_other_layers_are_trained_together_too(faces, groups):
    own = partial(Own, widths=(4, 8), input_size=16, n_hidden=8)
    both(regressor(networks=(own,)), GRID, faces)
    assert groups == [2, 2]


@pytest.mark.slow
def test_functions_without_a_name_are_not_confused(faces, groups):
    losses = [lambda residual, power=power: residual.abs() ** power for power in (1, 2)]
    search = both(regressor(learning_rate=0.01), {"loss": losses}, faces)
    assert groups == []
    assert np.ptp(search.cv_results_["mean_test_score"]) > 0


def test_callbacks_of_scikit_learn_follow_every_epoch(faces, groups, monkeypatch):
    # They start a process, whose folder is another one.
    monkeypatch.setattr(tempfile, "tempdir", None)
    search = BatchedGridSearchCV(regressor(max_epochs=1), GRID, cv=2, refit=False)
    search.set_callbacks(ProgressBar()).fit(faces.data, faces.target)
    assert groups == []


@pytest.mark.slow
def test_further_parameters_of_fit_reach_the_fits(faces, groups):
    weights = np.arange(8) % 3 + 1.0
    both(regressor(), GRID, faces, sample_weight=weights)
    with config_context(enable_metadata_routing=True):
        cv, of = GroupKFold(2), np.arange(8) // 2
        both(regressor(), GRID, faces, cv=cv, groups=of)
    assert groups == []


@pytest.mark.slow
def test_a_folder_of_the_user_keeps_all_fits(faces, groups, tmp_path_factory):
    folder = tmp_path_factory.mktemp("own")
    search = BatchedGridSearchCV(regressor(checkpoint=folder), GRID, cv=2)
    search.fit(faces.data, faces.target)
    assert groups == [2, 2] and len(list(folder.iterdir())) == 5
    assert search.best_estimator_.checkpoint == folder
    score = search.best_score_
    assert search.fit(faces.data, faces.target).best_score_ == score
    assert groups == [2, 2]  # there is nothing left to train


@pytest.mark.slow
def test_groups_that_memory_does_not_suffice_for_are_halved(faces, groups, monkeypatch):
    counted, sizes = model_selection.train_together, []

    def limited(plans, prepare):
        sizes.append(len(plans))
        if len(plans) > 2:
            raise torch.OutOfMemoryError("too large")
        return counted(plans, prepare)

    monkeypatch.setattr(model_selection, "train_together", limited)
    both(regressor(), {"w": [5.0, 7.0, 8.0, 9.0]}, faces)
    assert sizes == [4, 2, 2] * 2
    assert groups == [2, 2] * 2


@pytest.mark.slow
def test_an_unforeseen_error_costs_time_only(faces, groups, monkeypatch):
    def fails(plans, prepare):
        raise RuntimeError("no such kernel")

    monkeypatch.setattr(model_selection, "train_together", fails)
    with pytest.warns(UserWarning, match=r"2 fits cannot be trained together .*no such kernel"):
        both(regressor(), GRID, faces)


def test_on_a_cpu_it_is_the_ordinary_search(faces, monkeypatch):
    def never(*_):
        raise AssertionError("trained together")

    monkeypatch.setattr(model_selection, "train_together", never)
    monkeypatch.setattr(model_selection.tempfile, "TemporaryDirectory", never)
    both(regressor(), GRID, faces, search={"refit": True})


def test_what_is_no_regressor_is_searched_as_ever(groups):
    from sklearn.linear_model import Ridge

    X = np.random.default_rng(0).normal(size=(20, 3))
    search = BatchedGridSearchCV(Ridge(), {"alpha": [0.1, 1.0]}, cv=2).fit(X, X[:, 0])
    assert search.best_score_ > 0.9


@pytest.mark.slow
def test_several_threads_score_and_finish_the_fits(faces, groups):
    with joblib.parallel_config("threading"):
        both(regressor(), GRID, faces, search={"n_jobs": 2})
    assert groups == [2, 2]


def test_it_is_an_estimator_like_the_others(faces, groups, tmp_path_factory):
    search = BatchedGridSearchCV(regressor(max_epochs=1), GRID, cv=2)
    assert list(search.get_params(deep=False)) == list(
        GridSearchCV(regressor(), {}).get_params(deep=False)
    )
    before = search.get_params()
    again = clone(search).set_params(estimator__w=3.0, refit=True)
    assert again.estimator.w == 3.0 and search.estimator.w == 10.0
    search.fit(faces.data, faces.target)
    after = search.get_params()
    assert all(after[name] is value for name, value in before.items())
    points = search.predict(faces.data)
    copied = pickle.loads(pickle.dumps(search))
    assert np.array_equal(copied.predict(faces.data), points)
    path = tmp_path_factory.mktemp("saved") / "model.safetensors"
    save_model(search, path)
    assert np.array_equal(load_model(path).predict(faces.data), points)
    assert os.fspath(tempfile.gettempdir()) not in repr(search.cv_results_)


@pytest.mark.gpu
@pytest.mark.parametrize("networks", [("cnn6",), "auto"], ids=["cnn6", "auto"])
@pytest.mark.parametrize("precision", ["float32", "auto"])
def test_on_a_gpu_the_results_are_those_of_the_ordinary_search(
    faces, groups, monkeypatch, networks, precision
):
    monkeypatch.setattr(model_selection, "_KINDS", ("cuda",))
    settings = {"networks": networks, "precision": precision, "max_epochs": 6, "device": "cuda"}
    settings |= {"optimizer": "adamw", "learning_rate": 1e-3}
    fitted = [
        kind(regressor(**settings), GRID, cv=2, refit=False).fit(faces.data, faces.target)
        for kind in (BatchedGridSearchCV, GridSearchCV)
    ]
    assert groups == [2, 2]
    together, alone = (search.cv_results_["mean_test_score"] for search in fitted)
    np.testing.assert_allclose(together, alone, rtol=0.05 if precision == "float32" else 0.1)
