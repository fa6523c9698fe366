"""Weights of a network in training: whether they are numbers, and those to fall back on."""

import copy
import math

import torch


class Diverged(ValueError):
    """Training left weights or predictions that are of no use.

    Attributes
    ----------
    epoch : int
        In which it was found; 0 before the first.
    """

    epoch = 0


def finite_parts(network):
    """Names of the weights and buffers of a network that hold finite numbers only.

    A buffer may hold infinities by design, as masks of attention do: what is not finite
    before training says nothing after it.
    """
    return [name for name, value in _numbers(network) if bool(value.isfinite().all())]


def broken_part(network, names):
    """First of those parts of a network that is not finite any more, or None."""
    parts = dict(_numbers(network))
    names = [name for name in names if name in parts]
    if not names:
        return None
    # Stacked, as each number that is read off a GPU waits for it.
    sound = torch.stack([parts[name].isfinite().all() for name in names]).tolist()
    return next((name for name, is_sound in zip(names, sound, strict=True) if not is_sound), None)


def _numbers(network):
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if value.is_floating_point():
            yield name, value.detach()


class EpochWeights:
    """Weights at the ends of epochs: the last ones and the best, for a training to fall back on.

    Parameters
    ----------
    network : torch.nn.Module
        Its weights at the start count as the last ones until the first epoch has ended.
    """

    def __init__(self, network):
        self._network = network
        self._last = self._best = copy.deepcopy(network.state_dict())
        self._least = math.inf

    def update(self, error):
        """Keep the weights of now; True if their error is the least so far."""
        self._last = copy.deepcopy(self._network.state_dict())
        is_best = error < self._least
        if is_best:
            self._least, self._best = error, self._last
        return is_best

    def forget_best(self):
        """Look for the best weights among those that follow."""
        self._least = math.inf

    def restore_last(self):
        """Put the weights of the last whole epoch back."""
        self._network.load_state_dict(self._last)

    def restore_best(self):
        """Put the best weights back; the last ones if no error was a number."""
        self._network.load_state_dict(self._best if self._least < math.inf else self._last)
