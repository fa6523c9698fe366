"""skwing track follows faces through a video, and writes a table and a video."""

import csv

import numpy as np
import pytest

from skwing._cli.samples import _faces_around
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces, write_csv
from skwing.persistence import describe_model
from skwing.tracking import read_video

N_FRAMES = 6
FACES = make_faces(3, image_size=96, box_error=0, random_state=0)
SHAPE = ((FACES.target - FACES.data.boxes[:, None, :2]) / FACES.data.boxes[:, None, 2:]).mean(0)


class Knows:
    """A regressor that sees the same face at one place, whatever the box."""

    n_landmarks_, schema_, box_relation_ = 68, FACES.schema, {"margin": 0.1, "shift": (0, 0)}

    def predict(self, X):
        return np.tile(10 + 40 * SHAPE, (len(X), 1, 1))


class Whole(Knows):
    box_relation_ = None


class Finds:
    """A detector of the face of Knows; none in black frames."""

    def __call__(self, image):
        return [(8, 8, 44, 44)] if image.mean() > 20 else []


@pytest.fixture
def clip(run, tmp_path, monkeypatch):
    """A video, a model and a detector; the model is the text of --model."""
    monkeypatch.chdir(tmp_path)
    for name, level in (("clip.avi", 128), ("black.avi", 0)):
        video = cv2.VideoWriter(name, cv2.VideoWriter_fourcc(*"MJPG"), 10, (96, 64))
        if not video.isOpened():
            pytest.skip("this OpenCV writes no videos")
        for _ in range(N_FRAMES):
            video.write(np.full((64, 96, 3), level, np.uint8))
        video.release()
    models = {"knows": Knows, "whole": Whole}
    monkeypatch.setattr("skwing._cli.commands.load_model", lambda path: models[path]())
    monkeypatch.setattr("skwing._cli.samples.SkimageCascade", Finds)
    return tmp_path


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_a_video_gives_a_table_and_a_video(clip, run):
    args = ("--model", "knows", "--out", "a.csv", "--draw", "a.avi")
    code, _, told = run("track", "clip.avi", *args)
    assert code == 0 and f"1 face in {N_FRAMES} of {N_FRAMES} frames" in told
    rows = rows_of("a.csv")
    assert [row["frame"] for row in rows] == [str(i) for i in range(N_FRAMES)]
    assert [float(row["time"]) for row in rows] == pytest.approx([i / 10 for i in range(N_FRAMES)])
    assert {(row["face"], row["score"]) for row in rows} == {("0", "1")}
    assert [float(rows[0][name]) for name in ("x", "y", "width", "height")] == [8, 8, 44, 44]
    names = [f"{name}_{axis}" for name in FACES.schema.landmark_names for axis in "xy"]
    found = [float(rows[3][name]) for name in names]
    np.testing.assert_allclose(found, (10 + 40 * SHAPE).ravel())
    drawn, plain = list(read_video("a.avi")), list(read_video("clip.avi"))
    assert len(drawn) == N_FRAMES
    x, y = np.round(10 + 40 * SHAPE[30]).astype(int)
    assert abs(drawn[2][y, x].astype(int) - plain[2][y, x]).max() > 60


@pytest.mark.parametrize(
    ("options", "files"),
    [((), ["landmarks.csv"]), (("--draw", "d.avi"), ["d.avi"]), (("--out", "o.csv"), ["o.csv"])],
)
def test_what_is_written_by_default(clip, run, options, files):
    before = {path.name for path in clip.iterdir()}
    assert run("track", "clip.avi", "--model", "knows", *options)[0] == 0
    assert sorted({path.name for path in clip.iterdir()} - before) == files


def test_a_rejected_fit_is_an_empty_row(clip, run, monkeypatch):
    def moves(self, X):
        return X.boxes[:, None, :2] + X.boxes[:, None, 2:] * SHAPE

    monkeypatch.setattr(Knows, "predict", moves)
    code, _, told = run("track", "clip.avi", "--model", "knows")
    rows = rows_of("landmarks.csv")
    assert code == 1 and f"0 faces in 0 of {N_FRAMES} frames" in told
    assert rows[0]["chin_x"] == "" and float(rows[0]["score"]) < 0.5


def test_a_video_without_faces_has_a_table_without_rows(clip, run):
    code, _, _ = run("track", "black.avi", "--model", "knows", "--out", "black.csv")
    assert code == 1 and rows_of("black.csv") == []
    args = ("--model", "knows", "--box", 8, 8, 44, 44, "--decimals", 0)
    assert run("track", "black.avi", *args)[0] == 0
    assert rows_of("landmarks.csv")[0]["chin_x"].isdecimal()


def test_a_model_of_whole_images_is_a_warning(clip, run):
    told = run("track", "clip.avi", "--model", "whole")[2]
    assert "the model was trained without boxes" in told and "--detect" in told
    assert "trained without boxes" not in run("track", "clip.avi", "--model", "knows")[2]


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("none.avi",), "there is no video file none.avi in the current folder"),
        ((".",), "this is a folder, expected a video file"),
        (("clip.avi", "--out", "a.json"), "expected a file .csv"),
        (("clip.avi", "--draw", "a.gif"), "expected a file .mp4 or .avi"),
        (("clip.avi", "--draw", "clip.avi"), "both VIDEO and --draw"),
        (("clip.avi", "--out", "none/a.csv"), "there is no folder"),
    ],
)
def test_errors_come_before_the_work(clip, run, monkeypatch, args, told):
    monkeypatch.setattr(Knows, "predict", lambda self, X: pytest.fail("work was done"))
    code, _, err = run("track", *args, "--model", "knows")
    assert code == 1 and told in err


def test_predict_names_the_command_for_videos(clip, run):
    code, _, told = run("predict", "clip.avi", "--model", "knows")
    assert code == 1 and "clip.avi is a video: `skwing track`" in told


@pytest.fixture
def points(photos, folder):
    """Table of five landmarks of photographs without boxes; one photograph has no face."""
    rng = np.random.default_rng(0)
    (photos / "c.png").unlink()
    for i in range(4):
        (photos / f"d{i}.png").write_bytes((folder / f"{i:02}.png").read_bytes())
    paths = sorted(str(path) for path in photos.glob("*.png"))
    target = 32 + rng.uniform(-12, 12, (len(paths), 5, 2))
    write_csv(photos / "points.csv", paths, target, names=list("abcde"))
    return photos


def test_train_and_evaluate_detect_faces(points, run):
    model = points / "m.safetensors"
    args = ("--epochs", 1, "--set", "networks=('cnn6',)", "--out", model, "-q", "--hold-out", 0)
    code, _, told = run("train", points / "points.csv", "--detect", *args)
    assert code == 0 and "detecting faces with TwoTiles" in told
    assert "no face found for 1 of 6 samples: a.png (is left out)" in told
    assert "model trained on 5 photographs" in told
    assert describe_model(model)["n_landmarks"] == 5
    code, out, told = run("evaluate", points / "points.csv", "--detect", "--model", model, "-q")
    assert code == 0 and "5 of 5" in out and "have no boxes" not in told
    code, _, told = run("evaluate", "faces.csv", "--detect", "--model", "boxed.safetensors")
    assert code == 1 and "faces.csv has boxes" in told


def test_each_sample_gets_the_face_around_most_of_its_landmarks():
    faces = np.array([[0.0, 0, 50, 50], [40, 0, 30, 30], [200, 200, 9, 9]])
    one, other = [[45, 5], [45, 7], [60, 5]], [[44, 4], [44, 8], [np.nan, np.nan]]
    far = [[300, 5], [45, 7], [300, 5]]
    points = np.array([one, other, far], float)
    np.testing.assert_array_equal(_faces_around(points, faces), [faces[1], faces[0], [np.nan] * 4])
    assert np.isnan(_faces_around(points, np.empty((0, 4)))).all()
