"""Independence of public methods from global settings of torch and numpy.

The default dtype and device, autocast, autograd modes and numpy's floating-point error handling
are reset while a public method runs, and restored afterwards.
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


@contextlib.contextmanager
def plain_state() -> Iterator[None]:
    """Context manager, or decorator, with the initial settings of torch and numpy.

    Gradients are enabled; use ``torch.no_grad`` inside where they are not needed. All settings
    are local to the thread, except for the default dtype, which is global to the process: if
    it is not float32, other threads see float32 until the last such block ends.

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
        # torch.get_default_device() fails in torch 2.6 after the default has been reset.
        if torch.empty(0).device.type != "cpu":
            stack.enter_context(torch.device("cpu"))
        stack.enter_context(_FLOAT32)
        if _FORK.must_not_share_work:
            stack.enter_context(one_thread)
        _FORK.note_threads()
        yield


class _Float32:
    """Context manager with float32 as torch's default dtype, which is global to the process.

    The first thread to enter sets it, and the last one to leave restores it.
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
        """Reset the state in a forked child, in which other threads do not exist."""
        self._lock = threading.Lock()
        self._leave(0)


class _Fork:
    """Whether this is a forked child whose parent used several OpenMP threads.

    A child inherits the state of the thread pool but not the threads, and OpenMP waits for
    them forever. With one thread it does not wait.
    """

    def __init__(self):
        self.must_not_share_work = False
        self._shared = False

    def note_threads(self):
        """Note whether this process uses several threads."""
        self._shared = self._shared or torch.get_num_threads() > 1

    def in_child(self):
        """Called in each child right after a fork."""
        self.must_not_share_work = self.must_not_share_work or self._shared
        _FLOAT32.in_child()


_FLOAT32 = _Float32()
_FORK = _Fork()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_FORK.in_child)
