"""Processes that train one model together: all communication by torch.distributed.

Without a process group, and in threads other than that of the fit, all functions do nothing or
return what they are given. In a group, all processes must call them in the same order.

Values are exchanged by one group of processes, tensors by another one. A process that fails
closes the latter, which ends the waiting of the others, and sends its error by the former. The
others receive it in place of the next value.
"""

from __future__ import annotations

import contextlib
from contextvars import ContextVar
from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.distributed as dist

from skwing._utils.parts import Part
from skwing._utils.warnings import silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

_PATIENCE = timedelta(days=1)
_FORMER: list[dist.ProcessGroup] = []  # not yet closed
_GROUP: ContextVar[Group | None] = ContextVar("_GROUP", default=None)


class FailedElsewhere(RuntimeError):
    """Another process of the group failed."""


class ProcessLost(RuntimeError):
    """Communication failed, because another process ended it or is gone."""


class Group:
    """Groups of processes for values and for tensors.

    Attributes
    ----------
    number, n_processes : int
        Number of this process, from 0, and of all.
    """

    def __init__(self) -> None:
        self.number, self.n_processes = dist.get_rank(), dist.get_world_size()
        try:
            meeting = dist.new_group(backend="gloo")
        except RuntimeError as error:
            raise RuntimeError(
                f"process {self.number} of {self.n_processes} waited in vain for the others: all "
                "processes of the default group of torch.distributed must call fit"
            ) from error
        # A process that ends is noticed at once; others may take long, as for images.
        gloo = {"backend": "gloo", "timeout": _PATIENCE}
        self._values = dist.new_group(**gloo)
        self._tensors = {"cpu": dist.new_group(**gloo)}
        if "cuda:nccl" in dist.get_backend_config():
            self._tensors["cuda"] = dist.new_group(backend="nccl")
        self._is_asynchronous = False
        # Only now it is certain that no process uses the former groups.
        self.exchange(None)
        for former in [meeting, *_FORMER]:
            with contextlib.suppress(ValueError):  # the program has destroyed all
                dist.destroy_process_group(former)
        _FORMER[:] = [self._values]

    def exchange(self, value: Any, failure: str | None = None) -> list[Any]:
        """Send a value to all processes and return those of all, or raise the error of another."""
        told: list[Any] = [None] * self.n_processes
        try:
            dist.all_gather_object(told, (value, failure), group=self._values)
        except RuntimeError as error:
            raise ProcessLost("another process has ended") from error
        failed = [(i, text) for i, (_, text) in enumerate(told) if text]
        if failed and failure is None:
            number, text = failed[0]
            raise FailedElsewhere(f"process {number} of {self.n_processes} failed: {text}")
        return [value for value, _ in told]

    def run(self, collective: Callable[..., Any], tensor: Any, *args: Any, **options: Any) -> None:
        """Run a collective operation on a tensor."""
        kind = tensor.device.type
        group = self._tensors.get(kind) or self._tensors.get("cpu")
        if group is None:
            raise ProcessLost("another process has ended")
        self._is_asynchronous |= kind in self._tensors and kind != "cpu"
        try:
            collective(*args, **options, group=group)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            raise ProcessLost("another process has ended") from error

    def gathered(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Tensors of all processes."""
        tensors = [torch.empty_like(tensor) for _ in range(self.n_processes)]
        self.run(dist.all_gather, tensor, tensors, tensor)
        return tensors

    def added(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum of the tensors of all processes, in place."""
        self.run(dist.all_reduce, tensor, tensor)
        return tensor

    def fail(self, error: BaseException) -> None:
        """Tell the other processes of an error; raise theirs if this one is a consequence."""
        self.close()
        if self._is_asynchronous:  # the others may wait in kernels, which do not end by this
            return
        is_cause = not isinstance(error, ProcessLost)
        text = f"{type(error).__name__}: {error}" if is_cause else ""
        try:
            self.exchange(None, text if is_cause else None)
        except FailedElsewhere as found:
            raise found from error
        except ProcessLost:
            if not is_cause:
                raise

    def close(self) -> None:
        """Close the groups for tensors; that for values is closed when the next one is complete."""
        for kind in list(self._tensors):
            dist.destroy_process_group(self._tensors.pop(kind))


@contextlib.contextmanager
def joined() -> Iterator[None]:
    """Context manager in which the processes of the default group train together.

    Raises
    ------
    FailedElsewhere
        If another process fails.
    """
    is_alone = not (dist.is_available() and dist.is_initialized()) or dist.get_world_size() == 1
    if is_alone or _GROUP.get() is not None:
        yield
        return
    group = Group()
    token = _GROUP.set(group)
    try:
        with silent() if group.number > 0 else contextlib.nullcontext():
            yield
            group.exchange(None)  # nobody leaves before all are done
    except FailedElsewhere:
        raise
    except BaseException as error:
        group.fail(error)
        raise
    finally:
        _GROUP.reset(token)
        group.close()


def current_group() -> Group | None:
    """The group of the current fit; None for a process on its own."""
    return _GROUP.get()


def n_processes() -> int:
    """Number of processes of the current fit."""
    group = _GROUP.get()
    return 1 if group is None else group.n_processes


def is_first() -> bool:
    """Whether this process writes files and reports progress."""
    group = _GROUP.get()
    return group is None or group.number == 0


def part_of(n: int) -> Part:
    """The part of n rows that this process computes."""
    group = _GROUP.get()
    return Part.whole(n) if group is None else Part.of(n, group.number, group.n_processes)


def gathered(value: Any) -> list[Any]:
    """Values of all processes."""
    group = _GROUP.get()
    return [value] if group is None else group.exchange(value)


def shared(value: Any) -> Any:
    """Value of the first process."""
    group = _GROUP.get()
    return value if group is None else group.exchange(value if group.number == 0 else None)[0]


def from_first(function: Callable[[], Any]) -> Any:
    """Result of a function that is called by the first process only."""
    return shared(function() if is_first() else None)


def added(tensor: torch.Tensor) -> torch.Tensor:
    """Sum of the tensors of all processes, in place."""
    group = _GROUP.get()
    return tensor if group is None else group.added(tensor)


def add_gradients(parameters: Iterable[torch.nn.Parameter], value: torch.Tensor) -> torch.Tensor:
    """Replace gradients by their sums over all processes, and return the sum of a value.

    A gradient that is None in all processes stays None.
    """
    if _GROUP.get() is None:
        return value
    own = [parameter for parameter in parameters if parameter.requires_grad]
    known = torch.tensor([float(parameter.grad is not None) for parameter in own])
    flat = [torch.zeros_like(p) if p.grad is None else p.grad for p in own]
    sizes = [len(own), 1, *(part.numel() for part in flat)]
    parts = [known.to(value.device), value.reshape(1), *(part.reshape(-1) for part in flat)]
    known, value, *sums = added(torch.cat(parts)).split(sizes)
    for i, (parameter, total) in enumerate(zip(own, sums, strict=True)):
        if parameter.grad is None:
            if not known[i]:
                continue
            parameter.grad = torch.empty_like(parameter)
        parameter.grad.copy_(total.view_as(parameter))
    return value.reshape(())


def copy_from_first(network: torch.nn.Module) -> None:
    """Replace the weights and buffers of a network by those of the first process."""
    group = _GROUP.get()
    if group is None:
        return
    for tensor in network.state_dict().values():
        # A collective operation takes contiguous memory.
        copy = tensor.contiguous()
        group.run(dist.broadcast, copy, copy, src=0)
        if copy is not tensor:
            tensor.copy_(copy)


def joined_rows(rows: np.ndarray, part: Part) -> np.ndarray:
    """Join the parts of an array along its first axis.

    Parameters
    ----------
    rows : array of shape (len(part), ...)
        Those of this process.
    part : Part
        Result of :func:`part_of`.

    Returns
    -------
    array of shape (part.n, ...)
    """
    group = _GROUP.get()
    if group is None:
        return rows
    whole = np.empty((part.n, *rows.shape[1:]), rows.dtype)
    whole[part.first : part.last] = rows
    for number in range(group.n_processes):
        other = Part.of(part.n, number, group.n_processes)
        if len(other):
            tensor = torch.from_numpy(whole[other.first : other.last])
            group.run(dist.broadcast, tensor, tensor, src=number)
    return whole
