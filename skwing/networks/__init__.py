"""Networks that map square crops to landmarks, by name or as the user's own."""

from functools import partial
from numbers import Integral

import numpy as np
import torch
from torch import nn

from skwing._random import kept
from skwing.networks._cnn import PlainCNN, cnn6, cnn7
from skwing.networks._resnet import ResNet, resnet50, without_weights
from skwing.networks._shape_indexed import ShapeIndexedCNN, shape_indexed_64, shape_indexed_128

__all__ = [
    "NETWORKS",
    "PlainCNN",
    "ResNet",
    "ShapeIndexedCNN",
    "as_arrays",
    "check_network",
    "check_networks",
    "cnn6",
    "cnn7",
    "locate",
    "rebuild",
    "resnet50",
    "shape_indexed_64",
    "shape_indexed_128",
    "start_at",
    "without_weights",
]

NETWORKS = {
    "cnn6": cnn6,
    "cnn7": cnn7,
    "shape_indexed_64": shape_indexed_64,
    "shape_indexed_128": shape_indexed_128,
    "resnet50": resnet50,
}


def check_network(network, batch_norm=False):
    """Function that builds a network for a number of landmarks.

    Parameters
    ----------
    network : str or callable
        A name in `NETWORKS`, or any callable that takes the number of landmarks and
        returns a :class:`torch.nn.Module`. Such a module has an attribute `input_size`
        (the side of its square input in pixels), takes float images of shape
        (n_samples, 3, input_size, input_size) with values in [0, 1], and returns points in
        input pixels, of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        in the order x0, y0, x1, y1, ... In training mode it may answer with several
        estimates of an image, (n_samples, n_estimates, n_landmarks, 2), all to be taught.
    batch_norm : bool, default=False
        Whether a network of `NETWORKS` has batch normalisation; a callable decides for
        itself.

    Returns
    -------
    build : callable
        ``build(n_landmarks)`` gives the module. What a user's callable built is tried
        once on a black image, so that a network that does not fit is found out before it
        is trained: TypeError for what is not a module, ValueError for a missing or odd
        `input_size` or an output of the wrong shape.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `network` is neither a name nor a callable, or is a module that is built
        already.

    Examples
    --------
    >>> from skwing.networks import check_network
    >>> check_network("cnn6")(19).output.out_features
    38
    >>> check_network("cnn8")
    Traceback (most recent call last):
    ...
    ValueError: unknown network 'cnn8': choose from 'cnn6', 'cnn7', ... or pass a callable
    """
    if isinstance(network, str):
        if network not in NETWORKS:
            choices = ", ".join(map(repr, NETWORKS))
            raise ValueError(
                f"unknown network {network!r}: choose from {choices} or pass a callable"
            )
        return partial(NETWORKS[network], batch_norm=batch_norm)
    if isinstance(network, nn.Module):
        raise TypeError(
            f"network is a {type(network).__name__} that is built already: pass a callable that "
            "takes the number of landmarks and returns a module"
        )
    if not callable(network):
        raise TypeError(
            f"network must be a name or a callable that takes the number of landmarks and "
            f"returns a torch.nn.Module, got {network!r}"
        )
    return partial(_build_and_try, network)


def check_networks(networks, batch_norm=False):
    """Functions that build the networks of a cascade.

    Parameters
    ----------
    networks : sequence of str or callable
        Each as :func:`check_network` takes it.
    batch_norm : bool, default=False

    Returns
    -------
    builders : list of callable

    Raises
    ------
    TypeError
        If `networks` is a single name or callable.
    ValueError
        If there is none.

    Examples
    --------
    >>> from skwing.networks import check_networks
    >>> [build(19).input_size for build in check_networks(["cnn6", "cnn7"])]
    [64, 128]
    """
    if isinstance(networks, str) or not np.iterable(networks):
        raise TypeError(
            f"networks must be a sequence of names or callables, such as ('cnn6', 'cnn7'), "
            f"got {networks!r}"
        )
    builders = [check_network(network, batch_norm) for network in networks]
    if not builders:
        raise ValueError("networks is empty: at least one network is needed")
    return builders


def start_at(network, points):
    """Make a network say `points` whatever the image, as the start of training.

    A network with a buffer `start` takes `points` there. Of one with an output layer, the
    weight is set to zero and the bias to `points`: the first step moves the weight, and
    from the second step on the layers below learn too.

    Parameters
    ----------
    network : torch.nn.Module
        Changed in place, if it has a buffer `start` of shape (n_landmarks, 2), or an
        attribute `output` that is a linear layer with a bias; left alone otherwise.
    points : array-like of shape (n_landmarks, 2)
        In pixels of the network's input.

    Returns
    -------
    started : bool
        Whether the network has either.

    Raises
    ------
    ValueError
        If the network has room for another number of coordinates than `points` has.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import cnn6, start_at
    >>> network = cnn6(n_landmarks=2)
    >>> start_at(network, [[20.0, 30.0], [40.0, 30.0]])
    True
    >>> network(torch.rand(1, 3, 64, 64)).tolist()
    [[[20.0, 30.0], [40.0, 30.0]]]
    """
    layer = getattr(network, "output", None)
    start = getattr(network, "start", None)
    if not isinstance(start, torch.Tensor):
        if not isinstance(layer, nn.Linear) or layer.bias is None:
            return False
        start = layer.bias
        nn.init.zeros_(layer.weight)
    points = torch.as_tensor(points, dtype=start.dtype, device=start.device)
    if points.numel() != start.numel():
        raise ValueError(
            f"the network has {start.numel()} outputs, but points of shape "
            f"{tuple(points.shape)} need {points.numel()}"
        )
    with torch.no_grad():
        start.copy_(points.reshape(start.shape))
    return True


def locate(network, images):
    """Points that a network sees in images, whichever layout it answers in.

    Parameters
    ----------
    network : torch.nn.Module
        As :func:`check_network` describes it.
    images : tensor of shape (n_samples, 3, input_size, input_size)
        Values in [0, 1].

    Returns
    -------
    points : tensor of shape (n_samples, n_landmarks, 2), or in training mode \
            (n_samples, n_estimates, n_landmarks, 2) from a network that makes several
        In pixels of the input.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import locate
    >>> flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2 * 5))
    >>> locate(flat, torch.zeros(4, 3, 8, 8)).shape
    torch.Size([4, 5, 2])
    """
    points = network(images)
    return points if points.ndim == 4 else points.reshape(len(images), -1, 2)


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

    Examples
    --------
    >>> from skwing.networks import as_arrays, check_network, rebuild
    >>> build = check_network("cnn6")
    >>> rebuild(build, 19, as_arrays(build(19))).training
    False
    """
    # Building draws random numbers that are overwritten: the caller's are kept. Nor is a
    # file of weights needed that a network started from.
    with kept(), without_weights():
        network = build(n_landmarks)
    # Copied: arrays that joblib maps from a file are read-only.
    network.load_state_dict({key: torch.tensor(value) for key, value in arrays.items()})
    return network.eval()


def _build_and_try(builder, n_landmarks):
    network = builder(n_landmarks)
    if not isinstance(network, nn.Module):
        raise TypeError(f"{builder!r} must return a torch.nn.Module, got {type(network).__name__}")
    size = getattr(network, "input_size", None)
    if not isinstance(size, Integral) or size < 1:
        raise ValueError(
            f"{type(network).__name__} needs an integer attribute input_size, the side of its "
            f"square input in pixels; found {size!r}"
        )
    shape = tuple(_answer_to_black(network, size).shape)
    if shape not in ((1, n_landmarks, 2), (1, 2 * n_landmarks)):
        raise ValueError(
            f"{type(network).__name__} answers one image with an array of shape {shape}; "
            f"expected {(1, n_landmarks, 2)} or {(1, 2 * n_landmarks)} for {n_landmarks} landmarks"
        )
    return network


def _answer_to_black(network, size):
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    was_training = network.training
    # In evaluation mode no running statistics move and no random numbers are drawn.
    network.eval()
    with torch.no_grad():
        answer = network(torch.zeros(1, 3, size, size, device=device))
    network.train(was_training)
    return answer
