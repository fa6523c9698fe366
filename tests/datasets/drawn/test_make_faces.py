from dataclasses import replace

import numpy as np
import pytest
from scipy.stats import kstest
from sklearn.model_selection import GroupKFold
from small import first_fast

from skwing.datasets import make_faces
from skwing.datasets._drawn import faces as faces_module
from skwing.datasets._drawn import paint
from skwing.datasets._drawn.look import draw_look
from skwing.datasets._drawn.marks import MARK_UPS, mark_up
from skwing.datasets._drawn.model import FRONT, JAW_ROW, build_head, on_grid, rotation
from skwing.datasets._drawn.outline import on_outline
from skwing.datasets._drawn.picture import draw_person, sit, take_picture
from skwing.datasets._drawn.shape import Expression, Shape, draw_shape
from skwing.geometry import boxes_of
from skwing.images import BoxedImages
from skwing.schema import IBUG68, WFLW98
from skwing.shapes import align

RIGHT = [14, 15, 16, 25, 26, 44, 45, 46]  # jaw, brow and eye of the image's right side
LEFT = [IBUG68.mirror[i] for i in RIGHT]
JAWS = ("bone", "outline")


@pytest.fixture(scope="module")
def faces():
    """Many faces in small images, for statistics."""
    return make_faces(240, image_size=32, random_state=0)


def pixels_of(data):
    return np.stack([data.decode(i) for i in range(len(data))])


def test_what_is_in_the_bunch():
    faces = make_faces(8, random_state=0)
    assert isinstance(faces.data, BoxedImages)
    assert faces.data.shape == (8,)
    assert faces.data.schema is faces.schema is IBUG68
    assert faces.target.shape == (8, 68, 2)
    assert faces.target.dtype == np.float64
    assert faces.pose.shape == (8, 3)
    assert faces.visible.shape == (8, 68)
    assert faces.visible.dtype == bool
    assert len(set(faces.names)) == 8
    assert "68 exact landmarks" in faces.DESCR
    assert "8 faces of 2 persons in 8 images of 128 x 128 pixels" in faces.DESCR
    assert faces.image.tolist() == list(range(8))
    image = faces.data.decode(0)
    assert image.shape == (128, 128, 3)
    assert image.dtype == np.uint8


def test_return_X_y_gives_the_same_faces():
    data, target = make_faces(3, random_state=5, return_X_y=True)
    faces = make_faces(3, random_state=5)
    assert np.array_equal(pixels_of(data), pixels_of(faces.data))
    assert np.array_equal(target, faces.target)


@pytest.mark.slow
def test_same_seed_same_bytes_and_no_global_random_numbers():
    np.random.seed(3)  # noqa: NPY002
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    first, again = (make_faces(4, random_state=7) for _ in range(2))
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002
    other = make_faces(4, random_state=8)
    assert pixels_of(first.data).tobytes() == pixels_of(again.data).tobytes()
    assert first.data.boxes.tobytes() == again.data.boxes.tobytes()
    assert not np.array_equal(first.target, other.target)
    drawn = make_faces(4, random_state=np.random.RandomState(7))
    assert np.array_equal(drawn.target, first.target)


def test_the_default_faces_stay_as_they_are():
    # As version 0.9 draws them; a change of these numbers is a line in CHANGELOG.md.
    faces = make_faces(3, random_state=0)
    expected = [[58.714207, 101.739398], [60.996408, 65.812521], [51.152247, 76.231429]]
    np.testing.assert_allclose(faces.target[[0, 1, 2], [8, 30, 57]], expected, atol=1e-6)
    box = [20.339198, 25.290338, 65.139421, 65.139421]
    np.testing.assert_allclose(faces.data.boxes[2], box, atol=1e-6)


@pytest.mark.slow
def test_a_face_does_not_depend_on_how_many_are_made():
    few, many = (make_faces(n, random_state=2, faces_per_identity=2) for n in (3, 6))
    assert np.array_equal(pixels_of(few.data), pixels_of(many.data)[:3])
    assert np.array_equal(few.data.boxes, many.data.boxes[:3])
    assert np.array_equal(few.target, many.target[:3])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "size"),
    first_fast([("cofw29", 32), ("ibug68", 128), ("ibug68", 64), ("wflw98", 64)]),
)
def test_landmarks_lie_inside_the_image_at_every_pose(schema, size):
    grid = np.array(np.meshgrid([-90, 0, 90], [-30, 0, 30], [-90, 0, 45])).reshape(3, -1).T
    for seed in (1, 2):
        faces = make_faces(len(grid), pose=grid, image_size=size, random_state=seed, schema=schema)
        assert np.array_equal(faces.pose, grid)
        assert (faces.target > 0).all()
        assert (faces.target < size - 1).all()


# The pixel convention, end to end: background, perspective, supersampling, blur, sensor.


def centroid_of(weight):
    y, x = np.mgrid[: weight.shape[0], : weight.shape[1]]
    return np.array([(weight * x).sum(), (weight * y).sum()]) / weight.sum()


@pytest.mark.slow
@pytest.mark.parametrize("size", [128, 97])
def test_a_dot_painted_on_a_landmark_is_seen_at_the_landmark(size):
    offsets = []
    for seed in range(17, 119):
        i = 17 + (seed - 17) % 51
        generator = np.random.default_rng(seed)
        person = draw_person(generator)
        pose = generator.uniform([-50, -20, -30], [50, 20, 30])
        pictures = []
        for dotted in (False, True):
            rng = np.random.default_rng(seed)
            sitter = sit(person, pose, size, IBUG68, rng)
            mark = sitter.marks[i] if dotted else None
            picture, (own,), _ = take_picture([sitter], (size, size), 0.0, rng, mark)
            pictures.append(picture.astype(float))
        weight = np.abs(pictures[0] - pictures[1]).sum(-1)
        x, y = np.round(sitter.landmarks[i]).astype(int)
        near = pictures[0][y - 3 : y + 4, x - 3 : x + 4]
        # A dot on dark or turned away is too faint to measure, or clipped to black or white.
        if not own[i] and weight.sum() > 500 and near.min() >= 5 and near.max() <= 250:
            offsets.append(centroid_of(weight) - sitter.landmarks[i])
    assert len(offsets) >= 20
    assert np.abs(np.mean(offsets, 0)).max() < 0.06
    assert np.abs(offsets).max() < 0.45


def test_lips_and_eyes_are_painted_where_their_landmarks_are():
    look = draw_look(np.random.default_rng(0))
    head = build_head(draw_shape(np.random.default_rng(1)), Expression(opening=0.2))
    bare = np.full((*paint._SHAPE, 3), 255, np.uint8)
    for painter, points in (
        (lambda c, p: paint._paint_mouth(c, p[48:60], p[60:68], look, 0.2), slice(48, 60)),
        (lambda c, p: paint._paint_eye(c, p[36:42], look, (0, 0), 60), slice(36, 42)),
    ):
        canvas, texels = bare.copy(), paint._texel(head.marks)
        painter(canvas, texels)
        y, x = np.nonzero((canvas != 255).any(-1))
        low, high = texels[points].min(0), texels[points].max(0)
        assert np.abs([x.min() - low[0], x.max() - high[0]]).max() < 3
        assert abs(y.max() - high[1]) < 2.5


# Pose: signs and mirror images.


def posed(pose, seed=3):
    return make_faces(1, random_state=seed, pose=[pose], occlusion=0).target[0]


def test_positive_yaw_moves_the_nose_to_the_right_of_the_image():
    for sign in (-1, 1):
        points = posed([sign * 40, 0, 0])
        assert sign * (points[30, 0] - points[[0, 16], 0].mean()) > 10


def test_positive_pitch_moves_the_nose_up():
    up, down = posed([0, 25, 0]), posed([0, -25, 0])
    height = [(p[30, 1] - p[[36, 45], 1].mean()) / np.ptp(p[:, 1]) for p in (up, down)]
    assert height[0] < height[1] - 0.1


def test_positive_roll_turns_clockwise():
    level, leaning = posed([0, 0, 0]), posed([0, 0, 30])
    across = [p[45] - p[36] for p in (level, leaning)]
    angle = [np.degrees(np.arctan2(d[1], d[0])) for d in across]
    assert angle[1] - angle[0] == pytest.approx(30, abs=2)


def test_pose_changes_the_pose_and_nothing_else():
    free = make_faces(2, random_state=4)
    held = make_faces(2, random_state=4, pose=free.pose)
    assert np.array_equal(pixels_of(free.data), pixels_of(held.data))
    assert np.array_equal(free.data.boxes, held.data.boxes)


@pytest.mark.parametrize("schema", MARK_UPS.values(), ids=MARK_UPS)
def test_a_mirrored_head_has_the_opposite_yaw_and_roll(schema):
    one, two = (1.0, 0.2), (0.5, -0.5)
    expression = Expression(0.1, one, 0.0, two, 0.3, (1.0, 0.4), (0.5, 0.3))
    mirrored = Expression(0.1, one[::-1], 0.0, two[::-1], 0.3, (0.4, 1.0), (-0.5, 0.3))
    shape, look = draw_shape(np.random.default_rng(0)), draw_look(np.random.default_rng(0))
    points, other = (
        on_grid(head.vertices, mark_up(schema, head, look, how)) @ rotation(yaw, 10, roll).T
        for how, yaw, roll in ((expression, 35, 15), (mirrored, -35, -15))
        for head in [build_head(shape, how)]
    )
    np.testing.assert_allclose(schema.mirror_points(points * [-1, 1, 1]), other, atol=1e-9)
    assert np.abs(points - other).max() > 0.1


def test_rotation_is_a_rotation():
    turn = rotation(20, -30, 40)
    np.testing.assert_allclose(turn @ turn.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(turn) == pytest.approx(1)


@pytest.mark.slow
def test_the_first_mode_that_a_mirror_turns_round_is_yaw(faces):
    mirrored = IBUG68.mirror_points(faces.target * [-1, 1])
    both = np.concatenate([faces.target, mirrored])
    aligned = align(both, both.mean(0)).reshape(480, -1)
    centered = aligned - aligned.mean(0)
    _, _, modes = np.linalg.svd(centered, full_matrices=False)
    for mode in modes[:5]:
        here, there = (centered @ mode).reshape(2, 240)
        if np.corrcoef(here, there)[0, 1] < -0.9:
            break
    else:
        pytest.fail("no antisymmetric mode among the first five")
    assert abs(np.corrcoef(here, faces.pose[:, 0])[0, 1]) > 0.9
    # Faces to the left and to the right fall on opposite sides.
    left, right = here[faces.pose[:, 0] < -40], here[faces.pose[:, 0] > 40]
    assert max(left.min(), right.min()) > min(left.max(), right.max())


def test_yaw_is_as_uneven_as_in_aflw():
    rng = np.random.default_rng(0)
    yaw = np.array([faces_module._draw_pose(rng, 90.0)[0] for _ in range(6000)])
    turned = np.abs(yaw)
    assert turned.max() <= 90
    assert turned.max() > 80
    assert np.mean(turned > 30) == pytest.approx(0.36, abs=0.04)
    assert np.mean(turned > 60) == pytest.approx(0.09, abs=0.02)
    assert abs(np.median(yaw)) < 2
    counts = np.histogram(yaw, np.linspace(-90, 90, 19))[0]
    assert counts.argmax() in (8, 9)
    # Shoulders: more faces near 45 degrees than in the valley before it, on either side.
    assert counts[4] > 0.9 * counts[5]
    assert counts[13] > 0.9 * counts[12]


@pytest.mark.slow
def test_uniform_yaw_is_uniform_and_changes_nothing_else():
    settings = {"n_samples": 30, "random_state": 3, "max_yaw": 60, "image_size": 32}
    usual, even = (make_faces(**settings, yaw=yaw) for yaw in ("natural", "uniform"))
    assert np.array_equal(even.pose[:, 1:], usual.pose[:, 1:])
    assert not np.array_equal(even.pose[:, 0], usual.pose[:, 0])
    assert kstest(even.pose[:, 0], "uniform", (-60, 120)).pvalue > 0.01
    assert "equally frequent" in even.DESCR
    held = make_faces(**settings, pose=even.pose)
    assert np.array_equal(pixels_of(held.data), pixels_of(even.data))


def test_every_face_has_a_uniform_yaw_of_its_own():
    plan = faces_module._Plan(
        0, 1, "aflw19", 32, 1, 1, "uniform", 90.0, None, 0.0, "bone", "keep", 0.0
    )
    yaw = [plan.pose_of(i, np.random.default_rng(0))[0] for i in range(1500)]
    assert kstest(yaw, "uniform", (-90, 180)).pvalue > 0.01


@pytest.mark.slow
def test_max_yaw_bounds_the_yaw():
    faces = make_faces(40, random_state=0, max_yaw=25, image_size=32)
    assert np.abs(faces.pose[:, 0]).max() <= 25
    assert np.abs(faces.pose[:, 0]).max() > 15


# What is seen, and by whom.


@pytest.mark.slow
def test_the_far_side_of_a_turned_face_is_hidden():
    pose = np.array([[70, 0, 0], [-70, 0, 0], [0, 0, 0]]).repeat(8, 0)
    faces = make_faces(24, random_state=0, pose=pose, occlusion=0, image_size=64)
    right, left, front = faces.visible.reshape(3, 8, 68)
    # A nose that points to the right leaves the right side of the face behind it.
    assert right[:, RIGHT].mean() < 0.1
    assert left[:, LEFT].mean() < 0.1
    # Long hair may hide the near side of the jaw, but not brow and eye.
    assert right[:, LEFT[3:]].mean() > 0.9
    assert left[:, RIGHT[3:]].mean() > 0.9
    assert front[:, 17:].mean() > 0.97
    assert np.array_equal(faces.visible, ~faces.self_occluded)


@pytest.mark.slow
def test_a_face_that_looks_ahead_hides_none_of_its_jaw():
    pose = np.zeros((32, 3))
    faces = make_faces(32, random_state=0, pose=pose, occlusion=0, faces_per_identity=1)
    # Except for long hair, which also hides the upper ends of the jaw.
    short = faces.visible[:, [1, 2, 14, 15]].all(1)
    assert short.sum() > 12
    assert faces.visible[short, 3:14].mean(0).min() > 0.85


@pytest.mark.slow
def test_things_in_front_hide_landmarks_and_move_none():
    pose = np.zeros((12, 3))
    settings = {"random_state": 0, "pose": pose, "image_size": 64}
    bare, hidden = (make_faces(12, **settings, occlusion=p) for p in (0, 1))
    assert np.array_equal(bare.target, hidden.target)
    assert not (hidden.visible & ~bare.visible).any()
    assert 0.05 < (bare.visible & ~hidden.visible).mean() < 0.6
    assert np.array_equal(bare.self_occluded, hidden.self_occluded)


@pytest.mark.slow
def test_hidden_landmarks_can_be_missing():
    kept, missing = (make_faces(6, random_state=1, hidden=hidden) for hidden in ("keep", "nan"))
    assert np.array_equal(np.isnan(missing.target).all(-1), ~kept.visible)
    assert np.array_equal(missing.target[kept.visible], kept.target[kept.visible])
    assert np.array_equal(missing.data.boxes, kept.data.boxes)
    _, target = make_faces(6, random_state=1, hidden="nan", return_X_y=True)
    np.testing.assert_array_equal(target, missing.target)


@pytest.mark.slow
def test_faces_of_one_person_are_alike():
    settings = {"faces_per_identity": 5, "pose": np.zeros((40, 3)), "image_size": 32}
    faces = make_faces(40, random_state=0, **settings)
    assert faces.groups.tolist() == np.repeat(range(8), 5).tolist()
    length = [
        np.linalg.norm(faces.target[:, a] - faces.target[:, b], axis=1)
        for a, b in ((39, 42), (4, 12))
    ]
    ratio = (length[0] / length[1]).reshape(8, 5)
    assert ratio.std(1).mean() < 0.5 * ratio.mean(1).std()
    for train, test in GroupKFold(4).split(faces.data, faces.target, faces.groups):
        assert not set(faces.groups[train]) & set(faces.groups[test])


# The jaw as the annotators of 300-W place it.


def on_head(yaw, schema=IBUG68, seed=0):
    """A head with an expression, and the pixels of its jaw on bone and outline."""
    rng = np.random.default_rng(seed)
    person = draw_person(rng)
    sitters = [
        sit(person, (yaw, 0, 0), 128, schema, np.random.default_rng(seed), jaw)
        for jaw in ("bone", "outline")
    ]
    return sitters[0], *(sitter.landmarks for sitter in sitters)


@pytest.mark.slow
def test_the_outline_moves_the_jaw_and_nothing_else():
    bone, outline = (make_faces(12, random_state=3, image_size=64, jaw=j) for j in JAWS)
    assert np.array_equal(pixels_of(bone.data), pixels_of(outline.data))
    assert np.array_equal(bone.target[:, 17:], outline.target[:, 17:])
    np.testing.assert_allclose(bone.target[:, 8], outline.target[:, 8], atol=1e-9)
    assert np.abs(bone.target[:, :17] - outline.target[:, :17]).max() > 1


def test_the_outline_of_a_frontal_face_is_the_edge_of_the_bone():
    for seed in range(4):
        _, bone, outline = on_head(0, seed=seed)
        width = np.ptp(bone[:, 0])
        assert np.abs(bone - outline).max() < 0.04 * width


@pytest.mark.parametrize("yaw", [-40, 40])
def test_no_point_of_the_far_cheek_is_beyond_the_outline(yaw):
    for seed in range(4):
        sitter, bone, outline = on_head(yaw, seed=seed)
        side = np.sign(yaw)
        far = outline[9:17] if yaw > 0 else outline[:8]
        # The front of the face, from the eyes to the rim of the jaw.
        front = sitter.place(sitter.head.vertices[:JAW_ROW, FRONT]).reshape(-1, 2)
        for x, y in far:
            near = front[np.abs(front[:, 1] - y) < 1.5]
            assert side * x >= (side * near[:, 0]).max() - 1.5
        hidden = bone[9:17] if yaw > 0 else bone[:8]
        assert np.abs(far - hidden).max() > 3


@pytest.mark.slow
def test_the_outline_is_visible_where_the_bone_is_hidden():
    pose = np.array([[40, 0, 0], [-40, 0, 0]]).repeat(8, 0)
    bone, outline = (
        make_faces(16, random_state=0, pose=pose, occlusion=0, jaw=jaw).visible for jaw in JAWS
    )
    far = (
        np.concatenate([bone[:8, 11:17], bone[8:, :6]]),
        np.concatenate([outline[:8, 11:17], outline[8:, :6]]),
    )
    assert far[0].mean() < 0.2
    assert far[1].mean() > 0.8


def test_the_outline_of_a_mirrored_head_is_mirrored():
    shape = draw_shape(np.random.default_rng(0))
    head = build_head(shape, Expression(0.1))
    points = []
    for yaw in (35, -35):
        turn = rotation(yaw, 10, 0)
        marks = on_outline(
            head, head.marks[:17], lambda p, turn=turn: (p @ turn.T)[..., :2], [0, 1]
        )
        points.append((on_grid(head.vertices, marks) @ turn.T)[:, :2])
    np.testing.assert_allclose(points[1][::-1] * [-1, 1], points[0], atol=1e-9)


def test_the_outline_has_the_same_points_in_both_dense_mark_ups():
    for yaw in (-50, 0, 25):
        _, _, sparse = on_head(yaw)
        _, _, dense = on_head(yaw, WFLW98)
        np.testing.assert_allclose(dense[:33:2], sparse[:17], atol=1e-9)


# Boxes.


def box_offsets(boxes, target):
    tight = boxes_of(target)
    side = tight[:, 2:].max(1)
    middle = [b[:, :2] + (b[:, 2:] - 1) / 2 for b in (boxes, tight)]
    return (middle[0] - middle[1]) / side[:, None], boxes[:, 2] / side


@pytest.mark.slow
def test_boxes_without_error_fit():
    faces = make_faces(20, random_state=0, box_error=0, image_size=64)
    shift, scale = box_offsets(faces.data.boxes, faces.target)
    np.testing.assert_allclose(shift, 0, atol=1e-12)
    np.testing.assert_allclose(scale, 1, atol=1e-12)
    low = faces.data.boxes[:, None, :2] - 1e-9
    assert (faces.target >= low).all()
    assert (faces.target <= low + faces.data.boxes[:, None, 2:] - 1 + 2e-9).all()


@pytest.mark.slow
def test_boxes_are_squares_with_the_errors_of_a_detector(faces):
    boxes, yaw = faces.data.boxes, np.abs(faces.pose[:, 0])
    assert np.array_equal(boxes[:, 2], boxes[:, 3])
    shift, scale = box_offsets(boxes, faces.target)
    factor = 1 + yaw / 60
    assert np.abs(shift.mean(0)).max() < 0.015
    np.testing.assert_allclose((shift / factor[:, None]).std(0), [0.04, 0.03], rtol=0.2)
    np.testing.assert_allclose(((np.log(scale) + 0.04) / factor).std(), 0.07, rtol=0.2)
    # 300-W's detector gives boxes that are 4 % smaller than those of its labels.
    np.testing.assert_allclose(np.log(scale).mean(), -0.04, atol=0.02)


# Bad input.


@pytest.mark.parametrize(
    ("error", "parameters", "message"),
    [
        (ValueError, {"n_samples": 0}, r"n_samples must be an integer in \[1, .*\], got 0"),
        (ValueError, {"n_samples": 2.5}, "n_samples must be an integer .*, got 2.5"),
        (ValueError, {"image_size": 16}, r"image_size must be an integer in \[32"),
        (ValueError, {"faces_per_identity": 0}, r"faces_per_identity must be an integer in \[1"),
        (ValueError, {"max_yaw": 120}, r"max_yaw must be a number in \[1, 90\], got 120"),
        (ValueError, {"occlusion": -0.1}, r"occlusion must be a number in \[0, 1\]"),
        (ValueError, {"occlusion": np.nan}, r"occlusion must be a number in \[0, 1\]"),
        (ValueError, {"box_error": "big"}, "box_error must be a number"),
        (ValueError, {"n_samples": 2, "pose": [[0, 0, 0]]}, r"\(1, 3\), expected \(2, 3\)"),
        (ValueError, {"n_samples": 2, "pose": [[0, 0, 0], [0, 95, 0]]}, "sample 1: pose is"),
        (ValueError, {"n_samples": 1, "pose": [[np.nan, 0, 0]]}, "sample 0: pose is"),
        (ValueError, {"random_state": "seed"}, "random_state must be .*, got 'seed'"),
        (
            ValueError,
            {"n_faces_per_image": 0},
            r"n_faces_per_image must be an integer in \[1, 20\]",
        ),
        (
            ValueError,
            {"n_faces_per_image": 21},
            r"n_faces_per_image must be an integer in \[1, 20\], got 21",
        ),
        (ValueError, {"n_faces_per_image": "2"}, "n_faces_per_image must be an integer"),
        (ValueError, {"yaw": "odd"}, "yaw must be one of 'natural', 'uniform'; got 'odd'"),
        (ValueError, {"yaw": 30}, "yaw must be one of"),
        (ValueError, {"jaw": "skin"}, "jaw must be one of 'bone', 'outline'"),
        (ValueError, {"hidden": "drop"}, "hidden must be one of 'keep', 'nan'"),
        (ValueError, {"schema": "ibug69"}, "Unknown schema 'ibug69'"),
        (ValueError, {"schema": None}, "schema must be one of .*'wflw98'.*; got None"),
        (ValueError, {"schema": replace(IBUG68, name="mine")}, "got 'mine'"),
        (TypeError, {"schema": 68}, "schema must be"),
    ],
)
def test_bad_parameters_are_named(error, parameters, message):
    with pytest.raises(error, match=message):
        make_faces(**parameters)


def test_the_average_face_is_symmetric():
    head = build_head(Shape(), Expression())
    np.testing.assert_allclose(
        IBUG68.mirror_points(head.points * [-1, 1, 1]), head.points, atol=1e-9
    )
    assert np.ptp(head.points[:17, 0]) == pytest.approx(2, abs=0.05)
