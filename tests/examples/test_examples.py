import importlib.util
import re
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from sklearn.utils import Bunch

from skwing import Augmentation, BoxedImages, geometry
from skwing.datasets import read_tps
from skwing.networks import PlainCNN

SMALL = partial(PlainCNN, widths=(8, 16, 32), input_size=32, n_hidden=64, batch_norm=True)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def load(name):
    """The module of an example, which is in no package."""
    spec = importlib.util.spec_from_file_location(name, EXAMPLES / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def quickstart():
    return load("quickstart")


@pytest.mark.slow
def test_quickstart_runs_from_training_to_the_reloaded_model(
    quickstart, capsys, monkeypatch, tmp_path
):
    # Small networks and batches, so that few faces make steps enough to learn in.
    brisk = partial(
        quickstart.CascadeLandmarkRegressor,
        networks=(SMALL, SMALL),
        batch_size=8,
        learning_rate=1e-2,
        augmentation=Augmentation(rotation=5.0, occlusion=0.0, deformation=0.0),
    )
    monkeypatch.setattr(quickstart, "CascadeLandmarkRegressor", brisk)
    picture = tmp_path / "quickstart.jpg"
    command = ["--n-samples", "40", "--epochs", "40", "5", "--picture", str(picture)]
    table, same = quickstart.main(command)
    assert same
    assert picture.stat().st_size > 10_000
    assert list(table) == [
        "mean shape in the box",
        "stage 1",
        "stage 2",
    ]
    # Persons that were not trained on are found better than by guessing: about 0.75 of it.
    guess = table.pop("mean shape in the box")["all"]
    assert all(errors["all"] < 0.9 * guess for errors in table.values())
    printed = capsys.readouterr().out
    for name, errors in table.items():
        row = next(line for line in printed.splitlines() if line.startswith(name))
        assert row.removeprefix(name).split() == [f"{error:.2f}" for error in errors.values()]
    assert "predicts the same: True" in printed


@pytest.mark.slow
def test_quickstart_trains_on_portraits_and_measures_turned_faces_too(quickstart):
    train, test = quickstart.draw_faces(40, seed=1)
    assert (len(train.data), len(test.data)) == (40, 20)
    few, many = (np.mean(np.abs(f.pose[:, 0]) > quickstart.LARGE_YAW) for f in (train, test))
    assert few < many
    assert not np.array_equal(train.data.decode(0), test.data.decode(0))


def test_quickstart_mean_shape_is_the_mean_within_the_boxes(quickstart):
    rng = np.random.default_rng(0)
    boxes = np.column_stack([rng.uniform(0, 50, (6, 2)), rng.uniform(20, 40, (6, 2))])
    shape = rng.uniform(0, 1, (5, 2))
    # Those to train on are off by amounts that cancel out, the others are the mean.
    off = np.array([0.1, -0.1, 0.2, -0.2, 0.0, 0.0])[:, None, None]
    target = geometry.apply(geometry.invert(geometry.from_box(boxes, size=1)), shape + off)
    data = BoxedImages(np.zeros((6, 8, 8), np.uint8), boxes)
    train, test = (Bunch(data=data[rows], target=target[rows]) for rows in ([0, 1, 2, 3], [4, 5]))
    np.testing.assert_allclose(quickstart.predict_mean_shape(train, test), test.target)


def test_quickstart_errors_are_percent_of_the_box_around_the_landmarks(quickstart):
    true = np.zeros((3, 2, 2))
    true[:, 1] = [15, 3]  # boxes of 16 x 4 pixels, so the size is 8
    wrong = true + np.array([0.08, 0.16, 0.8])[:, None, None] * [0.6, 0.8]
    errors = quickstart.measure(true, wrong, yaw=np.array([10.0, -30.0, -45.0]))
    assert errors == pytest.approx({"all": 13 / 3, "ahead": 1.5, "turned": 10.0})


def with_small_networks(example, monkeypatch):
    """The example, its regressors with networks that train in no time."""
    real = example.CascadeLandmarkRegressor

    def regressor(networks=(), **settings):
        return real(networks=(SMALL,) * max(1, len(networks)), **settings)

    monkeypatch.setattr(example, "CascadeLandmarkRegressor", regressor)
    return example


@pytest.mark.slow
def test_grid_search_tries_every_candidate(capsys, monkeypatch):
    example = with_small_networks(load("grid_search"), monkeypatch)
    found = example.main(["--n-samples", "16", "--epochs", "1", "--n-jobs", "1"])
    tried = [
        (params["balance"] == "passthrough", params["reg__w"], params["reg__epsilon"])
        for params in found.cv_results_["params"]
    ]
    assert sorted(tried) == [(b, w, e) for b in (False, True) for w in (5, 10) for e in (1, 2)]
    scores = found.cv_results_["mean_test_score"]
    assert found.best_score_ == scores.max()
    assert np.isfinite(scores).all()
    # The best comes first of the lines that are printed.
    lines = [line for line in capsys.readouterr().out.splitlines() if "epsilon" in line]
    assert len(lines) == 8
    assert float(lines[0].split()[0]) == pytest.approx(-100 * found.best_score_, abs=0.005)


@pytest.mark.slow
def test_specimens_go_from_one_tps_file_to_another(tmp_path, capsys):
    example = load("specimens")
    folder = tmp_path / "fish"
    errors, written = example.main(["--n-samples", "12", "--epochs", "1", "--folder", str(folder)])
    new, predicted = read_tps(folder / "new.tps"), read_tps(written)
    assert len(new.data) == 4
    assert predicted.data.paths.tolist() == new.data.paths.tolist()
    np.testing.assert_array_equal(predicted.scale, [0.8] * 4)
    again = example.measure(new.target, predicted.target)
    assert again == pytest.approx(errors["model"], abs=0.05)  # the file has two decimals
    # The eyes are black where the file says that they are: nothing is upside down.
    for i, (x, y) in enumerate(new.target[:, 1].round().astype(int)):
        assert new.data.decode(i)[y, x].max() < 70
    printed = capsys.readouterr().out
    for landmark, error in errors["model"].items():
        assert re.search(rf"^{landmark} .* {error:.2f}$", printed, re.MULTILINE)
