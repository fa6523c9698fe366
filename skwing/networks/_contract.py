"""Interface of networks, see `check_network`."""

from __future__ import annotations

from numbers import Integral
from typing import TYPE_CHECKING, ClassVar, Protocol

import torch
from torch import nn

from skwing._utils import random
from skwing._utils.warnings import warn_caller

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import Any, TypeAlias

    from numpy.typing import ArrayLike

    NetworkBuilder: TypeAlias = Callable[[int], "LandmarkNetwork"]


class LandmarkNetwork(Protocol):
    """What a network has that finds landmarks, for type checkers: see :func:`check_network`.

    It is a :class:`torch.nn.Module` as well, and may have a method `start_at`, see
    :func:`start_at`.

    Attributes
    ----------
    input_size : int
        Side of the square images that it takes, in pixels.

    Examples
    --------
    >>> from skwing.networks import LandmarkNetwork, cnn6
    >>> network: LandmarkNetwork = cnn6(n_landmarks=19)  # what a type checker verifies
    >>> network.input_size
    64
    """

    @property
    def input_size(self) -> int: ...

    def __call__(self, images: torch.Tensor, /) -> torch.Tensor:
        """Find the landmarks in images.

        Parameters
        ----------
        images : tensor of shape (n_samples, 3, input_size, input_size)
            Values in [0, 1].

        Returns
        -------
        points : tensor of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In pixels of the input.
        """

    def train(self, mode: bool = True) -> Any:
        """Change to training mode or back, as :meth:`torch.nn.Module.train`."""

    def parameters(self) -> Iterator[nn.Parameter]:
        """What training changes, as :meth:`torch.nn.Module.parameters`."""


def locate(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Run a network and return its points in a uniform layout.

    The images stay as they are, also if the network changes its input in place.

    Parameters
    ----------
    network : torch.nn.Module
        See :func:`check_network`.
    images : tensor of shape (n_samples, 3, input_size, input_size)
        Values in [0, 1].

    Returns
    -------
    points : tensor of shape (n_samples, n_landmarks, 2), or in training mode \
            (n_samples, n_estimates, n_landmarks, 2) for networks with several estimates
        In pixels of the input.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import locate
    >>> flat = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 2 * 5))
    >>> locate(flat, torch.zeros(4, 3, 8, 8)).shape
    torch.Size([4, 5, 2])
    """
    own = f"{type(network).__module__}.".startswith("skwing.networks.")
    points = random.run(network, images if own else images.clone())
    return points if points.ndim == 4 else points.reshape(images.shape[0], -1, 2)


def start_at(network: nn.Module, points: ArrayLike | torch.Tensor) -> bool:
    """Initialise a network such that its output is `points` for all images.

    This calls the method `start_at` of the network, if it has one. The method takes a tensor
    of shape (n_landmarks, 2) in pixels of the input and sets the initial output to these
    points, at least approximately. All networks of this package have it. Other networks are
    unchanged, so that pretrained heads keep their weights.

    Parameters
    ----------
    network : torch.nn.Module
        Modified in place by its method.
    points : array-like of shape (n_landmarks, 2)
        Mean landmarks, in pixels of the network's input.

    Returns
    -------
    started : bool
        Whether the network has a method `start_at`.

    Raises
    ------
    ValueError
        If the number of outputs of a network of this package differs from the number of
        coordinates of `points`.

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
    start = getattr(network, "start_at", None)
    if not callable(start):
        return False
    with torch.no_grad():
        start(torch.as_tensor(points, dtype=torch.float32))
    return True


class StartsAtOutput:
    """Mixin for networks that end in a linear layer `output`, whose bias is a shape."""

    output: nn.Linear
    landmark_axes: ClassVar = {"output.weight": 0, "output.bias": 0}
    landmark_position = "output.bias"

    def start_at(self, points: torch.Tensor) -> None:
        """Initialise the output with a shape.

        The weights of the output layer are set to zero and its bias to the points. In the
        first training step only the output layer has gradients, from the second on all
        layers have.

        Parameters
        ----------
        points : tensor of shape (n_landmarks, 2)
            In pixels of the input.
        """
        nn.init.zeros_(self.output.weight)
        fill(self.output.bias, points)


def fill(target: torch.Tensor, points: torch.Tensor) -> None:
    """Copy points into a tensor with the same number of elements.

    Raises
    ------
    ValueError
        If the number of elements differs.
    """
    if points.numel() != target.numel():
        raise ValueError(
            f"the network has {target.numel()} outputs, but points of shape "
            f"{tuple(points.shape)} need {points.numel()}"
        )
    with torch.no_grad():
        target.copy_(points.reshape(target.shape))


def build_and_try(builder: NetworkBuilder, n_landmarks: int) -> nn.Module:
    """Build a network with a custom function, and validate it on a black image.

    Raises
    ------
    TypeError
        If the result is not a module.
    ValueError
        If `input_size` is missing or invalid, or the output has the wrong shape.
    """
    network = builder(n_landmarks)
    if not isinstance(network, nn.Module):
        raise TypeError(f"{builder!r} must return a torch.nn.Module, got {type(network).__name__}")
    size: Any = getattr(network, "input_size", None)
    if not isinstance(size, Integral) or size < 1:
        raise ValueError(
            f"{type(network).__name__} needs an integer attribute input_size, the side of its "
            f"square input in pixels; found {size!r}"
        )
    with torch.no_grad():
        shape = tuple(_answer_to_black(network, size, n_landmarks).shape)
    if shape not in ((1, n_landmarks, 2), (1, 2 * n_landmarks)):
        raise ValueError(
            f"{type(network).__name__} returns an array of shape {shape} for one image; "
            f"expected {(1, n_landmarks, 2)} or {(1, 2 * n_landmarks)} for {n_landmarks} landmarks"
        )
    return network


def patch_size_of(network: nn.Module) -> int | None:
    """Side of the patches that a network reads, or None if it reads a crop.

    Parameters
    ----------
    network : torch.nn.Module
        See :func:`check_network`.

    Returns
    -------
    size : int or None
        In pixels.

    Examples
    --------
    >>> from skwing.networks import cnn6, patches_256
    >>> from skwing.networks._contract import patch_size_of
    >>> patch_size_of(patches_256(5)), patch_size_of(cnn6(5))
    (48, None)
    """
    if not getattr(network, "reads_patches", False):
        return None
    size: int = network.patch_size  # type: ignore[assignment]
    return size


def check_first(networks: Sequence[nn.Module]) -> None:
    """Check that the first network of a cascade does not need the landmarks of another one.

    Parameters
    ----------
    networks : sequence of torch.nn.Module

    Raises
    ------
    ValueError
        If it reads patches.

    Examples
    --------
    >>> from skwing.networks import cnn6, patches_256
    >>> from skwing.networks._contract import check_first
    >>> check_first([cnn6(5), patches_256(5)])
    >>> check_first([patches_256(5)])
    Traceback (most recent call last):
    ...
    ValueError: networks[0]: PatchCNN reads patches around the landmarks of the previous stage; ...
    """
    if networks and patch_size_of(networks[0]) is not None:
        raise ValueError(
            f"networks[0]: {type(networks[0]).__name__} reads patches around the landmarks of the "
            "previous stage; it cannot be the network of the first stage"
        )


def check_trainable(networks: Sequence[nn.Module], n_landmarks: int) -> None:
    """Check that networks can be trained, each on its own.

    Parameters
    ----------
    networks : sequence of torch.nn.Module
    n_landmarks : int

    Raises
    ------
    ValueError
        If two are the same module.

    Warns
    -----
    UserWarning
        If the output of one has no gradient, so that training does not change it.

    Examples
    --------
    >>> from skwing.networks import cnn6
    >>> from skwing.networks._contract import check_trainable
    >>> network = cnn6(5)
    >>> check_trainable([network, network], 5)
    Traceback (most recent call last):
    ...
    ValueError: networks[1]: the same PlainCNN as in a previous stage; expected a new module ...
    """
    for i, network in enumerate(networks):
        name = type(network).__name__
        if any(network is other for other in networks[:i]):
            raise ValueError(
                f"networks[{i}]: the same {name} as in a previous stage; expected a new module for "
                "each call"
            )
        with torch.enable_grad():
            answer = _answer_to_black(network, network.input_size, n_landmarks)
        if not answer.requires_grad:
            warn_caller(
                f"networks[{i}]: the output of {name} has no gradient, so training does not change "
                "it: no parameter requires a gradient, or forward detaches it"
            )


def _answer_to_black(network: nn.Module, size: Any, n_landmarks: int) -> torch.Tensor:
    device = next((p.device for p in network.parameters()), torch.device("cpu"))
    patch = patch_size_of(network)
    shape = (1, 3, size, size) if patch is None else (1, n_landmarks, 3, patch, patch)
    was_training = network.training
    # Evaluation mode does not update running statistics and draws no random numbers.
    network.eval()
    try:
        answer = network(torch.zeros(shape, device=device))
    except Exception as error:
        raise ValueError(
            f"{type(network).__name__} failed for an image of shape {shape}: "
            f"{type(error).__name__}: {error}"
        ) from error
    network.train(was_training)
    if not isinstance(answer, torch.Tensor):
        raise TypeError(
            f"{type(network).__name__} returns a {type(answer).__name__}, expected a tensor of "
            f"shape {(1, n_landmarks, 2)} for one image"
        )
    return answer
