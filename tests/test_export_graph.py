"""Graphs compute the same as networks and stages, in fewer operations."""

from functools import partial
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from skwing import CascadeLandmarkRegressor
from skwing._crops.chips import ChipFrame, Chips, cut_chips
from skwing._crops.crop import Crop, place_shape
from skwing.datasets import make_faces
from skwing.export import to_onnx
from skwing.export._graph import _reduced
from skwing.export._placement import FixedPlacement, ShapePlacement
from skwing.networks import PatchCNN, PlainCNN, ShapeIndexedCNN

SMALL = {
    **{"input_size": 32, "width": 8, "n_hidden": 16, "n_overview": 16},
    **{"n_blocks": 1, "n_steps": 2},
}


def shaken(network, by=0.2):
    """The network with weights and biases as after training, which move landmarks."""
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weights in network.parameters():
            weights.add_(by * torch.randn(weights.shape, generator=rng))
    return network.eval()


@pytest.fixture
def exporting(monkeypatch):
    def switch(is_on):
        monkeypatch.setattr(torch.compiler, "is_exporting", lambda: is_on)

    return switch


@torch.no_grad()
@pytest.mark.parametrize("stride", [2, 4])
def test_a_shape_indexed_network_in_a_graph(exporting, stride):
    network = shaken(ShapeIndexedCNN(5, stride=stride, **SMALL))
    network.start_at(torch.rand(5, 2) * 32)
    images = torch.rand(3, 3, 32, 32)
    wanted = network(images)
    exporting(True)
    np.testing.assert_allclose(network(images), wanted, atol=1e-4)
    assert wanted.std(0).mean() > 0.1


@torch.no_grad()
def test_a_network_of_patches_in_a_graph(exporting):
    network = shaken(PatchCNN(5, 64, patch_size=16, width=8, n_hidden=16))
    patches = torch.rand(3, 5, 3, 16, 16)
    wanted = network(patches)
    exporting(True)
    np.testing.assert_allclose(network(patches), wanted, atol=1e-4)


SHAPE = np.array([[10.0, 40], [35, 20], [80, 45], [50, 90], [64, 64]])


def placed(size=32, n=3):
    """A crop of the shape, and landmarks that are turned, scaled and shifted."""
    crop = Crop.of_shape(size, 0.25, SHAPE, SHAPE + 40)
    rng = np.random.default_rng(0)
    angles, scales = rng.uniform(-1, 1, n), rng.uniform(0.7, 1.4, n)
    turns = scales * np.exp(1j * angles)
    moved = (SHAPE @ [1, 1j])[None] * turns[:, None]
    points = np.stack([moved.real, moved.imag], -1) + rng.normal(0, 2, (n, 5, 2)) + 50
    return crop, torch.tensor(points, dtype=torch.float32)


def test_the_placement_is_that_of_the_crop():
    crop, points = placed()
    placement = ShapePlacement(crop, points)
    wanted = crop.matrices(3, torch.device("cpu"), points)
    np.testing.assert_allclose(placement.matrices(), wanted, atol=1e-4)
    assert placement.is_found.all()
    shape = torch.tensor(place_shape(SHAPE, 32, 0.25), dtype=torch.float32).expand(3, 5, 2)
    np.testing.assert_allclose(placement.to_chip(shape).mean(1), points.mean(1), atol=1e-3)


def test_coinciding_landmarks_give_the_crop_of_the_mean_shape():
    crop, points = placed()
    points[1] = points[1, :1]
    points[2] = 0
    found = ShapePlacement(crop, points).matrices()
    np.testing.assert_allclose(found[1:], np.stack([crop.matrix] * 2), atol=1e-4)
    assert not np.allclose(found[0], crop.matrix, atol=0.01)


@pytest.mark.parametrize("lost", [torch.nan, torch.inf, 1e7])
def test_landmarks_that_are_not_found(lost):
    crop, points = placed()
    points[1, 3, 0] = lost
    placement = ShapePlacement(crop, points)
    assert placement.is_found.flatten().tolist() == [True, False, True]
    assert placement.matrices().isfinite().all()


@pytest.mark.parametrize("side", [48, 96])
def test_the_crop_of_a_placement_is_that_of_chips(side):
    crop, points = placed()
    rng = np.random.default_rng(0)
    small = rng.integers(0, 256, (3, 12, 12, 3), dtype=np.uint8)
    pixels = small.repeat(side // 12, 1).repeat(side // 12, 2)
    points = points * side / 200
    matrices = crop.matrices(3, torch.device("cpu"), points)
    scale = float(np.median(np.linalg.det(matrices[:, :, :2]) ** 0.5))
    known = Chips(pixels, np.eye(2, 3)[None].repeat(3, 0), ChipFrame(side, 0.5))
    wanted = known.sample(torch.arange(3), matrices, 32, scale)
    chips = _reduced(torch.from_numpy(pixels).permute(0, 3, 1, 2).float(), scale)
    assert (chips.shape[-1] < side) == (scale < 0.75)
    found = ShapePlacement(crop, points).sample(chips, side)
    # Rounded to grey levels there, and by OpenCV 4 at positions of whole 32nds of a pixel.
    np.testing.assert_allclose(found, wanted, atol=8 / 255)


def test_the_crop_of_the_box():
    matrix = np.array([[0.5, 0, 3], [0, 0.5, -2]], dtype=np.float32)
    found = FixedPlacement(matrix).to_chip(torch.tensor([[[3.0, 5.0]]]))
    np.testing.assert_allclose(found, [[[0.0, 14.0]]], atol=1e-5)


@pytest.mark.slow  # the exporter of torch takes seconds, however small the network
def test_three_stages_of_one_look_in_one_file(tmp_path):
    """Files of two looks, and for any number of chips, are those of other tests."""
    pytest.importorskip("onnxscript")
    pytest.importorskip("onnxruntime")
    faces = make_faces(12, random_state=0)
    regressor = CascadeLandmarkRegressor(
        networks=(
            partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32),
            partial(ShapeIndexedCNN, **{**SMALL, "n_steps": 1}),
            partial(
                PatchCNN, input_size=64, patch_size=16, width=8, n_blocks=1, n_steps=2, n_hidden=16
            ),
        ),
        max_epochs=2,
        batch_size=8,
        random_state=0,
        device="cpu",
        retry=False,
    )
    regressor.fit(faces.data, faces.target)
    regressor.set_params(average_mirrored=False)
    for network in regressor.networks_[1:]:
        shaken(network, by=0.03)
    to_onnx(regressor, tmp_path / "three.onnx", batch_size=len(faces.data))
    chips = cut_chips(faces.data, regressor._frame)
    wanted = regressor.predict(faces.data)
    for engine in filter(find_spec, ("onnxruntime", "openvino")):
        found = chips.to_image(run(engine, tmp_path / "three.onnx", chips.pixels))
        # Crops are rounded to whole grey levels in `predict`.
        np.testing.assert_allclose(found, wanted, atol=0.1)


def run(engine, path, pixels):
    if engine == "onnxruntime":
        import onnxruntime

        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        return session.run(None, {"chips": pixels})[0].astype(float)
    import openvino

    options = {"INFERENCE_PRECISION_HINT": "f32"}
    return openvino.Core().compile_model(path, "CPU", options)([pixels])["points"].astype(float)
