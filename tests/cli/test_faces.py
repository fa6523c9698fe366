"""Photographs without a face, with one, and with several."""

import numpy as np
import pytest

from skwing._cli.formats import FORMATS, read_landmarks
from skwing.datasets import read_csv, read_dlib_xml, write_csv

MODEL = ("--model", "boxed.safetensors", "-q")


def located(folder, name):
    """File name and landmarks of each row."""
    found = read_csv(folder / name)
    return [path.split("/")[-1] for path in found.data.paths], found.target


@pytest.mark.slow
def test_photographs_without_a_face_are_named(photos, run):
    code, _, told = run("predict", photos, *MODEL, "--out", photos / "x.csv")
    assert code == 1
    assert "no face found in 1 of 3 images: a.png (its row is empty)" in told
    assert "landmarks of 2 faces in 2 images" in told
    assert "missing_boxes" not in told
    names, points = located(photos, "x.csv")
    assert names == ["a.png", "b.png", "c.png"]
    assert np.isnan(points).all((1, 2)).tolist() == [True, False, False]


@pytest.mark.slow
def test_several_faces_are_said(photos, run):
    told = run("predict", photos, *MODEL, "--out", photos / "x.csv")[2]
    assert "largest of several faces used in 1 photograph " in told
    told = run("predict", photos / "b.png", *MODEL, "--out", photos / "x.csv")[2]
    assert "largest of several" not in told


def test_all_faces_are_rows_that_name_their_photograph(photos, run):
    args = ("predict", photos, *MODEL, "--all-faces", "--out", photos / "x.csv")
    code, _, told = run(*args)
    assert code == 1
    assert "landmarks of 3 faces in 2 images" in told and "largest of" not in told
    names, points = located(photos, "x.csv")
    assert names == ["a.png", "b.png", "c.png", "c.png"]
    assert np.isnan(points).all((1, 2)).tolist() == [True, False, False, False]
    assert points[3, :, 0].mean() > points[2, :, 0].mean() + 32


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--whole",), "--whole"),
        (("--to", "pts", "--out", "p"), "one sample for each image"),
        (("--to", "deeplabcut"), "one sample for each image"),
    ],
)
def test_all_faces_contradicts_some_options(photos, run, args, told):
    code, _, err = run("predict", photos, *MODEL, "--all-faces", *args)
    assert code == 1 and told in err


@pytest.mark.parametrize("option", [("--all-faces",), ("--yunet", "y.onnx")])
def test_detection_contradicts_given_boxes(run, option):
    code, _, told = run("predict", "faces.csv", *MODEL, *option)
    assert code == 1 and "has boxes" in told


def test_ids_and_scales_of_all_faces_are_those_of_their_photograph(photos, run):
    text = "LM=0\nIMAGE=c.png\nID=17\nSCALE=0.25\nLM=0\nIMAGE=b.png\nID=18\n"
    (photos / "new.tps").write_text(text)
    out = photos / "out.tps"
    assert run("predict", photos / "new.tps", *MODEL, "--all-faces", "--out", out)[0] == 0
    found = read_landmarks(out)
    assert found.names.tolist() == ["17", "17", "18"]
    assert found.scale[:2].tolist() == [0.25, 0.25] and np.isnan(found.scale[2])


@pytest.mark.slow
@pytest.mark.parametrize("name", FORMATS)
def test_a_photograph_without_a_face_loses_nothing_in_any_format(photos, run, name):
    out = photos / f"x-{name}{FORMATS[name].suffix}"
    code, _, told = run("predict", photos, *MODEL, "--to", name, "--out", out)
    assert code == 1 and "error" not in told
    found = read_landmarks(out, name, photos)
    points = {p.split("/")[-1]: y for p, y in zip(found.data.paths, found.target, strict=True)}
    assert not np.isnan(points["b.png"]).any() and not np.isnan(points["c.png"]).any()
    files = [out] if out.is_file() else list(out.iterdir())
    assert any("a.png" in path.read_text() or path.stem == "a" for path in files)


@pytest.mark.parametrize("name", FORMATS)
def test_an_unreadable_photograph_loses_nothing_in_any_format(folder, photos, run, name):
    (photos / "a.png").write_bytes(b"no image")
    (photos / "c.png").unlink()
    out = photos / f"x-{name}{FORMATS[name].suffix}"
    args = ("--model", "whole.safetensors", "--skip-unreadable", "--to", name, "--out", out)
    code, _, told = run("predict", photos, *args)
    assert code == 1 and "error" not in told
    files = [out] if out.is_file() else list(out.iterdir())
    assert any("a.png" in path.read_text() or path.stem == "a" for path in files)


@pytest.mark.slow
def test_images_without_a_box_are_images_without_a_box_in_dlib_files(photos, run):
    run("predict", photos, *MODEL, "--out", photos / "x.xml")
    found = read_dlib_xml(photos / "x.xml")
    assert (found.n_images, found.n_without_box, len(found.data)) == (3, 1, 2)
    run("predict", photos / "a.png", *MODEL, "--out", photos / "none.xml")
    assert "<image file='a.png'>" in (photos / "none.xml").read_text()


def test_landmarks_without_a_box_get_one_in_dlib_files(folder, run):
    faces = read_landmarks("faces.csv")
    boxes = faces.data.boxes.copy()
    boxes[3] = np.nan
    write_csv("some.csv", faces.data.with_boxes(boxes), faces.target)
    code, _, told = run("convert", "some.csv", "some.xml")
    assert code == 0 and "1 sample without a box" in told
    found = read_dlib_xml("some.xml", schema=faces.schema)
    np.testing.assert_allclose(found.target, faces.target, atol=1e-9)
    low, high = found.target[3].min(0), found.target[3].max(0)
    np.testing.assert_allclose(found.data.boxes[3], [*low, *(high - low + 1)])
    assert run("convert", "faces.tps", "wings.xml")[0] == 0
    assert len(read_dlib_xml("wings.xml").data) == len(faces.data)


@pytest.mark.slow
def test_given_boxes_that_are_missing_are_not_called_faces(folder, run):
    faces = read_landmarks("faces.csv")
    boxes = faces.data.boxes.copy()
    boxes[[3, 5]] = np.nan
    write_csv("some.csv", faces.data.with_boxes(boxes), faces.target)
    code, _, told = run("predict", "some.csv", *MODEL, "--out", "some-out.csv")
    assert code == 1
    assert "no box in 2 of 12 samples: 03.png, 05.png (their rows are empty)" in told


@pytest.mark.slow
def test_the_picture_says_what_it_leaves_out(photos, run, monkeypatch):
    shown = []
    monkeypatch.setattr("skwing._cli.pictures.save", lambda d, path, what: shown.append((d, what)))
    args = ("predict", photos, *MODEL, "--all-faces", "--draw", photos / "p.png")
    run(*args)
    run(*args, "--draw-max", 2)
    (everything, nothing), (some, what) = shown
    # Row 0 has no face, and numbers are those of the rows.
    assert everything.indices.tolist() == [1, 2, 3] and nothing == ""
    assert some.indices.tolist() == [1, 2] and what == " (the first 2 of 3)"


@pytest.mark.slow
def test_the_picture_of_the_worst_numbers_rows_of_the_file(folder, run, monkeypatch):
    shown = []
    monkeypatch.setattr("skwing._cli.pictures.save", lambda d, path, what: shown.append((d, what)))
    faces = read_landmarks("faces.csv")
    boxes = faces.data.boxes.copy()
    boxes[0] = np.nan
    write_csv("some.csv", faces.data.with_boxes(boxes), faces.target)
    run("evaluate", "some.csv", *MODEL, "--draw", "p.png", "--draw-max", 11)
    run("evaluate", "some.csv", *MODEL, "--draw", "p.png", "--draw-max", 3)
    (everything, _), (worst, what) = shown
    assert sorted(everything.indices) == list(range(1, 12))
    assert worst.indices.tolist() == everything.indices[:3].tolist()
    assert (np.diff(everything.errors) <= 0).all()
    assert what == " (the 3 with the largest errors of 11)"
