"""Folding of batch normalisation into convolutions, for faster prediction."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    pass
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
    return _fold(network)


def _fold(module: nn.Module) -> nn.Module:
    parts: dict[str, Any] = {name: part and _fold(part) for name, part in module._modules.items()}
    if type(module) is nn.Sequential:
        names = list(parts)
        for name, after in pairwise(names):
            if _foldable(parts[name], parts[after]):
                parts[name] = _fused(parts[name], parts[after])
                parts[after] = nn.Identity()
    if all(parts[name] is part for name, part in module._modules.items()):
        return module
    twin = copy.copy(module)
    twin._modules = parts
    return twin


def _fused(convolution: nn.Module, norm: nn.Module) -> nn.Module:
    """Convolution that includes the batch normalisation after it."""
    conv: Any = convolution
    batch: Any = norm
    # fuse_conv_bn_eval copies all of the convolution, which takes ten times as long.
    twin = copy.copy(conv)
    weight, bias = fuse_conv_bn_weights(
        conv.weight,
        conv.bias,
        batch.running_mean,
        batch.running_var,
        batch.eps,
        batch.weight,
        batch.bias,
    )
    twin._parameters = {**conv._parameters, "weight": weight, "bias": bias}
    return twin


def _foldable(module: nn.Module | None, after: nn.Module | None) -> bool:
    if type(module) is not nn.Conv2d or type(after) is not nn.BatchNorm2d:
        return False
    # Hooks may read the values between both modules, or recompute weights, as weight_norm does.
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in (module, after))
    return after.running_mean is not None and not hooked
