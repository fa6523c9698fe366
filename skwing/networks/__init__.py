"""Networks that map square crops to landmarks: predefined and custom ones."""

from __future__ import annotations

from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from torch import nn

from skwing._utils.checks import told
from skwing.networks._cnn import PlainCNN, cnn6, cnn7
from skwing.networks._contract import (
    LandmarkNetwork,
    build_and_try,
    locate,
    start_at,
)
from skwing.networks._folding import folded
from skwing.networks._patches import PatchCNN, patches_256
from skwing.networks._resnet import ResNet, resnet50
from skwing.networks._shape_indexed import ShapeIndexedCNN, shape_indexed_64, shape_indexed_128
from skwing.networks._transfer import landmark_axes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Any

    from skwing.networks._contract import NetworkBuilder

__all__ = [
    "NETWORKS",
    "LandmarkNetwork",
    "PatchCNN",
    "PlainCNN",
    "ResNet",
    "ShapeIndexedCNN",
    "check_network",
    "check_networks",
    "cnn6",
    "cnn7",
    "folded",
    "landmark_axes",
    "locate",
    "patches_256",
    "resnet50",
    "shape_indexed_64",
    "shape_indexed_128",
    "start_at",
]

_SMALL: dict[str, Any] = {"n_steps": 2, "n_hidden": 128, "n_overview": 128}
# By name, networks have batch normalisation, except for "cnn6_plain" and "cnn7_plain", the
# networks of the paper.
NETWORKS: dict[str, Callable[..., nn.Module]] = {
    "cnn6": partial(cnn6, batch_norm=True),
    "cnn7": partial(cnn7, batch_norm=True),
    "cnn6_plain": cnn6,
    "cnn7_plain": cnn7,
    "shape_indexed_64": shape_indexed_64,
    "shape_indexed_64_coarse": partial(shape_indexed_64, stride=4),
    "shape_indexed_64_small": partial(shape_indexed_64, stride=4, **_SMALL),
    "shape_indexed_128": shape_indexed_128,
    "shape_indexed_128_small": partial(shape_indexed_128, **_SMALL),
    "patches_256": patches_256,
    "resnet50": resnet50,
}
PUBLIC_PARTS: tuple[Callable[..., nn.Module], ...] = (
    *(cnn6, cnn7, shape_indexed_64, shape_indexed_128, patches_256, resnet50),
    *(PatchCNN, PlainCNN, ResNet, ShapeIndexedCNN),
)
# Pickles refer to the public names.
for _part in PUBLIC_PARTS:
    _part.__module__ = __name__
_build_and_try = build_and_try  # pickles of skwing 0.1 name it so


def check_network(network: str | NetworkBuilder) -> partial[nn.Module]:
    """Return a function that builds a network for a number of landmarks.

    Parameters
    ----------
    network : str or callable
        A name in `NETWORKS`, or any callable that takes the number of landmarks and
        returns a :class:`torch.nn.Module`. The module must have an attribute `input_size`
        (the side of its square input in pixels), take float images of shape
        (n_samples, 3, input_size, input_size) with values in [0, 1], and return points in
        input pixels, of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
        in the order x0, y0, x1, y1, ... In training mode it may return several estimates
        per image, (n_samples, n_estimates, n_landmarks, 2); the loss is computed for all.
        It may have a method `start_at`, which initialises its output with the mean
        landmarks before training, see :func:`start_at`. Otherwise, training starts from the
        weights that it was built with. It may have a method `take_features`, which is called
        before training with the trained network of the previous stage, see
        :meth:`ShapeIndexedCNN.take_features`. It may have an attribute `landmark_axes`, so that
        landmarks of a `start` keep their weights among other landmarks, see
        :func:`landmark_axes`.
        A module with an attribute `reads_patches` that is True reads patches around the
        landmarks of the previous stage instead of a crop, see :class:`PatchCNN`: it takes
        images of shape (n_samples, n_landmarks, 3, patch_size, patch_size), where `patch_size`
        is an attribute, and returns the offsets of the landmarks from the centres of their
        patches. `input_size` is then the side of the frame that patches are cut from. An
        attribute `scatter` gives the displacement of patches in training, as a fraction of
        this side.
        In a regressor, random numbers that the module draws with torch, such as initial
        weights and dropout, come from the generators of the fit. Exceptions are regions
        of ``torch.utils.checkpoint``, which uses the global generators. Do not use the
        generators of numpy or `random`.

    Returns
    -------
    build : callable
        ``build(n_landmarks)`` returns the module. Custom modules are validated on a black
        image before training: TypeError if the result is not a module, ValueError if
        `input_size` is missing or invalid or the output has the wrong shape.

    Raises
    ------
    ValueError
        If the name is unknown.
    TypeError
        If `network` is neither a name nor a callable, or is an instance of a module.

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
                f"unknown network {told(network)}: choose from {choices} or pass a callable"
            )
        return partial(_build_named, network)
    if isinstance(network, nn.Module):
        raise TypeError(
            f"network is an instance of {type(network).__name__}: pass a callable that takes the "
            "number of landmarks and returns a module"
        )
    if not callable(network):
        raise TypeError(
            f"network must be a name or a callable that takes the number of landmarks and "
            f"returns a torch.nn.Module, got {told(network)}"
        )
    return partial(build_and_try, network)


def given_network(build: partial[nn.Module]) -> str | NetworkBuilder:
    """Return the argument of the call of :func:`check_network` that returned `build`.

    Parameters
    ----------
    build : callable
        Result of :func:`check_network`.

    Returns
    -------
    network : str or callable

    Examples
    --------
    >>> from skwing.networks import check_network, given_network
    >>> given_network(check_network("cnn6"))
    'cnn6'
    """
    network: str | NetworkBuilder = build.args[0]
    return network


def _build_named(name: str, n_landmarks: int) -> nn.Module:
    return NETWORKS[name](n_landmarks)


def check_networks(networks: Iterable[str | NetworkBuilder]) -> list[partial[nn.Module]]:
    """Return the functions that build the networks of a cascade.

    Parameters
    ----------
    networks : sequence of str or callable
        One for each stage, see :func:`check_network`.

    Returns
    -------
    builders : list of callable

    Raises
    ------
    TypeError
        If `networks` is a single name or callable, or an entry is neither.
    ValueError
        If `networks` is empty, or a name is unknown.

    Examples
    --------
    >>> from skwing.networks import check_networks
    >>> [build(19).input_size for build in check_networks(["cnn6", "cnn7"])]
    [64, 128]
    """
    if isinstance(networks, str) or not np.iterable(networks):
        raise TypeError(
            f"networks must be a sequence of names or callables, such as ('cnn6', 'cnn7'), "
            f"got {told(networks)}"
        )
    builders = []
    for i, network in enumerate(networks):
        with of_entry(i):
            builders.append(check_network(network))
    if not builders:
        raise ValueError("networks is empty: at least one network is needed")
    return builders


@contextmanager
def of_entry(i: int) -> Iterator[None]:
    """Context manager that adds the index in `networks` to error messages.

    Examples
    --------
    >>> from skwing.networks import of_entry
    >>> with of_entry(1):
    ...     raise ValueError("input_size is missing")
    Traceback (most recent call last):
    ...
    ValueError: networks[1]: input_size is missing
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        raise type(error)(f"networks[{i}]: {error}") from error
