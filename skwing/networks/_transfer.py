"""Transfer of weights between networks of one kind, also for other landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    LandmarkAxes = Mapping[str, int | None]


def landmark_axes(
    network: nn.Module, build: Callable[[int], nn.Module], n_landmarks: int
) -> dict[str, int | None]:
    """Parameters and buffers of a network that depend on its landmarks.

    Parameters
    ----------
    network : torch.nn.Module
    build : callable
        Function that built the network, which takes the number of landmarks.
    n_landmarks : int

    Returns
    -------
    axes : dict of str to int or None
        The attribute `landmark_axes` of the network. For each parameter that has numbers for
        each landmark, it is the axis along which the numbers of the first landmark are
        followed by those of the second, and so on. For networks without this attribute, the
        parameters whose shape depends on the number of landmarks; their axis is unknown, None.

    Examples
    --------
    >>> from skwing.networks import cnn6, landmark_axes
    >>> landmark_axes(cnn6(5), cnn6, 5)
    {'output.weight': 0, 'output.bias': 0}
    """
    axes = getattr(network, "landmark_axes", None)
    if axes is not None:
        return dict(axes)
    own, other = network.state_dict(), build(n_landmarks + 1).state_dict()
    return dict.fromkeys(
        key for key, value in own.items() if key not in other or value.shape != other[key].shape
    )


def check_alike(network: nn.Module, other: nn.Module, axes: LandmarkAxes) -> None:
    """Check that two networks differ in nothing but their weights and landmarks.

    Parameters
    ----------
    network, other : torch.nn.Module
    axes : dict
        Result of :func:`landmark_axes`.

    Raises
    ------
    ValueError
        If classes, input sizes, parameters or constants differ; the message states the
        first difference, that of `other` first.

    Examples
    --------
    >>> from skwing.networks import cnn6, cnn7
    >>> from skwing.networks._transfer import check_alike
    >>> check_alike(cnn6(5), cnn7(5), {})
    Traceback (most recent call last):
    ...
    ValueError: found input_size 128, expected 64
    """
    for name, found, expected in _differences(network, other, axes):
        if found != expected:
            raise ValueError(f"found {name} {found}, expected {expected}")


def _differences(
    network: nn.Module, other: nn.Module, axes: LandmarkAxes
) -> Iterator[tuple[str, object, object]]:
    """Names of properties, each with the values of the other and of the own network."""
    yield "a", type(other).__name__, type(network).__name__
    yield "input_size", other.input_size, network.input_size
    own, given = network.state_dict(), other.state_dict()
    for key in (*own, *given):
        there = ["present" if key in state else "missing" for state in (given, own)]
        yield key, there[0], there[1]
        shapes = [_shape_without(state[key].shape, axes.get(key, -1)) for state in (given, own)]
        yield f"{key} of shape", shapes[0], shapes[1]
    # Buffers of custom networks may be anything.
    constants = dict(_constants(other)) if hasattr(network, "landmark_axes") else {}
    for key, value in _constants(network):
        if key in constants and key not in axes:
            yield f"{key} =", _rounded(constants[key]), _rounded(value)


def _rounded(constant: torch.Tensor) -> list[float]:
    """Values of a constant to two decimals; those of files with float16 weights are rounded."""
    return constant.flatten().double().mul(100).round().div(100).tolist()


def _shape_without(shape: torch.Size, axis: int | None) -> tuple[int, ...] | None:
    """Shape of a parameter without the axis of the landmarks; None if that is unknown."""
    if axis is None:
        return None
    return tuple(n for i, n in enumerate(shape) if i != axis)


def _constants(network: nn.Module) -> Iterator[tuple[str, torch.Tensor]]:
    """Buffers that are settings of a network, and not statistics of its training data."""
    for prefix, module in network.named_modules():
        if not isinstance(module, _NormBase):
            yield from module.named_buffers(prefix, recurse=False)


@torch.no_grad()
def take_weights(
    network: nn.Module,
    other: nn.Module,
    rows: Sequence[int],
    shift: torch.Tensor,
    axes: LandmarkAxes,
) -> None:
    """Copy the weights of another network, as far as they suit the landmarks.

    Parameters
    ----------
    network : torch.nn.Module
        Modified in place.
    other : torch.nn.Module
        Network of the same kind, see :func:`check_alike`.
    rows : sequence of int
        For each landmark of `network`, the same landmark of `other`, or -1 for none. Its
        parameters are copied. Those of other landmarks are unchanged.
    shift : float tensor of shape (n_landmarks, 2)
        Difference of the positions of landmarks in the crops of both networks, in pixels. It
        is added to the tensor that the attribute `landmark_position` of the network names.
    axes : dict
        Result of :func:`landmark_axes`. If all landmarks of both are the same, an empty dict
        copies parameters of unknown axis, too.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import cnn6, landmark_axes
    >>> from skwing.networks._transfer import take_weights
    >>> three, two = cnn6(3), cnn6(2)
    >>> axes = landmark_axes(two, cnn6, 2)
    >>> take_weights(two, three, [2, -1], torch.zeros(2, 2), axes)
    >>> bool((two.output.weight[:2] == three.output.weight[4:]).all())
    True
    """
    known = [i for i, row in enumerate(rows) if row >= 0]
    own, given = network.state_dict(), other.state_dict()
    for key, value in own.items():
        source = given[key].to(value.device)
        if key not in axes:
            value.copy_(source)
        elif (axis := axes[key]) is not None and known:
            target = value.unflatten(axis, (len(rows), -1))
            source = source.unflatten(axis, (other.n_landmarks, -1)).to(value.dtype)
            chosen = source.index_select(axis, torch.tensor([rows[i] for i in known]))
            target.index_copy_(axis, torch.tensor(known), chosen)
    position = own.get(getattr(network, "landmark_position", ""))
    if position is not None:
        position.view(-1, 2)[known] += shift[known].to(position)
