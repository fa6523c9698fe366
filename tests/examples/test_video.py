import importlib.util
from pathlib import Path

import numpy as np
import pytest

from skwing import save_model
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces

PATH = Path(__file__).resolve().parents[2] / "examples" / "video.py"


@pytest.fixture(scope="module")
def video():
    """The module of the example, which is in no package."""
    spec = importlib.util.spec_from_file_location("video", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def model(video, tmp_path_factory):
    """Path of a model that was hardly trained."""
    path = tmp_path_factory.mktemp("model") / "model.safetensors"
    save_model(video.train(8, 1, 0), path)
    return str(path)


class Knows:
    """A regressor that sees a face in every box: the mean of drawn faces."""

    def __init__(self):
        faces = make_faces(4, random_state=0, box_error=0)
        boxes = faces.data.boxes[:, None]
        self.shape = ((faces.target - boxes[..., :2]) / boxes[..., 2:]).mean(axis=0)

    def predict(self, X):
        return X.boxes[:, None, :2] + X.boxes[:, None, 2:] * self.shape


def test_faces_of_the_clip_are_where_it_says(video):
    frames, truth, boxes = video.make_clip(5, seed=3)
    assert (len(frames), frames[0].shape, frames[0].dtype) == (5, (280, 360, 3), np.uint8)
    low, high = truth[0].min(axis=1), truth[0].max(axis=1)
    np.testing.assert_allclose(boxes[:, :2] + boxes[:, 2:] / 2, (low + high) / 2, atol=2)
    assert (boxes[:, 2:].max(axis=1) >= (high - low).max(axis=1)).all()
    assert (truth[-1, 1, :, 0] > 360).all()  # the second walks out, the first stays
    assert ((truth[:, 0] > 0) & (truth[:, 0] < [360, 280])).all()
    # What is at the tip of a nose moves along.
    faces = [frame[int(y), int(x)] for frame, (x, y) in zip(frames, truth[:, 0, 30], strict=True)]
    assert np.ptp(np.int32(faces), axis=0).max() < 60


@pytest.mark.slow
def test_it_runs_from_training_to_the_film(video, tmp_path, capsys):
    out = tmp_path / "film.avi"
    errors = video.main(["--frames", "4", "--n-samples", "8", "--epochs", "1", "--out", str(out)])
    assert errors.shape == (4, 2)
    assert "4 frames at" in capsys.readouterr().out
    if not out.exists():
        pytest.skip("this OpenCV writes no videos")
    assert len(list(video.read_video(out))) == 4


class NoWriter:
    """What cv2.VideoWriter is where there is no codec."""

    def __init__(self, *args):
        pass

    def isOpened(self):
        return False


@pytest.mark.slow
def test_without_a_codec_it_writes_pictures(video, model, tmp_path, monkeypatch):
    monkeypatch.setattr(video.cv2, "VideoWriter", NoWriter)
    out = tmp_path / "film.mp4"
    video.main(["--frames", "3", "--model", model, "--out", str(out)])
    files = sorted((tmp_path / "film").glob("*.png"))
    assert [file.name for file in files] == ["00000.png", "00001.png", "00002.png"]
    assert cv2.imread(str(files[0])).shape == (280, 360, 3)


@pytest.mark.slow
def test_a_video_and_a_model_of_the_user(video, model, tmp_path):
    frames, _, boxes = video.make_clip(3, seed=3)
    clip = tmp_path / "clip.avi"
    writer = video.Writer(clip, 10)
    for frame in frames:
        writer.write(frame)
    writer.close()
    if not clip.exists():
        pytest.skip("this OpenCV writes no videos")
    box = [str(value) for value in boxes[0]]
    out = str(tmp_path / "out.avi")
    found = video.main(["--video", str(clip), "--model", model, "--box", *box, "--out", out])
    assert [index for index, _, _ in found] == [0, 1, 2]
    assert found[0][1].tolist() == [0]


def test_landmarks_are_drawn_where_they_are_and_the_frame_stays_as_it_was(video):
    frames, _, boxes = video.make_clip(1, seed=3)
    frame = next(iter(video.track(Knows(), frames, boxes, threshold=None)))
    before = frame.image.copy()
    drawn = frame.draw()
    np.testing.assert_array_equal(frame.image, before)
    colours = []
    for points in frame.landmarks:
        x, y = np.round(points[30]).astype(int)
        colours.append(drawn[y, x].astype(int))
        assert abs(colours[-1] - before[y, x]).max() > 60
    assert abs(colours[0] - colours[1]).max() > 60
