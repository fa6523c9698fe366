"""The stage that reads patches, as part of a regressor."""

import pickle
from functools import partial

import numpy as np
import pytest
import torch
from small import build_small

from skwing import CascadeLandmarkRegressor, LandmarkSchema, load_model, save_model
from skwing._prediction.retry import NEVER
from skwing.display import CropDisplay
from skwing.export import to_onnx
from skwing.networks import PatchCNN, PlainCNN

COARSE = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32, batch_norm=True)
FINE = partial(
    PatchCNN,
    **{"input_size": 128, "patch_size": 32, "scatter": 0.04},
    **{"width": 8, "n_blocks": 1, "n_steps": 1, "n_hidden": 16},
)
SETTINGS = {"augmentation": None, "batch_size": 8, "random_state": 0, "device": "cpu"}
SIDE, N_LANDMARKS = 200, 4
MIRRORED = LandmarkSchema("square", ["a", "b", "c", "d"], mirror=[1, 0, 3, 2])


def marks(n, seed=0, side=SIDE):
    """Images with four small crosses, at the corners of a square with random changes."""
    rng = np.random.default_rng(seed)
    corners = np.array([[0.25, 0.25], [0.75, 0.25], [0.25, 0.75], [0.75, 0.75]])
    points = np.round(side * (corners + rng.uniform(-0.06, 0.06, (n, N_LANDMARKS, 2))))
    images = rng.integers(0, 60, (n, side, side, 3), dtype=np.uint8)
    for image, shape in zip(images, points.astype(int), strict=True):
        for x, y in shape:
            image[y - 3 : y + 4, x] = image[y, x - 3 : x + 4] = 255
    return images, points


def error(points, truth):
    return np.linalg.norm(points - truth, axis=-1).mean()


@pytest.fixture(scope="module")
def data():
    return marks(24)


@pytest.fixture(scope="module")
def fitted(data):
    reg = CascadeLandmarkRegressor(
        networks=(COARSE, FINE), max_epochs=(40, 60), schema=MIRRORED, **SETTINGS
    )
    return reg.fit(*data)


def test_patches_find_what_crops_cannot_resolve(fitted):
    images, points = marks(12, seed=1)
    first, second = fitted.staged_predict(images)
    assert error(second, points) < 0.5 * error(first, points)


def test_objects_that_look_alike_turned_are_not_searched_for(fitted):
    assert fitted._retry.limit == fitted._retry.limit_once == NEVER


def test_spread_is_calibrated(fitted, data):
    images, points = marks(12, seed=2)
    found, std = pickle.loads(pickle.dumps(fitted)).calibrate(images, points).predict(images, True)
    assert std.shape == found.shape[:2]
    assert 0.3 < np.sqrt(2) * std.mean() / error(found, points) < 3


def test_missing_landmarks_are_no_obstacle(data):
    images, points = data
    points = points.copy()
    points[::2, 1] = np.nan
    reg = CascadeLandmarkRegressor(networks=(COARSE, FINE), max_epochs=1, **SETTINGS)
    assert np.isfinite(reg.fit(images, points).predict(images)).all()


def test_files_and_pickles_answer_the_same(fitted, data, tmp_path):
    wanted = fitted.predict(data[0][:3])
    save_model(fitted, tmp_path / "model.safetensors")
    for loaded in (
        load_model(tmp_path / "model.safetensors"),
        pickle.loads(pickle.dumps(fitted)),
    ):
        np.testing.assert_array_equal(loaded.predict(data[0][:3]), wanted)
        assert isinstance(loaded.networks_[1], PatchCNN)


def test_a_portion_and_a_single_image_have_the_same_landmarks(fitted, data):
    together, alone = fitted.predict(data[0][:4]), fitted.predict(data[0][2:3])
    np.testing.assert_allclose(together[2], alone[0], atol=1e-3)


def test_training_continues_and_stops_early(fitted, data):
    reg = pickle.loads(pickle.dumps(fitted)).set_params(
        warm_start=True, max_epochs=3, early_stopping=True, learning_rate=1e-4
    )
    reg.fit(*data)
    assert [row["stage"] for row in reg.history_] == [1, 1, 1, 2, 2, 2]
    assert all(np.isfinite(row["validation_error"]) for row in reg.history_)
    assert error(reg.predict(data[0]), data[1]) < 4


def test_training_starts_from_a_model_with_patches(fitted, data):
    images, points = data
    settings = {"networks": (COARSE, FINE), "max_epochs": 1, "start": fitted, **SETTINGS}
    same = CascadeLandmarkRegressor(learning_rate=1e-12, weight_decay=0, **settings)
    found = same.fit(images, points).predict(images[:2])
    # Running statistics of batch normalisation change even so.
    assert error(found, fitted.predict(images[:2])) < 5
    other = CascadeLandmarkRegressor(**settings)
    assert other.fit(images, points[:, :3]).predict(images[:2]).shape == (2, 3, 2)


def test_a_later_stage_may_read_crops_again(data):
    reg = CascadeLandmarkRegressor(networks=(COARSE, FINE, COARSE), max_epochs=1, **SETTINGS)
    reg.set_params(augmentation="default", augmentation__deformation=0)
    assert len(list(reg.fit(*data).staged_predict(data[0][:2]))) == 3


def test_the_default_is_unchanged_for_small_images_and_finer_for_large_ones(monkeypatch):
    build_small(monkeypatch)
    small = marks(8, side=96)
    named = ("shape_indexed_64_coarse", "shape_indexed_128")
    auto = CascadeLandmarkRegressor(max_epochs=1, **SETTINGS).fit(*small)
    plain = CascadeLandmarkRegressor(networks=named, max_epochs=1, **SETTINGS).fit(*small)
    assert auto._frame == plain._frame
    np.testing.assert_array_equal(auto.predict(small[0]), plain.predict(small[0]))
    large = marks(8, side=480)
    fine = CascadeLandmarkRegressor(max_epochs=1, **SETTINGS).fit(*large)
    assert isinstance(fine.networks_[2], PatchCNN)
    assert fine._frame.size > auto._frame.size
    # Training continues with the same stages, whatever the new images are.
    auto.set_params(warm_start=True).fit(*large)
    fine.set_params(warm_start=True).fit(*small)
    assert [len(auto.networks_), len(fine.networks_)] == [2, 3]


def test_epochs_of_patches_are_fewer(data):
    from skwing._training.parameters import auto_epochs

    reg = CascadeLandmarkRegressor(networks=(COARSE, FINE), max_epochs=(1, "auto"), **SETTINGS)
    assert auto_epochs(1, 1600, reads_patches=True) < auto_epochs(1, 1600)
    plan = reg._check(*data, None, None, None)
    assert plan.settings[1].max_epochs == auto_epochs(1, len(data[0]), reads_patches=True)


def test_the_first_stage_needs_a_crop(data):
    reg = CascadeLandmarkRegressor(networks=(FINE, COARSE), max_epochs=1, **SETTINGS)
    with pytest.raises(ValueError, match=r"networks\[0\]: PatchCNN reads patches around"):
        reg.fit(*data)


def test_crops_of_a_stage_of_patches_cannot_be_shown(fitted, data):
    pytest.importorskip("matplotlib")
    with pytest.raises(ValueError, match="stage 2 reads patches around the landmarks"):
        CropDisplay.from_estimator(fitted, *data, stage=2)


@pytest.mark.slow
def test_onnx_gives_what_predict_gives(fitted, data, tmp_path):
    pytest.importorskip("onnxscript")
    runtime = pytest.importorskip("onnxruntime")
    from skwing import BoxedImages
    from skwing._crops.chips import cut_chips

    to_onnx(fitted, tmp_path / "fine.onnx")
    chips = cut_chips(BoxedImages(data[0]), fitted._frame)
    session = runtime.InferenceSession(tmp_path / "fine.onnx")
    (points,) = session.run(None, {"chips": chips.pixels})
    points, wanted = chips.to_image(points.astype(float)), fitted.predict(data[0])
    # OpenCV and ONNX resample differently, which moves single points by up to a pixel here.
    assert np.abs(points - wanted).mean() < 0.15
    assert error(points, data[1]) == pytest.approx(error(wanted, data[1]), rel=0.1)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_gives_the_same(fitted, data):
    reg = pickle.loads(pickle.dumps(fitted))
    np.testing.assert_allclose(
        reg.set_params(device="cuda").predict(data[0]), fitted.predict(data[0]), atol=0.05
    )
    reg.set_params(warm_start=True, max_epochs=2).fit(*data)
    assert error(reg.predict(data[0]), data[1]) < 4
