import tracemalloc

import numpy as np
import pytest

from skwing.geometry import apply, from_parts
from skwing.shapes import (
    _procrustes,
    align,
    coefficients,
    complete_shapes,
    is_shape,
    mean_shape,
    normalize,
    shape_pca,
    symmetric,
)

SQUARE = np.array([[0.0, 0], [2, 0], [2, 2], [0, 2]])


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def placed(shapes, rng, max_angle=0.5):
    """Each shape under a similarity of its own: turned, scaled, shifted."""
    n = len(shapes)
    angle = rng.uniform(-max_angle, max_angle, n)
    scale = np.exp(rng.uniform(-1, 3, n))
    matrix = from_parts(angle, scale, rng.uniform(-500, 500, (n, 2)), 0.0)
    return apply(matrix, shapes)


def procrustes_by_svd(shape, reference, reflection, scaling):
    """Textbook Procrustes fit of one complete shape."""
    source, target = shape - shape.mean(0), reference - reference.mean(0)
    u, s, vt = np.linalg.svd(source.T @ target)
    if not reflection and np.linalg.det(u @ vt) < 0:
        u[:, -1] *= -1
        s[-1] *= -1
    factor = s.sum() / (source**2).sum() if scaling else 1.0
    return factor * source @ u @ vt + reference.mean(0)


def without(shapes, rng, part):
    """A copy in which this part of the points is missing, but never the first three."""
    missing = rng.random(shapes.shape[:2]) < part
    missing[:, :3] = False
    return np.where(missing[..., None], np.nan, shapes)


# ---------------------------------------------------------------------------------------
# Alignment
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("scaling", [True, False])
@pytest.mark.parametrize("reflection", [True, False])
def test_align_is_the_procrustes_fit(rng, reflection, scaling):
    reference = rng.normal(size=(7, 2))
    shapes = 3 * rng.normal(size=(50, 7, 2)) + 20
    aligned = align(shapes, reference, allow_reflection=reflection, scaling=scaling)
    expected = [procrustes_by_svd(s, reference, reflection, scaling) for s in shapes]
    np.testing.assert_allclose(aligned, expected, atol=1e-12)


def test_reflection_is_allowed_shape_by_shape(rng):
    reference = rng.normal(size=(6, 2))
    mirrored = np.stack([reference * [-1, 1] + 4] * 2)
    aligned = align(mirrored, reference, allow_reflection=np.array([True, False]))
    np.testing.assert_allclose(aligned[0], reference, atol=1e-12)
    assert np.abs(aligned[1] - reference).max() > 0.1


@pytest.mark.parametrize("scaling", [True, False])
def test_missing_points_have_no_say_in_alignment(rng, scaling):
    reference = rng.normal(size=(7, 2))
    shape = rng.normal(size=(1, 7, 2))
    part = shape.copy()
    part[:, 4:] = np.nan
    aligned = align(part, reference, scaling=scaling)
    expected = align(shape[:, :4], reference[:4], scaling=scaling)
    np.testing.assert_allclose(aligned[:, :4], expected, atol=1e-12)
    assert np.isnan(aligned[:, 4:]).all()


def test_what_is_no_shape_cannot_be_aligned(rng):
    nothing = np.full((5, 2), np.nan)
    point = nothing.copy()
    point[2] = 3.3
    same = np.full((5, 2), 1.1)
    two = nothing.copy()
    two[:2] = [[0, 0], [0, 1e-3]]
    shapes = np.stack([nothing, point, same, two])
    assert is_shape(shapes).tolist() == [False, False, False, True]
    aligned = align(shapes, rng.normal(size=(5, 2)))
    assert np.isnan(aligned[:3]).all()
    assert np.isfinite(aligned[3, :2]).all()


# ---------------------------------------------------------------------------------------
# Mean shape
# ---------------------------------------------------------------------------------------
def test_mean_shape_is_centred_and_of_unit_radius(rng):
    mean = mean_shape(100 * rng.random((20, 9, 2)))
    np.testing.assert_allclose(mean.mean(0), 0, atol=1e-12)
    np.testing.assert_allclose((mean**2).sum(1).mean(), 1)


def test_mean_shape_does_not_see_size_and_place(rng):
    shapes = rng.normal(size=(1, 9, 2)) + 0.1 * rng.normal(size=(30, 9, 2))
    np.testing.assert_allclose(
        mean_shape(placed(shapes, rng, max_angle=0)), mean_shape(shapes), atol=1e-3
    )


@pytest.mark.parametrize("max_angle", [0.5, np.pi])
def test_mean_shape_sees_through_turns_and_missing_points(rng, max_angle):
    solid = normalize(rng.normal(size=(9, 2)))
    shapes = without(placed(np.stack([solid] * 200), rng, max_angle), rng, 0.4)
    mean = mean_shape(shapes)
    np.testing.assert_allclose(align(mean[None], solid)[0], solid, atol=1e-3)
    if max_angle < 1:  # the turns average to about 0, and the mean stands upright
        np.testing.assert_allclose(mean, solid, atol=0.1)


def test_mean_shape_of_shapes_that_cancel_out():
    tent = np.array([[-2.0, 1], [2, 1], [0, -2]])
    mean = mean_shape(np.stack([tent, -tent]))
    np.testing.assert_allclose(align(tent[None], mean)[0], mean, atol=1e-12)


def test_mean_shape_has_no_place_for_a_landmark_that_nobody_has(rng):
    shapes = rng.normal(size=(10, 5, 2))
    shapes[:, 3] = np.nan
    mean = mean_shape(shapes)
    assert np.isnan(mean).all(1).tolist() == [False, False, False, True, False]
    np.testing.assert_allclose(mean[[0, 1, 2, 4]], mean_shape(shapes[:, [0, 1, 2, 4]]))


def test_mean_shape_passes_over_what_is_no_shape(rng):
    shapes = rng.normal(size=(10, 5, 2))
    padded = np.concatenate([shapes, np.full((2, 5, 2), np.nan), np.full((1, 5, 2), 7.1)])
    np.testing.assert_allclose(mean_shape(padded), mean_shape(shapes))
    with pytest.raises(ValueError, match="two distinct points"):
        mean_shape(padded[10:])


# ---------------------------------------------------------------------------------------
# Modes
# ---------------------------------------------------------------------------------------
def test_pca_agrees_with_the_covariance(rng):
    shapes = rng.normal(size=(40, 3, 2)) * [[[3, 1], [2, 1], [1, 0.5]]]
    modes = shape_pca(shapes)
    flat = shapes.reshape(40, 6)
    expected = np.linalg.eigvalsh(np.cov(flat.T))[::-1]
    np.testing.assert_allclose(modes.variances, expected)
    np.testing.assert_allclose(modes.variance_ratios, expected / expected.sum())
    basis = modes.components.reshape(6, 6)
    np.testing.assert_allclose(basis @ basis.T, np.eye(6), atol=1e-12)
    values = coefficients(shapes, modes)
    np.testing.assert_allclose(np.cov(values.T), np.diag(expected), atol=1e-12)
    np.testing.assert_allclose(
        modes.mean + np.einsum("nk,klc->nlc", values, modes.components), shapes
    )


def test_pca_keeps_no_more_components_than_asked_or_there_are(rng):
    shapes = rng.normal(size=(4, 5, 2))
    assert shape_pca(shapes).components.shape == (3, 5, 2)
    assert shape_pca(shapes, n_components=2).components.shape == (2, 5, 2)
    assert shape_pca(shapes[:1]).components.shape == (1, 5, 2)
    assert coefficients(shapes[:1], shape_pca(shapes[:1])).tolist() == [[0.0]]


def test_pca_leaves_out_a_landmark_that_nobody_has_but_wants_all_others(rng):
    shapes = rng.normal(size=(6, 4, 2))
    shapes[:, 1] = np.nan
    modes = shape_pca(shapes)
    np.testing.assert_allclose(modes.variances, shape_pca(shapes[:, [0, 2, 3]]).variances)
    assert (modes.components[:, 1] == 0).all()
    assert np.isfinite(coefficients(shapes, modes)).all()
    shapes[3, 2] = np.nan
    with pytest.raises(ValueError, match="landmark 2 of shape 3 is missing"):
        shape_pca(shapes)


@pytest.mark.parametrize("direction", [(1, 0), (0, 1)])
def test_a_component_moves_the_middle_right_and_down(rng, direction):
    cross = np.array([[-1.0, 0], [1, 0], [0, 0], [0, -1], [0, 1]])
    push = np.zeros((5, 2))
    push[2] = direction
    amounts = np.array([-0.4, -0.1, 0.1, 0.4])
    shapes = cross + amounts[:, None, None] * push
    modes = shape_pca(shapes)
    np.testing.assert_allclose(coefficients(shapes, modes)[:, 0], amounts, atol=1e-12)


def test_the_sign_rule_holds_for_every_component(rng):
    modes = shape_pca(rng.normal(size=(40, 8, 2)) + 5 * rng.normal(size=(8, 2)))
    inner = 1 - (normalize(modes.mean) ** 2).sum(1)
    assert (np.einsum("l,klc->k", inner, modes.components) > 0).all()


# ---------------------------------------------------------------------------------------
# Missing points
# ---------------------------------------------------------------------------------------
def views(n, rng, max_yaw=1.0):
    """Complete views of one random solid, and the angle it is turned by in each."""
    solid = rng.normal(size=(12, 3)) * [1, 1, 0.5]
    yaw, pitch = rng.uniform(-max_yaw, max_yaw, n), rng.uniform(-0.3, 0.3, n)
    x = solid[:, 0] * np.cos(yaw)[:, None] + solid[:, 2] * np.sin(yaw)[:, None]
    z = -solid[:, 0] * np.sin(yaw)[:, None] + solid[:, 2] * np.cos(yaw)[:, None]
    y = solid[:, 1] * np.cos(pitch)[:, None] + z * np.sin(pitch)[:, None]
    return placed(np.stack([x, y], -1), rng), yaw, solid


def test_completion_finds_points_that_a_turn_hides(rng):
    complete, yaw, solid = views(300, rng)
    hidden = np.abs(yaw[:, None]) > 0.5
    hidden = hidden & (np.sign(yaw)[:, None] * solid[:, 0] > 0.2)
    assert 0.1 < hidden.mean() < 0.4
    filled = complete_shapes(np.where(hidden[..., None], np.nan, complete), max_iter=100)
    size = np.ptp(complete, axis=1).max(1)[:, None]
    error = np.linalg.norm(filled - complete, axis=-1) / size
    assert error[~hidden].max() == 0
    assert error[hidden].mean() < 0.02


def test_completion_goes_with_the_units_of_each_shape(rng):
    complete, *_ = views(60, rng)
    shapes = without(complete, rng, 0.3)
    factor = np.exp(rng.normal(size=(60, 1, 1)))
    np.testing.assert_allclose(
        complete_shapes(shapes * factor + 100), complete_shapes(shapes) * factor + 100, rtol=1e-6
    )


def test_completion_is_the_same_for_mirrored_shapes(rng):
    shapes = without(views(60, rng)[0], rng, 0.3)
    np.testing.assert_allclose(
        complete_shapes(shapes * [-1, 1]), complete_shapes(shapes) * [-1, 1], rtol=1e-6
    )


def test_complete_shapes_stay_and_nothing_is_written_to(rng):
    complete, *_ = views(20, rng)
    np.testing.assert_array_equal(complete_shapes(complete), complete)
    shapes = without(complete, rng, 0.3)
    before = shapes.copy()
    shapes.flags.writeable = False
    assert np.isfinite(complete_shapes(shapes)).all()
    np.testing.assert_array_equal(shapes, before)


def test_what_cannot_be_known_stays_missing(rng):
    shapes = without(views(20, rng)[0], rng, 0.3)
    shapes[:, 5] = np.nan
    shapes[7] = np.nan
    shapes[8, 1:] = np.nan
    missing = np.isnan(complete_shapes(shapes)).all(-1)
    expected = np.zeros((20, 12), dtype=bool)
    expected[:, 5] = expected[7] = True
    expected[8, 1:] = True
    assert (missing == expected).all()


@pytest.mark.parametrize("n", [1, 2, 5])
def test_completion_of_a_few_shapes_stays_within_reason(rng, n):
    complete, *_ = views(n, rng, max_yaw=0.3)
    shapes = complete.copy()
    shapes[0, 6:] = np.nan
    filled = complete_shapes(shapes)
    size = np.ptp(complete, axis=1).max()
    assert np.nanmax(np.abs(filled - complete)) < size
    assert np.isfinite(filled).all() == (n > 1)


def test_a_symmetric_shape_is_its_own_mirror_image_and_near_the_first(rng):
    mirror = [1, 0, 3, 2, 4]
    half = np.array([[-3.0, 1.0], [3.0, 1.0], [-1.0, -2.0], [1.0, -2.0], [0.0, 0.0]])
    for angle in (0.0, 0.3, -1.2, np.pi / 2):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        leaning = half @ turn + rng.normal(0, 0.05, half.shape)
        upright = symmetric(leaning - leaning.mean(0), mirror)
        np.testing.assert_allclose(upright[mirror] * [-1, 1], upright, atol=1e-12)
        size = np.abs(half).max()
        ends = [np.abs(upright - sign * (half - half.mean(0))).max() / size for sign in (1, -1)]
        assert min(ends) < 0.1


def test_a_symmetric_shape_takes_a_missing_place_from_the_other_side():
    shape = np.array([[np.nan, np.nan], [2.0, 1.0], [0.0, -1.0], [np.nan, np.nan]])
    upright = symmetric(shape, [1, 0, 2, 3])
    np.testing.assert_allclose(upright[0] * [-1, 1], upright[1])
    assert np.isnan(upright[3]).all() and np.isfinite(upright[:3]).all()


@pytest.mark.parametrize("coordinate", [0, 1])
def test_a_point_that_lacks_one_coordinate_is_refused(coordinate):
    shapes = np.random.default_rng(0).normal(size=(6, 5, 2))
    half = shapes.copy()
    half[2, 4, coordinate] = np.nan
    modes = shape_pca(align(shapes, shapes[1]))
    for measure in (
        is_shape,
        mean_shape,
        normalize,
        complete_shapes,
        shape_pca,
        lambda shapes: align(shapes, shapes[1]),
        lambda shapes: coefficients(shapes, modes),
    ):
        with pytest.raises(ValueError, match=r"and no [xy] at sample 2, landmark 4"):
            measure(half)
    with pytest.raises(ValueError, match=r"and no [xy] at landmark 4"):
        symmetric(half[2], [1, 0, 3, 2, 4])


def test_the_mean_of_many_shapes_takes_little_memory(monkeypatch):
    random = np.random.default_rng(0)
    shapes = random.normal(size=(1, 5, 2)) * 20 + random.normal(size=(50_000, 5, 2))
    tracemalloc.start()
    mean = mean_shape(shapes)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4 * shapes.nbytes
    monkeypatch.setattr(_procrustes, "_PORTION", 10**9)
    np.testing.assert_allclose(mean_shape(shapes), mean, rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    "function",
    [is_shape, mean_shape, complete_shapes, shape_pca, normalize]
    + [lambda shapes: align(shapes, SQUARE), lambda shapes: align(SQUARE[None], shapes)]
    + [lambda shapes: coefficients(shapes, shape_pca(SQUARE[None]))],
)
def test_other_layouts_are_errors_that_name_the_shape(function):
    with pytest.raises(ValueError, match=r"has shape \(3, 8\); expected .*n_landmarks, 2\)\."):
        function(np.zeros((3, 8)))


def test_other_numbers_of_landmarks_are_errors():
    for function in (align, lambda x, y: coefficients(x, shape_pca(y[None]))):
        with pytest.raises(ValueError, match=r"shapes have 3 landmarks, the .* has 4"):
            function(SQUARE[None, :3], SQUARE)
