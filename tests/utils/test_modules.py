from torch import nn

from skwing._utils.modules import modules_of


def test_modules_are_those_of_torch():
    shared = nn.Linear(2, 2)
    network = nn.Sequential(nn.Sequential(shared, nn.ReLU()), shared, nn.ModuleList([nn.Tanh()]))
    network[0].nothing = None
    network[0].register_module("absent", None)
    found = modules_of(network)
    assert found[0] is network
    assert len(found) == 6
    assert set(found) == set(network.modules())
