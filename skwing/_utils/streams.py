"""Work on a GPU that runs beside other work."""

import contextlib

import torch

_END = object()


@contextlib.contextmanager
def made_beside(items, device):
    """Context manager for prefetching: a GPU makes the next item while one is used.

    Parameters
    ----------
    items : iterator
        Of tensors, or of nested tuples that contain them, whose computation does not wait for the
        device.
    device : torch.device
        A CUDA device.

    Yields
    ------
    items : iterator
    """
    stream = torch.cuda.Stream(device)
    try:
        yield _ahead(items, stream)
    finally:  # what items are made of may then be deleted
        torch.cuda.current_stream(device).wait_stream(stream)


def _ahead(items, stream):
    stream.wait_stream(torch.cuda.current_stream(stream.device))
    waiting = _next(items, stream)
    while True:
        item, made = waiting
        if item is _END:
            return
        waiting = _next(items, stream)
        current = torch.cuda.current_stream(stream.device)
        current.wait_event(made)
        _used_on(current, item)
        yield item


def _next(items, stream):
    """The next item, and an event after it is made."""
    with torch.cuda.stream(stream):
        return next(items, _END), stream.record_event()


def _used_on(stream, item):
    """Keep the memory of the tensors of an item until a stream has used it."""
    if isinstance(item, tuple):
        for part in item:
            _used_on(stream, part)
    elif isinstance(item, torch.Tensor) and item.is_cuda:
        item.record_stream(stream)
