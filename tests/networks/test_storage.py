from functools import partial

import numpy as np
import pytest
import torch

from skwing.networks import PlainCNN
from skwing.networks._storage import as_arrays, rebuild

PLAIN = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)


def test_a_network_comes_back_from_its_arrays():
    network = PLAIN(3).eval()
    arrays = as_arrays(network)
    assert all(isinstance(value, np.ndarray) for value in arrays.values())
    images = torch.rand(2, 3, 16, 16)
    torch.testing.assert_close(rebuild(PLAIN, 3, arrays)(images), network(images), rtol=0, atol=0)


@pytest.mark.parametrize("other", [{"widths": (8, 8)}, {"batch_norm": True}])
def test_weights_of_another_network_are_refused(other):
    arrays = as_arrays(PLAIN(3))
    with pytest.raises(ValueError, match=r"do not fit the PlainCNN .* another version of skwing"):
        rebuild(partial(PLAIN, **other), 3, arrays)
