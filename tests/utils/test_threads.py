import threading
from functools import partial

import numpy as np
import pytest
import torch
from small import first_fast

from skwing import CascadeLandmarkRegressor
from skwing._utils.threads import made_ahead, one_thread, side_by_side
from skwing.datasets import make_faces
from skwing.networks import PlainCNN


@pytest.fixture(scope="module")
def faces():
    faces = make_faces(16, image_size=48, random_state=0)
    return faces.data, faces.target


@pytest.fixture(autouse=True)
def two_threads():
    """Tests start from two threads, whatever the program has."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


def small(**settings):
    given = {"networks": ("cnn6",), "max_epochs": 2, "precision": "float32", "random_state": 0}
    return CascadeLandmarkRegressor(**given | settings)


@pytest.mark.slow
@pytest.mark.parametrize("n", first_fast([1, 3]))
def test_a_fit_does_not_depend_on_the_number_of_threads(faces, n):
    with_two = small().fit(*faces)
    torch.set_num_threads(n)
    with_n = small().fit(*faces)
    assert torch.get_num_threads() == n
    for one, other in zip(
        with_two.networks_[0].parameters(), with_n.networks_[0].parameters(), strict=True
    ):
        assert torch.equal(one, other)


def test_the_number_of_threads_is_put_back_after_an_error(faces):
    def stop(residual):
        assert torch.get_num_threads() == 1
        raise KeyError("enough")

    with pytest.raises(KeyError, match="enough"):
        small(loss=stop).fit(*faces)
    assert torch.get_num_threads() == 2


def test_each_thread_gets_back_what_it_had():
    barrier, seen = threading.Barrier(3), {}

    def work(i):
        if i:
            torch.get_num_threads()  # from now on this thread has a number of its own
            torch.set_num_threads(1 + i)
        barrier.wait(10)
        with one_thread, one_thread:
            inside = torch.get_num_threads()
            barrier.wait(10)
        seen[i] = inside, torch.get_num_threads()

    threads = [threading.Thread(target=partial(work, i)) for i in (1, 2)]
    for thread in threads:
        thread.start()
    barrier.wait(10)
    barrier.wait(10)
    for thread in threads:
        thread.join()
    assert seen == {1: (1, 2), 2: (1, 3)}


def test_a_thread_that_is_born_inside_gets_what_the_program_has():
    seen = []

    def work():
        with one_thread:
            pass
        seen.append(torch.get_num_threads())

    with one_thread:
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [2]
    assert torch.get_num_threads() == 2


def test_items_are_made_one_ahead_in_order_in_another_thread():
    made = []

    def items():
        for i in range(5):
            made.append((i, threading.get_ident()))
            yield i

    with made_ahead(items()) as ahead:
        assert next(ahead) == 0
        assert list(ahead) == [1, 2, 3, 4]
    assert [i for i, _ in made] == list(range(5))
    assert threading.get_ident() not in {thread for _, thread in made}


def test_an_error_in_making_an_item_comes_out_where_it_is_used():
    def items():
        yield 1
        raise ValueError("no second one")

    with made_ahead(items()) as ahead:
        assert next(ahead) == 1
        with pytest.raises(ValueError, match="no second one"):
            next(ahead)


def test_results_come_in_order_from_threads_of_their_own():
    barrier = threading.Barrier(2, timeout=60)

    def work(item):
        if item < 2:
            barrier.wait()  # passes only if two items are computed at once
        return item, torch.get_num_threads(), threading.current_thread().name

    results = side_by_side(work, list(range(7)))
    assert [item for item, _, _ in results] == list(range(7))
    assert {n for _, n, _ in results} == {1}
    assert all(name.startswith("skwing-predictions") for *_, name in results)
    assert torch.get_num_threads() == 2
    with one_thread:
        (result,) = side_by_side(lambda item: threading.current_thread().name, [0])
        assert result == threading.current_thread().name
    with pytest.raises(KeyError, match="third"):
        side_by_side({0: 1, 1: 1}.__getitem__, [0, 1, "third"])


@pytest.mark.slow
def test_predictions_do_not_depend_on_the_number_of_threads(faces):
    X = np.concatenate([faces[0].decode(i)[None] for i in range(16)] * 5)  # several batches
    network = partial(PlainCNN, widths=(4, 8), input_size=16, n_hidden=8)
    reg = small(networks=(network,)).fit(*faces).calibrate(*faces)
    answers = []
    for n in (1, 2, 3):
        torch.set_num_threads(n)
        answers.append(reg.predict(X, return_std=True))
        assert torch.get_num_threads() == n
    for points, std in answers[1:]:
        np.testing.assert_array_equal(points, answers[0][0])
        np.testing.assert_array_equal(std, answers[0][1])
    assert not any(t.name.startswith("skwing") for t in threading.enumerate())


class Counted(PlainCNN):
    """A network of a user, which is not safe to run in several threads."""

    busy = 0

    def forward(self, images):
        type(self).busy += 1
        assert self.busy == 1
        points = super().forward(images)
        type(self).busy -= 1
        return points


def test_networks_of_users_run_one_batch_after_another(faces):
    X = np.concatenate([faces[0].decode(i)[None] for i in range(16)] * 5)
    network = partial(Counted, widths=(4, 8), input_size=16, n_hidden=8)
    reg = small(networks=(network,)).fit(*faces)
    assert reg.predict(X).shape == (80, 68, 2)


@pytest.mark.slow
def test_no_thread_of_a_fit_is_left(faces):
    before = threading.active_count()
    small().fit(*faces)
    np.testing.assert_equal(threading.active_count(), before)
