"""Threads: results are independent of the number of cores and of other load.

Parallel sums depend on the number of threads. Threads that share each small operation wait for
the slowest one, which takes long if another program uses its core. Therefore, one thread
computes a part of a training step, see :mod:`skwing._utils.team`, or a batch of predictions.
Other threads prepare the next batches of training, or compute other batches of predictions; the
content of batches does not depend on the timing.
"""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import torch

_END = object()


class _OneThread(contextlib.ContextDecorator):
    """Context manager in which torch operations of this thread use a single thread.

    torch stores the number of threads per thread, and new threads inherit that of the last
    call. The first block stores the setting of the program; in threads that start while a
    block is active, this setting is restored at the end of their own block.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._n_inside = 0
        self._program = 1
        self._own = threading.local()

    def __enter__(self):
        depth = getattr(self._own, "depth", 0)
        if depth == 0:
            with self._lock:
                before = torch.get_num_threads()
                if self._n_inside == 0:
                    self._program = before
                self._own.before = self._program if before == 1 else before
                self._n_inside += 1
                torch.set_num_threads(1)
        self._own.depth = depth + 1

    def __exit__(self, *error):
        self._own.depth -= 1
        if self._own.depth == 0:
            with self._lock:
                torch.set_num_threads(self._own.before)
                self._n_inside -= 1

    @property
    def n_before(self):
        """Number of threads that operations would use without the block."""
        return self._own.before if getattr(self._own, "depth", 0) else torch.get_num_threads()


one_thread = _OneThread()


@contextlib.contextmanager
def made_ahead(items):
    """Context manager for prefetching: the next item is computed while one is used.

    Parameters
    ----------
    items : iterator
        Consumed by another thread until the context ends.

    Examples
    --------
    >>> from skwing._utils.threads import made_ahead
    >>> with made_ahead(iter("abc")) as letters:
    ...     list(letters)
    ['a', 'b', 'c']
    """
    with ThreadPoolExecutor(1, "skwing-batches") as pool:
        yield _ahead(pool, items)


def _ahead(pool, items):
    waiting = pool.submit(_next, items)
    while (item := waiting.result()) is not _END:
        waiting = pool.submit(_next, items)
        yield item


def _next(items):
    with one_thread:
        return next(items, _END)


def side_by_side(function, items):
    """Apply a function to each item, in as many threads as torch would use for one operation.

    Parameters
    ----------
    function : callable
        Called with one item, in a thread in which torch uses a single thread.
    items : sequence

    Returns
    -------
    results : list
        In the order of the items.

    Examples
    --------
    >>> from skwing._utils.threads import side_by_side
    >>> side_by_side(str.upper, "abc")
    ['A', 'B', 'C']
    """
    n_threads = min(torch.get_num_threads(), len(items))
    if n_threads < 2:
        return [_alone(function, item) for item in items]
    with ThreadPoolExecutor(n_threads, "skwing-predictions") as pool:
        return list(pool.map(_alone, [function] * len(items), items))


def _alone(function, item):
    with one_thread:
        return function(item)
