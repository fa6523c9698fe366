import runpy
import sys

import numpy as np
import pytest
from small import first_fast

from skwing import CascadeLandmarkRegressor, load_model
from skwing._cli.formats import FORMATS, find_images, read_landmarks
from skwing._utils.opencv import cv2
from skwing.datasets import write_csv
from skwing.datasets._paths import IMAGE_SUFFIXES
from skwing.metrics import nme
from skwing.schema import IBUG68

N = 12


@pytest.mark.slow
def test_landmarks_of_images_are_those_of_predict(folder, run, tmp_path):
    out, picture = tmp_path / "found.csv", tmp_path / "found.png"
    code, _, told = run(
        "predict",
        "00.png",
        "01.png",
        "--model",
        "whole.safetensors",
        "--out",
        out,
        "--draw",
        picture,
    )
    assert code == 0
    assert str(out) in told and str(picture) in told
    paths = [str(folder / "00.png"), str(folder / "01.png")]
    expected = load_model(folder / "whole.safetensors").predict(paths)
    np.testing.assert_allclose(read_landmarks(out).target, expected, atol=1e-9)
    assert cv2.imread(str(picture)).std() > 10


def test_columns_are_named_after_the_landmarks_of_the_model(folder, run, tmp_path):
    out = tmp_path / "named.csv"
    run("predict", "00.png", "01.png", "--model", "whole.safetensors", "--out", out)
    header = out.read_text().splitlines()[0].split(",")
    assert header[:3] == ["image", "left_jaw_0_x", "left_jaw_0_y"]
    assert read_landmarks(out).schema.landmark_names == IBUG68.landmark_names


def test_a_folder_of_images_gives_landmarks_csv(folder, run):
    code, _, _ = run("predict", folder, "--model", "whole.safetensors")
    assert code == 0
    assert len(read_landmarks(folder / "landmarks.csv").target) == N
    (folder / "landmarks.csv").unlink()


def test_images_of_a_folder_have_the_suffixes_that_readers_know(tmp_path):
    names = sorted(f"a{suffix}" for suffix in IMAGE_SUFFIXES)
    for name in [*names, "a.txt"]:
        (tmp_path / name).touch()
    assert find_images([tmp_path]) == [str(tmp_path / name) for name in names]


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in FORMATS if name != "pts"])
def test_landmarks_are_written_in_every_format(folder, run, name):
    out = f"out-{name}{FORMATS[name].suffix}"
    args = ["predict", "faces.csv", "--model", "boxed.safetensors", "--to", name, "--out", out]
    assert run(*args)[0] == 0
    assert read_landmarks(folder / out, name).target.shape == (N, 68, 2)


@pytest.mark.slow
def test_annotation_files_bring_their_boxes(folder, run):
    run("predict", "faces.json", "--model", "boxed.safetensors", "--out", "by-boxes.csv")
    data = read_landmarks(folder / "faces.json").data
    expected = load_model(folder / "boxed.safetensors").predict(data)
    np.testing.assert_allclose(read_landmarks(folder / "by-boxes.csv").target, expected, atol=1e-9)


@pytest.mark.slow
def test_a_model_of_boxes_looks_for_faces(run):
    pytest.importorskip("skimage")
    code, _, told = run("predict", "00.png", "--model", "boxed.safetensors", "--out", "f.csv", "-q")
    assert "detecting faces with SkimageCascade" in told
    # The detector may not see a drawn face: then there are no landmarks, and the code says so.
    found = ~np.isnan(read_landmarks("f.csv").target).all()
    assert code == (0 if found else 1)


def test_whole_images_need_no_detector(run):
    code, _, told = run(
        "predict", "00.png", "--model", "boxed.safetensors", "--whole", "--out", "w.csv"
    )
    assert code == 0
    assert "detecting faces" not in told and "have no boxes" in told


@pytest.mark.slow
def test_unreadable_images_are_named_or_skipped(folder, run):
    (folder / "broken").mkdir(exist_ok=True)
    (folder / "broken" / "a.png").write_bytes(b"no image")
    (folder / "broken" / "b.png").write_bytes((folder / "00.png").read_bytes())
    args = ["predict", "broken", "--model", "whole.safetensors", "--out", "b.csv"]
    code, _, told = run(*args)
    assert code == 1 and "a.png" in told and "Traceback" not in told
    code, _, told = run(*args, "--skip-unreadable")
    assert code == 1 and "could not be read" in told
    missing = np.isnan(read_landmarks("b.csv").target).all((1, 2))
    assert missing.tolist() == [True, False]


@pytest.mark.slow
def test_train_then_evaluate(folder, run):
    code, out, told = run(
        *("train", "faces.csv", "--out", "trained.safetensors", "--epochs", 1, "--balance"),
        *(
            "--set",
            "networks=('cnn6',)",
            "--set",
            "augmentation__rotation=5",
            "--hold-out",
            0.25,
            "-q",
        ),
    )
    assert code == 0
    assert "9 samples" in told and "error on 3 photographs (3 samples) held out" in told
    assert "mean error (NME)" in out
    code, out, _ = run("evaluate", "faces.tps", "--model", "trained.safetensors", "--draw", "e.png")
    assert code == 0
    assert f"{N} of {N}" in out
    assert cv2.imread(str(folder / "e.png")) is not None
    code, out, _ = run("evaluate", "faces.csv", "--model", "trained.safetensors", "--landmarks")
    rows = out.splitlines()
    assert code == 0 and rows[-1].startswith("all landmarks") and len(rows) > 68
    code, out, _ = run("describe", "trained.safetensors")
    assert code == 0 and "n_landmarks: 68" in out


@pytest.mark.slow
def test_the_error_is_that_of_nme(folder, run):
    args = ["evaluate", "faces.json", "--model", "boxed.safetensors"]
    _, out, _ = run(*args, "--normalizer", "box")
    faces = read_landmarks(folder / "faces.json")
    points = load_model(folder / "boxed.safetensors").predict(faces.data)
    expected = 100 * nme(faces.target, points, normalizer="box", boxes=faces.data.boxes)
    assert f"{expected:.2f} %" in out


@pytest.mark.parametrize(("first", "second"), [("csv", "tps"), ("tps", "json"), ("json", "csv")])
def test_convert_keeps_landmarks(folder, run, first, second):
    code, _, told = run("convert", f"faces.{first}", f"converted.{second}")
    assert code == 0 and f"{N} samples of 68 landmarks" in told
    before, after = (
        read_landmarks(folder / name) for name in (f"faces.{first}", f"converted.{second}")
    )
    np.testing.assert_allclose(after.target, before.target, atol=1e-6)


def test_named_landmarks_keep_their_names(folder, run):
    assert run("convert", "faces.json", "named.xml")[0] == 0
    before, after = read_landmarks(folder / "faces.json"), read_landmarks(folder / "named.xml")
    order = [after.schema.landmark_names.index(name) for name in before.schema.landmark_names]
    np.testing.assert_allclose(after.target[:, order], before.target, atol=1e-6)


@pytest.mark.slow
def test_a_schema_can_be_named(folder, run):
    args = ["train", "faces.tps", "--out", "s.safetensors", "--epochs", 1, "--hold-out", 0, "-q"]
    assert run(*args, "--schema", "ibug68", "--set", "networks=('cnn6',)")[0] == 0
    assert "schema: ibug68" in run("describe", "s.safetensors")[1]


@pytest.mark.slow
def test_undigitised_specimens_are_filled_in(folder, run):
    todo = "LM=0\nIMAGE=00.png\nID=17\nSCALE=0.25\nLM=0\nIMAGE=01.png\nID=18\n"
    (folder / "todo.tps").write_text(todo)
    assert run("predict", "todo.tps", "--model", "whole.safetensors", "--out", "done.tps")[0] == 0
    done = read_landmarks(folder / "done.tps")
    assert done.names.tolist() == ["17", "18"] and done.scale[0] == 0.25
    expected = load_model(folder / "whole.safetensors").predict(done.data)
    np.testing.assert_allclose(done.target, expected, atol=1e-9)


@pytest.mark.slow
def test_only_digitised_specimens_are_trained_on_and_held_out(folder, run):
    target = read_landmarks(folder / "faces.tps").target
    text = (folder / "faces.tps").read_text()
    todo = "".join(f"LM=0\nIMAGE={i:02}.png\nID=todo{i}\n" for i in range(N))
    (folder / "mixed.tps").write_text(todo + text)
    args = ["train", "mixed.tps", "--out", "x.safetensors", "--epochs", 1, "--hold-out", 0.25]
    code, out, err = run(*args, "--set", "networks=('cnn6',)")
    assert code == 0
    assert f"{N} of {2 * N} samples have no landmarks" in out + err
    n_held_out = round(0.25 * len(target))
    assert f"model trained on {len(target) - n_held_out} photographs" in out + err
    assert f"{n_held_out:8d} of {n_held_out}" in out + err


def test_a_folder_of_pts_is_written_and_read(folder, run):
    assert run("convert", "faces.csv", "points", "--to", "pts")[0] == 0
    assert len(list((folder / "points").glob("*.pts"))) == N
    assert run("convert", "points", "back.csv", "--images", ".")[0] == 0
    np.testing.assert_allclose(
        read_landmarks("back.csv").target, read_landmarks("faces.csv").target, atol=1e-6
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", first_fast(["landmarks", "errors", "poses"]))
def test_pictures(folder, run, kind):
    args = ["plot", "faces.json", "--kind", kind, "--out", f"{kind}.png"]
    model = [] if kind == "poses" else ["--model", "boxed.safetensors"]
    assert run(*args, *model)[0] == 0
    assert cv2.imread(str(folder / f"{kind}.png")).std() > 5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("args", "told"),
    [
        (("predict", "none.jpg", "--model", "whole.safetensors"), "no such image: none.jpg"),
        (("predict", "00.png", "--model", "none"), "none"),
        (("train", "faces.txt", "--out", "m"), "no such file or folder: faces.txt"),
        (("train", "00.png", "--out", "m"), "unknown format '.png'"),
        (("train", "faces.csv", "--out", "m", "--set", "w"), "name=value"),
        (("train", "faces.csv", "--out", "m", "--hold-out", "1"), "leaves no image to train on"),
        (("convert", "faces.csv", "faces.csv"), "both SOURCE and TARGET"),
        (("convert", "faces.csv", "faces.odt"), "'.odt'"),
        (("plot", "faces.csv", "--out", "p.png", "--kind", "errors"), "requires --model"),
        (("train", "faces.csv", "--out", "none/m.safetensors"), "there is no folder"),
        (("predict", "00.png", "--model", "whole.safetensors", "--out", "x.odt"), "'.odt'"),
        (("plot", "faces.csv", "--out", "p.doc"), "cannot be written as '.doc'"),
        (("plot", "faces.csv", "--out", "none/p.png"), "there is no folder"),
    ],
)
def test_errors_are_one_line_without_a_traceback(run, args, told):
    code, _, err = run(*args)
    assert code == 1
    assert told in err
    assert err.startswith(f"skwing {args[0]}: error: ")
    assert len(err.splitlines()) == 1


def test_a_traceback_is_shown_if_asked_for(run):
    with pytest.raises(FileNotFoundError):
        run("--traceback", "predict", "none.jpg", "--model", "whole.safetensors")


def test_wrong_arguments_exit_with_2(run):
    with pytest.raises(SystemExit) as stopped:
        run("predict")
    assert stopped.value.code == 2


@pytest.mark.parametrize("option", ["--seed=-1", "--seed=4294967296", "--epochs=0", "--seed=a"])
def test_wrong_numbers_name_their_option(run, capsys, option):
    with pytest.raises(SystemExit):
        run("train", "faces.csv", "--out", "m", option)
    name, value = option.split("=")
    assert f"argument {name}" in (told := capsys.readouterr().err) and value in told


def test_an_interruption_exits_with_130(run, monkeypatch):
    def interrupt(path):
        raise KeyboardInterrupt

    monkeypatch.setattr("skwing._cli.commands.load_model", interrupt)
    assert run("describe", "x")[0] == 1
    code, _, told = run("evaluate", "faces.csv", "--model", "x")
    assert code == 130 and "interrupted" in told


def test_the_module_runs(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["skwing", "--help"])
    with pytest.raises(SystemExit) as done:
        runpy.run_module("skwing", run_name="__main__")
    assert done.value.code == 0
    assert "skwing predict photos/" in capsys.readouterr().out


@pytest.mark.parametrize(
    "args",
    [
        ("train", "faces.csv", "--out", "none/m.safetensors"),
        ("predict", "00.png", "--model", "whole.safetensors", "--out", "none/x.csv"),
        ("predict", "00.png", "--model", "whole.safetensors", "--out", "x.odt"),
    ],
)
def test_a_file_that_cannot_be_written_is_an_error_before_the_work(run, monkeypatch, args):
    def work(self, *data, **options):
        pytest.fail("the work was done before the target was checked")

    monkeypatch.setattr(CascadeLandmarkRegressor, "fit", work)
    monkeypatch.setattr(CascadeLandmarkRegressor, "predict", work)
    assert run(*args)[0] == 1


@pytest.mark.slow
def test_samples_without_a_box_are_left_out_of_the_errors(folder, run):
    faces = read_landmarks(folder / "faces.csv")
    boxes = faces.data.boxes.copy()
    boxes[4] = np.nan
    write_csv(folder / "holed.csv", faces.data.with_boxes(boxes), faces.target)
    code, out, told = run("evaluate", "holed.csv", "--model", "boxed.safetensors")
    assert code == 0 and f"{N - 1} of {N - 1}" in out and "04.png" in told and "no box" in told


@pytest.mark.parametrize("given", [("faces.csv", "faces.tps"), ("00.png", "faces.json")])
def test_an_annotation_file_is_predicted_alone(run, given):
    code, _, told = run("predict", *given, "--model", "boxed.safetensors")
    assert code == 1 and "is an annotation file: pass it as the only one of IMAGES" in told
