import importlib
import os
from pathlib import Path

import pytest
import torch
from small import build_small

from skwing.networks import NETWORKS

os.environ.setdefault("MPLBACKEND", "Agg")


NAMED = dict(NETWORKS)


@pytest.fixture(scope="module", autouse=True)
def small_networks():
    """Commands build small networks in place of those with a name, in this process."""
    with pytest.MonkeyPatch.context() as patch:
        build_small(patch)
        yield


@pytest.fixture
def named_networks(monkeypatch):
    """Commands build the networks with a name after all."""
    for name, build in NAMED.items():
        monkeypatch.setitem(NETWORKS, name, build)


@pytest.fixture(scope="module")
def load():
    """Import a module of the benchmarks by its name."""
    threads = torch.get_num_threads()
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(Path(__file__).parents[1])
        yield importlib.import_module
    torch.set_num_threads(threads)
