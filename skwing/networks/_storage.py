"""Conversion of networks to and from numpy arrays, which can be loaded on any machine."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from skwing._utils.ambient import plain_state
from skwing._utils.random import drawing, redirected
from skwing.networks._resnet import without_weights

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    from numpy.typing import NDArray
    from torch import nn


def as_arrays(network: nn.Module) -> dict[str, NDArray[Any]]:
    """State dict of a network as numpy arrays.

    Parameters
    ----------
    network : torch.nn.Module

    Returns
    -------
    arrays : dict of str to ndarray
        Data types that numpy lacks, such as bfloat16, are stored bit by bit in an array
        with one field, which is named after the type.

    Examples
    --------
    >>> from torch import nn
    >>> from skwing.networks._storage import as_arrays
    >>> {name: array.shape for name, array in as_arrays(nn.Linear(3, 2)).items()}
    {'weight': (2, 3), 'bias': (2,)}
    """
    return {key: as_array(value) for key, value in network.state_dict().items()}


def as_array(tensor: torch.Tensor) -> NDArray[Any]:
    """Convert a tensor to an array, see :func:`as_arrays`; both may share memory.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks._storage import as_array
    >>> as_array(torch.ones(2, dtype=torch.bfloat16)).dtype.names
    ('bfloat16',)
    """
    tensor = tensor.detach().cpu()
    try:
        return tensor.numpy()
    except TypeError:
        bits = tensor.contiguous().view(_BITS[tensor.element_size()]).numpy()
        return bits.view([(str(tensor.dtype).removeprefix("torch."), bits.dtype)])


def as_tensor(array: NDArray[Any]) -> torch.Tensor:
    """Convert an array from :func:`as_array` back to a tensor, which is a copy.

    Raises
    ------
    ValueError
        If the data type is unknown to torch.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks._storage import as_array, as_tensor
    >>> as_tensor(as_array(torch.ones(2, dtype=torch.bfloat16)))
    tensor([1., 1.], dtype=torch.bfloat16)
    """
    try:
        if array.dtype.names is None:
            return torch.tensor(array, device="cpu").contiguous()
        (name,) = array.dtype.names
        dtype = getattr(torch, name, None)
        if not isinstance(dtype, torch.dtype):
            raise TypeError
        return torch.tensor(array[name], device="cpu").contiguous().view(dtype)
    except (TypeError, ValueError, RuntimeError):
        raise ValueError(f"dtype {array.dtype} is unknown to torch") from None


_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@plain_state()
def rebuild(
    build: Callable[[int], nn.Module], n_landmarks: int, arrays: Mapping[str, NDArray[Any]]
) -> nn.Module:
    """Rebuild a network from the result of :func:`as_arrays`, on the CPU.

    Parameters
    ----------
    build : callable
        Result of :func:`check_network`.
    n_landmarks : int
    arrays : dict of str to ndarray

    Returns
    -------
    network : torch.nn.Module
        In evaluation mode.

    Raises
    ------
    ValueError
        If the arrays do not fit the network that `build` returns.

    Notes
    -----
    Global random states are neither read nor changed, unless a custom builder sets a seed.

    Examples
    --------
    >>> from skwing.networks import check_network
    >>> from skwing.networks._storage import as_arrays, rebuild
    >>> build = check_network("cnn6")
    >>> rebuild(build, 19, as_arrays(build(19))).training
    False
    """
    state = {key: as_tensor(np.asarray(value)) for key, value in arrays.items()}
    # Building draws random initial weights, which are then overwritten: use separate generators,
    # and do not read files of initial weights.
    with drawing(0), redirected(), without_weights():
        network = build(n_landmarks)
        try:
            _take_dtypes(network, state)
            network.load_state_dict(state)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"the saved weights do not fit the {type(network).__name__} that was built for "
                "them: they were saved with another version of skwing, or the code of the network "
                "has changed; fit again, or load them with that version"
            ) from error
    return network.eval()


def _take_dtypes(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Convert the tensors of a network to the saved data types.

    The data type of a network may have been changed after it was built.
    """
    for key, tensor in network.state_dict(keep_vars=True).items():
        kept = state.get(key)
        if kept is None or kept.dtype == tensor.dtype:
            continue
        if kept.is_floating_point() != tensor.is_floating_point():
            raise TypeError(f"{key} is of {kept.dtype}, expected {tensor.dtype}")
        tensor.data = tensor.data.to(kept.dtype)
