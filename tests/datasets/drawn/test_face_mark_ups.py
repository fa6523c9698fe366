"""Mark-ups other than 300-W's, and several faces in one image."""

import pickle
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
from sklearn.model_selection import GroupKFold

from skwing.datasets import make_faces
from skwing.datasets._drawn import paint
from skwing.datasets._drawn.look import draw_look
from skwing.datasets._drawn.marks import MARK_UPS, hidden_by_head, mark_up
from skwing.datasets._drawn.model import build_head
from skwing.datasets._drawn.picture import draw_person, line_up, shape_of, sit, take_picture
from skwing.datasets._drawn.shape import Expression, draw_expression, draw_shape
from skwing.geometry import boxes_of
from skwing.metrics import normalizing_lengths
from skwing.schema import AFLW19, COFW29, IBUG68, WFLW98


@pytest.fixture(scope="module")
def sets():
    """The same twelve faces in all four mark-ups."""
    return {name: make_faces(12, random_state=4, schema=name, image_size=64) for name in MARK_UPS}


def pixels_of(data):
    return np.stack([data.decode(i) for i in range(len(data))])


def point(faces, name):
    return faces.target[:, faces.schema.landmark_names.index(name)]


def test_a_mark_up_changes_the_landmarks_and_nothing_else(sets):
    first = sets["ibug68"]
    for name, faces in sets.items():
        assert faces.schema is faces.data.schema is MARK_UPS[name]
        assert faces.target.shape == (12, faces.schema.n_landmarks, 2)
        assert faces.visible.shape == faces.self_occluded.shape == faces.target.shape[:2]
        assert f"Drawn faces with {faces.schema.n_landmarks} exact" in faces.DESCR
        assert np.array_equal(pixels_of(faces.data), pixels_of(first.data))
        assert np.array_equal(faces.data.boxes, first.data.boxes)
        assert np.array_equal(faces.pose, first.pose)


def test_a_schema_may_be_given_itself(sets):
    faces = make_faces(12, random_state=4, schema=COFW29, image_size=64)
    assert np.array_equal(faces.target, sets["cofw29"].target)


def test_a_name_means_the_same_point_in_every_mark_up(sets):
    corners, n_checked = {"left_eye_outer", "right_eye_inner"}, 0
    for one, other in combinations(sets.values(), 2):
        shared = set(one.schema.landmark_names) & set(other.schema.landmark_names)
        shared = {n for n in shared if "jaw" not in n and "_eye_" not in n} | (shared & corners)
        n_checked += len(shared)
        for name in shared:
            np.testing.assert_allclose(point(one, name), point(other, name), atol=1e-9)
    assert n_checked == 80


def test_all_mark_ups_have_the_same_length_between_the_eyes(sets):
    lengths = [
        normalizing_lengths(faces.target, normalizer="inter_ocular", schema=faces.schema)
        for faces in sets.values()
    ]
    for other in lengths[1:]:
        np.testing.assert_allclose(other, lengths[0], rtol=1e-9)


def test_every_second_jaw_point_of_wflw_is_one_of_ibug(sets):
    dense, jaw = sets["wflw98"].target[:, :33], sets["ibug68"].target[:, :17]
    np.testing.assert_allclose(dense[:, ::2], jaw, atol=1e-9)
    # Those between lie on the rim of the jaw, near the middle but outside of the chord.
    step = np.linalg.norm(jaw[:, 1:] - jaw[:, :-1], axis=-1)
    away = np.linalg.norm(dense[:, 1::2] - (jaw[:, 1:] + jaw[:, :-1]) / 2, axis=-1)
    assert (away <= 0.3 * step + 0.2).all()


# The landmarks sit on what the painter paints, on the flat picture of the skin.

SIDES = {"left": (slice(17, 22), slice(36, 42)), "right": (slice(22, 27), slice(42, 48))}


@pytest.fixture(params=range(4))
def drawn(request):
    """A head, wide awake, with colours that tell its parts apart."""
    rng = np.random.default_rng(request.param)
    shape, expression = draw_shape(rng), replace(draw_expression(rng), lids=(2.4, 2.4))
    plain = np.full(3, 200.0)
    look = replace(draw_look(rng), skin=plain, brow=np.array([0, 0, 250.0]), brow_width=0.1)
    return build_head(shape, expression), look, expression


def texel_of(name, schema, drawn):
    return paint._texel(mark_up(schema, *drawn)[schema.landmark_names.index(name)])


def painted(painter, *args):
    canvas = np.full((*paint._SHAPE, 3), 255, np.uint8)
    painter(canvas, *args)
    return canvas.astype(int)


@pytest.mark.parametrize("side", SIDES)
def test_a_pupil_is_the_middle_of_the_painted_iris(drawn, side):
    head, look, expression = drawn
    eye = paint._texel(head.marks)[SIDES[side][1]]
    scale = paint.eye_scale(eye, head.flat[SIDES[side][1]])
    red, green = (
        painted(paint._paint_eye, eye, replace(look, iris=np.array(c)), expression.gaze, scale)
        for c in ([250.0, 0, 0], [0, 250.0, 0])
    )
    y, x = np.nonzero((red != green).any(-1))
    middle = np.array([x.min() + x.max(), y.min() + y.max()]) / 2
    for schema in (COFW29, WFLW98):
        assert np.abs(texel_of(f"{side}_pupil", schema, drawn) - middle).max() <= 0.75


@pytest.mark.parametrize("side", SIDES)
def test_places_on_the_lids_are_on_the_painted_line(drawn, side):
    head, look, _ = drawn
    eye = paint._texel(head.marks)[SIDES[side][1]]
    canvas = painted(paint._paint_eye, eye, replace(look, iris=np.zeros(3)), (0, 0), 60)
    lashes = canvas[..., 2] - canvas[..., 0] > 50
    for schema, parts in ((COFW29, ("",)), (WFLW98, ("_outer", "_middle", "_inner"))):
        for part in parts:
            x, y = texel_of(f"{side}_eye_top{part}", schema, drawn)
            column = np.flatnonzero(lashes[:, round(x)])
            assert column.min() - 0.5 <= y <= column.max() + 0.5
            below = texel_of(f"{side}_eye_bottom{part}", schema, drawn)
            ball = np.flatnonzero((canvas[: round(y) + 40, round(below[0])] != 255).any(-1))
            assert abs(ball.max() - below[1]) < 1.5


@pytest.mark.parametrize("side", SIDES)
def test_places_on_the_edges_of_a_brow_are_on_the_painted_edges(drawn, side):
    head, look, _ = drawn
    canvas = painted(paint._paint_brow, paint._texel(head.marks)[SIDES[side][0]], look)
    names = {WFLW98: ("_1", "_2", "_3"), COFW29: ("",)}
    for schema, parts in names.items():
        for part in parts:
            x, top = texel_of(f"{side}_brow_top{part}", schema, drawn)
            _, bottom = texel_of(f"{side}_brow_bottom{part}", schema, drawn)
            column = np.flatnonzero(canvas[:, round(x), 0] < 128)
            assert abs(column.min() - 0.5 - top) < 1.4
            assert abs(column.max() + 0.5 - bottom) < 1.4
            assert bottom - top > 3.5
    y, x = np.nonzero(canvas[..., 0] < 128)
    for part in ("outer", "top_4", "bottom_4"):
        spot = texel_of(f"{side}_brow_{part}", WFLW98, drawn)
        assert np.hypot(*(np.stack([x, y], 1) - spot).T).min() < 1.3


def is_clipped(picture, point):
    """Whether pixels near a point are black or white, so that parts of a dot are not seen."""
    x, y = np.round(point).astype(int)
    near = picture[y - 3 : y + 4, x - 3 : x + 4]
    return near.min() < 5 or near.max() > 250


def dot_offset(name, schema, seed, n_places=1, size=128):
    """Where a dot painted on a landmark is seen, less where the landmark is said to be."""
    person, pictures = draw_person(np.random.default_rng(seed)), []
    for dotted in (False, True):
        rng = np.random.default_rng(seed)
        sitters = [sit(person, (8, 4, 5), size, schema, rng)]
        if n_places > 1:
            sitters = line_up(sitters, n_places, size, rng)
        (sitter,), i = sitters, schema.landmark_names.index(name)
        mark = sitter.marks[i] if dotted else None
        picture, (own,), _ = take_picture(sitters, shape_of(n_places, size), 0.0, rng, mark)
        pictures.append(picture.astype(float))
    weight = np.abs(pictures[0] - pictures[1]).sum(-1)
    if own[i] or weight.sum() < 500 or is_clipped(pictures[0], sitter.landmarks[i]):
        return None
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    centroid = np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()
    return centroid - sitter.landmarks[i]


@pytest.mark.slow
def test_a_dot_painted_on_a_landmark_is_seen_at_the_landmark():
    new = [(AFLW19, "mouth_center"), (AFLW19, "left_eye_center"), (COFW29, "right_brow_bottom")]
    new += [(WFLW98, n) for n in WFLW98.landmark_names[33:51:3] + WFLW98.landmark_names[60:76:2]]
    new += [(WFLW98, "left_pupil"), (WFLW98, "right_pupil")]
    offsets = [dot_offset(name, schema, seed) for seed, (schema, name) in enumerate(2 * new)]
    # A dot on dark or turned away is too faint to measure.
    offsets = np.array([offset for offset in offsets if offset is not None])
    assert len(offsets) >= 12
    assert np.abs(offsets).max() < 0.45
    assert np.abs(offsets.mean(0)).max() < 0.08


# What is seen.


def test_a_closed_lid_hides_the_pupil():
    shape, look = draw_shape(np.random.default_rng(0)), draw_look(np.random.default_rng(0))
    for lids, expected in (((1.0, 1.0), [False, False]), ((0.08, 1.0), [True, False])):
        expression = Expression(lids=lids)
        head = build_head(shape, expression)
        marks = mark_up(WFLW98, head, look, expression)
        hidden = hidden_by_head(WFLW98, head, marks, np.zeros(len(paint.COLUMNS)))
        assert hidden[96:].tolist() == expected
        assert not hidden[:96].any()


@pytest.mark.slow
@pytest.mark.parametrize("schema", MARK_UPS.values(), ids=MARK_UPS)
def test_the_far_side_of_a_turned_face_is_hidden(schema):
    pose = np.array([[75, 0, 0], [-75, 0, 0], [0, 0, 0]]).repeat(6, 0)
    faces = make_faces(18, random_state=0, pose=pose, occlusion=0, schema=schema, image_size=64)
    far = [i for i, name in enumerate(schema.landmark_names) if name.startswith("right_eye")]
    near = [schema.mirror[i] for i in far]
    right, left, front = faces.visible.reshape(3, 6, -1)
    assert right[:, far].mean() < 0.1
    assert left[:, near].mean() < 0.1
    assert right[:, near].mean() > 0.9
    assert left[:, far].mean() > 0.9
    assert front[:, far + near].all()
    assert np.array_equal(faces.self_occluded, ~faces.visible)


# Several faces in one image.


@pytest.fixture(scope="module")
def crowd():
    return make_faces(46, random_state=0, n_faces_per_image=3, image_size=64, occlusion=0)


def test_faces_share_an_image(crowd):
    assert crowd.image.tolist() == (np.arange(46) // 3).tolist()
    assert "46 faces of 12 persons in 16 images of 134 x 64 pixels" in crowd.DESCR
    assert crowd.names[4] == "image_00001/face_00004"
    for i in range(46):
        image = crowd.data.decode(i)
        assert image.shape == (64, 134, 3)
        assert np.shares_memory(image, crowd.data.decode(3 * (i // 3)))
    assert len(pickle.dumps(crowd.data)) < 17 * 64 * 134 * 3
    assert crowd.data[7].describe(0) == "sample 7"


def test_groups_keep_images_and_persons_whole(crowd):
    assert crowd.groups.tolist() == (np.arange(46) // 12).tolist()
    alone = make_faces(5, random_state=0, n_faces_per_image=2, faces_per_identity=1, image_size=32)
    assert alone.groups.tolist() == alone.image.tolist() == [0, 0, 1, 1, 2]
    for train, test in GroupKFold(3).split(crowd.data, groups=crowd.groups):
        assert not set(crowd.image[train]) & set(crowd.image[test])


def test_every_face_of_a_crowd_has_its_own_box_and_landmarks(crowd):
    assert (crowd.target > 0).all()
    assert (crowd.target < [133, 63]).all()
    exact = make_faces(12, random_state=0, n_faces_per_image=3, image_size=64, box_error=0)
    x, y, width, height = boxes_of(exact.target).T
    middle = np.stack([x + width / 2, y + height / 2], 1)
    boxes = exact.data.boxes
    np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:] / 2, middle, atol=1e-9)
    np.testing.assert_allclose(boxes[:, 2], np.maximum(width, height), atol=1e-9)
    # From the left to the right, one step apart and in different sizes.
    across = middle[:, 0].reshape(4, 3)
    assert (np.diff(across, axis=1) > 64 * 0.2).all()
    assert np.ptp(boxes[:, 2]) > 5


@pytest.mark.slow
def test_a_dot_is_seen_at_its_landmark_in_a_crowd_too():
    offsets = [dot_offset("nose_bridge_1", IBUG68, seed, n_places=3) for seed in range(16)]
    offsets = np.array([offset for offset in offsets if offset is not None])
    assert len(offsets) >= 5
    assert np.abs(offsets).max() < 0.45


def test_only_the_last_image_depends_on_how_many_faces_there_are(crowd):
    few = make_faces(5, random_state=0, n_faces_per_image=3, image_size=64, occlusion=0)
    assert np.array_equal(few.target, crowd.target[:5])
    assert np.array_equal(few.data.boxes, crowd.data.boxes[:5])
    assert np.array_equal(pixels_of(few.data[:3]), pixels_of(crowd.data[:3]))
    assert not np.array_equal(few.data.decode(3), crowd.data.decode(3))


def test_the_nearer_face_hides_the_further_one():
    rngs = [np.random.default_rng(seed) for seed in range(2)]
    near, far = (sit(draw_person(rng), (0, 0, 0), 96, WFLW98, rng) for rng in rngs)
    far = replace(far, camera=far.camera.moved(0.8, (9.0, 9.0)))
    for sitters, behind in (([near, far], 1), ([far, near], 0)):
        _, own, other = take_picture(sitters, (96, 120), 0.0, np.random.default_rng(3))
        assert other[behind].mean() > 0.9
        assert not other[1 - behind].any()
        assert own[behind].mean() < 0.3


@pytest.mark.slow
def test_neighbours_hide_some_landmarks_of_a_crowd():
    crowd = make_faces(40, random_state=1, n_faces_per_image=5, image_size=32, occlusion=0)
    behind = ~crowd.visible & ~crowd.self_occluded
    assert 0.002 < behind.mean() < 0.1
    kept = make_faces(40, random_state=1, n_faces_per_image=5, image_size=32, hidden="nan")
    assert np.array_equal(np.isnan(kept.target[..., 0]), ~kept.visible)
