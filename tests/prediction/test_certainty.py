import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from small import PLAIN

from skwing import CascadeLandmarkRegressor, geometry, load_model, save_model
from skwing._prediction.certainty import (
    Certainty,
    calibrate_certainty,
    disturbances,
    fit_certainty,
    relative_errors,
)
from skwing._utils.unwrap import gives_confidence
from skwing.datasets import make_faces
from skwing.networks import ShapeIndexedCNN


def test_the_probability_that_made_the_data_is_found():
    rng = np.random.default_rng(0)
    truth = Certainty(intercept=-9.0, slope=-3.0)
    doubt = np.exp(rng.uniform(-6, 0, 20_000))
    right = rng.random(len(doubt)) < truth.probability(doubt)
    found = fit_certainty(doubt, right)
    np.testing.assert_allclose(found.probability(doubt), truth.probability(doubt), atol=0.03)


def test_more_doubt_is_less_certain_also_if_all_is_right_or_wrong():
    doubt = np.linspace(0.01, 0.2, 50)
    for right in (np.full(50, True), np.full(50, False), doubt < 0.1):
        p = fit_certainty(doubt, right).probability(doubt)
        assert ((p > 0) & (p < 1)).all() and (np.diff(p) < 0).all()
    assert fit_certainty(doubt, np.full(50, True)).probability(doubt).mean() > 0.9
    assert fit_certainty(doubt, np.full(50, False)).probability(doubt).mean() < 0.1


def test_a_weight_is_a_number_of_samples():
    rng = np.random.default_rng(0)
    doubt, weights = rng.uniform(0.01, 0.3, 60), rng.integers(0, 4, 60)
    right = rng.random(60) > doubt
    most = [doubt.argmin(), doubt.argmax()]  # the range of doubt belongs to all samples
    weights[most] = 1
    weighted = fit_certainty(doubt, right, weights=weights)
    repeated = fit_certainty(doubt.repeat(weights), right.repeat(weights))
    np.testing.assert_allclose(weighted.probability(doubt), repeated.probability(doubt), atol=1e-3)


def test_boxes_without_an_object_have_a_tenth_of_the_weight():
    n, turns = 100, []
    points = np.tile([[[-1.0, 0], [1, 0]]], (n, 1, 1))

    def locate(data, changes=None):
        turns.append(changes)
        off = 0.0 if len(turns) < 4 else 9.0  # the last disturbance misses the object
        return SimpleNamespace(
            points=[points + off], doubt=np.full(n, 0.05), sides=np.full(n, 20.0)
        )

    class Truth(SimpleNamespace):
        def __len__(self):
            return n

    truth = Truth(points=points, data=np.arange(n))
    found = calibrate_certainty(locate, truth, locate(truth.data), 64, averaged=True)
    assert len(turns) == 4
    np.testing.assert_allclose(found.probability(np.array([0.05])), 300 / 310, atol=0.01)


def test_samples_without_doubt_or_prediction_have_none():
    found = fit_certainty(np.array([0.1, 0.5, np.nan, 0.2]), np.array([True, False, True, True]))
    p = found.probability(np.array([0.0, np.inf, np.nan]))
    assert p[0] > 0.5 > p[1] and np.isnan(p[2])


def test_errors_are_relative_to_the_true_shape_of_known_landmarks():
    truth = np.array([[[-1.0, 0], [1, 0]]] * 4)  # of size 1
    points = truth + [0, 0.3]
    points[1] = np.nan
    truth[2, 1] = np.nan
    truth[3] = np.nan
    errors = relative_errors(points, truth, np.full(4, 20.0))
    np.testing.assert_allclose(errors[0], 0.3)
    assert errors[1] == np.inf and np.isnan(errors[2:]).all()  # a point has no size
    one = relative_errors(points[:1, :1], truth[:1, :1], np.array([20.0]))
    np.testing.assert_allclose(one, 0.3 / 20)


def test_disturbances_turn_all_round_and_one_of_them_misses_the_object():
    middle = torch.full((1, 2), 31.5)
    near, other, off = disturbances(500, 64, np.random.RandomState(0))
    for changes, low, high in ((near, 0, 0.2), (other, 0, 0.2), (off, 0.6, 0.9)):
        way = (geometry.apply(changes, middle)[:, 0] - middle).norm(dim=-1) / 64
        assert low - 1e-4 <= way.min() and way.max() <= high + 1e-4
        scale = geometry.scale_of(changes)
        assert 1 / 1.41 < scale.min() < 0.8 and 1.3 < scale.max() < 1.41
        angle = torch.atan2(changes[:, 1, 0], changes[:, 0, 0])
        assert angle.min() < -3 and angle.max() > 3
    assert not torch.equal(near, other)


def small(n_landmarks):
    return ShapeIndexedCNN(n_landmarks, 32, stride=2, width=8, n_hidden=32)


@pytest.fixture(scope="module")
def faces():
    return make_faces(30, image_size=48, random_state=0)


@pytest.fixture(scope="module")
def fitted(faces):
    reg = CascadeLandmarkRegressor(
        networks=(small, small), max_epochs=3, random_state=0, device="cpu"
    )
    return reg.fit(faces.data[:15], faces.target[:15])


def test_confidence_requires_calibration(fitted, faces):
    with pytest.raises(NotFittedError, match=r"return_confidence requires calibrate\(X, y\)"):
        fitted.predict(faces.data, return_confidence=True)


@pytest.mark.slow
def test_predict_returns_a_probability_for_each_sample(fitted, faces):
    fitted.calibrate(faces.data[15:], faces.target[15:])
    X = faces.data.with_boxes(np.where(np.arange(30)[:, None] == 4, np.nan, faces.data.boxes))
    with pytest.warns(UserWarning, match="no box"):
        points, confidence = fitted.predict(X, return_confidence=True)
    assert np.isnan(confidence).nonzero()[0].tolist() == [4]
    rest = np.delete(confidence, 4)
    assert ((rest > 0) & (rest < 1)).all() and rest.std() > 0
    plain, std, again = fitted.predict(faces.data, return_std=True, return_confidence=True)
    np.testing.assert_array_equal(np.delete(plain, 4, 0), np.delete(points, 4, 0))
    np.testing.assert_array_equal(np.delete(again, 4), rest)
    assert std.shape == (30, 68)
    fitted.fit(faces.data[:4], faces.target[:4])
    with pytest.raises(NotFittedError):
        fitted.predict(faces.data, return_confidence=True)


@pytest.mark.slow
def test_models_keep_their_confidence(faces, tmp_path):
    reg = CascadeLandmarkRegressor(networks=(PLAIN,), max_epochs=1, random_state=0, device="cpu")
    reg.fit(faces.data[:8], faces.target[:8]).calibrate(faces.data[8:16], faces.target[8:16])
    save_model(reg, tmp_path / "model.safetensors")
    again = load_model(tmp_path / "model.safetensors")
    for one, other in zip(
        *(each.predict(faces.data[:5], return_confidence=True) for each in (reg, again)),
        strict=True,
    ):
        np.testing.assert_array_equal(one, other)


def test_nothing_is_learned_from_samples_of_unknown_size():
    assert fit_certainty(np.full(3, np.nan), np.full(3, False)) is None


def test_samples_without_landmarks_change_no_calibration(fitted, faces):
    reg, X, y = copy.deepcopy(fitted), faces.data[15:], faces.target[15:].copy()
    y[1::3] = np.nan
    known = np.arange(15) % 3 != 1
    found = []
    for rows in (slice(None), known):
        reg.calibrate(X[rows], y[rows])
        found.append(reg.predict(X, return_std=True, return_confidence=True))
    for one, other in zip(*found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_without_a_doubt_there_is_no_confidence_rather_than_a_constant_one(faces):
    """A single network without mirrored crops has one prediction, which nothing is compared to."""
    assert fit_certainty(np.zeros(3), np.array([True, False, True])) is None
    X, y = faces.data.with_schema(None), faces.target
    settings = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    one = CascadeLandmarkRegressor(networks=(small,), **settings)
    one.fit(X[:8], y[:8]).calibrate(X[8:20], y[8:20])
    assert one.predict(X[:2], return_std=True)[1].shape == (2, 68)
    with pytest.raises(NotFittedError, match="calibrate gave no confidence"):
        one.predict(X[:2], return_confidence=True)
    assert not gives_confidence(one)
    two = CascadeLandmarkRegressor(networks=(small, small), **settings)
    mirrored = clone(one).set_params(schema="ibug68")
    for model in (two, mirrored):
        model.fit(X[:8], y[:8]).calibrate(X[8:20], y[8:20])
        assert model.predict(X[:9], return_confidence=True)[1].std() > 0


def test_a_confidence_is_for_the_kind_of_predictions_it_was_calibrated_with(faces):
    settings = {"max_epochs": 1, "random_state": 0, "device": "cpu"}
    reg = CascadeLandmarkRegressor(networks=(small, small), **settings)
    reg.fit(faces.data[:8], faces.target[:8]).calibrate(faces.data[8:16], faces.target[8:16])
    reg.set_params(average_mirrored=False)
    with pytest.raises(ValueError, match="average_mirrored=True, but it is False now"):
        reg.predict(faces.data[:2], return_confidence=True)
    reg.calibrate(faces.data[8:16], faces.target[8:16])
    assert reg.predict(faces.data[:2], return_confidence=True)[1].shape == (2,)
