"""A fit that is killed at any moment goes on from its checkpoint, and ends with the same model."""

import os
import pickle
import re
import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from small import UNBENT, first_fast
from torch import nn

from skwing import (
    Augmentation,
    CascadeLandmarkRegressor,
    PoseBalancer,
    load_model,
    save_model,
)
from skwing._training import checkpoint, loop, train_cascade
from skwing._training import draws as draws_of
from skwing._utils import files
from skwing.datasets import make_faces
from skwing.images import BoxedImages
from skwing.networks import PatchCNN, PlainCNN

TINY = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8, batch_norm=True)


class Dropping(PlainCNN):
    """A network that draws random numbers, and whose layout is not that of images in files."""

    def __init__(self, n_landmarks):
        super().__init__(n_landmarks, (4, 8), 16, n_hidden=8)
        self.dropout = nn.Dropout(0.3)

    def forward(self, images):
        return super().forward(self.dropout(images))


class Killed(BaseException):
    """The process is gone."""


@pytest.fixture(scope="module")
def faces():
    return make_faces(10, image_size=40, max_yaw=45, random_state=0)


@pytest.fixture
def at_once(monkeypatch):
    """Write after each step."""
    monkeypatch.setattr(checkpoint, "_INTERVAL", 0.0)
    monkeypatch.setattr(checkpoint, "_SHARE", np.inf)


def tiny(**settings):
    defaults = {"networks": (TINY, TINY), "max_epochs": 2, "batch_size": 4, "random_state": 0}
    return CascadeLandmarkRegressor(device="cpu", **{**UNBENT, **defaults, **settings})


def contents(reg):
    """All that is fitted, without the time that it took."""
    weights = [array for network in reg.networks_ for array in network.state_dict().values()]
    rows = [{k: v for k, v in row.items() if k != "seconds"} for row in reg.history_]
    arrays = [w.numpy() for w in weights] + list(reg.asymmetry_) + [reg.mean_shape_]
    return [a.tobytes() for a in arrays], rows, reg.n_iter_, reg.mirrored_, reg._retry.limit


def killed_at(monkeypatch, owner, name, *, after=False):
    """Every second call of a function, from the first, is the last of its process."""
    real, count = getattr(owner, name), 0

    def function(*args, **options):
        nonlocal count
        count += 1
        if count % 2 and not after:
            raise Killed
        answer = real(*args, **options)
        if count % 2:
            raise Killed
        return answer

    monkeypatch.setattr(owner, name, function)


def fit_until_done(make, *data, **further):
    """Fit in new objects, as processes would, until one is not killed; it and their number."""
    for n in range(1, 200):
        reg = make()
        try:
            return reg.fit(*data, **further), n
        except Killed:
            continue
    raise AssertionError("no process comes to an end")


PLACES = {
    "after a step": (loop.TrainingStep, "__call__", True),
    "in a step": (torch.optim.AdamW, "step", False),
    "while it writes": (files.os, "replace", False),
    "after it wrote": (files.os, "replace", True),
    "at the end of an epoch": (loop, "_train_epoch", True),
    "before a stage ends": (checkpoint.Checkpoint, "finish", False),
    "between stages": (checkpoint.Checkpoint, "finish", True),
    "after training": (train_cascade.Run, "settle", False),
}


@pytest.fixture(scope="module")
def whole(faces):
    return contents(tiny().fit(faces.data, faces.target))


@pytest.mark.parametrize("place", first_fast(list(PLACES)))
def test_killed_anywhere_it_ends_with_the_same_model(
    faces, whole, place, at_once, monkeypatch, tmp_path
):
    data, file = (faces.data, faces.target), tmp_path / "night.safetensors"
    owner, name, after = PLACES[place]
    killed_at(monkeypatch, owner, name, after=after)
    reg, n_processes = fit_until_done(partial(tiny, checkpoint=file), *data)
    assert n_processes > 1
    assert contents(reg) == whole
    assert os.listdir(tmp_path) == [file.name]  # nothing half written stays


KINDS = {
    "random layers": {"networks": (Dropping, Dropping)},
    "early stopping": {
        **{"early_stopping": True, "schedule": "constant", "n_iter_no_change": 2, "max_epochs": 5},
        # The error stays the same, so that training ends after the third epoch.
        **{"learning_rate": 1e-12, "networks": (partial(TINY, batch_norm=False),)},
    },
    "momentum": {"optimizer": "sgd", "learning_rate": 1e-3},
    "bent": {"augmentation": Augmentation(deformation=1.0), "networks": (TINY,)},
    "patches": {"networks": (TINY, partial(PatchCNN, input_size=32, patch_size=8, width=4))},
    "on the truth": {"refine_on": "truth", "batch_size": 7},
}


OTHER_KINDS = [kind for kind in KINDS if kind != "early stopping"]


@pytest.mark.parametrize("kind", ["early stopping", *first_fast(OTHER_KINDS)])
def test_any_fit_ends_with_the_same_model(faces, kind, at_once, monkeypatch, tmp_path):
    data, own = (faces.data, faces.target), KINDS[kind]
    own = {"max_epochs": 2, **own}
    whole = tiny(**own).fit(*data)
    killed_at(monkeypatch, loop.TrainingStep, "__call__", after=True)
    make = partial(tiny, checkpoint=tmp_path / "night", **own)
    reg, n_processes = fit_until_done(make, *data)
    assert n_processes > 3
    assert contents(reg) == contents(whole)
    assert kind != "early stopping" or whole.n_iter_ == [3]


def test_random_layers_draw_the_same_numbers_in_the_next_stage(
    faces, at_once, monkeypatch, tmp_path
):
    make = partial(tiny, networks=(Dropping, Dropping))
    whole = make().fit(faces.data, faces.target)
    killed_at(monkeypatch, checkpoint.Checkpoint, "finish", after=True)
    make = partial(make, checkpoint=tmp_path / "a.safetensors")
    assert contents(fit_until_done(make, faces.data, faces.target)[0]) == contents(whole)


def test_weights_and_held_out_data_are_as_before(faces, at_once, monkeypatch, tmp_path):
    def fit(**further):
        weights = np.arange(8) % 3
        return (faces.data[:8], faces.target[:8], weights, faces.data[8:], faces.target[8:])

    whole = tiny(networks=(TINY,)).fit(*fit())
    killed_at(monkeypatch, loop.TrainingStep, "__call__", after=True)
    make = partial(tiny, networks=(TINY,), checkpoint=tmp_path / "a.safetensors")
    assert contents(fit_until_done(make, *fit())[0]) == contents(whole)


def test_passes_in_parts_go_on_in_their_middle(monkeypatch):
    monkeypatch.setattr(draws_of, "_MOST_WAITING", 5)
    repeats = torch.tensor([3, 0, 1, 4, 2, 2])

    def draws():
        generator = torch.Generator().manual_seed(0)
        return draws_of.EndlessDraws(repeats, 2, generator), generator

    first, generator = draws()
    wanted = []
    for _ in range(30):
        place = draws_of.place_of(first, generator)
        rest, other = draws()
        draws_of.go_to(place, rest, other)
        wanted.append(next(first))
        assert torch.equal(next(rest), wanted[-1])


def test_batches_made_ahead_are_made_again():
    """The place is that after the last batch taken, wherever the generator is."""
    generator = torch.Generator().manual_seed(0)
    draws = draws_of.EndlessDraws(torch.ones(6, dtype=torch.int64), 4, generator)

    def make():
        for indices in draws:
            yield indices, torch.rand(2, generator=generator)

    pairs = iter(list(next(p) for p in [draws_of.with_places(make(), draws, generator)] * 9))
    taken = draws_of.Taken(pairs, None)
    seen = [next(taken) for _ in range(4)]
    draws_of.go_to(taken.place, draws, generator)
    again = next(draws_of.with_places(make(), draws, generator))[0]
    for found, wanted in zip(again, next(taken), strict=True):
        assert torch.equal(found, wanted)
    assert not torch.equal(again[1], seen[-1][1])


def test_what_is_lost_is_at_most_an_interval(faces, monkeypatch, tmp_path):
    """Between two writes lies the interval, or a hundred times what a write takes."""
    now, writes, took = 0.0, [], 0.5
    real = checkpoint.write_content

    def write(*args):
        nonlocal now
        writes.append(now)
        now += took
        real(*args)

    step = loop.TrainingStep.__call__

    def slow(self, *args):
        nonlocal now
        now += 7.0
        return step(self, *args)

    monkeypatch.setattr(checkpoint, "write_content", write)
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now)
    monkeypatch.setattr(loop.TrainingStep, "__call__", slow)
    make = partial(tiny, networks=(TINY,), max_epochs=9, batch_size=2)
    make(checkpoint=tmp_path / "a.safetensors").fit(faces.data, faces.target)
    assert writes[0] == 0.0
    between = np.diff(writes)[:-1]  # the last is at the end of the stage
    assert len(between) > 3 and (between >= 60).all() and (between < 60 + 7 + took).all()
    now, took = 0.0, 2.0
    writes.clear()
    make(checkpoint=tmp_path / "b.safetensors").fit(faces.data, faces.target)
    between = np.diff(writes)[:-1]
    assert len(between) >= 1 and (between >= 200).all() and (between < 200 + 7 + took).all()


# ---------------------------------------------------------------------------------------
# After training
# ---------------------------------------------------------------------------------------
def test_a_complete_fit_is_answered_without_training(faces, monkeypatch, tmp_path):
    make = partial(tiny, checkpoint=tmp_path / "a.safetensors")
    whole = make().fit(faces.data, faces.target)
    monkeypatch.setattr(loop, "train", None)
    assert contents(make().fit(faces.data, faces.target)) == contents(whole)


def test_the_file_shrinks_to_the_result(faces, at_once, monkeypatch, tmp_path):
    file, sizes, real = tmp_path / "a.safetensors", [], checkpoint.write_content

    def write(*args):
        real(*args)
        sizes.append(file.stat().st_size)

    monkeypatch.setattr(checkpoint, "write_content", write)
    make = partial(tiny, networks=(partial(TINY, widths=(32, 64)),))
    make(checkpoint=file).fit(faces.data, faces.target)
    assert sizes[-1] < 0.5 * max(sizes)


@pytest.mark.slow
def test_the_seed_of_the_system_is_kept(faces, at_once, monkeypatch, tmp_path):
    """With early stopping, samples are held out at random: the same ones after a kill."""
    make = partial(
        tiny, random_state=None, early_stopping=True, checkpoint=tmp_path / "a.safetensors"
    )
    seen, real = [], train_cascade._validation

    def validation(plan, chips):
        seen.append((plan.seed, plan.held_out.points.tobytes()))
        return real(plan, chips)

    monkeypatch.setattr(train_cascade, "_validation", validation)
    killed_at(monkeypatch, loop.TrainingStep, "__call__", after=True)
    fit_until_done(make, faces.data, faces.target)
    assert len(seen) > 3 and len(set(seen)) == 1
    make(checkpoint=tmp_path / "b.safetensors").set_params(networks=(TINY,))
    monkeypatch.undo()
    other = make(checkpoint=tmp_path / "b.safetensors").fit(faces.data, faces.target)
    first = make().fit(faces.data, faces.target)
    assert contents(other) != contents(first)


@pytest.mark.slow
def test_warm_start_continues_too(faces, at_once, monkeypatch, tmp_path):
    data, before = (faces.data, faces.target), tiny().fit(faces.data, faces.target)

    def make(**settings):
        reg = pickle.loads(pickle.dumps(before))
        return reg.set_params(warm_start=True, learning_rate=1e-3, **settings)

    whole = make().fit(*data)
    killed_at(monkeypatch, loop.TrainingStep, "__call__", after=True)
    file = tmp_path / "a.safetensors"
    assert contents(fit_until_done(partial(make, checkpoint=file), *data)[0]) == contents(whole)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="weights that training begins with differ"):
        whole.set_params(checkpoint=file).fit(*data)


@pytest.mark.slow
def test_start_continues_too(faces, at_once, monkeypatch, tmp_path):
    data, model = (faces.data, faces.target), tmp_path / "model.safetensors"
    save_model(tiny().fit(*data), model)
    whole = tiny(start=model, random_state=1).fit(*data)
    killed_at(monkeypatch, loop.TrainingStep, "__call__", after=True)
    make = partial(tiny, random_state=1, checkpoint=tmp_path / "a.safetensors")
    reg, _ = fit_until_done(lambda: make(start=shutil.copy(model, tmp_path / "moved")), *data)
    assert contents(reg) == contents(whole)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="weights that training begins with differ"):
        make().fit(*data)


def test_after_ctrl_c_the_same_fit_continues(faces, at_once, monkeypatch, tmp_path):
    whole = tiny().fit(faces.data, faces.target)
    count, real = 0, loop.TrainingStep.__call__

    def step(self, *args):
        nonlocal count
        count += 1
        if count == 5:
            raise KeyboardInterrupt
        return real(self, *args)

    monkeypatch.setattr(loop.TrainingStep, "__call__", step)
    reg = tiny(checkpoint=tmp_path / "a.safetensors")
    with pytest.warns(UserWarning, match=r"same fit continues from .*a\.safetensors"):
        reg.fit(faces.data, faces.target)
    assert reg.n_iter_ == [1]
    count = 99
    assert contents(reg.fit(faces.data, faces.target)) == contents(whole)
    # Interrupted before a further epoch, a fit that went on has the epochs of the file.
    (tmp_path / "a.safetensors").unlink()
    count = 0
    with pytest.warns(UserWarning, match="interrupted"):
        reg.fit(faces.data, faces.target)
    count = 4
    other = tiny(checkpoint=tmp_path / "a.safetensors")
    with pytest.warns(UserWarning, match="stage 1 after 1 epochs"):
        other.fit(faces.data, faces.target)
    assert contents(other)[:3] == contents(reg)[:3]


# ---------------------------------------------------------------------------------------
# Searches and pipelines
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_a_search_that_is_killed_goes_on(faces, at_once, monkeypatch, tmp_path):
    data = faces.data, faces.target

    def search(**settings):
        reg = tiny(networks=(TINY,), **settings)
        pipe = Pipeline([("balance", PoseBalancer()), ("reg", reg)])
        return GridSearchCV(pipe, {"reg__w": [5.0, 10.0]}, cv=2)

    whole = search().fit(*data)
    make = partial(search, checkpoint=tmp_path / "night")
    with monkeypatch.context() as patched:
        killed_at(patched, loop, "_train_epoch", after=True)
        found, n = fit_until_done(make, *data)
    assert n > 5
    assert len(os.listdir(tmp_path / "night")) == 5  # two candidates, two folds, the best again
    np.testing.assert_array_equal(
        found.cv_results_["mean_test_score"], whole.cv_results_["mean_test_score"]
    )
    assert contents(found.best_estimator_["reg"]) == contents(whole.best_estimator_["reg"])
    monkeypatch.setattr(loop, "train", None)
    make().fit(*data)  # nothing is trained twice


def test_a_file_is_of_one_fit_only(faces, tmp_path):
    search = GridSearchCV(
        tiny(networks=(TINY,), max_epochs=1, checkpoint=tmp_path / "a.safetensors"),
        {"w": [5.0, 10.0]},
        cv=2,
        error_score="raise",
    )
    with pytest.raises(ValueError, match="pass a folder"):
        search.fit(faces.data, faces.target)


# ---------------------------------------------------------------------------------------
# Other fits
# ---------------------------------------------------------------------------------------
SCHEMA = "ibug68"


def other_data(faces):
    X, y = faces.data, faces.target
    pixels = np.stack([X.decode(i) for i in range(len(X))])
    moved = y.copy()
    moved[3, 4, 0] += 0.5
    boxes = X.boxes.copy()
    boxes[2, 0] += 0.5
    brighter = pixels.copy()
    brighter[-1, 20, 20, 0] ^= 1
    return {
        "landmarks (y)": (X, moved),
        "boxes of X": (X.with_boxes(boxes), y),
        "images of X": (BoxedImages(brighter, X.boxes, schema=X.schema), y),
        "repeats of X": (X.with_repeats([1] * 9 + [2]), y),
        "sample weights": (X, y, [1.0] * 9 + [0.5]),
        "images of X_val": (X, y, None, X, y),
    }


def with_pixels(faces):
    X = faces.data
    pixels = np.stack([X.decode(i) for i in range(len(X))])
    return BoxedImages(pixels, X.boxes, schema=X.schema)


@pytest.fixture(scope="module")
def complete(tmp_path_factory):
    faces = make_faces(10, image_size=40, random_state=0)
    faces.data = with_pixels(faces)
    file = tmp_path_factory.mktemp("complete") / "a.safetensors"
    make = partial(tiny, networks=(TINY,), max_epochs=1, checkpoint=file)
    make().fit(faces.data, faces.target)
    return make, faces


def test_other_data_are_named(complete):
    make, faces = complete
    for what, data in other_data(faces).items():
        with pytest.raises(ValueError, match=re.escape(what)) as raised:
            make().fit(*data)
        others = [other for other in other_data(faces) if other != what]
        assert not any(f" {other} differ" in str(raised.value) for other in others)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"w": 5.0}, "w was 10.0, is 5.0"),
        ({"w": (10.0, 5.0)}, r"w was 10.0, is \(10.0, 5.0\)"),
        ({"max_epochs": 2}, "max_epochs was 1, is 2"),
        ({"loss": "l2"}, "loss was 'wing', is 'l2'"),
        ({"random_state": 1}, "random_state was 0, is 1"),
        ({"random_state": None}, "random_state was 0, is None"),
        ({"random_state": np.random.RandomState(0)}, "random_state was 0, is RandomState"),
        ({"average_mirrored": False}, "average_mirrored was True, is False"),
        ({"augmentation": None}, r"augmentation.rotation was .*, is 0"),
        ({"networks": (TINY, TINY)}, "networks was"),
        ({"networks": (partial(TINY, n_hidden=9),)}, "networks was"),
        ({"early_stopping": True}, "early_stopping was False, is True"),
        ({"learning_rate": 1e-3, "batch_size": 2}, "batch_size was 4, is 2; .*learning_rate"),
    ],
)
def test_other_parameters_are_named(complete, settings, message):
    make, faces = complete
    with pytest.raises(ValueError, match=message):
        make(**settings).fit(faces.data, faces.target)


def test_what_changes_no_result_may_change(complete):
    make, faces = complete
    wanted = contents(make().fit(faces.data, faces.target))
    for own in ({"verbose": 2}, {"callbacks": [print]}, {"device": torch.device("cpu")}):
        assert contents(make().set_params(**own).fit(faces.data, faces.target)) == wanted
    assert contents(make(w=np.float64(10)).fit(faces.data, faces.target)) == wanted
    assert contents(make(augmentation=Augmentation(deformation=0)).fit(faces.data, faces.target))


def test_files_of_other_content_and_equal_size_are_found_out(tmp_path):
    """Of files, their sizes are compared before they are read, and the pixels then."""
    X, y = make_faces(4, image_size=40, random_state=0, return_X_y=True)
    names = [str(tmp_path / f"{i}.ppm") for i in range(4)]
    for i, name in enumerate(names):
        Path(name).write_bytes(b"P6 40 40 255\n" + X.decode(i).tobytes())
    make = partial(tiny, networks=(TINY,), max_epochs=1, checkpoint=tmp_path / "a.safetensors")
    whole = make().fit(names, y)
    moved = [shutil.copy(name, tmp_path / f"copy{i}.ppm") for i, name in enumerate(names)]
    assert contents(make().fit(moved, y)) == contents(whole)
    with open(names[2], "r+b") as file:
        file.seek(2000)
        file.write(b"\xff" * 600)
    with pytest.raises(ValueError, match="images differ"):
        make().fit(names, y)


def test_networks_of_other_weights_are_named(faces, tmp_path):
    class Own(PlainCNN):
        width = 4

        def __init__(self, n_landmarks):
            super().__init__(n_landmarks, (self.width, 8), 16, n_hidden=8)

    make = partial(tiny, networks=(Own,), max_epochs=1, checkpoint=tmp_path / "a.safetensors")
    make().fit(faces.data, faces.target)
    Own.width = 5
    with pytest.raises(ValueError, match="the networks differ"):
        make().fit(faces.data, faces.target)


@pytest.mark.parametrize("n_bytes", [0, 7, 1000, -1])
def test_a_damaged_file_is_an_error(complete, tmp_path, n_bytes):
    make, faces = complete
    content = make().checkpoint.read_bytes()
    file = tmp_path / "a.safetensors"
    file.write_bytes(content[:n_bytes])
    with pytest.raises(ValueError, match=r"checkpoint: .*damaged.*delete this file"):
        make(checkpoint=file).fit(faces.data, faces.target)
    at = len(content) // 2
    file.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])
    with pytest.raises(ValueError, match=r"checkpoint: .*damaged"):
        make(checkpoint=file).fit(faces.data, faces.target)


def test_other_files_are_no_checkpoints(complete, tmp_path):
    make, faces = complete
    model = tmp_path / "model.safetensors"
    save_model(make().fit(faces.data, faces.target), model)
    with pytest.raises(ValueError, match="not one written by fit with this checkpoint"):
        make(checkpoint=model).fit(faces.data, faces.target)
    with pytest.raises(ValueError, match="not one written by save_model"):
        load_model(make().checkpoint)
    (tmp_path / "notes.txt").write_text("no folder")
    with pytest.raises(ValueError, match="is a file, expected a folder"):
        make(checkpoint=tmp_path / "notes.txt").fit(faces.data, faces.target)
    with pytest.raises(FileNotFoundError, match="checkpoint: there is no folder"):
        make(checkpoint=tmp_path / "none" / "a.safetensors").fit(faces.data, faces.target)
    with pytest.raises(FileNotFoundError, match="checkpoint: there is no folder"):
        make(checkpoint=tmp_path / "none" / "night").fit(faces.data, faces.target)


def test_a_checkpoint_of_another_version_is_named(complete, monkeypatch):
    make, faces = complete
    monkeypatch.setattr("skwing._training.identity.__version__", "99.0")
    with pytest.raises(ValueError, match=r"version of skwing was .*, is 99\.0"):
        make().fit(faces.data, faces.target)


def test_a_full_disk_is_a_warning(faces, at_once, monkeypatch, tmp_path):
    real, count = checkpoint.write_content, 0

    def write(*args):
        nonlocal count
        count += 1
        if count in (3, 4, 5):
            raise OSError(28, "no space left on device")
        real(*args)

    whole = tiny().fit(faces.data, faces.target)
    monkeypatch.setattr(checkpoint, "write_content", write)
    with pytest.warns(UserWarning, match="not written: .*no space left.*continues") as told:
        reg = tiny(checkpoint=tmp_path / "a.safetensors").fit(faces.data, faces.target)
    assert len(told) == 1 and count > 6
    assert contents(reg) == contents(whole)
    count = 2
    with pytest.raises(OSError, match="no space left"):  # at the first write
        tiny(checkpoint=tmp_path / "b.safetensors").fit(faces.data, faces.target)


def test_models_do_not_carry_it(complete, tmp_path):
    make, faces = complete
    reg = make(callbacks=[print]).fit(faces.data, faces.target)
    save_model(reg, tmp_path / "model.safetensors")
    loaded = load_model(tmp_path / "model.safetensors")
    assert loaded.checkpoint is None and loaded.callbacks is None
    copy = pickle.loads(pickle.dumps(reg))
    assert copy.checkpoint == reg.checkpoint and copy.callbacks == [print]
