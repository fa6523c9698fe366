import warnings
from functools import partial

import numpy as np
import pytest
import torch
from small import first_fast
from torch import nn
from torch.nn import functional as F

from skwing.networks import NETWORKS, PlainCNN, check_network, cnn6, cnn7, locate, start_at
from skwing.networks._contract import check_trainable, patch_size_of

WIDTHS = {"cnn6": (32, 64, 128, 256, 512), "cnn7": (64, 64, 128, 256, 512, 512)}
SIZES = {
    "cnn6": 64,
    "cnn7": 128,
    "cnn6_plain": 64,
    "cnn7_plain": 128,
    "shape_indexed_64": 64,
    "shape_indexed_64_coarse": 64,
    "shape_indexed_64_small": 64,
    "shape_indexed_128": 128,
    "shape_indexed_128_small": 128,
    "patches_256": 256,
    "resnet50": 224,
}


def n_parameters(network):
    return sum(p.numel() for p in network.parameters())


def expected_parameters(widths, n_landmarks, batch_norm=False):
    """Layer by layer: 3x3 kernels and a bias (or a scale and a shift), a 2x2 last map."""
    inputs = (3, *widths[:-1])
    convolutions = sum(9 * a * b + b for a, b in zip(inputs, widths, strict=True))
    extra = sum(widths) if batch_norm else 0
    hidden = 4 * widths[-1] * 1024 + 1024
    return convolutions + extra + hidden + 1024 * 2 * n_landmarks + 2 * n_landmarks


def as_module(answer, input_size=16):
    """Network whose forward pass is `answer`."""
    network = nn.Module()
    network.forward = answer
    if input_size is not None:
        network.input_size = input_size
    return network


# Counts for AFLW, COFW, 300-W and WFLW, worked out by hand from Figure 2 of the paper.
@pytest.mark.parametrize(
    ("n_landmarks", "count"), [(19, 3_705_702), (29, 3_726_202), (68, 3_806_152), (98, 3_867_652)]
)
def test_cnn6_has_the_parameters_of_the_papers_figure(n_landmarks, count):
    assert n_parameters(cnn6(n_landmarks)) == count


def test_cnn7_has_the_parameters_of_its_widths():
    assert n_parameters(cnn7(68)) == 6_185_288


@pytest.mark.parametrize("name", ["cnn6", "cnn7"])
@pytest.mark.parametrize("batch_norm", [False, True])
@pytest.mark.parametrize("n_landmarks", [1, 68])
def test_parameters_follow_the_layer_formulas(name, batch_norm, n_landmarks):
    network = NETWORKS[name](n_landmarks, batch_norm=batch_norm)
    assert n_parameters(network) == expected_parameters(WIDTHS[name], n_landmarks, batch_norm)


@pytest.mark.parametrize("name", first_fast(NETWORKS))
def test_every_named_network_maps_images_to_points(name):
    network = NETWORKS[name](29).eval()
    size = network.input_size
    assert size == SIZES[name]
    patch = patch_size_of(network)
    shape = (2, 3, size, size) if patch is None else (2, 29, 3, patch, patch)
    assert network(torch.rand(shape)).shape == (2, 29, 2)


def test_gray_images_have_one_channel():
    assert cnn6(5, in_channels=1)(torch.rand(2, 1, 64, 64)).shape == (2, 5, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["cnn6", "cnn7"])
def test_plain_network_is_the_papers_order_of_layers(name):
    torch.manual_seed(0)
    network = NETWORKS[f"{name}_plain"](68)
    x = images = torch.rand(3, 3, SIZES[name], SIZES[name])
    for layer in network.features:
        if isinstance(layer, nn.Conv2d):
            x = F.max_pool2d(F.relu(F.conv2d(x, layer.weight, layer.bias, padding=1)), 2)
    assert x.shape == (3, 512, 2, 2)
    x = network.output(F.relu(network.hidden(x.flatten(1))))
    torch.testing.assert_close(network(images), x.reshape(3, 68, 2), rtol=0, atol=0)


def test_he_initialisation():
    torch.manual_seed(0)
    network = cnn7(68)
    for layer in (m for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)):
        fan_in = layer.weight[0].numel()
        assert layer.weight.detach().std() == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)
        assert not layer.bias.any()


def test_batch_norm_takes_the_place_of_the_convolutions_bias():
    network = cnn6(5, batch_norm=True)
    assert all(m.bias is None for m in network.modules() if isinstance(m, nn.Conv2d))
    assert sum(isinstance(m, nn.BatchNorm2d) for m in network.modules()) == 5


@pytest.mark.parametrize(("name", "batch_norm"), [("cnn6", False), ("cnn7", True)])
def test_training_starts_at_the_given_points_for_any_image(name, batch_norm):
    network = NETWORKS[name](4, batch_norm=batch_norm)
    points = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0], [7.0, 8.0]])
    assert start_at(network, points)
    answer = network(torch.rand(3, 3, network.input_size, network.input_size))
    np.testing.assert_array_equal(answer.detach(), np.broadcast_to(points, (3, 4, 2)))


def test_every_layer_learns_after_the_start():
    torch.manual_seed(0)
    network = cnn6(4)
    start_at(network, torch.full((4, 2), 32.0))
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4)
    before = [p.detach().clone() for p in network.parameters()]
    images, points = torch.rand(4, 3, 64, 64), 64 * torch.rand(4, 4, 2)
    for _ in range(2):
        optimizer.zero_grad()
        (network(images) - points).abs().sum().backward()
        optimizer.step()
    for old, new in zip(before, network.parameters(), strict=True):
        assert not torch.equal(old, new)


def test_start_at_leaves_a_network_without_a_linear_output_alone():
    network = nn.Sequential(nn.Flatten(), nn.Linear(12, 4))
    before = network[1].weight.clone()
    assert not start_at(network, np.ones((2, 2)))
    assert torch.equal(network[1].weight, before)


def test_start_at_leaves_an_own_network_alone_whatever_its_layers_are_called():
    network = nn.Sequential()
    network.features, network.output = nn.Flatten(), nn.Linear(12, 4)
    network.register_buffer("start", torch.ones(2, 2))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    assert not start_at(network, np.zeros((2, 2)))
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_an_own_network_says_how_it_starts():
    class Own(nn.Linear):
        def start_at(self, points):
            self.bias.copy_(points.flatten())

    network = Own(12, 4)
    assert start_at(network, np.array([[1, 2], [3, 4]]))
    assert network.bias.tolist() == [1, 2, 3, 4]


def test_start_at_names_both_counts_when_they_differ():
    with pytest.raises(ValueError, match=r"8 outputs.*\(3, 2\).*6"):
        start_at(cnn6(4), np.ones((3, 2)))


@pytest.mark.slow
def test_a_name_gives_the_registered_builder():
    for name, builder in NETWORKS.items():
        built, registered = check_network(name)(5), builder(5)
        assert type(built) is type(registered)
        assert list(built.state_dict()) == list(registered.state_dict())


def test_a_callable_is_built_and_checked():
    wide = partial(PlainCNN, widths=(4, 8), input_size=16)
    network = check_network(wide)(7)
    assert network.training
    assert locate(network, torch.rand(2, 3, 16, 16)).shape == (2, 7, 2)


def test_a_flat_answer_is_read_as_x0_y0_x1_y1():
    network = check_network(lambda n: as_module(lambda x: torch.arange(2.0 * n)[None]))(3)
    assert locate(network, torch.zeros(1, 3, 16, 16)).tolist() == [[[0, 1], [2, 3], [4, 5]]]


def test_trying_a_network_draws_no_random_numbers_and_moves_no_statistics():
    class Small(nn.Sequential):
        input_size = 8

    network = Small(nn.BatchNorm2d(3), nn.Flatten(), nn.Dropout(), nn.Linear(192, 4))
    network[0].bias.data.fill_(1.0)
    state = torch.random.get_rng_state()
    assert check_network(lambda n: network)(2) is network
    assert torch.equal(torch.random.get_rng_state(), state)
    assert network[0].num_batches_tracked == 0
    assert network.training


@pytest.mark.parametrize(
    ("network", "error", "message"),
    [
        ("cnn8", ValueError, "unknown network 'cnn8': choose from 'cnn6', 'cnn7', 'cnn6_plain"),
        (6, TypeError, "a name or a callable .* got 6"),
        (nn.Identity(), TypeError, "instance of Identity"),
    ],
)
def test_what_is_no_builder_is_refused(network, error, message):
    with pytest.raises(error, match=message):
        check_network(network)


@pytest.mark.parametrize(
    ("builder", "error", "message"),
    [
        (lambda n: None, TypeError, r"must return a torch\.nn\.Module, got NoneType"),
        (lambda n: as_module(lambda x: x, None), ValueError, "input_size, .* found None"),
        (lambda n: as_module(lambda x: x, 16.0), ValueError, r"input_size, .* found 16\.0"),
        (lambda n: as_module(lambda x: x, 0), ValueError, "input_size, .* found 0"),
        (
            lambda n: as_module(lambda x: torch.zeros(len(x), n)),
            ValueError,
            r"shape \(1, 5\) for one image; expected \(1, 5, 2\) or \(1, 10\) for 5 landmarks",
        ),
        (
            lambda n: as_module(lambda x: torch.zeros(len(x), 2, n)),
            ValueError,
            r"shape \(1, 2, 5\) for one image; expected",
        ),
        (lambda n: as_module(lambda x: (x, x)), TypeError, r"a tuple, expected a .*\(1, 5, 2\)"),
        (
            lambda n: as_module(lambda x: x @ torch.zeros(3, 3)),
            ValueError,
            r"failed for an image of shape \(1, 3, \d+, \d+\): RuntimeError: ",
        ),
    ],
)
def test_a_network_that_does_not_fit_is_refused_when_built(builder, error, message):
    with pytest.raises(error, match=message):
        check_network(builder)(5)


def test_networks_that_training_does_not_change_are_told():
    trained, detached = cnn6(2), cnn6(2)
    detached.register_forward_hook(lambda network, images, points: points.detach())
    for network in (cnn6(2).requires_grad_(False), detached):
        with pytest.warns(UserWarning, match=r"networks\[1\]: the output of PlainCNN has no grad"):
            check_trainable([trained, network], 2)
    trained.output.requires_grad_(False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_trainable([trained, cnn6(2)], 2)
    with pytest.raises(ValueError, match=r"networks\[1\]: the same PlainCNN"):
        check_trainable([trained, trained], 2)


def test_sizes_that_can_not_be_halved_are_refused():
    with pytest.raises(ValueError, match="input_size=50 cannot be halved 5 times"):
        PlainCNN(5, widths=(32, 64, 128, 256, 512), input_size=50)
    with pytest.raises(ValueError, match="n_landmarks must be at least 1, got 0"):
        cnn6(0)
