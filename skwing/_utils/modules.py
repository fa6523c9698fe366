"""Modules that a network consists of."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


def modules_of(network: nn.Module) -> list[nn.Module]:
    """All modules of a network, in a fraction of the time of its method `modules`.

    Each module is listed once, the network first.

    Examples
    --------
    >>> from torch import nn
    >>> from skwing._utils.modules import modules_of
    >>> [type(module).__name__ for module in modules_of(nn.Sequential(nn.ReLU(), nn.Flatten()))]
    ['Sequential', 'ReLU', 'Flatten']
    """
    found, known = [network], {id(network)}
    for module in found:  # which grows
        for child in module._modules.values():
            if child is not None and id(child) not in known:
                known.add(id(child))
                found.append(child)
    return found
