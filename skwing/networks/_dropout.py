"""Dropout as in :mod:`torch.nn.functional`, with the generator of the current fit."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from skwing._utils.parts import current_part
from skwing._utils.random import generator_on

if TYPE_CHECKING:
    from collections.abc import Sequence


def dropout(values: torch.Tensor, p: float, training: bool, axis: int = 0) -> torch.Tensor:
    """Set each element to zero with probability `p`, and scale the others by 1 / (1 - p).

    Parameters
    ----------
    values : float tensor
    p : float
    training : bool
        If False, the values are returned unchanged.
    axis : int, default=0
        Axis of the samples. For a part of a batch, see :mod:`skwing._utils.parts`, numbers of
        the whole batch are drawn.

    Returns
    -------
    values : tensor of the same shape
    """
    return _times_kept(values, values.shape, p, axis) if training and p > 0 else values


def dropout_rows(values: torch.Tensor, p: float, training: bool) -> torch.Tensor:
    """Dropout of complete rows (the last axis of `values`), see :func:`dropout`."""
    shape = (*values.shape[:-1], 1)
    return _times_kept(values, shape, p, 0) if training and p > 0 else values


def _times_kept(values: torch.Tensor, shape: Sequence[int], p: float, axis: int) -> torch.Tensor:
    generator, part = generator_on(values.device), current_part()
    if part is not None:
        shape = [part.n if i == axis else n for i, n in enumerate(shape)]
    # Drawn on the device, so that no synchronisation is needed.
    kept = torch.empty(shape, dtype=values.dtype, device=values.device)
    if values.device.type == "cpu":
        kept = _kept_by_bits(kept, p, generator)
    else:
        kept = kept.bernoulli_(1 - p, generator=generator)
        kept = kept.div_(1 - p) if p < 1 else kept
    if part is not None:
        kept = kept.narrow(axis, part.first, len(part))
    return values * kept


def _kept_by_bits(kept: torch.Tensor, p: float, generator: torch.Generator | None) -> torch.Tensor:
    """Fill with 0 or a factor, from 16 bits for each number: four of them are one draw.

    Probabilities are rounded to 1 / 65536.
    """
    n_kept = round((1 - p) * 2**16)
    draws = torch.empty(-(-kept.numel() // 4), dtype=torch.int64)
    draws.random_(-(2**63), None, generator=generator)
    bits = draws.view(torch.int16)[: kept.numel()].reshape(kept.shape)
    if n_kept in (0, 2**16):
        return kept.fill_(n_kept >> 16)
    return torch.lt(bits, n_kept - 2**15, out=kept).mul_(2**16 / n_kept)


class Dropout(nn.Dropout):
    """:func:`dropout` as a layer."""

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        """Apply dropout in training mode."""
        return dropout(values, self.p, self.training)
