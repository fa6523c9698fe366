"""Predictions of single images, which take no longer than their networks need."""

import numpy as np
import pytest
import torch

from skwing import CascadeLandmarkRegressor
from skwing._crops import chips
from skwing.datasets import make_faces


@pytest.fixture(scope="module")
def faces():
    return make_faces(6, image_size=64, random_state=0)


@pytest.fixture(scope="module")
def fitted(faces):
    settings = {"networks": ("shape_indexed_64",), "max_epochs": 1, "random_state": 0}
    return CascadeLandmarkRegressor(device="cpu", **settings).fit(faces.data, faces.target)


def test_a_single_image_starts_no_threads(fitted, faces, monkeypatch):
    wanted = fitted.predict(faces.data)

    def refused(*args):
        pytest.fail("a thread was started")

    monkeypatch.setattr(chips, "ThreadPoolExecutor", refused)
    np.testing.assert_allclose(fitted.predict(faces.data[2:3]), wanted[2:3], atol=1e-3)


@pytest.mark.parametrize(
    "change",
    [
        lambda network: network.train(),
        lambda network: network.features[0].train(),
        lambda network: network.features[1].train(),
        lambda network: network.to(memory_format=torch.contiguous_format),
    ],
)
def test_networks_are_made_ready_again(fitted, faces, change):
    wanted = fitted.predict(faces.data[:1])
    change(fitted.networks_[0])
    np.testing.assert_array_equal(fitted.predict(faces.data[:1]), wanted)


def test_predictions_follow_the_weights(fitted, faces):
    before = fitted.predict(faces.data[:1])
    weight = fitted.networks_[0].features[0].weight
    kept = weight.detach().clone()
    weight.data.mul_(3)  # does not count as a modification for torch
    bias = fitted.networks_[0].start
    bias.add_(2)
    after = fitted.predict(faces.data[:1])
    weight.data.copy_(kept)
    moved = fitted.predict(faces.data[:1])
    bias.sub_(2)
    assert not np.array_equal(after, before)
    assert not np.array_equal(moved, after)
    np.testing.assert_allclose(fitted.predict(faces.data[:1]), before, atol=1e-3)
