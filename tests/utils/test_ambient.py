import contextlib
import os
import pickle
import subprocess
import sys
import threading

import cv2
import numpy as np
import pytest
import torch
from small import SHAPE_INDEXED, first_fast
from torch import nn

from skwing import CascadeLandmarkRegressor
from skwing._utils.ambient import plain_state
from skwing.datasets import make_faces


class Foreign(nn.Module):
    """A user's own network, which states neither dtypes nor devices."""

    input_size = 16

    def __init__(self, n_landmarks):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(3, 4, 4, 4), nn.ReLU(), nn.Flatten(), nn.Dropout())
        self.output = nn.Linear(64, 2 * n_landmarks)
        self.register_buffer("unit", torch.tensor(16.0))

    def forward(self, images):
        return self.unit / torch.tensor(16.0) * self.output(self.layers(images - torch.ones(1)))


@contextlib.contextmanager
def set_to(change, value, back):
    change(value)
    try:
        yield
    finally:
        change(back)


AMBIENT = {
    "float64": lambda: set_to(torch.set_default_dtype, torch.float64, torch.float32),
    "float16": lambda: set_to(torch.set_default_dtype, torch.float16, torch.float32),
    "default device": lambda: set_to(torch.set_default_device, "meta", None),
    "device": lambda: torch.device("meta"),
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "deterministic": lambda: set_to(torch.use_deterministic_algorithms, True, False),
    "one thread of cv2": lambda: set_to(cv2.setNumThreads, 1, -1),
    "errors of numpy": lambda: np.errstate(all="raise"),
}


def work(X, y, precision="float32"):
    """All that a model answers, from the fit on."""
    settings = {"max_epochs": 2, "batch_size": 8, "precision": precision, "random_state": 0}
    regressor = CascadeLandmarkRegressor(networks=(SHAPE_INDEXED, Foreign), **settings)
    regressor.fit(X, y).calibrate(X, y)
    loaded = pickle.loads(pickle.dumps(regressor))
    answers = [*regressor.predict(X, return_std=True), *loaded.staged_predict(X)]
    return [*answers, np.array(regressor.score(X, y))]


@pytest.fixture(scope="module")
def faces():
    faces = make_faces(12, image_size=48, random_state=0)
    return faces.data, faces.target


@pytest.fixture(scope="module")
def plain(faces):
    return work(*faces)


def state():
    return (
        torch.get_default_dtype(),
        torch.empty(0).device,
        torch.is_autocast_enabled("cpu"),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.are_deterministic_algorithms_enabled(),
        torch.get_num_threads(),
        cv2.getNumThreads(),
        tuple(np.geterr().items()),
    )


@pytest.mark.parametrize("ambient", first_fast(AMBIENT.values()), ids=AMBIENT)
def test_what_a_program_has_set_changes_nothing_and_stays(faces, plain, ambient):
    with ambient():
        before = state()
        answers = work(*faces)
        assert state() == before
    for answer, wanted in zip(answers, plain, strict=True):
        np.testing.assert_array_equal(answer, wanted)


@pytest.mark.slow
def test_training_in_bfloat16_inside_of_autocast_sees_each_steps_weights(faces):
    wanted = work(*faces, precision="mixed")
    with torch.autocast("cpu", torch.bfloat16):
        answers = work(*faces, precision="mixed")
    for answer, expected in zip(answers, wanted, strict=True):
        np.testing.assert_array_equal(answer, expected)


def test_the_default_dtype_comes_back_when_the_last_thread_is_done():
    inside, may_go = threading.Event(), threading.Event()

    def stay():
        with plain_state():
            inside.set()
            may_go.wait(10)

    other = threading.Thread(target=stay)
    with AMBIENT["float64"]():
        with plain_state():
            other.start()
            assert inside.wait(10)
        assert torch.get_default_dtype() == torch.float32  # the other thread needs it
        may_go.set()
        other.join()
        assert torch.get_default_dtype() == torch.float64


def test_an_error_leaves_all_as_it_was(faces):
    with AMBIENT["float64"](), torch.inference_mode():
        before = state()
        with pytest.raises(ValueError, match="0 samples"):
            CascadeLandmarkRegressor().fit(faces[0][:0], faces[1][:0])
        assert state() == before


FORK = """
import os
import numpy as np, torch
from skwing import CascadeLandmarkRegressor
from skwing.datasets import make_faces
torch.set_num_threads(2)
torch.ones(10**6).exp().sum()
X, y = make_faces(16, image_size=48, random_state=0, return_X_y=True)
reg = CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1, random_state=0).fit(X, y)
wanted = reg.predict(X)
child = os.fork()
if child == 0:
    answer = reg.predict(X)
    reg.fit(X, y)
    os._exit(0 if np.allclose(answer, wanted, atol=1e-3) and torch.get_num_threads() == 2 else 1)
print("status", os.waitpid(child, 0)[1])
"""


@pytest.mark.slow
@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_answers_where_its_parent_has_shared_work_among_threads():
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "status 0", done.stderr
