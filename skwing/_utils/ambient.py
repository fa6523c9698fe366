"""What a program has set in torch and numpy does not change what a call gives.

The default dtype and device, autocast, the modes of autograd and numpy's errors of floating
point are put aside while a public method runs, and are as before when it ends.
"""

from __future__ import annotations

import contextlib
import os
import threading
from typing import TYPE_CHECKING

import numpy as np
import torch

from skwing._utils.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["plain_state"]


@contextlib.contextmanager
def plain_state() -> Iterator[None]:
    """Context, or decorator, with torch and numpy as they come.

    Gradients are recorded inside; what needs none says so by ``torch.no_grad``. All but the
    default dtype is of the thread alone. Of that, torch has one for the process: where it is
    not float32, other threads see float32 until the last such block ends.

    Examples
    --------
    >>> import torch
    >>> from skwing._utils.ambient import plain_state
    >>> with torch.device("meta"), torch.inference_mode(), plain_state():
    ...     print(torch.ones(1).device, torch.is_inference_mode_enabled())
    cpu False
    """
    with contextlib.ExitStack() as stack:
        stack.enter_context(np.errstate(divide="warn", over="warn", under="ignore", invalid="warn"))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        # Not torch.get_default_device(), which fails in torch 2.6 once the default was taken back.
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_FLOAT32)
        if _FORK.must_not_share_work:
            stack.enter_context(one_thread)
        _FORK.note_threads()
        yield


class _Float32:
    """Context with float32 as torch's default dtype, which all threads share.

    The first to come in sets it and the last to go out puts it back.
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._n_inside = 0
        self._before = torch.float32

    def __enter__(self):
        with self._lock:
            if self._n_inside == 0:
                self._before = torch.get_default_dtype()
                if self._before != torch.float32:
                    torch.set_default_dtype(torch.float32)
            self._n_inside += 1

    def __exit__(self, *error):
        with self._lock:
            self._leave(self._n_inside - 1)

    def _leave(self, n_inside):
        if n_inside == 0 and self._n_inside > 0 and self._before != torch.float32:
            torch.set_default_dtype(self._before)
        self._n_inside = max(0, n_inside)

    def in_child(self):
        """Start anew in a forked child, as threads that were inside are not in it."""
        self._lock = threading.Lock()
        self._leave(0)


class _Fork:
    """Whether this is a forked child whose parent shared work among threads.

    A child inherits the record of the parent's threads but not the threads, and OpenMP waits
    for them without end. With one thread it waits for none.
    """

    def __init__(self):
        self.must_not_share_work = False
        self._shared = False

    def note_threads(self):
        """Remember that work may be shared in this process from now on."""
        self._shared = self._shared or torch.get_num_threads() > 1

    def in_child(self):
        """Called in each child right after a fork."""
        self.must_not_share_work = self.must_not_share_work or self._shared
        _FLOAT32.in_child()


_FLOAT32 = _Float32()
_FORK = _Fork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_FORK.in_child)
