"""Every public setting refuses what it can not use, by name, before an image is decoded."""

import re

import numpy as np
import pytest
from bad_values import ACCEPTED, BAD_VALUES, CALLS, ESTIMATORS, TINY, fit, untouchable
from small import UNBENT, first_fast

from skwing import Augmentation, BoxedImages, CascadeLandmarkRegressor, PoseBalancer
from skwing._crops.augmentation import AUGMENTATIONS
from skwing._utils.checks import PerStage
from skwing.boxes import adjust_boxes

SETTINGS_OF = {cls.__name__: tuple(cls().get_params(deep=False)) for cls in ESTIMATORS}
FITS = {cls.__name__: cls for cls in ESTIMATORS}
PAIRS = [
    *((owner, name) for owner, names in SETTINGS_OF.items() for name in names),
    *((owner, name) for owner, (names, _) in CALLS.items() for name in names),
]


def call(owner, **settings):
    if owner in CALLS:
        return CALLS[owner][1](**settings)
    if owner == "CascadeLandmarkRegressor":
        settings = {"networks": (TINY, TINY), **settings}
    return fit(FITS[owner], **settings)


def refusal(owner, name, value):
    """The message by which a value is refused, None if it is not."""
    try:
        call(owner, **{name: value})
    except (ValueError, TypeError, FileNotFoundError) as error:
        return str(error)
    except AssertionError as error:
        assert "was decoded" in str(error)
    return None


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_every_parameter_has_a_constraint(cls):
    assert set(cls._constraints) == set(cls().get_params(deep=False))


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_defaults_are_accepted_and_reach_the_images(cls):
    for name, constraint in cls._constraints.items():
        constraint.check(getattr(cls(), name), name)
    if cls is CascadeLandmarkRegressor:
        with pytest.raises(AssertionError, match="sample 0 was decoded"):
            fit(cls, networks=(TINY,))


@pytest.mark.parametrize(("owner", "name"), PAIRS, ids=lambda part: part)
def test_bad_values_are_refused_by_the_name_of_the_setting(owner, name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # "no" may be a folder to write to
    for kind, value in BAD_VALUES.items():
        message = refusal(owner, name, value)
        if kind in ACCEPTED.get((owner, name), ()):
            assert message is None, f"{kind} is refused: {message}"
        else:
            assert message is not None, f"{kind} is accepted"
            assert re.search(rf"\b{name}\b", message), f"{kind}: {message}"
            assert len(message) < 400


PER_STAGE = [k for k, v in CascadeLandmarkRegressor._constraints.items() if type(v) is PerStage]


@pytest.mark.parametrize("name", [*PER_STAGE, *AUGMENTATIONS])
def test_a_bad_value_of_one_stage_names_the_stage(name):
    cls, told = CascadeLandmarkRegressor, name
    if name in AUGMENTATIONS:
        cls, told = Augmentation, f"augmentation.{name}"
    good = getattr(cls(), name)
    good = good[0] if isinstance(good, tuple) else good
    for kind, value in BAD_VALUES.items():
        message = refusal(cls.__name__, name, (good, value))
        assert message, kind
        assert message.startswith(f"{told} must be")
        assert message.endswith("for stage 2"), message


@pytest.mark.slow
@pytest.mark.parametrize("name", ["average_mirrored", "early_stopping", "warm_start", "absolute"])
@pytest.mark.parametrize("value", ["False", "no", "0", "", 0, 1, None, np.array([True])])
def test_only_flags_are_flags(name, value):
    owner = "PoseBalancer" if name == "absolute" else "CascadeLandmarkRegressor"
    message = refusal(owner, name, value)
    assert message == f"{name} must be True or False, got {value!r}"
    assert refusal(owner, name, np.True_) is None


def test_return_std_is_a_flag():
    with pytest.raises(ValueError, match="return_std must be True or False, got 'no'"):
        CascadeLandmarkRegressor().predict(untouchable()[0], return_std="no")


@pytest.mark.parametrize(
    ("settings", "match"),
    [
        ({"networks": (TINY, "cnn8")}, r"networks\[1\]: unknown network 'cnn8'"),
        ({"networks": (TINY, 5)}, r"networks\[1\]: network must be a name"),
        ({"networks": (TINY, TINY(5))}, r"networks\[1\]: network is an instance of PlainCNN"),
        ({"networks": (TINY, lambda n: None)}, r"networks\[1\]: .*must return a torch.nn.Module"),
        ({"networks": (TINY, lambda: None)}, r"networks\[1\]: .*takes 0 positional arguments"),
    ],
)
def test_a_network_that_is_none_is_named_by_its_place(settings, match):
    with pytest.raises((ValueError, TypeError), match=match):
        fit(CascadeLandmarkRegressor, **settings)


# ---------------------------------------------------------------------------------------
# Numbers of numpy, and extreme ones that are allowed
# ---------------------------------------------------------------------------------------
rng = np.random.default_rng(1)
X = rng.integers(0, 256, (6, 24, 24, 3), dtype=np.uint8)
Y = rng.uniform(3, 20, (6, 5, 2))


def fitted(**settings):
    defaults = {"networks": (TINY, TINY), "max_epochs": 1, "batch_size": 3, "random_state": 0}
    return CascadeLandmarkRegressor(device="cpu", **{**UNBENT, **defaults, **settings}).fit(X, Y)


@pytest.mark.slow
def test_numbers_of_numpy_are_numbers_and_arrays_are_sequences():
    plain = fitted(w=(5.0, 6.0), learning_rate=float(np.float32(1e-3)), max_epochs=(2, 1))
    same = fitted(
        w=np.array([5.0, 6.0]),
        learning_rate=np.float32(1e-3),
        max_epochs=np.array([2, 1]),
        batch_size=np.int16(3),
        momentum=np.float64(0.9),
        weight_decay=np.array(0.5),
        margin=[np.float64(0), np.float64(0.08)],
        random_state=np.uint8(0),
        networks=[TINY, TINY],
        average_mirrored=np.True_,
        optimizer=np.str_("adamw"),
        verbose=np.int64(0),
    )
    np.testing.assert_array_equal(plain.predict(X), same.predict(X))
    np.testing.assert_array_equal(same.w, [5.0, 6.0])  # as it was given


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", first_fast(["adamw", "sgd"]))
@pytest.mark.parametrize("momentum", first_fast([0, 0.0, np.float32(0)]))
def test_momentum_may_be_zero(optimizer, momentum):
    plain = fitted(optimizer=optimizer, momentum=0.0, learning_rate=1e-4)
    answer = fitted(optimizer=optimizer, momentum=momentum, learning_rate=1e-4).predict(X)
    np.testing.assert_array_equal(answer, plain.predict(X))
    other = fitted(optimizer=optimizer, momentum=0.9, learning_rate=1e-4, max_epochs=2)
    assert np.abs(answer - other.predict(X)).max() > 0


@pytest.mark.slow
def test_verbose_may_be_a_flag(capsys):
    fitted(verbose=True)
    assert "epoch" in capsys.readouterr().err
    fitted(verbose=False)
    assert capsys.readouterr().err == ""


# ---------------------------------------------------------------------------------------
# Limits
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("most", [2**60, 2**63 - 1, 2**64 - 1, 10**13])
def test_the_sum_of_repeats_has_a_limit(most):
    repeats = np.array([1, most, 1, 1, 1, 1], dtype=np.uint64)
    for make in (
        lambda: BoxedImages(X, repeats=repeats),
        lambda: BoxedImages(X).with_repeats(repeats),
    ):
        with pytest.raises(ValueError, match=r"sum of repeats is .*, the maximum \d+; expected"):
            make()


@pytest.mark.slow
def test_repeats_of_a_thousand_million_take_no_memory():
    """A sample that is drawn that often is all that a training sees, and the others go on."""
    repeats = np.array([10**9, 0, 0, 0, 0, 0])
    often = CascadeLandmarkRegressor(networks=(TINY,), max_epochs=1, random_state=0, device="cpu")
    assert np.isfinite(often.fit(BoxedImages(X, repeats=repeats), Y).predict(X)).all()


@pytest.mark.parametrize("n_bins", [10**9, 10**6 + 1])
def test_the_number_of_bins_has_a_limit(n_bins):
    with pytest.raises(ValueError, match=r"n_bins must be an integer in \[1, 1000000\], got 1"):
        PoseBalancer(n_bins=n_bins).fit(X, Y)
    assert len(PoseBalancer(n_bins=10**6).fit(X, Y).bin_edges_) == 10**6 + 1


@pytest.mark.parametrize("box", [[0, 0, 1e300, 5], [0, 0, 5, 1e300], [-1e12, 0, 9, 9]])
def test_a_box_beyond_any_image_names_the_sample(box):
    boxes = np.tile([0.0, 0, 24, 24], (6, 1))
    boxes[3] = box
    with pytest.raises(ValueError, match=r"sample 3: the box .* expected image pixels, at most"):
        BoxedImages(X, boxes=boxes)
    with pytest.raises(ValueError, match="sample 3: the box"):
        adjust_boxes(boxes)


@pytest.mark.parametrize("size", [1e-300, 1e-9])
def test_a_box_of_no_area_names_the_sample(size):
    boxes = np.tile([0.0, 0, 24, 24], (6, 1))
    boxes[4, 2:] = size
    with pytest.raises(ValueError, match=r"sample 4: .* expected a width and height above 0"):
        BoxedImages(X, boxes=boxes)


@pytest.mark.parametrize("cls", ESTIMATORS)
@pytest.mark.parametrize("factor", [1e200, 1e30, 1e10])
def test_landmarks_beyond_any_image_name_the_sample(cls, factor):
    far = Y.copy()
    far[2, 3] *= factor
    fit_to = "fit_resample" if hasattr(cls, "fit_resample") else "fit"
    with pytest.raises(ValueError, match=r"y is \[.*\] at sample 2, landmark 3: expected image"):
        getattr(cls(), fit_to)(untouchable()[0], far)


@pytest.mark.parametrize("cls", ESTIMATORS)
def test_landmarks_too_near_to_one_another_are_one_point(cls):
    fit_to = "fit_resample" if hasattr(cls, "fit_resample") else "fit"
    with pytest.raises(ValueError, match="two distinct"):
        getattr(cls(), fit_to)(untouchable()[0], Y * 1e-200)
