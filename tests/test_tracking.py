import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator
from sklearn.pipeline import Pipeline
from small import PLAIN

from skwing import BoxedImages, CascadeLandmarkRegressor, tracking
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces
from skwing.tracking import read_video, track

SHAPE = np.array([[-10.0, -10], [10, -10], [0, 0], [-6, 10], [6, 10]])
BOX = np.array([-12.0, -12, 24, 24])  # around the shape's middle
HEIGHT, WIDTH = 120, 160


class Perfect(BaseEstimator):
    """Knows where faces are in each frame, and gives the one that is nearest to a box.

    Where none is near, the landmarks lie in the box as usual, as those of a real regressor
    do. Frames hold their number in their first pixel. `follow` says which fraction of a
    box's shift landmarks move along: 0 for a face that is seen.
    """

    def __init__(self, paths, follow=lambda index, face: 0.0, size=1.0):
        self.paths, self.follow, self.size = np.asarray(paths, dtype=np.float64), follow, size
        self.n_calls = 0
        self.boxes = []

    def fit(self, X, y):
        """Nothing to learn; a pipeline asks for it."""

    def __sklearn_is_fitted__(self):
        return True

    def predict(self, X):
        self.n_calls += 1
        index = int(X.decode(0)[0, 0, 0])
        middles = self.paths[index]
        answers = []
        for box in X.boxes:
            away = box[:2] + (box[2:] - 1) / 2 - middles
            face = np.argmin(np.linalg.norm(away, axis=1))
            is_near = np.linalg.norm(away[face]) < 24
            follow = self.follow(index, face) if is_near else 1.0
            answers.append(self.size * SHAPE + middles[face] + follow * away[face])
        return np.array(answers)


def numbered(n, height=HEIGHT, width=WIDTH):
    frames = np.zeros((n, height, width, 3), np.uint8)
    frames[:, 0, 0] = np.arange(n)[:, None]
    return frames


def boxes_at(middles):
    return np.asarray(middles)[:, None, :].repeat(2, 1).reshape(-1, 4) * [1, 1, 0, 0] + (
        BOX + [0.5, 0.5, 0, 0]
    )


def follow(paths, *, regressor=None, boxes=True, **settings):
    """Tracked frames of faces on paths of shape (n_frames, n_faces, 2)."""
    paths = np.asarray(paths, dtype=np.float64)
    regressor = Perfect(paths) if regressor is None else regressor
    given_boxes = boxes_at(paths[0]) if boxes is True else boxes
    return list(track(regressor, numbered(len(paths)), given_boxes, **settings))


def still(n, *middles):
    return np.broadcast_to(np.array(middles, dtype=float), (n, len(middles), 2))


@settings(max_examples=30)
@given(
    start=st.tuples(st.floats(40, 120), st.floats(40, 80)),
    steps=st.lists(st.tuples(st.floats(-8, 8), st.floats(-8, 8)), min_size=1, max_size=20),
    smoothing=st.sampled_from([0.0, 0.5, 0.9]),
)
def test_a_face_is_followed_exactly_wherever_it_goes_in_the_image(start, steps, smoothing):
    path = np.clip(np.cumsum([start, *steps], axis=0), [12, 12], [147, 107])
    found = follow(path[:, None], smoothing=smoothing)
    for i, (frame, middle) in enumerate(zip(found, path, strict=True)):
        assert (frame.index, frame.ids.tolist(), frame.lost.size) == (i, [0], 0)
        np.testing.assert_allclose(frame.landmarks[0], SHAPE + middle)
        np.testing.assert_allclose(frame.scores, 1)
        # The face did not change its size, so the box lies around it as it did at first.
        np.testing.assert_allclose(frame.boxes, boxes_at(path[[max(i - 1, 0)]]))


@pytest.mark.slow
@settings(max_examples=15)
@given(apart=st.floats(14, 30), speed=st.floats(1, 4), is_swapped=st.booleans())
def test_faces_that_cross_keep_their_numbers(apart, speed, is_swapped):
    n = int(100 / speed)
    x = 30 + speed * np.arange(n)
    left, right = (np.column_stack([a, np.full(n, y)]) for a, y in ((x, 50), (160 - x, 50 + apart)))
    paths = np.stack([right, left] if is_swapped else [left, right], axis=1)
    for frame, middles in zip(follow(paths), paths, strict=True):
        assert frame.ids.tolist() == [0, 1]
        np.testing.assert_allclose(frame.landmarks, SHAPE + middles[:, None])


@pytest.mark.parametrize("threshold", [0.5, None])
@pytest.mark.parametrize("step", [(9, 0), (-9, 1), (0, 9), (2, -9)])
def test_a_face_that_leaves_the_image_is_dropped(step, threshold):
    path = [80, 60] + np.arange(40)[:, None] * np.array(step)
    found = follow(np.stack([path, still(40, [130, 100])[:, 0]], 1), threshold=threshold)
    ends = [frame.index for frame in found if 0 in frame.lost]
    inside = [i for i, p in enumerate(path) if (p >= 0).all() and (p < [WIDTH, HEIGHT]).all()]
    assert len(ends) == 1
    assert inside[-1] < ends[0] <= inside[-1] + 2  # half of its landmarks may stay behind
    for frame in found:
        assert frame.ids.tolist() == ([0, 1] if frame.index < ends[0] else [1])
        assert np.isfinite(frame.landmarks).all()


def test_landmarks_that_move_with_the_box_are_no_face():
    paths = still(20, [40, 60], [110, 60])
    regressor = Perfect(paths, follow=lambda index, face: 0.8 * (face == 1 and index >= 10))
    found = follow(paths, regressor=regressor, patience=3)
    for frame in found:
        seen = [0, 1] if frame.index < 13 else [0]
        assert frame.ids.tolist() == seen
        assert frame.lost.tolist() == ([1] if frame.index == 13 else [])
        np.testing.assert_allclose(frame.scores, [1, 0.2 if frame.index >= 10 else 1][: len(seen)])
        bad = np.isnan(frame.landmarks).all(axis=(1, 2))
        assert bad.tolist() == [False, frame.index >= 10][: len(seen)]


@pytest.mark.parametrize(("follow_by", "n_left"), [(0.3, 1), (0.49, 1), (0.51, 0)])
def test_the_threshold_is_a_half_unless_told(follow_by, n_left):
    paths = still(8, [80, 60])
    regressor = Perfect(paths, follow=lambda index, face: follow_by)
    assert len(follow(paths, regressor=regressor)[-1].ids) == n_left
    assert len(follow(paths, regressor=regressor, threshold=0.6)[-1].ids) == n_left * (
        follow_by < 0.4
    )
    assert len(follow(paths, regressor=regressor, threshold=None)[-1].ids) == 1


@pytest.mark.parametrize(("n_hidden", "patience", "kept"), [(3, 3, True), (4, 3, False)])
def test_a_face_hidden_for_a_moment_is_found_again_with_its_number(n_hidden, patience, kept):
    paths = still(15, [80, 60])
    hidden = range(5, 5 + n_hidden)
    regressor = Perfect(paths, follow=lambda index, face: 1.0 * (index in hidden))
    found = follow(paths, regressor=regressor, patience=patience)
    assert (0 in found[-1].ids) == kept
    assert [i for f in found for i in f.lost] == ([] if kept else [0])
    if kept:
        np.testing.assert_allclose(found[-1].landmarks[0], SHAPE + [80, 60])


def test_patience_0_drops_at_the_first_bad_fit():
    paths = still(4, [80, 60])
    regressor = Perfect(paths, follow=lambda index, face: 1.0 * (index == 2))
    found = follow(paths, regressor=regressor, patience=0)
    assert [len(frame.ids) for frame in found] == [1, 1, 0, 0]
    assert found[2].lost.tolist() == [0]


def test_a_jump_in_size_is_no_face():
    class Growing(Perfect):
        def predict(self, X):
            points = super().predict(X)
            jumps = X.decode(0)[0, 0, 0] >= 3
            return points + jumps * 0.6 * (points - points.mean(axis=1, keepdims=True))

    paths = still(6, [80, 60])
    found = follow(paths, regressor=Growing(paths))
    assert [bool(np.isnan(f.landmarks).all()) for f in found] == [False] * 3 + [True] * 3


def test_sizes_of_boxes_are_smoothed_and_middles_are_not():
    class Pulsing(Perfect):
        def predict(self, X):
            points = super().predict(X)
            middle = points.mean(axis=1, keepdims=True)
            return middle + (1.21 if X.decode(0)[0, 0, 0] == 1 else 1.0) * (points - middle)

    def sides(smoothing):
        paths = still(3, [80, 60])
        found = follow(paths, regressor=Pulsing(paths), smoothing=smoothing)
        return np.array([frame.boxes[0, 2] for frame in found])

    large = (1.21 * 20 + 1) / 21  # a box counts the pixels at both ends
    np.testing.assert_allclose(sides(0.0), [24, 24, 24 * large])
    np.testing.assert_allclose(sides(0.5), [24, 24, 24 * large**0.5])


def test_two_searches_that_found_the_same_face_become_one():
    paths = still(12, [80, 60])
    found = follow(paths, boxes=np.concatenate([boxes_at([[80, 60]]), boxes_at([[84, 58]])]))
    assert found[3].ids.tolist() == [0, 1]
    assert [i for f in found for i in f.lost] == [1]
    assert found[-1].ids.tolist() == [0]


def test_of_two_on_one_face_the_one_followed_without_a_break_stays():
    # The first was not seen for a while, in which the second came where it had been.
    paths = still(30, [60, 60], [100, 60]).copy()
    paths[5:, 0] = 1000
    paths[5:, 1, 0] = np.maximum(60, 100 - 8 * np.arange(25))
    regressor = Perfect(paths)
    found = follow(paths, regressor=regressor, patience=10)
    assert [i for f in found for i in f.lost] == [0]
    assert found[-1].ids.tolist() == [1]


def test_a_detector_brings_new_faces_and_knows_the_old_ones():
    calls = []
    paths = still(25, [40, 60], [110, 60])

    def detect(image):
        index = int(image[0, 0, 0])
        calls.append(index)
        return boxes_at([[41, 59], [109, 61]])[: 1 if index < 10 else 2]

    found = follow(paths, boxes=None, detect=detect, detect_every=10)
    assert calls == [0, 10, 20]
    assert [frame.ids.tolist() for frame in found] == [[0]] * 10 + [[0, 1]] * 15


def test_boxes_come_before_the_detector():
    calls = []

    def detect(image):
        calls.append(int(image[0, 0, 0]))

    follow(still(5, [40, 60]), detect=detect, detect_every=2)
    assert calls == [2, 4]


def test_numbers_are_not_used_again():
    paths = still(30, [80, 60])
    regressor = Perfect(paths, follow=lambda index, face: 1.0 * (10 <= index < 18))
    found = follow(
        paths,
        regressor=regressor,
        boxes=None,
        detect=lambda image: boxes_at([[80, 60]]),
        detect_every=5,
    )
    ids = {int(i) for frame in found for i in frame.ids}
    lost = [int(i) for frame in found for i in frame.lost]
    assert lost == [0]
    assert ids == {0, 1}
    assert found[-1].ids.tolist() == [1]


def test_a_detector_finds_a_face_again_where_it_went_unseen():
    paths = still(12, [60, 60]).copy()
    paths[5:] = [72, 60]
    # It is seen by the regressor only from a box that lies as it should.
    far = [abs(60 - 72)]

    class Shy(Perfect):
        def predict(self, X):
            points = super().predict(X)
            away = X.boxes[:1, 0] + 11.5 - self.paths[int(X.decode(0)[0, 0, 0]), :, 0]
            moved = (X.boxes[:, :2] - X.boxes[:1, :2])[:, None]
            return points + moved * (abs(away) >= far[0])

    found = follow(
        paths, regressor=Shy(paths), detect=lambda image: boxes_at([[71, 60]]), detect_every=8
    )
    assert np.isnan(found[6].landmarks).all()
    assert found[-1].ids.tolist() == [0]
    np.testing.assert_allclose(found[-1].landmarks[0], SHAPE + [72, 60])


def test_boxes_lie_around_landmarks_as_those_given_do_at_the_median():
    paths = still(2, [30, 60], [80, 60], [130, 60])
    boxes = boxes_at(paths[0])
    boxes[0] += [-4, -4, 8, 8]  # one was drawn too large, one too high
    boxes[1] += [0, -5, 0, 0]
    found = follow(paths, boxes=boxes)
    np.testing.assert_array_equal(found[0].boxes, boxes)
    np.testing.assert_allclose(found[1].boxes, boxes_at(paths[0]))


def test_boxes_lie_around_landmarks_as_told():
    paths = still(2, [80, 60])
    found = follow(paths, like={"margin": 0.25, "shift": (0.0, 0.1), "square": True, "jitter": 0})
    # Landmarks have a box of 21 pixels.
    np.testing.assert_allclose(found[1].boxes, [[70 - 5.25, 50 - 5.25 + 2.1, 31.5, 31.5]])


def in_pipeline(regressor):
    return Pipeline([("balance", "passthrough"), ("reg", regressor)])


@pytest.mark.parametrize("wrap", [lambda regressor: regressor, in_pipeline])
def test_boxes_lie_around_landmarks_as_those_of_training_did(wrap):
    paths = still(2, [80, 60])
    regressor = Perfect(paths)
    regressor.box_relation_ = {"margin": 0.25, "shift": (0.0, 0.0), "square": True, "jitter": 0}
    found = follow(paths, regressor=wrap(regressor))
    np.testing.assert_allclose(found[1].boxes, [[70 - 5.25, 50 - 5.25, 31.5, 31.5]])
    found = follow(paths, regressor=wrap(regressor), like={"margin": 0.0})
    np.testing.assert_allclose(found[1].boxes, [[70, 50, 21, 21]])


def test_all_faces_of_a_frame_are_predicted_together():
    paths = still(3, [30, 60], [80, 60], [130, 60])
    regressor = Perfect(paths)
    follow(paths, regressor=regressor)
    assert regressor.n_calls == 3


class Sure(Perfect):
    """Has a confidence, as a calibrated regressor, which is low for faces on the left."""

    _certainty = "calibrated"

    def predict(self, X, return_confidence=False):
        points = super().predict(X)
        return (
            (points, np.where(points[:, 0, 0] < WIDTH / 2, 0.2, 0.9))
            if return_confidence
            else points
        )


def test_the_confidence_of_a_calibrated_regressor_is_the_score():
    paths = still(3, [WIDTH / 4, HEIGHT / 2], [3 * WIDTH / 4, HEIGHT / 2])
    regressor = Sure(paths)
    for frame in follow(paths, regressor=regressor):
        np.testing.assert_array_equal(frame.scores, [0.2, 0.9])
        assert np.isnan(frame.landmarks[0]).all() and not np.isnan(frame.landmarks[1]).any()


def test_without_a_threshold_there_are_no_scores():
    (frame,) = follow(still(1, [80, 60]), threshold=None)
    assert np.isnan(frame.scores).all()
    np.testing.assert_allclose(frame.landmarks[0], SHAPE + [80, 60])


def test_frames_without_faces():
    regressor = Perfect(still(2, [80, 60]))
    for frame in follow(still(2, [80, 60]), regressor=regressor, boxes=[]):
        assert (frame.ids.shape, frame.landmarks.shape[0], frame.boxes.shape) == ((0,), 0, (0, 4))
    assert regressor.n_calls == 0


def test_flat_answers_paths_of_files_and_a_whole_image_as_a_box(tmp_path):
    paths = still(2, [80, 60])

    class Flat(Perfect):
        def predict(self, X):
            return super().predict(X).reshape(len(X), -1)

    files = [tmp_path / f"{i}.png" for i in range(2)]
    for file, frame in zip(files, numbered(2), strict=True):
        cv2.imwrite(str(file), frame)
    found = list(track(Flat(paths), files, [[np.nan] * 4]))
    np.testing.assert_array_equal(found[0].boxes, [[0, 0, WIDTH, HEIGHT]])
    np.testing.assert_allclose(found[1].landmarks[0], SHAPE + [80, 60])


def test_frames_are_taken_one_at_a_time():
    taken = []

    def frames():
        for i, frame in enumerate(numbered(5)):
            taken.append(i)
            yield frame

    found = track(Perfect(still(5, [80, 60])), frames(), boxes_at([[80, 60]]))
    assert taken == []
    next(found)
    next(found)
    assert taken == [0, 1]


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"regressor": 3}, TypeError, "regressor must have a method predict; got 3"),
        ({"frames": "clip.mp4"}, TypeError, r"single path 'clip\.mp4'.*read_video"),
        ({"boxes": None}, ValueError, "pass the boxes of the first frame, or a function detect"),
        ({"boxes": [[1, 2, 3]]}, ValueError, r"boxes have shape \(1, 3\)"),
        ({"boxes": [[1, 2, 3, 0]]}, ValueError, "box 0: .*width and height above 0"),
        ({"detect": "dlib"}, TypeError, "detect must be a function .* got 'dlib'"),
        ({"detect_every": 0}, ValueError, "every must be an integer"),
        ({"patience": -1}, ValueError, "patience must be an integer"),
        ({"smoothing": 1.0}, ValueError, "smoothing must be a number"),
        ({"threshold": 1.0}, ValueError, "threshold must be a number"),
        ({"like": [1]}, TypeError, "like must be a mapping"),
        ({"like": {"shift": 3}}, ValueError, "like.*shift.* two numbers; got 3"),
    ],
)
def test_wrong_arguments_are_refused_before_the_first_frame(change, error, message):
    usual = {"regressor": Perfect(still(1, [80, 60])), "frames": [], "boxes": [[0, 0, 9, 9]]}
    with pytest.raises(error, match=message):
        track(**{**usual, **change})


@pytest.mark.parametrize(
    ("frames", "settings", "error"),
    [
        ([*numbered(2), "none.png"], {}, FileNotFoundError),
        ([*numbered(2), np.zeros((4, 4), np.int32)], {}, ValueError),
        (numbered(3), {"detect": lambda image: [(1, 2)], "detect_every": 2}, ValueError),
        (numbered(3), {"detect": lambda image: 1 / 0, "detect_every": 2}, RuntimeError),
    ],
)
def test_errors_say_in_which_frame(frames, settings, error):
    found = track(Perfect(still(3, [80, 60])), frames, boxes_at([[80, 60]]), **settings)
    with pytest.raises(error) as caught:
        list(found)
    assert caught.value.__notes__ == ["The error occurred in frame 2 (counted from 0)."]


def test_a_box_outside_the_first_frame_is_an_error():
    with pytest.raises(ValueError, match=r"box 0: .* lies outside the image"):
        follow(still(1, [80, 60]), boxes=[[500, 0, 9, 9]])


@pytest.mark.slow
def test_a_regressor_of_the_package_is_asked_with_these_boxes():
    X, y = make_faces(4, random_state=0, image_size=64, return_X_y=True)
    reg = CascadeLandmarkRegressor(networks=(PLAIN,), max_epochs=1, random_state=0).fit(X, y)
    image = X.decode(0)
    found = list(track(reg, [image, image], X.boxes[:2], threshold=None))
    for frame in found:
        asked = BoxedImages([image] * 2, frame.boxes)
        np.testing.assert_allclose(frame.landmarks, reg.predict(asked), atol=1e-4)


def test_read_video(tmp_path):
    path = str(tmp_path / "clip.avi")
    writer = cv2.VideoWriter(path, cv2.VideoWriter_fourcc(*"MJPG"), 10, (64, 48))
    if not writer.isOpened():
        pytest.skip("this OpenCV writes no videos")
    for level in (0, 100, 200):
        writer.write(np.full((48, 64, 3), (level, 0, 0), np.uint8))
    writer.release()
    frames = list(read_video(path))
    assert [frame.shape for frame in frames] == [(48, 64, 3)] * 3
    blue = [frame[..., 2].mean() for frame in frames]  # OpenCV's first channel is our last
    np.testing.assert_allclose(blue, [0, 100, 200], atol=6)
    with pytest.raises(FileNotFoundError, match=r"none\.avi"):
        read_video(tmp_path / "none.avi")
    (tmp_path / "text.avi").write_text("no video")
    with pytest.raises(ValueError, match=r"text\.avi is damaged"):
        read_video(tmp_path / "text.avi")


def test_public_names():
    assert tracking.__all__ == ["TrackedFrame", "read_video", "track"]


def test_frames_without_faces_have_as_many_landmarks_as_the_others():
    """So that the landmarks of all frames can be concatenated."""
    frames = numbered(3)
    away = Perfect([[[40, 60]], [[900, 900]], [[900, 900]]])
    found = list(track(away, frames, boxes_at([[40, 60]]), patience=0))
    assert [len(frame.ids) for frame in found] == [1, 0, 0]
    assert np.concatenate([frame.landmarks for frame in found]).shape == (1, 5, 2)
    away.n_landmarks_ = 7  # known before the first prediction
    (frame,) = track(away, frames[:1], np.empty((0, 4)))
    assert frame.landmarks.shape == (0, 7, 2)
