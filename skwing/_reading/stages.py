"""What the stages of a cascade read: crops, from chips and from the stage before.

Points are in chip pixels throughout; a stage's matrix maps them to its input.
"""

from dataclasses import dataclass

import torch

from skwing import geometry
from skwing._crops.crop import Crop
from skwing.networks import locate
from skwing.schema._schema import can_mirror

_FARTHEST = 1e6  # chip pixels


@dataclass
class Stage:
    """One network of the cascade and the crop that it reads.

    Attributes
    ----------
    network : torch.nn.Module
    crop : Crop
    permutation : int tensor of shape (L,) or None
        Renames the landmarks of a mirrored shape. Where it is given, each crop is read
        mirrored as well and the mean of both answers counts.
    asymmetry : float tensor of shape (L, 2) or None
        Added to what the network sees in a crop, in input pixels, see
        :class:`skwing._training.asymmetry.WithAsymmetry`.
    """

    network: torch.nn.Module
    crop: Crop
    permutation: torch.Tensor | None = None
    asymmetry: torch.Tensor | None = None


def read_crops(stage, chips, indices, matrices, change=None):
    """Landmarks that a stage sees in crops.

    Parameters
    ----------
    stage : Stage
    chips : Chips
    indices : int tensor of shape (b,)
    matrices : float32 tensor of shape (b, 2, 3)
        From chip pixels to input pixels.
    change : float tensor of shape (b, 2, 3), default=None
        From the plain crops to these, where they are turned or scaled: what is added for
        asymmetry lies in the plain crop.

    Returns
    -------
    points : float32 tensor of shape (b, L, 2)
        In chip pixels.
    """
    images = chips.sample(indices, matrices, stage.crop.size, stage.crop.scale)
    points = locate(stage.network, images).float()
    if stage.permutation is not None:
        # A crop of the mirrored face is the crop mirrored, pixel by pixel.
        seen = locate(stage.network, images.flip(-1)).float()
        reflection = torch.tensor(geometry.reflect(stage.crop.size), dtype=seen.dtype)
        mirrored = geometry.apply(reflection.to(seen.device).expand(seen.shape[0], 2, 3), seen)
        points = (points + mirrored[:, stage.permutation]) / 2
    if stage.asymmetry is not None:
        points = points + _turned(stage.asymmetry, change)
    return geometry.apply(geometry.invert(matrices), points)


def _turned(offsets, change):
    """Offsets of shape (L, 2), in a plain crop, as they are in crops that are changed."""
    # Written out, as a matrix product might be in bfloat16.
    return offsets if change is None else (change[:, None, :, :2] * offsets[:, None]).sum(-1)


def are_found(points):
    """Whether every landmark of a sample was answered by a number that can be a place.

    Parameters
    ----------
    points : float tensor of shape (b, L, 2)
        What a stage answers, in chip pixels.

    Returns
    -------
    found : bool tensor of shape (b,)
    """
    # Comparisons with NaN are false. Squares of far greater numbers overflow in the crop.
    return (points.abs() < _FARTHEST).flatten(1).all(1)


@torch.no_grad()
def read_stages(stages, chips, indices):
    """Landmarks of each stage, each reading the crops that the one before asks for.

    Returns
    -------
    points : list of tensors of shape (b, L, 2)
        In chip pixels, one tensor a stage. Where a stage answers what is no place, later
        stages have nothing to go by: all their landmarks of that sample are NaN.
    """
    answers, found = [], None
    for stage in stages:
        before = answers[-1] if answers else None
        matrices = stage.crop.matrices(indices.shape[0], chips.device, before)
        points = read_crops(stage, chips, indices, matrices)
        points = torch.where(points.isfinite(), points, torch.nan)
        if found is not None:
            points = torch.where(found[:, None, None], points, torch.nan)
        found = are_found(points)
        answers.append(points)
    return answers


def mirror_permutation(schema, device):
    """Permutation that renames the landmarks of a mirrored shape, or None."""
    return torch.as_tensor(schema.mirror, device=device) if can_mirror(schema) else None


def make_stages(networks, crops, asymmetries, reads_mirrored, schema, device):
    """Stages of a cascade, whose networks are on a device already.

    Parameters
    ----------
    networks : list of torch.nn.Module
    crops : list of Crop
    asymmetries : list of float array of shape (L, 2)
    reads_mirrored : list of bool
        Whether each network reads mirrored crops too. One that was not trained on them does
        not know what they show.
    schema : LandmarkSchema or None
    device : torch.device

    Returns
    -------
    stages : list of Stage
    """
    permutation = mirror_permutation(schema, device)
    return [
        Stage(network, crop, permutation if both else None, torch.tensor(asymmetry, device=device))
        for network, crop, asymmetry, both in zip(
            networks, crops, asymmetries, reads_mirrored, strict=True
        )
    ]
