"""Threads of a training: its results are the same for any number of cores, free or shared.

Sums that are shared among threads come out otherwise for each number of them, and threads
that share each small operation wait for the slowest: on a core that another program uses,
longer than the work takes. So one thread computes, and others do whole pieces of work beside
it, whose results do not depend on when they are done.
"""

import contextlib
import threading
from concurrent.futures import ThreadPoolExecutor

import torch

__all__ = ["made_ahead", "one_thread"]

_END = object()


class _OneThread(contextlib.ContextDecorator):
    """Context in which operations of torch use one thread, as far as this thread calls them.

    torch keeps the number a thread, and gives new threads that of the last call. The first
    block that opens knows what the program has set; a thread that is born while one is open
    gets that when its own block ends.
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


one_thread = _OneThread()


@contextlib.contextmanager
def made_ahead(items):
    """Iterator over the same items in the same order: the next is made while one is used.

    Parameters
    ----------
    items : iterator
        Used by one other thread alone until the context ends.

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
