"""Order in which training draws samples, and the place in it."""

import math

import torch

_MOST_WAITING = 10**7  # maximum number of draws that are shuffled at once


class EndlessDraws:
    """Infinite iterator over batches of indices.

    Each pass draws sample i ``repeats[i]`` times, in random order. All batches are full, as
    they may extend over two passes. Very long passes are divided into parts with the same
    proportions of samples.

    Parameters
    ----------
    repeats : int tensor of shape (n,)
    batch_size : int
        Number of indices of a batch, an int tensor of shape (batch_size,).
    generator : torch.Generator

    Raises
    ------
    ValueError
        If all repeats are 0.
    """

    def __init__(self, repeats, batch_size, generator):
        if not repeats.any():
            raise ValueError("the repeats of all training samples are 0: none would be drawn")
        self._n_parts = math.ceil(int(repeats.sum()) / _MOST_WAITING)
        self._repeats = repeats.int() if self._n_parts == 1 else repeats
        self._batch_size, self._generator = batch_size, generator
        self._part, self._offsets = 0, None
        self._waiting = torch.empty(0, dtype=torch.int32)

    def __iter__(self):
        return self

    def __next__(self):
        while len(self._waiting) < self._batch_size:
            pool = self._next_pool()
            order = torch.randperm(len(pool), generator=self._generator, dtype=torch.int32)
            self._waiting = torch.cat([self._waiting, pool.index_select(0, order)])
        batch = self._waiting[: self._batch_size].long()
        self._waiting = self._waiting[self._batch_size :]
        return batch

    def state(self):
        """Place in the draws, without the state of the generator, see :meth:`load`."""
        return {"waiting": self._waiting, "part": self._part, "offsets": self._offsets}

    def load(self, state):
        """Continue from the result of :meth:`state`."""
        self._waiting, self._part, self._offsets = (
            state[name] for name in ("waiting", "part", "offsets")
        )

    def _next_pool(self):
        """Indices of the next part of a pass with their repeats."""
        if self._n_parts == 1:
            return torch.repeat_interleave(self._repeats)
        if self._part == 0:
            # Rounding has a random offset; otherwise all samples with one repeat would be in the
            # last part.
            self._offsets = torch.randint(
                self._n_parts, self._repeats.shape, generator=self._generator
            )
        n_drawn = self._n_drawn(self._part + 1) - self._n_drawn(self._part)
        self._part = (self._part + 1) % self._n_parts
        return torch.repeat_interleave(n_drawn.int())

    def _n_drawn(self, part):
        """Number of draws of each sample in the first parts of a pass."""
        whole, rest = self._repeats // self._n_parts, self._repeats % self._n_parts
        return whole * part + (rest * part + self._offsets) // self._n_parts


def with_places(batches, draws, generator):
    """Iterator over batches, each with the place in the draws after it was made, for :func:`go_to`.

    `draws` and `generator` are the sources of their indices and of all random numbers.
    """
    for batch in batches:
        yield batch, place_of(draws, generator)


def place_of(draws, generator):
    """Present place in the draws."""
    return {**draws.state(), "generator": generator.get_state()}


def go_to(place, draws, generator):
    """Continue from a place in the draws."""
    draws.load(place)
    generator.set_state(place["generator"])


class Taken:
    """Iterator over batches with the attribute `place`, that after the last batch taken.

    Other batches may have been made in advance; the generator is then further. It takes the result
    of :func:`with_places`, and the place before the first batch.
    """

    def __init__(self, pairs, place):
        self._pairs, self.place = pairs, place

    def __next__(self):
        batch, self.place = next(self._pairs)
        return batch
