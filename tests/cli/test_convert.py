"""Conversion keeps what the target format holds, and says what it does not hold."""

import json

import numpy as np
import pytest

from skwing._cli.formats import FORMATS, read_landmarks
from skwing.datasets import read_coco, read_tps, write_coco, write_csv

N = 12
COLUMNS = {
    "id": [f"s{i}" for i in range(N)],
    "scale": [0.5] * (N - 1) + [np.nan],
    "comment": ["old", *[""] * (N - 1)],
    "sex": list("mf") * (N // 2),
    "age": range(N),
}


@pytest.fixture
def table(folder, monkeypatch):
    """Data set of a table with further columns; the table is columns.csv."""
    monkeypatch.chdir(folder)
    faces = read_landmarks("faces.csv")
    write_csv("columns.csv", faces.data, faces.target, further=COLUMNS)
    return faces


def kept(told, name):
    """Whether the warning about lost content does not name some content."""
    lost = [
        part.strip() for part in told.partition("does not contain:")[2].split("\n")[0].split(";")
    ]
    return name not in lost


@pytest.mark.parametrize(
    ("form", "columns", "boxes"),
    [
        ("csv", set(COLUMNS), True),
        ("tps", {"id", "scale", "comment"}, False),
        ("coco", {"id"}, True),
        ("dlib", set(), True),
        ("pts", set(), False),
        ("deeplabcut", set(), False),
    ],
)
def test_columns_are_kept_or_named(table, run, tmp_path, form, columns, boxes):
    out = tmp_path / f"out{FORMATS[form].suffix}"
    code, _, told = run("convert", "columns.csv", out, "--to", form)
    assert code == 0
    lost = [name for name in COLUMNS if name not in columns]
    words = [*lost, *([] if boxes else ["boxes"])]
    words += [] if form in ("csv", "coco", "dlib", "deeplabcut") else ["names of the landmarks"]
    expected = f"skwing: warning: {out} does not contain: {'; '.join(words)}"
    assert [line for line in told.splitlines() if "warning" in line] == [expected] * bool(words)
    if form in ("pts", "dlib", "deeplabcut"):
        return
    found = FORMATS[form].further(read_landmarks(out, form))
    for name in columns:
        np.testing.assert_array_equal(found.columns[name].tolist(), COLUMNS[name])


def test_columns_of_capital_letters_are_the_same(table, run, tmp_path):
    write_csv("upper.csv", table.data, table.target, further={"ID": COLUMNS["id"]})
    assert "does not contain: boxes; names" in run("convert", "upper.csv", tmp_path / "a.tps")[2]
    assert read_tps(tmp_path / "a.tps").names.tolist() == COLUMNS["id"]


def test_impossible_values_are_named_and_not_written(table, run, tmp_path):
    wrong = {"id": [1] * N, "scale": [-1.0, *[1.0] * (N - 1)]}
    write_csv("wrong.csv", table.data, table.target, further=wrong)
    code, _, told = run("convert", "wrong.csv", tmp_path / "a.tps")
    assert code == 0 and not kept(told, "scale") and kept(told, "id")
    code, _, told = run("convert", "wrong.csv", tmp_path / "a.json")
    assert code == 0 and not kept(told, "id")


def test_columns_that_look_like_landmarks_are_named_and_not_written(folder, run):
    # x and y beside one unnamed landmark would be another landmark, if the names were kept.
    text = "image,tail_x,tail_y,nose_x,nose_y,kind\n00.png,1,2,3,4,a\n01.png,5,6,7,8,b\n"
    (folder / "two.csv").write_text(text)
    assert run("convert", "two.csv", "again.csv")[2].count("warning") == 0
    assert FORMATS["csv"].further(read_landmarks("again.csv")).columns["kind"].tolist() == [
        "a",
        "b",
    ]


def test_a_tps_file_keeps_everything(folder, run):
    text = (
        "LM=2\n1 2\n3 4\nCURVES=1\nPOINTS=2\n5 6\n7 8\nIMAGE=00.png\nID=7\nSCALE=0.1\n"
        "COMMENT=a\nCOMMENT=b\nVARIABLES=sex=m\n"
    )
    (folder / "one.tps").write_text(text)
    assert "warning" not in run("convert", "one.tps", "two.tps")[2]
    assert sorted((folder / "two.tps").read_text().split("\n")) == sorted(text.split("\n"))
    _, _, told = run("convert", "one.tps", "one.csv")
    assert "one.csv does not contain: curves\n" in told
    told = run("convert", "one.csv", "three.tps")[2]
    assert "three.tps does not contain: names of the landmarks\n" in told
    three = read_tps("three.tps")
    assert three.names.tolist() == ["7"] and three.scale.tolist() == [0.1]
    assert three.comments.tolist() == ["a\nb"] and three.variables.tolist() == ["sex=m"]


def test_ids_visibility_and_sizes_are_kept_in_coco_files(table, run, folder):
    faces = read_coco("faces.json")
    visibility = np.full((N, 68), 2)
    visibility[3, 5] = 1
    options = {"ids": list(range(70, 70 + N)), "image_ids": [f"i{i}" for i in range(N)]}
    options |= {"visibility": visibility, "image_sizes": [[9999, 8888]] * N}
    write_coco("ids.json", faces.data, faces.target, **options)
    assert "warning" not in run("convert", "ids.json", "ids2.json")[2]
    found = read_coco("ids2.json")
    for name, values in (("ids", "ids"), ("image_ids", "image_ids")):
        assert found[name] == options[values]
    np.testing.assert_array_equal(found.visibility, visibility)
    np.testing.assert_array_equal(found.image_sizes, options["image_sizes"])
    told = run("convert", "ids.json", "ids.tps")[2]
    assert "does not contain: image_id; visibility; boxes; names of the landmarks" in told


def test_what_a_reader_leaves_out_is_named(folder, run):
    content = json.loads((folder / "faces.json").read_text())
    for annotation in content["annotations"]:
        annotation["segmentation"] = []
    content["annotations"][2]["segmentation"] = [[1, 2, 3, 4, 5, 6]]
    content["annotations"][3] |= {"keypoints": [0] * 204, "num_keypoints": 0}
    content["annotations"].pop()
    (folder / "more.json").write_text(json.dumps(content))
    told = run("convert", "more.json", "more2.json")[2]
    assert "1 annotation without landmarks; 2 images without landmarks" in told
    assert told.count("the entry segmentation") == 1
    text = (
        "<dataset><images><image file='00.png'><box left='1' top='2' width='30' height='40' "
        "occluded='1' difficult='0'><label>cat</label><part name='00' x='5' y='6'/></box>"
        "<box left='1' top='2' width='3' height='4' ignore='1'/></image>"
        "<image file='01.png'/></images></dataset>"
    )
    (folder / "more.xml").write_text(text)
    told = run("convert", "more.xml", "more.csv")[2]
    assert "1 image without a box; 1 box marked ignore; the entries occluded, label" in told
    text = "LM=1\n1 2\nOUTLINES=1\nPOINTS=1\n3 4\nIMAGE=00.png\nRADII=2\n"
    (folder / "more.tps").write_text(text)
    assert "the entries OUTLINES, RADII" in run("convert", "more.tps", "more3.tps")[2]
    text = "image,landmark,x,y,observer\n00.png,nose,1,2,Ann\n"
    (folder / "long.csv").write_text(text)
    assert "the column observer" in run("convert", "long.csv", "wide.csv")[2]


@pytest.mark.parametrize("name", ["csv", "tps", "json"])
def test_nothing_is_said_where_nothing_is_lost(folder, run, name):
    run("convert", "faces.csv", f"plain.{name}")
    assert "warning" not in run("convert", f"plain.{name}", f"plain2.{name}")[2]


@pytest.mark.slow
def test_predictions_keep_the_columns_of_their_file(table, run, tmp_path):
    args = ("--model", "boxed.safetensors", "-q")
    code, _, told = run("predict", "columns.csv", *args, "--out", tmp_path / "p.csv")
    assert code == 0 and "warning" not in told
    found = FORMATS["csv"].further(read_landmarks(tmp_path / "p.csv")).columns
    assert found["sex"].tolist() == COLUMNS["sex"]
    told = run("predict", "columns.csv", *args, "--out", tmp_path / "p.tps")[2]
    assert told.count("does not contain: sex; age\n") == 1


@pytest.mark.parametrize(("name", "one"), [("coco", "named.json"), ("deeplabcut", "dlc.csv")])
def test_predicted_files_name_the_landmarks_of_the_model(folder, run, name, one):
    args = ("00.png", "01.png", "--model", "whole.safetensors", "--to", name, "--out", one)
    assert run("predict", *args)[0] == 0
    assert read_landmarks(one, name).schema.landmark_names[0] == "left_jaw_0"


def test_categories_of_coco_files_are_chosen(folder, run):
    content = json.loads((folder / "faces.json").read_text())
    content["categories"].append(content["categories"][0] | {"id": 2, "name": "drawn"})
    for annotation in content["annotations"][:3]:
        annotation["category_id"] = 2
    (folder / "kinds.json").write_text(json.dumps(content))
    code, _, told = run("convert", "kinds.json", "kinds.csv")
    assert code == 1 and "choose one with --category:" in told
    for own in ("drawn", "2"):
        code, _, told = run("convert", "kinds.json", "kinds.csv", "--category", own)
        assert code == 0 and len(read_landmarks("kinds.csv").target) == 3
        assert f"{N - 3} annotations of other categories" in told
    both = ("--category", "1", "--category", "drawn")
    assert run("convert", "kinds.json", "kinds.csv", *both)[0] == 0
    found = FORMATS["csv"].further(read_landmarks("kinds.csv"))
    assert found.columns["category"].tolist() == [2] * 3 + [1] * (N - 3)
    code, _, told = run("convert", "faces.csv", "x.tps", "--category", "1")
    assert code == 1 and "--category is for COCO files" in told
