"""Training steps of several networks on one batch.

A step of a small network leaves most of a GPU idle. Each network has a stream of its own; in a
CUDA graph of all steps, the operations of different networks then run at the same time.
"""

import contextlib

import torch

from skwing._training.loop import add_gradients
from skwing._utils.random import alike, drawing_from

_MOST_STREAMS = 8  # more are not faster, and take more memory


class JointStep:
    """A training step of several networks on one batch, each with its loss and its optimiser.

    It is called with targets, weights and the inputs of the networks, and returns their losses
    before the step, of shape (n_networks,). The step of each network is that of
    :class:`skwing._training.loop.TrainingStep`, with the same random numbers.
    """

    def __init__(self, networks, losses, optimizers, device, mixed=False):
        self.parts = list(zip(networks, losses, optimizers, strict=True))
        self.draws, self.mixed = alike(len(networks)), mixed
        n_streams = min(len(networks), _MOST_STREAMS) if device.type == "cuda" else 0
        self.streams = [torch.cuda.Stream(device) for _ in range(n_streams)]

    @property
    def generators(self):
        """Generators that the networks draw from on their device."""
        device = next(self.parts[0][0].parameters()).device
        return [draws.on(device) for draws in self.draws]

    def __call__(self, targets, weights, *inputs):
        """Run the step."""
        values = []
        with _forked(self.streams):
            for i in range(len(self.parts)):
                with _on(self.streams, i):
                    values.append(self._step(i, targets, weights, inputs))
        return torch.stack(values)

    def _step(self, i, targets, weights, inputs):
        network, loss, optimizer = self.parts[i]
        optimizer.zero_grad(set_to_none=True)
        with drawing_from(self.draws[i]):
            value = add_gradients(network, loss, targets, weights, inputs, self.mixed)
        optimizer.step()
        return value


@contextlib.contextmanager
def _forked(streams):
    """Context manager whose work on streams begins after, and ends before, other work."""
    if not streams:
        yield
        return
    current = torch.cuda.current_stream(streams[0].device)
    for stream in streams:
        stream.wait_stream(current)
    yield
    for stream in streams:
        current.wait_stream(stream)


def _on(streams, i):
    """Context manager for work on one of the streams."""
    return torch.cuda.stream(streams[i % len(streams)]) if streams else contextlib.nullcontext()
