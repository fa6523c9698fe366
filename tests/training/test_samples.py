import warnings
from functools import partial

import numpy as np
import pytest

from skwing import CascadeLandmarkRegressor
from skwing._training.samples import Samples, drop_unused_samples, split_samples
from skwing.exceptions import DataWarning
from skwing.images import BoxedImages
from skwing.networks import PlainCNN


def test_samples_of_one_image_are_held_out_together():
    images = [np.full((8, 8), i, dtype=np.uint8) for i in range(6)]
    data = BoxedImages([image for image in images for _ in range(5)])
    samples = Samples(data, np.arange(60.0).reshape(30, 1, 2))
    rng = np.random.RandomState(0)
    for _ in range(5):
        train, held_out = split_samples(samples, 0.2, rng)
        assert (len(train), len(held_out)) == (25, 5)
        of_train, of_held_out = (
            {int(part.data.decode(i)[0, 0, 0]) for i in range(len(part))}
            for part in (train, held_out)
        )
        assert len(of_held_out) == 1 and not of_train & of_held_out
    # Of images with many samples and few, as near the fraction as it gets; one on each side.
    uneven = samples[[0, 1, 2, 3, 4, 5, 10]]
    for fraction in (0.1, 0.5, 0.9):
        train, held_out = split_samples(uneven, fraction, rng)
        assert len(train) and len(held_out) and len(train) + len(held_out) == 7
    with pytest.raises(ValueError, match=r"all 5 samples are of one image.*pass X_val and y_val"):
        split_samples(samples[:5], 0.2, rng)


def test_images_of_their_own_are_drawn_as_ever():
    data = BoxedImages(np.zeros((10, 8, 8), dtype=np.uint8))
    samples = Samples(data, np.arange(20.0).reshape(10, 1, 2))
    train, held_out = split_samples(samples, 0.3, np.random.RandomState(3))
    drawn = np.random.RandomState(3).permutation(10)[:3]
    np.testing.assert_array_equal(held_out.points[:, 0, 0] / 2, np.sort(drawn))
    assert len(train) == 7


def test_automatic_epochs_are_of_the_samples_that_are_trained_on(monkeypatch):
    monkeypatch.setattr("skwing._training.parameters._AUTO_EPOCHS", (4,))
    monkeypatch.setattr("skwing._training.parameters._AUTO_SAMPLES", 2)
    monkeypatch.setattr("skwing._training.parameters._LEAST_BATCH", 1)
    y = np.random.default_rng(0).uniform(8, 40, (12, 2, 2))
    reg = CascadeLandmarkRegressor(
        networks=(partial(PlainCNN, widths=(8,), input_size=16, n_hidden=8),),
        early_stopping=True,
        validation_fraction=0.75,
        n_iter_no_change=99,
        device="cpu",
    )
    reg.fit(np.zeros((12, 48, 48), dtype=np.uint8), y)
    assert reg.n_iter_ == [3]  # 4 times the root of 2 / 3; of all 12 samples it were 2


def test_samples_without_any_landmark_are_left_out_of_training():
    X = np.random.default_rng(0).integers(0, 256, (8, 48, 48), dtype=np.uint8)
    y = np.random.default_rng(1).uniform(8, 40, (8, 3, 2))
    y[[1, 4, 5]] = np.nan
    y[2, 0], y[6, 1] = np.nan, np.nan  # these still have known landmarks
    todo = np.isnan(y).all(axis=(1, 2))
    tiny = partial(PlainCNN, widths=(8,), input_size=16, n_hidden=8)
    reg = CascadeLandmarkRegressor(networks=(tiny,), max_epochs=1, random_state=0, device="cpu")
    with pytest.warns(DataWarning, match=r"3 of 8 samples, the first is sample 1.*no known landm"):
        points = reg.fit(X, y).predict(X)
    assert not np.isnan(points).any()
    with warnings.catch_warnings():
        warnings.simplefilter("error", DataWarning)
        alone = reg.fit(X[~todo], y[~todo]).predict(X)
    np.testing.assert_array_equal(points, alone)


def test_samples_with_some_known_landmark_are_kept_in_silence():
    points = np.full((3, 2, 2), 4.0)
    points[:, 0] = np.nan
    samples = Samples(BoxedImages(np.zeros((3, 8, 8), dtype=np.uint8)), points)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert drop_unused_samples(samples) is samples
        samples.points[:] = np.nan  # an error of its own says that nothing can be learned
        assert drop_unused_samples(samples) is samples
