"""Plain convolutional networks that map a square crop to landmark coordinates."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from skwing.networks._contract import StartsAtOutput

if TYPE_CHECKING:
    from collections.abc import Sequence


class PlainCNN(StartsAtOutput, nn.Module):
    """Convolutions with max-pooling, one hidden layer and one linear output layer.

    Parameters
    ----------
    n_landmarks : int
    widths : sequence of int
        Number of channels of each 3x3 convolution. Each is followed by 2x2 max-pooling, so
        `input_size` is halved ``len(widths)`` times.
    input_size : int
        Side of the square input crops, in pixels.
    batch_norm : bool, default=False
        Whether each convolution is followed by batch normalisation.
    in_channels : int, default=3
    n_hidden : int, default=1024
        Units of the fully connected layer.

    Attributes
    ----------
    input_size : int
    n_landmarks : int
    output : torch.nn.Linear
        The last layer; its bias is a shape, ``(x0, y0, x1, y1, ...)`` in input pixels.

    See Also
    --------
    cnn6, cnn7 : The networks of Feng et al. 2018.

    Examples
    --------
    A CNN-6 with twice as many channels, for a stage of the cascade:

    >>> from functools import partial
    >>> from skwing.networks import PlainCNN
    >>> wide = partial(PlainCNN, widths=(64, 128, 256, 512, 1024), input_size=64)
    >>> wide(68).output
    Linear(in_features=1024, out_features=136, bias=True)
    """

    # Training in bfloat16 is safe: `forward` keeps coordinates in float32.
    mixed_precision = True

    def __init__(
        self,
        n_landmarks: int,
        widths: Sequence[int],
        input_size: int,
        *,
        batch_norm: bool = False,
        in_channels: int = 3,
        n_hidden: int = 1024,
    ) -> None:
        super().__init__()
        last_size = input_size // 2 ** len(widths)
        if n_landmarks < 1:
            raise ValueError(f"n_landmarks must be at least 1, got {n_landmarks}")
        if last_size < 1 or last_size * 2 ** len(widths) != input_size:
            raise ValueError(
                f"input_size={input_size} cannot be halved {len(widths)} times, once for each "
                f"of widths={tuple(widths)}: a multiple of {2 ** len(widths)} is needed"
            )
        self.n_landmarks = n_landmarks
        self.input_size = input_size
        layers = []
        for n_in, n_out in zip((in_channels, *widths), widths, strict=False):
            layers += _block(n_in, n_out, batch_norm)
        self.features = nn.Sequential(*layers, nn.Flatten())
        self.hidden = nn.Linear(widths[-1] * last_size**2, n_hidden)
        self.activation = nn.ReLU(inplace=True)
        self.output = nn.Linear(n_hidden, 2 * n_landmarks)
        self.apply(_he_initialise)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Predict the landmarks of each image.

        Parameters
        ----------
        images : tensor of shape (n_samples, in_channels, input_size, input_size)
            Values in [0, 1].

        Returns
        -------
        points : tensor of shape (n_samples, n_landmarks, 2)
            In pixels of the input.
        """
        hidden = self.activation(self.hidden(self.features(images)))
        # In bfloat16, coordinates near 100 would be rounded to half a pixel.
        with torch.autocast(hidden.device.type, enabled=False):
            return self.output(hidden.float()).unflatten(1, (self.n_landmarks, 2))


def cnn6(n_landmarks: int, *, batch_norm: bool = False, in_channels: int = 3) -> PlainCNN:
    """CNN-6: five convolutions and a hidden layer, for crops of 64x64 pixels.

    Parameters
    ----------
    n_landmarks : int
    batch_norm : bool, default=False
        Whether to add batch normalisation, which the networks of the paper do not have.
    in_channels : int, default=3

    Returns
    -------
    network : PlainCNN

    Notes
    -----
    Figure 2 of Feng et al. 2018.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import cnn6
    >>> network = cnn6(n_landmarks=68)
    >>> network(torch.zeros(2, 3, network.input_size, network.input_size)).shape
    torch.Size([2, 68, 2])
    """
    return PlainCNN(
        n_landmarks, (32, 64, 128, 256, 512), 64, batch_norm=batch_norm, in_channels=in_channels
    )


def cnn7(n_landmarks: int, *, batch_norm: bool = False, in_channels: int = 3) -> PlainCNN:
    """CNN-7: six convolutions and a hidden layer, for crops of 128x128 pixels.

    Parameters
    ----------
    n_landmarks : int
    batch_norm : bool, default=False
        Whether to add batch normalisation, which the networks of the paper do not have.
    in_channels : int, default=3

    Returns
    -------
    network : PlainCNN

    Notes
    -----
    The second network of the cascade of Feng et al. 2018. The paper specifies the input size,
    the first width and the last feature map; the other widths are chosen by this package.

    Examples
    --------
    >>> from skwing.networks import cnn7
    >>> cnn7(n_landmarks=19).input_size
    128
    """
    return PlainCNN(
        n_landmarks,
        (64, 64, 128, 256, 512, 512),
        128,
        batch_norm=batch_norm,
        in_channels=in_channels,
    )


def _block(n_in: int, n_out: int, batch_norm: bool) -> list[nn.Module]:
    # Pooling comes before the ReLU. Both commute, so without batch norm the network is the
    # same function as conv-ReLU-pool, but the ReLU processes a quarter of the values (10 to
    # 25 % less time for a training step on a CPU). With batch norm the function differs
    # slightly, as its statistics are those of pooled values; the order is kept for speed.
    # Batch norm has its own shift, so the convolution has no bias.
    layers = [nn.Conv2d(n_in, n_out, 3, padding=1, bias=not batch_norm), nn.MaxPool2d(2)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(n_out))
    return [*layers, nn.ReLU(inplace=True)]


def _he_initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
        if module.bias is not None:
            nn.init.zeros_(module.bias)
