"""A batch that memory does not suffice for is split, with the same loss and the same step."""

import warnings
from functools import partial

import numpy as np
import pytest
import torch
from small import UNBENT

from skwing import CascadeLandmarkRegressor
from skwing._training import loop
from skwing.datasets import make_faces
from skwing.losses import wing
from skwing.networks import PlainCNN


class Small(torch.nn.Module):
    """A network with memory for a few samples only."""

    def __init__(self, limit, batch_norm=False):
        super().__init__()
        self.limit, self.sizes = limit, []
        norm = torch.nn.BatchNorm1d(12) if batch_norm else torch.nn.Identity()
        self.layers = torch.nn.Sequential(torch.nn.Linear(12, 12), norm, torch.nn.Linear(12, 6))

    def forward(self, images):
        self.sizes.append(len(images))
        if len(images) > self.limit:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return self.layers(images.flatten(1)).unflatten(1, (3, 2))


def batch(n=13, seed=0):
    generator = torch.Generator().manual_seed(seed)
    targets = 3 * torch.randn(n, 3, 2, generator=generator)
    targets[1, 2] = torch.nan
    targets[-4:] = torch.nan  # a part of the batch without any
    weights = torch.rand(n, generator=generator)
    return targets, weights, torch.randn(n, 3, 2, 2, generator=generator)


def steps(limit, weighted=True, n=3, **options):
    torch.manual_seed(0)
    network = Small(limit, **options)
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1, momentum=0.9)
    step = loop.TrainingStep(network, wing, optimizer)
    values = []
    for seed in range(n):
        targets, weights, images = batch(seed=seed)
        values.append(float(step(targets, weights if weighted else None, images)))
    return network, values


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("limit", [12, 6, 5, 3, 1])
def test_parts_of_a_batch_give_the_same_step(limit, weighted):
    whole, wanted = steps(99, weighted)
    with pytest.warns(UserWarning, match=r"on 13 samples at once: .* at a time") as told:
        split, found = steps(limit, weighted)
    assert len(told) == 1 and "same except for rounding" in str(told[0].message)
    np.testing.assert_allclose(found, wanted, rtol=1e-5)
    for one, other in zip(split.parameters(), whole.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    assert max(split.sizes[-3:]) <= limit  # later batches are split at once


def test_what_fits_is_not_split():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        network, _ = steps(13)
    assert network.sizes == [13] * 3


def test_statistics_of_parts_are_told():
    with pytest.warns(UserWarning, match="Batch normalisation uses the statistics of these parts"):
        steps(7, batch_norm=True)


def test_no_memory_for_one_sample_is_an_error():
    with pytest.raises(torch.OutOfMemoryError) as raised:
        steps(0)
    assert "one sample at a time" in raised.value.__notes__[0]


def test_a_fit_goes_on_with_parts(monkeypatch):
    X, y = make_faces(12, image_size=40, random_state=0, return_X_y=True)
    tiny = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
    settings = {**UNBENT, "networks": (tiny,), "max_epochs": 2, "batch_size": 12}
    reg = CascadeLandmarkRegressor(**settings, random_state=0, device="cpu")
    whole = reg.fit(X, y).history_
    real = PlainCNN.forward

    def forward(self, images):
        if self.training and len(images) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(self, images)

    monkeypatch.setattr(PlainCNN, "forward", forward)
    with pytest.warns(UserWarning, match="12 samples at once: steps compute 3 at a time") as told:
        split = reg.fit(X, y).history_
    assert len([t for t in told if "at a time" in str(t.message)]) == 1
    assert told[0].filename == __file__
    for one, other in zip(split, whole, strict=True):
        assert one["loss"] == pytest.approx(other["loss"], rel=1e-4)
