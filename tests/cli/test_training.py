"""What `train` says about its samples, and training that continues from a model."""

import numpy as np
import pytest

from skwing import CascadeLandmarkRegressor, load_model
from skwing._cli.formats import read_landmarks
from skwing._cli.training import can_calibrate
from skwing._training import loop
from skwing.datasets import write_csv, write_dlib_xml, write_tps
from skwing.images import BoxedImages

FAST = ("--epochs", 1, "--set", "networks=('cnn6',)", "-q")


def train(run, path, *args):
    return run("train", path, "--out", "new.safetensors", *FAST, *args)


@pytest.mark.slow
def test_landmarks_without_a_schema_are_told(folder, run):
    faces = read_landmarks("faces.csv")
    data = BoxedImages(faces.data.paths, boxes=faces.data.boxes)
    write_csv("plain.csv", data, faces.target, names=range(68))
    write_dlib_xml("plain.xml", data, faces.target)
    note = "68 landmarks without a schema: samples are not mirrored, and errors are in percent of "
    for path in ("plain.csv", "plain.xml", "faces.tps"):
        told = train(run, path)[2]
        assert note in told and "--schema ibug68 if they are those of iBUG" in told
    told = train(run, "plain.csv", "--schema", "ibug68")[2]
    assert "without a schema" not in told
    assert "without a schema" not in train(run, "plain.csv", "--set", "schema=ibug68")[2]
    write_csv("few.csv", data, faces.target[:, :5], names=range(5))
    assert "without a schema" not in train(run, "few.csv")[2]
    names = [f"part {chr(97 + i // 8)}{chr(97 + i % 8)}" for i in range(68)]  # of another object
    write_csv("named.csv", data, faces.target, names=names)
    assert "without a schema" not in train(run, "named.csv")[2]


@pytest.mark.slow
def test_training_continues_from_a_model(folder, run):
    before = load_model("boxed.safetensors")
    args = ("--out", "more.safetensors", "--start", "boxed.safetensors", "--hold-out", 0, "-q")
    rates = ("--epochs", 1, "--set", "learning_rate=1e-12")
    assert run("train", "faces.csv", *args, *rates)[0] == 0
    after = load_model("more.safetensors")
    assert after.learning_rate == 1e-12 and after.start == "boxed.safetensors"
    # Without a step, only the statistics of normalisation move.
    for old, new in zip(
        before.networks_[0].parameters(), after.networks_[0].parameters(), strict=True
    ):
        np.testing.assert_allclose(new.detach(), old.detach(), atol=1e-6)
    assert run("train", "faces.csv", *args, "--balance", "--epochs", 2)[0] == 0
    more = load_model("more.safetensors")
    assert more.steps[0][0] == "posebalancer" and more[-1].n_iter_ == [2]
    again = (*args[:2], "--start", "more.safetensors", *args[4:], "--epochs", 1)
    assert run("train", "faces.csv", *again)[0] == 0
    assert load_model("more.safetensors").steps[0][0] == "posebalancer"


@pytest.mark.slow
def test_other_landmarks_are_trained_from_a_model_and_told(folder, run):
    faces = read_landmarks("faces.csv")
    data = BoxedImages(faces.data.paths, boxes=faces.data.boxes)
    names = load_model("boxed.safetensors").schema_.landmark_names
    write_csv("few.csv", data, faces.target[:, :5], names=(*names[:4], "ear"))
    write_csv("turned.csv", data, faces.target[:, ::-1], names=names[::-1])
    args = ("--out", "new.safetensors", "--epochs", 1, "-q", "--start", "boxed.safetensors")
    for path, counts, shared in (
        ("few.csv", "5, not 68", "4 landmarks"),
        ("turned.csv", "68, not 68", "68 landmarks"),
    ):
        code, _, told = run("train", path, *args)
        assert code == 0
        assert f"{path} has other landmarks than boxed.safetensors: {counts}" in told
        assert f"and those of {shared} of the same names" in told
    assert load_model("new.safetensors").start == "boxed.safetensors"


@pytest.mark.slow
def test_epochs_and_rates_suit_a_start_unless_given(folder, run, monkeypatch):
    seen = []
    monkeypatch.setattr(
        CascadeLandmarkRegressor, "fit", lambda self, *data, **options: seen.append(self) or 1 / 0
    )
    args = ("--out", "x.safetensors", "--start", "boxed.safetensors")
    for more in ((), ("--epochs", 5, "--set", "learning_rate=0.01")):
        with pytest.raises(ZeroDivisionError):
            run("train", "faces.csv", *args, *more)
    assert [(own.max_epochs, own.learning_rate) for own in seen] == [("auto", "auto"), (5, 0.01)]


@pytest.mark.slow
def test_the_schema_of_the_start_stays_if_the_file_has_none(folder, run):
    faces = read_landmarks("faces.csv")
    write_csv(
        "plain.csv",
        BoxedImages(faces.data.paths, boxes=faces.data.boxes),
        faces.target,
        names=range(68),
    )
    args = ("--out", "more.safetensors", "--epochs", 1, "-q", "--start")
    run("train", "faces.csv", *args, "boxed.safetensors", "--schema", "ibug68")
    told = run("train", "plain.csv", *args, "more.safetensors")[2]
    assert load_model("more.safetensors").schema_.name == "ibug68"
    assert "without a schema" not in told


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "args", "told"),
    [
        (
            "faces.csv",
            ("--start", "boxed.safetensors", "--set", "networks=('cnn7',)"),
            "--set networks=... contradicts --start",
        ),
        (
            "faces.csv",
            ("--start", "boxed.safetensors", "--set", "warm_start=True"),
            "--set warm_start=... contradicts --start",
        ),
        (
            "faces.csv",
            ("--start", "boxed.safetensors", "--set", "start=other.safetensors"),
            "--set start=... contradicts --start",
        ),
        ("faces.csv", ("--set", "warm_start=True"), "has no effect on a new model"),
    ],
)
def test_a_start_that_does_not_fit_is_an_error_before_the_work(
    folder, run, monkeypatch, path, args, told
):
    def work(self, *data, **options):
        pytest.fail("training began")

    monkeypatch.setattr(CascadeLandmarkRegressor, "fit", work)
    code, _, err = run("train", path, "--out", "x.safetensors", *args)
    assert code == 1 and told in err


@pytest.fixture
def mixed(folder, monkeypatch):
    """A TPS file, half of whose specimens are not digitised, and one without any."""
    monkeypatch.chdir(folder)
    faces = read_landmarks("faces.tps")
    write_tps("some.tps", faces.data[:6], faces.target[:6])
    todo = "".join(f"LM=0\nIMAGE={i:02}.png\nID={i}\n" for i in range(6, 12))
    with open("some.tps", "a") as file:
        file.write(todo)
    (folder / "new.tps").write_text(todo)


@pytest.mark.slow
def test_only_digitised_specimens_are_held_out(mixed, run):
    code, out, told = train(run, "some.tps", "--hold-out", 0.5)
    assert code == 0
    assert "6 of 12 samples have no landmarks and are left out: 06.png, 07.png" in told
    assert "model trained on 3 photographs (3 samples)" in told
    assert "3 of 3" in out
    code, out, told = run("evaluate", "some.tps", "--model", "whole.safetensors")
    assert code == 0 and "6 of 6" in out and "6 of 12 samples have no landmarks" in told


@pytest.mark.parametrize(("command", "purpose"), [("train", "train on"), ("evaluate", "measure")])
def test_nothing_digitised_is_an_error(mixed, run, command, purpose):
    last = ("--out", "x") if command == "train" else ("--model", "whole.safetensors")
    code, _, told = run(command, "new.tps", *last)
    assert code == 1
    assert f"new.tps has no digitised specimens: nothing to {purpose} (use predict)" in told
    code, _, told = run(command, "new.tps", *last, "--schema", "ibug68")
    assert code == 1 and "no digitised specimens" in told


def test_samples_without_a_box_are_not_held_out(folder, run):
    faces = read_landmarks("faces.csv")
    boxes = faces.data.boxes.copy()
    boxes[2:] = np.nan
    write_csv("two.csv", faces.data.with_boxes(boxes), faces.target)
    code, out, told = train(run, "two.csv", "--hold-out", 0.5)
    assert code == 0 and "1 of 1" in out and "10 of 12 samples have no box" in told
    boxes[:] = np.nan
    write_csv("two.csv", faces.data.with_boxes(boxes), faces.target)
    code, _, told = train(run, "two.csv")
    assert code == 1 and "two.csv" in told


@pytest.mark.slow
def test_few_photographs_hold_out_one(folder, run):
    faces = read_landmarks("faces.csv")
    rows = [0, 0, 1, 1, 2, 2, 3, 3]
    write_csv("four.csv", faces.data[rows], faces.target[rows] + np.arange(8)[:, None, None] / 10)
    code, out, told = train(run, "four.csv")
    assert code == 0 and "2 of 2" in out
    assert "model trained on 3 photographs (6 samples)" in told
    assert "error on 1 photograph (2 samples) held out" in told
    write_csv("one.csv", faces.data[[0]], faces.target[[0]])
    code, out, told = train(run, "one.csv")
    assert code == 0 and out == "" and "only one photograph" in told
    assert "trained on 1 photograph (1 sample)" in told


def test_predict_keeps_the_landmarks_of_the_file_if_asked_for(folder, run):
    target = read_landmarks("faces.tps").target
    todo = "".join(f"LM=0\nIMAGE={i:02}.png\nID=todo{i}\n" for i in range(2))
    (folder / "some.tps").write_text(todo + (folder / "faces.tps").read_text())
    args = ("predict", "some.tps", "--model", "whole.safetensors", "-q", "--out", "full.tps")
    told = run(*args)[2]
    assert f"{len(target)} of {len(target) + 2} samples have landmarks in the file" in told
    predicted = read_landmarks("full.tps").target
    assert abs(predicted[2:] - target).max() > 1
    code, _, told = run(*args, "--keep")
    kept = read_landmarks("full.tps").target
    assert code == 0 and "--keep" not in told
    np.testing.assert_array_equal(kept[2:], target)
    np.testing.assert_allclose(kept[:2], predicted[:2], atol=1e-3)  # batches round differently


def test_what_is_kept_is_matched_by_name(folder, run):
    faces = read_landmarks("faces.csv")
    target = faces.target[:, ::-1].copy()
    target[0] = np.nan
    data = BoxedImages(faces.data.paths, boxes=faces.data.boxes)
    write_csv("back.csv", data, target, names=faces.schema.landmark_names[::-1])
    args = ("--model", "boxed.safetensors", "-q", "--keep", "--out", "kept.csv")
    assert run("predict", "back.csv", *args)[0] == 0
    found = read_landmarks("kept.csv")
    assert found.schema.landmark_names == faces.schema.landmark_names
    np.testing.assert_array_equal(found.target[1:], faces.target[1:])
    assert not np.isnan(found.target[0]).any()


@pytest.mark.parametrize("args", [("00.png", "--keep"), ("faces.tps", "--keep", "--all-faces")])
def test_what_cannot_be_kept_is_an_error(run, args):
    code, _, told = run("predict", *args, "--model", "whole.safetensors", "--out", "k.csv")
    assert code == 1 and "--keep" in told


def test_held_out_samples_calibrate_the_model_and_doubtful_predictions_are_named(
    folder, run, monkeypatch
):
    code, _, told = train(run, "faces.csv", "--hold-out", 0.85)
    assert code == 0 and "calibrated the model" in told
    X = read_landmarks("faces.csv").data
    assert (load_model("new.safetensors").predict(X, return_confidence=True)[1] < 0.5).all()
    _, _, told = run("predict", "00.png", "01.png", "--model", "new.safetensors", "--whole")
    assert "landmarks of 2 of 2 samples are probably wrong" in told and "00.png, 01.png" in told
    drawn = {}
    monkeypatch.setattr(
        "skwing._cli.commands.draw_landmarks", lambda *_, **options: drawn.update(options)
    )
    run("predict", "faces.csv", "--model", "new.safetensors", "--draw", "p.png")
    confidence = drawn["confidence"]
    assert confidence.shape == (len(X),)
    np.testing.assert_array_equal(drawn["rows"], np.argsort(confidence, kind="stable"))
    _, _, told = train(run, "faces.csv", "--hold-out", 0.5)
    assert "calibrated" not in told  # too few


def test_samples_that_calibrate_have_each_landmark():
    target = np.zeros((12, 3, 2))
    assert can_calibrate(target)
    assert not can_calibrate(target[:9])
    target[:, 1] = np.nan
    assert not can_calibrate(target)


def test_the_same_command_continues_from_a_checkpoint(folder, run, monkeypatch):
    epoch, done = loop._train_epoch, []

    def interrupted(*args, **options):
        done.append(True)
        if len(done) == 2:
            raise KeyboardInterrupt
        return epoch(*args, **options)

    args = ("--checkpoint", "night.safetensors", "--epochs", 2, "--set", "networks=('cnn6',)", "-q")
    command = ("train", "faces.csv", "--out", "new.safetensors", *args)
    monkeypatch.setattr("skwing._training.checkpoint._INTERVAL", 0.0)
    monkeypatch.setattr("skwing._training.checkpoint._SHARE", float("inf"))
    monkeypatch.setattr(loop, "_train_epoch", interrupted)
    code, _, told = run(*command)
    assert code == 0 and "The same command continues from" in told and "night.safetensors" in told
    assert load_model("new.safetensors").n_iter_ == [1]
    assert run(*command)[0] == 0
    assert load_model("new.safetensors").n_iter_ == [2] and len(done) == 3
    code, _, told = run(*command, "--set", "w=5")
    assert code == 1 and "w was 10.0, is 5" in told
    assert "that of another training" in told and "repeat the command with the same options" in told


@pytest.mark.slow
def test_errors_on_samples_that_the_model_has_seen_are_told(folder, run):
    note = "12 of 12 samples were used for training, of this model or its start"
    faces = read_landmarks("faces.csv")
    assert train(run, "faces.csv", "--hold-out", 0)[0] == 0
    code, out, told = run("evaluate", "faces.csv", "--model", "new.safetensors", "-q")
    assert code == 0 and note in told and note not in out
    args = ("--out", "more.safetensors", "--start", "new.safetensors", "--epochs", 1, "-q")
    assert "1 of 1 samples were used for training" in run("train", "faces.csv", *args)[2]
    write_csv("moved.csv", faces.data, faces.target + 0.5)
    told = run("evaluate", "moved.csv", "--model", "new.safetensors", "-q")[2]
    assert "training" not in told
