"""Images without landmarks: `fit(X, y, X_unlabelled=...)`."""

from pathlib import Path

import numpy as np
import pytest
from sklearn.callback import ProgressBar
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import make_pipeline
from small import STILL, build_small

from skwing import BoxedImages, CascadeLandmarkRegressor, PoseBalancer
from skwing._training import train_cascade
from skwing._utils.opencv import cv2
from skwing.datasets import make_faces
from skwing.exceptions import DataWarning
from skwing.images import concatenate
from skwing.networks import PlainCNN

N, N_MORE = 4, 16


def small(n_landmarks):
    return PlainCNN(n_landmarks, (4, 8), 16, n_hidden=8, batch_norm=True)


def tiny(**settings):
    defaults = {"networks": (small, small), "max_epochs": (10, 5), "batch_size": 4}
    return CascadeLandmarkRegressor(
        **{**defaults, "random_state": 0, "device": "cpu", **STILL, **settings}
    )


@pytest.fixture(scope="module")
def faces():
    return make_faces(N + N_MORE, image_size=40, random_state=0)


@pytest.fixture(scope="module")
def labelled(faces):
    return faces.data[:N], faces.target[:N]


@pytest.fixture(scope="module")
def more(faces):
    return faces.data[N:]


def test_training_continues_on_its_own_predictions(labelled, more):
    X, y = labelled
    first = tiny().fit(X, y)
    data = concatenate([X, more])  # a third of 16 is about 4: no repeats
    points = np.concatenate([y, first.predict(more)])
    n_epochs = tuple(round(n * N / (N + N_MORE)) for n in (10, 5))
    second = tiny(start=FrozenEstimator(first), max_epochs=n_epochs).fit(data, points)
    together = tiny().fit(X, y, X_unlabelled=more)
    np.testing.assert_array_equal(together.predict(more), second.predict(more))
    assert together.n_iter_ == list(n_epochs)
    assert len(together.history_) == sum(n_epochs)
    assert together.get_params()["max_epochs"] == (10, 5) and together.start is None
    assert together.box_relation_ == first.box_relation_
    assert not np.array_equal(together.predict(more), first.predict(more))


def test_labelled_samples_are_a_quarter_of_the_draws(labelled, more, monkeypatch):
    plans, real = [], train_cascade.train_stage

    def seen(stages, settings, chips, truth, repeats, *args, **options):
        plans.append(repeats)
        return real(stages, settings, chips, truth, repeats, *args, **options)

    monkeypatch.setattr(train_cascade, "train_stage", seen)
    X, y = labelled
    X = X[:2].with_repeats([1, 2])
    weights = np.array([1.0, 0.5])
    tiny(networks=(small,)).fit(X, y[:2], weights, X_unlabelled=more)
    assert plans[0].tolist() == [1, 2]
    assert plans[1].tolist() == [2, 4] + [1] * N_MORE


def test_y_keeps_its_layout_and_pipelines_balance_the_labelled_samples(labelled, more):
    X, y = labelled
    pipe = make_pipeline(PoseBalancer(), tiny(networks=(small,)))
    pipe.fit(X, y.reshape(N, -1), cascadelandmarkregressor__X_unlabelled=more)
    assert pipe.predict(more).shape == (N_MORE, 2 * y.shape[1])


def test_samples_without_a_box_are_left_out(labelled, more):
    boxes = more.boxes.copy()
    boxes[3] = np.nan
    with pytest.warns(DataWarning, match="X_unlabelled"):
        reg = tiny(networks=(small,)).fit(*labelled, X_unlabelled=more.with_boxes(boxes))
    other = tiny(networks=(small,)).fit(*labelled, X_unlabelled=more[np.arange(N_MORE) != 3])
    np.testing.assert_array_equal(reg.predict(more), other.predict(more))


def test_what_cannot_be_used_is_an_error_before_training(labelled, more):
    reg = tiny()
    for wrong, message in (
        (more[:0], "0 samples"),
        (more.with_boxes(None), "X has boxes, but X_unlabelled has none"),
        (
            BoxedImages(list(map(more.decode, range(2))), more.boxes[:2], schema="aflw19"),
            "schema 'aflw19'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            reg.fit(*labelled, X_unlabelled=wrong)
    with pytest.raises(ValueError, match="requires X_val"):
        tiny(early_stopping=True, validation_fraction=0.5).fit(*labelled, X_unlabelled=more)
    assert not hasattr(reg, "networks_")


def test_validation_checkpoints_and_callbacks_take_part(labelled, more, tmp_path):
    X, y = labelled
    rows = []
    settings = {"networks": (small,), "early_stopping": True, "callbacks": [rows.append]}
    reg = tiny(**settings, checkpoint=tmp_path / "a.safetensors")
    reg.set_callbacks(ProgressBar())
    reg.fit(X, y, X_val=X, y_val=y, X_unlabelled=more)
    assert len(rows) == 10 + reg.n_iter_[0] and "validation_error" in reg.history_[-1]
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "a-unlabelled.safetensors",
        "a.safetensors",
    ]
    again = tiny(**settings, checkpoint=tmp_path / "a.safetensors")
    again.fit(X, y, X_val=X, y_val=y, X_unlabelled=more)
    assert len(rows) == 10 + reg.n_iter_[0]  # nothing was trained
    np.testing.assert_array_equal(again.predict(more), reg.predict(more))


def test_an_interrupted_training_does_not_continue(labelled, more):
    def interrupt(row):
        if row["epoch"] == 3:
            raise KeyboardInterrupt

    reg = tiny(networks=(small,), callbacks=[interrupt])
    with pytest.warns(UserWarning, match="interrupted"):
        reg.fit(*labelled, X_unlabelled=more)
    assert reg.n_iter_ == [3]


def test_larger_images_without_landmarks_add_no_stage(labelled, more, monkeypatch):
    build_small(monkeypatch)
    X, y = labelled
    reg = tiny(networks="auto", max_epochs=1).fit(X, y)
    assert len(reg.networks_) == 2  # the third is for large images
    zoomed = [np.kron(more.decode(i), np.ones((20, 20, 1), np.uint8)) for i in range(8)]
    large = BoxedImages(zoomed, more.boxes[:8] * 20, schema="ibug68")
    reg.fit(X, y, X_unlabelled=large)
    assert len(reg.networks_) == 2


def test_a_missing_file_is_found_before_training_and_a_damaged_one_costs_nothing(
    labelled, more, tmp_path
):
    paths = [str(tmp_path / f"{i}.png") for i in range(3)]
    for i, path in enumerate(paths):
        cv2.imwrite(path, more.decode(i)[..., ::-1])
    Path(paths[1]).write_bytes(b"no image")
    reg = tiny(networks=(small,))
    with pytest.raises(FileNotFoundError, match=r"X_unlabelled: sample 1 .*gone\.png"):
        reg.fit(*labelled, X_unlabelled=BoxedImages([paths[0], "gone.png"], more.boxes[:2]))
    assert not hasattr(reg, "networks_")
    with pytest.warns(UserWarning, match=r"1\.png"):
        reg.fit(*labelled, X_unlabelled=BoxedImages(paths, more.boxes[:3]))
    readable = BoxedImages([paths[0], paths[2]], more.boxes[[0, 2]])
    other = tiny(networks=(small,)).fit(*labelled, X_unlabelled=readable)
    np.testing.assert_array_equal(reg.predict(more), other.predict(more))


def test_the_schema_of_the_regressor_is_known_to_the_other_images(labelled, more):
    X, y = labelled
    reg = tiny(networks=(small,), max_epochs=1, schema="ibug68")
    expected = reg.fit(X, y, X_unlabelled=more).predict(more)
    for own in (None, "ibug68"):
        for other in (None, "ibug68"):
            reg.fit(X.with_schema(own), y, X_unlabelled=more.with_schema(other))
            np.testing.assert_array_equal(reg.predict(more), expected)
