"""Data that contradict themselves are told of; data that are merely unusual are not."""

import re
import warnings
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small import first_fast

from skwing import BoxedImages, CascadeLandmarkRegressor, LandmarkSchema
from skwing._training.contradictions import contradictions
from skwing._training.evidence import Evidence
from skwing._utils.corners import boxes_as_corners
from skwing._utils.landmarks import as_numbers, as_points
from skwing.datasets import make_faces
from skwing.exceptions import DataWarning
from skwing.networks import PlainCNN

FACES = make_faces(30, random_state=0)
SIZES = np.tile([128.0, 128.0], (30, 1))
WINGS = np.random.default_rng(0).normal(
    [[90, 60], [180, 75], [260, 100], [170, 130], [100, 110]], 4, (20, 5, 2)
) + np.random.default_rng(1).normal(0, 12, (20, 1, 2))


def faces(**changes):
    return replace(_evidence(FACES.target, FACES.data.boxes, SIZES, FACES.schema), **changes)


def wings(**changes):
    """An object without a schema, in images that are wider than high, without boxes."""
    return replace(_evidence(WINGS, None, np.tile([320.0, 200.0], (20, 1)), None), **changes)


def _evidence(points, boxes, sizes, schema):
    def by_image():
        return [np.array([i]) for i in range(len(points))]

    return Evidence(points, boxes, sizes, "sample {}".format, schema, by_image)


def shared(points, value, rows, landmark=3):
    points = points.copy()
    points[rows, landmark] = value
    return points


def as_blocks(points):
    """Landmarks as they come out if x0, x1, ..., y0, y1, ... is read as x0, y0, x1, y1, ..."""
    return np.moveaxis(points, 2, 1).reshape(points.shape)


def with_visibility(points):
    seen = np.random.default_rng(0).integers(0, 3, (*points.shape[:2], 1))
    return np.concatenate([points, seen], axis=2).reshape(len(points), -1, 2)


def as_corners(boxes):
    return np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], axis=1)


def one_message(evidence):
    (message,) = contradictions(evidence)
    return message


@pytest.mark.parametrize("make", [faces, wings])
@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda p, s: p / s, r"between 0 and 1.*not in fractions"),
        (lambda p, s: p / s - 0.5, r"between -0.5 and 0.5.*not in fractions"),
        (lambda p, s: 2 * p / s - 1, r"between -1 and 1.*not in fractions"),
        (lambda p, s: 100 * p / s, r"between 0 and 100.*not in per cent"),
        (lambda p, s: (p - p.mean(1, keepdims=True)) / p.std(), r"not scaled|outside"),
        (lambda p, s: 3 * p, r"outside"),
        (lambda p, s: p[..., ::-1], r"x and y (were )?swapped"),
        (lambda p, s: as_blocks(p), r"x0, x1, \.\.\., y0, y1"),
        (lambda p, s: shared(p, (0, 0), [4, 5]), r"\(0, 0\) in 2 of .* the first is sample 4"),
        (lambda p, s: shared(p, (-1, -1), [2, 7, 9]), r"\(-1, -1\) in 3 of .*sample 2.*np.nan"),
        (lambda p, s: shared(p, (-256, -256), [0, 1]), r"\(-256, -256\) in 2 of"),
        (lambda p, s: shared(p, (9999, 9999), [0, 1, 2]), r"\(9999, 9999\) in 3 of"),
        (lambda p, s: np.repeat(p[:1], len(p), axis=0), r"same landmarks|outside"),
        (lambda p, s: shared(p, (60.5, 70), [3], slice(None)), r"sample 3: all .* one place"),
    ],
)
def test_each_contradiction_is_told_once(make, change, expected):
    evidence = make()
    changed = replace(evidence, points=change(evidence.points, evidence.sizes[:, None]))
    assert re.search(expected, one_message(changed))
    assert contradictions(evidence) == []


def test_two_marks_for_missing_points_in_the_same_samples():
    points = shared(shared(FACES.target, -1, [0, 1, 2, 3]), -256, [2, 3, 4, 5], 9)
    message = one_message(faces(points=points))
    assert "(-256, -256) in 4 of 30" in message and "(-1, -1) in 4 of 30" in message


@pytest.mark.parametrize("value", [-1, -256])
def test_one_mark_outside_of_the_image_is_enough(value):
    assert f"({value}, {value}) in 1 of 20" in one_message(wings(points=shared(WINGS, value, [4])))
    assert contradictions(wings(points=shared(WINGS, 0, [4]))) == []  # may be a corner


def test_visibilities_between_the_coordinates():
    message = one_message(faces(points=with_visibility(FACES.target), schema=None))
    assert "every third column of y" in message
    read = with_visibility(FACES.target).reshape(30, 68, 3)[:, :, :2]  # as the message says
    np.testing.assert_array_equal(read, FACES.target)
    with pytest.raises(ValueError, match=r"shape \(4, 5, 3\).*Drop the third"):
        as_points(np.zeros((4, 5, 3)))
    with pytest.raises(ValueError, match=r"shape \(4, 207\).*Drop the third"):
        as_points(np.zeros((4, 207)))


def test_boxes_given_as_corners():
    message = one_message(faces(boxes=as_corners(FACES.data.boxes)))
    assert "(x1, y1, x2, y2)" in message and "boxes[:, 2:] -= boxes[:, :2]" in message
    # Two samples that reach beyond their image.
    points = np.array([[[70.0, 60], [90, 62], [80, 80]]] * 2)
    few = _evidence(points, np.array([[65.0, 55, 95, 85]] * 2), np.array([[120.0, 100]] * 2), None)
    assert "were read as corners" in one_message(few)
    # Boxes of objects that fill their images are no corners.
    tight = np.array([[-5.0, -5, 130, 130], [4, 6, 126, 127], [5, 5, 128, 128]])
    assert contradictions(faces()) == []
    assert boxes_as_corners(tight, SIZES[:3], "sample {}".format) is None
    assert boxes_as_corners(np.array([[90.0, 80, 126, 124]]), SIZES[:1], "sample {}".format)


def test_boxes_that_hold_none_of_their_landmarks():
    boxes = FACES.data.boxes.copy()
    boxes[[3, 8]] = [0.0, 0.0, 6.0, 6.0]
    message = one_message(faces(boxes=boxes))
    assert "sample 3: all its landmarks lie outside its box (this holds for 2 of 30" in message


def test_images_of_another_size_than_the_landmarks():
    message = one_message(wings(sizes=np.tile([96.0, 60.0], (20, 1))))
    assert "landmarks lie outside the image of (96.0, 60.0) pixels" in message


def test_y_that_counts_from_the_bottom():
    points = np.stack([FACES.target[..., 0], 127 - FACES.target[..., 1]], axis=-1)
    boxes = FACES.data.boxes.copy()
    boxes[:, 1] = 128 - boxes[:, 1] - boxes[:, 3]
    assert "counted from the bottom" in one_message(faces(points=points, boxes=boxes))


def test_left_and_right_of_a_schema_that_ships():
    order = list(FACES.schema.mirror)
    message = one_message(faces(points=FACES.target[:, order]))
    assert "left and right are as seen in the image in schema 'ibug68'" in message
    own = replace(FACES.schema, name="persons_own_sides")
    assert contradictions(faces(points=FACES.target[:, order], schema=own)) == []


@pytest.mark.parametrize("kind", ["identity", "eyes crossed", "other order"])
def test_pairs_that_are_no_mirror_images(kind):
    schema, points = FACES.schema, FACES.target
    mirror, place = list(schema.mirror), schema.landmark_names.index
    if kind == "identity":
        mirror = list(range(68))
    elif kind == "eyes crossed":  # the outer corner of each eye with the inner one of the same
        for side in ("left", "right"):
            outer, inner = place(f"{side}_eye_outer"), place(f"{side}_eye_inner")
            mirror[outer], mirror[inner] = inner, outer
    else:
        points = points[:, np.random.default_rng(0).permutation(68)]
    schema = LandmarkSchema("mine", schema.landmark_names, mirror)
    message = one_message(faces(points=points, schema=schema))
    assert "mirror pairs of schema 'mine' are not mirror images" in message
    if kind == "eyes crossed":
        partner = "the mirror image of 'left_eye_inner' is nearest to 'right_eye_inner'"
        wrong = (("left_eye_inner", "left_eye_outer"), ("right_eye_inner", "right_eye_outer"))
        for a, b in (sorted(pair, key=place) for pair in wrong):  # each pair once
            assert message.count(f"'{a}' and '{b}' (") == 1 and f"'{b}' and '{a}'" not in message
        assert partner in message or "'left_eye_outer' is nearest to 'right_eye_outer'" in message


UNUSUAL = {
    "few": lambda: [make_faces(n, random_state=n) for n in (1, 2, 3, 5)],
    "turned to one side": lambda: [make_faces(80, random_state=1)],
    "several a photograph": lambda: [make_faces(30, random_state=2, n_faces_per_image=3)],
    "hidden": lambda: [make_faces(30, random_state=3, hidden="nan", occlusion=0.9)],
    "mark-ups": lambda: [
        make_faces(20, random_state=4, schema=name) for name in ("aflw19", "cofw29", "wflw98")
    ],
}


@pytest.mark.slow
@pytest.mark.parametrize("name", first_fast(UNUSUAL))
def test_no_false_alarm(name):
    for drawn in UNUSUAL[name]():
        sizes = np.array([drawn.data.decode(i).shape[1::-1] for i in range(len(drawn.data))])
        evidence = Evidence(
            drawn.target, drawn.data.boxes, sizes.astype(float), str, drawn.schema, lambda: [[], []]
        )
        assert contradictions(evidence) == []
        assert contradictions(replace(evidence, boxes=None)) == []
        whole = np.rint(drawn.target)  # labels in whole pixels
        assert contradictions(replace(evidence, points=whole)) == []
        if name == "turned to one side":
            left = drawn.pose[:, 0] < -20
            assert 8 <= left.sum() < 60
            only = replace(
                evidence, points=drawn.target[left], boxes=drawn.data.boxes[left], sizes=sizes[left]
            )
            assert contradictions(only) == []


def test_a_scale_at_the_same_place_in_every_image_is_no_mark_for_missing():
    points = np.concatenate([WINGS, np.tile([[[5.0, 190.0], [300.0, 190.0]]], (20, 1, 1))], axis=1)
    assert contradictions(wings(points=points)) == []


def test_one_photograph_of_the_same_shape_many_times():
    same = np.repeat(WINGS[:1], 20, axis=0)
    once = wings(points=same, by_image=lambda: [np.arange(20)])
    assert contradictions(once) == []
    assert "the same landmarks for all 20 samples" in one_message(wings(points=same))


# ---------------------------------------------------------------------------------------
# As users meet it
# ---------------------------------------------------------------------------------------
def tiny():
    network = [lambda n: PlainCNN(n, widths=(8, 16), input_size=16, n_hidden=16)]
    return CascadeLandmarkRegressor(networks=network, max_epochs=1, random_state=0, device="cpu")


@pytest.mark.slow
def test_fit_warns_once_where_it_was_called_and_can_be_silenced():
    X, y = FACES.data[:10], shared(FACES.target[:10], -1, [2, 5])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        tiny().fit(X, y)
    assert [(w.category, w.filename) for w in caught] == [(DataWarning, __file__)]
    assert "(-1, -1) in 2 of 10 samples, the first is sample 2" in str(caught[0].message)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny().fit(X, FACES.target[:10])
        warnings.simplefilter("ignore", DataWarning)
        tiny().fit(X, y)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda X, y: (X, y / 128), "X_val, y_val: all landmarks of y lie between 0 and 1"),
        (lambda X, y: (X.with_boxes(None), y), "X has boxes, but X_val has none"),
    ],
)
def test_fit_warns_of_validation_samples(change, message):
    X, y = FACES.data[:6], FACES.target[:6]
    X_val, y_val = change(FACES.data[6:10], FACES.target[6:10])
    with pytest.warns(DataWarning, match=message):
        tiny().fit(X, y, X_val=X_val, y_val=y_val)


def test_boxes_of_x_and_not_of_x_val_or_the_other_way_round():
    X, y, whole = FACES.data, FACES.target, np.c_[np.zeros((30, 2)), SIZES]
    without, boxed = X.with_boxes(None), X.with_boxes(whole)
    with pytest.warns(DataWarning, match="X_val has boxes, but X has none"):
        tiny().fit(without[:6], y[:6], X_val=X[6:10], y_val=y[6:10])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        tiny().fit(without[:6], y[:6], X_val=boxed[6:10], y_val=y[6:10])
        tiny().fit(X[:6], y[:6], X_val=X[6:10], y_val=y[6:10])


def test_predict_warns_of_corners():
    reg = tiny().fit(FACES.data, FACES.target)
    images = [FACES.data.decode(i) for i in range(4)]
    boxes = np.array(
        [[60.0, 50, 120, 110], [70, 70, 126, 126], [64, 60, 120, 120], [50, 66, 115, 127]]
    )
    with pytest.warns(DataWarning, match="inside of their images, which 4 of 4 leave by far"):
        reg.predict(BoxedImages(images, boxes))


def frame(points, order):
    names = [f"{axis}{i}" for i in range(points.shape[1]) for axis in "xy"]
    return pd.DataFrame(points.reshape(len(points), -1), columns=names)[order]


@pytest.mark.parametrize(
    "order", [["x0", "x1", "y0", "y1"], ["y0", "x0", "y1", "x1"], ["x0", "y1", "x1", "y0"]]
)
def test_columns_of_a_table_in_another_order(order):
    points = WINGS[:, :2]
    in_turn = ["x0", "y0", "x1", "y1"]
    np.testing.assert_array_equal(as_points(frame(points, in_turn)), points)
    with pytest.raises(ValueError, match=r"y has the columns .*as in y\[\['x.', 'y.', 'x.', 'y.'"):
        as_points(frame(points, order))


@pytest.mark.parametrize(
    "names",
    [
        ["nose_x", "nose_y", "eye_x", "eye_y"],
        ["x_nose", "y_nose", "x_eye", "y_eye"],
        ["a", "b", "c", "d"],
        ["0", "1", "2", "3"],
        ["x", "y", "x", "y"],
        [("nose", "x"), ("nose", "y"), ("eye", "x"), ("eye", "y")],
    ],
)
def test_columns_of_a_table_in_turn_or_of_other_names(names):
    table = pd.DataFrame(np.arange(8.0).reshape(2, 4), columns=names)
    assert as_points(table)[0].tolist() == [[0, 1], [2, 3]]


@pytest.mark.parametrize(
    "names", [["nose_x", "eye_x", "nose_y", "eye_y"], ["x_a", "x_b", "y_a", "y_b"]]
)
def test_columns_by_axis(names):
    with pytest.raises(ValueError, match="x and y of each landmark in turn"):
        as_points(pd.DataFrame(np.zeros((2, 4)), columns=names))


def test_tables_with_missing_values_and_tensors():
    numbers = np.array([[1.5, 2.0, np.nan, np.nan], [5.0, 6.0, 7.0, 8.0]])
    table = pd.DataFrame(numbers).astype("Float64")
    table.iloc[0, 2:] = pd.NA
    np.testing.assert_array_equal(as_numbers(table), numbers)
    np.testing.assert_array_equal(as_points(table).reshape(2, 4), numbers)
    for tensor in (
        torch.tensor(numbers, requires_grad=True),
        torch.tensor(numbers, dtype=torch.bfloat16),
        torch.tensor(numbers, dtype=torch.float32),
    ):
        np.testing.assert_array_equal(as_points(tensor).reshape(2, 4), numbers)
    boxes = torch.tensor([[1.0, 2.0, 3.0, 4.0]], requires_grad=True, dtype=torch.bfloat16)
    assert BoxedImages(np.zeros((1, 9, 9), np.uint8), boxes).boxes.tolist() == [[1, 2, 3, 4]]
    with pytest.raises(ValueError, match=r"not numbers|cannot be read"):
        as_points(pd.DataFrame([["a", "b"]]))


@pytest.mark.parametrize("factor", [1 / 128, 100 / 128], ids=["fractions", "per cent"])
def test_units_of_many_samples_are_judged_by_some_of_them(factor):
    rows = np.arange(5000) % len(FACES.target)
    points, boxes, sizes = factor * FACES.target, 2 * FACES.data.boxes, 2 * SIZES
    many = _evidence(points[rows], boxes[rows], sizes[rows], FACES.schema)
    few = _evidence(points, boxes, sizes, FACES.schema)
    (message,) = contradictions(many)
    assert "pixels of the image" in message
    assert [message] == contradictions(few)
