import matplotlib.pyplot as plt
import numpy as np
import pytest
from scipy import stats
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline

from skwing import BoxedImages, PoseBalancer
from skwing.display import CumulativeErrorDisplay, ErrorByPoseDisplay, LandmarkDisplay
from skwing.exceptions import DataWarning
from skwing.metrics import ced_auc, ced_curve, failure_rate, nme
from skwing.schema import IBUG68, LandmarkSchema


def legend_of(display):
    return [text.get_text() for text in display.ax_.get_legend().get_texts()]


def test_cumulative_error_is_what_the_metrics_give(faces, predicted):
    y = faces.target.copy()
    y[2] = np.nan
    display = CumulativeErrorDisplay.from_predictions(
        y, predicted, normalizer="box", boxes=faces.data.boxes, threshold=0.05
    )
    errors = nme(y, predicted, normalizer="box", boxes=faces.data.boxes, per_sample=True)
    thresholds, fractions = ced_curve(errors)
    np.testing.assert_array_equal(display.thresholds, thresholds)
    np.testing.assert_array_equal(display.fractions, fractions)
    assert display.auc == ced_auc(errors, 0.05)
    assert display.failure_rate == failure_rate(errors, 0.05)
    drawn = display.line_.get_xydata()[:-1]  # the last point leads out of the picture
    np.testing.assert_allclose(drawn, 100 * np.column_stack([thresholds, fractions]))
    assert display.line_.get_drawstyle() == "steps-post"
    assert display.ax_.get_xlabel() == "NME (% of the size of the box)"
    assert display.ax_.get_xlim() == (0, 5)


def test_legend_tells_area_and_failures_with_their_threshold():
    display = CumulativeErrorDisplay.from_errors(
        [0.0, 0.05, 0.3, np.inf], name="ours", normalizer="inter_pupil"
    )
    assert legend_of(display) == ["ours: AUC 37.5 %, failures 50.0 % (at 10 %)"]
    assert legend_of(display.plot(name="theirs"))[0].startswith("theirs: ")
    in_pixels = CumulativeErrorDisplay.from_errors([1, 9], threshold=4, normalizer="pixels")
    assert legend_of(in_pixels) == ["AUC 37.5 %, failures 50.0 % (at 4 px)"]
    assert in_pixels.ax_.get_xlabel() == "Mean error (pixels)"


def test_several_curves_share_axes_in_different_colours():
    first = CumulativeErrorDisplay.from_errors([0.02, 0.04], name="a")
    second = CumulativeErrorDisplay.from_errors([0.03], name="b", threshold=0.2, ax=first.ax_)
    third = CumulativeErrorDisplay.from_errors([0.03], name="c", ax=first.ax_, color="k")
    assert first.ax_ is second.ax_ is third.ax_
    assert second.figure_ is first.ax_.figure
    assert [text[0] for text in legend_of(third)] == ["a", "b", "c"]
    assert first.line_.get_color() != second.line_.get_color()
    assert first.line_.get_linestyle() != second.line_.get_linestyle()
    assert third.line_.get_color() == "k"
    # Both thresholds stay in the picture, and the first curve reaches to its end.
    assert first.ax_.get_xlim() == (0, 20)
    assert first.line_.get_xdata()[-1] >= 20


def test_curves_by_different_measures_do_not_mix():
    first = CumulativeErrorDisplay.from_errors([0.1], normalizer="box")
    with pytest.raises(ValueError, match=r"size of the box.*inter-pupil"):
        CumulativeErrorDisplay.from_errors([0.1], normalizer="inter_pupil", ax=first.ax_)


def test_cumulative_error_of_an_estimator_takes_schema_and_boxes_of_the_data(
    faces, predicted, remembered
):
    pipe = Pipeline([("reg", remembered(predicted))])
    by_eyes = CumulativeErrorDisplay.from_estimator(pipe, faces.data, faces.target)
    assert by_eyes.ax_.get_xlabel() == "NME (% of the inter-ocular distance)"
    assert legend_of(by_eyes)[0].startswith("Remembered: ")
    by_box = CumulativeErrorDisplay.from_estimator(pipe, faces.data, faces.target, normalizer="box")
    expected = nme(
        faces.target, predicted, normalizer="box", boxes=faces.data.boxes, per_sample=True
    )
    assert by_box.auc == ced_auc(expected, 0.1)


def test_cumulative_error_refuses_what_cannot_be_measured():
    with pytest.raises(ValueError, match="None of the 2 errors is known"):
        CumulativeErrorDisplay.from_errors([np.nan, np.nan])
    with pytest.raises(ValueError, match="threshold must be"):
        CumulativeErrorDisplay.from_errors([0.1], threshold=0)


def test_error_by_pose_is_mean_and_interval_of_each_bin():
    errors = np.array([1.0, 3, 2, 4, 9, 5, 7, np.nan])
    pose = np.array([-10.0, -5, 0, 4, 9, np.nan, 40, 0])
    y = np.zeros((8, 1, 2))
    y[7] = np.nan
    predicted = np.zeros((8, 1, 2))
    predicted[:, 0, 0] = np.nan_to_num(errors)
    display = ErrorByPoseDisplay.from_predictions(
        y, predicted, pose, bins=[-10, 0, 10, 20, 40], normalizer=1.0, confidence=0.9
    )
    assert display.bin_counts.tolist() == [2, 3, 0, 1]
    np.testing.assert_allclose(display.bin_errors, [2, 5, np.nan, 7])
    low, high = stats.t.interval(0.9, 2, 5, stats.sem([2, 4, 9]))
    np.testing.assert_allclose(display.bin_intervals[:, 1], [low, high])
    assert np.isnan(display.bin_intervals[:, 2:]).all()
    np.testing.assert_array_equal(display.line_.get_xdata(), [-5, 5, 15, 30])
    assert {text.get_text() for text in display.ax_.texts} == {"n =", "2", "3", "0", "1"}
    assert display.ax_.get_ylabel() == "Mean error (pixels)"
    # The greatest edge belongs to the last bin, as in numpy.histogram.
    last = ErrorByPoseDisplay.from_predictions(y, predicted, pose, bins=2, normalizer=1.0)
    assert last.bin_counts.sum() == 6


def test_error_by_pose_shares_axes_and_writes_counts_once(faces, predicted, remembered):
    yaw = faces.pose[:, 0]
    shared = {"bins": [-90, 0, 90], "normalizer": "box", "pose_label": "Yaw (degrees)"}
    data = faces.data, faces.target, yaw
    first = ErrorByPoseDisplay.from_estimator(remembered(predicted), *data, **shared)
    second = ErrorByPoseDisplay.from_estimator(
        remembered(faces.target + 1), *data, **shared, name="off by one", ax=first.ax_
    )
    assert legend_of(second) == ["Remembered", "off by one"]
    assert len(second.ax_.texts) == 3
    assert second.ax_.get_xlabel() == "Yaw (degrees)"
    assert first.bin_counts.tolist() == np.histogram(yaw, [-90, 0, 90])[0].tolist()
    with pytest.raises(ValueError, match="cannot be compared"):
        ErrorByPoseDisplay.from_predictions(
            faces.target, predicted, yaw, normalizer=1.0, ax=first.ax_
        )


def test_error_by_pose_of_a_balancer(faces, predicted):
    balancer = PoseBalancer().fit(faces.data, faces.target)
    display = ErrorByPoseDisplay.from_predictions(
        faces.target, predicted, balancer, absolute=True, bins=3
    )
    assert display.bin_edges[0] == 0
    assert display.bin_counts.sum() == 30
    wanted = "Pose by shape mode 0, both directions together (0 = mean shape)"
    assert display.pose_label == wanted


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"bins": 0}, "bins must be an integer of at least 1"),
        ({"bins": [3, 1]}, "ascending edges"),
        ({"bins": [300, 400]}, "no pose is within the bins, from 300 to 400"),
        ({"confidence": 95}, "confidence must be"),
        ({"poses": np.full(30, np.nan)}, "none of the 30 samples"),
    ],
)
def test_error_by_pose_refuses(faces, predicted, change, message):
    keywords = {"poses": faces.pose[:, 0], **change}
    with pytest.raises(ValueError, match=message):
        ErrorByPoseDisplay.from_predictions(faces.target, predicted, **keywords)


@pytest.mark.slow
def test_landmarks_are_shown_worst_first_with_errors_in_the_titles(faces, predicted):
    y = faces.target.copy()
    y[4] = np.nan
    boxes = faces.data.boxes
    display = LandmarkDisplay.from_predictions(
        faces.data, y, predicted, n_images=5, normalizer="box"
    )
    errors = nme(y, predicted, normalizer="box", boxes=boxes, per_sample=True)
    known = np.delete(np.arange(30), 4)
    assert display.indices.tolist() == known[np.argsort(-errors[known])][:5].tolist()
    titles = [ax.get_title() for ax in display.axes_]
    assert titles == [f"#{i}, {100 * errors[i]:.1f} %" for i in display.indices]
    everything = LandmarkDisplay.from_predictions(
        faces.data, y, predicted, n_images=99, order="best", normalizer="box"
    )
    assert len(everything.axes_) == 30
    assert everything.indices[0] == np.nanargmin(errors)
    assert everything.axes_[-1].get_title() == "#4, no error"


def test_landmarks_lie_where_they_are_in_the_image(faces, predicted):
    display = LandmarkDisplay.from_predictions(faces.data, faces.target, predicted, order=[7, 2])
    for ax, i in zip(display.axes_, (7, 2), strict=True):
        dots = {line.get_label(): line.get_xydata() for line in ax.lines}
        np.testing.assert_array_equal(dots["true"], faces.target[i])
        np.testing.assert_array_equal(dots["predicted"], predicted[i])
        n_joins = 1
        assert len(ax.lines) == 2 * (1 + len(faces.schema.contours)) + n_joins
        left, right, bottom, top = ax.images[0].get_extent()
        x, y, width, height = faces.data.boxes[i]
        assert left <= x <= x + width - 1 <= right
        assert top <= y <= y + height - 1 <= bottom
        pixels = np.asarray(ax.images[0].get_array())
        whole = faces.data.decode(i)
        rows = slice(int(top + 0.5), int(bottom + 0.5))
        np.testing.assert_array_equal(pixels, whole[rows, int(left + 0.5) : int(right + 0.5)])


def test_landmark_display_decodes_only_what_it_shows(faces, tmp_path):
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    plt.imsave(paths[1], faces.data.decode(1))
    y = faces.target[:3, :4]
    display = LandmarkDisplay.from_predictions(BoxedImages(paths), y, order=[1])
    assert display.crops[0].pixels.shape == (128, 128, 3)
    with pytest.raises(FileNotFoundError, match=r"2\.png"):
        LandmarkDisplay.from_predictions(BoxedImages(paths), y, order=[2])


def test_landmarks_in_order_of_pose_spread_over_all(faces, predicted):
    yaw = faces.pose[:, 0].copy()
    yaw[0] = np.nan
    display = LandmarkDisplay.from_predictions(
        faces.data, faces.target, predicted, n_images=4, order="pose", poses=yaw
    )
    assert np.all(np.diff(display.poses) > 0)
    assert display.poses[[0, -1]].tolist() == [np.nanmin(yaw), np.nanmax(yaw)]
    assert display.axes_[0].get_title().endswith(f"pose \N{MINUS SIGN}{-np.nanmin(yaw):.0f}")


def test_poses_in_titles_have_their_name_and_unit(faces):
    yaw = np.array([-53.9, 2.07, np.nan])
    display = LandmarkDisplay.from_predictions(
        faces.data[:3], faces.target[:3], poses=yaw, pose_label="Yaw (degrees)"
    )
    titles = [ax.get_title() for ax in display.axes_]
    assert titles == ["#0, yaw \N{MINUS SIGN}54 degrees", "#1, yaw 2.1 degrees", "#2, yaw unknown"]
    balancer = PoseBalancer().fit(faces.data, faces.target)
    by_mode = LandmarkDisplay.from_predictions(faces.data, faces.target, n_images=1, poses=balancer)
    number = f"{balancer.poses_[0]:.2g}".replace("-", "\N{MINUS SIGN}")
    assert by_mode.axes_[0].get_title() == f"#0, pose {number}"


@pytest.mark.slow
def test_landmarks_by_chance_repeat_with_the_same_seed(faces):
    shown = [
        LandmarkDisplay.from_predictions(
            faces.data, faces.target, n_images=3, order="random", random_state=seed
        ).indices.tolist()
        for seed in (0, 0, 1)
    ]
    assert shown[0] == shown[1] != shown[2]


def test_landmarks_of_an_estimator_without_truth(faces, predicted, remembered):
    display = LandmarkDisplay.from_estimator(remembered(predicted), faces.data, n_images=2)
    assert display.indices.tolist() == [0, 1]
    assert (display.errors, display.y_true) == (None, None)
    assert display.axes_[0].get_title() == "#0"
    flat = LandmarkDisplay.from_estimator(
        remembered(predicted.reshape(30, -1)), faces.data, faces.target, n_images=1
    )
    assert (
        flat.errors[0]
        == LandmarkDisplay.from_predictions(faces.data, faces.target, predicted, n_images=1).errors[
            0
        ]
    )


def test_landmarks_go_into_the_place_of_given_axes(faces, predicted):
    figure, axes = plt.subplots(1, 2)
    display = LandmarkDisplay.from_predictions(
        faces.data, faces.target, predicted, n_images=4, ax=axes[1]
    )
    assert (display.ax_, display.figure_) == (axes[1], figure)
    left = axes[0].get_position().x1
    assert all(ax.get_position().x0 > left for ax in display.axes_)


@pytest.mark.slow
def test_legend_and_titles_of_landmarks_do_not_overlap(faces, predicted):
    display = LandmarkDisplay.from_predictions(faces.data, faces.target, predicted)
    figure = display.figure_
    figure.draw_without_rendering()
    legend = next(ax.get_legend() for ax in figure.axes if ax.get_legend() is not None)
    assert [text.get_text() for text in legend.get_texts()][:2] == ["true", "predicted"]
    bottom = legend.get_window_extent().y0
    assert all(ax.title.get_window_extent().y1 < bottom for ax in display.axes_)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"order": "odd"}, "order must be one of worst, best, least sure, pose, random, first"),
        ({"order": [30]}, "order contains 30, but X has 30 samples"),
        ({"order": "pose"}, "requires poses"),
        ({"order": "least sure"}, "requires confidence or y_std"),
        ({"confidence": np.ones(3)}, "confidence has shape"),
        ({"y_std": np.ones((30, 2))}, "y_std has shape"),
        ({"order": "worst", "y_pred": None}, "pass both y_true and y_pred"),
        ({"y_true": None, "y_pred": None}, "no landmarks to plot"),
        ({"n_images": 0}, "n_images must be"),
        ({"y_true": np.zeros((3, 68, 2))}, "X has 30 samples, y_true has 3"),
        ({"schema": "wflw98"}, "98 landmarks, the data have 68"),
    ],
)
def test_landmark_display_refuses(faces, predicted, change, message):
    keywords = {"y_true": faces.target, "y_pred": predicted, **change}
    with pytest.raises(ValueError, match=message):
        LandmarkDisplay.from_predictions(faces.data, **keywords)


class InBoxes(BaseEstimator):
    """Predicts landmarks at fixed places of each box, NaN without one, as regressors do."""

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        share = np.linspace(0.2, 0.8, 68)[:, None]
        return X.boxes[:, None, :2] + share * X.boxes[:, None, 2:]


@pytest.fixture
def without_one(faces):
    boxes = faces.data.boxes.copy()
    boxes[3] = np.nan
    return faces.data.with_boxes(boxes)


@pytest.mark.parametrize("normalizer", ["box", "auto"])
def test_a_missing_box_is_left_out_of_errors(faces, without_one, normalizer):
    others, yaw = np.delete(np.arange(30), 3), faces.pose[:, 0]
    drawn = {
        CumulativeErrorDisplay: ((), ()),
        ErrorByPoseDisplay: ((yaw,), (yaw[others],)),
    }
    for display, (poses, poses_of_others) in drawn.items():
        with pytest.warns(DataWarning, match="1 of 30 samples, the first is sample 3"):
            found = display.from_estimator(
                InBoxes(), without_one, faces.target, *poses, normalizer=normalizer
            )
        expected = display.from_estimator(
            InBoxes(),
            faces.data[others],
            faces.target[others],
            *poses_of_others,
            normalizer=normalizer,
        )
        np.testing.assert_array_equal(
            found.line_.get_xydata(), expected.line_.get_xydata(), err_msg=display.__name__
        )


def test_an_image_without_a_box_is_shown_without_an_error(faces, without_one):
    display = LandmarkDisplay.from_estimator(
        InBoxes(), without_one, faces.target, order=[2, 3], schema=IBUG68
    )
    assert np.isnan(display.errors).tolist() == [False, True]
    assert np.isnan(display.y_pred[1]).all() and not np.isnan(display.y_true[1]).any()


def test_a_single_missing_prediction_is_no_small_error(faces, predicted):
    holed = predicted.copy()
    holed[4, 7] = np.nan
    for draw in (CumulativeErrorDisplay.from_predictions, drawn_faces(faces.data)):
        with pytest.raises(ValueError, match="sample 4, landmark 7"):
            draw(faces.target, holed)


def drawn_faces(data):
    return lambda true, pred: LandmarkDisplay.from_predictions(data, true, pred)


def test_titles_name_the_files(faces, tmp_path):
    paths = [str(tmp_path / name) for name in ("a.png", "a_very_long_name_of_a_specimen_12.png")]
    for path in paths:
        plt.imsave(path, faces.data.decode(0))
    display = LandmarkDisplay.from_predictions(BoxedImages(paths), faces.target[:2])
    titles = [ax.get_title() for ax in display.axes_]
    assert titles[0] == "#0 a.png"
    assert titles[1].startswith("#1 ...") and titles[1].endswith("specimen_12.png")


@pytest.mark.slow
def test_true_and_predicted_landmarks_are_joined(faces, predicted):
    display = LandmarkDisplay.from_predictions(faces.data, faces.target, predicted, order=[5])
    (line,) = (each for each in display.axes_[0].lines if each.get_color() == "white")
    pairs = line.get_xydata().reshape(68, 3, 2)
    np.testing.assert_array_equal(pairs[:, 0], faces.target[5])
    np.testing.assert_array_equal(pairs[:, 1], predicted[5])
    assert np.isnan(pairs[:, 2]).all()
    assert "white" not in [each.get_color() for each in display.plot(errors=False).axes_[0].lines]


def test_landmarks_are_numbered(faces):
    holed = faces.target.copy()
    holed[0, 3] = np.nan
    display = LandmarkDisplay.from_predictions(faces.data, holed, order=[0], numbers=True)
    numbers = [text.get_text() for text in display.axes_[0].texts]
    assert numbers == [str(i) for i in range(68) if i != 3]


@pytest.mark.parametrize(
    ("names", "numbers", "written"),
    [
        (("lm_1", "lm_2", "curve_1_1"), True, ["1", "2", "1_1"]),
        (("p3", "p1", "p2"), True, ["3", "1", "2"]),
        (("left_jaw_1", "right_jaw_1", "chin_2"), True, ["0", "1", "2"]),  # 1 occurs twice
        (("root", "tip", "lm_3"), True, ["0", "1", "2"]),
        (("root", "tip", "lm_3"), "names", ["root", "tip", "lm_3"]),
    ],
)
def test_landmarks_are_numbered_as_in_their_schema(names, numbers, written):
    images, y = np.zeros((1, 32, 32, 3), dtype=np.uint8), np.array([[[5.0, 5], [20, 5], [9, 20]]])
    schema = LandmarkSchema("wing", names)
    for X, own in ((images, {"schema": schema}), (BoxedImages(images, schema=schema), {})):
        display = LandmarkDisplay.from_predictions(X, y, numbers=numbers, **own)
        assert [text.get_text() for text in display.axes_[0].texts] == written


def test_names_of_landmarks_need_a_schema():
    images, y = np.zeros((1, 32, 32, 3), dtype=np.uint8), np.full((1, 3, 2), 9.0)
    with pytest.raises(ValueError, match="names of a schema"):
        LandmarkDisplay.from_predictions(images, y, numbers="names")
    with pytest.raises(ValueError, match="numbers must be"):
        LandmarkDisplay.from_predictions(images, y, numbers="index")


@pytest.mark.slow
def test_the_least_sure_come_first_with_their_circles(faces, predicted):
    std = np.full((30, 68), 1.0)
    std[4], std[9] = 5.0, 8.0
    std[2] = np.nan
    display = LandmarkDisplay.from_predictions(
        faces.data, y_pred=predicted, y_std=std, order="least sure", n_images=2
    )
    assert display.indices.tolist() == [9, 4]
    circles = display.axes_[0].patches
    assert [circle.radius for circle in circles] == [16.0] * 68
    (dots,) = (line for line in display.axes_[0].lines if line.get_label() == "predicted")
    assert all(circle.get_zorder() > dots.get_zorder() for circle in circles)
    plain = LandmarkDisplay.from_predictions(faces.data, y_pred=predicted, order=[9])
    (large,) = (line for line in plain.axes_[0].lines if line.get_label() == "predicted")
    assert dots.get_markersize() < large.get_markersize()
    assert display.axes_[0].get_title() == "#9, s.d. 8.0 px"
    assert "2 s.d." in legend_texts(display) and "2 s.d." not in legend_texts(plain)
    assert [circle.radius for circle in display.plot(n_std=1).axes_[0].patches] == [8.0] * 68
    assert "1 s.d." in legend_texts(display)


def test_the_least_confident_come_first(faces, predicted):
    sure, std = np.linspace(0.5, 0.9, 30), np.full((30, 68), 2.0)
    sure[[7, 3]], sure[5], std[1] = (0.1, 0.25), np.nan, 50.0
    display = LandmarkDisplay.from_predictions(
        faces.data, y_pred=predicted, y_std=std, confidence=sure, order="least sure", n_images=3
    )
    assert display.indices.tolist() == [7, 3, 0]
    assert display.axes_[1].get_title() == "#3, s.d. 2.0 px, 25 % sure"
    nothing = LandmarkDisplay.from_predictions(
        faces.data, y_pred=predicted, confidence=sure, order=[5]
    )
    assert nothing.axes_[0].get_title() == "#5"


def legend_texts(display):
    legends = [axes.get_legend() for axes in display.figure_.axes if axes.get_legend()]
    return [text.get_text() for legend in legends for text in legend.get_texts()]


class Unsure(InBoxes):
    def predict(self, X, return_std=False):
        points = super().predict(X)
        return (points, 2.0 ** np.arange(len(X))[:, None] * np.ones(68)) if return_std else points


@pytest.mark.slow
def test_estimators_give_their_uncertainty(faces):
    display = LandmarkDisplay.from_estimator(Unsure(), faces.data, order="least sure", n_images=1)
    assert display.indices.tolist() == [29]
    plain = LandmarkDisplay.from_estimator(Unsure(), faces.data, faces.target, schema=IBUG68)
    assert plain.std is None
    for asked in ({"order": "least sure"}, {"uncertainty": True}):
        with pytest.raises(TypeError, match=r"InBoxes has no predict.*calibrate"):
            LandmarkDisplay.from_estimator(InBoxes(), faces.data, **asked)
    drawn = LandmarkDisplay.from_estimator(Unsure(), faces.data, uncertainty=True, n_images=3)
    np.testing.assert_array_equal(drawn.std[:, 0], [1, 2, 4])
