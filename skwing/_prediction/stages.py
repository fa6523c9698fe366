"""Stages of a cascade and their predictions in crops of chips.

All points are in chip pixels; the matrix of a crop maps them to the input of the network.
"""

from dataclasses import dataclass
from functools import partial

import torch

from skwing import geometry
from skwing._crops.crop import Crop
from skwing.networks import locate
from skwing.networks._contract import patch_size_of
from skwing.schema._schema import can_mirror

FARTHEST = 1e6  # maximum coordinate of a valid prediction, in chip pixels


@dataclass
class Stage:
    """One network of the cascade and the placement of its crop.

    Attributes
    ----------
    network : torch.nn.Module
    crop : Crop
    permutation : int tensor of shape (L,) or None
        Renames the landmarks of a mirrored shape. If it is given, predictions are averaged
        over each crop and its mirror image.
    asymmetry : float tensor of shape (L, 2) or None
        Offset added to the output of the network, in input pixels, see
        :class:`skwing._training.asymmetry.WithAsymmetry`.
    """

    network: torch.nn.Module
    crop: Crop
    permutation: torch.Tensor | None = None
    asymmetry: torch.Tensor | None = None

    @property
    def patch_size(self):
        """Side of the patches that the network reads, None if it reads the crop."""
        return patch_size_of(self.network)


@dataclass(frozen=True)
class Reading:
    """Predictions of a batch by all stages of a cascade.

    Attributes
    ----------
    points : list of float32 tensors of shape (b, L, 2)
        In chip pixels, one tensor per stage. If the prediction of a stage is invalid, all
        landmarks of this sample are NaN in later stages.
    apart : float32 tensor of shape (b,) or None
        Mean distance between the predictions of the last stage for a crop and for its mirror
        image, in chip pixels; None if mirrored crops are not used.
    sides : float32 tensor of shape (b,)
        Side of the crop of the last stage, in chip pixels.
    """

    points: list[torch.Tensor]
    apart: torch.Tensor | None
    sides: torch.Tensor

    @classmethod
    def joined(cls, parts):
        """Readings of several batches as one."""
        points = [torch.cat(own) for own in zip(*(part.points for part in parts), strict=True)]
        apart = None if parts[0].apart is None else torch.cat([part.apart for part in parts])
        return cls(points, apart, torch.cat([part.sides for part in parts]))

    def rows(self, rows):
        """Reading of some of the samples, given by an int tensor."""
        apart = None if self.apart is None else self.apart[rows]
        return Reading([points[rows] for points in self.points], apart, self.sides[rows])

    def replaced(self, rows, other):
        """Reading with that of other crops in place of some samples."""
        points = [
            own.index_copy(0, rows, new) for own, new in zip(self.points, other.points, strict=True)
        ]
        apart = None if self.apart is None else self.apart.index_copy(0, rows, other.apart)
        return Reading(points, apart, self.sides.index_copy(0, rows, other.sides))


def read_crops(stage, chips, indices, matrices, change=None, before=None):
    """Predict the landmarks of a stage in crops, see :func:`read_both`."""
    return read_both(stage, chips, indices, matrices, change, before)[0]


def read_both(stage, chips, indices, matrices, change=None, before=None):
    """Predict the landmarks of a stage in crops, and in their mirror images if these are used.

    Parameters
    ----------
    stage : Stage
    chips : Chips
    indices : int tensor of shape (b,)
    matrices : float32 tensor of shape (b, 2, 3)
        From chip pixels to input pixels.
    change : float tensor of shape (b, 2, 3), default=None
        From the original crops to these, if they are transformed: the asymmetry is defined
        in the original crop and is transformed accordingly.
    before : float tensor of shape (b, L, 2), default=None
        Landmarks of the previous stage, in chip pixels. Required if the stage reads patches,
        which are centred at them.

    Returns
    -------
    points : float32 tensor of shape (b, L, 2)
        In chip pixels.
    apart : float32 tensor of shape (b,) or None
        See :class:`Reading`.
    """
    read = _read_crops if stage.patch_size is None else partial(_read_patches, before=before)
    points, mirrored = read(stage, chips, indices, matrices)
    apart = None
    if mirrored is not None:
        apart = mean_distance(points, mirrored) / geometry.scale_of(matrices)
        points = (points + mirrored) / 2
    if stage.asymmetry is not None:
        points = points + _turned(stage.asymmetry, change)
    return geometry.apply(geometry.invert(matrices), points), apart


def mean_distance(points, others):
    """Mean distance of corresponding landmarks, of shape (b,)."""
    return torch.linalg.vector_norm(points - others, dim=-1).mean(-1)


def _read_crops(stage, chips, indices, matrices):
    """Predictions for crops, and those for their mirror images or None, in input pixels."""
    images = chips.sample(indices, matrices, stage.crop.size, stage.crop.scale)
    if stage.permutation is None:
        return locate(stage.network, images).float(), None
    # The crop of the mirrored image equals the mirrored crop.
    points = locate(stage.network, images).float()
    seen = locate(stage.network, images.flip(-1)).float()
    reflection = torch.tensor(geometry.reflect(stage.crop.size), dtype=seen.dtype)
    mirrored = geometry.apply(reflection.to(seen.device).expand(seen.shape[0], 2, 3), seen)
    return points, mirrored[:, stage.permutation]


def _read_patches(stage, chips, indices, matrices, before):
    """Predictions for patches around given landmarks, and those for their mirror images or None.

    All are in input pixels, except for `before`, the landmarks of the previous stage.
    """
    centers = geometry.apply(matrices, before)
    # Positions that are not valid give patches at the origin; their landmarks become NaN.
    held = torch.where(centers.isfinite(), centers, 0.0)
    patches = chips.patches(indices, matrices, held, stage.patch_size, stage.crop.scale)
    offsets = locate(stage.network, patches).float()
    if stage.permutation is None:
        return centers + offsets, None
    # Each patch of the mirrored image is the mirrored patch of the opposite landmark.
    seen = locate(stage.network, patches.flip(-1)[:, stage.permutation]).float()
    mirrored = torch.stack([-seen[..., 0], seen[..., 1]], -1)
    return centers + offsets, centers + mirrored[:, stage.permutation]


def _turned(offsets, change):
    """Transform offsets of shape (L, 2) from the original to transformed crops."""
    # Explicit sums, because a matrix product could be computed in bfloat16.
    return offsets if change is None else (change[:, None, :, :2] * offsets[:, None]).sum(-1)


def are_found(points):
    """Whether all landmarks of a sample are finite and within a plausible range, in chip pixels."""
    # Comparisons with NaN are false. Squares of much larger numbers would overflow later.
    return (points.abs() < FARTHEST).flatten(1).all(1)


@torch.no_grad()
def read_stages(stages, chips, indices, matrices=None):
    """Predict the landmarks of all stages, each in the crop placed by the previous stage.

    Those of the first stage are the crops of the boxes, unless `matrices` from chip pixels to
    input pixels are given.
    """
    if matrices is None:
        matrices = stages[0].crop.matrices(indices.shape[0], chips.device)
    points, apart = read_both(stages[0], chips, indices, matrices)
    return continue_reading(stages, chips, indices, points, apart, matrices)


def continue_reading(stages, chips, indices, points, apart, matrices):
    """Predict the landmarks of later stages, given those of the first and its crops.

    Returns
    -------
    reading : Reading
    """
    answers, found = [points.where(points.isfinite(), torch.nan)], are_found(points)
    for stage in stages[1:]:
        matrices = stage.crop.matrices(indices.shape[0], chips.device, answers[-1])
        points, apart = read_both(stage, chips, indices, matrices, before=answers[-1])
        points = points.where(points.isfinite() & found[:, None, None], torch.nan)
        found = are_found(points)
        answers.append(points)
    return Reading(answers, apart, stages[-1].crop.size / geometry.scale_of(matrices))


def mirror_permutation(schema, device):
    """Permutation that renames the landmarks of mirrored shapes, or None."""
    return torch.as_tensor(schema.mirror, device=device) if can_mirror(schema) else None


def make_stages(networks, crops, asymmetries, reads_mirrored, schema, device):
    """Create the stages of a cascade from networks that are already on a device.

    `reads_mirrored` tells whether the predictions of each network are averaged over mirrored
    crops. It must be False for networks that were not trained on these.
    """
    permutation = mirror_permutation(schema, device)
    return [
        Stage(network, crop, permutation if both else None, torch.tensor(asymmetry, device=device))
        for network, crop, asymmetry, both in zip(
            networks, crops, asymmetries, reads_mirrored, strict=True
        )
    ]
