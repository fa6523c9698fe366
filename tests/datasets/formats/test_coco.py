import json
import tempfile
import warnings
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from skwing import BoxedImages, LandmarkSchema
from skwing.datasets import read_coco, write_coco
from skwing.schema import AFLW19

NAMES = ["nose", "left_eye", "right_eye"]
coordinates = st.floats(-1e6, 1e6)


def content(**parts):
    """A file with two people in one image, and two more in another."""
    return {
        "info": {"year": 2024},
        "images": [
            {"id": 7, "file_name": "a.jpg", "width": 64, "height": 48},
            {"id": 3, "file_name": "more/b.jpg", "width": 32, "height": 24},
        ],
        "annotations": [
            note(1, 3, [1, 2, 2, 3.5, 4, 1, 0, 0, 0], bbox=[0, 0, 32, 24]),
            note(2, 7, [5, 6, 2, 7, 8, 2, 9, 10, 2], bbox=[4.5, 5, 6, 7]),
            note(5, 7, [0, 0, 0] * 3, num_keypoints=0, bbox=[0, 0, 1, 1]),
            note(6, 7, [1, 1, 2] * 3, iscrowd=1),
            {"id": 8, "image_id": 7, "category_id": 2, "bbox": [0, 0, 1, 1]},
            note(9, 3, [11, 12, 0, 13, 14, 2, 15, 16, 2]),
        ],
        "categories": [
            {"id": 1, "name": "person", "keypoints": NAMES, "skeleton": [[1, 2], [1, 3]]},
            {"id": 2, "name": "dog"},
        ],
    } | parts


def note(own, image, keypoints, **more):
    return {"id": own, "image_id": image, "category_id": 1, "keypoints": keypoints} | more


def category(**parts):
    return [{"id": 1, "name": "person", "keypoints": NAMES} | parts]


def write(folder, parts):
    path = Path(folder, "notes.json")
    path.write_text(parts if isinstance(parts, str) else json.dumps(parts), encoding="utf-8")
    return path


def read(folder, parts, **options):
    return read_coco(write(folder, parts), **options)


def test_what_a_file_holds(tmp_path):
    people = read(tmp_path, content())
    nan = np.nan
    np.testing.assert_array_equal(
        people.target,
        [
            [[1, 2], [3.5, 4], [nan, nan]],
            [[5, 6], [7, 8], [9, 10]],
            [[nan, nan], [13, 14], [15, 16]],
        ],
    )
    np.testing.assert_array_equal(people.visibility, [[2, 1, 0], [2, 2, 2], [0, 2, 2]])
    np.testing.assert_array_equal(
        people.data.boxes, [[0, 0, 32, 24], [4.5, 5, 6, 7], [nan, nan, nan, nan]]
    )
    a, b = str(tmp_path / "a.jpg"), str(tmp_path / "more" / "b.jpg")
    assert people.data.paths.tolist() == people.groups.tolist() == [b, a, b]
    assert people.names.tolist() == ["1", "2", "9"]
    assert (people.ids, people.image_ids) == ([1, 2, 9], [3, 7, 3])
    assert people.image_sizes.tolist() == [[32, 24], [64, 48], [32, 24]]
    assert people.left_out == {"crowd": 1, "unlabelled": 1, "other_category": 1}
    assert "crowd 1, unlabelled 1, other category 1" in people.DESCR
    lines = [("nose-left_eye", (0, 1), False), ("nose-right_eye", (0, 2), False)]
    assert people.schema == people.data.schema == LandmarkSchema("person", NAMES, (0, 2, 1), lines)
    X, y = read(tmp_path, content(), return_X_y=True, images="elsewhere")
    assert X.paths[0] == str(Path("elsewhere", "more", "b.jpg"))
    np.testing.assert_array_equal(y, people.target)


def test_other_boxes(tmp_path):
    around = read(tmp_path, content(), boxes="landmarks").data.boxes
    np.testing.assert_array_equal(around, [[1, 2, 3.5, 3], [5, 6, 5, 5], [13, 14, 3, 3]])
    assert np.isnan(read(tmp_path, content(), boxes=None).data.boxes).all()
    with pytest.raises(ValueError, match="boxes must be one of 'annotated', 'landmarks', None"):
        read(tmp_path, content(), boxes="detector")
    flat = content(annotations=[note(1, 7, [1, 1, 2] * 3, bbox=[1, 1, 0, 5])])
    with pytest.raises(ValueError, match=r"annotations\[0\]: bbox is .*boxes='landmarks'"):
        read(tmp_path, flat)
    assert len(read(tmp_path, flat, boxes=None).data) == 1


def test_category_is_chosen_by_name_or_id(tmp_path):
    kinds = [*category(), {"id": 2, "name": "dog", "keypoints": ["tail"]}]
    both = content(categories=kinds)
    both["annotations"].append(
        {"id": 10, "image_id": 7, "category_id": 2, "keypoints": [3, 4, 2], "bbox": [0, 0, 9, 9]}
    )
    with pytest.raises(ValueError, match=r"several .*'person' \(id 1\), 'dog' \(id 2\)"):
        read(tmp_path, both)
    with pytest.raises(ValueError, match=r"no category 'cat' .*'person' \(id 1\), 'dog' \(id 2\)"):
        read(tmp_path, both, category="cat")
    for choice in ("dog", 2):
        dog = read(tmp_path, both, category=choice)
        assert dog.target.tolist() == [[[3, 4]]]
        assert dog.schema.name == "dog" and dog.schema.mirror is None
    assert len(read(tmp_path, both, category="person").data) == 3


@pytest.mark.parametrize(
    ("parts", "mirror"),
    [
        ({}, (0, 2, 1)),
        ({"flip_pairs": []}, (0, 1, 2)),
        ({"flip_pairs": None}, None),
        ({"flip_pairs": [["nose", "left_eye"]]}, (1, 0, 2)),
        ({"flip_pairs": [[0, 2]]}, (2, 1, 0)),
        ({"swap": ["", "right_eye", "left_eye"]}, (0, 2, 1)),
        ({"swap": {"nose": "left_eye", "left_eye": "nose", "right_eye": ""}}, (1, 0, 2)),
        ({"keypoints": ["a", "b", "c"]}, None),
    ],
)
def test_mirror_pairs(tmp_path, parts, mirror):
    assert read(tmp_path, content(categories=category(**parts))).schema.mirror == mirror


def test_names_without_a_partner_are_told(tmp_path):
    lonely = content(categories=category(keypoints=["nose", "left_eye", "right_ear"]))
    with pytest.warns(UserWarning, match=r"'left_eye' has no 'right_eye', 'right_ear'"):
        assert read(tmp_path, lonely).schema.mirror is None
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read(tmp_path, lonely, schema=LandmarkSchema("s", NAMES)).schema.name == "s"
        with pytest.raises(ValueError, match=r"19 landmarks, .* 3"):
            read(tmp_path, lonely, schema="aflw19")


def test_skeleton_that_counts_from_0(tmp_path):
    kinds = category(skeleton=[[0, 1], [1, 2]])
    lines = read(tmp_path, content(categories=kinds)).schema.contours
    assert [indices for _, indices, _ in lines] == [(0, 1), (1, 2)]


def lists(key, *items):
    return content(**{key: list(items)})


HOSTILE = {
    "empty": ("", r"line 1: not JSON"),
    "cut short": ('{"images": [\n{', r"notes\.json, line 2: not JSON"),
    "nan": ('{"images": [NaN]}', r"found NaN"),
    "deep": ("[" * 200_000, r"nested too deep"),
    "deep in a value": ('{"a":' * 5_000, r"nested too deep|not JSON"),
    "digits": ('{"images": ' + "9" * 5000 + "}", r"notes\.json: .*digits"),
    "no object": ("[1]", r"expected an object"),
    "no list": ('{"categories": {}}', r"expected a list of categories"),
    "no keys": ("{}", r"expected a list of categories, found None; .* none"),
    "no category": (lists("categories"), r"no category .* none"),
    "no name": (lists("categories", {"id": 1, "keypoints": ["a"]}), r"expected a name"),
    "no id": (lists("categories", {"name": "a", "keypoints": ["a"]}), r"id is None"),
    "same names": (content(categories=category(keypoints=["a"] * 3)), r"person.*unique"),
    "names of a kind": (content(categories=category(keypoints=[1, 2, 3])), r"a list of names"),
    "names as text": (content(categories=category(keypoints="abc")), r"a list of names"),
    "skeleton": (content(categories=category(skeleton=[[1, 4]])), r"keypoints 1 and 4.* 3"),
    "skeleton of texts": (content(categories=category(skeleton=[["a", 1]])), r"skeleton is no"),
    "pairs": (content(categories=category(flip_pairs=[["nose"]])), r"flip_pairs is no list"),
    "pair of none": (content(categories=category(flip_pairs=[["nose", "ear"]])), r"nose.*ear"),
    "twice": (content(categories=category(flip_pairs=[[0, 1], [1, 2]])), r"left_eye' twice"),
    "swap": (content(categories=category(swap=["nose"])), r"swap does not"),
    "image": (lists("images", 3), r"images\[0\]: found 3"),
    "image twice": (
        lists("images", {"id": 3, "file_name": "a"}, {"id": 3, "file_name": "b"}),
        r"images\[1\].* 3 .*twice",
    ),
    "no image": (lists("images"), r"annotations\[0\]: no image has the id 3"),
    "no file": (lists("images", {"id": 7}), r"images\[0\]: found None"),
    "outside": (lists("images", {"id": 7, "file_name": "../x.jpg"}), r"images\[0\].*leaves"),
    "drive": (lists("images", {"id": 7, "file_name": "C:x.jpg"}), r"images\[0\].*leaves"),
    "id of a list": (lists("images", {"id": [7], "file_name": "a"}), r"id is a list of 1"),
    "nothing": (lists("annotations"), r"no annotation .*'person'.*crowd 0"),
    "few": (lists("annotations", note(1, 7, [1, 2, 2])), r"\[0\]: keypoints is a list of 3.* 9"),
    "texts": (lists("annotations", note(1, 7, ["1", 2, 2] * 3)), r"keypoints: found '1'"),
    "bools": (lists("annotations", note(1, 7, [True, 2, 2] * 3)), r"keypoints: found True"),
    "nested": (lists("annotations", note(1, 7, [[1, 2, 2]] * 9)), r"found a list of 3"),
    "huge": (lists("annotations", note(1, 7, [10**400, 2, 2] * 3)), r"keypoints: found 1000"),
    "infinite": (json.dumps(content()).replace("3.5", "1e999"), r"\[0\]: keypoints: found inf"),
    "visibility": (lists("annotations", note(1, 7, [1, 2, 3] * 3)), r"keypoint 0 is 3,"),
    "box": (lists("annotations", note(1, 7, [1, 2, 2] * 3, bbox=[1, 2, 3])), r"bbox is a list"),
    "box of text": (lists("annotations", note(1, 7, [1, 2, 2] * 3, bbox="abcd")), r"bbox is"),
    "category id": (lists("annotations", {"category_id": None}), r"category_id is None"),
    "annotation id": (lists("annotations", note([], 7, [1, 2, 2] * 3)), r"id is a list of 0"),
    "annotation": (lists("annotations", []), r"annotations\[0\]: found a list of 0"),
}


@pytest.mark.parametrize(("parts", "message"), HOSTILE.values(), ids=HOSTILE)
def test_a_wrong_file_is_refused(tmp_path, parts, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, parts)


def test_a_file_that_is_no_text_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no\.json"):
        read_coco(tmp_path / "no.json")
    (tmp_path / "x.json").write_bytes(b'{"a":\n "\xff"}')
    with pytest.raises(ValueError, match=r"x\.json, line 2: not UTF-8"):
        read_coco(tmp_path / "x.json")


@st.composite
def samples(draw):
    n, n_landmarks = draw(st.integers(1, 4)), draw(st.integers(1, 5))
    points = draw(arrays(np.float64, (n, n_landmarks, 2), elements=coordinates))
    missing = draw(arrays(bool, (n, n_landmarks)))
    missing[:, draw(st.integers(0, n_landmarks - 1))] = False
    points[missing] = np.nan
    visibility = np.where(missing, 0, draw(arrays(np.int8, missing.shape, elements=st.just(1))))
    boxes = draw(arrays(np.float64, (n, 4), elements=st.floats(0.001, 1e6)))
    boxes[draw(arrays(bool, n))] = np.nan
    names = draw(st.lists(st.text(), min_size=n_landmarks, max_size=n_landmarks, unique=True))
    pairs = draw(st.sampled_from([None, (), ((0, n_landmarks - 1),)]))
    mirror = None if pairs is None else list(range(n_landmarks))
    for i, j in pairs or ():
        mirror[i], mirror[j] = j, i
    schema = LandmarkSchema(draw(st.text()), names, mirror)
    photos = draw(st.lists(st.sampled_from(["a.jpg", "b/ü.png", "c d"]), min_size=n, max_size=n))
    return points, visibility, boxes, photos, schema


@pytest.mark.slow
@settings(max_examples=30)
@given(samples())
def test_writing_then_reading_changes_nothing(sample):
    points, visibility, boxes, photos, schema = sample
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "notes.json")
        data = BoxedImages([str(Path(folder, name)) for name in photos], boxes, schema=schema)
        sizes = np.full((len(data), 2), np.nan)
        flat = points.reshape(len(points), -1)
        write_coco(path, data, flat, visibility=visibility, image_sizes=sizes)
        got = read_coco(path)
        np.testing.assert_array_equal(got.target, points)
        np.testing.assert_array_equal(got.visibility, visibility)
        np.testing.assert_array_equal(got.data.boxes, boxes)
        assert got.data.paths.tolist() == data.paths.tolist()
        assert got.schema == schema
        kept = {key: got[key] for key in ("visibility", "ids", "image_ids", "image_sizes")}
        write_coco(Path(folder, "again.json"), got.data, got.target, **kept)
        assert Path(folder, "again.json").read_bytes() == path.read_bytes()


def test_what_other_tools_find_in_a_written_file(tmp_path):
    files = [str(tmp_path / name) for name in ("a.png", "b.png")]
    for file, shape in zip(files, [(48, 64), (24, 32)], strict=True):
        cv2.imwrite(file, np.zeros(shape, np.uint8))
    data = BoxedImages([files[0], files[1], files[0]], [[1, 2, 3, 4], [np.nan] * 4, [0, 0, 9, 9]])
    target = np.arange(12.0).reshape(3, 2, 2)
    target[1, 0] = np.nan
    schema = LandmarkSchema("eyes", ["l", "r"], (1, 0), [("ring", (0, 1), True)])
    write_coco(tmp_path / "eyes.json", data, target, schema=schema)
    found = json.loads((tmp_path / "eyes.json").read_text())
    assert found["images"] == [
        {"id": 1, "file_name": "a.png", "width": 64, "height": 48},
        {"id": 2, "file_name": "b.png", "width": 32, "height": 24},
    ]
    assert found["annotations"][1] == {
        "id": 2,
        "image_id": 2,
        "category_id": 1,
        "iscrowd": 0,
        "num_keypoints": 1,
        "keypoints": [0, 0, 0, 6, 7, 2],
    }
    write_coco(tmp_path / "whole.json", data.with_boxes(None), target, schema=schema)
    whole = json.loads((tmp_path / "whole.json").read_text())["annotations"][1]
    assert (whole["bbox"], whole["area"]) == ([0, 0, 32, 24], 768)
    assert [note["image_id"] for note in found["annotations"]] == [1, 2, 1]
    assert [type(v) for v in found["annotations"][1]["keypoints"][2::3]] == [int, int]
    assert found["categories"] == [
        {
            "id": 1,
            "name": "eyes",
            "supercategory": "eyes",
            "keypoints": ["l", "r"],
            "skeleton": [[1, 2]],
            "flip_pairs": [["l", "r"]],
        }
    ]


def test_contours_become_a_skeleton(tmp_path):
    data = BoxedImages(["a.png"], schema=AFLW19)
    path = tmp_path / "a.json"
    write_coco(path, data, np.ones((1, 19, 2)), images=".", image_sizes=[[9, 9]])
    schema = read_coco(path).schema
    assert (schema.name, schema.mirror) == ("aflw19", AFLW19.mirror)
    assert [line for _, line, _ in schema.contours][:4] == [(0, 1), (1, 2), (3, 4), (4, 5)]
    ring = LandmarkSchema("ring", "abc", contours=[("ring", (0, 1, 2), True)])
    write_coco(path, data.with_boxes(None), np.ones((1, 19, 2)), images=".", image_sizes=[[9, 9]])
    write_coco(
        path, BoxedImages(["a"]), np.ones((1, 3, 2)), schema=ring, images=".", image_sizes=[[9, 9]]
    )
    assert [line for _, line, _ in read_coco(path).schema.contours] == [(0, 1), (1, 2), (2, 0)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": np.zeros((2, 3, 2))}, "data has 1 samples, target has 2"),
        ({"visibility": [[2, 2, 2]]}, r"visibility of landmark 0 is 2, but .* missing"),
        ({"visibility": [[0, 0, 2]]}, r"visibility of landmark 1 is 0, but .* there"),
        ({"visibility": [[0, 3, 2]]}, "visibility must be"),
        ({"visibility": [2]}, "visibility must be"),
        ({"ids": [1, 2]}, "ids has 2 entries"),
        ({"ids": [None]}, r"ids\[0\] is None"),
        ({"image_ids": [1.5]}, r"image_ids\[0\] is 1.5"),
        ({"image_sizes": [4, 5]}, "image_sizes has shape"),
        ({"schema": "aflw19"}, "19 landmarks"),
        ({"data": BoxedImages(np.zeros((1, 8, 9), np.uint8))}, "pixels in memory"),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path, options, message):
    target = np.array([[[np.nan, np.nan], [2, 3], [4, 5]]])
    given = {"data": BoxedImages(["a.jpg"]), "target": target, "image_sizes": [[9, 9]]} | options
    (tmp_path / "a.json").write_text("before")
    with pytest.raises(ValueError, match=message):
        write_coco(tmp_path / "a.json", **given)
    assert (tmp_path / "a.json").read_text() == "before"


def test_ids_must_agree_with_the_files(tmp_path):
    data, target = BoxedImages(["a.jpg", "a.jpg"]), np.ones((2, 3, 2))
    sizes = np.ones((2, 2))
    with pytest.raises(ValueError, match="image_ids must have one id for each"):
        write_coco(tmp_path / "a.json", data, target, image_ids=[1, 2], image_sizes=sizes)
    with pytest.raises(ValueError, match="ids must be different"):
        write_coco(tmp_path / "a.json", data, target, ids=[1, 1], image_sizes=sizes)
    with pytest.raises(FileNotFoundError, match=r"sample 0 \(a\.jpg\)"):
        write_coco(tmp_path / "a.json", data, target)
