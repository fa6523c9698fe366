import warnings

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.exceptions import NotFittedError

from skwing import CascadeLandmarkRegressor, geometry
from skwing._prediction.confidence import (
    Calibration,
    _least_squares,
    calibrate,
    changed_crops,
    error_units,
    shape_sizes,
)
from skwing.datasets import make_faces
from skwing.networks import ShapeIndexedCNN


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="module")
def faces():
    return make_faces(24, image_size=48, random_state=0)


def small(n_landmarks):
    return ShapeIndexedCNN(n_landmarks, 32, stride=2, width=8, n_hidden=32)


@pytest.fixture(scope="module")
def fitted(faces):
    reg = CascadeLandmarkRegressor(
        networks=(small, small), max_epochs=3, random_state=0, device="cpu"
    )
    return reg.fit(faces.data[:12], faces.target[:12])


def errors_of(std, rng):
    """Distances of two-dimensional errors with that standard deviation along each axis."""
    return np.linalg.norm(rng.normal(size=(*std.shape, 2)) * std[..., None], axis=-1)


def test_calibration_finds_the_variances_that_made_the_errors(rng):
    n, n_landmarks = 4000, 5
    truth = Calibration(np.array([1e-4, 4e-4, 1e-4, 0.0, 9e-4]), near=2.0, whole=0.5)
    size = rng.uniform(20, 80, n)
    spread = rng.gamma(2.0, 0.02, (n, n_landmarks)) * size[:, None]
    found = calibrate(errors_of(truth.std(spread, size), rng), spread, size)
    expected, std = truth.std(spread, size), found.std(spread, size)
    np.testing.assert_allclose(std.mean(0), expected.mean(0), rtol=0.05)
    assert np.corrcoef(std.ravel(), expected.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("n", [1, 2, 50])
def test_terms_are_those_of_all_equations_at_once(rng, n):
    table = rng.random((n, 3, 4)) * (rng.random((n, 3, 1)) < 0.8)
    design = np.concatenate([np.eye(3) * table[..., :1], table[..., 1:3]], -1)
    expected, _ = nnls(design.reshape(-1, 5), table[..., 3].ravel())
    found = _least_squares(table)
    assert (found >= 0).all()
    # If there are few equations, several solutions are equal.
    np.testing.assert_allclose(design @ found, design @ expected, atol=1e-10)


def test_samples_without_a_spread_are_no_evidence(rng):
    size, spread = np.full(50, 50.0), rng.gamma(2.0, 1.0, (50, 3))
    errors = errors_of(1 + spread, rng)
    expected = calibrate(errors[1:], spread[1:], size[1:]).std(spread, size)
    found = calibrate(errors, np.where(np.arange(50)[:, None] < 1, np.nan, spread), size)
    np.testing.assert_allclose(found.std(spread, size), expected)


def test_errors_that_have_nothing_to_do_with_spread_give_a_constant(rng):
    size, spread = np.full(3000, 50.0), rng.gamma(2.0, 1.0, (3000, 3))
    std = np.broadcast_to([1.0, 2.0, 3.0], (3000, 3))
    found = calibrate(errors_of(std, rng), spread, size).std(spread, size)
    np.testing.assert_allclose(found.mean(0), [1, 2, 3], rtol=0.1)
    assert found.std(0).max() < 0.3


def test_errors_may_be_unknown_but_not_those_of_a_landmark_altogether(rng):
    size, spread = np.full(500, 50.0), rng.gamma(2.0, 1.0, (500, 3))
    errors = errors_of(np.full((500, 3), 2.0), rng)
    errors[::2, 1] = np.nan
    np.testing.assert_allclose(
        calibrate(errors, spread, size).std(spread, size).mean(), 2, rtol=0.1
    )
    errors[:, 1] = np.nan
    with pytest.raises(ValueError, match=r"landmarks \[1\]"):
        calibrate(errors, spread, size)


@pytest.mark.parametrize("n_known", [1, 9, 10])
def test_few_samples_with_known_landmarks_are_a_warning(rng, n_known):
    errors, spread, size = np.abs(rng.normal(size=(12, 2))), np.ones((12, 2)), np.ones(12)
    errors[n_known:] = np.nan
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        calibrate(errors, spread, size)
    assert [str(one.message).split(":")[0] for one in told] == (
        [] if n_known == 10 else [f"{n_known} held-out sample{'s' * (n_known > 1)} for calibrate"]
    )


def test_a_calibration_does_not_depend_on_the_unit(rng):
    size, spread = rng.uniform(20, 80, 300), rng.gamma(2.0, 1.0, (300, 3))
    errors = errors_of(1 + spread, rng)
    small, large = (calibrate(k * errors, k * spread, k * size) for k in (1, 10))
    np.testing.assert_allclose(
        large.std(10 * spread, 10 * size), 10 * small.std(spread, size), rtol=1e-6
    )


def test_changes_of_a_crop_leave_its_middle_near_and_cancel_out():
    changes = changed_crops(64)
    middle = torch.tensor([[31.5, 31.5]])
    moved = geometry.apply(changes, middle)[:, 0] - middle
    torch.testing.assert_close(moved.sum(0), torch.zeros(2), atol=1e-4, rtol=0)
    assert moved.norm(dim=-1).max() < 0.05 * 64
    torch.testing.assert_close(geometry.scale_of(changes), torch.ones(6))


@pytest.mark.slow
def test_predict_tells_a_positive_deviation_for_each_landmark(fitted, faces):
    plain = fitted.predict(faces.data)
    with pytest.raises(NotFittedError, match=r"calibrate\(X, y\)"):
        fitted.predict(faces.data, return_std=True)
    assert fitted.calibrate(faces.data[12:], faces.target[12:]) is fitted
    points, std = fitted.predict(faces.data, return_std=True)
    np.testing.assert_array_equal(points, plain)
    assert std.shape == (24, 68) and (std > 0).all()
    z = (points - faces.target)[12:] / std[12:, :, None]
    assert 0.8 < np.sqrt(np.mean(z**2)) < 1.25  # on what it was calibrated on
    alone = fitted.predict(faces.data[[3]], return_std=True)[1]
    np.testing.assert_allclose(alone, std[[3]], rtol=1e-3)


@pytest.mark.slow
def test_deviations_are_in_pixels_of_the_image(fitted, faces):
    fitted.calibrate(faces.data[12:], faces.target[12:])
    images = np.stack([faces.data.decode(i) for i in range(4)])
    double = np.repeat(np.repeat(images, 2, axis=1), 2, axis=2)
    boxes = faces.data.boxes[:4]
    small = faces.data[:4]
    large = type(small)(double, 2 * boxes, schema="ibug68")
    (_, near), (_, far) = (fitted.predict(X, return_std=True) for X in (small, large))
    np.testing.assert_allclose(far.mean() / near.mean(), 2, rtol=0.1)


@pytest.mark.slow
def test_another_fit_takes_the_calibration_away(faces):
    reg = CascadeLandmarkRegressor(networks=(small,), max_epochs=1, random_state=0)
    reg.fit(faces.data[:6], faces.target[:6]).calibrate(faces.data[6:], faces.target[6:])
    assert hasattr(reg, "calibration_")
    assert not hasattr(reg.fit(faces.data[:6], faces.target[:6]), "calibration_")


def test_shape_size_is_the_radius():
    square = np.array([[[0.0, 0], [2, 0], [2, 2], [0, 2]]])
    np.testing.assert_allclose(shape_sizes(square), np.sqrt(2))


def test_a_single_landmark_has_deviations_too(faces):
    reg = CascadeLandmarkRegressor(networks=(small,), max_epochs=2, random_state=0, device="cpu")
    X, y = [faces.data.decode(i) for i in range(24)], faces.target[:, [30]]
    reg.fit(X[:12], y[:12]).calibrate(X[12:], y[12:])
    points, std = reg.predict(X, return_std=True)
    assert std.shape == (24, 1) and (std > 0.01).all()
    z = (points - y)[12:] / std[12:, :, None]
    assert 0.8 < np.sqrt(np.mean(z**2)) < 1.25


def test_units_are_sizes_of_shapes_or_of_boxes():
    square = np.array([[[0.0, 0], [2, 0], [2, 2], [0, 2]]])
    np.testing.assert_allclose(error_units(square, np.array([9.0])), np.sqrt(2))
    lone = np.array([[[3.0, 4.0]], [[np.nan, np.nan]]])
    np.testing.assert_array_equal(error_units(lone, np.array([9.0, 9.0])), [9.0, np.nan])
