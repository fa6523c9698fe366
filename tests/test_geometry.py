import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skwing import geometry
from skwing._utils.opencv import cv2

coordinates = st.floats(-500, 500)
angles = st.floats(-math.pi, math.pi)
scales = st.floats(0.05, 20)


@st.composite
def similarities(draw):
    shift, center = (draw(arrays(float, 2, elements=coordinates)) for _ in range(2))
    return geometry.from_parts(np.array(draw(angles)), np.array(draw(scales)), shift, center)


@st.composite
def affinities(draw):
    """A similarity after a stretch and a shear; half of them contain a reflection."""
    stretch = np.array([draw(st.sampled_from([-1, 1])) * draw(st.floats(0.3, 3)), 0, 0])
    shear = np.array([draw(st.floats(-1, 1)), 1, draw(coordinates)])
    return geometry.compose(draw(similarities()), np.stack([stretch, shear]))


def shapes(n_points):
    return arrays(float, (n_points, 2), elements=coordinates)


def spread_shape(seed, *shape):
    return np.random.default_rng(seed).uniform(-100, 100, (*shape, 2))


IDENTITY = np.array([[1.0, 0, 0], [0, 1, 0]])


@given(affinities())
def test_inverse_after_matrix_is_the_identity(matrix):
    inverse = geometry.invert(matrix)
    np.testing.assert_allclose(geometry.compose(inverse, matrix), IDENTITY, atol=1e-6)
    np.testing.assert_allclose(geometry.compose(matrix, inverse), IDENTITY, atol=1e-6)


@pytest.mark.slow
@given(affinities(), affinities(), shapes(3))
def test_compose_maps_through_the_inner_matrix_first(outer, inner, points):
    once = geometry.apply(geometry.compose(outer, inner), points)
    twice = geometry.apply(outer, geometry.apply(inner, points))
    np.testing.assert_allclose(once, twice, rtol=1e-9, atol=1e-6)


def test_compose_broadcasts():
    many = geometry.from_parts(np.linspace(0, 1, 4), np.ones(4), np.ones((4, 2)), 3.0)
    one = geometry.reflect(10)
    for outer, inner in ((one, many), (many, one)):
        expected = [
            geometry.compose(a, b)
            for a, b in zip(*(np.broadcast_to(m, (4, 2, 3)) for m in (outer, inner)), strict=True)
        ]
        np.testing.assert_array_equal(geometry.compose(outer, inner), expected)


def test_matrices_keep_their_precision_under_autocast():
    outer = torch.tensor([[1.37, 0.11, 211.3], [-0.11, 1.37, 97.7]])
    inner = torch.tensor([[0.73, -0.2, 153.1], [0.2, 0.73, 88.9]])
    with torch.autocast("cpu", torch.bfloat16):
        product = geometry.compose(outer, inner)
    exact = geometry.compose(outer.double(), inner.double())
    torch.testing.assert_close(product.double(), exact, rtol=1e-6, atol=1e-4)


FLAT = (spread_shape(0, 5, 4), spread_shape(1, 5, 4))
MATRICES = geometry.from_parts(
    np.linspace(-1, 1, 5), np.linspace(0.5, 2, 5), FLAT[0][:, 0], FLAT[1][:, 1]
)
BOXES = np.array([[1.0, 2, 30, 40], [-5.5, 3, 20, 7]])
HOLED = FLAT[0].copy()
HOLED[1, 2] = np.nan
HOLED[2, :, 0] = np.nan
CALLS = {
    "apply": (geometry.apply, MATRICES, FLAT[0]),
    "apply to missing points": (geometry.apply, MATRICES, HOLED),
    "compose": (geometry.compose, MATRICES, MATRICES[::-1].copy()),
    "compose with one": (geometry.compose, MATRICES, IDENTITY),
    "invert": (geometry.invert, MATRICES),
    "from_parts": (geometry.from_parts, np.ones(3), np.full(3, 2.0), np.ones((3, 2)), 4.5),
    "from_parts about points": (geometry.from_parts, *np.ones((2, 3)), *np.ones((2, 3, 2))),
    "from_box": (geometry.from_box, BOXES, 64, 0.25),
    "similarity": (geometry.similarity, *FLAT),
    "similarity of one target": (geometry.similarity, FLAT[0], FLAT[1][0]),
    "similarity of missing points": (geometry.similarity, HOLED, FLAT[1]),
    "similarity with weights": (geometry.similarity, *FLAT, np.arange(20.0).reshape(5, 4)),
    "scale_of": (geometry.scale_of, MATRICES),
    "boxes_of": (geometry.boxes_of, HOLED),
}


@pytest.mark.parametrize("name", CALLS)
def test_torch_answers_as_numpy(name):
    function, *args = CALLS[name]
    expected = function(*args)
    for dtype, tolerance in ((torch.float64, 1e-12), (torch.float32, 1e-4)):
        tensors = [
            torch.as_tensor(a, dtype=dtype) if isinstance(a, np.ndarray) else a for a in args
        ]
        answer = function(*tensors)
        assert answer.dtype == dtype
        np.testing.assert_allclose(answer, expected, rtol=tolerance, atol=100 * tolerance)


def test_missing_points_stay_missing_and_touch_no_other():
    mapped = geometry.apply(MATRICES[0], HOLED[1])
    assert np.isnan(mapped[2]).all()
    np.testing.assert_array_equal(
        mapped[[0, 1, 3]], geometry.apply(MATRICES[0], HOLED[1, [0, 1, 3]])
    )


@given(angles, scales, arrays(float, 2, elements=coordinates))
def test_from_parts_turns_and_scales_about_its_center(angle, scale, center):
    matrix = geometry.from_parts(np.array(angle), np.array(scale), np.zeros(2), center)
    around = center + [[0, 0], [1, 0], [0, 1]]
    to = scale * np.array([[math.cos(angle), math.sin(angle)], [-math.sin(angle), math.cos(angle)]])
    expected = center + [[0, 0], *to]
    np.testing.assert_allclose(geometry.apply(matrix, around), expected, atol=1e-8)


@pytest.mark.parametrize(
    "center", [4, 4.0, np.float64(4), np.int64(4), np.float32(4), np.full(2, 4.0)]
)
def test_a_center_may_be_a_number(center):
    matrix = geometry.from_parts(np.array(1.0), np.array(2.0), np.array([1.0, 2.0]), center)
    np.testing.assert_allclose(geometry.apply(matrix, np.array([[4.0, 4.0]])), [[5.0, 6.0]])


@given(
    *(coordinates, coordinates, st.floats(0.1, 1e4), st.floats(0.1, 1e4)),
    st.integers(1, 256),
    st.floats(-0.4, 2),
)
def test_from_box_is_a_similarity_that_centers_the_box(x, y, width, height, size, margin):
    matrix = geometry.from_box(np.array([x, y, width, height]), size, margin)
    assert matrix[0, 0] == matrix[1, 1] > 0
    assert matrix[0, 1] == matrix[1, 0] == 0
    side = max(width, height) * (1 + 2 * margin)
    middle = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
    ends = geometry.apply(matrix, np.stack([middle - side / 2, middle, middle + side / 2]))
    expected = np.array([-0.5, (size - 1) / 2, size - 0.5])[:, None]
    np.testing.assert_allclose(ends, np.broadcast_to(expected, (3, 2)), atol=1e-6)


def test_from_box_frames_the_longer_side():
    matrix = geometry.from_box(np.array([10.0, 0, 20, 10]), size=40)
    corners = geometry.apply(matrix, np.array([[9.5, -0.5], [29.5, 9.5]]))
    np.testing.assert_allclose(corners, [[-0.5, 9.5], [39.5, 29.5]])


def test_halving_is_where_averaged_blocks_lie():
    x, y = np.meshgrid(np.arange(32.0), np.arange(24.0))
    ramp = 3 * x + 5 * y + 7
    for levels in (1, 2, 3):
        half = cv2.resize(ramp, (32 >> levels, 24 >> levels), interpolation=cv2.INTER_AREA)
        rows, columns = np.indices(half.shape)
        centers = np.stack([columns, rows], -1).reshape(-1, 2).astype(float)
        at = geometry.apply(geometry.invert(geometry.halving(levels)), centers)
        expected = 3 * at[:, 0] + 5 * at[:, 1] + 7
        np.testing.assert_allclose(half.ravel(), expected)


def test_two_halvings_are_one_of_two_levels():
    twice = geometry.compose(geometry.halving(), geometry.halving())
    np.testing.assert_allclose(geometry.halving(2), twice)


@pytest.mark.parametrize("size", [1, 7, 64])
def test_reflect_maps_each_column_to_its_counterpart_and_back(size):
    matrix = geometry.reflect(size)
    columns = np.stack([np.arange(size), np.full(size, 3)], -1).astype(float)
    mirrored = geometry.apply(matrix, columns)
    np.testing.assert_array_equal(mirrored[:, 0], columns[::-1, 0])
    np.testing.assert_array_equal(mirrored[:, 1], 3)
    np.testing.assert_array_equal(geometry.compose(matrix, matrix), IDENTITY)


@given(similarities(), st.integers(0, 1000), st.integers(2, 98))
def test_similarity_recovers_a_known_one(matrix, seed, n_points):
    source = spread_shape(seed, n_points)
    found = geometry.similarity(source, geometry.apply(matrix, source))
    np.testing.assert_allclose(found, matrix, rtol=1e-6, atol=1e-6)


@given(similarities(), st.integers(0, 1000))
def test_missing_points_do_not_change_a_similarity(matrix, seed):
    source = spread_shape(seed, 9)
    target = geometry.apply(matrix, source)
    source[0, 0], target[4, 1] = np.nan, np.nan
    source[7] = target[7] = np.nan
    found = geometry.similarity(source, target)
    np.testing.assert_allclose(found, matrix, rtol=1e-6, atol=1e-6)


def test_similarity_weighs_points():
    source, target = spread_shape(2, 6), spread_shape(3, 6)
    weight = np.array([1, 2, 0, 3, 1, 1])
    repeated = np.repeat(np.arange(6), weight)
    found = geometry.similarity(source, target, weight.astype(float))
    expected = geometry.similarity(source[repeated], target[repeated])
    np.testing.assert_allclose(found, expected)
    assert not np.allclose(found, geometry.similarity(source, target))


@given(st.integers(0, 1000), st.sampled_from([(0, 0), (0, 2), (1, 0), (1, 2)]))
def test_similarity_has_the_least_squares(seed, entry):
    source, target = spread_shape(seed, 5), spread_shape(seed + 5000, 5)
    best = geometry.similarity(source, target)

    def error(matrix):
        return ((geometry.apply(matrix, source) - target) ** 2).sum()

    for step in (-1e-3, 1e-3):
        other = best.copy()
        other[entry] += step
        if entry == (0, 0):
            other[1, 1] += step
        if entry == (1, 0):
            other[0, 1] -= step
        assert error(other) > error(best)


def test_similarity_never_reflects():
    source = spread_shape(4, 20)
    found = geometry.similarity(source, geometry.apply(geometry.reflect(10), source))
    assert np.linalg.det(found[:, :2]) > 0
    assert found[0, 0] == found[1, 1]
    assert found[0, 1] == -found[1, 0]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(
    "source",
    [
        np.full((5, 2), np.nan),
        np.array([[1.0, 2.0]] + [[np.nan, 3.0]] * 4),
        # Means of equal numbers are not always that number: 0.1 + 0.1 + 0.1 is not 0.3.
        np.full((3, 2), 0.1),
        np.full((68, 2), 77.7),
    ],
)
def test_similarity_of_less_than_two_points_is_undecided(source, dtype):
    target = spread_shape(5, len(source))
    found = geometry.similarity(torch.tensor(source, dtype=dtype), torch.tensor(target).to(dtype))
    assert torch.isnan(found).all()


def test_similarity_of_close_points_far_away_is_decided():
    source = spread_shape(6, 5) * 1e-2 + 1e4
    found = geometry.similarity(source, 2 * source)
    np.testing.assert_allclose(geometry.apply(found, source), 2 * source, atol=1e-6)


@given(angles, scales, st.booleans())
def test_scale_of_a_similarity_is_its_scale(angle, scale, mirrored):
    matrix = geometry.from_parts(np.array(angle), np.array(scale), np.ones(2), 0.0)
    if mirrored:
        matrix = geometry.compose(matrix, geometry.reflect(5))
    np.testing.assert_allclose(geometry.scale_of(matrix), scale)


@given(shapes(5))
def test_boxes_hold_their_points_tightly(points):
    x, y, width, height = geometry.boxes_of(points)
    np.testing.assert_allclose(points.min(0), [x, y])
    np.testing.assert_allclose(points.max(0), [x + width - 1, y + height - 1], atol=1e-9)


def test_boxes_leave_out_points_with_nan():
    points = np.array([[[1.0, 2], [np.nan, -9], [5, 3]], [[np.nan, np.nan]] * 3])
    boxes = geometry.boxes_of(points)
    np.testing.assert_array_equal(boxes, [[1, 2, 5, 2], [np.nan] * 4])


@pytest.mark.parametrize(("dtype", "away"), [(np.float64, 1e13), (np.float32, 2e4)])
def test_whether_a_similarity_is_decided_depends_on_the_source_alone(dtype, away):
    """Wherever the target lies; rounding of far points that coincide decides nothing."""
    shape = np.array([[0.0, 0], [0.02, 0], [0, 0.01]], dtype=dtype)
    far = (shape * 1e6 + away).astype(dtype)
    one_place = np.full((3, 2), away, dtype=dtype)
    one_place[1, 0] = np.nextafter(one_place[1, 0], dtype(np.inf))
    if dtype is np.float32:  # numpy calculates in float64 with these as well
        shape, far, one_place = map(torch.from_numpy, (shape, far, one_place))
    onto_far = geometry.similarity(shape, far)
    np.testing.assert_allclose(geometry.scale_of(onto_far), 1e6, rtol=1e-2)
    assert np.isfinite(np.asarray(geometry.similarity(shape, one_place))).all()
    assert np.isnan(np.asarray(geometry.similarity(one_place, shape))).all()


def test_points_of_one_place_decide_no_similarity_whatever_rounding_leaves():
    rng = np.random.default_rng(0)
    for n_points in (2, 3, 7, 68, 400):
        places = np.repeat(rng.uniform(-500, 500, (300, 1, 2)), n_points, axis=1)
        target = rng.uniform(0, 64, (n_points, 2))
        for source in (places, torch.tensor(places, dtype=torch.float32)):
            onto = torch.tensor(target, dtype=torch.float32) if source is not places else target
            assert np.isnan(np.asarray(geometry.similarity(source, onto))).all()
