import pickle
import zipfile
from functools import partial

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from skwing import CascadeLandmarkRegressor
from skwing.datasets import make_faces
from skwing.networks import ResNet, check_network, locate, resnet50, start_at
from skwing.networks._resnet import without_weights

SMALL = {"n_blocks": (1, 2, 1, 1), "width": 4, "input_size": 64}


def small(n_landmarks=3, **settings):
    torch.manual_seed(0)
    return resnet50(n_landmarks, **{**SMALL, **settings})


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def scramble(network):
    """Fill every weight and statistic with random numbers."""
    generator = torch.Generator().manual_seed(1)
    for key, value in network.state_dict().items():
        if value.is_floating_point():
            value.copy_(torch.rand(value.shape, generator=generator) - 0.4)
            if key.endswith("running_var"):
                value.add_(1.0)
    return network.eval()


def backbone(network):
    state = {k: v.clone() for k, v in network.state_dict().items()}
    return {key: value for key, value in state.items() if not key.startswith("output.")}


@pytest.fixture
def published():
    """State dict as published for a small ResNet: with a classifier."""
    state = backbone(scramble(small()))
    return {**state, "fc.weight": torch.rand(10, 128), "fc.bias": torch.rand(10)}


@pytest.fixture
def weights(published, tmp_path):
    torch.save(published, tmp_path / "resnet.pth")
    return tmp_path / "resnet.pth"


# The model of 1000 classes has 25,557,032 parameters, as the documentation of torchvision
# says, 1000 * (2048 + 1) of them in its classifier.
@pytest.mark.slow
def test_it_has_the_parameters_of_resnet_50():
    network = resnet50(68)
    assert n_parameters(network) - n_parameters(network.output) == 25_557_032 - 2_049_000
    assert n_parameters(network.output) == 136 * 2049


def block_keys(group, block, has_downsample):
    convolutions = [("conv1", "bn1"), ("conv2", "bn2"), ("conv3", "bn3")]
    convolutions += [("downsample.0", "downsample.1")] * has_downsample
    return {
        f"layer{group}.{block}.{part}"
        for conv, norm in convolutions
        for part in (f"{conv}.weight", *norm_keys(norm))
    }


def norm_keys(norm):
    parts = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    return {f"{norm}.{part}" for part in parts}


@pytest.mark.slow
def test_its_parts_have_the_names_of_torchvision():
    expected = {"conv1.weight", *norm_keys("bn1"), "output.weight", "output.bias"}
    for group, n in enumerate((3, 4, 6, 3), 1):
        for block in range(n):
            expected |= block_keys(group, block, has_downsample=block == 0)
    assert len(expected) == 320
    assert set(resnet50(5).state_dict()) == expected


def convolve(x, state, conv, norm, stride=1, relu=True):
    weight = state[f"{conv}.weight"]
    x = F.conv2d(x, weight, stride=stride, padding=weight.shape[-1] // 2)
    parts = (state[f"{norm}.{p}"] for p in ("running_mean", "running_var", "weight", "bias"))
    x = F.batch_norm(x, *parts)
    return F.relu(x) if relu else x


def test_the_layers_are_those_of_version_1_5():
    network = scramble(small())
    state, images = network.state_dict(), torch.rand(2, 3, 64, 64)
    mean, std = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
    x = torch.stack([(images[:, i] - mean[i]) / std[i] for i in range(3)], 1)
    x = F.max_pool2d(convolve(x, state, "conv1", "bn1", 2), 3, 2, 1)
    for group, n in enumerate(SMALL["n_blocks"], 1):
        for block in range(n):
            name = f"layer{group}.{block}"
            stride = 2 if group > 1 and block == 0 else 1
            y = convolve(x, state, f"{name}.conv1", f"{name}.bn1")
            y = convolve(y, state, f"{name}.conv2", f"{name}.bn2", stride)  # the stride is here
            y = convolve(y, state, f"{name}.conv3", f"{name}.bn3", relu=False)
            if block == 0:
                down = (f"{name}.downsample.0", f"{name}.downsample.1")
                x = convolve(x, state, *down, stride, relu=False)
            x = F.relu(x + y)
    assert x.shape == (2, 128, 2, 2)
    expected = F.linear(x.mean((2, 3)), state["output.weight"], state["output.bias"])
    torch.testing.assert_close(network(images), expected.reshape(2, 3, 2), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("input_size", [33, 96, 224])
def test_inputs_of_any_size_above_32(input_size):
    network = small(5, input_size=input_size)
    assert network.input_size == input_size
    assert network(torch.rand(1, 3, input_size, input_size)).shape == (1, 5, 2)


def test_sizes_that_leave_nothing_are_refused():
    with pytest.raises(ValueError, match="input_size must be above 32, got 32"):
        small(input_size=32)
    with pytest.raises(ValueError, match="n_landmarks must be at least 1, got 0"):
        small(0)


@pytest.mark.slow
def test_it_is_built_by_name():
    assert isinstance(check_network("resnet50")(4), ResNet)
    assert isinstance(check_network(partial(resnet50, **SMALL))(4), ResNet)


def test_training_starts_at_the_given_points_and_every_layer_learns():
    network, points = small(), torch.tensor([[1.0, 2.0], [30.0, 40.0], [63.0, 0.0]])
    images = torch.rand(4, 3, 64, 64)
    assert start_at(network, points)
    assert torch.equal(network(images), points.expand(4, 3, 2))
    before = [p.detach().clone() for p in network.parameters()]
    optimizer = torch.optim.Adam(network.parameters())
    for _ in range(4):  # the output, the blocks' last norms, what lies before those
        optimizer.zero_grad()
        (network(images) - 64 * images[:, 0, :3, :2]).abs().mean().backward()
        optimizer.step()
    for old, new in zip(before, network.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_coordinates_are_float32_under_mixed_precision():
    network = small().eval()
    points = torch.tensor([[100.3, 2.0], [30.0, 100.4], [63.0, 0.0]])
    start_at(network, points)
    with torch.autocast("cpu", torch.bfloat16):
        answer = network(torch.rand(1, 3, 64, 64))
    assert answer.dtype == torch.float32
    assert torch.equal(answer[0], points)


def test_a_file_of_weights_fills_all_but_the_output(weights, published):
    network = small(weights=weights)
    for key, value in backbone(network).items():
        assert torch.equal(value, published[key])
    torch.testing.assert_close(network.output.weight, small().output.weight)
    assert network.training


def test_old_files_without_counters_of_batches_are_read(published, tmp_path):
    old = {k: v for k, v in published.items() if not k.endswith("num_batches_tracked")}
    torch.save(old, tmp_path / "old.pth", _use_new_zipfile_serialization=False)
    network = small(weights=str(tmp_path / "old.pth"))
    assert torch.equal(network.layer4[0].bn3.bias, published["layer4.0.bn3.bias"])


def test_safetensors_are_read(published, tmp_path):
    library = pytest.importorskip("safetensors.torch")
    library.save_file(published, tmp_path / "resnet.safetensors")
    network = small(weights=tmp_path / "resnet.safetensors")
    assert torch.equal(network.conv1.weight, published["conv1.weight"])


def test_a_missing_file_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.pth"):
        small(weights=tmp_path / "none.pth")


def without(*keys):
    return lambda state: {k: v for k, v in state.items() if k not in keys}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (without("conv1.weight"), r"1 parameters are missing: conv1\.weight$"),
        (
            lambda s: {f"module.{k}": v for k, v in s.items()},
            r"parameters are missing: conv1\.weight, .*, \.\.\.; .* unknown: module\.conv1\.weight",
        ),
        (
            lambda s: {**s, "bn1.bias": torch.zeros(64)},
            r"1 shapes: bn1\.bias has shape \(64,\), expected \(4,\)",
        ),
        (lambda s: {**s, "bn1.bias": torch.full((4,), np.nan)}, r"not finite, in bn1\.bias"),
        (lambda s: {"state_dict": s}, "contains keys state_dict, expected a state dict"),
        (lambda s: list(s.values()), "contains a list, expected a state dict"),
        (lambda s: {}, r"\d+ parameters are missing"),
    ],
)
def test_what_does_not_fit_is_named(published, tmp_path, change, message):
    torch.save(change(published), tmp_path / "odd.pth")
    with pytest.raises(ValueError, match=rf"odd\.pth.*{message}"):
        small(weights=tmp_path / "odd.pth")


class Boom:
    def __reduce__(self):
        return exec, ("raise SystemExit('code from the file was run')",)


@pytest.mark.parametrize("name", ["odd.pth", "odd.safetensors"])
@pytest.mark.parametrize("kind", ["code", "cut", "text", "empty", "zip"])
def test_broken_and_hostile_files_are_refused_and_run_no_code(weights, name, kind, tmp_path):
    if name.endswith(".safetensors"):
        pytest.importorskip("safetensors")
    path = tmp_path / name
    if kind == "code":
        torch.save({"conv1.weight": Boom()}, path)
    elif kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", pickle.dumps(Boom()))
    else:
        whole = weights.read_bytes()
        path.write_bytes({"cut": whole[:5000], "text": b"not a model", "empty": b""}[kind])
    with pytest.raises(ValueError, match=r"odd\.\w+ cannot be read as a file of weights"):
        small(weights=path)


def test_inside_without_weights_no_file_is_read(tmp_path):
    with without_weights():
        small(weights=tmp_path / "none.pth")
    with pytest.raises(FileNotFoundError):
        small(weights=tmp_path / "none.pth")


def regressor(*networks):
    return CascadeLandmarkRegressor(
        networks=networks, max_epochs=1, batch_size=4, device="cpu", random_state=0
    )


@pytest.mark.slow
@pytest.mark.parametrize("before", [(), ("cnn6",)])
def test_alone_and_as_a_second_stage_and_stored_without_its_file(before, weights):
    faces = make_faces(6, random_state=0, image_size=64)
    reg = regressor(*before, partial(resnet50, weights=weights, **SMALL))
    reg.fit(faces.data, faces.target)
    answer = reg.predict(faces.data)
    # Training hardly began: about the shape that it starts from.
    assert np.abs(answer - faces.target).mean() < 10
    stored = pickle.dumps(reg)
    weights.unlink()
    np.testing.assert_array_equal(pickle.loads(stored).predict(faces.data), answer)
    with pytest.raises(FileNotFoundError, match=r"resnet\.pth"):
        reg.fit(faces.data, faces.target)


def test_a_user_of_other_weights_sets_how_their_images_were_normalised():
    network = scramble(small(mean=(0, 0, 0), std=(1, 1, 1)))
    usual, images = scramble(small()), torch.rand(1, 3, 64, 64)
    again = (images - usual.mean) / usual.std
    torch.testing.assert_close(locate(network, again), locate(usual, images))
