"""Dropout as :mod:`torch.nn.functional` has it, from the generator of the fit that it is in."""

import torch
from torch import nn

from skwing._utils.random import generator_on


def dropout(values, p, training):
    """Leave out each number with probability `p`, and magnify the others by 1 / (1 - p).

    Parameters
    ----------
    values : float tensor
    p : float
    training : bool
        Without, the values are returned as they are.

    Returns
    -------
    values : tensor of the same shape
    """
    return _times_kept(values, torch.empty_like, p) if training and p > 0 else values


def dropout_rows(values, p, training):
    """Leave out whole rows, the last axis of `values`; otherwise as :func:`dropout`."""

    def one_a_row(values):
        return values.new_empty((*values.shape[:-1], 1))

    return _times_kept(values, one_a_row, p) if training and p > 0 else values


def _times_kept(values, empty, p):
    # On the device, in its turn: nothing waits for the numbers.
    kept = empty(values).bernoulli_(1 - p, generator=generator_on(values.device))
    return values * (kept.div_(1 - p) if p < 1 else kept)


class Dropout(nn.Dropout):
    """:func:`dropout` as a layer."""

    def forward(self, values):
        """Leave out numbers in training mode."""
        return dropout(values, self.p, self.training)
