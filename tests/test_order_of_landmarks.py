"""Landmarks of the same names in another order are an error, wherever they are compared."""

from functools import partial

import numpy as np
import pytest
from sklearn.pipeline import make_pipeline

from skwing import BoxedImages, CascadeLandmarkRegressor, PoseBalancer
from skwing.datasets import make_faces
from skwing.display import CumulativeErrorDisplay, LandmarkDisplay
from skwing.metrics import make_nme_scorer
from skwing.networks import PlainCNN
from skwing.schema import IBUG68, LandmarkSchema

TINY = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)
FACES = make_faces(10, random_state=0, image_size=64)
PIXELS = [FACES.data.decode(i) for i in range(10)]
ORDER = np.roll(np.arange(68), 1)
NAMES = [IBUG68.landmark_names[i] for i in ORDER]
SHUFFLED = BoxedImages(PIXELS, FACES.data.boxes, schema=LandmarkSchema("shuffled", NAMES))


def tiny(**parameters):
    return CascadeLandmarkRegressor(
        networks=(TINY,), max_epochs=1, random_state=0, device="cpu", **parameters
    )


@pytest.fixture(scope="module")
def fitted():
    return make_pipeline(PoseBalancer(), tiny()).fit(FACES.data, FACES.target)


@pytest.mark.parametrize(
    "compare",
    [
        lambda model, X, y: model.score(X, y),
        lambda model, X, y: model[-1].score(X, y),
        lambda model, X, y: model[-1].calibrate(X, y),
        lambda model, X, y: make_nme_scorer()(model, X, y),
        LandmarkDisplay.from_estimator,
        CumulativeErrorDisplay.from_estimator,
        lambda model, X, y: tiny(schema="ibug68").fit(X, y),
        lambda model, X, y: tiny().fit(FACES.data, FACES.target, X_val=X, y_val=y),
        lambda model, X, y: PoseBalancer(schema="ibug68").fit(X, y),
        lambda model, X, y: LandmarkDisplay.from_predictions(X, y, schema="ibug68"),
    ],
)
def test_another_order_is_an_error(fitted, compare):
    with pytest.raises(ValueError, match=r"in another order: landmark 0 is 'left_jaw_0' for"):
        compare(fitted, SHUFFLED, FACES.target[:, ORDER])


@pytest.mark.parametrize(
    "measure",
    [
        lambda *args: make_nme_scorer("auto", SHUFFLED.schema)(*args),
        partial(CumulativeErrorDisplay.from_estimator, schema=SHUFFLED.schema),
        partial(LandmarkDisplay.from_estimator, schema=SHUFFLED.schema),
    ],
)
def test_a_schema_of_another_order_than_that_of_the_estimator_is_an_error(fitted, measure):
    with pytest.raises(ValueError, match=r"in another order: landmark 0 is '\w+' for schema="):
        measure(fitted, FACES.data, FACES.target)


PART = PIXELS, FACES.data.boxes, FACES.target[:, :5]


def part(first):
    """Data that seem to be of five landmarks of the face, from one on."""
    return BoxedImages(*PART[:2], schema=IBUG68.select(range(first, first + 5)))


def test_landmarks_of_which_some_are_the_same_at_other_places_are_an_error():
    model = tiny().fit(part(0), PART[2])
    for compare in (
        lambda X, y: model.score(X, y),
        lambda X, y: make_nme_scorer()(model, X, y),
        lambda X, y: tiny(schema=IBUG68.select(range(5))).fit(X, y),
        lambda X, y: tiny().fit(part(0), y, X_val=X, y_val=y),
        partial(CumulativeErrorDisplay.from_estimator, model),
    ):
        with pytest.raises(ValueError, match=r"at other places.*: landmark 2 is 'left_jaw_2' for"):
            compare(part(2), PART[2])
    model.score(part(5), PART[2])  # five others, which may have other names for the same


def test_the_same_order_other_names_and_no_names_are_none(fitted):
    expected = fitted.score(FACES.data, FACES.target)
    other = LandmarkSchema("other", [f"my_{name}" for name in IBUG68.landmark_names])
    for schema in (None, other):
        data = BoxedImages(PIXELS, FACES.data.boxes, schema=schema)
        assert fitted.score(data, FACES.target) == pytest.approx(expected)
    np.testing.assert_array_equal(fitted.predict(SHUFFLED), fitted.predict(FACES.data))
