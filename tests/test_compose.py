"""The estimators in scikit-learn's own pipelines, searches and stores."""

import io
import warnings
from functools import partial

import joblib
import numpy as np
import pandas as pd
import pytest
from sklearn import config_context
from sklearn.base import clone
from sklearn.exceptions import FitFailedWarning
from sklearn.model_selection import (
    GridSearchCV,
    GroupKFold,
    KFold,
    cross_val_predict,
    cross_val_score,
    cross_validate,
    learning_curve,
    train_test_split,
)
from sklearn.pipeline import Pipeline, make_pipeline
from small import UNBENT, first_fast

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing.datasets import make_faces
from skwing.metrics import make_nme_scorer, nme
from skwing.networks import PlainCNN

TINY = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)
FOLDS = KFold(3)


@pytest.fixture(autouse=True)
def no_stray_warnings():
    """Nothing here may warn, unless its test says so."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # Workers that start while a machine is busy are none of the package's doing.
        warnings.filterwarnings("default", message="A worker stopped while some jobs")
        yield


@pytest.fixture(scope="module")
def faces():
    return make_faces(18, image_size=48, random_state=1)


def tiny(**settings):
    defaults = {"networks": (TINY, TINY), "max_epochs": 1, "batch_size": 6, "random_state": 0}
    return CascadeLandmarkRegressor(device="cpu", **{**UNBENT, **defaults, **settings})


def pipeline(**settings):
    return Pipeline([("balance", PoseBalancer()), ("reg", tiny(**settings))])


# ---------------------------------------------------------------------------------------
# Pipeline
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_pipeline_balances_what_it_trains_on_and_nothing_else(faces):
    pipe = pipeline(max_epochs=3).fit(faces.data, faces.target)
    images = PoseBalancer().fit_transform(faces.data, faces.target)
    assert images.repeats.max() > 1
    by_hand = tiny(max_epochs=3).fit(images, faces.target)
    plain = tiny(max_epochs=3).fit(faces.data, faces.target)
    answer = pipe.predict(faces.data)
    np.testing.assert_array_equal(answer, by_hand.predict(faces.data))
    assert not np.array_equal(answer, plain.predict(faces.data))
    assert pipe[-1].schema_ == faces.schema
    assert faces.data.repeats is None


@pytest.mark.slow
def test_score_of_a_pipeline_is_on_the_natural_distribution(faces):
    pipe = pipeline().fit(faces.data, faces.target)
    expected = -nme(faces.target, pipe.predict(faces.data), schema=faces.schema)
    assert pipe.score(faces.data, faces.target) == pytest.approx(expected)


@pytest.mark.slow
def test_a_pipeline_takes_arrays_and_tables_of_paths(faces, tmp_path):
    from skwing._utils.opencv import cv2

    X = np.stack([faces.data.decode(i) for i in range(18)])
    paths = [tmp_path / f"{i}.png" for i in range(18)]
    for path, image in zip(paths, X, strict=True):
        cv2.imwrite(str(path), image[..., ::-1])
    x, y, width, height = faces.data.boxes.T
    table = pd.DataFrame({"path": paths, "x": x, "y": y, "width": width, "height": height})
    table.index = np.arange(18)[::-1]
    expected = tiny(schema="ibug68").fit(faces.data, faces.target).predict(faces.data)
    pipe = make_pipeline(PoseBalancer(max_repeats=1), tiny(schema="ibug68"))
    np.testing.assert_array_equal(pipe.fit(table, faces.target).predict(table), expected)
    scores = cross_val_score(pipe, table, faces.target, cv=FOLDS)
    assert np.isfinite(scores).all()
    boxless = make_pipeline(PoseBalancer(), tiny()).fit(X, faces.target)
    assert boxless.predict(X).shape == (18, 68, 2)


@pytest.mark.slow
def test_a_flat_y_goes_through_a_pipeline(faces):
    flat = faces.target.reshape(18, -1)
    pipe = pipeline().fit(faces.data, flat)
    assert pipe.predict(faces.data).shape == flat.shape
    points = pipeline().fit(faces.data, faces.target).predict(faces.data)
    np.testing.assert_array_equal(pipe.predict(faces.data).reshape(points.shape), points)


@pytest.mark.slow
def test_clone_and_nested_parameters(faces):
    pipe = pipeline(w=4.0).fit(faces.data, faces.target)
    copied = clone(pipe)
    assert not hasattr(copied[-1], "networks_")
    assert copied.get_params()["reg__w"] == 4.0
    copied.set_params(reg__w=7.0, balance__n_bins=5)
    assert (pipe["reg"].w, pipe["balance"].n_bins) == (4.0, 9)
    assert "PoseBalancer" in repr(pipe) and "PoseBalancer" in pipe._repr_html_()


@pytest.mark.slow
def test_a_fitted_pipeline_is_stored_and_loaded(faces):
    pipe = pipeline().fit(faces.data, faces.target)
    file = io.BytesIO()
    joblib.dump(pipe, file)
    file.seek(0)
    loaded = joblib.load(file)
    np.testing.assert_array_equal(loaded.predict(faces.data), pipe.predict(faces.data))


@pytest.mark.slow
def test_a_pipeline_with_memory_gives_the_same_from_its_store(faces, tmp_path):
    expected = pipeline().fit(faces.data, faces.target).predict(faces.data)
    pipe = pipeline().set_params(memory=joblib.Memory(tmp_path, verbose=0))
    for _ in range(2):
        pipe.fit(faces.data, faces.target)
        np.testing.assert_array_equal(pipe.predict(faces.data), expected)
    stored = list(tmp_path.rglob("output.pkl"))
    assert len(stored) == 1
    balancer, images = joblib.load(stored[0])[1], joblib.load(stored[0])[0]
    np.testing.assert_array_equal(images.repeats, balancer.repeats_)


@pytest.mark.slow
@pytest.mark.parametrize("transform", ["default", "pandas"])
def test_set_output_is_passed_over(faces, transform):
    pipe = pipeline().set_output(transform=transform).fit(faces.data, faces.target)
    assert isinstance(pipe.predict(faces.data), np.ndarray)
    with config_context(transform_output=transform):
        again = pipeline().fit(faces.data, faces.target)
    np.testing.assert_array_equal(again.predict(faces.data), pipe.predict(faces.data))


# ---------------------------------------------------------------------------------------
# Model selection
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_grid_over_the_loss_and_over_balancing_in_two_processes(faces, tmp_path, capfd):
    settings = {"networks": (TINY,), "max_epochs": 2}
    balance = ["passthrough", PoseBalancer()]
    grid = [{"reg__w": [2.0, 5.0]}, {"reg__epsilon": [0.5], "balance": balance}]
    searches = [
        GridSearchCV(
            pipeline(**settings, checkpoint=folder), grid, cv=2, n_jobs=n_jobs, error_score="raise"
        ).fit(faces.data, faces.target)
        for n_jobs, folder in ((1, None), (2, tmp_path / "checkpoints"))
    ]
    assert len(list(searches[1].estimator["reg"].checkpoint.iterdir())) == 4 * 2 + 1
    assert "Warning" not in capfd.readouterr().err  # of the workers
    scores = [search.cv_results_["mean_test_score"] for search in searches]
    np.testing.assert_array_equal(scores[1], scores[0])
    assert len(np.unique(scores[0])) == 4
    best = searches[1].best_estimator_
    assert best.predict(faces.data).shape == faces.target.shape
    by_hand = clone(pipeline(**settings)).set_params(**searches[1].best_params_)
    by_hand.fit(faces.data, faces.target)
    np.testing.assert_array_equal(best.predict(faces.data), by_hand.predict(faces.data))


@pytest.mark.slow
def test_a_grid_scored_by_a_scorer_of_the_schema(faces):
    scorer = make_nme_scorer("inter_pupil", "ibug68")
    search = GridSearchCV(pipeline(), {"reg__w": [2.0, 10.0]}, cv=FOLDS, scoring=scorer)
    search.fit(faces.data, faces.target)
    own = cross_val_score(pipeline(), faces.data, faces.target, cv=FOLDS)
    assert (search.cv_results_["mean_test_score"] < own.mean()).any()  # the pupils are nearer
    assert search.best_score_ == search.cv_results_["mean_test_score"].max()


@pytest.mark.slow
@pytest.mark.parametrize("flat", [False, True])
def test_predictions_of_cross_validation_are_those_of_the_folds(faces, flat):
    y = faces.target.reshape(18, -1) if flat else faces.target
    answer = cross_val_predict(pipeline(), faces.data, y, cv=FOLDS)
    assert answer.shape == y.shape
    train, test = next(FOLDS.split(faces.data))
    fold = pipeline().fit(faces.data[train], y[train])
    np.testing.assert_array_equal(answer[test], fold.predict(faces.data[test]))


@pytest.mark.slow
def test_groups_keep_persons_together(faces):
    results = cross_validate(
        pipeline(),
        faces.data,
        faces.target,
        groups=faces.groups,
        cv=GroupKFold(2),
        return_estimator=True,
        return_indices=True,
    )
    assert len(results["estimator"]) == 2
    for train, test in zip(*results["indices"].values(), strict=True):
        assert not set(faces.groups[train]) & set(faces.groups[test])
    # The poses of a fold are those of its own samples.
    repeats = [len(fold["balance"].repeats_) for fold in results["estimator"]]
    assert repeats == [len(train) for train in results["indices"]["train"]]


@pytest.mark.slow
def test_learning_curve(faces):
    sizes, train, test = learning_curve(
        pipeline(), faces.data, faces.target, train_sizes=[6, 12], cv=FOLDS
    )
    assert sizes.tolist() == [6, 12]
    assert np.isfinite(train).all() and np.isfinite(test).all()


@pytest.mark.slow
def test_train_test_split_keeps_boxes_and_schema(faces):
    X, X_test, y, y_test = train_test_split(faces.data, faces.target, random_state=0)
    pipe = pipeline().fit(X, y)
    assert X_test.schema == faces.schema
    assert np.isfinite(pipe.score(X_test, y_test))


@pytest.mark.slow
def test_what_fails_in_a_grid_is_a_gap_in_its_results(faces):
    grid = {"reg__w": [10.0, -1.0], "reg__epsilon": [2.0]}
    search = GridSearchCV(pipeline(), grid, cv=FOLDS)
    with pytest.warns(Warning) as caught:
        search.fit(faces.data, faces.target)
    told = [str(w.message) for w in caught if w.category is FitFailedWarning]
    assert len(told) == 1
    assert "ValueError: w must be a number in (0, inf), got -1.0" in told[0]
    others = {str(w.message)[:40] for w in caught if w.category is not FitFailedWarning}
    assert others == {"One or more of the test scores are non-f"}
    good, bad = search.cv_results_["mean_test_score"]
    assert np.isfinite(good) and np.isnan(bad)
    assert search.best_params_["reg__w"] == 10.0


# ---------------------------------------------------------------------------------------
# Metadata routing
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_sample_weight_goes_to_the_regressor_by_name(faces):
    weight = np.linspace(0.1, 5, 18)
    pipe = pipeline().fit(faces.data, faces.target, reg__sample_weight=weight)
    images = PoseBalancer().fit_transform(faces.data, faces.target)
    by_hand = tiny().fit(images, faces.target, sample_weight=weight)
    np.testing.assert_array_equal(pipe.predict(faces.data), by_hand.predict(faces.data))


@pytest.mark.slow
def test_sample_weight_is_routed_into_folds_and_scores(faces):
    weight = np.linspace(0.1, 5, 18)
    with config_context(enable_metadata_routing=True):
        pipe = pipeline()
        pipe["reg"].set_fit_request(sample_weight=True).set_score_request(sample_weight=True)
        search = GridSearchCV(pipe, {"reg__w": [10.0]}, cv=FOLDS, refit=False)
        search.fit(faces.data, faces.target, sample_weight=weight)
    train, test = next(FOLDS.split(faces.data))
    images = PoseBalancer().fit_transform(faces.data[train], faces.target[train])
    fold = tiny().fit(images, faces.target[train], sample_weight=weight[train])
    expected = fold.score(faces.data[test], faces.target[test], sample_weight=weight[test])
    assert search.cv_results_["split0_test_score"][0] == pytest.approx(expected)


@pytest.mark.slow
def test_validation_data_are_routed_past_the_balancer(faces):
    X, X_val, y, y_val = train_test_split(faces.data, faces.target, random_state=0)
    with config_context(enable_metadata_routing=True):
        pipe = Pipeline(pipeline(max_epochs=2).steps, transform_input=["X_val"])
        pipe["reg"].set_fit_request(X_val=True, y_val=True)
        pipe.fit(X, y, X_val=X_val, y_val=y_val)
    by_hand = tiny(max_epochs=2).fit(
        PoseBalancer().fit_transform(X, y), y, X_val=X_val, y_val=y_val
    )
    errors = [row["validation_error"] for row in pipe["reg"].history_]
    assert errors == [row["validation_error"] for row in by_hand.history_]
    assert errors[-1] == pytest.approx(-pipe.score(X_val, y_val))


# ---------------------------------------------------------------------------------------
# scikit-learn's callbacks
# ---------------------------------------------------------------------------------------
@pytest.fixture
def callbacks():
    return pytest.importorskip("sklearn.callback", reason="scikit-learn from 1.9 has callbacks")


class Recorder:
    """Callback that notes the tasks of a fit, and asks to stop after some epochs."""

    def __init__(self, stop_after=np.inf):
        self.told = []
        self.stop_after = stop_after

    def setup(self, estimator, context):
        self.told.append("setup")

    def on_fit_task_begin(self, estimator, context, *, X=None, y=None, metadata=None):
        pass

    def on_fit_task_end(self, estimator, context, *, X=None, y=None, metadata=None):
        self.told.append(context.task_name)
        return context.task_name.endswith(f"epoch {self.stop_after}")

    def teardown(self, estimator, context):
        self.told.append("teardown")


def test_callbacks_hear_of_every_epoch(callbacks, faces):
    recorder = Recorder()
    tiny(max_epochs=(2, 1)).set_callbacks(recorder).fit(faces.data, faces.target)
    epochs = ["stage 1, epoch 1", "stage 1, epoch 2", "stage 2, epoch 1"]
    assert recorder.told == ["setup", *epochs, "fit", "teardown"]


@pytest.mark.slow
def test_a_callback_may_end_a_stage(callbacks, faces):
    reg = tiny(max_epochs=5).set_callbacks(Recorder(stop_after=2)).fit(faces.data, faces.target)
    assert reg.n_iter_ == [2, 2]


def test_callbacks_are_released_when_fit_fails(callbacks, faces):
    recorder = Recorder()
    reg = tiny(loss=lambda residual: residual * float("nan")).set_callbacks(recorder)
    with pytest.raises(ValueError, match="diverged"):
        reg.fit(faces.data, faces.target)
    assert recorder.told == ["setup", "teardown"]


@pytest.mark.slow
@pytest.mark.parametrize("n_jobs", first_fast([1, 2]))
def test_progress_bars_of_a_search(callbacks, faces, n_jobs, capsys):
    pytest.importorskip("rich")
    search = GridSearchCV(pipeline(max_epochs=2), {"reg__w": [2.0, 10.0]}, cv=2, n_jobs=n_jobs)
    search.set_callbacks(callbacks.ProgressBar(max_propagation_depth=3))
    search.fit(faces.data, faces.target)
    out = capsys.readouterr().out
    assert "GridSearchCV" in out and "100%" in out
    assert "CascadeLandmarkRegressor" in out


# ---------------------------------------------------------------------------------------
# Functions that hear of each epoch
# ---------------------------------------------------------------------------------------
def test_functions_hear_of_each_epoch(faces):
    rows = []
    reg = tiny(max_epochs=(2, 1), callbacks=[rows.append]).fit(faces.data, faces.target)
    assert rows == reg.history_
    assert rows[0] is not reg.history_[0]  # what a function does with its row changes nothing


@pytest.mark.parametrize("answer", [True, np.True_])
def test_a_function_may_end_a_stage(faces, answer):
    reg = tiny(max_epochs=3, callbacks=[lambda row: answer if row["epoch"] == 2 else None])
    assert reg.fit(faces.data, faces.target).n_iter_ == [2, 2]


def test_other_answers_end_nothing(faces):
    """Functions that log may answer with an object."""
    reg = tiny(max_epochs=2, callbacks=(lambda row: object(), lambda row: 1))
    assert reg.fit(faces.data, faces.target).n_iter_ == [2, 2]


@pytest.mark.slow
def test_functions_are_heard_in_searches(faces):
    rows = []
    search = GridSearchCV(tiny(callbacks=[rows.append]), {"w": [2.0, 10.0]}, cv=2)
    search.fit(faces.data, faces.target)
    assert len(rows) == 5 * sum(search.best_estimator_.n_iter_)


@pytest.mark.parametrize("error", [ValueError("mine"), KeyboardInterrupt()])
def test_an_error_of_a_function_is_that_of_the_fit(faces, error):
    def fail(row):
        raise error

    reg = tiny(callbacks=[fail])
    if isinstance(error, KeyboardInterrupt):
        with pytest.warns(UserWarning, match="interrupted"):
            reg.fit(faces.data, faces.target)
    else:
        with pytest.raises(ValueError, match="mine"):
            reg.fit(faces.data, faces.target)
    assert reg.n_iter_ == [1]


@pytest.mark.parametrize(
    ("callbacks", "message"),
    [
        (print, "must be a list of functions"),
        ([print, "print"], r"got 'print' for callbacks\[1\]"),
        ([Recorder()], r"callbacks\[0\] is a callback of scikit-learn: pass it to set_callbacks"),
        ([dict], r"for callbacks\[0\]"),
    ],
)
def test_what_is_no_function_is_named(faces, callbacks, message):
    with pytest.raises(ValueError, match=message):
        tiny(callbacks=callbacks).fit(faces.data, faces.target)
