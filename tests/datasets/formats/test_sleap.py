"""Labels of sleap-io: there and back, and through the files of other programs."""

import json
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from skwing import BoxedImages, LandmarkSchema
from skwing.datasets import from_sleap_io, read_coco, to_sleap_io

sleap_io = pytest.importorskip("sleap_io")
NAN = np.nan
SCHEMA = LandmarkSchema(
    "mouse", ["nose", "sinister", "dexter"], (0, 2, 1), [("line", (1, 0, 2), False)]
)
POINTS = np.array(
    [[[1, 2], [3.25, 4], [5, 6]], [[NAN, NAN], [7, 8], [9, 1]], [[2, 2], [4, 4], [NAN, NAN]]]
)
BOXES = np.array([[0, 0, 8, 7], [NAN] * 4, [1.5, 2, 3, 4]])


@pytest.fixture
def mice(tmp_path):
    """Two photos of different sizes; the second shows two mice."""
    paths = [tmp_path / "a.png", tmp_path / "b.png"]
    for path, side in zip(paths, (20, 30), strict=True):
        cv2.imwrite(str(path), np.full((side, 40, 3), side, np.uint8))
    return BoxedImages([paths[0], paths[1], paths[1]], boxes=BOXES, schema=SCHEMA)


def check_same(found, mice):
    assert found.data.paths.tolist() == mice.paths.tolist()
    np.testing.assert_array_equal(found.target, POINTS)
    np.testing.assert_array_equal(found.data.boxes, BOXES)
    assert found.schema is found.data.schema
    assert found.schema.landmark_names == SCHEMA.landmark_names
    assert found.schema.mirror == SCHEMA.mirror
    assert {indices for _, indices, _ in found.schema.contours} == {(1, 0), (0, 2)}
    assert found.groups.tolist() == mice.paths.tolist()
    assert found.names.tolist() == [mice.paths[0], f"{mice.paths[1]}#0", f"{mice.paths[2]}#1"]
    assert np.isnan(found.scores).all()


@pytest.mark.slow
@pytest.mark.parametrize("saved", [False, True, "lazy"])
def test_there_and_back(tmp_path, mice, saved):
    labels = to_sleap_io(mice, POINTS, tracks=["m1", "", "m2"])
    assert [len(frame.instances) for frame in labels.labeled_frames] == [1, 2]
    if saved:
        labels.save(str(tmp_path / "mice.slp"))
        labels = sleap_io.load_slp(str(tmp_path / "mice.slp"), lazy=saved == "lazy")
    found = from_sleap_io(labels)
    check_same(found, mice)
    assert found.tracks.tolist() == ["m1", "", "m2"]
    X, y = from_sleap_io(labels, return_X_y=True)
    np.testing.assert_array_equal(y, POINTS)
    assert X.schema.name == "mouse"


@pytest.mark.slow
def test_a_package_with_its_images(tmp_path, mice):
    labels = to_sleap_io(mice, POINTS)
    labels.save(str(tmp_path / "mice.pkg.slp"), embed=True, verbose=False)
    for path in set(mice.paths):
        Path(path).unlink()
    found = from_sleap_io(sleap_io.load_file(str(tmp_path / "mice.pkg.slp")))
    np.testing.assert_array_equal(found.target, POINTS)
    assert [found.data.decode(i).shape[0] for i in range(3)] == [20, 30, 30]
    assert found.groups.tolist() == mice.paths.tolist()
    assert len(set(found.names)) == 3


@pytest.mark.slow
def test_boxes_are_none_where_no_instance_has_one(mice):
    found = from_sleap_io(to_sleap_io(mice.paths, POINTS, names=["c", "a", "b"]))
    assert not found.data.has_boxes
    assert found.schema.landmark_names == ("c", "a", "b")
    own = LandmarkSchema("own", ["a", "b", "c"])
    sorted_ = from_sleap_io(to_sleap_io(mice.paths, POINTS, names=["c", "a", "b"]), schema=own)
    np.testing.assert_array_equal(sorted_.target, POINTS[:, [1, 2, 0]])


def test_a_turned_box_gives_the_upright_one_around_it(mice):
    labels = to_sleap_io(mice[:1], POINTS[:1])
    labels[0].bboxes[0].angle = np.pi / 2
    np.testing.assert_allclose(from_sleap_io(labels).data.boxes, [[0.5, -0.5, 7, 8]], atol=1e-9)


@pytest.mark.filterwarnings("ignore::UserWarning:sleap_io")
def test_yolo_and_coco(tmp_path, mice):
    labels = to_sleap_io(mice, POINTS)
    folder = tmp_path / "yolo"
    sleap_io.save_ultralytics(labels, str(folder), split_ratios={"train": 1.0}, verbose=False)
    found = from_sleap_io(sleap_io.load_ultralytics(str(folder), split="train"))
    np.testing.assert_allclose(found.target, POINTS, atol=1e-3)  # YOLO writes six digits
    assert [found.data.decode(i)[0, 0, 0] for i in range(3)] == [20, 30, 30]
    sleap_io.save_coco(labels, str(tmp_path / "coco.json"))
    found = read_coco(tmp_path / "coco.json", boxes=None)
    np.testing.assert_array_equal(found.target, POINTS)
    assert json.loads((tmp_path / "coco.json").read_text())["images"][1]["height"] == 30


def test_frames_of_a_video_are_decoded_once(tmp_path):
    video = [np.full((32, 48, 3), 80 * i, np.uint8) for i in range(3)]
    writer = cv2.VideoWriter(
        str(tmp_path / "v.avi"), cv2.VideoWriter_fourcc(*"MJPG"), 10, (48, 32), isColor=True
    )
    for frame in video:
        writer.write(frame)
    writer.release()
    skeleton = sleap_io.Skeleton(["tip"])
    own = sleap_io.load_video(str(tmp_path / "v.avi"))
    frames = [
        sleap_io.LabeledFrame(
            video=own,
            frame_idx=i,
            instances=[sleap_io.Instance.from_numpy(np.array([[i, k]]), skeleton) for k in (0, 1)],
        )
        for i in (2, 1)
    ]
    frames[0].instances.append(sleap_io.Instance.empty(skeleton))
    frames[1].instances.append(
        sleap_io.PredictedInstance.from_numpy(np.array([[9, 9]]), skeleton, point_scores=[0.75])
    )
    labels = sleap_io.Labels(frames)
    found = from_sleap_io(labels)
    assert found.target[:, 0].tolist() == [[2, 0], [2, 1], [1, 0], [1, 1]]
    assert [round(found.data.decode(i).mean() / 80) for i in range(4)] == [2, 2, 1, 1]
    assert len(found.data.by_image()) == 2
    assert found.groups.tolist() == [str(tmp_path / "v.avi")] * 4
    assert found.names[2] == f"{tmp_path / 'v.avi'} frame 1#0"
    predicted = from_sleap_io(labels, instances="predicted")
    assert predicted.target.tolist() == [[[9, 9]]]
    assert predicted.scores.tolist() == [[0.75]]
    assert len(from_sleap_io(labels, instances="all").target) == 5
    (tmp_path / "v.avi").unlink()
    own.close()
    with pytest.raises(ValueError, match=r"v\.avi frame 2: the frame cannot be read.*replace_file"):
        from_sleap_io(labels)


def test_what_is_wrong_is_an_error(tmp_path, mice, monkeypatch):
    labels = to_sleap_io(mice, POINTS)
    labels[1].frame_idx = 1
    with pytest.raises(ValueError, match=r"frame 1 of a video of 1 image files, .*b\.png"):
        from_sleap_io(labels)
    labels[1].frame_idx = 0
    with pytest.raises(TypeError, match=r"of type str, expected sleap_io\.Labels"):
        from_sleap_io("labels.slp")
    with pytest.raises(ValueError, match="instances must be one of 'user', 'predicted', 'all'"):
        from_sleap_io(labels, instances="both")
    with pytest.raises(ValueError, match=r"3 of a person and 0 predicted .*'mouse'"):
        from_sleap_io(labels, instances="predicted")
    with pytest.raises(ValueError, match=r"0 skeletons named 'rat', .* named \['mouse'\]"):
        from_sleap_io(labels, skeleton="rat")
    with pytest.raises(ValueError, match="'ibug68' has 68 landmarks, the data have 3"):
        from_sleap_io(labels, schema="ibug68")
    with pytest.raises(ValueError, match="tracks has 1"):
        to_sleap_io(mice, POINTS, tracks=["a"])
    with pytest.raises(ValueError, match="pixels in memory"):
        to_sleap_io(np.zeros((3, 9, 9), np.uint8), POINTS)
    with pytest.raises(FileNotFoundError, match=r"sample 1 .*no such file"):
        to_sleap_io([tmp_path / "a.png", tmp_path / "none.png"], POINTS[:2])
    with pytest.raises(ValueError, match="has x and no y at sample 0, landmark 0"):
        to_sleap_io(mice[:1], [[[1, NAN], [3, 4], [5, 6]]])
    monkeypatch.setitem(sys.modules, "sleap_io", None)
    with pytest.raises(ImportError, match=r'needs sleap_io: `pip install "skwing\[sleap\]"`'):
        to_sleap_io(mice, POINTS)
