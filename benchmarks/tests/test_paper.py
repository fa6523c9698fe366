"""The command that makes the paper's tables again, on a handful of faces."""

import io
import json
from argparse import Namespace
from contextlib import redirect_stdout
from functools import partial

import numpy as np
import pytest

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing.datasets import make_faces, write_pts
from skwing.metrics import make_nme_scorer, nme

TINY = ["--n-faces", "16", "--threads", "1", "--set", "max_epochs=1", "batch_size=8"]


@pytest.fixture(scope="module")
def measured(load, tmp_path_factory):
    """Folder of results of the losses on made faces, and what was printed as printed.txt."""
    out = tmp_path_factory.mktemp("results")
    with redirect_stdout(io.StringIO()) as printed:
        load("paper").main(["losses", "--protocol", "faces", *TINY, "--out", str(out)])
    (out / "printed.txt").write_text(printed.getvalue())
    return out


def lines_of(folder, protocol="faces"):
    return (folder / f"paper_{protocol}.jsonl").read_text().splitlines()


def test_the_command_says_how_many_are_done(measured):
    lines = (measured / "printed.txt").read_text().splitlines()
    done = [line.partition(":")[0] for line in lines if ", split " in line]
    assert done == ["1 of 4", "2 of 4", "3 of 4", "4 of 4"]


def test_results_stand_beside_the_papers(measured):
    rows = [json.loads(line) for line in lines_of(measured)]
    assert [row["parameters"]["loss"] for row in rows] == ["l2", "l1", "smooth_l1", "wing"]
    assert all(row["versions"] and row["machine"] and row["seed"] == 0 for row in rows)
    assert all((row["n_train"], row["n_test"]) == (8, 8) for row in rows)
    found = json.loads((measured / "paper_losses_faces.json").read_text())
    assert [row["paper"]["full"]["value"] for row in found["rows"]] == [2.41, 2.0, 2.02, 1.88]
    assert found["rows"][3]["nme"]["mean"] == rows[3]["stages"][0]["nme"]
    text = (measured / "paper_losses_faces.md").read_text()
    assert f"| CNN-6 | Wing | {rows[3]['stages'][0]['nme']:.2f} |" in text
    assert "--out" not in text
    assert found["cells_missing"] == 0


def test_a_finished_cell_is_not_trained_again(load, measured, tmp_path, monkeypatch):
    lines = lines_of(measured)
    (tmp_path / "paper_faces.jsonl").write_text("\n".join(lines[:3]) + "\n")
    fitted = []
    fit = CascadeLandmarkRegressor.fit
    monkeypatch.setattr(
        CascadeLandmarkRegressor,
        "fit",
        lambda self, X, y: fitted.append((self.loss, self.random_state)) or fit(self, X, y),
    )
    command = ["losses", "--protocol", "faces", *TINY, "--out", str(tmp_path)]
    records = load("paper").main(command)
    assert fitted == [("wing", 0)]
    again = json.loads(lines_of(tmp_path)[3])
    assert again["stages"][0]["nme"] == json.loads(lines[3])["stages"][0]["nme"]
    load("paper").main(command)
    assert len(fitted) == 1
    assert all(record["nme"]["n"] == 1 for record in records)


def test_a_report_of_what_there_is_trains_nothing(load, measured, tmp_path):
    (tmp_path / "paper_faces.jsonl").write_text(lines_of(measured)[0] + "\n")
    command = ["losses", "--protocol", "faces", *TINY, "--report", "--out", str(tmp_path)]
    records = load("paper").main(command)
    assert [record["nme"] is None for record in records] == [False, True, True, True]
    assert "3 cells are not measured yet" in (tmp_path / "paper_losses_faces.md").read_text()


def test_the_error_is_that_of_the_scorer(load, tmp_path):
    faces = make_faces(12, random_state=0)
    settings = {"networks": ("cnn6",), "max_epochs": 1, "batch_size": 8, "balance": True}
    trial = load("_paper_tables").Trial("one", settings, ("CNN-6",))
    split = load("_paper_data").Split(
        {"faces": "made", "fold": 0}, faces.data, faces.target, np.arange(12) >= 8
    )
    cells = load("_paper_cells")
    told, candidates = cells.make_cells([trial], split, [3])
    (candidate,) = candidates.values()
    pipeline = load("recipe").make_pipeline(settings, 8)
    pipeline.set_params(**{key: value for key, (value,) in candidate.items()})
    pipeline.fit(faces.data[:8], faces.target[:8])
    measure = cells.Measure(told, cells.told_of(split), None, tmp_path / "cells.jsonl")
    score = measure(pipeline, faces.data[8:], faces.target[8:])
    assert isinstance(pipeline.named_steps["balance"], PoseBalancer)
    wanted = make_nme_scorer("inter_pupil")(pipeline, faces.data[8:], faces.target[8:])
    assert score == pytest.approx(100 * wanted)
    (row,) = map(json.loads, (tmp_path / "cells.jsonl").read_text().splitlines())
    assert row["seed"] == 3
    assert row["stages"][0]["nme"] == -score


def test_aflw_errors_are_divided_by_the_given_boxes(load, tmp_path, monkeypatch):
    data, drawn = load("_paper_data"), make_faces(20, random_state=1, schema="aflw19")
    parts = {"train": slice(0, 12), "test": slice(12, None)}
    monkeypatch.setattr(
        data,
        "load_aflw",
        lambda root, split: Namespace(
            data=drawn.data[parts[split]], target=drawn.target[parts[split]]
        ),
    )
    command = ["losses", "--protocol", "aflw", "--data", "somewhere/aflw", *TINY]
    load("paper").main([*command, "--out", str(tmp_path)])
    row = json.loads(lines_of(tmp_path, "aflw")[0])
    assert (row["n_train"], row["n_test"], row["boxes"]) == (12, 3, "published")
    assert "--data aflw" in (tmp_path / "paper_losses_aflw.md").read_text()
    wrong = drawn.target + [3.0, 4.0]
    errors = load("_paper_cells").face_errors("aflw", drawn.target, wrong, drawn.data.boxes)
    np.testing.assert_allclose(errors, 500 / drawn.data.boxes[:, 2])


def write_300w(folder, target):
    """Faces as 300-W has them, with images that nobody decodes."""
    folder.mkdir(parents=True)
    for number, points in enumerate(target):
        write_pts(folder / f"face{number}_1.pts", points)
        (folder / f"face{number}_1.jpg").touch()


def test_the_published_test_sets_of_300w(load, tmp_path):
    for seed, folder in enumerate(("afw", "helen/testset", "ibug")):
        write_300w(tmp_path / folder, make_faces(5 - seed, random_state=seed).target)
    args = Namespace(
        data=str(tmp_path), protocol="300w", boxes="landmarks", folds=2, use=None, n_faces=None
    )
    (split,) = load("_paper_data").load_splits(args)
    assert (split.n_train, split.told["fold"]) == (5, "published")
    assert split.parts.tolist() == ["common"] * 4 + ["challenging"] * 3
    true = split.target[split.is_test]
    wrong = true + np.arange(1.0, 8)[:, None, None]
    row = load("_paper_cells").figures("300w", true, wrong, None, split.parts)
    each = 100 * nme(true, wrong, normalizer="inter_pupil", schema="ibug68", per_sample=True)
    assert row["by_part"] == pytest.approx(
        {"common": each[:4].mean(), "challenging": each[4:].mean(), "full": each.mean()}
    )
    args.use = ["0", "1", "published"]
    folds = load("_paper_data").load_splits(args)
    assert [split.told["fold"] for split in folds] == [0, 1, "published"]
    with pytest.raises(SystemExit, match="there is no 7, only 0, 1, published"):
        load("_paper_data").load_splits(Namespace(**vars(args) | {"use": ["7"]}))


def trials_of(load, table, *options):
    args = load("paper").parse([table, "--protocol", "faces", *options])
    return load("_paper_tables").make_trials(table, args, 3148, 68)


def test_l2_learns_at_a_tenth_of_the_rate_with_sgd_only(load):
    rates = {
        (trial.loss, recipe): trial.settings.get("learning_rate")
        for recipe in ("package", "paper")
        for trial in trials_of(load, "losses", *(["--recipe", "paper"] * (recipe == "paper")))
    }
    assert rates["l2", "paper"] == pytest.approx(tuple(0.1 * r for r in rates["wing", "paper"]))
    assert rates["l1", "paper"] == rates["wing", "paper"]
    assert rates["l2", "package"] is None


def test_tables_have_the_papers_cells(load):
    grid = trials_of(load, "grid")
    assert len({(trial.settings["w"], trial.settings["epsilon"]) for trial in grid}) == 24
    balancing = trials_of(load, "balancing")
    assert {(t.loss, t.balance, t.settings["networks"]) for t in balancing} == {
        (loss, balance, ("cnn6", "cnn7"))
        for loss in ("l2", "l1", "smooth_l1", "wing")
        for balance in (False, True)
    }
    names = [name for trial in trials_of(load, "architectures") for name in trial.stages]
    assert {"CNN-6", "CNN-7", "CNN-6/7", "shape_indexed_64", "ResNet-50"} < set(names)


def test_later_stages_can_be_left_out(load):
    for trial in trials_of(load, "balancing", "--stages", "1"):
        assert (trial.settings["networks"], trial.stages) == (("cnn6",), ("CNN-6",))


def test_published_figures_agree_with_each_other(load):
    paper = load("_paper_figures")
    assert paper.GRID[10, 2] == paper.AFLW["CNN-6", False]["wing"]
    for common, challenging, full in paper.TABLE_4.values():
        mean = (554 * common.value + 135 * challenging.value) / 689
        assert mean == pytest.approx(full.value, abs=0.011)


@pytest.mark.slow
def test_a_dask_cluster_gives_the_same_figures(load, measured, tmp_path, monkeypatch):
    distributed = pytest.importorskip("distributed")
    # Workers in threads, as processes would build large networks; on a port, so that data are sent.
    threads = partial(distributed.LocalCluster, processes=False, protocol="tcp://")
    monkeypatch.setattr(distributed, "LocalCluster", threads)
    command = ["losses", "--protocol", "faces", *TINY, "--backend", "dask", "--jobs", "2"]
    load("paper").main([*command, "--out", str(tmp_path)])
    there, here = (
        {row["parameters"]["loss"]: row["stages"][0]["nme"] for row in map(json.loads, lines)}
        for lines in (lines_of(tmp_path), lines_of(measured))
    )
    assert there == here


def test_columns_without_any_value_are_left_out(load):
    load("paper")
    from _paper_report import markdown_table

    rows = [["a", "b", "c"], ["1", "-", "-"], ["2", "-", "3"]]
    assert markdown_table(rows) == ["| a | c |", "| --- | --- |", "| 1 | - |", "| 2 | 3 |"]
    assert markdown_table(rows[:1])[0] == "| a | b | c |"
