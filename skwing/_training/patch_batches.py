"""Training batches of a stage that reads patches around landmarks.

Predictions of the previous stage are much more accurate on training images than on new ones, so
they are not suitable as centres of the training patches. Patches are centred at the true
landmarks with random displacements instead.
"""

from dataclasses import replace

import torch

from skwing import geometry
from skwing._crops.chips import patch_matrices
from skwing._crops.random_changes import (
    OF_MATRICES,
    by_name,
    draw,
    matrices_of,
    of_photometric,
    photometric,
    rename_mirrored,
)
from skwing._crops.warp import sample_patches, to_device
from skwing._prediction.stages import are_found, read_stages
from skwing._training.batches import as_batch, index_on, rows_of
from skwing._training.weights import Diverged
from skwing._utils import ranks
from skwing._utils.graphs import Replayed

_SCATTER = 1 / 128  # displacement of patches, for networks without an attribute `scatter`
_VARIED = 0.5  # standard deviation of the logarithm of the displacement, between landmarks
_SHARED = 0.5  # displacement of all landmarks together, relative to that of each
_A_PASS = 64


@torch.no_grad()
def patch_places(stages, chips, truth):
    """Positions of the patches of each sample in training, without displacements.

    These are the true landmarks, and predictions of the trained stages before the last one where
    they are missing; a float32 tensor of shape (n, L, 2) in chip pixels.

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
    """Iterator over training batches of a stage that reads patches at places, of shape (n, L, 2).

    The batches are those of :func:`skwing._training.batches.training_batches`, with patches for
    images; targets are relative to the centres of the patches. Shift, deformation and occlusion
    have no effect.
    """
    crop, device = stage.crop, chips.device
    # Rectangles would cover most of a patch; networks drop whole landmarks instead.
    augmentation = replace(augmentation, occlusion=0.0)
    frames = crop.matrices(len(chips), device, places)
    scatter = getattr(stage.network, "scatter", _SCATTER) * crop.size
    patches = _Patches(stage, augmentation, frames, places, chips, truth, part)
    make, shown = Replayed(patches.make), rows_of(part)
    for indices in draws:
        n, n_patches = len(indices), places.shape[1]
        numbers = draw(n, OF_MATRICES, generator)
        moves = scatter * _displacements(n, n_patches, generator)
        looks = draw(n * n_patches, patches.looks, generator)
        pixels = chips.rows(indices[shown], crop.scale)
        drawn = (to_device(each, device) for each in (indices, numbers, moves, looks))
        yield as_batch(make.fresh(*drawn, pixels))


class _Patches:
    """Batches of patches as functions of random numbers, on the device of the chips."""

    def __init__(self, stage, augmentation, frames, places, chips, truth, part):
        self.crop, self.size, self.augmentation = stage.crop, stage.patch_size, augmentation
        self.frames, self.places, self.chips, self.truth = frames, places, chips, truth
        self.looks = of_photometric(augmentation)
        each = None if part is None else part.times(places.shape[1])
        self.own, self.each = (index_on(chips.device, rows_of(rows)) for rows in (part, each))

    def make(self, indices, numbers, moves, looks, pixels):
        """Patches, changes, mirrored, targets and weights of a batch.

        Parameters
        ----------
        indices : int tensor of shape (n,)
        numbers : float32 tensor
            Uniform numbers for the changes of the samples.
        moves : float32 tensor of shape (n, n_patches, 2)
            Displacements of the patches in pixels.
        looks : float32 tensor
            Uniform numbers for the photometric changes of all patches.
        pixels : list of arrays or tensor
            See :meth:`skwing._crops.chips.Chips.rows`.
        """
        crop, truth, own, n = self.crop, self.truth, self.own, len(indices)
        change, mirrored = matrices_of(
            by_name(numbers, n, OF_MATRICES), crop.size, self.augmentation
        )
        matrices = geometry.compose(change, self.frames[indices])
        centers = geometry.apply(matrices, self.places[indices])
        targets = geometry.apply(matrices, truth.points[indices])
        if truth.permutation is not None:
            centers = rename_mirrored(centers, mirrored, truth.permutation)
            targets = rename_mirrored(targets, mirrored, truth.permutation)
        centers = centers + moves
        matrices = self.chips.from_rows(matrices[own], crop.scale)
        patches = sample_patches(
            pixels, patch_matrices(matrices, centers[own], self.size), self.size
        )
        looks = by_name(looks, n * centers.shape[1], self.looks)
        shown = patches.flatten(0, 1)
        shown = photometric(shown, self.augmentation, looks, None, self.each)
        weights = None if truth.weights is None else truth.weights[indices[own]]
        targets = (targets - centers)[own]
        return shown.view_as(patches), change[own, :, :2], mirrored[own], targets, weights


def _displacements(n, n_landmarks, generator):
    """Random displacements of unit size: of all landmarks together, and of each on its own."""
    each = torch.randn(n, n_landmarks, 2, generator=generator)
    size = torch.exp(_VARIED * torch.randn(n, n_landmarks, 1, generator=generator))
    return size * each + _SHARED * torch.randn(n, 1, 2, generator=generator)
