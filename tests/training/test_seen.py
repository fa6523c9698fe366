import pickle
import warnings

import cv2
import numpy as np
import pytest
from sklearn.frozen import FrozenEstimator
from small import PLAIN, STILL

from skwing import BoxedImages, CascadeLandmarkRegressor, PoseBalancer, load_model, save_model
from skwing._training import seen
from skwing._training.samples import check_samples
from skwing._training.seen import kept_marks, marks_of
from skwing.boxes import landmark_boxes
from skwing.datasets import make_faces
from skwing.exceptions import DataWarning

N = 24


@pytest.fixture(scope="module")
def faces():
    return make_faces(2 * N, image_size=40, random_state=0)


def tiny(**settings):
    defaults = {"networks": (PLAIN,), "max_epochs": 1, "random_state": 0, "device": "cpu"}
    return CascadeLandmarkRegressor(**{**STILL, **defaults, **settings})


@pytest.fixture(scope="module")
def fitted(faces):
    X, y = faces.data[:N], faces.target[:N]
    return tiny().fit(PoseBalancer().fit_transform(X, y), y)


def told(model, X, y):
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        model.calibrate(X, y)
    messages = [str(w.message) for w in caught if w.category is DataWarning]
    return [own for own in messages if "training" in own]


def test_calibrate_warns_of_training_samples(fitted, faces, tmp_path):
    X, y = faces.data, faces.target
    save_model(fitted, tmp_path / "model.safetensors")
    for model in (fitted, load_model(tmp_path / "model.safetensors")):
        assert told(model, X[N:], y[N:]) == []
        (one,) = told(model, X[N - 3 :], y[N - 3 :])
        assert one.startswith(f"calibrate: 3 of {N + 3} samples were used for training")


def test_training_samples_are_recognised_by_image_and_landmarks(fitted, faces):
    X, y = faces.data[:N], faces.target[:N]
    pixels = np.stack([X.decode(i) for i in range(N)])
    for same, points in (
        (X[::-1], y[::-1]),
        (X.with_boxes(landmark_boxes(y)), y),
        (X.with_repeats(np.arange(N)), y.reshape(N, -1)),
        (pixels, np.float32(y)),
        (list(pixels), y.tolist()),
    ):
        assert len(told(fitted, same, points)) == 1
    assert told(fitted, X, y + 0.01) == []
    assert told(fitted, 255 - pixels, y) == []


def test_files_are_recognised_also_after_they_were_moved(faces, tmp_path):
    for folder in ("here", "there"):
        (tmp_path / folder).mkdir()
        for i in range(N):
            cv2.imwrite(str(tmp_path / folder / f"{i}.png"), faces.data.decode(i))
    here, there = (
        BoxedImages([str(tmp_path / folder / f"{i}.png") for i in range(N)])
        for folder in ("here", "there")
    )
    assert told(tiny().fit(here, faces.target[:N]), there, faces.target[:N])


def test_weights_remember_the_samples_of_their_start(fitted, faces):
    X, y = faces.data, faces.target
    further = tiny(start=FrozenEstimator(fitted)).fit(X[N:], y[N:])
    again = tiny(warm_start=True).fit(X[:N], y[:N]).fit(X[N:], y[N:])
    mixed = tiny().fit(X[:N], y[:N], X_unlabelled=X[N:])
    anew = tiny().fit(X[:N], y[:N]).fit(X[N:], y[N:])
    found = [bool(told(model, X[:N], y[:N])) for model in (further, again, mixed, anew)]
    assert found == [True, True, True, False]


def test_missing_landmarks_and_minus_zero_do_not_matter(faces):
    points = faces.target[:4].copy()
    points[0, 3], points[1, 5] = np.nan, [0.0, 0.0]
    before = marks_of(check_samples(faces.data[:4], points))
    points[0, 3], points[1, 5] = [np.nan, -np.nan], [-0.0, 0.0]
    assert (marks_of(check_samples(faces.data[:4], points)) == before).all()


def test_of_many_samples_a_part_is_remembered_in_any_order(faces, monkeypatch):
    monkeypatch.setattr(seen, "_MOST", 10)
    first, rest = (
        check_samples(faces.data[p], faces.target[p]) for p in (range(30), range(30, 48))
    )
    marks = kept_marks(rest, kept_marks(first))
    assert len(marks) == 10
    np.testing.assert_array_equal(marks, kept_marks(first, kept_marks(rest)))
    with pytest.warns(DataWarning, match="at least [1-9]"):
        seen.warn_of_seen(check_samples(faces.data, faces.target), marks)


def test_a_model_of_an_earlier_version_warns_of_nothing(fitted, faces):
    model = pickle.loads(pickle.dumps(fitted))
    model._seen = None
    assert told(model, faces.data[:N], faces.target[:N]) == []


def test_other_samples_differ_even_if_landmarks_and_sizes_of_files_are_the_same(tmp_path):
    """As of one landmark in whole pixels, in files without compression."""
    rng = np.random.default_rng(0)
    paths = [str(tmp_path / f"{i}.bmp") for i in range(2 * N)]
    for path in paths:
        cv2.imwrite(path, rng.integers(0, 256, (20, 20, 3), np.uint8))
    X, y = BoxedImages(paths), np.tile([10.0, 12.0], (2 * N, 1, 1))
    marks = kept_marks(check_samples(X[:N], y[:N]))
    assert len(marks) == N
    assert seen.told_of_seen(check_samples(X[N:], y[N:]), marks) is None
    told = seen.told_of_seen(check_samples(X[N - 5 :], y[N - 5 :]), marks)
    assert told.startswith(f"5 of {N + 5} samples")


def test_a_model_opens_no_more_files_than_it_keeps_marks_of(tmp_path, monkeypatch):
    monkeypatch.setattr(seen, "_MOST", 4)
    asked, real = [], seen.image_marks
    monkeypatch.setattr(seen, "image_marks", lambda data: asked.append(len(data)) or real(data))
    rng = np.random.default_rng(0)
    samples = check_samples(np.zeros((50, 8, 8), np.uint8), rng.uniform(0, 8, (50, 3, 2)))
    marks = kept_marks(samples)
    assert seen.told_of_seen(samples, marks) == "at least 4 of 50 samples were used for training"
    assert asked == [4, 4]
