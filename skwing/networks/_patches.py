"""Network that refines a shape from small patches around its landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from skwing._crops.warp import read_at
from skwing.networks._dropout import dropout
from skwing.networks._refinement import Refinement, Residual, circle, convolution, off_middle

if TYPE_CHECKING:
    from typing import Any


class PatchCNN(Refinement):
    """Refinement of a shape from patches around its landmarks, for images of high resolution.

    The network does not read a crop of the whole shape, but one small patch for each landmark,
    centred at the prediction of the previous stage. Its cost does not depend on the size of
    the shape in pixels. The same convolutions read all patches. In the first step, each cell
    of the map of a patch gets a score by weights of the landmark, and the landmark is moved to
    the mean of the cell positions, weighted by a softmax over the scores. Each further step is
    that of :class:`ShapeIndexedCNN`, where each landmark samples the map of its own patch: a
    hidden layer predicts displacements of all landmarks from the condensed features of all,
    and each landmark is also displaced according to its own features.

    Parameters
    ----------
    n_landmarks : int
    input_size : int, default=256
        Side of the frame from which the patches are cut, in pixels. The frame is the crop
        that another network with this input size would read; it determines the resolution.
    patch_size : int, default=48
        Side of the patches, in pixels of the frame; a multiple of 4.
    scatter : float, default=1 / 128
        Standard deviation of the random displacement of patches from the true landmarks in
        training, along each axis, as a fraction of `input_size`. It stands for the error of
        the previous stage on new images, which is larger than that on training images.
    width : int, default=32
        Number of channels of the feature maps.
    n_blocks : int, default=2
        Number of residual blocks after the first two convolutions.
    n_features : int, default=16
        Number of features sampled at each point.
    n_around : int, default=4
        Number of points on a circle around each landmark, in addition to the landmark.
    radius : float, default=4.0
        Radius of this circle, in pixels of the patch.
    n_condensed : int, default=16
        Number of condensed features of each landmark.
    n_hidden : int, default=256
        Number of units of the hidden layer of each step.
    n_steps : int, default=2
        Number of steps after the first.
    dropout : float, default=0.1
        Probability of dropping a sampled feature in training.
    landmark_dropout : float, default=0.2
        Probability of dropping all features of a landmark in training.
    batch_norm : bool, default=True
        Whether each convolution is followed by batch normalisation.
    in_channels : int, default=3

    Attributes
    ----------
    input_size, patch_size, n_landmarks : int
    scatter : float

    Notes
    -----
    A network whose attribute `reads_patches` is True is trained and used differently from
    others, see :func:`check_network`.

    Examples
    --------
    >>> import torch
    >>> from skwing.networks import PatchCNN
    >>> network = PatchCNN(n_landmarks=5).eval()
    >>> network(torch.rand(2, 5, 3, 48, 48)).shape
    torch.Size([2, 5, 2])
    """

    _by_landmark = ("score", *Refinement._by_landmark)
    # Training in bfloat16 is safe: coordinates stay in float32.
    mixed_precision = True
    reads_patches = True
    around: torch.Tensor

    def __init__(
        self,
        n_landmarks: int,
        input_size: int = 256,
        *,
        patch_size: int = 48,
        scatter: float = 1 / 128,
        width: int = 32,
        n_blocks: int = 2,
        n_features: int = 16,
        n_around: int = 4,
        radius: float = 4.0,
        n_condensed: int = 16,
        n_hidden: int = 256,
        n_steps: int = 2,
        dropout: float = 0.1,
        landmark_dropout: float = 0.2,
        batch_norm: bool = True,
        in_channels: int = 3,
    ) -> None:
        super().__init__()
        if n_landmarks < 1:
            raise ValueError(f"n_landmarks must be at least 1, got {n_landmarks}")
        if patch_size < _STRIDE or patch_size % _STRIDE:
            raise ValueError(f"patch_size must be a multiple of {_STRIDE}, got {patch_size}")
        self.n_landmarks = n_landmarks
        self.input_size = input_size
        self.patch_size = patch_size
        self.scatter = scatter
        self.dropout = dropout
        self.landmark_dropout = landmark_dropout
        self.features = nn.Sequential(
            *convolution(in_channels, width // 2, 5, 2, batch_norm),
            *convolution(width // 2, width, 3, 2, batch_norm),
            *[Residual(width, batch_norm) for _ in range(n_blocks)],
        )
        self.score = nn.Parameter(torch.zeros(n_landmarks, width))
        self.readable = nn.Conv2d(width, n_features, 1)
        n_read = n_features * (1 + n_around)
        self._add_steps(n_landmarks, n_read, n_condensed, n_hidden, n_steps)
        self.register_buffer("around", circle(n_around, radius))

    def forward(self, patches: torch.Tensor) -> torch.Tensor:
        """Predict the position of each landmark in its patch.

        Parameters
        ----------
        patches : tensor of shape (n_samples, n_landmarks, in_channels, patch_size, patch_size)
            Values in [0, 1].

        Returns
        -------
        offsets : tensor of shape (n_samples, n_landmarks, 2), or in training mode \
                (n_samples, 1 + n_steps, n_landmarks, 2)
            Offsets of the landmarks from the centres of their patches, in pixels, float32.
        """
        n = patches.shape[0]
        features = self.features(2 * patches.flatten(0, 1) - 1)
        offsets = _STRIDE * self._found(features).unflatten(0, (n, self.n_landmarks))
        return self._refine(self.readable(features).float(), offsets)

    def _found(self, features: torch.Tensor) -> torch.Tensor:
        """Mean position by the scores of the cells, from the centre, of shape (n * L, 2)."""
        maps = features.float().unflatten(0, (-1, self.n_landmarks))
        # Explicit sums, because a matrix product could be computed in bfloat16.
        scores = (maps * self.score[:, :, None, None]).sum(2)
        return off_middle(scores.flatten(0, 1))

    def _read(self, maps: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
        """Sample features at and around each landmark, of shape (n_landmarks, n, n_read)."""
        middle = (self.patch_size - 1) / 2
        places = middle + offsets.flatten(0, 1)[:, None] + self.around
        read = read_at(maps, places, _STRIDE).flatten(1).unflatten(0, (-1, self.n_landmarks))
        return dropout(read.transpose(0, 1), self.dropout, self.training, axis=1)


_STRIDE = 4  # of the feature maps, in pixels of the patch


def patches_256(n_landmarks: int, *, batch_norm: bool = True, **settings: Any) -> PatchCNN:
    """Network for patches of 48x48 pixels, cut from a frame of 256x256 pixels.

    The frame has twice the resolution of the crops of :func:`shape_indexed_128`.

    Parameters
    ----------
    n_landmarks : int
    batch_norm : bool, default=True
        Whether to normalise after each convolution.
    **settings
        Passed on to :class:`PatchCNN`.

    Returns
    -------
    network : PatchCNN

    Examples
    --------
    >>> from skwing.networks import patches_256
    >>> network = patches_256(n_landmarks=19)
    >>> network.input_size, network.patch_size
    (256, 48)
    """
    return PatchCNN(n_landmarks, 256, batch_norm=batch_norm, **settings)
