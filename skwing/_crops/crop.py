"""Placement of the crop of each stage: the matrix for a box or a shape."""

from dataclasses import dataclass

import numpy as np
import torch

from skwing import geometry


def place_shape(shape, size, margin):
    """Centre a shape in a square frame of `size` pixels.

    The margin on each side of the shape is a fraction of its longer side.
    """
    low, high = np.nanmin(shape, axis=0), np.nanmax(shape, axis=0)
    scale = size / ((1 + 2 * margin) * (high - low).max())
    return (shape - (low + high) / 2) * scale + (size - 1) / 2


@dataclass(frozen=True)
class Crop:
    """Placement of the crop of a stage.

    Attributes
    ----------
    size : int
        Side of the network's input in pixels.
    matrix : float32 array of shape (2, 3)
        From chip pixels to input pixels. Used for all samples if `shape` is None, else as a
        fallback for samples whose landmarks do not define a similarity transform.
    shape : float32 array of shape (L, 2) or None
        Target positions, in input pixels, of the landmarks predicted by the previous stage.
        None in the first stage, whose crop is placed by the box.
    """

    size: int
    matrix: np.ndarray
    shape: np.ndarray | None = None

    @classmethod
    def of_box(cls, size, margin, chip_frame):
        """Crop of the box with a margin, for the first stage."""
        return cls(size, np.float32(chip_frame.to_box_frame(size, margin)))

    @property
    def scale(self):
        """Approximate magnification of chips by the crop."""
        return float(geometry.scale_of(self.matrix))

    def start(self, mean_points):
        """Mean positions of landmarks in input pixels, given those in chip pixels."""
        return geometry.apply(self.matrix, mean_points) if self.shape is None else self.shape

    @classmethod
    def of_shape(cls, size, margin, mean_shape, mean_points):
        """Crop of a shape aligned with the mean shape, for a later stage.

        `mean_points`, of shape (L, 2) in chip pixels, are the mean positions of landmarks.
        """
        shape = np.float32(place_shape(mean_shape, size, margin))
        return cls(size, np.float32(geometry.similarity(mean_points, shape)), shape)

    def matrices(self, n, device, points=None):
        """Matrices from chip pixels to input pixels, of shape (n, 2, 3).

        `points` are the landmarks predicted by the previous stage, of shape (n, L, 2), in chip
        pixels; the first stage ignores them.
        """
        fixed = torch.tensor(self.matrix, device=device).expand(n, 2, 3)
        return fixed if self.shape is None else onto_shape(points, self.shape, fixed)


def onto_shape(points, shape, otherwise):
    """Crops in which landmarks lie where a shape does, or others for landmarks that define none.

    Takes tensors of shape (n, L, 2) and (n, 2, 3) in chip pixels, and a float32 array of shape
    (L, 2) in pixels of the crop.
    """
    target = torch.tensor(shape, device=points.device).expand_as(points)
    matrices = geometry.similarity(points, target)
    decided = torch.isfinite(matrices).flatten(1).all(1)[:, None, None]
    return torch.where(decided, matrices, otherwise)


def make_crops(sizes, margins, frame, mean_shape, mean_points):
    """Crops of all stages: first of the box, then of shapes aligned with the mean shape."""
    crops = [Crop.of_box(sizes[0], margins[0], frame)]
    for size, margin in zip(sizes[1:], margins[1:], strict=True):
        crops.append(Crop.of_shape(size, margin, mean_shape, mean_points))
    return crops
