"""ResNet-50 with landmark output, optionally initialised from a file of weights."""

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
_EXPANSION = 4  # ratio of the output width of a block to its inner width
_NAMED = 3  # maximum number of keys in an error message

_READS_FILES = ContextVar("_READS_FILES", default=True)


@contextlib.contextmanager
def without_weights() -> Iterator[None]:
    """Context manager in which builders do not read files of weights.

    Loading a fitted regressor rebuilds its networks and then sets the trained weights. The
    file with the initial weights is not needed and may not exist any more.

    Examples
    --------
    >>> from skwing.networks import resnet50
    >>> from skwing.networks._resnet import without_weights
    >>> with without_weights():
    ...     network = resnet50(5, weights="moved.pth")
    >>> network.input_size
    224
    """
    token = _READS_FILES.set(False)
    try:
        yield
    finally:
        _READS_FILES.reset(token)


class ResNet(StartsAtOutput, nn.Module):
    """ResNet with bottleneck blocks, global average pooling and a linear output layer.

    Parameters and buffers have the names of torchvision's ResNets, except that the last
    layer is `output` instead of `fc`.

    Parameters
    ----------
    n_landmarks : int
    n_blocks : sequence of int, default=(3, 4, 6, 3)
        Number of blocks in each group; the default is ResNet-50. All groups except the
        first halve the resolution.
    input_size : int, default=224
        Side of the square input crops, in pixels, above 32.
    width : int, default=64
        Number of channels of the first convolution and of the inner convolutions of the
        first group; it doubles with each group.
    mean, std : sequence of three float, default=those of ImageNet
        Mean and standard deviation of the colours that pretrained weights expect, for values
        in [0, 1]. The network normalises its input with them.

    Attributes
    ----------
    input_size : int
    n_landmarks : int
    output : torch.nn.Linear
        The last layer; its bias is a shape, ``(x0, y0, x1, y1, ...)`` in input pixels.

    Notes
    -----
    He et al., Deep Residual Learning for Image Recognition, CVPR 2016. As in torchvision
    and its published weights, the stride of a block is in the 3x3 convolution. In the paper,
    it is in the first 1x1 convolution.

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
            # With a last map of 1x1, batch norm has no statistics for a single image.
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
        # Constants, which are not saved with the weights.
        self.register_buffer("mean", torch.tensor(mean).reshape(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(std).reshape(3, 1, 1), persistent=False)
        _initialise(self)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Predict the landmarks of each image.

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
        # In bfloat16, coordinates near 100 would be rounded to half a pixel.
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
    """ResNet-50: 53 convolutions, for crops of 224x224 pixels.

    Parameters
    ----------
    n_landmarks : int
    batch_norm : bool, default=True
        Ignored; this network always has batch normalisation.
    input_size : int, default=224
        Side of the square input crops, in pixels, above 32.
    weights : str or PathLike, default=None
        File with pretrained weights: the state dict of a ResNet-50 with the names of
        torchvision, saved by ``torch.save`` or as ``.safetensors``. The classifier, ``fc.*``,
        is ignored. None initialises weights randomly. Only tensors are read from the file;
        it cannot run code. The file is read when a regressor is fitted, and is not needed to
        load the fitted regressor.
    **settings
        Passed to :class:`ResNet`. The defaults of `mean` and `std` are those of ImageNet, for
        values in [0, 1]; set them for weights with another normalisation.

    Returns
    -------
    network : ResNet
        It normalises images with `mean` and `std`, with and without `weights`.

    Raises
    ------
    FileNotFoundError
        If the file `weights` does not exist.
    ValueError
        If the file is damaged, contains other objects than tensors, or does not fit the
        network. The message names the file and the first parameters that do not fit.

    Notes
    -----
    Feng et al. 2018 fine-tune a ResNet-50 pretrained on ImageNet with the Wing loss. They
    keep the 1000 outputs of the classifier and add a layer on top; here the output layer
    follows the global average pooling.

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
    """Load all weights of a ResNet except its output layer from a file.

    Parameters
    ----------
    network : ResNet
        Modified in place.
    path : str or PathLike
        See :func:`resnet50`.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`resnet50`.
    """
    state = {key: value for key, value in _read_state(path).items() if not key.startswith("fc.")}
    own = {k: v for k, v in network.state_dict().items() if not k.startswith("output.")}
    # Files of old torch versions lack the batch counters, which are not used here.
    missing = [key for key in own if key not in state and not key.endswith(".num_batches_tracked")]
    unknown = [key for key in state if key not in own]
    if missing or unknown:
        parts = [
            f"{len(keys)} parameters {what}: {_some(keys)}"
            for keys, what in ((missing, "are missing"), (unknown, "are unknown"))
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
        raise ValueError(f"{path} contains numbers that are not finite, in {_some(broken)}")
    network.load_state_dict(state, strict=False)


def _read_state(path: FilePath) -> dict[str, torch.Tensor]:
    """Read a state dict from a file; only tensors are read."""
    path = os.fspath(path)
    if not os.path.exists(path):
        raise FileNotFoundError(f"there is no file of weights {path}")
    read = load_file if path.endswith(".safetensors") else _read_torch
    try:
        state = read(path)
    # torch raises many kinds of errors for damaged files, none of which names the file.
    except Exception as error:
        raise ValueError(
            f"{path} cannot be read as a file of weights: it is damaged, or contains other objects "
            "than tensors"
        ) from error
    is_state = isinstance(state, dict) and all(isinstance(key, str) for key in state)
    if not is_state or not all(isinstance(value, torch.Tensor) for value in state.values()):
        found = f"keys {_some(state)}" if isinstance(state, dict) else f"a {type(state).__name__}"
        raise ValueError(
            f"{path} contains {found}, expected a state dict: tensors by the names of parameters, "
            "such as conv1.weight"
        )
    return state


def _read_torch(path: str) -> Any:
    return torch.load(path, map_location="cpu", weights_only=True)


def _some(names: Iterable[Any]) -> str:
    names = [str(name)[:80] for name in names]
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


class _Bottleneck(nn.Module):
    """Bottleneck block: three convolutions, the middle one narrow, with a skip connection."""

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
            # Each block is initialised as the identity, which stabilises training.
            nn.init.zeros_(module.bn3.weight)
    nn.init.kaiming_normal_(network.output.weight, nonlinearity="relu")
    nn.init.zeros_(network.output.bias)
