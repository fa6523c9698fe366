"""ResNet-50 for coordinates, which starts from a file of weights where the user has one."""

from __future__ import annotations

import contextlib
import os
from contextvars import ContextVar
from typing import TYPE_CHECKING

import torch
from safetensors.torch import load_file
from torch import nn
from torch.nn import functional as F

from skwing.networks._contract import StartsAtOutput

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence
    from typing import Any

    from skwing._utils.types import FilePath

# Mean and standard deviation of the colours of ImageNet, for values in [0, 1].
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_EXPANSION = 4  # how much wider a block's output is than its middle
_NAMED = 3  # keys that an error names

_READS_FILES = ContextVar("_READS_FILES", default=True)


@contextlib.contextmanager
def without_weights() -> Iterator[None]:
    """Let builders read no file of weights inside, as the weights come from elsewhere.

    A fitted regressor that is loaded builds its networks anew and fills them with what it
    has learned: the file that they started from may be gone by then.
    """
    token = _READS_FILES.set(False)
    try:
        yield
    finally:
        _READS_FILES.reset(token)


class ResNet(StartsAtOutput, nn.Module):
    """Bottleneck blocks in four groups, the mean over the map, one linear output layer.

    Parameters and buffers are named as those of torchvision's ResNets are, but for the
    last layer, which is `output` in place of `fc`.

    Parameters
    ----------
    n_landmarks : int
    n_blocks : sequence of int, default=(3, 4, 6, 3)
        Blocks of each group; the default is ResNet-50. Each group but the first halves the
        map.
    input_size : int, default=224
        Side of the square crops that the network reads, in pixels, above 32.
    width : int, default=64
        Kernels of the first convolution, and of the narrow convolutions of the first group;
        each group doubles them.
    mean, std : sequence of three float, default=those of ImageNet
        Of the colours that weights were trained with, for values in [0, 1]: images are
        normalised by them inside the network.

    Attributes
    ----------
    input_size : int
    n_landmarks : int
    output : torch.nn.Linear
        The last layer; its bias is a shape, ``(x0, y0, x1, y1, ...)`` in input pixels.

    Notes
    -----
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016. As in torchvision,
    the 3x3 convolution of a block has the stride, not the 1x1 convolution before it as in
    the paper: published weights are of that kind.

    Examples
    --------
    >>> from skwing.networks import ResNet
    >>> ResNet(68, n_blocks=(1, 1, 1, 1), width=8, input_size=64).output
    Linear(in_features=256, out_features=136, bias=True)
    """

    # Training in bfloat16 is safe: `forward` keeps coordinates in float32.
    mixed_precision = True
    mean: torch.Tensor
    std: torch.Tensor

    def __init__(
        self,
        n_landmarks: int,
        n_blocks: Sequence[int] = (3, 4, 6, 3),
        input_size: int = 224,
        *,
        width: int = 64,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
    ) -> None:
        super().__init__()
        if n_landmarks < 1:
            raise ValueError(f"n_landmarks must be at least 1, got {n_landmarks}")
        if input_size <= 32:
            # A last map of one cell leaves batch norm nothing to measure on a single image.
            raise ValueError(f"input_size must be above 32, got {input_size}")
        self.n_landmarks = n_landmarks
        self.input_size = input_size
        self.conv1 = nn.Conv2d(3, width, 7, stride=2, padding=3, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        n_in = width
        for i, n in enumerate(n_blocks):
            narrow = width * 2**i
            setattr(self, f"layer{i + 1}", _group(n_in, narrow, n, stride=1 if i == 0 else 2))
            n_in = _EXPANSION * narrow
        self.n_groups = len(n_blocks)
        self.output = nn.Linear(n_in, 2 * n_landmarks)
        # Constants, so no part of the state that is stored.
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Locate the landmarks of each image.

        Parameters
        ----------
        images : tensor of shape (n_samples, 3, input_size, input_size)
            Values in [0, 1].

        Returns
        -------
        points : tensor of shape (n_samples, n_landmarks, 2)
            In pixels of the input, float32.
        """
        maps = F.relu(self.bn1(self.conv1((images - self.mean) / self.std)), inplace=True)
        maps = F.max_pool2d(maps, 3, stride=2, padding=1)
        for i in range(self.n_groups):
            maps = getattr(self, f"layer{i + 1}")(maps)
        # In bfloat16 a coordinate near 100 would be rounded to half a pixel.
        with torch.autocast(maps.device.type, enabled=False):
            return self.output(maps.float().mean((2, 3))).unflatten(1, (self.n_landmarks, 2))


def resnet50(
    n_landmarks: int,
    *,
    batch_norm: bool = True,
    input_size: int = 224,
    weights: FilePath | None = None,
    **settings: Any,
) -> ResNet:
    """ResNet-50: 53 convolutions, on crops of 224x224 pixels.

    Parameters
    ----------
    n_landmarks : int
    batch_norm : bool, default=True
        Taken as all builders take it; this network always has batch normalisation.
    input_size : int, default=224
        Side of the square crops, in pixels, above 32.
    weights : str or PathLike, default=None
        File to start from: what ``torch.save`` made of the state dict of a ResNet-50 as
        torchvision names its parts, or a ``.safetensors`` file of it. The classifier,
        ``fc.*``, is left out. None starts from random numbers. Only tensors are read from
        the file, no code that it may hold is run. It is read when a regressor is fitted; a
        fitted one that is stored and loaded again does not need it any more.
    **settings
        Passed on to :class:`ResNet`. `mean` and `std` are those of ImageNet, for values in
        [0, 1]; set them for weights that were trained otherwise.

    Returns
    -------
    network : ResNet
        It normalises images by `mean` and `std` itself, with and without `weights`.

    Raises
    ------
    FileNotFoundError
        If there is no file `weights`.
    ValueError
        If the file is broken, holds more than tensors, or does not fit the network; names
        the file and the first parts that do not fit.

    Notes
    -----
    Feng et al. 2018 fine-tune a ResNet-50 of ImageNet with the Wing loss. Theirs keeps the
    1000 outputs of the classifier and adds a layer that reads them; here the last layer
    reads the mean over the map itself.

    Examples
    --------
    >>> from functools import partial
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing.networks import resnet50
    >>> resnet50(n_landmarks=68).input_size
    224
    >>> start = partial(resnet50, weights="resnet50.pth", input_size=128)
    >>> reg = CascadeLandmarkRegressor(networks=("cnn6", start))
    """
    network = ResNet(n_landmarks, input_size=input_size, **settings)
    if weights is not None and _READS_FILES.get():
        load_backbone(network, weights)
    return network


def load_backbone(network: ResNet, path: FilePath) -> None:
    """Fill all of a ResNet but its output layer from a file.

    Parameters
    ----------
    network : ResNet
        Changed in place.
    path : str or PathLike
        See :func:`resnet50`.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`resnet50`.
    """
    state = {key: value for key, value in _read_state(path).items() if not key.startswith("fc.")}
    own = {k: v for k, v in network.state_dict().items() if not k.startswith("output.")}
    # Files written before torch counted batches lack the counters, which nothing here reads.
    missing = [key for key in own if key not in state and not key.endswith(".num_batches_tracked")]
    unknown = [key for key in state if key not in own]
    if missing or unknown:
        parts = [
            f"{len(keys)} parts {what}: {_some(keys)}"
            for keys, what in ((missing, "are missing"), (unknown, "are not known"))
            if keys
        ]
        raise ValueError(f"{path} does not fit the network: {'; '.join(parts)}")
    odd = [
        f"{key} has shape {tuple(value.shape)}, expected {tuple(own[key].shape)}"
        for key, value in state.items()
        if value.shape != own[key].shape
    ]
    if odd:
        raise ValueError(f"{path} does not fit the network: {len(odd)} shapes: {_some(odd)}")
    broken = [key for key, value in state.items() if not value.isfinite().all()]
    if broken:
        raise ValueError(f"{path} holds numbers that are not finite, in {_some(broken)}")
    network.load_state_dict(state, strict=False)


def _read_state(path: FilePath) -> dict[str, torch.Tensor]:
    """State dict in a file, from names to tensors; nothing but tensors is read."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file of weights {path}")
    read = load_file if path.endswith(".safetensors") else _read_torch
    try:
        state = read(path)
    # What torch raises for a broken file is of many kinds, and names the file in none.
    except Exception as error:
        raise ValueError(
            f"{path} can not be read as a file of weights: it is broken, or holds more than tensors"
        ) from error
    is_state = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not is_state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        found = f"keys {_some(state)}" if isinstance(state, dict) else f"a {type(state).__name__}"
        raise ValueError(
            f"{path} holds {found}, expected a state dict: tensors by the names of the parts, "
            "such as conv1.weight"
        )
    return state


def _read_torch(path: str) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _some(names: Iterable[Any]) -> str:
    names = [str(name)[:80] for name in names]
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


class _Bottleneck(nn.Module):
    """Three convolutions, the middle one narrow, whose sum with the input is the output."""

    def __init__(self, n_in: int, narrow: int, stride: int) -> None:
        super().__init__()
        n_out = _EXPANSION * narrow
        self.conv1 = nn.Conv2d(n_in, narrow, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(narrow)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(narrow)
        self.conv3 = nn.Conv2d(narrow, n_out, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(n_out)
        self.downsample = None
        if stride != 1 or n_in != n_out:
            self.downsample = nn.Sequential(
                nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out)
            )

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        x = F.relu(self.bn1(self.conv1(maps)), inplace=True)
        x = F.relu(self.bn2(self.conv2(x)), inplace=True)
        x = self.bn3(self.conv3(x))
        return F.relu(x + (maps if self.downsample is None else self.downsample(maps)))


def _group(n_in: int, narrow: int, n_blocks: int, stride: int) -> nn.Sequential:
    blocks = [_Bottleneck(n_in, narrow, stride)]
    blocks += [_Bottleneck(_EXPANSION * narrow, narrow, 1) for _ in range(n_blocks - 1)]
    return nn.Sequential(*blocks)


def _initialise(network: ResNet) -> None:
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        elif isinstance(module, _Bottleneck):
            # Each block starts as the identity, which trains more steadily from nothing.
            nn.init.zeros_(module.bn3.weight)
    nn.init.kaiming_normal_(network.output.weight, nonlinearity="relu")
    nn.init.zeros_(network.output.bias)
