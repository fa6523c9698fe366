"""Shape-indexed network: refines a shape in steps, from features sampled at its landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from skwing._crops.warp import read_at, read_square
from skwing.networks._contract import fill
from skwing.networks._dropout import Dropout, dropout
from skwing.networks._refinement import (
    Refinement,
    Residual,
    circle,
    convolution,
    exactly,
    off_middle,
    offsets_from_middle,
    start_at_zero,
)

if TYPE_CHECKING:
    from typing import Any

_FEATURE_PARTS = ("features", "readable", "condense")


class ShapeIndexedCNN(Refinement):
    """Refinement of a shape in steps, with features sampled from a map at its landmarks.

    Convolutions compute a feature map. The shape is initialised with `start` for all images.
    The first step translates it to the object: each cell of the map gets a score, and the
    shape is moved to the mean of the cell positions, weighted by a softmax over the scores.
    A coarse view of the whole map then gives a first displacement of each landmark. Each
    further step samples the map at the current landmarks and at a few points around them,
    and reduces these features to a few numbers per landmark. A hidden layer predicts a
    displacement of the whole shape from those of all landmarks. In addition, each landmark
    is displaced according to its own numbers. Sampling is differentiable, so that the steps
    and the feature map are trained together.

    Parameters
    ----------
    n_landmarks : int
    input_size : int
        Side of the square input crops, in pixels; a multiple of `stride`.
    stride : {2, 4}, default=4
        Stride of the feature map, in pixels of the input.
    width : int, default=48
        Number of channels of the feature map.
    n_blocks : int, default=2
        Number of residual blocks after the first two convolutions.
    n_features : int, default=16
        Number of features sampled at each point.
    n_around : int, default=4
        Number of points on a circle around each landmark, in addition to the landmark.
    radius : float, default=0.05
        Radius of this circle, as a fraction of the input's side.
    n_condensed : int, default=16
        Number of condensed features of each landmark.
    n_hidden : int, default=512
        Number of units of the hidden layer of each step.
    n_steps : int, default=3
        Number of steps after the first.
    n_overview : int, default=256
        Number of units of the hidden layer of the first step.
    dropout : float, default=0.1
        Probability of dropping a sampled feature in training.
    landmark_dropout : float, default=0.2
        Probability of dropping all features of a landmark in training.
    batch_norm : bool, default=True
        Whether each convolution is followed by batch normalisation.
    in_channels : int, default=3

    Attributes
    ----------
    input_size : int
    n_landmarks : int
    start : tensor of shape (n_landmarks, 2)
        Initial shape, in pixels of the input; set by :func:`skwing.networks.start_at`.

    Notes
    -----
    Shape-indexed features are from Cao, Wei, Wen and Sun, *Face Alignment by Explicit Shape
    Regression*, CVPR 2012. Training all steps in one network is from Trigeorgis, Snape,
    Nicolaou, Antonakos and Zafeiriou, *Mnemonic Descent Method*, CVPR 2016. The mean of
    positions weighted by a softmax is the numerical coordinate regression of Nibali, He,
    Morgan and Prendergast (arXiv 1801.07372), applied here to the shape as a whole. It is
    equivariant to translation: it finds objects at positions that do not occur in training,
    while a layer over the flattened map has to learn each position. In training mode the
    shapes after all steps are returned, and the loss is computed for each.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import ShapeIndexedCNN, start_at
    >>> network = ShapeIndexedCNN(n_landmarks=2, input_size=64)
    >>> start_at(network, [[20.0, 30.0], [40.0, 30.0]])
    True
    >>> network.eval()(torch.rand(1, 3, 64, 64)).tolist()
    [[[20.0, 30.0], [40.0, 30.0]]]
    """

    _by_landmark = ("first_move", *Refinement._by_landmark)
    # Training in bfloat16 is safe: coordinates stay in float32.
    mixed_precision = True
    landmark_position = "start"
    around: torch.Tensor
    start: torch.Tensor

    def __init__(
        self,
        n_landmarks: int,
        input_size: int,
        *,
        stride: int = 4,
        width: int = 48,
        n_blocks: int = 2,
        n_features: int = 16,
        n_around: int = 4,
        radius: float = 0.05,
        n_condensed: int = 16,
        n_hidden: int = 512,
        n_steps: int = 3,
        n_overview: int = 256,
        dropout: float = 0.1,
        landmark_dropout: float = 0.2,
        batch_norm: bool = True,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if n_landmarks < 1:
            raise ValueError(f"n_landmarks must be at least 1, got {n_landmarks}")
        if stride not in (2, 4) or input_size % stride:
            raise ValueError(
                f"stride must be 2 or 4 and divide input_size, got stride={stride}, "
                f"input_size={input_size}"
            )
        self.n_landmarks = n_landmarks
        self.input_size = input_size
        self.stride = stride
        self.dropout = dropout
        self.landmark_dropout = landmark_dropout
        self.features = nn.Sequential(
            *convolution(in_channels, 32, 5, 2, batch_norm),
            *convolution(32, width, 3, stride // 2, batch_norm),
            *[Residual(width, batch_norm) for _ in range(n_blocks)],
        )
        self.score = nn.Conv2d(width, 1, 1)
        self.overview = _overview(width, input_size // stride, n_overview, dropout, batch_norm)
        self.first_move = nn.Linear(n_overview, 2 * n_landmarks)
        self.readable = nn.Conv2d(width, n_features, 1)
        n_read = n_features * (1 + n_around)
        self._add_steps(n_landmarks, n_read, n_condensed, n_hidden, n_steps)
        start_at_zero(self.score, self.first_move)
        self.register_buffer("around", circle(n_around, radius * input_size))
        self.register_buffer("start", torch.full((n_landmarks, 2), (input_size - 1) / 2))

    @property
    def landmark_axes(self) -> dict[str, int]:
        """Axis of the landmarks in each parameter or buffer that has one, by name."""
        return {"start": 0} | super().landmark_axes

    def start_at(self, points: torch.Tensor) -> None:
        """Initialise the output with a shape.

        Parameters
        ----------
        points : tensor of shape (n_landmarks, 2)
            In pixels of the input.
        """
        fill(self.start, points)

    @torch.no_grad()
    def take_features(self, before: nn.Module) -> None:
        """Copy the layers that compute and read features from a trained network.

        These are the convolutions and the condensed features of each step, as far as there are
        such layers of the same shape in a network with the same stride. Other networks change
        nothing.

        Parameters
        ----------
        before : torch.nn.Module
            For example, the network of the previous stage of a cascade.
        """
        if not isinstance(before, ShapeIndexedCNN) or before.stride != self.stride:
            return
        given = before.state_dict()
        for key, value in self.state_dict().items():
            shared = key.partition(".")[0] in _FEATURE_PARTS and key in given
            if shared and given[key].shape == value.shape:
                value.copy_(given[key])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Predict the landmarks of each image.

        Parameters
        ----------
        images : tensor of shape (n_samples, in_channels, input_size, input_size)
            Values in [0, 1].

        Returns
        -------
        points : tensor of shape (n_samples, n_landmarks, 2), or in training mode \
                (n_samples, 1 + n_steps, n_landmarks, 2)
            In pixels of the input, float32.
        """
        features = self.features(2 * images - 1)
        if torch.compiler.is_exporting():
            return self._exported(features)
        found = self.stride * off_middle(exactly(self.score, features)[:, 0])
        move = exactly(self.first_move, self.overview(features))
        points = self.start + found[:, None] + move.unflatten(1, (self.n_landmarks, 2))
        return self._refine(self.readable(features).float(), points)

    def _read(self, maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Sample features at and around each landmark, of shape (n_landmarks, n, n_read)."""
        places = (points[:, :, None] + self.around).flatten(1, 2)
        read = read_at(maps, places, self.stride).unflatten(2, (self.n_landmarks, -1))
        return dropout(read.permute(2, 0, 1, 3).flatten(2), self.dropout, self.training, axis=1)

    def _exported(self, features: torch.Tensor) -> torch.Tensor:
        """Points by the feature map, in fewer operations, see :meth:`_refine_flat`."""
        side = features.shape[-1]
        weight = torch.cat([self.readable.weight, self.score.weight])[..., 0, 0]
        maps = weight @ features.flatten(2)  # of the score, the bias has no effect
        bias: Any = self.readable.bias
        readable = (maps[:, :-1] + bias[:, None]).unflatten(2, (side, side))
        share = maps[:, -1:].softmax(-1)
        found = (share * (self.stride * offsets_from_middle(side))).sum(-1)
        move = exactly(self.first_move, self.overview(features))
        points = move.unflatten(1, (self.n_landmarks, 2)) + found[:, None]
        return self._refine_flat(readable, points.flatten(1), self.start.flatten())

    def _read_flat(
        self, maps: torch.Tensor, points: torch.Tensor, shift: torch.Tensor
    ) -> torch.Tensor:
        unit = 2 / (maps.shape[-1] * self.stride)  # half a map is 1
        around = self.around.repeat(1, self.n_landmarks)
        places = (points * unit)[:, None] + ((shift + around) * unit + (unit / 2 - 1))
        read = read_square(maps, places.unflatten(2, (self.n_landmarks, 2)))
        return read.flatten(1, 2).permute(2, 0, 1)


def shape_indexed_64(
    n_landmarks: int, *, batch_norm: bool = True, **settings: Any
) -> ShapeIndexedCNN:
    """Shape-indexed network for crops of 64x64 pixels, with four steps after the first.

    Parameters
    ----------
    n_landmarks : int
    batch_norm : bool, default=True
        Whether to normalise after each convolution.
    **settings
        Passed on to :class:`ShapeIndexedCNN`.

    Returns
    -------
    network : ShapeIndexedCNN

    Examples
    --------
    >>> from skwing.networks import shape_indexed_64
    >>> shape_indexed_64(n_landmarks=19).input_size
    64
    """
    return ShapeIndexedCNN(
        n_landmarks, 64, **{"stride": 2, "n_steps": 4, "batch_norm": batch_norm, **settings}
    )


def shape_indexed_128(
    n_landmarks: int, *, batch_norm: bool = True, **settings: Any
) -> ShapeIndexedCNN:
    """Shape-indexed network for crops of 128x128 pixels, with three steps after the first.

    Parameters
    ----------
    n_landmarks : int
    batch_norm : bool, default=True
        Whether to normalise after each convolution.
    **settings
        Passed on to :class:`ShapeIndexedCNN`.

    Returns
    -------
    network : ShapeIndexedCNN

    Examples
    --------
    >>> from skwing.networks import shape_indexed_128
    >>> shape_indexed_128(n_landmarks=19).input_size
    128
    """
    return ShapeIndexedCNN(n_landmarks, 128, batch_norm=batch_norm, **settings)


def _overview(
    width: int, side: int, n_units: int, dropout: float, batch_norm: bool
) -> nn.Sequential:
    """Layers that summarise a whole map in `n_units` features."""
    layers = []
    while side > 8:
        layers += convolution(width, 32, 3, 2, batch_norm)
        width, side = 32, (side + 1) // 2
    n_in = width * side * side
    return nn.Sequential(
        *layers, nn.Flatten(), Dropout(dropout), nn.Linear(n_in, n_units), nn.ReLU()
    )
