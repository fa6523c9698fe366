"""Where the crop of each stage lies: a box or a shape becomes a matrix."""

from dataclasses import dataclass

import numpy as np
import torch

from skwing import geometry


def place_shape(shape, size, margin):
    """Put a shape into the middle of a square frame.

    Parameters
    ----------
    shape : array of shape (L, 2)
        In any unit.
    size : int
        Side of the frame in pixels.
    margin : float
        What is left free on each side of the shape, as a fraction of its longer side.

    Returns
    -------
    points : array of shape (L, 2)
        In pixels of the frame.
    """
    low, high = np.nanmin(shape, axis=0), np.nanmax(shape, axis=0)
    scale = size / ((1 + 2 * margin) * (high - low).max())
    return (shape - (low + high) / 2) * scale + (size - 1) / 2


@dataclass(frozen=True)
class Crop:
    """Where the crop of a stage lies.

    Attributes
    ----------
    size : int
        Side of the network's input in pixels.
    matrix : float32 array of shape (2, 3)
        From chip pixels to input pixels: for every sample where `shape` is None, else for
        those whose landmarks decide no similarity.
    shape : float32 array of shape (L, 2) or None
        In input pixels: where the landmarks of the stage before are to be brought. None
        for a first stage, which frames the box.
    """

    size: int
    matrix: np.ndarray
    shape: np.ndarray | None = None

    @classmethod
    def of_box(cls, size, margin, chip_frame):
        """Crop of the box and a margin, for a first stage."""
        return cls(size, np.float32(chip_frame.to_box_frame(size, margin)))

    @property
    def scale(self):
        """By how much the crop magnifies chips, about."""
        return float(geometry.scale_of(self.matrix))

    def start(self, mean_points):
        """Where landmarks lie on average, in input pixels, from where in chip pixels."""
        return geometry.apply(self.matrix, mean_points) if self.shape is None else self.shape

    @classmethod
    def of_shape(cls, size, margin, mean_shape, mean_points):
        """Crop of the face brought onto the mean shape, for a later stage.

        `mean_points`, of shape (L, 2) in chip pixels, are where landmarks lie on average.
        """
        shape = np.float32(place_shape(mean_shape, size, margin))
        return cls(size, np.float32(geometry.similarity(mean_points, shape)), shape)

    def matrices(self, n, device, points=None):
        """Matrices from chip pixels to input pixels.

        Parameters
        ----------
        n : int
        device : torch.device
        points : tensor of shape (n, L, 2), default=None
            Landmarks in chip pixels, from the stage before; a first stage needs none.

        Returns
        -------
        matrices : float32 tensor of shape (n, 2, 3)
        """
        fixed = torch.tensor(self.matrix, device=device).expand(n, 2, 3)
        if self.shape is None:
            return fixed
        shape = torch.tensor(self.shape, device=device).expand_as(points)
        matrices = geometry.similarity(points, shape)
        decided = torch.isfinite(matrices).flatten(1).all(1)[:, None, None]
        return torch.where(decided, matrices, fixed)


def make_crops(sizes, margins, frame, mean_shape, mean_points):
    """Crop of each stage: the box first, then the face brought onto the mean shape."""
    crops = [Crop.of_box(sizes[0], margins[0], frame)]
    for size, margin in zip(sizes[1:], margins[1:], strict=True):
        crops.append(Crop.of_shape(size, margin, mean_shape, mean_points))
    return crops
