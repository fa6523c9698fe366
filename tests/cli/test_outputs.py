"""Files to write are checked before the work, and inputs are not overwritten."""

import os

import pytest

from skwing import CascadeLandmarkRegressor
from skwing._cli.formats import FORMATS

WHOLE = ("--model", "whole.safetensors")


@pytest.fixture
def no_work(folder, monkeypatch):
    """Training, prediction, detection, drawing and export fail."""

    def work(*data, **options):
        pytest.fail("the work was done before the files were checked")

    monkeypatch.setattr(CascadeLandmarkRegressor, "fit", work)
    monkeypatch.setattr(CascadeLandmarkRegressor, "predict", work)
    for name in ("commands.to_onnx", "commands.draw_landmarks", "annotated.draw_landmarks"):
        monkeypatch.setattr(f"skwing._cli.{name}", work)
    for name in ("detect_boxes", "detect_all"):
        monkeypatch.setattr(f"skwing._cli.samples.{name}", work)
    (folder / "full").mkdir(exist_ok=True)
    (folder / "full" / "01.pts").touch()
    (folder / "same").mkdir(exist_ok=True)
    for name in ("00.png", "00.jpg"):
        (folder / "same" / name).write_bytes((folder / "00.png").read_bytes())


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("predict", "00.png", "01.png", *WHOLE, "--to", "pts", "--out", "full"), "--overwrite"),
        (("predict", "00.png", *WHOLE, "--to", "pts", "--out", "00.png"), "is a file"),
        (("predict", "same", *WHOLE, "--to", "pts", "--out", "p"), "00.jpg"),
        (("predict", "00.png", "00.png", *WHOLE, "--to", "deeplabcut"), "of one image"),
        (("predict", "00.png", *WHOLE, "--draw", "p.doc"), "cannot be written as '.doc'"),
        (("predict", "00.png", *WHOLE, "--draw", "none/p.png"), "there is no folder"),
        (("predict", "00.png", *WHOLE, "--out", "a.csv", "--draw", "a.csv"), "both --out and"),
        (("predict", "00.png", *WHOLE, "--draw", "00.png"), "both IMAGES and --draw"),
        (("predict", ".", *WHOLE, "--draw", "00.png"), "both an image and --draw"),
        (("predict", "faces.tps", *WHOLE, "--out", "faces.tps"), "both IMAGES and --out"),
        (("predict", "00.png", *WHOLE, "--out", "whole.safetensors", "--to", "csv"), "both --mod"),
        (("predict", "00.png", "--model", "boxed.safetensors", "--draw", "p.doc"), "'.doc'"),
        (("train", "faces.csv", "--out", "faces.csv"), "both DATA and --out"),
        (("evaluate", "faces.csv", *WHOLE, "--draw", "p.doc"), "cannot be written as '.doc'"),
        (("evaluate", "faces.csv", *WHOLE, "--draw", "none/p.png"), "there is no folder"),
        (("plot", "faces.csv", *WHOLE, "--out", "p.doc"), "cannot be written as '.doc'"),
        (("plot", "faces.csv", "--out", "none/p.png"), "there is no folder"),
        (("plot", "faces.csv", "--out", "faces.csv"), "both DATA and --out"),
        (("export", "whole.safetensors", "none/m.onnx"), "there is no folder"),
        (("export", "whole.safetensors", "whole.safetensors"), "both MODEL and OUT"),
        (("convert", "faces.csv", "full", "--to", "pts"), "--overwrite replaces them"),
        (("convert", "faces.csv", "none/a.csv"), "there is no folder"),
    ],
)
def test_files_are_checked_before_the_work(no_work, run, folder, args, told):
    before = sorted(os.listdir(folder))
    content = {name: (folder / name).read_bytes() for name in before if (folder / name).is_file()}
    code, _, err = run(*args)
    assert code == 1 and told in err
    assert err.splitlines()[-1].startswith(f"skwing {args[0]}: error: ")
    assert sorted(os.listdir(folder)) == before
    assert all((folder / name).read_bytes() == was for name, was in content.items())


@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("train", "faces.csv", "--out", "m.safetensors", "--yunet", "y.onnx"), "--detect"),
        (("evaluate", "faces.csv", *WHOLE, "--yunet", "y.onnx"), "--detect"),
        (("export", "whole.safetensors", "m.onnx", "--schema", "ibug68"), "--calibration"),
    ],
)
def test_options_without_effect_are_errors_before_the_work(no_work, run, args, told):
    code, _, err = run(*args)
    assert code == 1 and f"{args[-2]} has no effect without {told}" in err


def test_files_of_a_folder_are_overwritten_if_asked_for(run, folder, tmp_path):
    args = ("convert", "faces.csv", tmp_path / "points", "--to", "pts")
    assert run(*args)[0] == 0
    files = sorted((tmp_path / "points").iterdir())
    files[0].write_text("old")
    assert run(*args)[0] == 1 and files[0].read_text() == "old"
    assert run(*args, "--overwrite")[0] == 0 and files[0].read_text() != "old"


@pytest.mark.parametrize("name", FORMATS)
def test_a_check_leaves_nothing_behind(run, folder, tmp_path, name):
    out = tmp_path / f"out{FORMATS[name].suffix}"
    assert run("convert", "faces.csv", out, "--to", name)[0] == 0
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_export_passes_the_samples_of_the_calibration(run, monkeypatch):
    passed = {}

    def note(regressor, path, **settings):
        passed.update(settings, path=path)

    monkeypatch.setattr("skwing._cli.commands.to_onnx", note)
    model = "boxed.safetensors"
    options = ("--precision", "int8", "--calibration", "faces.csv", "--batch-size", 1)
    assert run("export", model, "small.onnx", *options)[0] == 0
    assert (passed["path"], passed["precision"], passed["batch_size"]) == ("small.onnx", "int8", 1)
    assert passed["calibration_target"].shape[0] == len(passed["calibration"]) > 0
    assert run("export", model, "plain.onnx")[0] == 0
    assert (passed["precision"], passed["batch_size"]) == ("float32", None)


def test_export_says_in_options_what_is_missing(run):
    told = run("export", "boxed.safetensors", "small.onnx", "--precision", "int8")[2]
    assert "--precision int8 needs --calibration: annotated images" in told
    options = ("--calibration", "faces.csv")
    told = run("export", "boxed.safetensors", "small.onnx", *options)[2]
    assert "without --precision int8 or float16, --calibration has no effect" in told
