"""Threads that compute the parts of a batch and exchange tensors on the way."""

from __future__ import annotations

import contextvars
import threading
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TYPE_CHECKING

import torch

from skwing._utils.threads import one_thread

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType
    from typing import Any, Self


class Team:
    """Threads with a common task, one for each part of a batch.

    Results do not depend on how many of them compute at the same time, because the parts and the
    order in which tensors are added are always the same.

    Parameters
    ----------
    n : int
        Number of threads.
    n_at_once : int
        Number of threads that compute at the same time.

    Attributes
    ----------
    members : list of Member

    Examples
    --------
    >>> import torch
    >>> from skwing._utils.team import Team
    >>> with Team(2, n_at_once=1) as team:
    ...     team.run(lambda member: member.added(torch.tensor(1.0 + member.number)))
    [tensor(3.), tensor(3.)]
    """

    def __init__(self, n: int, n_at_once: int) -> None:
        self._meeting = threading.Barrier(n)
        self._seats = threading.Semaphore(n_at_once)
        # Tensors of the last two exchanges; slow threads may still read those of the first.
        self._told: list[list[Any]] = [[None] * n, [None] * n]
        self.members = [Member(self, i) for i in range(n)]
        self._pool = ThreadPoolExecutor(n, "skwing-parts")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._meeting.abort()  # a thread whose task began as the call was interrupted
        self._pool.shutdown()

    def run(self, function: Callable[[Member], Any]) -> list[Any]:
        """Call a function with each member, each in a thread and a copy of the context.

        After an error, which is raised when all threads have ended, the team is not usable.

        Returns
        -------
        results : list
            In the order of the members.
        """
        started = []
        try:
            for member in self.members:
                context = contextvars.copy_context()
                started.append(self._pool.submit(context.run, self._call, function, member))
            wait(started)
        except BaseException:  # Ctrl-C
            self._meeting.abort()
            wait(started)
            raise
        errors = [error for each in started if (error := each.exception()) is not None]
        for error in errors:
            if not isinstance(error, threading.BrokenBarrierError):
                raise error
        return [each.result() for each in started]

    def _call(self, function: Callable[[Member], Any], member: Member) -> Any:
        try:
            with self._seats, one_thread:
                return function(member)
        except BaseException:
            self._meeting.abort()  # the others would wait forever
            raise

    def _exchange(self, member: Member, tensor: torch.Tensor) -> list[torch.Tensor]:
        told = self._told[member.n_exchanges % 2]
        member.n_exchanges += 1
        told[member.number] = tensor
        self._seats.release()
        try:
            self._meeting.wait()
        finally:
            self._seats.acquire()
        return list(told)


class Member:
    """A thread of a team, by its number from 0.

    All members must call its methods in the same order.
    """

    def __init__(self, team: Team, number: int) -> None:
        self.team, self.number, self.n_exchanges = team, number, 0

    def gathered(self, tensor: torch.Tensor) -> list[torch.Tensor]:
        """Tensors of all members, which must not be changed."""
        return self.team._exchange(self, tensor)

    def added(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum of the tensors of all members."""
        return torch.stack(self.gathered(tensor)).sum(0)
