"""Folding of batch normalisation into convolutions, for faster prediction."""

from __future__ import annotations

import copy
import operator
from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from typing import Any


def folded(network: nn.Module) -> nn.Module:
    """Fold batch normalisation into the preceding convolutions of a network.

    In evaluation mode, batch normalisation is a multiplication and an addition of constants,
    which can be included in the weights of the preceding convolution. This is done wherever
    one follows the other in a :class:`torch.nn.Sequential`.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; it is not modified.

    Returns
    -------
    network : torch.nn.Module
        An equivalent network with the current weights, for prediction only. It shares all
        other modules with `network`, and is `network` itself if nothing can be folded.

    Raises
    ------
    ValueError
        If the network is in training mode, where normalisation depends on the batch.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import folded, shape_indexed_64
    >>> network, image = shape_indexed_64(n_landmarks=5).eval(), torch.rand(1, 3, 64, 64)
    >>> torch.allclose(folded(network)(image), network(image))
    True
    """
    if network.training:
        raise ValueError(f"{type(network).__name__} is in training mode: call its eval() first")
    # Not cached: folding takes a small part of the time of one crop, and a cache could be
    # outdated.
    with torch.no_grad():
        return _fold(network)


def _fold(module: nn.Module) -> nn.Module:
    children: Any = module._modules
    if not children:
        return module
    twins = {name: child and _fold(child) for name, child in children.items()}
    if type(module) is nn.Sequential:
        for name, after in pairwise(children):
            if _foldable(twins[name], twins[after]):
                twins[name] = _fused(twins[name], twins[after])
                twins[after] = nn.Identity()
    if all(map(operator.is_, twins.values(), children.values())):
        return module
    return _twin(module, _modules=twins)


def _twin(module: nn.Module, **parts: Any) -> nn.Module:
    """Shallow copy with other parts."""
    if type(module) in (nn.Conv2d, nn.Sequential):  # without their `__setstate__`, which is slow
        twin = object.__new__(type(module))
        vars(twin).update(vars(module), **parts)
        return twin
    twin = copy.copy(module)
    vars(twin).update(parts)
    return twin


def _fused(convolution: nn.Module, norm: nn.Module) -> nn.Module:
    """Convolution that includes the batch normalisation after it."""
    # fuse_conv_bn_eval copies all of the convolution, and attributes of modules are searched for:
    # both take longer than the computation.
    own: Any = convolution._parameters
    given: Any = norm._parameters
    seen: Any = norm._buffers
    weight, bias, gain, offset = own["weight"], own["bias"], given["weight"], given["bias"]
    mean = seen["running_mean"]
    factor = torch.rsqrt(seen["running_var"] + vars(norm)["eps"])
    scale, shift = factor, (-mean if bias is None else bias - mean) * factor
    if gain is not None:
        scale, shift = gain * scale, shift * gain
    if offset is not None:
        shift = shift + offset
    fused = {"weight": weight * scale.view(-1, 1, 1, 1), "bias": shift}
    parameters = {name: nn.Parameter(value, False) for name, value in fused.items()}
    return _twin(convolution, _parameters=own | parameters)


def _foldable(module: nn.Module | None, after: nn.Module | None) -> bool:
    if type(module) is not nn.Conv2d or type(after) is not nn.BatchNorm2d:
        return False
    if not {"weight", "bias"} <= module._parameters.keys():
        return False
    # Hooks may read the values between both modules, or recompute weights, as weight_norm does.
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in (module, after))
    return after.running_mean is not None and not hooked
