import pickle

import numpy as np
import pytest
from sklearn.base import BaseEstimator, RegressorMixin, clone
from sklearn.model_selection import GridSearchCV, cross_val_score, cross_validate
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import FunctionTransformer

from skwing import CascadeLandmarkRegressor
from skwing.display._inputs import sample_errors
from skwing.exceptions import DataWarning
from skwing.geometry import apply, boxes_of, from_parts
from skwing.images import BoxedImages
from skwing.metrics import (
    ced_auc,
    ced_curve,
    failure_rate,
    landmark_report,
    make_nme_scorer,
    nme,
    normalizing_lengths,
    point_errors,
)
from skwing.schema import IBUG68, SCHEMAS, LandmarkSchema

BUG = LandmarkSchema(
    "bug",
    ("left_eye", "right_eye", "tail"),
    (1, 0, 2),
    normalizers={"inter_ocular": ((0,), (1,)), "length": ((0, 1), (2,))},
)


def bugs(n_samples=6, seed=0):
    rng = np.random.default_rng(seed)
    shape = np.array([[10.0, 10], [30, 10], [20, 50]])
    return shape + rng.normal(size=(n_samples, 1, 2)) * 5 + rng.normal(size=(n_samples, 3, 2))


# ---------------------------------------------------------------------------------------
# Goldens: worked out by hand on 3-4-5 triangles
# ---------------------------------------------------------------------------------------
TRUE = np.array([[[0.0, 0], [20, 0], [10, 40]], [[0, 0], [0, 10], [5, 5]]])
PRED = TRUE + np.array([[[3, 4], [0, 0], [0, 1]], [[0, 0], [0, 0], [6, 8]]])


def test_point_errors_by_hand():
    np.testing.assert_array_equal(point_errors(TRUE, PRED), [[5, 0, 1], [0, 0, 10]])


def test_nme_by_hand():
    errors = nme(TRUE, PRED, schema=BUG, per_sample=True)
    np.testing.assert_allclose(errors, [2 / 20, 10 / 3 / 10], rtol=1e-15)
    assert nme(TRUE, PRED, schema=BUG) == pytest.approx((0.1 + 1 / 3) / 2, rel=1e-15)
    assert nme(TRUE, PRED, normalizer="length", schema=BUG, per_sample=True) == pytest.approx(
        [2 / 40, 10 / 3 / 5]
    )
    boxes = [[0, 0, 40, 10], [0, 0, 50, 50]]
    errors = nme(TRUE, PRED, normalizer="box", boxes=boxes, per_sample=True)
    np.testing.assert_allclose(errors, [2 / 20, 10 / 3 / 50], rtol=1e-15)
    errors = nme(TRUE, PRED, normalizer=np.array([4.0, 8]), per_sample=True)
    np.testing.assert_allclose(errors, [0.5, 10 / 3 / 8], rtol=1e-15)
    assert nme(TRUE, PRED, normalizer=1.0) == pytest.approx((2 + 10 / 3) / 2)


def test_lengths_of_the_68_points():
    """Each protocol of 300-W measures its own points, and only these."""
    y = np.random.default_rng(0).normal(size=(4, 68, 2)) * 50
    corners = np.linalg.norm(y[:, 36] - y[:, 45], axis=1)
    centres = np.linalg.norm(y[:, 36:42].mean(1) - y[:, 42:48].mean(1), axis=1)
    np.testing.assert_allclose(normalizing_lengths(y, "inter_ocular", schema="ibug68"), corners)
    np.testing.assert_allclose(normalizing_lengths(y, "inter_pupil", schema=IBUG68), centres)


def test_the_face_size_of_a_square_box_is_its_width():
    boxes = np.array([[5.0, 7, 120, 120], [0, 0, 33.5, 33.5]])
    np.testing.assert_allclose(normalizing_lengths(TRUE, "box", boxes=boxes), boxes[:, 2])


PLAIN = LandmarkSchema("plain", ("a", "b", "c"), normalizers={"length": ((0,), (2,))})


def test_auto_is_the_inter_ocular_distance_where_the_schema_has_it():
    np.testing.assert_array_equal(
        normalizing_lengths(TRUE, schema=BUG), normalizing_lengths(TRUE, "inter_ocular", schema=BUG)
    )


@pytest.mark.parametrize("schema", [None, PLAIN])
def test_auto_is_the_box_around_the_landmarks_elsewhere(schema):
    true = bugs()
    true[1, 0] = np.nan
    true[2, 1:] = np.nan  # one landmark has no size
    true[3] = np.nan
    measured = [0, 1, 4, 5]
    expected = np.full(6, np.nan)
    boxes = boxes_of(true[measured])
    expected[measured] = normalizing_lengths(true[measured], "box", boxes=boxes)
    np.testing.assert_array_equal(normalizing_lengths(true, schema=schema), expected)
    own = nme(true[measured], true[measured] + [3, 4], schema=schema)
    assert own == pytest.approx(np.mean(5 / expected[measured]))


def test_auto_of_a_single_landmark_is_in_pixels():
    np.testing.assert_array_equal(nme([[1.0, 2]], [[4.0, 6]]), 5.0)


def test_one_sample_without_its_first_axis_is_no_silent_error_in_pixels():
    """Where both readings of shape (k, 2) give the same mean, there is nothing to say."""
    one = bugs(1)
    true, pred = one[0], one[0] + [3, 4]
    with pytest.warns(DataWarning, match=r"3 samples of one landmark.*pass shape \(1, 3, 2\)"):
        assert nme(true, pred) == pytest.approx(5)
    with pytest.warns(DataWarning, match="3 samples of one landmark"):
        assert sample_errors(true, pred, "auto", None, None)[1] == "pixels"
    assert nme(true, pred, normalizer=20) == pytest.approx(nme(one, pred[None], normalizer=20))
    hint = r"For one sample pass shape \(1, 3, 2\)"
    for arguments in (
        {"schema": BUG},
        {"schema": BUG, "normalizer": 1.0},
        {"normalizer": "box", "boxes": [[0, 0, 9, 9]]},
        {"normalizer": [20]},
    ):
        with pytest.raises(ValueError, match=hint):
            nme(true, pred, **arguments)
    for pair in ((true, pred[None]), (one, pred)):
        with pytest.raises(ValueError, match=hint):
            nme(*pair)


def test_data_of_one_landmark_need_no_third_axis():
    """Where a schema, the images or one number for each sample tell what is meant."""
    true = np.arange(8.0).reshape(4, 2)
    pred, boxes = true + [3, 4], [[0, 0, 10, 10]] * 4
    point = LandmarkSchema("point", ("tip",))
    assert nme(true, pred, schema=point) == nme(true[:, None], pred[:, None]) == 5
    assert nme(true, pred, normalizer="box", boxes=boxes) == 0.5
    assert nme(true, pred, normalizer=[10] * 4) == 0.5
    reg = MeanShape().fit(boxes, true)
    expected = -np.hypot(*(true - true.mean(0)).T).mean()
    assert make_nme_scorer()(reg, np.array(boxes), true) == pytest.approx(expected)


@pytest.mark.parametrize("schema", [None, PLAIN, BUG])
def test_all_defaults_measure_the_same(schema):
    X, y = images(schema=schema), bugs(12)
    y[2, 2] = np.nan
    reg = MeanShape().fit(X, np.nan_to_num(y))
    expected = nme(y, reg.predict(X), schema=schema)
    assert -make_nme_scorer()(reg, X, y) == expected

    class Fitted(CascadeLandmarkRegressor):
        def predict(self, X):
            return reg.predict(X.boxes)

    fitted = Fitted()
    fitted.networks_, fitted.n_landmarks_, fitted.schema_ = [], 3, schema
    assert -fitted.score(X, y) == pytest.approx(expected, rel=1e-12)
    errors, _ = sample_errors(y, reg.predict(X), "auto", schema, None)
    assert errors.mean() == pytest.approx(expected, rel=1e-12)


# ---------------------------------------------------------------------------------------
# Laws
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("normalizer", ["inter_ocular", "length"])
def test_nme_does_not_change_with_the_frame(normalizer):
    true, pred = bugs(), bugs(seed=1)
    matrix = from_parts(np.array(0.7), np.array(3.0), np.array([5.0, -9]), np.zeros(2))
    kept = nme(apply(matrix, true), apply(matrix, pred), normalizer=normalizer, schema=BUG)
    assert kept == pytest.approx(nme(true, pred, normalizer=normalizer, schema=BUG), rel=1e-12)


@pytest.mark.parametrize("schema", SCHEMAS.values(), ids=SCHEMAS)
@pytest.mark.parametrize("normalizer", ["inter_ocular", "inter_pupil"])
def test_nme_does_not_change_in_a_mirror(schema, normalizer):
    rng = np.random.default_rng(0)
    true, pred = rng.normal(size=(2, 5, schema.n_landmarks, 2)) * 30
    mirrored = [schema.mirror_points(y * [-1, 1]) for y in (true, pred)]
    kept = nme(*mirrored, normalizer=normalizer, schema=schema)
    assert kept == pytest.approx(nme(true, pred, normalizer=normalizer, schema=schema), rel=1e-12)


def test_both_layouts_measure_the_same():
    true, pred = bugs(), bugs(seed=1)
    error = nme(true, pred, schema=BUG)
    assert nme(true.reshape(6, 6), pred, schema=BUG) == error
    assert nme(true.tolist(), pred.reshape(6, 6), schema=BUG) == error


def test_arguments_are_never_changed():
    true, pred, lengths = bugs(), bugs(seed=1), np.full(6, 3.0)
    true[2, 1] = np.nan
    boxes, errors = boxes_of(bugs()), np.array([0.3, np.nan, 0.1])
    given = [true, pred, lengths, boxes, errors]
    before = [a.copy() for a in given]
    for array in given:
        array.flags.writeable = False
    nme(true, pred, schema=BUG)
    nme(true, pred, normalizer=lengths)
    nme(true, pred, normalizer="box", boxes=boxes)
    ced_curve(errors), ced_auc(errors, 0.5), failure_rate(errors, 0.2)
    for array, copy in zip(given, before, strict=True):
        np.testing.assert_array_equal(array, copy)


# ---------------------------------------------------------------------------------------
# Missing landmarks
# ---------------------------------------------------------------------------------------
def test_missing_landmarks_are_left_out_of_every_mean():
    true, pred = TRUE.copy(), PRED.copy()
    true[0, 2] = np.nan
    true[1, 2] = np.nan
    np.testing.assert_array_equal(point_errors(true, pred), [[5, 0, np.nan], [0, 0, np.nan]])
    np.testing.assert_allclose(nme(true, pred, schema=BUG, per_sample=True), [2.5 / 20, 0])
    pred[0, 2] = np.nan  # what nobody knows may be missing from a prediction too
    assert nme(true, pred, schema=BUG) == pytest.approx(2.5 / 40)


def test_a_sample_without_its_normalizing_points_is_left_out():
    true = TRUE.copy()
    true[1, 0] = np.nan
    errors = nme(true, PRED, schema=BUG, per_sample=True)
    np.testing.assert_array_equal(np.isnan(errors), [False, True])
    assert nme(true, PRED, schema=BUG) == errors[0] == 0.1
    assert np.isnan(normalizing_lengths(true, "length", schema=BUG)).tolist() == [False, True]
    # By other lengths it counts again.
    assert nme(true, PRED, normalizer=1.0) == pytest.approx((2 + 5) / 2)


def test_a_sample_without_landmarks_or_box_is_left_out():
    true = TRUE.copy()
    true[0] = np.nan
    np.testing.assert_allclose(nme(true, PRED, normalizer=1.0, per_sample=True), [np.nan, 10 / 3])
    boxes = [[np.nan] * 4, [0, 0, 10, 10]]
    np.testing.assert_allclose(
        nme(TRUE, PRED, normalizer="box", boxes=boxes, per_sample=True), [np.nan, 1 / 3]
    )


def test_nothing_to_measure_is_an_error():
    with pytest.raises(ValueError, match=r"None of the 2 samples .*'auto'"):
        nme(TRUE * [[[np.nan], [1], [1]]], PRED, schema=BUG)
    with pytest.raises(ValueError, match=r"None of the 2 samples .*given lengths"):
        nme(np.full_like(TRUE, np.nan), PRED, normalizer=[1, 2])
    np.testing.assert_array_equal(
        nme(np.full_like(TRUE, np.nan), PRED, normalizer=1.0, per_sample=True), [np.nan, np.nan]
    )


def test_a_prediction_may_not_hide_behind_nan():
    pred = PRED.copy()
    pred[1, 2] = np.nan
    with pytest.raises(ValueError, match="y_pred is NaN at sample 1, landmark 2"):
        nme(TRUE, pred, schema=BUG)


# ---------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------
def test_the_schema_is_never_guessed():
    y = np.zeros((2, 68, 2))
    with pytest.raises(ValueError, match=r"needs a schema .*pass schema=.*\['ibug68'\]"):
        nme(y, y, normalizer="inter_ocular")
    with pytest.raises(ValueError, match="needs a schema"):
        nme(TRUE, PRED, normalizer="inter_pupil")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"schema": "ibug68"}, "68 landmarks, the data have 3"),
        (
            {"normalizer": "inter_pupil", "schema": BUG},
            r"\['auto', 'box', 'inter_ocular', 'length'\]",
        ),
        ({"normalizer": "box"}, r"needs boxes .*boxes_of\(y_true\)"),
        ({"normalizer": "box", "boxes": np.ones((3, 4))}, r"\(3, 4\), expected \(2, 4\)"),
        (
            {"normalizer": "box", "boxes": [[0, 0, 1, 1], [0, 0, -1, -1]]},
            "sample 1: the box .*above 0",
        ),
        ({"normalizer": None}, "normalizer must be a name, a length .*got None"),
        ({"normalizer": True}, "normalizer must be a name, a length .*got True"),
        ({"normalizer": np.ones(3)}, r"shape \(3,\); expected one length per sample, \(2,\)"),
        ({"normalizer": [1.0, 0.0]}, "length of sample 1 is 0.0"),
        ({"normalizer": [1.0, -2.0]}, "length of sample 1 is -2.0"),
        ({"normalizer": [np.inf, 2.0]}, "length of sample 0 is inf"),
        ({"normalizer": 0.0}, "length of sample 0 is 0.0"),
    ],
)
def test_wrong_normalizers_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        nme(TRUE, PRED, **arguments)


def test_masked_values_are_unknown():
    """As NaN, and never the numbers below the mask."""
    below, rows = np.array([0.05, 7.0]), np.ones((2, 4))
    hidden, hidden_rows = np.ma.masked_array(below, [False, True]), np.ma.masked_array(rows)
    hidden_rows[1] = np.ma.masked
    np.testing.assert_array_equal(np.stack(ced_curve(hidden)), np.stack(ced_curve(below[:1])))
    assert ced_auc(hidden, 0.1) == 0.5 and failure_rate(hidden, 0.1) == 0
    for lengths in (
        {"normalizer": hidden},
        {"normalizer": "box", "boxes": hidden_rows},
    ):
        found = nme(TRUE, PRED, per_sample=True, **lengths)
        assert np.isnan(found).tolist() == [False, True]
    with pytest.warns(DataWarning, match="scale is NaN for 1 of 2 samples"):
        found = landmark_report(TRUE, PRED, unit="mm", scale=hidden, output_dict=True)
    assert found == landmark_report(
        TRUE[:1], PRED[:1], unit="mm", scale=hidden[:1], output_dict=True
    )


def test_eyes_in_one_place_are_refused():
    true = TRUE.copy()
    true[1, 1] = true[1, 0]
    with pytest.raises(ValueError, match=r"length of sample 1 is 0\.0"):
        nme(true, PRED, schema=BUG)


@pytest.mark.parametrize(
    ("pred", "message"),
    [
        (PRED[:1], "2 samples of 3 landmarks, y_pred 1 samples of 3"),
        (PRED[:, :2], "y_pred 2 samples of 2"),
        (np.full_like(PRED, np.inf), "y_pred is infinite at sample 0, landmark 0"),
        (PRED[0], "y_pred 3 samples of 1"),
    ],
)
def test_predictions_of_another_shape_are_refused(pred, message):
    with pytest.raises(ValueError, match=message):
        nme(TRUE, pred, schema=BUG)


# ---------------------------------------------------------------------------------------
# Distributions of errors
# ---------------------------------------------------------------------------------------
def test_the_auc_is_the_area_under_the_curve():
    errors = np.random.default_rng(0).gamma(2.0, 0.03, size=200)
    thresholds, fractions = ced_curve(errors)
    for threshold in (0.02, 0.1, 1.0):
        inside = thresholds < threshold
        steps = np.diff(np.append(thresholds[inside], threshold))
        area = (steps * fractions[inside]).sum() / threshold
        assert ced_auc(errors, threshold) == pytest.approx(area, rel=1e-12)


def test_failure_rate_is_what_the_curve_leaves():
    errors = np.array([0.1, 0.2, 0.1, 0.4, np.nan, np.inf])
    thresholds, fractions = ced_curve(errors)
    np.testing.assert_array_equal(thresholds, [0, 0.1, 0.2, 0.4])
    np.testing.assert_allclose(fractions, [0, 0.4, 0.6, 0.8])
    for t, f in zip(thresholds[1:], fractions[1:], strict=True):
        assert failure_rate(errors, t) == pytest.approx(1 - f)
    assert failure_rate([0.1], 0.1) == 0  # at the threshold is within it


def test_ends_of_the_curve():
    thresholds, fractions = ced_curve([0.0, 0.0, 0.5])
    np.testing.assert_array_equal(thresholds, [0, 0.5])
    np.testing.assert_allclose(fractions, [2 / 3, 1])
    assert ced_auc([0, 0], 0.1) == 1 and ced_auc([0.1, 5], 0.1) == 0
    assert ced_auc([0.05, np.inf, np.nan], 0.1) == pytest.approx(0.25)


@pytest.mark.parametrize(
    "measure", [ced_curve, lambda e: ced_auc(e, 1), lambda e: failure_rate(e, 1)]
)
def test_errors_are_checked(measure):
    with pytest.raises(ValueError, match=r"errors\[1\] is -0.5"):
        measure([0.1, -0.5])
    with pytest.raises(ValueError, match="None of the 2 errors"):
        measure([np.nan, np.nan])
    with pytest.raises(ValueError, match="None of the 0 errors"):
        measure([])


@pytest.mark.parametrize("measure", [ced_auc, failure_rate])
@pytest.mark.parametrize("threshold", [0, -0.1, np.nan, np.inf])
def test_thresholds_are_checked(measure, threshold):
    with pytest.raises(ValueError, match="threshold must be"):
        measure([0.1], threshold)


# ---------------------------------------------------------------------------------------
# Scorers
# ---------------------------------------------------------------------------------------
class MeanShape(RegressorMixin, BaseEstimator):
    """Predicts the mean of the landmarks it saw, moved by `shift` pixels."""

    def __init__(self, shift=0.0, schema=None):
        self.shift = shift
        self.schema = schema

    def fit(self, X, y):
        self.mean_ = np.mean(y, axis=0)
        return self

    def predict(self, X):
        return np.repeat(self.mean_[None] + self.shift, X.shape[0], axis=0)


def images(n=12, schema=None):
    boxes = np.column_stack([np.zeros((n, 2)), np.arange(4, 4 + n), np.full(n, 9.0)])
    return BoxedImages(np.zeros((n, 16, 16), dtype=np.uint8), boxes=boxes, schema=schema)


@pytest.mark.parametrize("flat", [False, True])
def test_cross_validation_of_raw_arrays(flat):
    X, y = np.zeros((12, 4, 4), dtype=np.uint8), bugs(12)
    y_given = y.reshape(12, 6) if flat else y
    scores = cross_val_score(
        MeanShape(), X, y_given, cv=3, scoring=make_nme_scorer(schema=BUG), error_score="raise"
    )
    expected = []
    for test in np.split(np.arange(12), 3):
        train = np.setdiff1d(np.arange(12), test)
        mean = np.repeat(y[train].mean(0)[None], 4, axis=0)
        expected.append(-nme(y[test], mean, schema=BUG))
    np.testing.assert_allclose(scores, expected, rtol=1e-12)


def test_grid_search_picks_the_least_error():
    pipe = Pipeline([("same", FunctionTransformer()), ("reg", MeanShape())])
    grid = {"reg__shift": [5.0, 0.0, -3.0]}
    search = GridSearchCV(pipe, grid, cv=3, scoring=make_nme_scorer(), error_score="raise").fit(
        images(schema=BUG), bugs(12)
    )
    assert search.best_params_ == {"reg__shift": 0.0}
    assert search.best_score_ < 0
    direct = make_nme_scorer(schema=BUG)(search.best_estimator_, images(), bugs(12))
    assert search.score(images(schema=BUG), bugs(12)) == direct


def test_several_scorers_at_once():
    scoring = {"eyes": make_nme_scorer(), "box": make_nme_scorer("box"), "px": make_nme_scorer(1.0)}
    result = cross_validate(
        MeanShape(), images(schema=BUG), bugs(12), cv=2, scoring=scoring, error_score="raise"
    )
    for name in scoring:
        assert (result[f"test_{name}"] < 0).all()
    assert not np.allclose(result["test_eyes"], result["test_box"])


def test_scorers_work_under_metadata_routing():
    sklearn = pytest.importorskip("sklearn")
    with sklearn.config_context(enable_metadata_routing=True):
        scores = cross_val_score(
            MeanShape(),
            images(schema=BUG),
            bugs(12),
            cv=2,
            scoring=make_nme_scorer(),
            error_score="raise",
        )
        GridSearchCV(MeanShape(), {"shift": [0, 1]}, scoring=make_nme_scorer(), cv=2).fit(
            images(schema=BUG), bugs(12)
        )
    assert (scores < 0).all()


def test_whose_schema_counts():
    """The scorer's own before the estimator's before that of the data."""
    other = LandmarkSchema("other", BUG.landmark_names, normalizers={"inter_ocular": ((0,), (2,))})
    third = LandmarkSchema("third", BUG.landmark_names, normalizers={"inter_ocular": ((1,), (2,))})
    y = bugs(12)
    fitted = {s: MeanShape(schema=s).fit(None, y) for s in (None, other)}

    def expect(schema):
        return -nme(y, fitted[None].predict(images()), schema=schema)

    assert len({expect(s) for s in (BUG, other, third)}) == 3
    assert make_nme_scorer()(fitted[None], images(schema=BUG), y) == expect(BUG)
    assert make_nme_scorer()(fitted[other], images(schema=BUG), y) == expect(other)
    assert make_nme_scorer(schema=third)(fitted[other], images(schema=BUG), y) == expect(third)
    # Through wrappers: the last step, and what a search found best.
    pipe = Pipeline([("same", FunctionTransformer()), ("reg", fitted[other])])
    assert make_nme_scorer()(pipe, images(schema=BUG), y) == expect(other)
    search = GridSearchCV(MeanShape(schema=other), {"shift": [0.0]}, cv=2).set_params(
        scoring=make_nme_scorer(1.0)
    )
    search.fit(images(), y)
    assert make_nme_scorer()(search, images(schema=BUG), y) == expect(other)


def test_no_schema_anywhere():
    y = bugs(12)
    model = MeanShape().fit(None, y)
    with pytest.raises(ValueError, match="needs a schema"):
        make_nme_scorer("inter_ocular")(model, images(), y)
    by_box = nme(y, model.predict(images()), normalizer="box", boxes=boxes_of(y))
    assert make_nme_scorer()(model, images(), y) == pytest.approx(-by_box)


def test_boxes_come_from_the_data():
    pd = pytest.importorskip("pandas")
    y, x = bugs(12), images()
    model, scorer = MeanShape().fit(None, y), make_nme_scorer("box")
    expected = -nme(y, model.predict(x), normalizer="box", boxes=x.boxes)
    assert scorer(model, x, y) == expected
    for columns in (["bbox_x", "bbox_y", "bbox_w", "bbox_h"], ["x", "y", "width", "height"]):
        frame = pd.DataFrame(x.boxes, columns=columns).assign(path="a.jpg")
        assert scorer(model, frame, y) == expected
    order = np.arange(12)[::-1]
    assert scorer(model, x[order], y[order]) == pytest.approx(expected, rel=1e-12)
    for without in (np.zeros((12, 4, 4), np.uint8), frame[["path", "x"]]):
        with pytest.raises(ValueError, match="needs boxes"):
            scorer(model, without, y)


@pytest.mark.parametrize("normalizer", ["inter_ocular", "box", 2.0])
def test_scorers_pickle_and_clone(normalizer):
    y, x = bugs(12), images(schema=BUG)
    model = MeanShape().fit(None, y)
    for schema in (None, BUG):
        scorer = make_nme_scorer(normalizer, schema=schema)
        assert pickle.loads(pickle.dumps(scorer))(model, x, y) == scorer(model, x, y)
        clone(GridSearchCV(MeanShape(), {}, scoring=scorer))


def test_scorers_are_checked_when_made():
    assert repr(make_nme_scorer("box")) == "make_nme_scorer(normalizer='box', schema=None)"
    with pytest.raises(ValueError, match="'ibug68'"):
        make_nme_scorer(schema="300w")
    with pytest.raises(ValueError, match="'inter_pupil' for schema 'bug'"):
        make_nme_scorer("inter_pupil", schema=BUG)
    with pytest.raises(TypeError, match="name or a number; got ndarray"):
        make_nme_scorer(np.ones(3))


def test_a_scorer_asks_for_the_schema_that_was_set_before_the_one_of_the_last_fit():
    """A parameter that was set after `fit` is what the user wants now."""

    class Estimator:
        schema = LandmarkSchema("new", ("a", "b", "c"), normalizers={"inter_ocular": ((0,), (1,))})
        schema_ = LandmarkSchema("old", ("a", "b", "c"), normalizers={"inter_ocular": ((0,), (2,))})

        def predict(self, X):
            return np.array([[[0.0, 1], [10, 1], [40, 1]]])

    y = [[[0.0, 0], [10, 0], [40, 0]]]
    assert make_nme_scorer()(Estimator(), [0], y) == pytest.approx(-1 / 10)
    Estimator.schema = None
    assert make_nme_scorer()(Estimator(), [0], y) == pytest.approx(-1 / 40)


def test_the_report_has_the_statistics_of_each_landmark():
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 100, (50, 3, 2))
    pred = true + rng.normal(0, 2, true.shape)
    true[::5, 1] = np.nan
    errors = point_errors(true, pred)
    report = landmark_report(true, pred, output_dict=True)
    assert list(report) == ["0", "1", "2", "all landmarks"]
    for name, values in [*zip("012", errors.T, strict=True), ("all landmarks", errors)]:
        known = values[~np.isnan(values)]
        expected = [known.mean(), np.median(known), np.quantile(known, 0.95), known.max()]
        assert list(report[name].values()) == pytest.approx([*expected, len(known)])
    text = landmark_report(true, pred, digits=3)
    assert text.splitlines()[0].split()[:3] == ["error", "in", "px"]
    assert [float(cell) for cell in text.splitlines()[2].split()[1:]] == pytest.approx(
        list(report["1"].values()), abs=5e-4
    )


def test_the_report_in_other_units():
    true, pred = np.zeros((2, 2, 2)), np.zeros((2, 2, 2))
    true[:, 1, 0], pred[:, 1, 0] = [10, 20], [11, 22]
    with pytest.warns(DataWarning, match="scale is NaN for 1 of 2 samples: they are not included"):
        in_mm = landmark_report(true, pred, unit="mm", scale=[0.5, np.nan], output_dict=True)
    assert in_mm["1"]["mean"] == 0.5 and in_mm["1"]["n"] == 1
    in_percent = landmark_report(true, pred, normalizer=[10, 20], output_dict=True)
    assert in_percent["1"]["mean"] == pytest.approx(10)
    assert landmark_report(true, pred, normalizer=10.0).startswith("error in %")


def test_a_landmark_that_is_never_known_has_no_statistics():
    true = np.array([[[0, 0], [np.nan, np.nan]]])
    report = landmark_report(true, np.zeros((1, 2, 2)), output_dict=True)
    assert report["1"]["n"] == 0 and np.isnan(report["1"]["mean"])


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"scale": 1, "normalizer": "box"}, "exclude each other"),
        ({"scale": 0, "unit": "mm"}, "scale must be finite and positive"),
        ({"scale": [1, 2, 3], "unit": "mm"}, "scale has shape"),
        ({"unit": "mm"}, r"unit='mm' needs scale= \(mm per pixel\)"),
        ({"unit": "um", "scale": [np.nan, np.nan]}, "NaN for 2 of 2 samples.*um per pixel"),
        ({"unit": "um", "scale": np.nan}, "NaN for 2 of 2 samples"),
        ({"scale": 0.5}, "needs the unit"),
        ({"normalizer": "box", "boxes": np.full((2, 4), np.nan)}, "None of the 2.*no boxes"),
        (
            {"normalizer": [np.nan, np.nan]},
            r"None of the 2 samples.*\(normalizer=given lengths\)\.$",
        ),
        ({"digits": -1}, "digits"),
        ({"output_dict": "yes"}, "output_dict"),
        ({"normalizer": "inter_ocular"}, "needs a schema"),
    ],
)
def test_reports_refuse(arguments, told):
    with pytest.raises((TypeError, ValueError), match=told):
        landmark_report(np.zeros((2, 1, 2)), np.zeros((2, 1, 2)), **arguments)


def test_the_report_says_how_unnamed_landmarks_are_numbered():
    true = np.zeros((2, 2, 2))
    assert "numbered from 0" in landmark_report(true, true, unit="pixels").splitlines()[-1]
    named = landmark_report(true, true, schema=LandmarkSchema("tps", ("lm_1", "lm_2")))
    assert [line.split()[0] for line in named.splitlines()] == ["error", "lm_1", "lm_2", "all"]


def test_an_error_by_boxes_says_that_there_are_none():
    true = np.array([[[0.0, 0], [10, 10]]])
    with pytest.raises(ValueError, match=r"normalizer='box'\)\. There are no boxes.*boxes_of"):
        nme(true, true, normalizer="box", boxes=np.full((1, 4), np.nan))
    with pytest.raises(ValueError, match=r"normalizer='box'\)\.$"):
        nme(true * np.nan, true, normalizer="box", boxes=[[0, 0, 9, 9]])


def test_an_unknown_normalizer_is_named_without_a_schema_too():
    with pytest.raises(ValueError, match=r"Unknown normalizer 'foot'; choose from .*'inter_pupil'"):
        normalizing_lengths([[[0, 0], [1, 1]]], "foot")
