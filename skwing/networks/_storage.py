"""Networks as numpy arrays, which load on any machine, and back."""

import torch

from skwing._ambient import plain_state
from skwing._random import drawing, redirected
from skwing.networks._resnet import without_weights


def as_arrays(network):
    """State of a network as numpy arrays, which any machine can read.

    Parameters
    ----------
    network : torch.nn.Module

    Returns
    -------
    arrays : dict of str to ndarray
    """
    return {key: value.cpu().numpy() for key, value in network.state_dict().items()}


@plain_state()
def rebuild(build, n_landmarks, arrays):
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

    Examples
    --------
    >>> from skwing.networks import as_arrays, check_network, rebuild
    >>> build = check_network("cnn6")
    >>> rebuild(build, 19, as_arrays(build(19))).training
    False
    """
    # Building draws random numbers that are overwritten: not the caller's. Nor is a file of
    # weights needed that a network started from.
    with drawing(0), redirected(), without_weights():
        network = build(n_landmarks)
    # Copied: arrays that joblib maps from a file are read-only.
    try:
        network.load_state_dict({key: torch.tensor(value) for key, value in arrays.items()})
    except RuntimeError as error:
        raise ValueError(
            f"the weights that were kept do not fit the {type(network).__name__} that is built "
            "for them now: they were kept with another version of skwing, or the code of the "
            "network has changed since; fit anew, or load them with that version"
        ) from error
    return network.eval()
