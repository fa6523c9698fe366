"""Landmarks are matched by name, undigitised specimens are left out, options stand anywhere."""

import re

import numpy as np
import pytest

from skwing import load_model
from skwing._cli.formats import read_landmarks
from skwing._utils.opencv import cv2
from skwing.datasets import write_csv
from skwing.images import BoxedImages

MODEL = ("--model", "boxed.safetensors")


@pytest.fixture
def shuffled(folder, monkeypatch):
    """Table of the same landmarks in another order."""
    monkeypatch.chdir(folder)
    faces = read_landmarks("faces.csv")
    order = np.random.default_rng(0).permutation(68)
    names = [faces.schema.landmark_names[i] for i in order]
    data = BoxedImages(faces.data.paths, boxes=faces.data.boxes)
    write_csv("shuffled.csv", data, faces.target[:, order], names=names)
    write_csv("other.csv", data, faces.target, names=["first", *faces.schema.landmark_names[1:]])
    write_csv("fewer.csv", data, faces.target[:, :5], names=faces.schema.landmark_names[:5])
    return faces


@pytest.mark.parametrize("first", ["faces.csv", "shuffled.csv"])
def test_evaluate_matches_landmarks_by_name(shuffled, run, first):
    # dlib files sort the names of parts.
    run("convert", first, "by-name.xml")
    _, expected, _ = run("evaluate", "faces.csv", *MODEL, "--landmarks")
    for name in (first, "by-name.xml"):
        code, out, told = run("evaluate", name, *MODEL, "--landmarks")
        assert code == 0 and out == expected
        assert ("matched by name" in told) == (name != "faces.csv")


@pytest.mark.parametrize("command", ["evaluate", "plot"])
@pytest.mark.parametrize(
    ("name", "told"), [("other.csv", "landmarks first, which"), ("fewer.csv", "locates 68")]
)
def test_other_landmarks_are_an_error(shuffled, run, command, name, told):
    out = ("--out", "p.png") if command == "plot" else ()
    code, _, err = run(command, name, *MODEL, *out)
    assert code == 1 and told in err


def test_predicted_landmarks_have_the_names_of_the_model(shuffled, run):
    for name in ("shuffled.csv", "fewer.csv", "other.csv"):
        assert run("predict", name, *MODEL, "--out", "named-out.csv", "-q")[0] == 0
        found = read_landmarks("named-out.csv")
        assert found.schema.landmark_names == shuffled.schema.landmark_names
        points = load_model("boxed.safetensors").predict(shuffled.data)
        np.testing.assert_allclose(found.target, points, atol=1e-9)


def test_numbered_landmarks_are_matched_by_number(folder, run):
    code, _, told = run("evaluate", "faces.tps", "--model", "whole.safetensors")
    assert code == 0 and "matched by name" not in told


@pytest.mark.slow
def test_plot_matches_landmarks_by_name(shuffled, run, monkeypatch):
    shown = []
    monkeypatch.setattr("skwing._cli.pictures.save", lambda d, path, what: shown.append(d))
    for name in ("faces.csv", "shuffled.csv"):
        assert run("plot", name, *MODEL, "--out", "p.png")[0] == 0
    assert shown[0].indices.tolist() == shown[1].indices.tolist()
    np.testing.assert_allclose(shown[0].errors, shown[1].errors)
    points = load_model("boxed.safetensors").predict(shuffled.data)
    assert shown[0].errors[0] == pytest.approx(shown[0].errors.max())
    assert np.isfinite(points).all()


@pytest.mark.parametrize("kind", ["landmarks", "errors", "poses"])
def test_plot_leaves_out_undigitised_specimens(folder, run, monkeypatch, kind):
    shown = []
    monkeypatch.setattr("skwing._cli.pictures.save", lambda d, path, what: shown.append(d))
    monkeypatch.setattr("skwing._cli.commands.save", lambda d, path: shown.append(d))
    todo = "LM=0\nIMAGE=00.png\nID=todo\n"
    (folder / "part.tps").write_text(todo + (folder / "faces.tps").read_text())
    model = ("--model", "whole.safetensors") if kind == "errors" else ()
    code, _, told = run("plot", "part.tps", "--kind", kind, *model, "--out", "p.png")
    assert code == 0 and len(shown) == 1
    assert "1 of 13 samples has no landmarks and is left out: 00.png" in told
    if kind == "landmarks":  # numbers are those of the rows of the file
        assert shown[0].indices.tolist() == list(range(1, 13))


def test_plot_of_no_digitised_specimen_is_an_error(folder, run):
    (folder / "none.tps").write_text("LM=0\nIMAGE=00.png\n")
    code, _, told = run("plot", "none.tps", "--out", "p.png")
    assert code == 1 and "nothing to draw" in told


@pytest.mark.parametrize("option", ["-q", "--quiet", "--traceback"])
def test_global_options_stand_before_or_after_the_command(run, option):
    args = ("describe", "whole.safetensors")
    outputs = {run(option, *args)[:2], run(*args, option)[:2]}
    assert len(outputs) == 1 and outputs.pop()[0] == 0
    if option == "--traceback":
        for error in ((option, "describe", "none"), ("describe", "none", option)):
            with pytest.raises(FileNotFoundError):
                run(*error)


@pytest.mark.slow
@pytest.mark.parametrize("before", [True, False])
def test_quiet_shows_no_progress_wherever_it_stands(photos, run, before):
    args = ["predict", photos, *MODEL, "--out", photos / "x.csv"]
    assert re.search(r"\d/3", run(*args)[2])
    args = ["-q", *args] if before else [*args, "-q"]
    assert not re.search(r"\d/3", run(*args)[2])


@pytest.mark.parametrize("command", ["evaluate", "predict", "plot"])
def test_progress_of_predictions_counts_images_and_is_not_shown_if_quiet(run, monkeypatch, command):
    monkeypatch.setattr("skwing._cli.passes._A_PASS", 5)
    n_images = len(read_landmarks("faces.tps").data)
    assert n_images % 5
    out = {"predict": ("--out", "p.csv"), "plot": ("--out", "p.png"), "evaluate": ()}[command]
    args = (command, "faces.tps", "--model", "whole.safetensors", *out)
    assert f"{n_images}/{n_images} " in run(*args)[2]
    assert "images/s" not in run(*args, "-q")[2]


@pytest.mark.parametrize("all_faces", [(), ("--all-faces",)])
def test_unreadable_photographs_are_skipped_by_the_detector(photos, run, all_faces):
    (photos / "a.png").write_bytes(b"no image")
    cv2.imwrite(str(photos / "d.png"), np.zeros((64, 64, 3), np.uint8))
    args = ("predict", photos, *MODEL, *all_faces, "--out", photos / "x.csv")
    code, _, told = run(*args)
    assert code == 1 and "error" in told and "a.png" in told
    code, _, told = run(*args, "--skip-unreadable")
    assert code == 1 and "error" not in told
    assert "1 of 4 photos could not be read" in told
    assert "no face found in 1 of 4 images: d.png (its row is empty)" in told
    found = read_landmarks(photos / "x.csv")
    missing = np.isnan(found.target).all((1, 2))
    names = np.array([path[-5:] for path in found.data.paths])
    assert sorted(names[missing]) == ["a.png", "d.png"]
