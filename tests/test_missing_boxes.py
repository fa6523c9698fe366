"""Samples without a box while others have one: never the whole image instead."""

import copy
import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest

from skwing import BoxedImages, CascadeLandmarkRegressor
from skwing.boxes import landmark_boxes
from skwing.datasets import make_faces
from skwing.detection import detect_boxes
from skwing.exceptions import DataWarning
from skwing.networks import PlainCNN

TINY = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)
FACES = make_faces(10, random_state=0, image_size=64)
LOST = [0, 4]


def tiny():
    return CascadeLandmarkRegressor(
        networks=(TINY, TINY), max_epochs=1, batch_size=4, random_state=0, device="cpu"
    )


@pytest.fixture(scope="module")
def fitted():
    return tiny().fit(FACES.data, FACES.target)


@pytest.fixture
def holed():
    boxes = FACES.data.boxes.copy()
    boxes[LOST] = np.nan
    return FACES.data.with_boxes(boxes)


def silent(call, *args, **kwargs):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call(*args, **kwargs)


def told(call, *args, **kwargs):
    """What a call answers, and the one warning that it gives."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        answer = call(*args, **kwargs)
    assert [w.category for w in caught] == [DataWarning]
    return answer, caught[0]


def test_missing_boxes_are_those_of_some_samples_only(holed):
    assert np.flatnonzero(holed.missing_boxes).tolist() == LOST
    assert holed[4].missing_boxes.tolist() == [True]
    assert holed.has_boxes and holed[4].has_boxes
    whole = holed.with_boxes(None)
    assert not whole.has_boxes and not whole.missing_boxes.any()


def test_predict_answers_nan_and_says_for_how_many(fitted, holed):
    points, warning = told(fitted.predict, holed)
    assert "2 of 10 samples, the first is sample 0, have no box" in str(warning.message)
    assert warning.filename == __file__
    assert np.flatnonzero(np.isnan(points).any((1, 2))).tolist() == LOST
    known = ~holed.missing_boxes
    np.testing.assert_array_equal(points[known], silent(fitted.predict, holed[known]))


def test_none_of_the_samples_has_a_box(fitted, holed):
    points, _ = told(fitted.predict, holed[LOST])
    assert points.shape == (2, 68, 2) and np.isnan(points).all()
    with pytest.raises(ValueError, match=r"none of the 2 samples of X has a box.*with_boxes\(None"):
        tiny().fit(holed[LOST], FACES.target[LOST])


def test_every_stage_and_the_spread_are_nan_as_well(fitted, holed):
    stages, _ = told(lambda: list(fitted.staged_predict(holed)))
    assert [np.isnan(points[LOST]).all() for points in stages] == [True, True]
    known = ~holed.missing_boxes
    sure = copy.copy(fitted)
    others = make_faces(14, random_state=1, image_size=64)
    boxes = others.data.boxes.copy()
    boxes[LOST] = np.nan
    told(sure.calibrate, others.data.with_boxes(boxes), others.target)
    (points, std), _ = told(sure.predict, holed, return_std=True)
    assert np.isnan(std[LOST]).all() and np.isnan(points[LOST]).all()
    assert np.isfinite(std[known]).all()
    rows = np.delete(np.arange(14), LOST)
    again = silent(copy.copy(fitted).calibrate, others.data[rows], others.target[rows])
    np.testing.assert_array_equal(std[known], again.predict(holed[known], return_std=True)[1])


@pytest.mark.slow
def test_fit_score_and_validation_leave_them_out(fitted, holed):
    known = ~holed.missing_boxes
    reg, warning = told(tiny().fit, holed, FACES.target)
    assert "2 of 10 samples" in str(warning.message)
    assert "X[~X.missing_boxes]" in str(warning.message) and warning.filename == __file__
    expected = silent(tiny().fit, holed[known], FACES.target[known])
    np.testing.assert_array_equal(reg.predict(FACES.data), expected.predict(FACES.data))
    score, _ = told(fitted.score, holed, FACES.target)
    assert score == fitted.score(holed[known], FACES.target[known])
    _, warning = told(tiny().fit, FACES.data, FACES.target, X_val=holed, y_val=FACES.target)
    assert "in X_val: such samples are ignored" in str(warning.message)


def test_no_boxes_at_all_is_another_thing(fitted):
    whole = FACES.data.with_boxes(None)
    points, warning = told(fitted.predict, whole)
    assert "trained with boxes" in str(warning.message) and np.isfinite(points).all()
    reg = silent(tiny().fit, whole, FACES.target)
    assert np.isfinite(silent(reg.predict, whole)).all()


def test_a_table_with_empty_boxes(fitted, tmp_path):
    import cv2

    for i in range(3):
        cv2.imwrite(str(tmp_path / f"{i}.png"), FACES.data.decode(i))
    table = pd.DataFrame(FACES.data.boxes[:3], columns=["x", "y", "width", "height"])
    table.insert(0, "path", [str(tmp_path / f"{i}.png") for i in range(3)])
    table.loc[1, ["x", "y", "width", "height"]] = np.nan
    points, _ = told(fitted.predict, table)
    assert np.isnan(points[1]).all() and np.isfinite(points[[0, 2]]).all()


def test_a_detector_that_finds_nothing_in_some_images(fitted):
    def detector(image):
        return (
            [landmark_boxes(FACES.target[3:4])[0]] if (image == FACES.data.decode(3)).all() else []
        )

    images = [FACES.data.decode(i) for i in (2, 3)]
    found = detect_boxes(images, detector)
    assert "1 of 2 samples found" in found.report and "no box (NaN)" in found.report
    points, warning = told(fitted.predict, found.data)
    assert np.isnan(points[0]).all() and np.isfinite(points[1]).all()
    assert "sample 0, 1 of 2 samples, has no box" in str(warning.message)


def test_it_can_be_silenced(fitted, holed):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.simplefilter("ignore", DataWarning)
        fitted.predict(holed)


def test_images_without_a_box_do_not_have_to_be_there(fitted, tmp_path):
    paths = [str(tmp_path / "none.png")]
    points, _ = told(fitted.predict, BoxedImages(paths, boxes=[[np.nan] * 4]))
    assert np.isnan(points).all()
