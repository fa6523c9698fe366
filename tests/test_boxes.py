import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from skwing.boxes import (
    adjust_boxes,
    box_overlaps,
    box_relation,
    landmark_boxes,
    match_boxes,
)
from skwing.geometry import boxes_of, from_box
from skwing.images import BoxedImages

quick = settings(max_examples=30)
whole = st.integers(-50, 50).map(float)
sizes = st.integers(1, 40).map(float)
box = st.tuples(whole, whole, sizes, sizes)


def some_boxes(least=0, most=6):
    rows = st.lists(box, min_size=least, max_size=most)
    return rows.map(lambda rows: np.array(rows, dtype=float).reshape(-1, 4))


def middles(boxes):
    return boxes[:, :2] + boxes[:, 2:] / 2


# ---------------------------------------------------------------------------------------
# Around landmarks
# ---------------------------------------------------------------------------------------
TARGET = np.array([[[10.0, 20], [49, 39], [30, 30]], [[0, 0], [9, 19], [np.nan, np.nan]]])


def test_boxes_hold_the_outermost_landmarks():
    assert np.array_equal(landmark_boxes(TARGET), [[10, 20, 40, 20], [0, 0, 10, 20]])
    assert np.array_equal(landmark_boxes(TARGET.reshape(2, 6)), boxes_of(TARGET))


def test_margin_is_a_fraction_of_the_longer_side_on_each_side():
    boxes = landmark_boxes(TARGET, margin=0.25)
    assert np.array_equal(boxes, [[0, 10, 60, 40], [-5, -5, 20, 30]])


def test_margin_is_the_margin_of_from_box():
    plain, wide = landmark_boxes(TARGET), landmark_boxes(TARGET, margin=0.2)
    assert np.allclose(from_box(wide, 64), from_box(plain, 64, margin=0.2))


def test_shift_moves_by_the_longer_side():
    boxes = landmark_boxes(TARGET, shift=(0.5, -0.25))
    assert np.array_equal(boxes, [[30, 10, 40, 20], [10, -5, 10, 20]])


def test_squares_are_what_a_regressor_cuts_anyway():
    boxes = landmark_boxes(TARGET, square=True)
    assert np.array_equal(boxes, [[10, 10, 40, 40], [-5, 0, 20, 20]])
    assert np.allclose(from_box(boxes, 64), from_box(landmark_boxes(TARGET), 64))


def test_no_landmark_gives_no_box():
    target = TARGET.copy()
    target[1] = np.nan
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        boxes = landmark_boxes(target, margin=0.1, square=True, jitter=0.1, random_state=0)
    assert np.isnan(boxes[1]).all() and np.isfinite(boxes[0]).all()
    assert np.isnan(BoxedImages(["a.jpg", "b.jpg"]).with_boxes(boxes).boxes[1]).all()


@pytest.mark.parametrize("known", [1, 2])
def test_landmarks_at_one_place_give_no_box_and_a_warning(known):
    target = TARGET.copy()
    target[1] = np.nan
    target[1, :known] = [3.5, 4]
    with pytest.warns(UserWarning, match="1 of 2 samples .* the first is sample 1"):
        boxes = landmark_boxes(target, margin=0.1)
    assert np.isnan(boxes[1]).all() and np.isfinite(boxes[0]).all()


@pytest.mark.slow
@quick
@given(hnp.arrays(float, (3, 4, 2), elements=st.integers(-99, 99)), st.integers(0, 9))
def test_a_drawn_box_depends_on_its_own_number_alone(target, seed):
    target[:, :2] = [[0, 0], [5, 5]]
    drawn = landmark_boxes(target, jitter=(0.1, 0.3), random_state=seed)
    target[0] = np.nan
    again = landmark_boxes(target, jitter=(0.1, 0.3), random_state=seed)
    assert np.array_equal(drawn[1:], again[1:])


@quick
@given(some_boxes(1), st.floats(0, 0.9), st.floats(0, 0.9), st.integers(0, 99))
def test_jitter_keeps_its_bounds(boxes, shift, scale, seed):
    drawn = adjust_boxes(boxes, jitter=(shift, scale), random_state=seed)
    side = boxes[:, 2:].max(axis=1, keepdims=True)
    assert (abs(middles(drawn) - middles(boxes)) <= shift * side + 1e-9).all()
    factor = drawn[:, 2:] / boxes[:, 2:]
    assert np.allclose(factor[:, 0], factor[:, 1])
    assert (factor >= 1 / (1 + scale) - 1e-9).all() and (factor <= 1 + scale + 1e-9).all()


def test_jitter_fills_its_bounds():
    boxes = np.tile([0.0, 0, 10, 10], (2000, 1))
    drawn = adjust_boxes(boxes, jitter=0.2, random_state=0)
    moved = (middles(drawn) - middles(boxes)) / 10
    for low, high, values in (
        (-0.2, 0.2, moved[:, 0]),
        (-0.2, 0.2, moved[:, 1]),
        (-np.log(1.2), np.log(1.2), np.log(drawn[:, 2] / 10)),
    ):
        assert values.min() == pytest.approx(low, abs=2e-3)
        assert values.max() == pytest.approx(high, abs=2e-3)
        assert np.mean(values) == pytest.approx(0, abs=0.01)
    assert abs(np.corrcoef(moved.T)[0, 1]) < 0.1


def test_one_random_state_one_result():
    draws = [landmark_boxes(TARGET, jitter=0.1, random_state=seed) for seed in (3, 3, 4)]
    assert np.array_equal(draws[0], draws[1])
    assert not np.array_equal(draws[0], draws[2])


def test_the_boxes_given_are_left_alone():
    boxes = np.array([[0.0, 0, 10, 10]])
    adjust_boxes(boxes, margin=1, jitter=0.1, shift=(1, 1))
    assert np.array_equal(boxes, [[0, 0, 10, 10]])
    assert adjust_boxes(np.empty((0, 4)), margin=1).shape == (0, 4)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"margin": -0.5}, r"margin must be a number in \(-0.5, inf\), got -0.5"),
        ({"margin": np.nan}, "margin must be a number in .*, got nan"),
        ({"margin": "wide"}, "margin must be a number in .*, got 'wide'"),
        ({"jitter": -0.1}, r"jitter must be a number in \[0, 1\), or two of them, got -0.1"),
        (
            {"jitter": (0.1, 1)},
            r"jitter must be a number in .* got \(0.1, 1\)",
        ),
        ({"jitter": (0.1, 0.1, 0.1)}, "jitter must be a number in .*, or two of them"),
        ({"jitter": "much"}, "jitter must be a number"),
        ({"square": "no"}, "square must be True or False, got 'no'"),
        ({"shift": (0, np.inf)}, r"shift must be a number in .* two of them, got \(0, inf\)"),
        ({"margin": -0.4}, "sample 1: the box .* expected a width and height above 0"),
    ],
)
def test_bad_parameters(parameters, message):
    with pytest.raises(ValueError, match=message):
        adjust_boxes([[0, 0, 10, 10], [0, 0, 10, 5]], **parameters)


# ---------------------------------------------------------------------------------------
# Overlap and matching
# ---------------------------------------------------------------------------------------
def test_overlap_of_known_boxes():
    overlaps = box_overlaps(
        [[0, 0, 2, 2]], [[0, 0, 2, 2], [1, 1, 2, 2], [2, 0, 2, 2], [0, 0, 1, 2]]
    )
    assert overlaps == pytest.approx(np.array([[1, 1 / 7, 0, 1 / 2]]))
    assert np.isnan(box_overlaps([[0, 0, 2, 2]], [[np.nan] * 4])).all()
    assert box_overlaps([], [[0, 0, 1, 1]]).shape == (0, 1)


@quick
@given(some_boxes(), some_boxes())
def test_overlap_counts_pixels(boxes, others):
    """The share of pixels, as the sides are whole numbers."""
    overlaps = box_overlaps(boxes, others)
    assert overlaps.shape == (len(boxes), len(others))
    for a, row in zip(boxes, overlaps, strict=True):
        for b, overlap in zip(others, row, strict=True):
            pixels = [
                {(x, y) for x in range(int(x0), int(x0 + w)) for y in range(int(y0), int(y0 + h))}
                for x0, y0, w, h in (a, b)
            ]
            assert overlap == pytest.approx(len(pixels[0] & pixels[1]) / len(set.union(*pixels)))


def test_a_neighbour_does_not_take_the_only_box_of_another():
    # The box in the middle fits the first reference best, the second nearly as well; only
    # the first has another box to go to.
    found = [[0, 0, 10, 10], [5, 0, 10, 10]]
    reference = [[3, 0, 10, 10], [8, 0, 10, 10]]
    assert match_boxes(found, reference)[0].tolist() == [0, 1]
    assert match_boxes(found[1:], reference)[0].tolist() == [0, -1]


@quick
@given(some_boxes(), some_boxes(), st.floats(0.05, 1))
def test_matches_are_one_to_one_and_never_below_the_least_overlap(found, reference, least):
    indices, overlaps = match_boxes(found, reference, min_overlap=least)
    hit = indices >= 0
    assert len(set(indices[hit].tolist())) == hit.sum()
    assert np.array_equal(np.isnan(overlaps), ~hit)
    assert (overlaps[hit] >= least).all()
    pairs = box_overlaps(found, reference)
    assert overlaps[hit] == pytest.approx(pairs[indices[hit], np.flatnonzero(hit)])
    # What is left over on both sides would not have matched.
    left = np.setdiff1d(np.arange(len(found)), indices)
    assert not (pairs[left][:, ~hit] >= least).any()


@quick
@given(some_boxes(), some_boxes(), st.randoms(use_true_random=False))
def test_matching_does_not_depend_on_the_order_of_detections(found, reference, random):
    order = list(range(len(found)))
    random.shuffle(order)
    indices, overlaps = match_boxes(found, reference, min_overlap=0.1)
    shuffled, again = match_boxes(found[order], reference, min_overlap=0.1)
    assert np.array_equal(overlaps, again, equal_nan=True)
    hit = indices >= 0
    assert np.array_equal(found[indices[hit]], found[order][shuffled[hit]])
    assert np.array_equal(hit, shuffled >= 0)


@quick
@given(st.floats(-0.4, 1.0), st.floats(-0.5, 0.5), st.floats(-0.5, 0.5), st.integers(0, 2**31 - 1))
def test_a_relation_makes_the_boxes_that_it_was_learned_from(margin, right, down, seed):
    rng = np.random.RandomState(seed)
    around = np.concatenate([rng.uniform(0, 50, (5, 2)), rng.uniform(5, 80, (5, 2))], 1)
    boxes = adjust_boxes(around, margin=margin, shift=(right, down), square=True)
    relation = box_relation(boxes, around)
    assert relation["jitter"] == pytest.approx((0, 0), abs=1e-9)
    np.testing.assert_allclose(adjust_boxes(around, **relation), boxes, atol=1e-6)


def test_samples_without_a_box_do_not_count_in_a_relation():
    boxes, around = [[0, 0, 40, 40], [np.nan] * 4], [[10, 10, 20, 20], [0, 0, 1, 1]]
    assert box_relation(boxes, around)["margin"] == pytest.approx(0.5)
    assert box_relation(around, boxes)["margin"] == pytest.approx(-0.25)
    assert box_relation(boxes[1:], around[1:]) is None
    with pytest.raises(ValueError, match=r"boxes have shape \(2, 4\), expected \(1, 4\)"):
        box_relation(boxes[:1], around)


def test_huge_boxes_match_without_a_warning():
    huge = [[0, 0, 1e300, 1e300], [0, 0, 10, 10], [0, 0, 1e-200, 1e-200]]
    assert match_boxes(huge, [[0, 0, 10, 10], [np.nan] * 4])[0].tolist() == [1, -1]


@pytest.mark.parametrize("least", [0, -1, 1.5, np.nan])
def test_least_overlap_out_of_range(least):
    with pytest.raises(ValueError, match="min_overlap must be"):
        match_boxes([[0, 0, 1, 1]], [[0, 0, 1, 1]], min_overlap=least)


@pytest.mark.parametrize("wrong", [[0, 0, 4, 4], np.zeros((2, 2, 2)), np.zeros((3, 5)), 7])
def test_what_is_no_table_of_boxes_is_an_error(wrong):
    for function in (box_overlaps, match_boxes):
        for boxes in ((wrong, [[0, 0, 4, 4]]), ([[0, 0, 4, 4]], wrong)):
            with pytest.raises(ValueError, match=r"have shape \(.*\), expected \(n, 4\): x, y, w"):
                function(*boxes)
