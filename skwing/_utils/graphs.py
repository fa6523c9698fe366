"""Work of a CUDA device that is recorded once and then replayed: one launch for hundreds.

The steps of small networks are bound by the launches of their kernels, not by the device:
on an H100 one of the default takes 25 ms launched kernel by kernel and 2.3 ms as a graph.
"""

import torch

_N_PLAIN = 3  # calls before the recording: they make what is made once


class Replayed:
    """A function of tensors that a CUDA device replays as one graph.

    The first calls run as they are. On any other device, and where the work can not be
    recorded, all do.

    Parameters
    ----------
    function : callable
        Takes tensors, or None, and gives a tensor or a tuple of tensors. For tensors of
        the same shapes it does the same work at every call, in place on what it holds
        too, and never waits for the device. All that it draws comes from `generator`.
    generator : torch.Generator, default=None

    Attributes
    ----------
    recorded : bool
        Whether the last call was a replay.

    Notes
    -----
    What a call returns is valid until the next one, which writes to the same memory.

    Examples
    --------
    >>> import torch
    >>> from skwing._utils.graphs import Replayed
    >>> doubled = Replayed(lambda values: 2 * values)
    >>> doubled(torch.tensor([1.0, 2.0])), doubled.recorded
    (tensor([2., 4.]), False)
    """

    def __init__(self, function, generator=None):
        self.function = function
        self.generator = generator
        self.recorded = False
        self._can_record = True
        self._kind = None

    def __call__(self, *tensors):
        """What the function gives for these tensors."""
        first = next(tensor for tensor in tensors if tensor is not None)
        if first.device.type != "cuda" or not self._can_record:
            return self.function(*tensors)
        kind = [None if tensor is None else (tensor.shape, tensor.dtype) for tensor in tensors]
        if kind != self._kind:
            self._kind, self._n_calls, self._stream = kind, 0, torch.cuda.Stream(first.device)
            self.recorded = False
        if not self.recorded:
            if self._n_calls < _N_PLAIN:
                self._n_calls += 1
                return self._call_aside(tensors)
            self._record(tensors)
            if not self.recorded:
                return self.function(*tensors)
        for held, given in zip(self._held, tensors, strict=True):
            if held is not None:
                held.copy_(given, non_blocking=True)
        self._graph.replay()
        return self._answer

    def _call_aside(self, tensors):
        """Call on a stream of its own, as a recording asks of the calls before it."""
        current = torch.cuda.current_stream(self._stream.device)
        self._stream.wait_stream(current)
        with torch.cuda.stream(self._stream):
            answer = self.function(*tensors)
        current.wait_stream(self._stream)
        return answer

    def _record(self, tensors):
        held = [None if tensor is None else tensor.clone() for tensor in tensors]
        graph = torch.cuda.CUDAGraph()
        if self.generator is not None:
            graph.register_generator_state(self.generator)
        torch.cuda.synchronize(self._stream.device)
        try:
            # Other threads may go on with work of their own.
            with torch.cuda.graph(graph, stream=self._stream, capture_error_mode="thread_local"):
                answer = self.function(*held)
        except RuntimeError:  # some operation can not be recorded
            torch.cuda.synchronize(self._stream.device)
            self._can_record = False
            return
        self._held, self._graph, self._answer = held, graph, answer
        self.recorded = True


def can_record(network):
    """Whether every call of a network is the same work, as far as can be told.

    So it is of layers of torch and of this package. Code of others may do at one call what
    it does not at the next, and a hook is not called by a replay.
    """
    return all(
        f"{type(module).__module__}.".startswith(("torch.nn.", "skwing.networks."))
        and not (module._forward_hooks or module._forward_pre_hooks)
        for module in network.modules()
    )
