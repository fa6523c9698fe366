import os
import sys
from pathlib import Path

import hypothesis
import pytest
import torch

os.environ.setdefault("MPLBACKEND", "Agg")
# The networks of the tests are so small that more threads only wait for each other.
torch.set_num_threads(1)

# A busy machine is no failure.
hypothesis.settings.register_profile("no deadline", deadline=None, max_examples=50)
hypothesis.settings.load_profile("no deadline")


def pytest_collection_modifyitems(items):
    if not torch.cuda.is_available():
        for item in items:
            if item.get_closest_marker("gpu"):
                item.add_marker(pytest.mark.skip(reason="needs a CUDA device"))


@pytest.fixture(autouse=True)
def no_open_figures():
    yield
    if (pyplot := sys.modules.get("matplotlib.pyplot")) is not None:
        pyplot.close("all")


@pytest.fixture(scope="session")
def data_dir():
    """Folder of real data, named by SKWING_DATA; tests that ask for it are skipped without."""
    folder = os.environ.get("SKWING_DATA")
    if not folder or not Path(folder).is_dir():
        pytest.skip("SKWING_DATA does not name a folder of data sets")
    return Path(folder)
