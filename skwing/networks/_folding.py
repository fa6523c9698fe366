"""Networks as `predict` runs them: batch normalisation folded into the convolutions before it."""

from __future__ import annotations

import copy
from itertools import pairwise
from typing import TYPE_CHECKING

from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

if TYPE_CHECKING:
    pass
    from typing import Any


def folded(network: nn.Module) -> nn.Module:
    """A network that answers the same, with fewer passes over its maps.

    In evaluation mode batch normalisation multiplies and adds constants, which the weights
    of a convolution right before it can take over. That is done wherever the two follow
    each other in a :class:`torch.nn.Sequential`.

    Parameters
    ----------
    network : torch.nn.Module
        In evaluation mode; it stays as it is.

    Returns
    -------
    network : torch.nn.Module
        For prediction only, with the weights of now. It shares all that is not folded with
        the network that it was made from, and is that network where nothing can be folded.

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
    # Made anew for each prediction: in less time than one crop takes, and never out of date.
    return _fold(network)


def _fold(module: nn.Module) -> nn.Module:
    parts: dict[str, Any] = {name: part and _fold(part) for name, part in module._modules.items()}
    if type(module) is nn.Sequential:
        names = list(parts)
        for name, after in pairwise(names):
            if _foldable(parts[name], parts[after]):
                parts[name] = fuse_conv_bn_eval(parts[name], parts[after])
                parts[after] = nn.Identity()
    if all(parts[name] is part for name, part in module._modules.items()):
        return module
    twin = copy.copy(module)
    twin._modules = parts
    return twin


def _foldable(module: nn.Module | None, after: nn.Module | None) -> bool:
    if type(module) is not nn.Conv2d or type(after) is not nn.BatchNorm2d:
        return False
    # Hooks watch what is between the two, or make the weights anew, as weight_norm does.
    hooked = any(part._forward_hooks or part._forward_pre_hooks for part in (module, after))
    return after.running_mean is not None and not hooked
