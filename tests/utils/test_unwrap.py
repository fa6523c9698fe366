"""One pipeline, one answer: the scorer, the displays and `score` measure by the same length."""

from functools import partial

import numpy as np
import pytest
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline

from skwing import CascadeLandmarkRegressor, LandmarkSchema, PoseBalancer
from skwing._utils.unwrap import parts_of, predictor_of, schema_of
from skwing.boxes import relation_in_training
from skwing.datasets import make_faces
from skwing.display import CumulativeErrorDisplay, ErrorByPoseDisplay
from skwing.exceptions import DataWarning
from skwing.metrics import make_nme_scorer
from skwing.networks import PlainCNN

TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=16)
FACES = make_faces(12, random_state=0, image_size=64)
IBUG = FACES.schema
# Another length than that of the schema which the data carry.
OWN = LandmarkSchema(
    "own", IBUG.landmark_names, IBUG.mirror, normalizers={"inter_ocular": ((0,), (16,))}
)
PLAIN = LandmarkSchema("plain", IBUG.landmark_names, IBUG.mirror)
BARE = FACES.data._replace(_schema=None)


def regressor(schema):
    return CascadeLandmarkRegressor(
        networks=(TINY,), max_epochs=1, random_state=0, device="cpu", schema=schema
    )


def pipeline(schema):
    # The balancer has a schema of its own, which says nothing of how errors are measured.
    return Pipeline([("balance", PoseBalancer(schema=IBUG)), ("reg", regressor(schema))])


def search(schema):
    return GridSearchCV(pipeline(schema), {"reg__w": [5.0]}, cv=2)


@pytest.mark.slow
@pytest.mark.parametrize("make", [regressor, pipeline, search])
@pytest.mark.parametrize("own", [None, OWN, PLAIN])
@pytest.mark.parametrize("data", [FACES.data, BARE], ids=["data's schema", "no schema"])
def test_scorer_displays_and_score_agree(make, own, data):
    y = FACES.target
    fitted = make(own).fit(data, y)
    score = fitted.score(data, y)
    assert make_nme_scorer()(fitted, data, y) == pytest.approx(score, rel=1e-12)
    display = CumulativeErrorDisplay.from_estimator(fitted, data, y)
    steps = np.diff(display.fractions, prepend=0.0)
    assert steps @ display.thresholds == pytest.approx(-score, rel=1e-9)
    by_pose = ErrorByPoseDisplay.from_estimator(fitted, data, y, poses=FACES.pose[:, 0])
    expected = "landmark_box" if own is PLAIN or (own is None and data is BARE) else "inter_ocular"
    assert display.normalizer == by_pose.normalizer == expected


@pytest.mark.parametrize("make", [regressor, pipeline])
def test_they_agree_on_other_data_than_those_of_fit(make):
    """Trained without a schema, and measured on data that carry one."""
    fitted = make(None).fit(BARE, FACES.target)
    score = fitted.score(FACES.data, FACES.target)
    assert make_nme_scorer()(fitted, FACES.data, FACES.target) == pytest.approx(score)
    assert make_nme_scorer("inter_ocular", IBUG)(fitted, FACES.data, FACES.target) == (
        pytest.approx(score)
    )


def test_they_agree_where_boxes_are_missing():
    fitted = regressor(None).fit(FACES.data, FACES.target)
    boxes = FACES.data.boxes.copy()
    boxes[[1, 5]] = np.nan
    holed = FACES.data.with_boxes(boxes)
    with pytest.warns(DataWarning, match="2 of 12 samples, the first is sample 1"):
        score = fitted.score(holed, FACES.target)
    with pytest.warns(DataWarning, match="2 of 12 samples, the first is sample 1"):
        assert make_nme_scorer()(fitted, holed, FACES.target) == pytest.approx(score)
    with pytest.warns(DataWarning, match="2 of 12 samples, the first is sample 1"):
        display = CumulativeErrorDisplay.from_estimator(fitted, holed, FACES.target)
    assert np.diff(display.fractions, prepend=0.0) @ display.thresholds == pytest.approx(-score)


@pytest.mark.slow
def test_what_predicts_and_what_is_inside():
    fitted = search(OWN).fit(FACES.data, FACES.target)
    names = [type(part).__name__ for part in parts_of(fitted)]
    assert names == ["GridSearchCV", "Pipeline", "CascadeLandmarkRegressor", "PoseBalancer"]
    last = predictor_of(fitted)
    assert last is fitted.best_estimator_.steps[-1][1]
    assert schema_of(fitted, FACES.data) == OWN and schema_of(None, FACES.data) == IBUG
    assert schema_of(fitted.best_estimator_["balance"]) == IBUG
    assert relation_in_training(fitted) == last.box_relation_ is not None
    deep = Pipeline([("none", "passthrough"), ("inner", Pipeline([("search", fitted)]))])
    assert predictor_of(deep) is last
    assert predictor_of(Pipeline([("reg", last), ("none", None)])) is last
