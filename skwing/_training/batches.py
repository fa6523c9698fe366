"""Training batches of a stage: crops, and augmentation."""

from dataclasses import dataclass, replace

import torch

from skwing import geometry
from skwing._crops.bend import bend
from skwing._crops.random_changes import (
    OF_MATRICES,
    by_name,
    draw,
    draw_move,
    matrices_of,
    of_photometric,
    photometric,
    random_matrices,
    rename_mirrored,
)
from skwing._crops.warp import sample, to_device
from skwing._prediction.stages import are_found, read_crops
from skwing._training.weights import Diverged
from skwing._utils import ranks
from skwing._utils.graphs import Replayed

_N_VARIANTS = 8  # number of crops per sample, from different predictions of previous stages


@dataclass
class TrainingTargets:
    """Targets and weights of the training samples.

    Attributes
    ----------
    points : float32 tensor of shape (n, L, 2)
        In chip pixels, NaN = missing; on the device of the network.
    permutation : int tensor of shape (L,) or None
        Renames the landmarks of a mirrored shape; None if samples are never mirrored.
    weights : float32 tensor of shape (n,) or None
    """

    points: torch.Tensor
    permutation: torch.Tensor | None = None
    weights: torch.Tensor | None = None


@torch.no_grad()
def crop_variants(stages, augmentations, chips, truth, refine_on, generator):
    """Crops of each sample for the training of the last stage, before its augmentation.

    They are computed once, so that a training step has the same cost in all stages. All other
    stages must be trained: unless `refine_on` is "truth", the crops are placed by their
    predictions, each with different augmentation.

    Returns
    -------
    matrices : float32 tensor of shape (n, n_variants, 2, 3)
        From chip pixels to input pixels, on the device of the chips.
    """
    crop, device = stages[-1].crop, chips.device
    if crop.shape is None or refine_on == "truth":
        return crop.matrices(len(chips), device, truth.points)[:, None]
    variants = []
    for _ in range(_N_VARIANTS):
        guess = torch.zeros_like(truth.points)
        for rows in torch.arange(len(chips)).split(64):
            part = ranks.part_of(len(rows))
            own = _guess(stages[:-1], augmentations, chips, rows, generator, part)
            if len(part):
                guess[rows[part.rows]] = own
        guess = ranks.added(guess)
        if guess.isnan().any():
            raise Diverged("the previous stages return invalid landmarks")
        variants.append(crop.matrices(len(chips), device, guess))
    return torch.stack(variants, 1)


def _guess(stages, augmentations, chips, indices, generator, part):
    """Predict landmarks of stages, each with its augmentation except for mirroring.

    Returns those of a part of the samples; NaN if one is invalid.
    """
    guess, own, found = None, indices[part.rows], True
    for stage, augmentation in zip(stages, augmentations, strict=False):
        crops = stage.crop.matrices(len(own), chips.device, guess)
        plain = replace(augmentation, mirror=0.0)
        change, _ = random_matrices(len(indices), stage.crop.size, plain, generator)
        change = to_device(change[part.rows], chips.device)
        if not len(own):
            continue
        guess = read_crops(stage, chips, own, geometry.compose(change, crops), change, guess)
        found = found & are_found(guess)
        guess = guess.where(found[:, None, None], torch.nan)
    return guess


@torch.no_grad()
def training_batches(stage, augmentation, variants, chips, truth, draws, generator, part=None):
    """Iterator over training batches of a stage, on the device of the chips.

    Parameters
    ----------
    stage, augmentation, chips, truth, generator
    variants : float32 tensor of shape (n, n_variants, 2, 3)
        See :func:`crop_variants`; each draw uses a random variant of the sample.
    draws : iterator of int tensors
        Indices of the samples of each batch.
    part : Part or None, default=None
        Part of each batch to make; None makes whole batches.

    Yields
    ------
    (images, changes, mirrored), targets, weights
        Batches for :mod:`skwing._training.loop`, with the inputs of
        :class:`skwing._training.asymmetry.WithAsymmetry`.
    """
    size, device = stage.crop.size, chips.device
    crops = _Crops(stage.crop, augmentation, variants, chips, truth, part)
    make = Replayed(crops.make)
    for indices in draws:
        n = len(indices)
        chosen = torch.randint(variants.shape[1], (n,), generator=generator)
        numbers = draw(n, crops.names, generator)
        which = torch.cat([indices, chosen, draw_move(size, augmentation, generator)])
        pixels = chips.rows(indices[rows_shown(part, augmentation)], stage.crop.scale)
        yield as_batch(make.fresh(to_device(which, device), to_device(numbers, device), pixels))


class _Crops:
    """Batches of crops as functions of random numbers, on the device of the chips."""

    def __init__(self, crop, augmentation, variants, chips, truth, part):
        self.crop, self.augmentation, self.variants = crop, augmentation, variants
        self.chips, self.truth = chips, truth
        rows = rows_of(part), rows_shown(part, augmentation)
        self.own, self.shown = (index_on(chips.device, each) for each in rows)
        bending = {"bend": 1} if augmentation.deformation > 0 else {}
        self.names = OF_MATRICES | bending | of_photometric(augmentation)

    def make(self, which, numbers, pixels):
        """Images, changes, mirrored, targets and weights of a batch.

        Parameters
        ----------
        which : int tensor of shape (2 * n + 2,)
            Indices of the samples, those of their variants, and the result of
            :func:`skwing._crops.random_changes.draw_move`.
        numbers : float32 tensor
            Uniform numbers for `names`.
        pixels : list of arrays or tensor
            See :meth:`skwing._crops.chips.Chips.rows`.
        """
        crop, truth, augmentation = self.crop, self.truth, self.augmentation
        n = (len(which) - 2) // 2
        indices, chosen, move = which.split([n, n, 2])
        numbers = by_name(numbers, n, self.names)
        change, mirrored = matrices_of(numbers, crop.size, augmentation)
        matrices = geometry.compose(change, self.variants[indices, chosen])
        targets = geometry.apply(matrices, truth.points[indices])
        if truth.permutation is not None:
            targets = rename_mirrored(targets, mirrored, truth.permutation)
        own, shown = self.own, self.shown
        if augmentation.deformation > 0:
            strengths = augmentation.deformation * numbers["bend"][:, 0]
            targets, field = bend(targets, indices, strengths, crop.size, shown)
        else:
            targets, field = targets[shown], None
        images = sample(pixels, self.chips.from_rows(matrices[shown], crop.scale), crop.size, field)
        images = photometric(images, augmentation, numbers, move, shown)
        change, mirrored, indices = change[own, :, :2], mirrored[own], indices[own]
        weights = None if truth.weights is None else truth.weights[indices]
        n_own = len(indices)
        return images[:n_own], change, mirrored, targets[:n_own], weights


def as_batch(made):
    """A batch for :mod:`skwing._training.loop`, with the inputs of the network first."""
    *inputs, targets, weights = made
    return tuple(inputs), targets, weights


def rows_of(part):
    """Index of the rows of a part of a batch; None is the whole batch."""
    return slice(None) if part is None else part.rows


def rows_shown(part, augmentation):
    """Index of the rows whose images are needed; occlusion uses the next image."""
    if part is None:
        return slice(None)
    return part.with_next if augmentation.occlusion > 0 else part.rows


def index_on(device, rows):
    """Index of rows of tensors on a device."""
    return rows if isinstance(rows, slice) else to_device(rows, device)
