"""Predictions of stages that read patches around the landmarks of the previous stage."""

import torch

from skwing import geometry
from skwing.networks import locate


def read_patches(stage, chips, indices, matrices, before):
    """Predict the landmarks of a stage in patches around those of the previous stage.

    Parameters
    ----------
    stage : skwing._prediction.stages.Stage
    chips : Chips
    indices : int tensor of shape (b,)
    matrices : float32 tensor of shape (b, 2, 3)
        From chip pixels to the frame of the patches.
    before : float tensor of shape (b, L, 2)
        Landmarks of the previous stage, the centres of the patches, in chip pixels.

    Returns
    -------
    points, mirrored : float32 tensors of shape (b, L, 2)
        In pixels of the frame, for the patches and for their mirror images; the latter are None
        if mirrored patches are not used.
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
