"""Smaller ONNX files: how far their landmarks are from the others, and what the files tell."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from small import trace_once

from skwing import CascadeLandmarkRegressor, geometry
from skwing._crops.chips import ChipFrame, Chips, cut_chips
from skwing._crops.crop import Crop
from skwing.datasets import make_faces
from skwing.export import _loss, to_onnx
from skwing.export._graph import _resampling, box_crop
from skwing.export._quantize import quantized
from skwing.networks import PlainCNN, ShapeIndexedCNN

PLAIN = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32, batch_norm=True)
INDEXED = partial(
    ShapeIndexedCNN, input_size=32, width=16, n_blocks=1, n_steps=1, n_hidden=32, n_overview=16
)
SETTINGS = {"max_epochs": 2, "batch_size": 8, "random_state": 0, "device": "cpu"}
slow = pytest.mark.slow  # the exporter of torch takes seconds, however small the network


@pytest.fixture(scope="module")
def onnx():
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    return pytest.importorskip("onnx")


@pytest.fixture(scope="module")
def faces():
    return make_faces(24, random_state=0)


@pytest.fixture(scope="module")
def cascade(faces):
    regressor = CascadeLandmarkRegressor(networks=(PLAIN, INDEXED), **SETTINGS)
    regressor.fit(faces.data, faces.target)
    # As after long training, landmarks depend on the image.
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in (w for net in regressor.networks_ for w in net.parameters() if w.ndim > 1):
            weights.add_(0.1 * torch.randn(weights.shape, generator=rng))
    return regressor


@pytest.fixture(scope="module")
def files(onnx, cascade, faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("precision")
    with pytest.MonkeyPatch.context() as patch:
        trace_once(patch)
        to_onnx(cascade, folder / "float32.onnx")
        with pytest.warns(UserWarning, match="calibration has 24 samples"):
            to_onnx(
                cascade,
                folder / "int8.onnx",
                precision="int8",
                calibration=faces.data,
                calibration_target=faces.target,
            )
    return folder


def landmarks(path, pixels):
    import onnxruntime

    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return session.run(None, {"chips": pixels})[0]


def told(onnx, path):
    return {entry.key: entry.value for entry in onnx.load(path).metadata_props}


@slow
def test_the_file_tells_the_precision_and_what_it_costs(onnx, files, cascade, faces):
    chips = cut_chips(faces.data, cascade._frame)
    found = {name: landmarks(files / f"{name}.onnx", chips.pixels) for name in ("float32", "int8")}
    by = told(onnx, files / "int8.onnx")
    assert (by["precision"], by["calibration_n"]) == ("int8", "24")
    side = cascade._frame.size / (1 + 2 * cascade._frame.margin)
    apart = np.linalg.norm(found["int8"] - found["float32"], axis=-1).mean() / side
    assert 1e-5 < apart < 0.02
    assert found["float32"].std(0).mean() > 0.2
    np.testing.assert_allclose(float(by["difference"]), 100 * apart, rtol=0.01, atol=1e-4)
    score = cascade.set_params(retry=False).score(faces.data, faces.target)
    cascade.set_params(retry=True)
    np.testing.assert_allclose(float(by["error_float32"]), -100 * score, rtol=0.01)
    np.testing.assert_allclose(float(by["error"]), -100 * score, rtol=0.05)
    plain = told(onnx, files / "float32.onnx")
    assert plain["precision"] == "float32" and "difference" not in plain


@slow
def test_coordinates_and_first_convolutions_stay_in_float(onnx, files):
    graph = onnx.load(files / "int8.onnx").graph
    made_by = {name: node for node in graph.node for name in node.output}
    weights = {w.name: w for w in graph.initializer}
    kinds = {"Conv": set(), "Gemm": set(), "GridSample": set()}
    for node in graph.node:
        if node.op_type in kinds:
            source = made_by.get(node.input[1])
            is_whole = source is not None and source.op_type == "DequantizeLinear"
            stored = weights[source.input[0]] if is_whole else weights.get(node.input[1])
            first = stored is not None and node.op_type == "Conv" and stored.dims[1] == 3
            kinds[node.op_type].add((first, is_whole))
            if is_whole:  # a scale for each output channel
                assert len(weights[source.input[1]].dims) == 1
    assert kinds["Conv"] == {(True, False), (False, True), (False, False)}
    assert (False, True) in kinds["Gemm"]
    assert kinds["GridSample"] == {(False, False)}
    (last,) = (node for node in graph.node if "points" in node.output)
    assert last.op_type != "DequantizeLinear"


@slow
def test_negative_numbers_are_cut_off_by_integers(onnx, files):
    graph = onnx.load(files / "int8.onnx").graph
    made_by = {name: node.op_type for node in graph.node for name in node.output}
    before = [made_by[node.input[0]] for node in graph.node if node.op_type == "Relu"]
    # In float32 are the first convolutions, and layers whose results are added in float32.
    assert before and "DequantizeLinear" not in before
    layers = [made_by.get(node.input[0]) for node in graph.node if node.op_type == "Conv"]
    assert "DequantizeLinear" in layers


@slow
def test_files_are_smaller_and_name_no_source_code(files):
    sizes = [(files / f"{kind}.onnx").stat().st_size for kind in ("float32", "int8")]
    assert sizes[1] < 0.8 * sizes[0]  # small networks have many operations for their weights
    assert b"stages.py" not in (files / "float32.onnx").read_bytes()


@slow
@pytest.mark.parametrize("kind", ["float32", "int8"])
def test_openvino_reads_the_same_file(files, cascade, faces, kind):
    openvino = pytest.importorskip("openvino")
    pixels = cut_chips(faces.data, cascade._frame).pixels
    options = {"INFERENCE_PRECISION_HINT": "f32"}
    compiled = openvino.Core().compile_model(files / f"{kind}.onnx", "CPU", options)
    wanted = landmarks(files / f"{kind}.onnx", pixels)
    found = compiled({"chips": pixels})["points"]
    # Chips have about 200 pixels. Roundings to eight bits differ in single values.
    np.testing.assert_allclose(found, wanted, atol=0.01 if kind == "float32" else 1.0)
    assert np.abs(found - wanted).mean() < (0.001 if kind == "float32" else 0.1)


@slow
def test_a_fixed_batch_size(onnx, faces, tmp_path, monkeypatch):
    monkeypatch.setattr(_loss, "_N_FEW", 0)
    path = tmp_path / "two.onnx"
    one = CascadeLandmarkRegressor(networks=(PLAIN,), **SETTINGS).fit(faces.data, faces.target)
    to_onnx(one, path, batch_size=2, precision="int8", calibration=faces.data[:23])
    by = told(onnx, path)
    assert (by["batch_size"], by["calibration_n"]) == ("2", "23") and "error" not in by
    (chips,) = onnx.load(path).graph.input
    assert chips.type.tensor_type.shape.dim[0].dim_value == 2
    chips = cut_chips(faces.data[:2], one._frame)
    found = chips.to_image(landmarks(path, chips.pixels).astype(float))
    np.testing.assert_allclose(found, one.predict(faces.data[:2]), atol=2)


@pytest.fixture
def known(cascade, faces):
    return _loss.Calibration.of(cascade, faces.data, faces.target)


def test_a_loss_is_warned_of(known, faces):
    before = geometry.apply(known.matrices, faces.target)
    with pytest.warns(UserWarning) as warned:
        by = _loss.told_loss(known, before, before + [0.03 * known.side, 0])
    assert "differ by 3.00 percent of the side of the box" in str(warned[0].message)
    assert "instead of 0.000 in float32" in str(warned[1].message)
    assert (by["difference"], by["error_float32"]) == ("3", "0.0000") and float(by["error"]) > 1
    with pytest.warns(UserWarning, match="differ by nan percent"):
        assert _loss.told_loss(known, before, before * np.nan)["error"] == "nan"


def test_a_small_loss_is_told_only(known, faces):
    before = geometry.apply(known.matrices, faces.target)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        by = _loss.told_loss(known, before, before + [1e-4 * known.side, 0])
    assert by["difference"] == "0.01" and 0 < float(by["error"]) < 0.02


def test_the_last_batch_is_filled_up(known):
    sizes = [len(part) for part in known.rows(slice(0, 5)).batches(2)]
    assert sizes == [2, 2, 2]
    assert [len(part) for part in known.batches(None)] == [16, 8]


def test_parameters_that_do_not_fit_are_told(onnx, cascade, faces, tmp_path):
    def refused(message, **settings):
        with pytest.raises(ValueError, match=message):
            to_onnx(cascade, tmp_path / "a.onnx", **settings)

    refused(r"precision='int8' needs calibration: images with boxes", precision="int8")
    refused("calibration has no effect", calibration=faces.data)
    refused("calibration_target needs calibration", calibration_target=faces.target)
    refused("precision", precision="int4")
    refused("batch_size", batch_size=0)
    int8 = {"precision": "int8", "calibration": faces.data}
    refused("calibration_target", **int8, calibration_target=faces.target[:, :3])
    unboxed = faces.data.with_boxes(np.full((24, 4), np.nan))
    refused(
        "calibration has 0 samples with a box",
        precision="int8",
        calibration=unboxed,
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("line", [(0.4, 3.0), (1.3, -20.0)])
def test_the_fixed_crop_reads_between_pixels(line):
    side, size = 40, 16
    ramp = np.arange(side, dtype=float)
    places = ((np.arange(size) - line[1]) / line[0]).clip(0.5, side - 1.5)
    inside = slice(2, -2)
    found = _resampling(np.array(line), side, size) @ ramp
    np.testing.assert_allclose(found[inside], places[inside], atol=1e-4)


@pytest.mark.parametrize("scale", [0.15, 0.3, 0.6, 1.2])
def test_the_fixed_crop_is_that_of_chips(scale):
    rng = np.random.default_rng(0)
    chips = rng.integers(0, 256, (1, 48, 48, 3), dtype=np.uint8)
    matrix = np.array([[scale, 0, 1.0], [0, scale, 2.0]], dtype=np.float32)
    known = Chips(chips, np.eye(2, 3)[None], ChipFrame(48, 0.5))
    wanted = known.sample(torch.arange(1), torch.tensor(matrix)[None], 12, scale)
    pixels = torch.from_numpy(chips).permute(0, 3, 1, 2).float()
    found = box_crop(pixels, Crop(12, matrix))
    # Rounded to grey levels there, and by OpenCV 4 at positions of whole 32nds of a pixel.
    np.testing.assert_allclose(found, wanted, atol=6 / 255)


def test_few_samples_are_warned_of():
    with pytest.warns(UserWarning, match="calibration has 20 samples"):
        _loss.warn_of_few(20)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _loss.warn_of_few(200)


def test_coordinates_keep_their_biases_where_weights_are_zero(onnx):
    import onnxruntime

    rng = np.random.default_rng(0)
    weights = np.zeros((16, 64), dtype=np.float32)
    wanted = rng.uniform(10, 90, 16).astype(np.float32)
    make, kinds = onnx.helper, onnx.TensorProto
    graph = make.make_graph(
        [
            make.make_node("Cast", ["chips"], ["values"], to=kinds.FLOAT),
            make.make_node("Gemm", ["values", "networks.w", "b"], ["points"], "last", transB=1),
        ],
        "one layer",
        [make.make_tensor_value_info("chips", kinds.UINT8, ["n", 64])],
        [make.make_tensor_value_info("points", kinds.FLOAT, ["n", 16])],
        [
            onnx.numpy_helper.from_array(weights, "networks.w"),
            onnx.numpy_helper.from_array(wanted, "b"),
        ],
    )
    opset = [make.make_opsetid("", 20)]
    model = make.make_model(graph, opset_imports=opset, ir_version=10)
    values = rng.integers(0, 256, (8, 64), dtype=np.uint8)
    small = quantized(model, [values]).SerializeToString()
    session = onnxruntime.InferenceSession(small, providers=["CPUExecutionProvider"])
    np.testing.assert_allclose(session.run(None, {"chips": values})[0], [wanted] * 8, atol=1e-3)
