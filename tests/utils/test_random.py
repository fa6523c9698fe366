import pickle
import random
import threading
from functools import partial

import joblib
import numpy as np
import pytest
import torch
from sklearn.model_selection import GridSearchCV
from small import SHAPE_INDEXED
from torch import nn
from torch.nn import functional as F

from skwing import CascadeLandmarkRegressor, PoseBalancer
from skwing._utils.random import Draws, check_random_state, drawing, generator_on, redirected, run
from skwing.boxes import landmark_boxes
from skwing.datasets import make_faces


class Foreign(nn.Module):
    """A user's own network: torch's dropout, and a draw in evaluation mode as well."""

    input_size = 16

    def __init__(self, n_landmarks):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(3 * 16 * 16, 32), nn.RReLU(), nn.Dropout(0.5)
        )
        self.output = nn.Linear(32, 2 * n_landmarks)

    def forward(self, images):
        return self.output(self.layers(images)) + 0.1 * torch.randn(len(images), 1)


def small(**settings):
    settings = {
        "networks": (SHAPE_INDEXED, Foreign),
        "max_epochs": 2,
        "random_state": 0,
        **settings,
    }
    return CascadeLandmarkRegressor(**settings)


@pytest.fixture(scope="module")
def faces():
    faces = make_faces(12, image_size=48, random_state=0)
    return faces.data, faces.target


def global_states():
    name, keys, *rest = np.random.get_state()  # noqa: NPY002
    return random.getstate(), (name, keys.tolist(), *rest), torch.get_rng_state().tolist()


# ---------------------------------------------------------------------------------------
# Fits beside others
# ---------------------------------------------------------------------------------------
@pytest.mark.slow
def test_fits_in_threads_beside_other_draws_equal_a_fit_alone(faces):
    alone = small().fit(*faces)
    kept, stop = pickle.dumps(alone), threading.Event()

    def disturb():
        while not stop.is_set():
            torch.rand(3)
            torch.manual_seed(5)
            pickle.loads(kept)

    noise = threading.Thread(target=disturb)
    noise.start()
    try:
        fits = [joblib.delayed(small().fit)(*faces) for _ in range(4)]
        others = joblib.Parallel(n_jobs=4, backend="threading")(fits)
    finally:
        stop.set()
        noise.join()
    for other in others:
        np.testing.assert_array_equal(other.predict(faces[0]), alone.predict(faces[0]))


@pytest.mark.slow
def test_a_search_in_threads_gives_what_it_gives_in_turn(faces):
    grid = {"w": [2.0, 10.0]}
    in_turn = GridSearchCV(small(), grid, cv=2).fit(*faces)
    with joblib.parallel_config(backend="threading", n_jobs=4):
        beside = GridSearchCV(small(), grid, cv=2).fit(*faces)
    for key in ("split0_test_score", "split1_test_score"):
        np.testing.assert_array_equal(beside.cv_results_[key], in_turn.cv_results_[key])


# ---------------------------------------------------------------------------------------
# Global states
# ---------------------------------------------------------------------------------------
def public_calls(faces):
    X, y = faces
    for random_state in (0, None):
        regressor = small(random_state=random_state)
        yield "fit", partial(regressor.fit, X, y)
        yield "predict", partial(regressor.predict, X)
        yield "score", partial(regressor.score, X, y)
        yield "calibrate", partial(regressor.calibrate, X, y)
        yield "return_std", partial(regressor.predict, X, return_std=True)
        yield "staged_predict", lambda regressor=regressor: list(regressor.staged_predict(X))
        yield "warm start", lambda r=regressor: r.set_params(warm_start=True).fit(X, y)
        yield "pickle", lambda regressor=regressor: pickle.loads(pickle.dumps(regressor))
        yield "make_faces", partial(make_faces, 2, random_state=random_state)
        yield (
            "landmark_boxes",
            partial(landmark_boxes, y, jitter=0.1, random_state=random_state),
        )
    yield "balance", lambda: PoseBalancer().fit_transform(X, y)


@pytest.mark.slow
def test_no_call_moves_a_global_state(faces):
    before = global_states()
    for name, call in public_calls(faces):
        call()
        assert global_states() == before, name


@pytest.mark.slow
@pytest.mark.parametrize("network", [SHAPE_INDEXED, Foreign])
def test_no_global_state_is_read(faces, network):
    def answer(seed):
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            regressor = small(networks=(network,)).fit(*faces)
            torch.manual_seed(seed)
            return regressor.predict(faces[0])

    np.testing.assert_array_equal(answer(1), answer(2))


@pytest.mark.slow
def test_without_a_random_state_each_call_draws_anew(faces):
    def draws(draw):
        state = np.random.get_state()  # noqa: NPY002
        try:
            np.random.seed(0)  # noqa: NPY002
            return draw()
        finally:
            np.random.set_state(state)  # noqa: NPY002

    def answer():
        return small(random_state=None, max_epochs=1).fit(*faces).predict(faces[0])

    for draw in (
        answer,
        lambda: make_faces(1, image_size=48).target,
        lambda: landmark_boxes(faces[1], jitter=0.1),
    ):
        assert not np.array_equal(draws(draw), draws(draw))


@pytest.mark.parametrize("wrong", [-1, 2**32, 10**400, 0.5, "0", np.random.default_rng(0)])
def test_a_random_state_that_is_none_is_named(wrong):
    with pytest.raises(ValueError, match="random_state must be an integer in "):
        check_random_state(wrong)


# ---------------------------------------------------------------------------------------
# One draw
# ---------------------------------------------------------------------------------------
ONES = torch.ones(40, 6)
DRAWS = {
    "rand": lambda: torch.rand(8),
    "randn": lambda: torch.randn(8),
    "randint": lambda: torch.randint(1000, (8,)),
    "randint, low": lambda: torch.randint(5, 1000, (8,)),
    "randperm": lambda: torch.randperm(50),
    "rand_like": lambda: torch.rand_like(ONES),
    "randn_like": lambda: torch.randn_like(ONES),
    "randint_like": lambda: torch.randint_like(ONES, 1000),
    "normal": lambda: torch.normal(ONES, 2.0),
    "normal_": lambda: torch.empty(8).normal_(),
    "uniform_": lambda: torch.empty(8).uniform_(),
    "exponential_": lambda: torch.empty(8).exponential_(),
    "bernoulli": lambda: torch.bernoulli(0.5 * ONES),
    "multinomial": lambda: torch.multinomial(ONES, 3),
    "poisson": lambda: torch.poisson(50 * ONES),
    "binomial": lambda: torch.binomial(90 * ONES, 0.5 * ONES),
    "gamma": lambda: torch.distributions.Gamma(ONES, ONES).sample(),
    "kaiming": lambda: nn.init.kaiming_normal_(torch.empty(8, 8)),
    "trunc_normal": lambda: nn.init.trunc_normal_(torch.empty(8, 8)),
    "orthogonal": lambda: nn.init.orthogonal_(torch.empty(8, 8)),
    "dropout": lambda: F.dropout(ONES, 0.5, True),
    "native dropout": lambda: torch.native_dropout(ONES, 0.5, True)[0],
    "dropout1d": lambda: F.dropout1d(ONES, 0.5, True),
    "alpha dropout": lambda: F.alpha_dropout(ONES, 0.5, True),
    "rrelu": lambda: F.rrelu(-ONES, training=True),
    "attention": lambda: F.scaled_dot_product_attention(*[ONES[None, None]] * 3, dropout_p=0.5),
    "lstm": lambda: nn.LSTM(6, 6, 2, dropout=0.5)(ONES)[0],
    "convolution": lambda: nn.Conv2d(3, 4, 3).weight,
}


@pytest.mark.parametrize("draw", DRAWS.values(), ids=DRAWS)
def test_whatever_draws_takes_the_generator_in_use(draw):
    before = torch.get_rng_state()
    with drawing(0), redirected():
        first, second = draw(), draw()
    torch.manual_seed(7)
    with drawing(0), redirected():
        torch.testing.assert_close(draw(), first, rtol=0, atol=0)
    with drawing(1), redirected():
        assert not torch.equal(draw(), first)
    assert not torch.equal(first, second)
    torch.set_rng_state(before)
    with drawing(0), redirected():
        draw()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_generator_of_the_users_own_is_the_one_that_counts():
    def draw():
        return torch.rand(4, generator=torch.Generator().manual_seed(3))

    with drawing(0), redirected():
        inside = draw()
    assert torch.equal(inside, draw())


def test_layers_of_the_package_need_no_mode_and_others_do():
    draws, own = Draws(0), SHAPE_INDEXED(3)
    assert draws.draws_by_itself(own)
    assert not draws.draws_by_itself(Foreign(3))
    own.overview.append(nn.Dropout())
    assert not Draws(0).draws_by_itself(own)
    hooked = nn.Linear(2, 2)
    hooked.register_forward_hook(lambda module, args, output: F.dropout(output))
    assert not Draws(0).draws_by_itself(hooked)


def test_outside_of_a_fit_a_network_draws_from_torch_as_any_does():
    network, images = SHAPE_INDEXED(3), torch.zeros(2, 3, 16, 16)
    nn.init.ones_(network.hidden[0].weight)
    nn.init.ones_(network.moves[0].weight)
    assert generator_on("cpu") is None
    with torch.random.fork_rng():
        torch.manual_seed(0)
        one = run(network, images)
        torch.manual_seed(0)
        two = run(network, images)
        three = run(network, images)
    assert torch.equal(one, two)
    assert not torch.equal(one, three)
