import copy

import pytest
import torch
from torch import nn

from skwing.networks import NETWORKS, folded


def seasoned(network, seed=0):
    """A network whose batch normalisation has seen something."""
    generator = torch.Generator().manual_seed(seed)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight, module.bias, module.running_mean):
                tensor.data.add_(0.3 * torch.randn(tensor.shape, generator=generator))
            module.running_var.uniform_(0.5, 2, generator=generator)
    for parameter in network.parameters():
        if not parameter.any():
            parameter.data.add_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def small():
    torch.manual_seed(0)
    return seasoned(
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 3))
    )


def normalisations(network):
    return sum(isinstance(module, nn.BatchNorm2d) for module in network.modules())


IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(1))


@pytest.mark.parametrize("name", ["shape_indexed_64", "shape_indexed_128"])
def test_it_answers_the_same_without_normalisation(name):
    torch.manual_seed(0)
    network = seasoned(NETWORKS[name](5, batch_norm=True))
    before = copy.deepcopy(network.state_dict())
    twin = folded(network)
    assert normalisations(network) > normalisations(twin) == 0
    images = torch.rand(3, 3, network.input_size, network.input_size)
    with torch.no_grad():
        expected, found = network(images), twin(images)
    assert expected.std() > 1
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=0)
    for key, value in network.state_dict().items():
        assert torch.equal(value, before[key])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("affine", [True, False])
def test_each_kind_of_normalisation_is_folded(bias, affine):
    layers = nn.Conv2d(3, 4, 3, bias=bias), nn.BatchNorm2d(4, affine=affine, eps=0.1)
    network = nn.Sequential(*layers).train()
    network(IMAGES * 3)  # takes statistics
    if affine:
        layers[1].weight.data += 0.5
        layers[1].bias.data -= 0.5
    torch.testing.assert_close(folded(network.eval())(IMAGES), network(IMAGES))
    assert normalisations(folded(network)) == 0


def test_weights_that_are_no_parameters_stay():
    network = small()
    weight = network[0].weight.detach().clone()
    del network[0].weight
    network[0].weight = weight
    assert folded(network) is network


@pytest.mark.parametrize(
    "network",
    [
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.BatchNorm2d(4)),
        nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4, track_running_stats=False)),
        nn.ModuleList([nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)]),
    ],
    ids=["none", "not right after", "no statistics", "no order"],
)
def test_where_nothing_can_be_folded_it_is_the_network_itself(network):
    assert folded(network.eval()) is network


def doubled_in_place(network):
    with torch.no_grad():
        network[0].weight.mul_(2)


def doubled_behind_autograd(network):
    network[0].weight.data.mul_(2)


def other_statistics(network):
    network[1].running_mean.add_(1)


def other_weights(network):
    network[0].weight = nn.Parameter(torch.ones(4, 3, 3, 3))


@pytest.mark.parametrize(
    "change", [doubled_in_place, doubled_behind_autograd, other_statistics, other_weights]
)
def test_it_has_the_weights_of_now(change):
    network = small()
    before = folded(network)(IMAGES)
    change(network)
    torch.testing.assert_close(folded(network)(IMAGES), network(IMAGES))
    assert (folded(network)(IMAGES) - before).abs().max() > 0.01


def test_parts_that_are_watched_stay():
    network, seen = small(), []
    network[1].register_forward_hook(lambda *_: seen.append("normalisation"))
    network[3].register_forward_hook(lambda *_: seen.append("last"))
    folded(network)(IMAGES)
    assert seen == ["normalisation", "last"]


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize("norm", [nn.utils.weight_norm, nn.utils.parametrizations.weight_norm])
def test_weights_that_are_made_anew_each_time_stay(norm):
    network = small()
    norm(network[0])
    assert folded(network) is network


def test_a_network_made_in_inference_mode():
    with torch.inference_mode():
        network = small()
        torch.testing.assert_close(folded(network)(IMAGES), network(IMAGES))


def test_a_network_in_training_is_refused():
    with pytest.raises(ValueError, match="Sequential is in training mode"):
        folded(small().train())
