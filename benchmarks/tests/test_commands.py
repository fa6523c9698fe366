"""The other commands of the benchmarks, each from its options to its line of results."""

import importlib
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from joblib import parallel_config
from small import trace_once

from skwing import CascadeLandmarkRegressor, load_model, save_model
from skwing.datasets import make_faces, write_csv, write_pts, write_tps
from skwing.images import BoxedImages
from skwing.networks import PlainCNN
from skwing.persistence import describe_model

BRIEF = ["--networks", "shape_indexed_64", "--epochs", "1"]


@pytest.fixture(scope="module")
def faces_300w(tmp_path_factory):
    """Options that choose 20 drawn faces, in the folders and files of 300-W."""
    root = tmp_path_factory.mktemp("300w")
    drawn = make_faces(20, image_size=96, random_state=0)
    for i, points in enumerate(drawn.target):
        folder = root / ("afw" if i < 8 else "helen/trainset")
        folder.mkdir(parents=True, exist_ok=True)
        write_pts(folder / f"face{i}_1.pts", points)
        cv2.imwrite(str(folder / f"face{i}_1.jpg"), drawn.data.decode(i)[..., ::-1])
    return ["--data", str(root), "--boxes", "landmarks", "--folds", "2"]


@pytest.fixture
def run(load, tmp_path):
    """Run a command with its results in a file of their own; its lines."""

    def run_command(name, *options):
        out = tmp_path / f"{name}.jsonl"
        load(name).main([*options, "--out", str(out)])
        return [json.loads(line) for line in out.read_text().splitlines()]

    return run_command


def test_trials_are_measured_on_each_fold_once(run, faces_300w, capsys):
    command = [*faces_300w, "--threads", "1", "--balance", "no", "--set", "networks=cnn6"]
    trials = ["--trial", "one: max_epochs=1", "--trial", "two: max_epochs=2 loss=l1"]
    rows = run("recipe", *command, *trials)
    assert [(row["trial"], row["fold"], row["epochs"]) for row in rows] == [
        ("one", 0, [1]),
        ("two", 0, [2]),
        ("one", 1, [1]),
        ("two", 1, [2]),
    ]
    assert all(row["n_train"] + row["n_test"] == 20 for row in rows)
    assert all(np.isfinite(row["stages"][0]["nme_pupil"]) for row in rows)
    assert all(set(row["by_subset"]) <= {"afw", "helen/trainset"} for row in rows)
    assert "two: 2 pairs" in capsys.readouterr().out
    assert run("recipe", *command, *trials) == rows  # all are there already


def test_the_models_of_trials_are_saved(run, faces_300w, tmp_path, named_networks):
    trial = "blocks: networks=_cheaper:blocks_64,_cheaper:blocks_128 max_epochs=1"
    folder = tmp_path / "models"
    run("recipe", *faces_300w, "--use", "0", "--trial", trial, "--models", str(folder))
    (model,) = folder.iterdir()
    assert len(load_model(model).networks_) == 2


def test_an_interrupted_training_is_not_stored(load, faces_300w, tmp_path, monkeypatch):
    report, loop = load("_report"), importlib.import_module("skwing._training.loop")
    train = loop.train

    def interrupted(*args, on_epoch=None, **rest):
        def stop(row):
            on_epoch(row)
            if row["epoch"] == 2:
                # Called, not sent: libraries of other tests may have changed the stack of signals.
                signal.getsignal(signal.SIGINT)(signal.SIGINT, None)

        return train(*args, on_epoch=stop, **rest)

    monkeypatch.setattr(loop, "train", interrupted)
    monkeypatch.setattr(report.INTERRUPTIONS, "seen", False)
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        report.INTERRUPTIONS.watch()
        command = [*faces_300w, "--threads", "1", "--set", "networks=cnn6", "max_epochs=3"]
        with (
            pytest.warns(UserWarning, match="interrupted by the user"),
            pytest.raises(KeyboardInterrupt, match="is not stored"),
        ):
            load("recipe").main([*command, "--out", str(tmp_path / "rows.jsonl")])
    finally:
        signal.signal(signal.SIGINT, handler)
    assert not (tmp_path / "rows.jsonl").exists()


def test_speed_is_told_for_every_stage(run, capsys):
    settings = ["--networks", "cnn6", "shape_indexed_64", "--n-samples", "8", "--repeats", "1"]
    (row,) = run("speed", *settings)
    assert [stage["network"] for stage in row["fit_stages"]] == ["cnn6", "shape_indexed_64"]
    assert len(row["predict_chips"]) == 2
    compared = [*row["fit_stages"], *row["predict_chips"], row["predict_whole"]]
    for part in compared:
        rates = part["skwing_samples_per_second"], part["bare_samples_per_second"]
        # Of a single repeat, the medians are of the same seconds; rates have one decimal, which
        # is little where a busy machine does a few samples a second.
        assert part["share"] == pytest.approx(100 * rates[0] / rates[1], abs=0.2, rel=0.05)
    shares = [stage["share"] for stage in row["fit_stages"]]
    assert min(shares) - 0.1 <= row["fit_steady"]["share"] <= max(shares) + 0.1
    # One-off work comes on top; of long epochs it may be too little for the one decimal.
    assert row["fit_whole"]["share"] <= row["fit_steady"]["share"]
    assert row["fit_one_off_seconds"][0] > 0
    printed = capsys.readouterr().out
    assert all(f"{part['share']:6.1f} %" in printed for part in compared)


@pytest.mark.slow
def test_killed_fits_end_with_the_same_model(run):
    few = ["--kills", "2", "--search-kills", "1", "--epochs", "2", "--search-epochs", "1"]
    (row,) = run("night", *few, "--n-samples", "12", "--most", "6")
    assert row["fit"]["equal"] and row["search"]["equal"]
    assert row["fit"]["kills"] >= 2 and row["search"]["kills"] >= 1
    assert row["fit"]["continued_from_old"] == row["search"]["continued_from_old"] == 0


def test_what_kills_lost_is_told(load):
    """Training from the last write to the last step; a write that a fit ignores is told."""
    where = {"file": "a", "stage": 0}
    lines = [
        {"what": "fit", "time": 1.0},
        {"what": "begin", "step": 0, **where, "time": 2.0},
        {"what": "step", "time": 3.0},
        {"what": "written", "step": 1, **where, "time": 4.0},
        {"what": "step", "time": 6.5},
        {"what": "killed", "time": 7.0},
        {"what": "fit", "time": 8.0},
        {"what": "killed", "time": 9.0},
        {"what": "fit", "time": 10.0},
    ]
    judged = load("night").judged
    assert judged([*lines, {"what": "begin", "step": 1, **where, "time": 11.0}]) == ([2.5], 0)
    assert judged([*lines, {"what": "begin", "step": 0, **where, "time": 11.0}]) == ([2.5], 1)


def test_shares_of_speed_are_medians_of_repeats(load):
    compare = load("speed").compare
    bare = [[1.0, 2.0], [1.0, 4.0], [3.0, 8.0]]
    skwing = [[2.0, 2.0], [1.25, 8.0], [4.0, 8.0]]
    row = compare(bare, skwing, 10)
    assert row["share"] == 75.0  # of 50, 80 and 75 percent
    assert row["share_quartiles"] == [62.5, 77.5]
    assert row["share_of_cpu_time"] == 100.0
    assert row["skwing_samples_per_second"] == 5.0
    assert row["bare_samples_per_second"] == 10.0


def test_bare_steps_train_a_copy(load):
    """What skwing is measured against really learns, and leaves the network alone."""
    speed = load("speed")
    layer = torch.nn.Linear(4, 6)
    network = torch.nn.Sequential(torch.nn.Flatten(), layer, torch.nn.Unflatten(1, (3, 2)))
    sided = torch.nn.Module()
    sided.network = network
    before = layer.weight.detach().clone()
    batches = [((torch.ones(5, 1, 2, 2),), torch.full((5, 3, 2), 9.0))]
    optimizer = torch.optim.SGD(sided.parameters(), lr=0.1)
    bare = speed.BareTraining(sided, optimizer, torch.square, batches, mixed=False)
    spent = bare.seconds(50)
    assert (spent > 0).all()
    torch.testing.assert_close(layer.weight, before)
    learned = bare.network(torch.ones(1, 1, 2, 2))
    torch.testing.assert_close(learned, torch.full((1, 3, 2), 9.0), atol=0.1, rtol=0)


def test_a_busy_machine_is_measured_beside_a_quiet_one(run, load):
    settings = ["--networks", "cnn6", "--n-samples", "8", "--epochs", "1", "--repeats", "1"]
    module = load("contention")
    with pytest.MonkeyPatch.context() as patch:
        # No processes: what each would do, here.
        patch.setattr(
            module, "timed", lambda n, args: module.fit_once(n, 8, args.epochs, args.networks)
        )
        (row,) = run("contention", *settings, "--busy", "1")
    assert {"default", "1 thread"} <= set(row["seconds"]["busy"])
    assert all(value > 0 for times in row["seconds"].values() for value in times.values())
    best = min(v for way, v in row["seconds"]["quiet"].items() if way != "default")
    assert row["default_to_best"]["quiet"] == pytest.approx(
        row["seconds"]["quiet"]["default"] / best, abs=0.01
    )


def test_many_fits_are_measured_in_parallel_and_together(run):
    brief = ["--epochs", "1", "--n-samples", "6", "--candidates", "2", "--device", "cpu"]
    with parallel_config(backend="threading"):  # processes would build large networks
        *steps, search, together, other = run("many_fits", *brief, "--jobs", "2")
    assert [row["network"] for row in steps] == ["cnn6", "shape_indexed_64_coarse"]
    rows = [search, together, other]
    assert [(row["what"], row["n_jobs"]) for row in rows] == [
        *(("search", 2), ("together", 1)),
        ("together", 2),
    ]
    assert all(row["times_faster"] > 0 and row["n_fits"] == 6 for row in rows)
    assert len({row["best_score"] for row in rows}) == 1  # on a CPU it is the same search


def test_objects_anywhere_are_measured_beside_their_mean_place(run):
    settings = ["--n-train", "8", "--n-test", "4", "--side", "64", "--epochs", "1", "1"]
    (row,) = run("anywhere", *settings)
    assert list(row["errors"]) == ["mean place", "stage 1", "stage 2"]
    assert row["errors"]["mean place"]["median"] > 0


def test_generated_faces_are_measured_on_photographs(run, load, faces_300w, monkeypatch):
    few = lambda n, **settings: make_faces(min(n, 20), **settings)  # noqa: E731
    monkeypatch.setattr(load("drawn_to_real"), "make_faces", few)
    brief = ["--n-train", "8", "--epochs", "1", "--networks", "cnn6", "--draw", "image_size=64"]
    (row,) = run("drawn_to_real", *faces_300w, "--use", "1", *brief)
    assert (row["n_train"], row["n_test"], row["draw"]) == (8, 10, {"image_size": 64})
    (stage,) = row["stages"]
    assert 0 < stage["centred"] < stage["mean"]
    weights = {"jaw": 17, "brows": 10, "nose": 9, "eyes": 12, "mouth": 20}
    mean = sum(n * stage["parts"][name] for name, n in weights.items()) / 68
    assert mean == pytest.approx(stage["mean"], abs=0.01)


def test_offsets_are_in_the_frame_of_the_eyes(load):
    true = make_faces(4, random_state=0, pose=[[0, 0, 30]] * 4).target
    across = (true[:, 42:48].mean(1) - true[:, 36:42].mean(1))[:, None]
    moved = load("drawn_to_real").offsets(true, true + 0.1 * across)
    np.testing.assert_allclose(moved, np.broadcast_to([10.0, 0], moved.shape), atol=1e-9)
    down = across[..., ::-1] * [-1, 1]
    moved = load("drawn_to_real").offsets(true, true + 0.1 * down)
    np.testing.assert_allclose(moved, np.broadcast_to([0, 10.0], moved.shape), atol=1e-9)


def test_the_average_of_drawn_faces_is_in_the_middle(run, faces_300w):
    (row,) = run("asymmetry", *faces_300w, "--average")
    # Drawn labels are exact; few faces leave some noise.
    assert abs(row["average"]["all"]["pixels"]) < 0.5


def test_asymmetry_is_told_with_and_without(run, faces_300w):
    (row,) = run("asymmetry", *faces_300w, "--use", "0", *BRIEF)
    assert len(row["asymmetry"]) == 1
    assert row["added"].keys() == row["not added"].keys()


def test_trust_is_told_for_a_fold(run, faces_300w):
    (row,) = run("trust", *faces_300w, "--use", "1", *BRIEF)
    assert row["n_fit"] + row["n_calibrate"] + row["n_test"] == 20
    assert 0 <= row["within_1_std"] <= row["within_2_std"] <= 1


def test_a_format_is_read_in_a_process_of_its_own(run):
    (row,) = run("readers", "--n-images", "20", "--n-landmarks", "3", "--formats", "TPS")
    assert row["formats"]["TPS"]["shape"] == [20, 3, 2]


@pytest.mark.slow
def test_memory_is_told_for_numbers_of_paths(run, load, monkeypatch, named_networks):
    module, in_process = load("memory"), load("memory").in_process

    def here(name, *args):  # instead of a process for each fit
        return in_process(name, *args) if name == "predict" else module.RUNS[name](*args)

    monkeypatch.setattr(module, "in_process", here)
    (row,) = run("memory", "--n-fit", "--n-cached", "8", "--n-predict", "4")
    assert [part["n_samples"] for part in row["predict"]] == [4]
    assert all(part["peak_mb"] > 10 for part in row["predict"])


def test_what_handles_all_samples_is_timed(run):
    (row,) = run("many_samples", "--n-samples", "300")
    assert row["n_samples"] == 300
    assert len(row["steps"]) > 10
    assert all(step["cpu_seconds"] >= 0 for step in row["steps"].values())


def test_balancing_is_timed_on_shapes_with_missing_points(run, tmp_path):
    points = make_faces(60, random_state=0).target
    points[::3, :8] = np.nan
    np.savez(tmp_path / "shapes.npz", landmarks=points)
    (row,) = run("balance_speed", "--data", str(tmp_path / "shapes.npz"), "--repeats", "1")
    assert (row["n_shapes"], row["n_incomplete"]) == (60, 20)


def test_dlib_is_measured_on_the_same_folds(run, faces_300w):
    pytest.importorskip("dlib")
    brief = ["--set", "cascade_depth=2", "num_trees_per_cascade_level=5", "--threads", "1"]
    rows = run("peers", *faces_300w, "--peers", "dlib", *brief)
    assert [(row["fold"], row["n_test"]) for row in rows] == [(0, 10), (1, 10)]


@pytest.mark.slow
def test_latency_is_measured_of_every_engine(run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxscript")
    trace_once(monkeypatch)
    network = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
    faces = make_faces(40, random_state=0)
    tiny = CascadeLandmarkRegressor(networks=(network,), max_epochs=1, random_state=0)
    save_model(tiny.fit(faces.data, faces.target), tmp_path / "tiny.safetensors")
    few = ["--n-test", "4", "--n-train", "4", "--rounds", "1", "--repeats", "1"]
    model = ["--model", str(tmp_path / "tiny.safetensors"), "--looks", "one look"]
    (row,) = run("latency", *few, *model)
    rows = {part["name"]: part for part in row["rows"]}
    assert "skwing, PyTorch, one look" in rows
    assert len(rows) + len(row["left_out"]) >= 4
    for part in rows.values():
        assert part["ms_64"] > 0 and part["ms_1"] > 0 and part["disk_mb"] > 0
        assert part["memory_mb"] > 0 and part["import_cpu_seconds"] > 0
    # All read the same chips, with the same weights.
    errors = [p["errors"]["nme_pupil"] for name, p in rows.items() if name.startswith("skwing")]
    np.testing.assert_allclose(errors, errors[0], rtol=0.01)
    printed = capsys.readouterr().out
    assert all(f"| {name} |" in printed for name in rows)


@pytest.mark.slow
def test_latency_of_two_models_is_compared_in_turn(run, tmp_path, capsys, monkeypatch):
    pytest.importorskip("onnxscript")
    trace_once(monkeypatch)
    faces, paths = make_faces(12, random_state=0), []
    for widths in ((4, 8), (8, 8)):
        network = partial(PlainCNN, widths=widths, input_size=16, n_hidden=8)
        tiny = CascadeLandmarkRegressor(networks=(network,), max_epochs=1, random_state=0)
        paths.append(str(tmp_path / f"{widths[0]}.safetensors"))
        save_model(tiny.fit(faces.data, faces.target), paths[-1])
    few = ["--n-test", "4", "--n-train", "4", "--rounds", "3", "--looks", "one look"]
    (row,) = run("latency", *few, "--model", paths[0], "--against", paths[1])
    assert (row["model"], row["against"]) == ("4.safetensors", "8.safetensors")
    assert "skwing, PyTorch, one look" in [part["name"] for part in row["rows"]]
    assert all(min(*part["ms"], part["ratio"]) > 0 for part in row["rows"])
    printed = capsys.readouterr().out
    assert all(f"| {part['name']} |" in printed for part in row["rows"])
    with pytest.raises(SystemExit):
        run("latency", *few, "--against", paths[1])


def test_the_ratio_is_that_of_the_first_model_to_the_second(load, tmp_path, monkeypatch):
    pair = load("_latency_pair")
    np.savez(tmp_path / "faces.npz", boxes=np.zeros((2, 4)), image0=0, image1=1)
    monkeypatch.setitem(pair.KINDS, "fixed", lambda ms: lambda *face: ms)
    monkeypatch.setattr(pair, "milliseconds", lambda predict, ones, n: predict(*ones[0]))
    row = pair.compare("a", "fixed", ({"ms": 2.0}, {"ms": 8.0}), tmp_path / "faces.npz", 3)
    assert row == {"name": "a", "ms": [2.0, 8.0], "ratio": 0.25}


def test_all_that_needs_a_gpu_runs_on_a_cpu_and_goes_on_where_it_stopped(
    load, tmp_path, monkeypatch
):
    on_gpu = load("on_gpu")
    # Processes would build large networks.
    monkeypatch.setattr(on_gpu, "ProcessPoolExecutor", lambda *_, **__: ThreadPoolExecutor(1))
    command = ["--tiny", "--device", "cpu", "--jobs", "2", "--out", str(tmp_path)]
    on_gpu.main([*command, "--parts", "speed", "fits", "--most-fits", "2"])
    lines = (tmp_path / "on_gpu.jsonl").read_text().splitlines()
    rows = [json.loads(line) for line in lines]
    assert sorted(row["part"] for row in rows) == ["fit", "fit", "speed"]
    assert not any("error" in row for row in rows)
    on_gpu.main([*command, "--parts", "speed"])
    assert (tmp_path / "on_gpu.jsonl").read_text().splitlines() == lines
    report = load("_gpu_report").make_report(rows)
    for row in rows:
        assert f"| {row['name']}" in report


@pytest.fixture
def folder_300w(faces_300w, tmp_path):
    """A folder that contains 300w and 300w_helen_rest, with pairs of one photograph."""
    (tmp_path / "300w").symlink_to(faces_300w[1])
    more = tmp_path / "300w_helen_rest"
    drawn = make_faces(4, image_size=96, random_state=1)
    (more / "helen" / "trainset").mkdir(parents=True)
    for i, points in enumerate(drawn.target):
        path = more / "helen" / "trainset" / f"more{i}_1.pts"
        write_pts(path, points)
        cv2.imwrite(str(path.with_suffix(".jpg")), drawn.data.decode(i)[..., ::-1])
    (more / "same_photo_pairs.csv").write_text("a,b\nmore0_1,face9_1\n")
    return tmp_path


@pytest.fixture
def landmark_boxes(load, monkeypatch):
    """Boxes around landmarks in place of the published ones, which the drawn faces lack."""
    for name in ("_gpu_data", "_folds"):
        module = load(name)
        read = module.load_300w
        monkeypatch.setattr(
            module, "load_300w", lambda *a, _read=read, **k: _read(*a, **k | {"boxes": "landmarks"})
        )


@pytest.fixture
def turned(folder_300w):
    """The same folder with four far turned faces, some with a hidden half."""
    drawn = make_faces(4, image_size=96, random_state=3)
    names = [f"AFLW\\{i}.jpg" for i in range(4)]
    (folder_300w / "mtfl" / "AFLW").mkdir(parents=True)
    for i in range(4):
        path = folder_300w / "mtfl" / "AFLW" / f"{i}.jpg"
        cv2.imwrite(str(path), drawn.data.decode(i)[..., ::-1])
    points = drawn.target.copy()
    points[:2, 36:42] = np.nan  # without this eye, the distance of the pupils is unknown
    (folder_300w / "aflw_mtfl_merlrav").mkdir()
    labels = {"landmarks": points, "image": names, "merl_rav_name": names}
    np.savez(folder_300w / "aflw_mtfl_merlrav" / "landmarks_68.npz", **labels)
    return folder_300w


def test_folds_and_turned_faces_are_trained_on_where_they_are_at_hand(
    load, turned, landmark_boxes, monkeypatch
):
    folds, data, fits = load("_folds"), load("_gpu_data"), load("_gpu_fits")
    # The drawn faces have no published boxes.
    at_landmarks = partial(folds.Source, boxes="landmarks")
    monkeypatch.setattr(data, "Source", at_landmarks)
    split = data.load_split(str(turned), True, 0, turned=True)
    subsets, counts = np.unique(split.faces.subset, return_counts=True)
    assert dict(zip(subsets, counts, strict=True))["aflw"] == 4
    assert len(split.rows["few"]) + len(split.test) == counts.sum()
    names = [fit.name for fit in fits.all_fits(str(turned), True)]
    assert sum("turned" in name for name in names) == 24 and "default, fold 4" in names
    assert not any("turned" in fit.name for fit in fits.all_fits(None, True))
    errors = load("_errors").summarize(split.faces.target, split.faces.target + 1)
    assert errors["nme_pupil"] > 0 and errors["nme_box"] > 0


def test_starting_models_are_trained_measured_and_reported(
    load, folder_300w, landmark_boxes, tmp_path, monkeypatch
):
    trace_once(monkeypatch)
    main = load("starting_models").main
    data, results = ["--data", str(folder_300w)], tmp_path / "results.jsonl"
    for kind in ("faces", "drawn"):
        main([kind, *data, "--tiny", "--device", "cpu", "--out", str(tmp_path / "models")])
    told = [
        describe_model(tmp_path / "models" / f"{name}.safetensors") for name in ("faces", "drawn")
    ]
    assert "research only" in told[0]["notice"] and told[1]["notice"] is None
    assert sorted(p.suffix for p in (tmp_path / "models").iterdir()) == [
        *(".onnx", ".onnx", ".onnx", ".onnx"),
        *(".safetensors", ".safetensors"),
    ]
    own = ["--model", str(tmp_path / "models" / "drawn.safetensors")]
    for kind, more in (("faces", []), ("drawn", own)):
        for fold in "01":
            main([kind, *data, *more, "--tiny", "--fold", fold, "--results", str(results)])
    card = tmp_path / "README.md"
    card.write_text("A\n<!-- faces: begin -->\n<!-- faces: end -->\nB\n")
    load("_starting_report").write_report(results, card)
    rows = [json.loads(line) for line in results.read_text().splitlines()]
    n = sum(row["sums"]["all"]["all"]["n"] for row in rows if row["model"] == "faces")
    text = card.read_text()
    assert f"| all | {n} |" in text and text.startswith("A\n") and text.endswith("end -->\nB\n")
    for kind in ("subset", "yaw", "size"):
        cut = [part["n"] for part in rows[0]["sums"][kind].values()]
        assert sum(cut) == rows[0]["sums"]["all"]["all"]["n"]


def test_few_labels_are_drawn_alike_for_every_start(run, load, folder_300w, landmark_boxes):
    drawn = make_faces(8, image_size=96, random_state=2)
    model = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, device="cpu")
    save_model(model.fit(drawn.data, drawn.target), folder_300w / "drawn.safetensors")
    command = ["--data", str(folder_300w), "--model", str(folder_300w / "drawn.safetensors")]
    command += ["--tiny", "--device", "cpu", "--sizes", "4", "--draws", "0", "1"]
    rows = run("few_labels", *command)
    assert [(row["start"], row["draw"]) for row in rows] == [
        *(("scratch", 0), ("drawn", 0)),
        *(("scratch", 1), ("drawn", 1)),
    ]
    assert run("few_labels", *command) == rows  # all are there already
    rows = run("few_labels", *command, "--starts", "unlabelled")
    assert [(row["start"], row["draw"]) for row in rows[4:]] == [
        ("unlabelled", 0),
        ("unlabelled", 1),
    ]


def test_few_labels_of_other_objects_are_measured(run, folder_300w, landmark_boxes):
    drawn = make_faces(8, image_size=96, random_state=2)
    model = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, device="cpu")
    save_model(model.fit(drawn.data, drawn.target), folder_300w / "drawn.safetensors")
    paths = {}
    for name in ("cats_100", "fly_wings", "xray_isbi"):
        (folder_300w / name).mkdir()
        paths[name] = [str(folder_300w / name / f"{i}.png") for i in range(8)]
        for i, path in enumerate(paths[name]):
            cv2.imwrite(path, drawn.data.decode(i))
    for path, points in zip(paths["cats_100"], drawn.target, strict=True):
        text = " ".join(map(str, points[:9].ravel()))
        Path(f"{path}.cat").write_text(f"9 {text}")
    wings, rays = (BoxedImages(paths[name]) for name in ("fly_wings", "xray_isbi"))
    write_tps(folder_300w / "fly_wings" / "wings.tps", wings, drawn.target[:, :5])
    csv = folder_300w / "xray_isbi" / "landmarks.csv"
    write_csv(csv, rays, drawn.target[:, :3], names=["sella", "nasion", "menton"])
    command = ["--data", str(folder_300w), "--model", str(folder_300w / "drawn.safetensors")]
    command += ["--objects", "faces19", "cats", "wings", "xrays", "--starts", "drawn", "--tiny"]
    command += ["--device", "cpu", "--sizes", "4", "--draws", "0", "--set", "learning_rate=1e-3"]
    rows = run("few_labels", *command)
    assert [row["objects"] for row in rows] == ["faces19", "cats", "wings", "xrays"]
    assert all(row["nme_box"] > 0 and row["set"] == {"learning_rate": 1e-3} for row in rows)
    assert all(row["n_test"] == 4 for row in rows[1:])
    assert rows[0]["nme_inter_ocular"] > 0 and rows[1]["nme_inter_ocular"] > 0


def test_xrays_are_measured_in_millimetres_by_stage(run, tmp_path, capsys):
    drawn = make_faces(10, image_size=64, random_state=0)
    points, lines = drawn.target[:, :3], ["image,mm_per_pixel,a_x,a_y,b_x,b_y,c_x,c_y"]
    for i, shape in enumerate(points):
        cv2.imwrite(str(tmp_path / f"{i}.png"), drawn.data.decode(i)[..., ::-1])
        lines.append(",".join(map(str, [f"{i}.png", 0.5, *shape.ravel()])))
    (tmp_path / "landmarks.csv").write_text("\n".join(lines))
    command = ["--data", str(tmp_path), "--use", "0", "--tiny", "--device", "cpu"]
    (row,) = run("xrays", *command)
    assert len(row["stages"]) == len(row["seconds_by_stage"]) == 2
    assert "2, all: " in capsys.readouterr().out
    assert run("xrays", *command) == [row]  # it is there already


def test_millimetres_are_pixels_by_their_scale(load):
    truth = np.zeros((2, 1, 2))
    found = load("xrays").summarize(truth + [3.0, 4.0], truth, np.array([0.2, 0.5]))
    assert found["mean_mm"] == 1.75
    assert found["within_2mm"] == 50


def test_photographs_under_two_names_are_one_group(load):
    same = load("_gpu_data").same_photographs
    names, groups = np.array(["a", "b", "c", "d"]), np.array(["p", "p", "q", "r"])
    joined = same(names, groups, [("b", "c"), ("d", "elsewhere")])
    assert joined[0] == joined[1] == joined[2] != joined[3]


QUICK_CHECKS = ["fits in", "global", "ambient", "divergence", "NaN", "damaged", "writers"]
QUICK_CHECKS += ["unreadable", "absurd", "mutated", "flags"]


def test_faults_are_held_off(run):
    (row,) = run("faults", "--quick", "--only", *QUICK_CHECKS)
    assert len(row["checks"]) > len(QUICK_CHECKS)
    assert [check["faults"] for check in row["checks"]] == [[]] * len(row["checks"])


def test_a_fault_is_found_and_counted(run, load, monkeypatch):
    check = load("_faults").Check("a promise", "A", lambda share: (3, ["broken"]))
    broken = load("_faults").Check("a check that breaks", "B", lambda share: 1 / 0)
    monkeypatch.setattr(load("faults"), "CHECKS", [broken, check])
    (row,) = run("faults")
    assert [part["n_faults"] for part in row["checks"]] == [1, 1]
    assert row["checks"][0]["faults"] == ["broken"]
    assert "ZeroDivisionError" in row["checks"][1]["faults"][0]


def test_model_files_are_compared_with_one_attempt(run, named_networks):
    (row,) = run("model_files")
    ways = row["ways"]
    assert list(ways) == ["one attempt", "predict", "one look", "faces.onnx", "faces.int8.onnx"]
    assert ways["one attempt"]["moved_mean"] == ways["one attempt"]["change_box"] == 0
    assert ways["faces.onnx"]["moved_mean"] < ways["faces.int8.onnx"]["moved_mean"] < 1


def test_turned_faces_and_poor_boxes_are_measured(run):
    (row,) = run("robust", "--tiny", "--device", "cpu", "--verbose", "0")
    assert list(row["errors"]) == ["as they are", "turned", "poor boxes", "both"]
    for one in row["errors"].values():
        assert one["nme_pupil"] > 0 and 0 <= one["lost"] <= 100 and one["seconds_ratio"] > 0
    confidence = row["confidence"]
    assert confidence["n"] == sum(part["n"] for part in confidence["calibration"])
    assert 0 < confidence["mean_confidence"] < 1


def test_turned_wings_without_boxes_are_measured(run, tmp_path):
    faces = make_faces(8, image_size=64, random_state=0)
    folder = tmp_path / "fly_wings"
    folder.mkdir()
    for i in range(len(faces.target)):
        cv2.imwrite(str(folder / f"{i}.png"), faces.data.decode(i))
    write_tps(folder / "wings.tps", [str(folder / f"{i}.png") for i in range(8)], faces.target)
    settings = "--tiny", "--device", "cpu", "--verbose", "0", "--versions", "turned"
    (row,) = run(
        *("robust", "--data", str(tmp_path), "--objects", "wings", "--n-train", "6"), *settings
    )
    assert row["n_test"] == 1 and row["errors"]["turned"]["nme_size"] > 0


def test_a_turned_image_has_its_box_and_landmarks_at_the_same_places(load):
    robust, drawn = load("robust"), make_faces(1, image_size=96, random_state=0)
    image, box, points = drawn.data.decode(0), drawn.data.boxes[0], drawn.target[0]
    for degrees in (0, 90, 180, 33):
        other, new_box, new_points = robust.turned(image, box, points, degrees)
        np.testing.assert_allclose(new_box[2:], box[2:])
        inside = new_points - new_box[:2] - (new_box[2:] - 1) / 2
        before = points - box[:2] - (box[2:] - 1) / 2
        np.testing.assert_allclose(
            np.linalg.norm(inside, axis=1), np.linalg.norm(before, axis=1), atol=1e-6
        )
        x, y = new_points[30].round().astype(int)
        x0, y0 = points[30].round().astype(int)
        around = np.abs(
            other[y - 2 : y + 3, x - 2 : x + 3].mean((0, 1))
            - image[y0 - 2 : y0 + 3, x0 - 2 : x0 + 3].mean((0, 1))
        )
        assert around.max() < 25


def test_the_onnx_files_of_a_model_are_written_again(load, tmp_path, monkeypatch):
    models, written = load("starting_models"), {}
    faces = make_faces(8, image_size=64, random_state=0)
    fitted = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, random_state=0)
    path = tmp_path / "drawn.safetensors"
    save_model(fitted.fit(faces.data, faces.target), path)
    monkeypatch.setattr(
        models, "to_onnx", lambda model, path, **settings: written.update({path.name: settings})
    )
    models.main(["drawn", "--tiny", "--model", str(path), "--out", str(tmp_path)])
    assert sorted(written) == ["drawn.int8.onnx", "drawn.onnx"]
    assert len(written["drawn.int8.onnx"]["calibration"]) == 40


def test_a_single_face_is_compared_to_the_networks(load, tmp_path, monkeypatch, capsys):
    single = load("single_face")
    monkeypatch.setattr(single, "N_ROUNDS", 1)
    faces = make_faces(8, image_size=64, random_state=0)
    fitted = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, random_state=0)
    save_model(fitted.fit(faces.data, faces.target), tmp_path / "m.safetensors")
    single.main(["--model", str(tmp_path / "m.safetensors")])
    lines = capsys.readouterr().out.splitlines()[-2:]
    ratios = [float(line.rpartition(" ")[2]) for line in lines]
    assert [line[:8] for line in lines] == ["looks: 2", "looks: 1"] and min(ratios) > 0


def test_the_time_of_tracking_is_that_of_a_frame(load, tmp_path, monkeypatch, capsys):
    pytest.importorskip("skimage")
    video = load("video")
    monkeypatch.setattr(video, "N_ROUNDS", 1)
    monkeypatch.setattr(video, "N_FRAMES", 2)
    faces = make_faces(8, image_size=64, random_state=0)
    fitted = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, random_state=0)
    save_model(fitted.fit(faces.data, faces.target), tmp_path / "m.safetensors")
    video.main(["--model", str(tmp_path / "m.safetensors")])
    lines = [line.split(": ") for line in capsys.readouterr().out.splitlines()[-4:]]
    assert [name for name, _ in lines] == ["read", "detect", "track", "track, threshold=None"]
    assert all(float(told.split()[0]) > 0 for _, told in lines)
    assert lines[1][1].endswith("2.00 faces")


def test_faces_per_second_are_stated_for_each_setting(run, tmp_path, faces_300w):
    faces = make_faces(8, image_size=64, random_state=0)
    fitted = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, random_state=0)
    save_model(fitted.fit(faces.data, faces.target), tmp_path / "m.safetensors")
    command = ["--model", str(tmp_path / "m.safetensors"), "--n-samples", "4", "--rounds", "1"]
    run("throughput", *command)
    for row in run("throughput", *command, *faces_300w[:4]):
        assert row["n_faces"] == 4
        rates = np.array(list(row["faces_per_second"].values()))
        assert rates.shape == (3, 2) and (rates > 0).all()


def test_processes_are_measured_and_communication_is_computed(run, named_networks):
    brief = ["--n-samples", "8", "--epochs", "1", "--batch-size", "4", "--repeats", "1"]
    (row,) = run("ranks", *brief, "--networks", "cnn6")
    assert row["seconds"]["1"]["n_samples"] == row["seconds"]["2"]["n_samples"] == 8
    assert set(row["efficiency"]) == {"fit", "stage 1", "cpu"}
    found = row["computed"]["cnn6"]
    assert found["operations"] == 2 + 2 * 5
    latency = 12 * 20e-6
    assert found["ms by NVLink"]["2"] == pytest.approx(1e3 * latency, abs=0.1)
