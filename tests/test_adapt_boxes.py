"""Boxes of another detector as boxes of the kind that a regressor was trained with."""

from functools import partial

import numpy as np
import pytest
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import Pipeline
from small import PLAIN

from skwing import BoxedImages, CascadeLandmarkRegressor, PoseBalancer
from skwing.boxes import (
    adapt_boxes,
    adjust_boxes,
    box_relation,
    landmark_boxes,
    relation_in_training,
)
from skwing.datasets import make_faces
from skwing.geometry import boxes_of
from skwing.networks import PlainCNN

FACES = make_faces(12, random_state=0, image_size=64)
OWN = landmark_boxes(FACES.target, margin=0.1, shift=(0.02, 0.05), square=True)
RELATION = box_relation(OWN, landmark_boxes(FACES.target))
OTHERS = [(0.7, (0, 0)), (1.5, (0, -0.15)), (1.3, (0.15, 0.15)), (1.0, (-0.2, 0.1))]


class Follower:
    """Finds landmarks the better, the nearer its box is to what it was trained with."""

    box_relation_ = RELATION

    def __init__(self, along=0.35):
        self.along = along  # how far landmarks go with a box

    def fit(self, X, y):
        return self

    def predict(self, X):
        rows = [int(X.describe(i).split()[1]) for i in range(len(X))]
        target, own, box = FACES.target[rows], OWN[rows], X.boxes
        middle = own[:, None, :2] + own[:, None, 2:] / 2
        off = box[:, None, :2] + box[:, None, 2:] / 2 - middle
        scale = (box[:, 2] / own[:, 2])[:, None, None] ** self.along
        return middle + self.along * off + (target - middle) * scale


def error(points):
    way = np.linalg.norm(points - FACES.target, axis=-1).mean(1)
    return np.mean(way / boxes_of(FACES.target)[:, 2:].max(1))


def other(scale, shift):
    return FACES.data.with_boxes(adjust_boxes(OWN, margin=(scale - 1) / 2, shift=shift))


@pytest.mark.parametrize(("scale", "shift"), OTHERS)
def test_boxes_of_another_detector_become_those_of_training(scale, shift):
    X, reg = other(scale, shift), Follower()
    adapted = adapt_boxes(X, reg)
    np.testing.assert_allclose(adapted.boxes, OWN, atol=0.03 * OWN[:, 2:].max())
    assert error(reg.predict(adapted)) < 0.2 * error(reg.predict(X))


@pytest.mark.parametrize(("scale", "shift"), OTHERS)
def test_a_relation_that_is_known_carries_boxes_over_exactly(scale, shift):
    X = other(scale, shift)
    known = box_relation(X.boxes[:5], landmark_boxes(FACES.target[:5]))
    np.testing.assert_allclose(adapt_boxes(X, Follower(), known).boxes, OWN, rtol=1e-9)


def test_missing_boxes_stay_missing():
    boxes = other(1.5, (0.1, 0.0)).boxes.copy()
    boxes[[0, 7]] = np.nan
    adapted = adapt_boxes(FACES.data.with_boxes(boxes), Follower())
    assert np.flatnonzero(adapted.missing_boxes).tolist() == [0, 7]
    np.testing.assert_allclose(adapted.boxes[1], OWN[1], atol=2)


def test_a_regressor_that_guesses_tells_nothing():
    with pytest.raises(ValueError, match=r"move with their boxes, by 9. % .*Pass relation"):
        adapt_boxes(other(1.4, (0.1, 0.1)), Follower(along=0.95))


@pytest.mark.slow
def test_what_cannot_be_adapted():
    with pytest.raises(ValueError, match="X has no boxes"):
        adapt_boxes(FACES.data.with_boxes(None), Follower())
    without = Follower()
    without.box_relation_ = None
    with pytest.raises(ValueError, match=r"Follower .* trained without boxes"):
        adapt_boxes(FACES.data, without)
    with pytest.raises(NotFittedError):
        adapt_boxes(FACES.data, CascadeLandmarkRegressor())
    far = BoxedImages(FACES.data.decode(0)[None], [[-90.0, -90, 5, 5]])
    reg = CascadeLandmarkRegressor(networks=(PLAIN,), max_epochs=1, device="cpu", random_state=0)
    with pytest.raises(ValueError, match=r"no landmarks can be predicted.*outside the image"):
        adapt_boxes(far, reg.fit(FACES.data, FACES.target))


def test_a_pipeline_is_asked_for_its_regressor():
    pipe = Pipeline([("balance", PoseBalancer()), ("reg", Follower())])
    assert relation_in_training(pipe) is RELATION
    assert relation_in_training(PoseBalancer()) is None


@pytest.mark.slow
def test_a_trained_regressor_errs_less_in_adapted_boxes():
    train = make_faces(120, random_state=0, image_size=64, max_yaw=20, occlusion=0)
    test = make_faces(30, random_state=1, image_size=64, max_yaw=20, occlusion=0)
    network = partial(PlainCNN, widths=(8, 16, 32), input_size=32, n_hidden=64, batch_norm=True)
    reg = CascadeLandmarkRegressor(
        networks=(network,), max_epochs=10, random_state=0, device="cpu"
    ).fit(train.data, train.target)

    def mean_error(X):
        way = np.linalg.norm(reg.predict(X) - test.target, axis=-1).mean(1)
        return np.mean(way / boxes_of(test.target)[:, 2:].max(1))

    for scale, shift in [(0.6, (0, 0)), (1.6, (0, -0.2)), (1.3, (0.2, 0.2))]:
        boxes = adjust_boxes(test.data.boxes, margin=(scale - 1) / 2, shift=shift)
        X = test.data.with_boxes(boxes)
        relation = box_relation(boxes[:10], landmark_boxes(test.target[:10]))
        adapted = mean_error(adapt_boxes(X, reg, relation))
        assert adapted < 0.75 * mean_error(X) and adapted < 1.2 * mean_error(test.data)
