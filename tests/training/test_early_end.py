"""Training that ends early, by Ctrl-C or by an error, leaves what was trained; NaN shows."""

import copy
import pickle
import warnings
from functools import partial

import numpy as np
import pytest
import torch
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV
from small import UNBENT, first_fast

from skwing import CascadeLandmarkRegressor
from skwing._training import loop
from skwing.datasets import make_faces
from skwing.networks import PlainCNN

TINY = partial(PlainCNN, widths=(8, 16), input_size=16, n_hidden=32)


@pytest.fixture(scope="module")
def faces():
    return make_faces(12, image_size=48, random_state=0)


def tiny(**settings):
    defaults = {"networks": (TINY, TINY), "max_epochs": 3, "batch_size": 4, "random_state": 0}
    return CascadeLandmarkRegressor(device="cpu", **{**UNBENT, **defaults, **settings})


@pytest.fixture
def interrupt(monkeypatch):
    """Makes the n-th epoch of all, from 1, raise an error half way."""
    real, count = loop._train_epoch, 0

    def interrupt(n, error):
        nonlocal count
        count = 0

        def train_epoch(network, *rest):
            nonlocal count
            count += 1
            row = real(network, *rest)
            if count == n:
                with torch.no_grad():  # as a step that is cut short may leave it
                    next(network.parameters()).fill_(7.0)
                raise error
            return row

        monkeypatch.setattr(loop, "_train_epoch", train_epoch)

    return interrupt


def weights_of(reg):
    return [{key: value.clone() for key, value in n.state_dict().items()} for n in reg.networks_]


def assert_same_weights(found, wanted):
    for one, other in zip(found, wanted, strict=True):
        for key, value in one.items():
            torch.testing.assert_close(value, other[key], rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.parametrize("error", first_fast([KeyboardInterrupt(), MemoryError("full")]))
@pytest.mark.parametrize(("n", "n_iter"), [(2, [1]), (3, [2]), (4, [3]), (5, [3, 1]), (6, [3, 2])])
def test_what_was_trained_is_kept(faces, interrupt, n, n_iter, error):
    """At any epoch: the weights are those of training of so many whole epochs."""
    whole = tiny(schedule="constant", max_epochs=(*n_iter, 1)[:2])
    whole.fit(faces.data, faces.target)
    reg = tiny(schedule="constant")
    interrupt(n, error)
    if isinstance(error, KeyboardInterrupt):
        with pytest.warns(UserWarning, match="interrupted by the user"):
            assert reg.fit(faces.data, faces.target) is reg
    else:
        with pytest.raises(MemoryError) as raised:
            reg.fit(faces.data, faces.target)
        assert "The regressor is fitted with the completed training" in raised.value.__notes__[0]
    assert reg.n_iter_ == n_iter
    assert [(row["stage"], row["epoch"]) for row in reg.history_] == [
        (stage + 1, epoch + 1) for stage, n_epochs in enumerate(n_iter) for epoch in range(n_epochs)
    ]
    assert len(reg.networks_) == len(reg.crops_) == len(reg.asymmetry_) == len(n_iter)
    assert_same_weights(weights_of(reg), weights_of(whole)[: len(n_iter)])


@pytest.mark.slow
def test_a_model_that_was_interrupted_is_a_model(faces, interrupt):
    interrupt(4, KeyboardInterrupt())
    with pytest.warns(UserWarning, match="interrupted"):
        reg = tiny().fit(faces.data, faces.target)
    points = reg.predict(faces.data)
    (only,) = reg.staged_predict(faces.data)
    np.testing.assert_array_equal(only, points)
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(reg)).predict(faces.data), points)
    reg.calibrate(faces.data, faces.target)
    assert (reg.predict(faces.data, return_std=True)[1] > 0).all()
    assert reg.score(faces.data, faces.target) < 0


@pytest.mark.slow
def test_nothing_trained_is_nothing_changed(faces, interrupt):
    reg = tiny()
    interrupt(1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        reg.fit(faces.data, faces.target)
    with pytest.raises(NotFittedError):
        reg.predict(faces.data)
    interrupt(0, None)
    reg.fit(faces.data, faces.target)
    before = {key: value for key, value in vars(reg).items()}
    weights = weights_of(reg)
    interrupt(1, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        reg.fit(faces.data[:8], faces.target[:8])
    assert vars(reg) == before
    assert_same_weights(weights_of(reg), weights)


def test_an_interruption_before_training_changes_nothing(faces, monkeypatch):
    reg = tiny(max_epochs=1).fit(faces.data, faces.target)
    before = dict(vars(reg))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("skwing._training.prepare.cut_to_learn_on", stop)
    with pytest.raises(KeyboardInterrupt):
        reg.fit(faces.data, faces.target)
    assert vars(reg) == before


@pytest.mark.parametrize("step", ["are_whole_images", "box_relation", "kept_marks"])
def test_an_interruption_after_training_mixes_no_attributes_of_two_fits(faces, monkeypatch, step):
    reg = tiny(networks=(TINY,), max_epochs=1).fit(faces.data, faces.target)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reg.calibrate(faces.data, faces.target)
    before = dict(vars(reg))

    def stop(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"skwing._training.fitted.{step}", stop)
    with pytest.raises(KeyboardInterrupt):
        reg.fit(faces.data[:8], faces.target[:8])
    assert vars(reg) == before


@pytest.mark.parametrize("n", [1, 3])
def test_a_calibration_that_is_interrupted_changes_nothing(faces, monkeypatch, n):
    reg = tiny(max_epochs=1).fit(faces.data, faces.target)
    before, real, count = dict(vars(reg)), CascadeLandmarkRegressor._locate, 0

    def locate(*args, **settings):
        nonlocal count
        count += 1
        if count == n:
            raise KeyboardInterrupt
        return real(*args, **settings)

    monkeypatch.setattr(CascadeLandmarkRegressor, "_locate", locate)
    with warnings.catch_warnings(), pytest.raises(KeyboardInterrupt):
        warnings.simplefilter("ignore")
        reg.calibrate(faces.data, faces.target)
    assert vars(reg) == before


def test_an_interrupted_stage_has_its_best_weights_by_validation(faces, interrupt, monkeypatch):
    errors, states, real = iter([3.0, 1.0, 2.0, 4.0]), [], loop.EpochWeights.update

    def update(self, error):
        states.append({k: v.clone() for k, v in self._network.network.state_dict().items()})
        return real(self, next(errors))

    monkeypatch.setattr(loop.EpochWeights, "update", update)
    interrupt(5, KeyboardInterrupt())
    reg = tiny(networks=(TINY,), max_epochs=9)
    with pytest.warns(UserWarning, match="stage 1 after 4 epochs"):
        reg.fit(faces.data[:8], faces.target[:8], X_val=faces.data[8:], y_val=faces.target[8:])
    assert_same_weights(weights_of(reg), [states[1]])
    assert not torch.equal(states[1]["output.bias"], states[3]["output.bias"])


@pytest.mark.slow
def test_warm_start_trains_what_is_missing(faces, interrupt):
    whole = tiny().fit(faces.data, faces.target)
    reg = tiny(warm_start=True)
    interrupt(4, KeyboardInterrupt())
    with pytest.warns(UserWarning, match="warm_start=True"):
        reg.fit(faces.data, faces.target)
    first = weights_of(reg)
    interrupt(0, None)
    reg = pickle.loads(pickle.dumps(reg)).fit(faces.data, faces.target)
    assert reg.n_iter_ == [3, 3]
    assert [row["stage"] for row in reg.history_] == [1, 1, 1, 2, 2, 2]
    assert_same_weights(weights_of(reg)[:1], first)
    assert [c.size for c in reg.crops_] == [c.size for c in whole.crops_]
    np.testing.assert_array_equal(reg.crops_[1].matrix, whole.crops_[1].matrix)
    again = reg.fit(faces.data, faces.target)  # whole by now: both go on
    assert again.n_iter_ == [3, 3]
    assert not torch.equal(weights_of(again)[0]["output.bias"], first[0]["output.bias"])


@pytest.mark.slow
def test_a_warm_start_that_is_interrupted_loses_no_stage(faces, interrupt):
    reg = tiny(warm_start=True).fit(faces.data, faces.target)
    before = weights_of(reg)
    interrupt(2, KeyboardInterrupt())
    with pytest.warns(UserWarning, match="stage 1 after 1 epochs, stage 2 after 0 epochs"):
        reg.fit(faces.data, faces.target)
    assert reg.n_iter_ == [1, 0]
    assert_same_weights(weights_of(reg)[1:], before[1:])
    assert not torch.equal(weights_of(reg)[0]["output.bias"], before[0]["output.bias"])
    assert len(list(reg.staged_predict(faces.data))) == 2


@pytest.mark.slow
def test_a_search_goes_on_after_an_interruption(faces, interrupt):
    interrupt(2, KeyboardInterrupt())
    search = GridSearchCV(tiny(networks=(TINY,)), {"w": [5.0, 10.0]}, cv=2, error_score="raise")
    with pytest.warns(UserWarning, match="interrupted"):
        search.fit(faces.data, faces.target)
    assert np.isfinite(search.cv_results_["mean_test_score"]).all()


# ---------------------------------------------------------------------------------------
# Divergence
# ---------------------------------------------------------------------------------------
WILD = {"optimizer": "sgd", "schedule": "constant", "loss": "l2"}


@pytest.mark.slow
def test_divergence_of_a_later_stage_leaves_the_first(faces):
    reg = tiny(learning_rate=(1e-4, 1e4), **WILD)
    with pytest.raises(ValueError, match=r"stage 2, epoch 1: .*diverged; try a lower learning_r"):
        reg.fit(faces.data, faces.target)
    assert reg.n_iter_ == [3]
    assert np.isfinite(reg.predict(faces.data)).all()
    first = tiny(networks=(TINY,), learning_rate=1e-4, **WILD).fit(faces.data, faces.target)
    assert_same_weights([n.state_dict() for n in reg.networks_][:1], weights_of(reg))
    assert len(first.networks_) == len(reg.networks_) == 1


@pytest.mark.parametrize("learning_rate", [1e2, 1e12, 1e38])
@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("max_epochs", [1, 2])
def test_a_rate_that_is_far_too_high_is_never_silent(faces, learning_rate, optimizer, max_epochs):
    """Also where the last step alone does the harm: one step makes an epoch."""
    reg = tiny(
        networks=(TINY,),
        learning_rate=learning_rate,
        optimizer=optimizer,
        schedule="constant",
        batch_size=12,
        max_epochs=max_epochs,
    )
    with pytest.raises(ValueError, match=r"stage 1, epoch \d: .* diverged; try a lower learning_"):
        reg.fit(faces.data, faces.target)
    if hasattr(reg, "networks_"):  # the best epoch before
        assert np.isfinite(reg.predict(faces.data)).all()


def test_weights_are_checked_after_the_last_step(faces, monkeypatch):
    real = loop._train_epoch

    def spoil(network, *rest):
        row = real(network, *rest)
        with torch.no_grad():
            network.network.hidden.weight[0, 0] = torch.nan
        return row

    monkeypatch.setattr(loop, "_train_epoch", spoil)
    with pytest.raises(ValueError, match=r"stage 1, epoch 1: network.hidden.weight is not finite"):
        tiny(networks=(TINY,), max_epochs=1).fit(faces.data, faces.target)


def test_the_best_epoch_before_the_divergence_is_kept(faces, monkeypatch):
    real, count = loop._train_epoch, 0

    def spoil(network, *rest):
        nonlocal count
        count += 1
        row = real(network, *rest)
        if count == 3:
            with torch.no_grad():
                network.network.output.bias.fill_(torch.inf)
        return row

    monkeypatch.setattr(loop, "_train_epoch", spoil)
    reg = tiny(networks=(TINY,), max_epochs=5)
    with pytest.raises(ValueError, match="stage 1, epoch 3") as raised:
        reg.fit(faces.data, faces.target)
    assert "stage 1 after 2 epochs" in raised.value.__notes__[0]
    assert reg.n_iter_ == [2]
    assert np.isfinite(reg.predict(faces.data)).all()


def test_infinities_that_a_network_was_built_with_are_no_divergence(faces):
    class Masked(PlainCNN):
        def __init__(self, n_landmarks):
            super().__init__(n_landmarks, (8, 16), 16, n_hidden=32)
            self.register_buffer("mask", torch.tensor([0.0, -torch.inf]))

    reg = tiny(networks=(Masked,), max_epochs=1).fit(faces.data, faces.target)
    assert reg.n_iter_ == [1]


@pytest.mark.parametrize("value", [1e30, -1e200, 2e9])
def test_a_landmark_in_no_image_is_named_before_training(faces, value):
    y = faces.target.copy()
    y[7, 3, 1] = value
    with pytest.raises(ValueError, match=r"y is .* at sample 7, landmark 3"):
        tiny().fit(faces.data, y)
    with pytest.raises(ValueError, match=r"y_val is .* at sample 7, landmark 3"):
        tiny().fit(faces.data, faces.target, X_val=faces.data, y_val=y)


def test_a_label_far_away_is_named_where_training_diverges(faces):
    y = faces.target.copy()
    y[7, 3] = 9e5
    with pytest.raises(ValueError, match=r"diverged; sample 7 has landmark 3 at .*far from"):
        tiny(networks=(TINY,), learning_rate=0.1, **WILD).fit(faces.data, y)


# ---------------------------------------------------------------------------------------
# Networks that answer NaN
# ---------------------------------------------------------------------------------------
def spoil(network, value):
    with torch.no_grad():
        network.output.bias[3] = value


@pytest.fixture(scope="module")
def three_stages(faces):
    return tiny(networks=(TINY,) * 3, max_epochs=1).fit(faces.data, faces.target)


@pytest.mark.parametrize(
    "stage, value",
    first_fast(
        [
            *[(1, torch.nan), (1, -torch.inf)],
            *[(0, 1e30), (2, torch.inf), (2, 1e30)],
        ]
    ),
)
def test_nan_of_a_stage_is_nan_at_the_end(faces, three_stages, stage, value):
    reg = copy.deepcopy(three_stages)
    spoil(reg.networks_[stage], value)
    if (stage, value) == (2, 1e30):
        assert (np.abs(reg.predict(faces.data)[:, 1]).max(-1) > 1e20).all()
        return
    with pytest.warns(UserWarning, match="NaN or infinite numbers for 12 of 12 samples") as told:
        points = reg.predict(faces.data)
    assert len(told) == 1
    assert np.isnan(points).any((1, 2)).all()
    if stage < 2:
        assert np.isnan(points).all()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        staged = list(reg.staged_predict(faces.data))
    assert np.isfinite(staged[stage - 1]).all() or stage == 0
    np.testing.assert_array_equal(staged[-1], points)


@pytest.mark.slow
def test_other_samples_are_answered_as_ever(faces):
    class NanForBright(PlainCNN):
        limit = 2.0

        def __init__(self, n_landmarks):
            super().__init__(n_landmarks, (8, 16), 16, n_hidden=32)

        def forward(self, images):
            points = super().forward(images)
            bright = images.mean((1, 2, 3)) > self.limit
            return torch.where(bright[:, None, None], torch.nan, points)

    reg = tiny(networks=(NanForBright, TINY), max_epochs=1).fit(faces.data, faces.target)
    before = reg.predict(faces.data)
    images = [faces.data.decode(i).mean() / 255 for i in range(12)]
    reg.networks_[0].limit = float(np.median(images))
    with pytest.warns(UserWarning, match=r"for \d of 12 samples"):
        points = reg.predict(faces.data)
    lost = np.isnan(points).all((1, 2))
    assert 0 < lost.sum() < 12
    np.testing.assert_allclose(points[~lost], before[~lost], atol=1e-3)
    assert np.isfinite(points[~lost]).all()


def test_points_that_coincide_are_no_nan(faces):
    """They decide no crop, and the average crop takes its place."""
    reg = tiny(max_epochs=1).fit(faces.data, faces.target)
    with torch.no_grad():
        reg.networks_[0].output.weight.zero_()
        reg.networks_[0].output.bias.fill_(8.0)
    reg.asymmetry_[0][:] = 0
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(reg.predict(faces.data)).all()


def test_later_stages_do_not_learn_on_nan(faces, monkeypatch):
    real = loop.train

    def train(network, *args, **options):
        rows = real(network, *args, **options)
        spoil(network.network, torch.nan)
        return rows

    monkeypatch.setattr(loop, "train", train)
    with pytest.raises(ValueError, match="stage 2, epoch 0: the previous stages return"):
        tiny(max_epochs=1).fit(faces.data, faces.target)


class Fractions(PlainCNN):
    """Returns fractions of the input in place of its pixels."""

    def forward(self, images):
        return super().forward(images) / images.shape[-1]


@pytest.mark.parametrize("build", [PlainCNN, Fractions])
def test_a_network_that_returns_fractions_is_told(faces, build):
    reg = tiny(networks=(partial(build, widths=(4, 8), input_size=16, n_hidden=8),), max_epochs=1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        reg.fit(faces.data, faces.target)
    told = [str(w.message) for w in caught if "pixels of its input, 0 to 15" in str(w.message)]
    assert len(told) == (build is Fractions)
    assert all(message.startswith("stage 1: ") for message in told)
