"""Weights of a network in training: checks for finite values, and restoring of epochs."""

import copy
import math

import torch


class Diverged(ValueError):
    """Error for training that diverged, with unusable weights or predictions.

    Attributes
    ----------
    epoch : int
        Epoch in which divergence was detected; 0 before the first.
    """

    epoch = 0


def finite_parts(network):
    """Names of the weights and buffers of a network with finite values only.

    Some buffers contain infinities by design, such as attention masks; they are not checked
    after training.
    """
    return [name for name, value in _numbers(network) if bool(value.isfinite().all())]


def broken_part(network, names):
    """First of the given parameters or buffers that is not finite any more, or None."""
    parts = dict(_numbers(network))
    names = [name for name in names if name in parts]
    if not names:
        return None
    # Stack, because reading each number separately would force a GPU sync each time.
    sound = torch.stack([parts[name].isfinite().all() for name in names]).tolist()
    return next((name for name, is_sound in zip(names, sound, strict=True) if not is_sound), None)


def _numbers(network):
    for name, value in (*network.named_parameters(), *network.named_buffers()):
        if value.is_floating_point():
            yield name, value.detach()


class EpochWeights:
    """Copies of the weights after the last and after the best epoch, for restoring.

    Until the first epoch is completed, the last ones are the initial weights of the network.
    """

    def __init__(self, network):
        self._network = network
        self._last = self._best = _state_of(network)
        self._least = math.inf

    def update(self, error):
        """Store the current weights; return whether their error is the smallest so far."""
        self._last = _state_of(self._network)
        is_best = error < self._least
        if is_best:
            self._least, self._best = error, self._last
        return is_best

    def forget_best(self):
        """Restrict the best weights to those of later epochs."""
        self._least = math.inf

    def restore_last(self):
        """Restore the weights of the last complete epoch."""
        self._network.load_state_dict(self._last)

    def restore_best(self):
        """Restore the best weights, or the last ones if all errors were NaN."""
        self._network.load_state_dict(self._best if self._least < math.inf else self._last)

    def state(self):
        """Both copies and the smallest error, see :meth:`load`."""
        best = None if self._best is self._last else dict(self._best)
        return {"last": dict(self._last), "best": best, "least": self._least}

    def load(self, state):
        """Set the copies from the result of :meth:`state`."""
        self._last = _copied(self._last, state["last"])
        best = state["best"]
        self._best = self._last if best is None else _copied(self._last, best)
        self._least = state["least"]


def _state_of(network):
    """Copy of the state dict of a network, with its versions of modules."""
    state = network.state_dict()
    for name, value in state.items():  # copy.deepcopy takes ten times as long for small networks
        state[name] = value.clone() if isinstance(value, torch.Tensor) else copy.deepcopy(value)
    return state


def _copied(present, state):
    """Copy of a state dict on the devices of another."""
    return {name: value.to(present[name].device, copy=True) for name, value in state.items()}
