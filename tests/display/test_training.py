from functools import partial

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from small import PLAIN

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing.balance import PoseResampler
from skwing.display import (
    LossDisplay,
    ParameterGridDisplay,
    PoseHistogramDisplay,
    TrainingHistoryDisplay,
)
from skwing.losses import wing


def rows(stage, n_epochs, **more):
    return [
        {"stage": stage, "epoch": e, "loss": 9.0 - e, "learning_rate": 0.1 * e, **more}
        for e in range(1, n_epochs + 1)
    ]


# --- losses ---------------------------------------------------------------------------------


def test_losses_have_the_gradients_and_steps_of_the_paper():
    display = LossDisplay.from_losses(w=6.0, epsilon=1.5, max_error=12, n_points=25)
    x = display.errors[1:]
    value, pull, step = (
        {name: curve[1:] for name, curve in curves.items()}
        for curves in (display.values, display.gradients, display.steps)
    )
    np.testing.assert_allclose(pull["l1"], 1)
    np.testing.assert_allclose(step["l1"], x)
    np.testing.assert_allclose(pull["l2"], x)
    np.testing.assert_allclose(step["l2"], 1)
    log = x < 6
    np.testing.assert_allclose(value["wing"][log], 6 * np.log(1 + x[log] / 1.5))
    np.testing.assert_allclose(pull["wing"][log], 6 / (1.5 + x[log]))
    np.testing.assert_allclose(step["wing"][log], x[log] * (1.5 + x[log]) / 6)
    np.testing.assert_allclose(pull["wing"][~log], 1)
    # One step of gradient descent with that rate ends at 0, for every loss.
    for name in display.values:
        np.testing.assert_allclose(x - step[name] * pull[name], 0, atol=1e-12)


def test_the_first_loss_is_thick_and_on_top_of_the_others():
    for ax in LossDisplay.from_losses(["wing", "l2", "l1", "smooth_l1"]).axes_:
        first, *others = ax.lines
        assert all(first.get_linewidth() > line.get_linewidth() for line in others)
        assert all(first.get_zorder() > line.get_zorder() for line in others)
    thin = LossDisplay.from_losses(["wing", "l1"], lw=1)
    assert {line.get_linewidth() for ax in thin.axes_ for line in ax.lines} == {1}


def test_loss_without_a_slope_has_no_step():
    display = LossDisplay.from_losses("rectified_wing", max_error=2, n_points=9)
    inside = display.errors <= 0.5
    assert np.isnan(display.steps["rectified_wing"]).tolist() == inside.tolist()
    legend = next(ax.get_legend() for ax in display.figure_.axes if ax.get_legend())
    assert [t.get_text() for t in legend.get_texts()] == ["rectified wing, w = 10, ε = 2"]


def test_losses_take_functions_by_name_and_draw_what_they_hold():
    losses = {"narrow": partial(wing, w=3.0), "wide": partial(wing, w=12.0)}
    display = LossDisplay.from_losses(losses)
    assert list(display.values) == ["narrow", "wide"]
    value_ax, gradient_ax, step_ax = display.axes_
    for line, name in zip(value_ax.lines, losses, strict=True):
        np.testing.assert_array_equal(line.get_ydata(), display.values[name])
    np.testing.assert_array_equal(
        gradient_ax.lines[0].get_ydata()[1:], display.gradients["narrow"][1:]
    )
    assert "pixels" in step_ax.get_xlabel()


def test_losses_of_an_estimator_are_those_of_its_stages():
    networks = ("cnn6", "cnn7")
    reg = CascadeLandmarkRegressor(networks=networks, w=(10.0, 15.0), epsilon=(2.0, 3.0))
    display = LossDisplay.from_estimator(Pipeline([("reg", reg)]), n_points=31)
    assert list(display.values) == ["wing, w = 10, ε = 2", "wing, w = 15, ε = 3", "l2", "l1"]
    assert display.errors[-1] == 22.5
    one = LossDisplay.from_estimator(CascadeLandmarkRegressor(loss="l1"), n_points=5)
    assert list(one.values) == ["l1", "l2"]


def test_losses_refuse():
    with pytest.raises(ValueError, match="Unknown loss 'wnig'"):
        LossDisplay.from_losses(["wnig"])
    with pytest.raises(ValueError, match="max_error must be"):
        LossDisplay.from_losses(max_error=-1)


# --- history --------------------------------------------------------------------------------


@pytest.mark.slow
def test_history_of_a_fitted_regressor(faces):
    X, y = faces.data[:8], faces.target[:8]
    reg = CascadeLandmarkRegressor(networks=(PLAIN,), max_epochs=2, random_state=0)
    pipe = Pipeline([("reg", reg)]).fit(X, y, reg__X_val=X, reg__y_val=y)
    display = TrainingHistoryDisplay.from_estimator(pipe)
    history = pipe["reg"].history_
    for name in ("loss", "learning_rate", "validation_error"):
        assert getattr(display, name).tolist() == [row[name] for row in history]
    loss, validation, rate = display.axes_
    np.testing.assert_array_equal(loss.lines[0].get_ydata(), display.loss)
    np.testing.assert_array_equal(validation.lines[0].get_ydata(), 100 * display.validation_error)
    label = " ".join(validation.get_ylabel().split())  # which goes over two lines
    assert label == "Validation NME (% of the inter-ocular distance)"
    assert rate.get_xlabel() == "Epoch"


def test_history_runs_on_through_the_stages_and_marks_the_best_epochs():
    history = rows(1, 3) + rows(2, 2)
    for row, error in zip(history, (0.3, 0.1, 0.2, 0.05, np.nan), strict=True):
        row["validation_error"] = error
    display = TrainingHistoryDisplay.from_history(history, normalizer="inter_pupil")
    loss, validation, _ = display.axes_
    assert display.stages.tolist() == [1, 1, 1, 2, 2]
    by_stage = {line.get_label(): list(line.get_xdata()) for line in loss.lines}
    assert by_stage["stage 1"] == [1, 2, 3]
    assert by_stage["stage 2"] == [4, 5]
    assert {t.get_text() for t in loss.texts} == {"stage 1", "stage 2"}
    assert [t.get_text() for t in validation.texts] == ["10.00 %", "5.00 %"]


def test_history_without_validation_has_two_panels_in_the_place_of_the_axes():
    figure, axes = plt.subplots(2)
    display = TrainingHistoryDisplay.from_history(rows(1, 1), ax=axes[0], lw=5)
    assert display.validation_error is None
    assert [ax.get_ylabel() for ax in display.axes_] == ["Training loss", "Learning rate"]
    assert (display.ax_, display.figure_) == (axes[0], figure)
    assert display.axes_[0].lines[0].get_linewidth() == 5


def test_history_refuses():
    with pytest.raises(NotFittedError, match=r"no history_: expected a CascadeLandmarkRegressor"):
        TrainingHistoryDisplay.from_estimator(CascadeLandmarkRegressor())
    with pytest.raises(ValueError, match="history is empty"):
        TrainingHistoryDisplay.from_history([])
    with pytest.raises(ValueError, match=r"history\[1\] has no loss"):
        TrainingHistoryDisplay.from_history([*rows(1, 1), {"stage": 1, "learning_rate": 1}])


# --- parameters -----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def search():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(20, 3)), rng.normal(size=20)
    grid = {
        "ridge__alpha": [10.0, 0.1, 1.0],
        "ridge__fit_intercept": [True, False],
        "ridge__positive": [False, True],
    }
    scoring = "neg_mean_absolute_error"
    return GridSearchCV(Pipeline([("ridge", Ridge())]), grid, scoring=scoring, cv=2).fit(X, y)


def test_grid_shows_the_best_over_the_other_parameters(search):
    display = ParameterGridDisplay.from_estimator(search, x="alpha", y="ridge__fit_intercept")
    assert display.x_values == [0.1, 1.0, 10.0]
    assert display.y_values == [True, False]
    assert display.others == ("ridge__positive",)
    results = search.cv_results_
    for (row, column), mean in np.ndenumerate(display.means):
        fitting = [
            (results["mean_test_score"][i], results["std_test_score"][i])
            for i, params in enumerate(results["params"])
            if params["ridge__alpha"] == display.x_values[column]
            and params["ridge__fit_intercept"] == display.y_values[row]
        ]
        assert len(fitting) == 2
        assert (mean, display.deviations[row, column]) == max(fitting)
        text = display.text_[row, column].get_text()
        assert text == f"{-100 * mean:.2f}\n± {100 * display.deviations[row, column]:.2f}"
    assert display.means[display.best_] == search.best_score_
    assert display.text_[display.best_].get_fontweight() == "bold"
    assert "over 2 folds" in display.ax_.get_title()
    assert "best over positive" in display.ax_.get_title()
    assert (display.ax_.get_xlabel(), display.ax_.get_ylabel()) == ("alpha", "fit_intercept")


def results_of(table, w, epsilon):
    """cv_results_ of w and epsilon, with NaN for a fit that failed."""
    return {
        "params": [{"reg__epsilon": e, "reg__w": v} for e in epsilon for v in w],
        "mean_test_score": np.ravel(table),
    }


def test_grid_of_two_parameters_needs_no_names_and_shows_fits_that_failed():
    table = np.array([[-0.02, np.nan, -0.03], [-0.04, -0.01, -0.05]])
    display = ParameterGridDisplay.from_cv_results(results_of(table, (4, 6, 8), (1, 2)))
    np.testing.assert_array_equal(display.means, table)
    assert (display.x_name, display.y_name) == ("reg__w", "reg__epsilon")
    assert display.best_ == (1, 1)
    assert display.text_[0, 1].get_text() == "no score"
    assert display.text_[1, 1].get_text() == "1.00"  # no deviations are known
    one = ParameterGridDisplay.from_cv_results(results_of(table[:1], (4, 6, 8), (1,)))
    assert (one.x_name, one.y_name, one.means.shape) == ("reg__w", None, (1, 3))


def test_grid_tells_estimators_as_values_apart():
    balance = ["passthrough", PoseBalancer(), PoseBalancer(n_bins=5)]
    results = {
        "params": [{"balance": b, "w": w} for w in (1, 2) for b in balance],
        "mean_test_score": [0.1, 0.2, 0.3, 0.4, 0.5, 0.6],
    }
    display = ParameterGridDisplay.from_cv_results(results, x="w", show="score", ax=plt.gca())
    np.testing.assert_array_equal(display.means, [[0.1, 0.4], [0.2, 0.5], [0.3, 0.6]])
    labels = [tick.get_text() for tick in display.ax_.get_yticklabels()]
    assert labels == ["passthrough", "PoseBalancer()", "PoseBalancer(n_bins=5)"[:19] + "…"]
    assert display.ax_ is plt.gcf().axes[0]
    assert display.text_[0, 0].get_text() == "0.10"


def test_grid_shows_chance_differences_in_similar_colours():
    results = results_of([[-0.1570, -0.1587]], (5, 10), (1,))
    results["std_test_score"] = [0.0027, 0.0027]
    low, high = ParameterGridDisplay.from_cv_results(results).image_.get_clim()
    assert (low + high) / 2 == pytest.approx((15.70 + 15.87) / 2)
    assert high - low == pytest.approx(0.1 * (15.70 + 15.87) / 2)  # a tenth of the mean error
    results["std_test_score"] = [0.01, 0.03]
    low, high = ParameterGridDisplay.from_cv_results(results).image_.get_clim()
    assert high - low == pytest.approx(4 * 2.0)  # four standard deviations
    scores = ParameterGridDisplay.from_cv_results(
        results_of([[-0.9, 0.9]], (5, 10), (1,)), show="score"
    )
    assert scores.image_.get_clim() == (-0.9, 0.9)  # clear differences cover all colours


def test_grid_writes_on_every_colour_legibly():
    table = -np.linspace(0.01, 0.03, 6).reshape(2, 3)
    display = ParameterGridDisplay.from_cv_results(results_of(table, (4, 6, 8), (1, 2)))
    colours = [text.get_color() for text in display.text_.ravel()]
    assert (colours[0], colours[-1]) == ("black", "white")  # light is better


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, r"3 parameters vary: choose x and y"),
        ({"x": "beta", "y": "alpha"}, r"'beta' is none of the parameters"),
        ({"x": "alpha", "y": "alpha"}, r"both 'ridge__alpha'"),
        ({"metric": "auc"}, r"no 'mean_test_auc'; its metrics are \['score'\]"),
        ({"show": "loss"}, r"'error' or 'score'"),
    ],
)
def test_grid_refuses(search, change, message):
    with pytest.raises(ValueError, match=message):
        ParameterGridDisplay.from_estimator(search, **change)


def test_grid_refuses_scores_that_are_no_errors_and_searches_that_failed():
    with pytest.raises(ValueError, match=r"a score is 0.5.*show='score'"):
        ParameterGridDisplay.from_cv_results(results_of([[0.5, -1]], (1, 2), (1,)))
    with pytest.raises(ValueError, match=r"every fit or its scoring failed"):
        ParameterGridDisplay.from_cv_results(results_of([[np.nan]], (1,), (1,)))
    with pytest.raises(NotFittedError, match=r"cv_results_"):
        ParameterGridDisplay.from_estimator(GridSearchCV(Ridge(), {}))


# --- poses ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def balancer(faces):
    y = faces.target.copy()
    y[3] = np.nan
    return PoseBalancer(n_bins=4).fit(faces.data, y)


@pytest.mark.slow
def test_pose_histogram_counts_before_and_after(faces, balancer):
    display = PoseHistogramDisplay.from_estimator(Pipeline([("balance", balancer)]), faces.data)
    values = np.abs(balancer.poses_)
    after = [
        balancer.repeats_[(values >= low) & (values <= high)].sum()
        for low, high in zip(balancer.bin_edges_[:-1], balancer.bin_edges_[1:], strict=True)
    ]
    np.testing.assert_array_equal(display.bin_counts, balancer.bin_counts_)
    np.testing.assert_array_equal(display.balanced_counts, after)
    before_bars, after_bars = display.axes_[0].containers
    assert [bar.get_height() for bar in before_bars] == balancer.bin_counts_.tolist()
    assert [bar.get_height() for bar in after_bars] == after
    assert display.axes_[0].get_xlim() == (balancer.bin_edges_[0], balancer.bin_edges_[-1])
    assert (
        display.axes_[0].get_xlabel()
        == "Pose by shape mode 0, both directions together (0 = mean shape)"
    )


@pytest.mark.slow
def test_faces_under_a_bin_are_of_its_poses(faces, balancer):
    display = PoseHistogramDisplay.from_estimator(balancer, faces.data, n_faces=2, margin=0.0)
    values = np.abs(balancer.poses_)
    assert [len(own) for own in display.faces] == np.minimum(balancer.bin_counts_, 2).tolist()
    assert len(display.face_axes_) == sum(len(own) for own in display.faces)
    middle = (balancer.bin_edges_[:-1] + balancer.bin_edges_[1:]) / 2
    for own, pose in zip(display.faces, middle, strict=True):
        nearest = np.nanargmin(np.abs(values - pose))
        left, right, bottom, top = own[0].extent
        pixels = faces.data.decode(nearest)
        rows = slice(int(top + 0.5), int(bottom + 0.5))
        cut = pixels[rows, int(left + 0.5) : int(right + 0.5)]
        np.testing.assert_array_equal(own[0].pixels, cut)


@pytest.mark.slow
def test_modes_are_two_standard_deviations_from_the_mean(faces, balancer):
    display = PoseHistogramDisplay.from_estimator(balancer)
    assert display.faces is None
    assert display.mode_shapes.shape == (len(balancer.components_), 3, 68, 2)
    for mode in range(3):
        other = PoseBalancer(component=mode).fit(
            faces.data, np.where(np.isnan(balancer.poses_)[:, None, None], np.nan, faces.target)
        )
        reach = 2 * np.nanstd(other.poses_, ddof=1) * balancer.components_[mode]
        expected = [balancer.mean_shape_ + sign * reach for sign in (-1, 0, 1)]
        np.testing.assert_allclose(display.mode_shapes[mode], expected, atol=1e-6)
    assert len(display.axes_) == 1 + 4
    assert display.axes_[1].get_title().endswith("balanced")
    # Without a schema there are dots only, with one also lines.
    assert len(display.axes_[1].lines) == 3
    with_lines = PoseHistogramDisplay.from_estimator(balancer, schema="ibug68", n_modes=1)
    assert len(with_lines.axes_[1].lines) == 3 * (1 + len(faces.schema.contours))


@pytest.mark.slow
def test_balanced_mode_is_always_among_those_shown(faces):
    resampler = PoseResampler(component=6, absolute=False)
    resampler.fit_resample(faces.data, faces.target)
    display = PoseHistogramDisplay.from_estimator(resampler, n_modes=2)
    titles = [ax.get_title() for ax in display.axes_[1:]]
    assert titles[0].startswith("mode 0,")
    assert titles[1].startswith("mode 6,")
    assert display.axes_[0].get_xlabel().startswith("Pose by shape mode 6 ")
    assert len(PoseHistogramDisplay.from_estimator(resampler, n_modes=0).axes_) == 1


def test_pose_histogram_refuses(faces, balancer):
    with pytest.raises(ValueError, match="X has 5 samples, the balancer was fitted to 30"):
        PoseHistogramDisplay.from_estimator(balancer, faces.data[:5])
    with pytest.raises(NotFittedError, match="bin_edges_: expected a PoseBalancer"):
        PoseHistogramDisplay.from_estimator(PoseBalancer())
    with pytest.raises(ValueError, match="19 landmarks"):
        PoseHistogramDisplay.from_estimator(balancer, schema="aflw19")
