import functools
import pickle

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from skwing.losses import (
    LOSSES,
    bind_loss,
    check_loss,
    l1,
    l2,
    rectified_wing,
    smooth_l1,
    soft_wing,
    wing,
)

positive = st.floats(0.05, 50)


def t(*values):
    return torch.tensor(values, dtype=torch.float64)


def gradient(loss, x, **keywords):
    x = x.clone().requires_grad_()
    loss(x, **keywords).sum().backward()
    return x.grad


# ---------------------------------------------------------------------------------------
# Goldens. C, the value at w and the slopes: from the definition of Feng et al. (2018),
# C = w - w ln(1 + w / epsilon), to the digits printed; C of the first row also stands in
# issue 10 of the authors' repository (github.com/FengZhenhua/Wing-Loss).
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("w", "epsilon", "offset", "at_w", "slope_at_0", "slope_below_w"),
    [
        (10, 2, -7.9176, 17.9176, 5, 0.8333),
        (15, 3, -11.8764, 26.8764, 5, 0.8333),
        (10, 1, -13.979, 23.979, 10, 0.9091),
        (5, 0.5, -6.9895, 11.9895, 10, 0.9091),
    ],
)
def test_wing_constants(w, epsilon, offset, at_w, slope_at_0, slope_below_w):
    tiny = 1e-9
    value = wing(t(w, w + 7.0, 1000.0), w, epsilon)
    torch.testing.assert_close(value, t(at_w, 7 + at_w, 1000 - offset), rtol=0, atol=6e-4)
    slope = gradient(wing, t(tiny, w - tiny, w, w + 3.0), w=w, epsilon=epsilon)
    torch.testing.assert_close(slope, t(slope_at_0, slope_below_w, 1, 1), rtol=0, atol=6e-5)


@pytest.mark.parametrize(("r", "offset"), [(0.2, -7.7495), (0.5, -7.4920), (1.0, -7.0475)])
def test_rectified_wing_constants(r, offset):
    # From the definition in lossRWingNorm.m of the authors' repository (commit 410e81b).
    value = rectified_wing(t(0, r, 100), r=r)
    torch.testing.assert_close(value, t(0, 0, 100 - offset), rtol=0, atol=6e-5)
    slope = gradient(rectified_wing, t(r - 1e-9, r + 1e-9, 10 - 1e-9, 10), r=r)
    torch.testing.assert_close(slope, t(0, 5, 10 / (12 - r), 1), rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("loss", "values", "gradients"),
    [
        (l1, [7.5, 0.25, 0, 3], [-1, -1, 0, 1]),
        (l2, [28.125, 0.03125, 0, 4.5], [-7.5, -0.25, 0, 3]),
        (smooth_l1, [7, 0.03125, 0, 2.5], [-1, -0.25, 0, 1]),
        # 10 ln 4.75, 10 ln 1.125, 0, 10 ln 2.5 and 10 / (2 + |x|)
        (
            wing,
            [15.5814462, 1.1778304, 0, 9.1629073],
            [-1.0526316, -4.4444444, 0, 2],
        ),
        # 10 ln 4.5, 0, 0, 10 ln 2.25 and 10 / (1.5 + |x|)
        (
            rectified_wing,
            [15.0407740, 0, 0, 8.1093022],
            [-1.1111111, 0, 0, 2.2222222],
        ),
        # 2 + 10 ln (9.5 / 4), |x|, |x|, 2 + 10 ln (5 / 4) and 10 / (2 + |x|)
        (
            soft_wing,
            [10.6499744, 0.25, 0, 4.2314355],
            [-1.0526316, -1, 0, 2],
        ),
    ],
)
def test_values_and_gradients(loss, values, gradients):
    x = t(-7.5, -0.25, 0, 3)
    torch.testing.assert_close(loss(x), t(*values), rtol=0, atol=1e-7)
    torch.testing.assert_close(gradient(loss, x), t(*gradients), rtol=0, atol=1e-7)


def test_soft_wing_as_published():
    # w=20, epsilon=0.5, threshold=2: 20 ln(1 + x / 0.5) + 2 - 20 ln 5 from 2 pixels on.
    value = soft_wing(t(1.5, 2, 4.5, 32), w=20, epsilon=0.5, threshold=2)
    torch.testing.assert_close(value, t(1.5, 2, 15.8629436, 53.2989871), rtol=0, atol=1e-6)


# ---------------------------------------------------------------------------------------
# Laws
# ---------------------------------------------------------------------------------------
each_loss = pytest.mark.parametrize("name", LOSSES)


@each_loss
def test_even_monotone_and_zero_at_zero(name):
    x = torch.linspace(0, 40, 4001, dtype=torch.float64)
    value = LOSSES[name](x)
    assert value[0] == 0
    assert (value.diff() >= 0).all()
    torch.testing.assert_close(LOSSES[name](-x), value, rtol=0, atol=0)
    torch.testing.assert_close(gradient(LOSSES[name], -x), -gradient(LOSSES[name], x))


@each_loss
@pytest.mark.parametrize("where", [0.0, 0.5, 1.0, 2.0, 10.0])
def test_continuous_where_branches_meet(name, where):
    below, at, above = LOSSES[name](t(where - 1e-10, where, where + 1e-10))
    assert abs(at - below) < 1e-8 and abs(above - at) < 1e-8


@each_loss
def test_one_value_per_coordinate(name):
    x = torch.randn(3, 5, 2, generator=torch.Generator().manual_seed(0)) * 8
    value = LOSSES[name](x)
    assert value.shape == x.shape and value.dtype == x.dtype
    one_by_one = torch.stack([LOSSES[name](v) for v in x.flatten()]).reshape(x.shape)
    torch.testing.assert_close(value, one_by_one)
    assert LOSSES[name](torch.zeros(0, 5, 2)).shape == (0, 5, 2)


@each_loss
def test_gradcheck(name):
    # Away from the points where branches meet: 0, r=0.5, 1, threshold=2, w=10.
    x = t(-23, -10.5, -9.5, -2.5, -1.5, -0.75, 0.25, 0.75, 1.5, 2.5, 9.5, 10.5, 400)
    assert torch.autograd.gradcheck(LOSSES[name], x.requires_grad_())


@each_loss
@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_finite_everywhere(name, dtype):
    values = [0.0, -0.0, 1e-7, 0.5, 1.0, 2.0, 9.99, 10.0, 10.01, 240.0, -240.0]
    if name != "l2":  # a square may leave the range of half precision
        values += [6e4, -6e4]
    x = torch.tensor(values, dtype=dtype, requires_grad=True)
    value = LOSSES[name](x)
    value.sum().backward()
    assert value.dtype == dtype
    assert value.isfinite().all() and x.grad.isfinite().all()


@pytest.mark.parametrize("name", ["wing", "rectified_wing", "soft_wing", "l1"])
def test_finite_at_the_end_of_the_range(name):
    for dtype in (torch.float16, torch.float32, torch.float64):
        x = torch.tensor([torch.finfo(dtype).max, torch.finfo(dtype).tiny], dtype=dtype)
        assert gradient(LOSSES[name], x).isfinite().all()


@each_loss
def test_a_missing_residual_spoils_only_itself(name):
    x = t(1.0, float("nan"), 20.0).requires_grad_()
    value = LOSSES[name](x)
    assert value.isnan().tolist() == [False, True, False]
    value[[0, 2]].sum().backward()
    assert x.grad[[0, 2]].isfinite().all()


@settings(max_examples=60, deadline=None)
@given(w=positive, epsilon=positive, r=st.floats(0, 0.99), scale=st.floats(0.01, 100))
def test_scaling_the_units_scales_the_loss(w, epsilon, r, scale):
    """Labels divided by S with w / S and epsilon / S: the loss divided by S, exactly."""
    # None of them lies where branches meet, for there the slope hangs on the last bit.
    x = w * t(-3, -1.01, -0.7, -0.123, 0, 0.011, 0.53, 0.991, 20)
    settings_ = {
        wing: {},
        rectified_wing: {"r": r * w},
        soft_wing: {"threshold": 0.4 * w},
    }
    for loss, more in settings_.items():
        scaled = {key: value / scale for key, value in more.items()}
        value = loss(x, w, epsilon, **more) / scale
        rescaled = loss(x / scale, w / scale, epsilon / scale, **scaled)
        torch.testing.assert_close(rescaled, value, rtol=1e-7, atol=1e-12)


@settings(max_examples=60, deadline=None)
@given(w=positive, epsilon=positive)
def test_family_relations(w, epsilon):
    x = torch.linspace(-3 * w, 3 * w, 61, dtype=torch.float64)
    torch.testing.assert_close(rectified_wing(x, w, epsilon, r=0), wing(x, w, epsilon))
    shift = 0.3 * w  # inside, the dead zone is a shift of the curve
    inside = t(0.31, 0.5, 0.99) * w
    torch.testing.assert_close(
        rectified_wing(inside, w, epsilon, r=shift), wing(inside - shift, w, epsilon)
    )


# ---------------------------------------------------------------------------------------
# Arguments
# ---------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", ["wing", "rectified_wing", "soft_wing"])
@pytest.mark.parametrize("parameter", ["w", "epsilon"])
@pytest.mark.parametrize("value", [0, -1.0, float("nan"), float("inf")])
def test_w_and_epsilon_must_be_positive(name, parameter, value):
    with pytest.raises(ValueError, match=f"{parameter} must be .* got {value}"):
        LOSSES[name](torch.zeros(1), **{parameter: value})
    with pytest.raises(ValueError, match=f"{parameter} must be .* got {value}"):
        bind_loss(name, **{parameter: value})


@pytest.mark.parametrize("r", [-0.1, 10.0, 11, float("nan")])
def test_r_must_lie_below_w(r):
    with pytest.raises(ValueError, match=rf"r must be a number in \[0, 10.0\), got {r}"):
        rectified_wing(torch.zeros(1), r=r)


@pytest.mark.parametrize("threshold", [0, -2.0, float("nan")])
def test_threshold_must_be_positive(threshold):
    with pytest.raises(ValueError, match=f"threshold must be .* got {threshold}"):
        soft_wing(torch.zeros(1), threshold=threshold)


def test_check_loss():
    assert check_loss("rectified_wing") is rectified_wing
    assert check_loss(torch.abs) is torch.abs
    with pytest.raises(ValueError, match=r"'wings'.*'l1', 'l2', .*'wing'"):
        check_loss("wings")
    with pytest.raises(TypeError, match="callable; got None"):
        check_loss(None)


def test_classes_and_losses_of_two_tensors_are_refused():
    with pytest.raises(TypeError, match="callable; got <class"):
        check_loss(torch.nn.L1Loss)
    with pytest.raises(TypeError, match=r"L1Loss\(\) must take one tensor, the residuals"):
        bind_loss(torch.nn.L1Loss())


def test_bind_loss_passes_only_what_is_taken():
    x = t(-20.0, 0.3, 4.0)
    torch.testing.assert_close(bind_loss("wing", 5, 1)(x), wing(x, 5, 1))
    torch.testing.assert_close(bind_loss("l2", 5, 1)(x), l2(x))
    for loss in (torch.abs, lambda residual: residual.abs()):
        torch.testing.assert_close(bind_loss(loss, 5, 1)(x), x.abs())
    torch.testing.assert_close(bind_loss(lambda r, w: w * r.abs(), 5, 1)(x), 5 * x.abs())
    torch.testing.assert_close(
        bind_loss(lambda r, *, epsilon: r.abs() / epsilon, 5, 4)(x), x.abs() / 4
    )


def test_bind_loss_respects_what_is_fixed():
    x = t(-20.0, 0.3, 4.0)
    partly = functools.partial(rectified_wing, epsilon=3.0, r=0.25)
    expected = rectified_wing(x, w=5, epsilon=3, r=0.25)
    torch.testing.assert_close(bind_loss(partly, w=5, epsilon=1)(x), expected)


def test_bind_loss_takes_modules():
    class Scaled(torch.nn.Module):
        def forward(self, residual):
            return 2 * residual.abs()

    torch.testing.assert_close(bind_loss(Scaled(), 5, 1)(t(-3.0)), t(6.0))


@each_loss
def test_bound_losses_pickle(name):
    bound = pickle.loads(pickle.dumps(bind_loss(name, 5, 1)))
    x = t(-7.0, 0.2)
    torch.testing.assert_close(bound(x), bind_loss(name, 5, 1)(x))


@pytest.mark.parametrize(
    ("loss", "found"),
    [
        (lambda residual: residual.abs().mean(), r"got \(\)"),
        (lambda residual: residual.abs().sum(-1), r"got \(1, 3\)"),
        (lambda residual: None, "got NoneType"),
    ],
)
def test_a_loss_that_reduces_is_refused(loss, found):
    with pytest.raises(ValueError, match=f"one value per coordinate.*{found}"):
        bind_loss(loss)


def test_the_global_random_state_is_left_alone():
    before = torch.get_rng_state()
    bind_loss("wing")
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("detached", [lambda r: r.detach().abs(), lambda r: r.new_ones(r.shape)])
def test_a_loss_without_gradient_is_refused(detached):
    with pytest.raises(ValueError, match="has no gradient: it must compute its values by"):
        bind_loss(detached)
    with torch.no_grad():
        r = torch.tensor([-2.0])
        assert bind_loss(lambda r: r.abs_())(r).tolist() == [2.0]
