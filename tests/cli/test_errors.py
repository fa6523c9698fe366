"""Errors state their unit, and unknown lengths are errors before the work."""

import numpy as np
import pytest

from skwing import CascadeLandmarkRegressor, load_model
from skwing._cli.formats import read_landmarks
from skwing.datasets import read_csv, write_csv, write_tps
from skwing.images import BoxedImages
from skwing.metrics import landmark_report, nme, point_errors

MODEL = ("--model", "boxed.safetensors", "-q")
EYES, EXTENT = "% of the inter-ocular distance", "% of the size of the box around the landmarks"


@pytest.fixture(scope="module")
def predicted(folder):
    faces = read_landmarks(folder / "faces.json")
    return faces.target, load_model(folder / "boxed.safetensors").predict(faces.data)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "words"),
    [
        ((), EYES),
        (("--normalizer", "inter_pupil"), "% of the inter-pupil distance"),
        (("--normalizer", "box"), "% of the size of the box\n"),
    ],
)
def test_the_length_is_told_in_words(run, args, words):
    out = run("evaluate", "faces.json", *MODEL, "--schema", "ibug68", *args, "--landmarks")[1]
    statistics, table = out.split("\n\n")
    assert words in statistics + "\n"
    assert f"errors of the landmarks in {words.strip()}:" in table


@pytest.mark.slow
def test_the_length_without_a_schema_is_the_size_of_the_landmarks(folder, run):
    faces = read_landmarks("faces.csv")
    write_csv(
        "plain.csv",
        BoxedImages(faces.data.paths, boxes=faces.data.boxes),
        faces.target,
        names=range(68),
    )
    args = ("--out", "plain.safetensors", "--epochs", 1, "--set", "networks=('cnn6',)", "-q")
    _, out, _ = run("train", "plain.csv", *args)
    assert EXTENT in out
    _, out, _ = run("evaluate", "plain.csv", "--model", "plain.safetensors", "--landmarks")
    assert out.count(EXTENT) == 4
    faces = read_landmarks("plain.csv")
    points = load_model("plain.safetensors").predict(faces.data)
    assert f"{100 * nme(faces.target, points):.2f} {EXTENT}" in out


@pytest.mark.slow
def test_one_landmark_is_measured_in_pixels(folder, run):
    faces = read_landmarks("faces.csv")
    data = BoxedImages(faces.data.paths, boxes=faces.data.boxes)
    write_csv("nose.csv", data, faces.target[:, 30:31], names=["nose"])
    args = ("--out", "nose.safetensors", "--epochs", 1, "--set", "networks=('cnn6',)", "-q")
    _, out, _ = run("train", "nose.csv", *args)
    assert " px" in out and "NME" not in out
    _, out, _ = run("evaluate", "nose.csv", "--model", "nose.safetensors", "--landmarks")
    assert "errors of the landmarks in pixels" in out and "%" not in out.replace("95 %", "")


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("--normalizer", "foot"), "unknown normaliser 'foot'; one of auto, box, inter_ocular"),
        (("--normalizer", "box"), "requires boxes"),
        (("--unit", "mm"), "requires --scale"),
        (
            ("--unit", "mm", "--scale", "mm"),
            "--scale mm: expected a number above 0, or the name of",
        ),
        (("--scale", "2"), "requires --unit"),
        (("--unit", "px", "--scale", "2"), "--scale S needs a unit such as --unit mm"),
        (("--unit", "px", "--normalizer", "box"), "exclude each other"),
    ],
)
def test_an_impossible_unit_is_an_error_before_the_work(run, monkeypatch, args, told):
    def work(self, *data, **options):
        pytest.fail("landmarks were predicted before the unit was checked")

    monkeypatch.setattr(CascadeLandmarkRegressor, "predict", work)
    code, _, err = run("evaluate", "faces.tps", "--model", "whole.safetensors", *args)
    assert code == 1 and told in err


def test_the_help_lists_the_lengths_and_the_default(run, capsys):
    with pytest.raises(SystemExit):
        run("evaluate", "--help")
    text = " ".join(capsys.readouterr().out.split())
    assert "auto, box, inter_ocular, inter_pupil" in text
    assert "default: auto, the inter-ocular distance if the schema defines it, else" in text


@pytest.mark.slow
def test_errors_are_measured_in_a_unit_of_length(run, predicted):
    true, points = predicted
    errors = point_errors(true, points)
    out = run("evaluate", "faces.json", *MODEL, "--unit", "px")[1]
    assert f"{errors.mean():.2f} px" in out and "%" not in out.replace("95 %", "")
    args = ("--unit", "mm", "--scale", 0.5, "--landmarks")
    out = run("evaluate", "faces.json", *MODEL, *args)[1]
    assert f"{0.5 * errors.mean():.2f} mm" in out
    schema = read_landmarks("faces.json").schema
    assert landmark_report(true, points, unit="mm", scale=0.5, schema=schema) in out


@pytest.mark.parametrize("unit", ["px", "pixels"])
def test_errors_of_landmarks_in_pixels(run, predicted, unit):
    true, points = predicted
    out = run("evaluate", "faces.json", *MODEL, "--unit", unit, "--landmarks")[1]
    assert f"{point_errors(true, points).mean():.2f} {unit}" in out
    schema = read_landmarks("faces.json").schema
    assert landmark_report(true, points, unit=unit, schema=schema) in out


def test_the_scales_of_a_file_are_used(folder, run):
    faces = read_landmarks("faces.tps")
    scale = np.linspace(0.1, 0.4, len(faces.data))
    write_tps("scaled.tps", BoxedImages(faces.data.paths), faces.target, scale=scale)
    out = run("evaluate", "scaled.tps", "--model", "whole.safetensors", "--unit", "mm")[1]
    points = load_model("whole.safetensors").predict(faces.data)
    expected = (scale * point_errors(faces.target, points).mean(1)).mean()
    assert f"{expected:.2f} mm" in out


def test_the_scales_of_a_column_are_used(folder, run):
    faces = read_csv(folder / "faces.csv")
    scale = np.linspace(0.1, 0.4, len(faces.data))
    for name, args in (("mm_per_pixel", ("--scale", "mm_per_pixel")), ("scale", ())):
        further = {name: scale, "other": scale + 1}
        write_csv("scaled.csv", faces.data, faces.target, further=further)
        out = run("evaluate", "scaled.csv", "--model", "boxed.safetensors", "--unit", "mm", *args)[
            1
        ]
        points = load_model("boxed.safetensors").predict(faces.data)
        expected = (scale * point_errors(faces.target, points).mean(1)).mean()
        assert f"{expected:.2f} mm" in out
    told = run(
        "evaluate", "scaled.csv", "--model", "boxed.safetensors", "--unit", "mm", "--scale", "no"
    )
    assert told[0] == 1 and "there are: scale, other" in told[2]
