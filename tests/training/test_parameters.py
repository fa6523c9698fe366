import math
from fractions import Fraction
from itertools import product
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from sklearn.base import clone

from skwing import Augmentation, CascadeLandmarkRegressor
from skwing._crops.augmentation import AUGMENTATIONS
from skwing._crops.random_changes import StageAugmentation
from skwing._training.parameters import (
    SETTINGS,
    auto_epochs,
    check_mixed,
    per_stage,
    stage_settings,
)
from skwing._utils.checks import (
    PerStage,
    check_choice,
    check_number,
    check_table,
)
from skwing._utils.device import check_device


def given(**changes):
    return CascadeLandmarkRegressor().get_params(deep=False) | changes


def settings_of(n_stages, n_samples=100, start=None, **changes):
    return stage_settings(check_table(SETTINGS, given(**changes)), n_stages, n_samples, start)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (5, [5, 5, 5]),
        (None, [None, None, None]),
        ((5,), [5, 5, 5]),
        ([5, 6], [5, 6, 6]),
        ((5, 6, 7), [5, 6, 7]),
        ((5, 6, 7, 8), [5, 6, 7]),
        ((), []),
    ],
)
def test_one_value_holds_for_all_stages_and_the_last_for_those_beyond(value, expected):
    assert per_stage(value, 3) == expected


@pytest.mark.parametrize(
    ("value", "options"),
    [
        (0, {}),
        (1, {}),
        (0.5, {}),
        (np.float32(0.5), {}),
        (np.int64(1), {"integer": True}),
        (np.array(1), {"integer": True}),
        (np.array(0.5), {}),
        (Fraction(1, 2), {}),
        (1e300, {"high": math.inf}),
        (1, {"ends": "(]"}),
        (0, {"ends": "[)"}),
    ],
)
def test_numbers_in_range_pass_as_plain_ones(value, options):
    """torch, as an instance, takes no integer 0 for a momentum and no float32 of numpy."""
    number = check_number(value, "x", **{"low": 0, "high": 1, **options})
    assert number == value
    assert type(number) is (int if options.get("integer") else float)


@pytest.mark.parametrize(
    ("value", "options", "message"),
    [
        (-1e-9, {}, r"x must be a number in \[0, 1\], got -1e-09"),
        (1.1, {}, r"\[0, 1\], got 1.1"),
        (0, {"ends": "(]"}, r"\(0, 1\], got 0"),
        (1.0, {"ends": "[)"}, r"\[0, 1\), got 1.0"),
        (math.nan, {}, "got nan"),
        (math.inf, {"high": math.inf}, r"a number in \[0, inf\), got inf"),
        (True, {}, "got True"),
        ("0.5", {}, "got '0.5'"),
        (None, {}, "got None"),
        (np.ones(2), {}, r"got array\(\[1., 1.\]\)"),
        (torch.tensor(0.5), {}, "got tensor"),
        (1.0, {"integer": True}, r"x must be an integer in \[0, 1\], got 1.0"),
        (2, {"integer": True}, "got 2"),
        (10**400, {"high": math.inf}, r"x must be a number in \[0, inf\), got 10+\.\.\."),
        (10**400, {"integer": True}, "x must be an integer"),
        (np.array(True), {}, "got array"),
    ],
)
def test_other_values_are_refused_by_name(value, options, message):
    with pytest.raises(ValueError, match=message):
        check_number(value, "x", **{"low": 0, "high": 1, **options})


def test_an_integer_without_a_text_is_refused_as_well():
    with pytest.raises(ValueError, match=r"x must be a number in .*, got a value of type int"):
        check_number(10**5000, "x")


def test_unknown_names_are_told_the_choices():
    assert check_choice("b", "letter", ("a", "b")) == "b"
    with pytest.raises(ValueError, match="letter must be one of 'a', 'b'"):
        check_choice("c", "letter", ("a", "b"))
    for odd in (np.array(["a", "b"]), ["a"], None):
        with pytest.raises(ValueError, match="letter must be one of"):
            check_choice(odd, "letter", {"a": 1, "b": 2})
    assert check_choice(None, "letter", (None, 7)) is None
    assert check_choice(7, "letter", (None, 7)) == 7


def test_each_stage_gets_its_own_values():
    settings = settings_of(
        3,
        w=(10, 15),
        epsilon=3,
        max_epochs=[2, 3],
        augmentation=Augmentation(rotation=(30, 20, 10)),
        batch_size=7,
    )
    assert [own.w for own in settings] == [10, 15, 15]
    assert [own.epsilon for own in settings] == [3, 3, 3]
    assert [own.max_epochs for own in settings] == [2, 3, 3]
    assert [own.augmentation.rotation for own in settings] == [30, 20, 10]
    assert [own.batch_size for own in settings] == [7, 7, 7]
    assert all(isinstance(own.augmentation, StageAugmentation) for own in settings)


def test_a_batch_is_not_larger_than_the_number_of_samples_and_32():
    sizes = {n: settings_of(2, n, batch_size=500)[1].batch_size for n in (1, 31, 33, 499, 1000)}
    assert sizes == {1: 32, 31: 32, 33: 33, 499: 499, 1000: 500}
    assert settings_of(2, 1, batch_size=8)[1].batch_size == 8


@pytest.mark.parametrize("n_stages", [1, 2, 3])
def test_defaults_are_good_for_any_number_of_stages(n_stages):
    assert len(settings_of(n_stages)) == n_stages


def test_auto_epochs_grow_as_samples_get_fewer_and_steps_as_they_get_more():
    assert [own.max_epochs for own in settings_of(3, 1600)] == [60, 160, 160]
    assert [own.max_epochs for own in settings_of(2, 1600, max_epochs=(7, "auto"))] == [7, 160]
    counts = [1, 10, 100, 1000, 10_000, 100_000, 10_000_000]
    epochs = [auto_epochs(0, n) for n in counts]
    steps = [math.ceil(n / 32) * e for n, e in zip(counts, epochs, strict=True)]
    assert epochs == sorted(epochs, reverse=True)
    assert steps == sorted(steps)
    assert auto_epochs(1, 10**9) == 1


def test_training_from_a_model_is_shorter_but_no_shorter_with_fewer_samples():
    for stage, n in product(range(3), [1, 10, 100, 400, 1600, 10_000]):
        started, scratch = auto_epochs(stage, n, started=True), auto_epochs(stage, n)
        assert started == auto_epochs(stage, max(n, 400), started=True)
        assert 2 * started <= scratch + 1


def test_stages_that_a_model_does_not_have_are_trained_as_without_it():
    model = SimpleNamespace(networks_=[None, None])
    scratch, same, other = (
        settings_of(3, 100, start=start)
        for start in (
            None,
            SimpleNamespace(model=model, same=True),
            SimpleNamespace(model=model, same=False),
        )
    )
    assert same[2] == other[2] == scratch[2]
    for i in range(2):
        assert same[i].max_epochs == other[i].max_epochs < scratch[i].max_epochs
        assert same[i].learning_rate < other[i].learning_rate == scratch[i].learning_rate


def test_patience_is_early_stopping():
    (own,) = settings_of(1, early_stopping=True, n_iter_no_change=4)
    assert own.patience == 4
    (own,) = settings_of(1, early_stopping=False, n_iter_no_change=4)
    assert own.patience is None


def one_setting(name, value):
    """A setting by its name, as `augmentation.rotation` too."""
    if name in AUGMENTATIONS:
        return {"augmentation": Augmentation(**{name: value})}, f"augmentation.{name}"
    return {name: value}, name


@pytest.mark.parametrize("name", [*AUGMENTATIONS, "learning_rate", "w", "epsilon", "weight_decay"])
def test_a_wrong_value_of_any_stage_is_named(name):
    good = getattr(Augmentation() if name in AUGMENTATIONS else CascadeLandmarkRegressor(), name)
    good = good[0] if isinstance(good, tuple) else good
    for wrong in (-1, "much", math.nan, math.inf):
        for value in (wrong, (good, wrong), np.array([good, wrong], dtype=object)):
            settings, told = one_setting(name, value)
            with pytest.raises(ValueError, match=f"^{told} must be a number"):
                settings_of(2, **settings)
    settings, told = one_setting(name, ())
    with pytest.raises(ValueError, match=f"{told} is empty"):
        settings_of(2, **settings)


def test_no_augmentation_is_one_of_zeros_and_the_default_is_a_plain_one():
    (still,) = settings_of(1, augmentation=None)
    assert still.augmentation == StageAugmentation()
    zeros = Augmentation(**dict.fromkeys(AUGMENTATIONS, 0))
    assert settings_of(1, augmentation=zeros) == [still]
    assert settings_of(3) == settings_of(3, augmentation=Augmentation())


PER_STAGE = [name for name, what in SETTINGS.items() if isinstance(what, PerStage)]


@pytest.mark.parametrize("name", [*PER_STAGE, *AUGMENTATIONS])
@pytest.mark.parametrize("values", [[0.1, 0.2], [0.1, 0.2, 0.3, 0.4], [0.3]])
def test_an_array_is_a_value_of_each_stage_as_a_tuple_is(name, values):
    values = [round(10 * value) for value in values] if name == "max_epochs" else values
    array, same = (one_setting(name, kind(values))[0] for kind in (np.array, tuple))
    assert settings_of(3, **array) == settings_of(3, **same)
    reg = clone(CascadeLandmarkRegressor(**array))
    assert settings_of(3, **reg.get_params(deep=False)) == settings_of(3, **same)
    assert "array" in repr(reg)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"w": 0}, r"w must be a number in \(0, inf\), got 0"),
        ({"epsilon": 0.0}, r"epsilon must be a number in \(0, inf\), got 0.0"),
        ({"learning_rate": 0}, r"learning_rate must be a number in \(0, inf\)"),
        ({"max_epochs": 0}, r"max_epochs must be an integer in \[1, 2147483647\] or 'auto', got 0"),
        ({"max_epochs": 2.5}, "max_epochs must be an integer"),
        ({"max_epochs": "many"}, "max_epochs must be an integer"),
        ({"batch_size": 0}, r"batch_size must be an integer in \[1, 2147483647\], got 0"),
        ({"momentum": 1}, r"momentum must be a number in \[0, 1\), got 1"),
        ({"margin": -0.5}, r"margin must be a number in \[-0.4, 2\], got -0.5"),
        ({"n_iter_no_change": 0}, "n_iter_no_change must be an integer"),
        ({"validation_fraction": 1.5}, "validation_fraction must be a number"),
        ({"optimizer": "adam"}, "optimizer must be one of 'adamw', 'sgd'"),
        ({"schedule": "step"}, "schedule must be one of 'one_cycle'"),
        ({"refine_on": "both"}, "refine_on must be one of 'predicted', 'truth'"),
        ({"precision": "half"}, "precision must be one of 'auto', 'mixed'"),
    ],
)
def test_settings_out_of_range_are_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        settings_of(1, **changes)


def test_settings_are_only_read():
    reg = CascadeLandmarkRegressor(augmentation=Augmentation(rotation=[10, 20]), w=(5, 6))
    before = dict(vars(reg))
    stage_settings(check_table(SETTINGS, reg), 3, 100)
    assert vars(reg) == before
    assert reg.augmentation.rotation == [10, 20]


def test_devices():
    assert check_device("cpu") == torch.device("cpu")
    assert check_device(torch.device("cpu")) == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert check_device("auto").type == expected


@pytest.mark.parametrize("device", ["gpu", "cuda:999", "mps:7", None, 3.5])
def test_devices_that_are_not_there_are_refused(device):
    with pytest.raises(ValueError, match=r"device=.* cannot be used here"):
        check_device(device)


@pytest.mark.gpu
def test_a_device_has_its_number():
    # Threads that cut chips have no current device of their own.
    assert check_device("cuda").index == torch.cuda.current_device()
    assert check_device("auto").index == torch.cuda.current_device()


CPU = torch.device("cpu")
SAFE, OTHER = SimpleNamespace(mixed_precision=True), SimpleNamespace()


def test_precision_can_be_chosen():
    assert check_mixed("mixed", CPU, OTHER)
    assert not check_mixed("float32", CPU, SAFE)


@pytest.mark.parametrize("onednn", [True, False])
@pytest.mark.parametrize("instructions", [True, False])
@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_auto_takes_bfloat16_where_the_processor_has_it(monkeypatch, onednn, instructions, machine):
    monkeypatch.setattr("torch.backends.mkldnn.is_available", lambda: onednn)
    monkeypatch.setattr("torch.ops.mkldnn._is_mkldnn_bf16_supported", lambda: True, raising=False)
    monkeypatch.setattr("torch.cpu._is_avx512_bf16_supported", lambda: instructions, raising=False)
    monkeypatch.setattr("platform.machine", lambda: machine)
    assert check_mixed("auto", CPU, SAFE) == (onednn and (instructions or machine == "aarch64"))
    assert not check_mixed("auto", CPU, OTHER)
