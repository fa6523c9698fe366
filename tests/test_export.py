"""What is written to ONNX answers as predict does, run by ONNX Runtime."""

import contextlib
import json
import logging
import random
import sys
import warnings
from functools import partial

import cv2
import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import Pipeline
from small import UNBENT, trace_once

from skwing import BoxedImages, CascadeLandmarkRegressor
from skwing._crops.chips import cut_chips
from skwing.boxes import landmark_boxes
from skwing.datasets import make_faces
from skwing.export import to_onnx
from skwing.networks import PlainCNN, ShapeIndexedCNN
from skwing.runtime import OnnxLocalizer

SMALL = {"widths": (8, 16), "input_size": 16, "n_hidden": 32, "batch_norm": True}
PLAIN = partial(PlainCNN, **SMALL)
INDEXED = partial(
    ShapeIndexedCNN, input_size=32, width=8, n_blocks=1, n_steps=2, n_hidden=16, n_overview=16
)
SETTINGS = {"max_epochs": 2, "batch_size": 8, "random_state": 0, "device": "cpu"}


slow = pytest.mark.slow  # the exporter of torch takes seconds, however small the network


class Blind(PlainCNN):
    """Finds nothing in white crops and in black ones, and answers NaN there, or infinity."""

    def forward(self, images):
        points, brightness = super().forward(images), images.mean((1, 2, 3))[:, None, None]
        points = torch.where(brightness > 0.98, torch.nan, points)
        return torch.where(brightness < 0.02, torch.inf, points)


class InPlace(PlainCNN):
    """Changes its input."""

    def forward(self, images):
        return super().forward(images.sub_(0.5).relu_())


class ByCopy(PlainCNN):
    def forward(self, images):
        return super().forward((images - 0.5).relu())


@pytest.fixture(scope="module")
def runtime():
    pytest.importorskip("onnxscript")
    return pytest.importorskip("onnxruntime")


@pytest.fixture(scope="module")
def faces():
    return make_faces(12, random_state=0)


@pytest.fixture(scope="module")
def cascade(faces):
    regressor = CascadeLandmarkRegressor(networks=(partial(Blind, **SMALL), INDEXED), **SETTINGS)
    return regressor.fit(faces.data, faces.target)


@pytest.fixture(scope="module")
def wanted(cascade, faces):
    return cascade.predict(faces.data)


@contextlib.contextmanager
def nothing_said():
    """Check that no warning is given and that torch's exporter logs nothing."""
    said, logger = [], logging.getLogger("torch.onnx")
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(record.getMessage())
    logger.addHandler(handler)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            yield
    finally:
        logger.removeHandler(handler)
    assert said == []


@pytest.fixture(scope="module")
def model(runtime, cascade, wanted, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "cascade.onnx"
    before = torch.get_rng_state(), random.getstate(), np.random.get_state()[2]  # noqa: NPY002
    torch.set_default_dtype(torch.float64)
    try:
        with (
            nothing_said(),
            torch.device("meta"),
            torch.inference_mode(),
            torch.autocast("cpu", torch.bfloat16),
        ):
            to_onnx(cascade, path)
    finally:
        torch.set_default_dtype(torch.float32)
    after = torch.get_rng_state(), random.getstate(), np.random.get_state()[2]  # noqa: NPY002
    assert torch.equal(before[0], after[0]) and before[1:] == after[1:]
    return path


def answer(runtime, path, regressor, X):
    chips = cut_chips(X, regressor._frame)
    (points,) = runtime.InferenceSession(path).run(None, {"chips": chips.pixels})
    return chips.to_image(points.astype(float))


@pytest.fixture(scope="module")
def in_place(faces):
    """Two regressors with equal networks, of which that of the first changes its input."""
    return [
        CascadeLandmarkRegressor(networks=(partial(network, **SMALL),), **SETTINGS, **UNBENT).fit(
            faces.data, faces.target
        )
        for network in (InPlace, ByCopy)
    ]


def test_networks_that_change_their_input_predict_what_others_do(in_place, faces):
    regressor, same = in_place
    assert regressor.average_mirrored
    np.testing.assert_array_equal(regressor.predict(faces.data), same.predict(faces.data))


@slow
def test_networks_that_change_their_input_are_exported(runtime, in_place, faces, tmp_path):
    regressor = in_place[0]
    to_onnx(regressor, tmp_path / "a.onnx")
    found = answer(runtime, tmp_path / "a.onnx", regressor, faces.data)
    np.testing.assert_allclose(found, regressor.predict(faces.data), atol=0.02)


@slow
@pytest.mark.parametrize("n", [1, 2, 12])
def test_any_number_of_chips_gives_what_predict_gives(runtime, model, cascade, faces, wanted, n):
    found = answer(runtime, model, cascade, faces.data[:n])
    # Crops are rounded to whole grey levels there, and not here.
    np.testing.assert_allclose(found, wanted[:n], atol=0.02)


@slow
def test_nan_and_infinity_of_a_stage_are_nan_at_the_end(runtime, model, cascade, faces):
    chips = cut_chips(faces.data, cascade._frame).pixels.copy()
    session = runtime.InferenceSession(model)
    (plain,) = session.run(None, {"chips": chips})
    chips[3], chips[5] = 255, 0
    (points,) = session.run(None, {"chips": chips})
    lost = np.isin(np.arange(12), [3, 5])
    assert np.isnan(points[lost]).all()
    np.testing.assert_allclose(points[~lost], plain[~lost], atol=1e-3)
    assert np.isfinite(plain).all()


@slow
def test_all_is_in_one_file_that_tells_what_a_chip_shows(runtime, model, cascade):
    assert [path.name for path in model.parent.iterdir()] == [model.name]
    told = runtime.InferenceSession(model).get_modelmeta().custom_metadata_map
    assert int(told["chip_size"]) == cascade._frame.size
    assert float(told["chip_margin"]) == cascade._frame.margin
    assert json.loads(told["landmarks"]) == list(cascade.schema_.landmark_names)


@slow
def test_the_file_tells_how_boxes_lie_around_landmarks(model, cascade, faces):
    relation = OnnxLocalizer(model).box_relation_
    for name in ("margin", "shift"):
        np.testing.assert_array_equal(relation[name], cascade.box_relation_[name])
    np.testing.assert_array_equal(
        landmark_boxes(faces.target, random_state=0, **relation),
        landmark_boxes(faces.target, random_state=0, **cascade.box_relation_),
    )


@pytest.fixture(scope="module")
def single(runtime, faces, tmp_path_factory):
    """A single stage without a schema, and its files in full and in half precision."""
    folder = tmp_path_factory.mktemp("single")
    X = faces.data.with_schema(None)
    regressor = CascadeLandmarkRegressor(networks=(PLAIN,), **SETTINGS)
    regressor.fit(X, faces.target[:, :5])
    regressor.notice_ = "For research only."
    pipeline = Pipeline([("nothing", "passthrough"), ("reg", regressor)])
    with pytest.MonkeyPatch.context() as patch:
        trace_once(patch)
        to_onnx(pipeline, folder / "full.onnx")
        to_onnx(regressor, folder / "half.onnx", precision="float16", calibration=X)
    return regressor, folder / "full.onnx", folder / "half.onnx"


@slow
def test_half_the_bytes_give_nearly_the_same_landmarks(runtime, single, faces):
    regressor, *paths = single
    full, half = (answer(runtime, path, regressor, faces.data) for path in paths)
    assert 0 < np.abs(full - half).max() < 0.1
    n_halved = sum(w.numel() for w in regressor.networks_[0].parameters() if w.ndim > 1)
    assert paths[1].stat().st_size < paths[0].stat().st_size - 1.5 * n_halved
    told = runtime.InferenceSession(paths[1]).get_modelmeta().custom_metadata_map
    assert (told["notice"], told["precision"]) == (regressor.notice_, "float16")
    assert 0 < float(told["difference"]) < 0.1


@slow
def test_a_single_stage_without_a_schema(runtime, single, faces):
    regressor, path, _ = single
    found = answer(runtime, path, regressor, faces.data)
    np.testing.assert_allclose(found, regressor.predict(faces.data), atol=0.02)
    told = runtime.InferenceSession(path).get_modelmeta().custom_metadata_map
    assert "landmarks" not in told


@slow
def test_the_regressor_stays_as_it_is(model, cascade, faces, wanted):
    np.testing.assert_array_equal(cascade.predict(faces.data), wanted)


def test_what_can_not_be_written_is_told(tmp_path):
    with pytest.raises(NotFittedError):
        to_onnx(CascadeLandmarkRegressor(), tmp_path / "a.onnx")
    with pytest.raises(TypeError, match=r"only a CascadeLandmarkRegressor .* LinearRegression"):
        to_onnx(LinearRegression(), tmp_path / "a.onnx")
    search = GridSearchCV(CascadeLandmarkRegressor(), {"w": [5, 10]})
    with pytest.raises(NotFittedError):
        to_onnx(search, tmp_path / "a.onnx")
    assert not list(tmp_path.iterdir())


def test_a_missing_folder_is_told(runtime, cascade, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no folder .*nowhere to write .*a\.onnx"):
        to_onnx(cascade, tmp_path / "nowhere" / "a.onnx")


def test_what_is_to_be_installed_is_told(cascade, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r'pip install "skwing\[onnx\]"'):
        to_onnx(cascade, tmp_path / "a.onnx")


@slow
@pytest.mark.parametrize("engine", ["onnxruntime", "openvino"])
def test_the_runtime_gives_what_predict_gives(model, cascade, faces, wanted, engine):
    pytest.importorskip(engine)
    localizer = OnnxLocalizer(model, engine=engine)
    images = [faces.data.decode(i) for i in range(12)]
    # Crops are rounded to whole grey levels in `predict`.
    np.testing.assert_allclose(localizer.predict(images, faces.data.boxes), wanted, atol=0.02)
    found = localizer.predict(images[3], faces.data.boxes[3])
    np.testing.assert_allclose(found, wanted[3], atol=0.02)
    resized = cv2.resize(images[3], None, fx=5, fy=5), images[3][::2, ::2]
    boxes = np.outer([5, 0.5], faces.data.boxes[3])
    wanted = cascade.set_params(retry=False).predict(BoxedImages(resized, boxes))
    np.testing.assert_allclose(localizer.predict(resized, boxes), wanted, atol=0.1)
    assert localizer.landmark_names_ == list(cascade.schema_.landmark_names)
