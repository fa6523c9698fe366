"""Parts of batches: the rows that one of several processes or threads computes.

All of them draw the random numbers of the whole batch, and use those of their rows.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from collections.abc import Iterator

_PART: ContextVar[Part | None] = ContextVar("_PART", default=None)
_EXCHANGE: ContextVar[Exchange | None] = ContextVar("_EXCHANGE", default=None)


class Exchange(Protocol):
    """What those that compute the parts of a batch exchange tensors by, all in the same order."""

    def gathered(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Tensors of all, in the order of the parts."""

    def added(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum of the tensors of all; may change the tensor."""


@dataclass(frozen=True)
class Part:
    """Consecutive rows of a batch.

    Attributes
    ----------
    n : int
        Number of rows of the whole batch.
    first, last : int
        First row, and the row after the last one.

    Examples
    --------
    >>> from skwing._utils.parts import Part
    >>> end = Part(5, 3, 5)
    >>> end.rows.tolist(), end.with_next.tolist(), len(end)
    ([3, 4], [3, 4, 0], 2)
    >>> end.times(2)
    Part(n=10, first=6, last=10)
    """

    n: int
    first: int
    last: int

    @classmethod
    def whole(cls, n: int) -> Part:
        """All rows of a batch."""
        return cls(n, 0, n)

    @classmethod
    def of(cls, n: int, number: int, n_parts: int) -> Part:
        """One of several parts of nearly equal size, by its number from 0."""
        return cls(n, n * number // n_parts, n * (number + 1) // n_parts)

    def __len__(self) -> int:
        return self.last - self.first

    @property
    def is_whole(self) -> bool:
        """Whether these are all rows."""
        return len(self) == self.n

    @cached_property
    def rows(self) -> torch.Tensor | slice:
        """Index of the rows; a slice if these are all."""
        return slice(None) if self.is_whole else torch.arange(self.first, self.last)

    @cached_property
    def with_next(self) -> torch.Tensor | slice:
        """Index of the rows and of the next one, where the first row comes after the last."""
        if self.is_whole:
            return slice(None)
        return torch.arange(self.first, self.last + 1) % self.n

    def times(self, n_each: int) -> Part:
        """The part of a batch with a number of rows for each row of this one."""
        return Part(n_each * self.n, n_each * self.first, n_each * self.last)


@contextlib.contextmanager
def computing(part: Part | None, exchange: Exchange | None) -> Iterator[None]:
    """Context manager in which networks are run on a part of a batch.

    Parameters
    ----------
    part : Part or None
        None is a whole batch.
    exchange : Exchange or None
        For statistics of the whole batch, see :func:`current_exchange`.
    """
    tokens = _PART.set(part), _EXCHANGE.set(exchange)
    try:
        yield
    finally:
        _PART.reset(tokens[0])
        _EXCHANGE.reset(tokens[1])


def current_part() -> Part | None:
    """Part of a batch that networks are run on; None for a whole one."""
    part = _PART.get()
    return None if part is None or part.is_whole else part


def current_exchange() -> Exchange | None:
    """Exchange with the other parts of a batch; None outside of `computing`."""
    return _EXCHANGE.get()
