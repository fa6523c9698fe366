import numpy as np
import pandas as pd
import pytest
import torch

from skwing._utils.landmarks import as_layout, as_points, is_flat

POINTS = np.arange(12.0).reshape(2, 3, 2)


@pytest.mark.parametrize(
    "y",
    [
        POINTS,
        POINTS.reshape(2, 6),
        POINTS.astype(int),
        POINTS.astype(np.float16),
        POINTS.tolist(),
        list(POINTS),
        torch.from_numpy(POINTS),
        POINTS.astype(object),
    ],
    ids=["points", "flat", "int", "half", "lists", "list_of_arrays", "torch", "object"],
)
def test_both_layouts_give_the_same_points(y):
    points = as_points(y, 3)
    assert points.dtype == np.float64
    np.testing.assert_array_equal(points, POINTS)


def test_a_data_frame_is_a_flat_layout():
    pd = pytest.importorskip("pandas")
    frame = pd.DataFrame(POINTS.reshape(2, 6), index=[7, 3])
    assert is_flat(frame)
    np.testing.assert_array_equal(as_points(frame), POINTS)


@pytest.mark.parametrize("flat", [False, True])
def test_layouts_round_trip(flat):
    y = as_layout(POINTS, flat)
    assert y.shape == ((2, 6) if flat else (2, 3, 2))
    assert is_flat(y) is flat
    np.testing.assert_array_equal(as_points(y), POINTS)


def test_leading_dimensions_are_kept():
    assert as_layout(np.zeros((5, 4, 3, 2)), flat=True).shape == (5, 4, 6)
    assert as_layout(torch.zeros(4, 3, 2), flat=True).shape == (4, 6)


def test_flat_rows_alternate_x_and_y():
    np.testing.assert_array_equal(as_points([[1, 2, 3, 4]]), [[[1, 2], [3, 4]]])


@pytest.mark.parametrize("axis", [0, 1])
def test_half_a_landmark_is_refused(axis):
    y = POINTS.copy()
    y[1, 2, axis] = np.nan
    told = f"target has {'yx'[axis]} and no {'xy'[axis]} at sample 1, landmark 2"
    for layout in (y, y.reshape(2, 6)):
        with pytest.raises(ValueError, match=told):
            as_points(layout, name="target")


def test_nan_stays():
    y = POINTS.copy()
    y[1, 2] = np.nan
    np.testing.assert_array_equal(as_points(y), y)


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (np.zeros(6), r"y has shape \(6,\); expected \(n_samples, n_landmarks, 2\)"),
        (np.zeros((2, 5)), r"shape \(2, 5\)"),
        (np.zeros((2, 3, 3)), r"shape \(2, 3, 3\)"),
        (np.zeros((2, 3, 2, 1)), "expected"),
        (np.zeros((4, 2, 3)), r"y\.transpose\(0, 2, 1\)"),
        (np.float64(3), r"shape \(\)"),
        (np.zeros((0, 3, 2)), "no sample"),
        (np.zeros((2, 0, 2)), "no landmark"),
        ([], "expected"),
        ([[0, 0], [0, np.inf]], "infinite at sample 1, landmark 0"),
        ([np.zeros((3, 2)), np.zeros((2, 2))], r"sample 1 has shape \(2, 2\), sample 0 .*\(3, 2\)"),
        ([[0, 0], ["a", "b"]], "sample 1: not numbers"),
        (pd.DataFrame({"path": ["a"], "x0": [1], "y0": [2]}), "not numbers: 'path'"),
        ([[0, 0], None], "y"),
        (None, "y"),
    ],
)
def test_what_is_no_set_of_landmarks_is_refused(y, message):
    with pytest.raises(ValueError, match=message):
        as_points(y)


def test_a_wrong_count_names_both_numbers():
    with pytest.raises(ValueError, match=r"target has 3 landmarks .* expected 68"):
        as_points(POINTS, 68, name="target")
    with pytest.raises(ValueError, match=r"pass shape \(1, 68, 2\)"):
        as_points(np.zeros((68, 2)), 68)


def test_points_are_not_copied():
    whole = np.ones((2, 3, 2))
    assert np.shares_memory(as_points(whole), whole)
