"""Threads that exchange tensors: the same results for any number that compute at once."""

import contextvars
import threading
import time
from unittest import mock

import pytest
import torch

from skwing._utils import team as module
from skwing._utils.team import Team

N = 3


@pytest.fixture(params=[1, 2, N])
def team(request):
    with Team(N, request.param) as team:
        yield team


def test_all_get_the_tensors_of_all_in_the_same_order(team):
    def several(member):
        found = []
        for i in range(20):
            if (i + member.number) % 7 == 0:
                time.sleep(1e-3)  # another one is last each time
            found.append(torch.stack(member.gathered(torch.tensor([i, member.number]))))
        return torch.stack(found)

    wanted = torch.tensor([[[i, number] for number in range(N)] for i in range(20)])
    for _ in range(2):
        assert all(torch.equal(found, wanted) for found in team.run(several))


def test_sums_are_the_same_in_all_threads(team):
    numbers = torch.rand(N, 1000, generator=torch.Generator().manual_seed(0))
    sums = team.run(lambda member: member.added(numbers[member.number]))
    assert all(torch.equal(found, numbers.sum(0)) for found in sums)


@pytest.mark.parametrize("n_at_once", [1, 2])
def test_no_more_threads_compute_than_allowed_and_each_on_one_thread(n_at_once):
    inside, most, lock = 0, 0, threading.Lock()

    def count(member):
        nonlocal inside, most
        for _ in range(5):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(1e-3)
            assert torch.get_num_threads() == 1
            with lock:
                inside -= 1
            member.added(torch.zeros(1))

    with Team(N, n_at_once) as team:
        team.run(count)
    assert most == n_at_once


def test_threads_see_the_context_of_the_call_and_do_not_change_it(team):
    number = contextvars.ContextVar("number", default=0)
    number.set(5)

    def change(member):
        before = number.get()
        number.set(member.number)
        member.added(torch.zeros(1))
        return before, number.get()

    assert team.run(change) == [(5, i) for i in range(N)]
    assert number.get() == 5


def test_an_error_of_one_thread_ends_the_others(team):
    def fail(member):
        if member.number == 1:
            raise ValueError("not this one")
        member.added(torch.zeros(1))

    with pytest.raises(ValueError, match="not this one"):
        team.run(fail)


def test_an_interruption_waits_for_all_threads(team):
    ended, really = [], module.wait

    def slow(member):
        try:
            member.added(torch.zeros(1))
            time.sleep(0.01)
            member.added(torch.zeros(1))
        finally:
            ended.append(member.number)

    interrupted = mock.Mock(side_effect=[KeyboardInterrupt, None])

    def wait(started):
        interrupted()
        return really(started)

    with mock.patch.object(module, "wait", wait), pytest.raises(KeyboardInterrupt):
        team.run(slow)
    assert sorted(ended) == list(range(N))


def test_an_interruption_before_all_threads_have_begun_leaves_none_waiting():
    with pytest.raises(KeyboardInterrupt), Team(2, 2) as team:
        begin = team._pool.submit
        interrupted = mock.Mock(side_effect=[None, KeyboardInterrupt])

        def submit(*task):
            interrupted()
            return begin(*task)

        with mock.patch.object(team._pool, "submit", submit):
            team.run(lambda member: member.added(torch.zeros(1)))
    assert not any(thread.name.startswith("skwing-parts") for thread in threading.enumerate())
