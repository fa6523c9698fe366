"""Networks as numpy arrays, which load on any machine, and back."""

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
    """State of a network as numpy arrays, which any machine can read.

    Parameters
    ----------
    network : torch.nn.Module

    Returns
    -------
    arrays : dict of str to ndarray
        Numbers of a kind that numpy lacks, such as bfloat16, are kept bit by bit in an
        array with one field, named by the kind.
    """
    return {key: as_array(value) for key, value in network.state_dict().items()}


def as_array(tensor: torch.Tensor) -> NDArray[Any]:
    """Array of a tensor, see :func:`as_arrays`; it may share memory with it.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import as_array
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
    """Tensor, a copy, of an array that :func:`as_array` made.

    Raises
    ------
    ValueError
        If torch has no such numbers.
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
        raise ValueError(f"numbers of dtype {array.dtype} are unknown to torch") from None


_BITS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}


@plain_state()
def rebuild(
    build: Callable[[int], nn.Module], n_landmarks: int, arrays: Mapping[str, NDArray[Any]]
) -> nn.Module:
    """Network that :func:`as_arrays` was asked about, on the CPU.

    Parameters
    ----------
    build : callable
        As :func:`check_network` returns it.
    n_landmarks : int
    arrays : dict of str to ndarray

    Returns
    -------
    network : torch.nn.Module
        In evaluation mode.

    Raises
    ------
    ValueError
        If the arrays are of another network than `build` makes.

    Notes
    -----
    No global random state is read or moved, unless a user's builder sets a seed.

    Examples
    --------
    >>> from skwing.networks import as_arrays, check_network, rebuild
    >>> build = check_network("cnn6")
    >>> rebuild(build, 19, as_arrays(build(19))).training
    False
    """
    state = {key: as_tensor(np.asarray(value)) for key, value in arrays.items()}
    # Building draws random numbers that are overwritten: not the caller's. Nor is a file of
    # weights needed that a network started from.
    with drawing(0), redirected(), without_weights():
        network = build(n_landmarks)
        try:
            _take_dtypes(network, state)
            network.load_state_dict(state)
        except (RuntimeError, TypeError) as error:
            raise ValueError(
                f"the weights that were kept do not fit the {type(network).__name__} that is "
                "built for them now: they were kept with another version of skwing, or the code "
                "of the network has changed since; fit anew, or load them with that version"
            ) from error
    return network.eval()


def _take_dtypes(network: nn.Module, state: dict[str, torch.Tensor]) -> None:
    """Give the tensors of a network the kinds of number that were kept.

    A network may have been brought to another kind of number after it was built.
    """
    for key, tensor in network.state_dict(keep_vars=True).items():
        kept = state.get(key)
        if kept is None or kept.dtype == tensor.dtype:
            continue
        if kept.is_floating_point() != tensor.is_floating_point():
            raise TypeError(f"{key} is of {kept.dtype}, expected {tensor.dtype}")
        tensor.data = tensor.data.to(kept.dtype)
