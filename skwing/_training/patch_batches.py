"""Training batches of a stage that reads patches around landmarks.

Predictions of the previous stage are much more accurate on training images than on new ones, so
they are not suitable as centres of the training patches. Patches are centred at the true
landmarks with random displacements instead.
"""

from dataclasses import replace

import torch

from skwing import geometry
from skwing._crops.random_changes import photometric, random_matrices, rename_mirrored
from skwing._crops.warp import to_device
from skwing._prediction.stages import are_found, read_stages
from skwing._training.weights import Diverged
from skwing._utils import ranks
from skwing._utils.parts import Part

_SCATTER = 1 / 128  # displacement of patches, for networks without an attribute `scatter`
_VARIED = 0.5  # standard deviation of the logarithm of the displacement, between landmarks
_SHARED = 0.5  # displacement of all landmarks together, relative to that of each
_A_PASS = 64


@torch.no_grad()
def patch_places(stages, chips, truth):
    """Positions of the patches of each sample in training, without displacements.

    Parameters
    ----------
    stages : list of Stage
        All stages except the last must be trained.
    chips : Chips
    truth : TrainingTargets

    Returns
    -------
    places : float32 tensor of shape (n, L, 2)
        In chip pixels: the true landmarks, and predictions of the previous stages where
        these are missing.

    Raises
    ------
    Diverged
        If predictions are required and invalid.
    """
    missing = truth.points.isnan().any(-1, keepdim=True)
    if not missing.any():
        return truth.points
    guess = torch.zeros_like(truth.points)
    for rows in torch.arange(len(chips))[ranks.part_of(len(chips)).rows].split(_A_PASS):
        if len(rows):
            guess[rows] = read_stages(stages[:-1], chips, rows).points[-1]
    guess = ranks.added(guess)
    if not are_found(guess).all():
        raise Diverged("the previous stages return invalid landmarks")
    return torch.where(missing, guess, truth.points)


@torch.no_grad()
def patch_batches(stage, augmentation, places, chips, truth, draws, generator, part=None):
    """Iterator over training batches of a stage that reads patches.

    Parameters
    ----------
    stage : Stage
    augmentation : StageAugmentation
        Its shift, its deformation and its occlusion have no effect.
    places : float32 tensor of shape (n, L, 2)
        See :func:`patch_places`.
    chips : Chips
    truth : TrainingTargets
    draws : iterator of int tensors
        Indices of the samples of each batch.
    generator : torch.Generator
    part : Part or None, default=None
        Part of each batch to make; None makes whole batches.

    Yields
    ------
    (patches, changes, mirrored), targets, weights
        As in :func:`skwing._training.batches.training_batches`; targets are relative to the
        centres of the patches.
    """
    crop, size, device = stage.crop, stage.patch_size, chips.device
    # Rectangles would cover most of a patch; networks drop whole landmarks instead.
    augmentation = replace(augmentation, occlusion=0.0)
    frames = crop.matrices(len(chips), device, places)
    for indices in draws:
        n, rows = len(indices), to_device(indices, device)
        own = Part.whole(n) if part is None else part
        change, mirrored = random_matrices(n, crop.size, augmentation, generator)
        change, mirrored = to_device(change, device), to_device(mirrored, device)
        matrices = geometry.compose(change, frames[rows])
        centers = geometry.apply(matrices, places[rows])
        targets = geometry.apply(matrices, truth.points[rows])
        if truth.permutation is not None:
            centers = rename_mirrored(centers, mirrored, truth.permutation)
            targets = rename_mirrored(targets, mirrored, truth.permutation)
        scatter = getattr(stage.network, "scatter", _SCATTER) * crop.size
        centers = centers + to_device(scatter * _displacements(centers, generator), device)
        shown = own.rows
        patches = chips.patches(indices[shown], matrices[shown], centers[shown], size, crop.scale)
        each = own.times(patches.shape[1])
        patches = photometric(patches.flatten(0, 1), augmentation, generator, each.n, each.rows)
        patches = patches.unflatten(0, (len(own), -1))
        weights = None if truth.weights is None else truth.weights[rows[shown]]
        inputs = patches, change[shown, :, :2], mirrored[shown]
        yield inputs, (targets - centers)[shown], weights


def _displacements(centers, generator):
    """Random displacements of unit size: of all landmarks together, and of each on its own."""
    n, n_landmarks = centers.shape[:2]
    each = torch.randn(n, n_landmarks, 2, generator=generator)
    size = torch.exp(_VARIED * torch.randn(n, n_landmarks, 1, generator=generator))
    return size * each + _SHARED * torch.randn(n, 1, 2, generator=generator)
