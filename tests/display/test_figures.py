import ast
import sys
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline

import skwing.display
from skwing import PoseBalancer, geometry
from skwing._utils.unwrap import schema_of
from skwing.display import _figures, _inputs
from skwing.display._thumbnails import make_thumbnail
from skwing.images import BoxedImages
from skwing.metrics import nme
from skwing.schema import IBUG68, LandmarkSchema

DISPLAYS = [getattr(skwing.display, name) for name in skwing.display.__all__]


def test_matplotlib_is_imported_within_functions_only():
    for path in Path(skwing.display.__file__).parent.glob("*.py"):
        for node in ast.parse(path.read_text("utf-8")).body:
            if isinstance(node, (ast.Import, ast.ImportFrom)):
                assert "matplotlib" not in ast.unparse(node), path.name


def test_without_matplotlib_the_extra_to_install_is_named(monkeypatch, faces, remembered):
    monkeypatch.setitem(sys.modules, "matplotlib.pyplot", None)
    X, y = faces.data, faces.target
    display = skwing.display
    calls = {
        "CumulativeErrorDisplay": lambda: display.CumulativeErrorDisplay.from_errors([0.1]),
        "LandmarkDisplay": lambda: display.LandmarkDisplay.from_predictions(X, y),
        "LossDisplay": lambda: display.LossDisplay.from_losses(),
        "ErrorByPoseDisplay": lambda: display.ErrorByPoseDisplay.from_estimator(
            remembered(), X, y, faces.pose[:, 0]
        ),
    }
    for name, call in calls.items():
        with pytest.raises(ImportError, match=rf"{name} draws.*skwing\[plot\]"):
            call()


@pytest.mark.parametrize("display", DISPLAYS, ids=lambda display: display.__name__)
def test_every_display_has_the_methods_of_the_convention(display):
    assert callable(display.plot)
    makers = [name for name in dir(display) if name.startswith("from_")]
    assert "from_estimator" in makers


def test_many_colours_and_styles_come_round():
    assert _figures.first_colours(9)[7:] == list(_figures.COLOURS[:2])
    style = _figures.curve_style(1, {"lw": 3})
    assert style["linewidth"] == 3
    assert style["color"] == _figures.COLOURS[1]


def test_ax_of_another_kind_or_without_a_place_is_refused():
    with pytest.raises(TypeError, match=r"one matplotlib Axes or None; got ndarray"):
        skwing.display.CumulativeErrorDisplay.from_errors([0.1], ax=plt.subplots(2)[1])
    ax = plt.figure().add_axes((0, 0, 1, 1))
    with pytest.raises(ValueError, match=r"LossDisplay divides .* to a grid"):
        skwing.display.LossDisplay.from_losses(ax=ax)


def test_shape_is_dots_and_contours_with_gaps_where_points_are_missing():
    schema = LandmarkSchema(
        "kite", "abcd", contours=[("rim", (0, 1, 2, 3), True), ("tail", (2, 3), False)]
    )
    points = np.array([[0.0, 0], [1, 0], [1, 1], [0, 1]])
    points[1, 0] = np.nan  # half of a point
    ax = plt.subplots()[1]
    dots, rim, tail = _figures.draw_shape(ax, points, schema, color="k")
    assert np.isnan(dots.get_xydata()).all(1).tolist() == [False, True, False, False]
    assert np.isnan(rim.get_xydata()).all(1).tolist() == [False, True, False, False, False]
    np.testing.assert_array_equal(rim.get_xydata()[[0, 4]], points[[0, 0]])
    np.testing.assert_array_equal(tail.get_xydata(), points[[2, 3]])
    assert len(_figures.draw_shape(ax, points, None, color="k")) == 1


@pytest.mark.parametrize(
    ("normalizer", "schema", "word", "sign"),
    [
        ("auto", IBUG68, "inter_ocular", " %"),
        ("auto", None, "landmark_box", " %"),
        ("inter_pupil", "ibug68", "inter_pupil", " %"),
        (1.0, None, "pixels", " px"),
        (np.full(30, 2.0), None, "lengths", " %"),
    ],
)
def test_errors_are_those_of_the_metrics(faces, predicted, normalizer, schema, word, sign):
    y = faces.target.copy()
    y[0] = np.nan
    y[1, 3] = np.nan
    errors, found = _inputs.sample_errors(y, predicted, normalizer, schema, None)
    assert (found, _inputs.unit_of(found).sign) == (word, sign)
    assert np.isnan(errors).tolist() == [True] + 29 * [False]
    boxes = geometry.boxes_of(y[1:]) if word == "landmark_box" else None
    given = {"inter_ocular": "inter_ocular", "landmark_box": "box"}.get(word, normalizer)
    given = given[1:] if np.ndim(given) else given
    expected = nme(
        y[1:], predicted[1:], normalizer=given, schema=schema, boxes=boxes, per_sample=True
    )
    np.testing.assert_allclose(errors[1:], expected)


@pytest.mark.slow
def test_poses_of_a_balancer_are_its_own_on_the_samples_it_was_fitted_to(faces):
    y = faces.target.copy()
    y[3, :30] = np.nan
    y[5] = np.nan
    balancer = PoseBalancer().fit(faces.data, y)
    poses, label = _inputs.poses_of(balancer, y, 30)
    np.testing.assert_allclose(poses, balancer.poses_, atol=0.03)
    assert np.isnan(poses[5])
    assert label == "Pose by shape mode 0 (0 = mean shape)"
    in_pipeline, _ = _inputs.poses_of(Pipeline([("balance", balancer)]), y, 30)
    np.testing.assert_array_equal(in_pipeline, poses)


def test_poses_must_be_one_known_number_a_sample(faces):
    with pytest.raises(ValueError, match=r"shape \(30, 3\).*poses\[:, 0\]"):
        _inputs.poses_of(faces.pose, None, 30)
    with pytest.raises(ValueError, match=r"poses\[1\] is inf"):
        _inputs.poses_of([0, np.inf], None, 2)
    with pytest.raises(NotFittedError, match=r"no components_: expected a PoseBalancer"):
        _inputs.poses_of(PoseBalancer(), faces.target, 30)
    with pytest.raises(ValueError, match=r"pass y_true"):
        _inputs.poses_of(PoseBalancer().fit(faces.data, faces.target), None, 30)


def test_schema_comes_from_the_estimator_then_the_data(faces, remembered):
    estimator = Pipeline([("reg", remembered(schema="wflw98"))])
    assert schema_of(estimator, faces.data) == "wflw98"
    assert schema_of(remembered(), faces.data) is faces.schema
    assert schema_of(remembered(), ["a.png"]) is None


def test_crop_is_box_and_margin_in_coordinates_of_the_image():
    image = np.arange(40 * 60, dtype=np.uint8).reshape(40, 60)
    images = BoxedImages([image, image], boxes=[[10, 8, 20, 12], [np.nan] * 4])
    crop = make_thumbnail(images, 0, margin=0.25)
    assert crop.extent == (4.5, 34.5, 24.5, 2.5)
    np.testing.assert_array_equal(crop.pixels[..., 1], image[3:25, 5:35])
    assert make_thumbnail(images, 1, margin=0.25).pixels.shape == (40, 60, 3)
    # Wide enough for the points, but not for one that is missing or out of the image.
    points = np.array([[50.2, 10], [np.nan, 30], [20, 99]])
    assert make_thumbnail(images, 0, points, margin=0.0).extent == (9.5, 51.5, 39.5, 7.5)


def test_large_crop_is_averaged():
    image = np.random.default_rng(0).integers(0, 255, (90, 100, 3), dtype=np.uint8)
    crop = make_thumbnail(BoxedImages([image]), 0, max_size=25)
    assert crop.extent == (-0.5, 99.5, 87.5, -0.5)
    np.testing.assert_array_equal(crop.pixels[2, 3], image[8:12, 12:16].mean((0, 1)).round())
