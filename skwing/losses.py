"""Losses without reduction: one value per coordinate.

Each function takes residuals (prediction minus target) in pixels of the network's input and
returns a tensor of the same shape. The caller reduces and weights the values and masks
missing landmarks: a NaN residual gives NaN.

`w` and `epsilon` are in pixels too. With targets scaled to [0, 1], the default values use only
the nearly linear part of the logarithm. If targets are divided by a number, divide `w` and
`epsilon` by it too; this divides the loss exactly by the same number.
"""

from __future__ import annotations

import functools
import inspect
import math
from typing import TYPE_CHECKING

import torch

from skwing._utils.checks import Number, check_table, told

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    Loss: TypeAlias = Callable[[torch.Tensor], torch.Tensor]

__all__ = [
    "LOSSES",
    "bind_loss",
    "check_loss",
    "l1",
    "l2",
    "rectified_wing",
    "smooth_l1",
    "soft_wing",
    "wing",
]


_PIXELS = Number(0, ends="(]")
# Constraints of the parameters of the Wing losses, all in pixels of the network's input.
_SETTINGS = {"w": _PIXELS, "epsilon": _PIXELS, "threshold": _PIXELS}


def _checked(**values: float) -> Any:
    return vars(check_table({name: _SETTINGS[name] for name in values}, values)).values()


def l1(residual: torch.Tensor) -> torch.Tensor:
    """Absolute residual.

    Parameters
    ----------
    residual : tensor
        Prediction minus target, in pixels of the network's input.

    Returns
    -------
    loss : tensor of the shape of `residual`

    Examples
    --------
    >>> import torch
    >>> from skwing.losses import l1
    >>> l1(torch.tensor([-3.0, 0.0, 0.5]))
    tensor([3.0000, 0.0000, 0.5000])
    """
    return residual.abs()


def l2(residual: torch.Tensor) -> torch.Tensor:
    """Half the squared residual.

    Parameters
    ----------
    residual : tensor
        Prediction minus target, in pixels of the network's input.

    Returns
    -------
    loss : tensor of the shape of `residual`

    Examples
    --------
    >>> import torch
    >>> from skwing.losses import l2
    >>> l2(torch.tensor([-3.0, 0.0, 0.5]))
    tensor([4.5000, 0.0000, 0.1250])
    """
    return 0.5 * residual * residual


def smooth_l1(residual: torch.Tensor) -> torch.Tensor:
    """Half the square up to one pixel, the absolute value minus one half above.

    Parameters
    ----------
    residual : tensor
        Prediction minus target, in pixels of the network's input.

    Returns
    -------
    loss : tensor of the shape of `residual`

    Examples
    --------
    >>> import torch
    >>> from skwing.losses import smooth_l1
    >>> smooth_l1(torch.tensor([-3.0, 0.0, 0.5]))
    tensor([2.5000, 0.0000, 0.1250])
    """
    size = residual.abs()
    return torch.where(size < 1, 0.5 * size * size, size - 0.5)


def wing(residual: torch.Tensor, w: float = 10.0, epsilon: float = 2.0) -> torch.Tensor:
    """Wing loss: logarithmic below `w`, linear above.

    For small residuals, the slope is up to ``w / epsilon``, which increases their influence
    relative to large residuals. The loss is continuous at `w`, where the slope changes from
    ``w / (w + epsilon)`` to 1. The gradient at 0 is defined as 0.

    Parameters
    ----------
    residual : tensor
        Prediction minus target, in pixels of the network's input.
    w : float, default=10.0
        End of the logarithmic part, in pixels.
    epsilon : float, default=2.0
        Curvature of the logarithm, in pixels: smaller is steeper at 0.

    Returns
    -------
    loss : tensor of the shape of `residual`

    Raises
    ------
    ValueError
        If `w` or `epsilon` is not a finite number above 0.

    References
    ----------
    Feng et al., "Wing Loss for Robust Facial Landmark Localisation with Convolutional
    Neural Networks", CVPR 2018; table 2 there compares values of `w` and `epsilon`.

    Examples
    --------
    >>> import torch
    >>> from skwing.losses import wing
    >>> wing(torch.tensor([-20.0, -2.0, 0.0, 2.0]))
    tensor([27.9176,  6.9315,  0.0000,  6.9315])
    """
    w, epsilon = _checked(w=w, epsilon=epsilon)
    size = residual.abs()
    offset = w - w * math.log1p(w / epsilon)
    return torch.where(size < w, w * torch.log1p(size / epsilon), size - offset)


def rectified_wing(
    residual: torch.Tensor, w: float = 10.0, epsilon: float = 2.0, r: float = 0.5
) -> torch.Tensor:
    """Rectified Wing loss: Wing loss that is zero for residuals smaller than `r`.

    This dead zone reduces the influence of label noise on training. With ``r=0``, it is
    equal to :func:`wing`.

    Parameters
    ----------
    residual : tensor
        Prediction minus target, in pixels of the network's input.
    w : float, default=10.0
        End of the logarithmic part, in pixels.
    epsilon : float, default=2.0
        Curvature of the logarithm, in pixels.
    r : float, default=0.5
        Half-width of the dead zone, in pixels; at least 0 and below `w`.

    Returns
    -------
    loss : tensor of the shape of `residual`

    Raises
    ------
    ValueError
        If `w` or `epsilon` is not a finite number above 0, or `r` not in [0, w).

    References
    ----------
    Feng et al., "Rectified Wing Loss for Efficient and Robust Facial Landmark
    Localisation with Convolutional Neural Networks", IJCV 128, 2020.

    Examples
    --------
    >>> import torch
    >>> from skwing.losses import rectified_wing
    >>> rectified_wing(torch.tensor([-20.0, -2.5, 0.5, 0.0]))
    tensor([27.4920,  6.9315,  0.0000,  0.0000])
    """
    w, epsilon = _checked(w=w, epsilon=epsilon)
    r = Number(0, w, ends="[)").check(r, "r")  # below w
    size = residual.abs()
    offset = w - w * math.log1p((w - r) / epsilon)
    curved = w * torch.log1p(torch.relu(size - r) / epsilon)
    return torch.where(size < w, curved, size - offset)


def soft_wing(
    residual: torch.Tensor, w: float = 10.0, epsilon: float = 2.0, threshold: float = 2.0
) -> torch.Tensor:
    """Soft Wing loss: linear below `threshold`, logarithmic above.

    The slope for small residuals, which are mostly label noise, is 1 instead of
    ``w / epsilon`` as in the Wing loss. Just above `threshold` it is
    ``w / (threshold + epsilon)``, and it decreases from there. The published setting for
    inputs of 256 pixels is ``w=20, epsilon=0.5, threshold=2``.

    Parameters
    ----------
    residual : tensor
        Prediction minus target, in pixels of the network's input.
    w : float, default=10.0
        Factor of the logarithm, in pixels (the second omega of the source).
    epsilon : float, default=2.0
        Curvature of the logarithm, in pixels.
    threshold : float, default=2.0
        Start of the logarithmic part, in pixels (the first omega of the source).

    Returns
    -------
    loss : tensor of the shape of `residual`

    Raises
    ------
    ValueError
        If `w`, `epsilon` or `threshold` is not a finite number above 0.

    References
    ----------
    Lin et al., "Structure-Coherent Deep Feature Learning for Robust Face Alignment",
    IEEE Transactions on Image Processing, 2021.

    Examples
    --------
    >>> import torch
    >>> from skwing.losses import soft_wing
    >>> soft_wing(torch.tensor([-6.0, -1.5, 0.0]))
    tensor([8.9315, 1.5000, 0.0000])
    """
    w, epsilon, threshold = _checked(w=w, epsilon=epsilon, threshold=threshold)
    size = residual.abs()
    offset = threshold - w * math.log1p(threshold / epsilon)
    return torch.where(size < threshold, size, w * torch.log1p(size / epsilon) + offset)


LOSSES = {
    "l1": l1,
    "l2": l2,
    "smooth_l1": smooth_l1,
    "wing": wing,
    "rectified_wing": rectified_wing,
    "soft_wing": soft_wing,
}


def check_loss(loss: str | Loss) -> Loss:
    """Return the loss function for a name, or the callable itself.

    Parameters
    ----------
    loss : str or callable
        A key of `LOSSES`, or a function that takes a tensor of residuals and returns one
        value per coordinate.

    Returns
    -------
    loss : callable

    Raises
    ------
    ValueError
        If no loss has this name; the message lists the available losses.
    TypeError
        If `loss` is neither a name nor callable, or is a class instead of an instance.

    Examples
    --------
    >>> from skwing.losses import check_loss
    >>> check_loss("wing").__name__
    'wing'
    """
    if isinstance(loss, str):
        if loss not in LOSSES:
            raise ValueError(
                f"Unknown loss {told(loss)}; choose from {sorted(LOSSES)} or a callable."
            )
        return LOSSES[loss]
    if not callable(loss) or isinstance(loss, type):
        raise TypeError(f"loss must be one of {sorted(LOSSES)} or a callable; got {told(loss)}.")
    return loss


def bind_loss(loss: str | Loss, w: float = 10.0, epsilon: float = 2.0) -> Loss:
    """Bind `w` and `epsilon` to a loss, and validate it on a small tensor.

    Parameters
    ----------
    loss : str or callable
        As for :func:`check_loss`. `w` and `epsilon` are passed only to functions with
        parameters of these names. Arguments that a `functools.partial` sets have precedence.
    w, epsilon : float
        In pixels of the network's input.

    Returns
    -------
    loss : callable
        Takes residuals and returns one value per coordinate. It can be pickled if the given
        loss can.

    Raises
    ------
    ValueError
        If the loss rejects `w` or `epsilon`, or its result does not have the shape of the
        residuals, for example because it sums or averages, or has no gradient.
    TypeError
        If the loss cannot be called with residuals alone.

    Examples
    --------
    >>> import torch
    >>> from skwing.losses import bind_loss
    >>> bind_loss("wing", w=5.0, epsilon=1.0)(torch.tensor([4.0]))
    tensor([8.0472])
    """
    loss = check_loss(loss)
    taken = _keywords_of(loss)
    keywords = {k: v for k, v in {"w": w, "epsilon": epsilon}.items() if k in taken}
    bound = functools.partial(loss, **keywords) if keywords else loss
    trial = torch.zeros(1, 3, 2)
    try:
        with torch.enable_grad():
            value = bound(trial.clone().requires_grad_().clone())  # may be changed in place
    except TypeError as error:
        raise TypeError(f"loss {loss!r} must take one tensor, the residuals: {error}") from error
    if not isinstance(value, torch.Tensor) or value.shape != trial.shape:
        found = tuple(value.shape) if isinstance(value, torch.Tensor) else type(value).__name__
        raise ValueError(
            f"loss {loss!r} must return one value per coordinate: for residuals of shape "
            f"{tuple(trial.shape)} a tensor of that shape; got {found}."
        )
    if not value.requires_grad:
        raise ValueError(
            f"loss {loss!r} has no gradient: it must compute its values by differentiable "
            "operations of torch, without detach or numpy."
        )
    return bound


def _keywords_of(function: Loss) -> set[str]:
    """Names of the parameters that can be passed to a function by keyword."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):  # functions written in C have no signature
        return set()
    fixed = function.keywords if isinstance(function, functools.partial) else {}
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return {p.name for p in parameters if p.kind in by_keyword and p.name not in fixed}
