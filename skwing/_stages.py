"""What the stages of a cascade read: crops, from chips and from the stage before.

Points are in chip pixels throughout; a stage's matrix maps them to its input.
"""

import itertools
import math
from dataclasses import dataclass, field, replace

import numpy as np
import torch

from skwing import geometry
from skwing._augment import Augmentation, photometric, random_matrices, rename_mirrored
from skwing._bend import Bend
from skwing._warp import send
from skwing._weights import Diverged
from skwing.networks import locate

_MOST_WAITING = 10**7  # draws that are put in order at a time
_N_VARIANTS = 8  # different guesses of the stages before, for each sample
_FARTHEST = 1e6  # chip pixels


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


@dataclass
class Stage:
    """One network of the cascade, the crop that it reads and how that is varied in training.

    Attributes
    ----------
    network : torch.nn.Module
    crop : Crop
    augmentation : Augmentation
    permutation : int tensor of shape (L,) or None
        Renames the landmarks of a mirrored shape. Where it is given, each crop is read
        mirrored as well and the mean of both answers counts.
    asymmetry : float tensor of shape (L, 2) or None
        Added to what the network sees in a crop, in input pixels, see
        :class:`skwing._asymmetry.Sided`.
    """

    network: torch.nn.Module
    crop: Crop
    augmentation: Augmentation = field(default_factory=Augmentation)
    permutation: torch.Tensor | None = None
    asymmetry: torch.Tensor | None = None


def locate_in_crops(stage, chips, indices, matrices, change=None):
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
def locate_in_stages(stages, chips, indices):
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
        points = locate_in_crops(stage, chips, indices, matrices)
        points = torch.where(points.isfinite(), points, torch.nan)
        if found is not None:
            points = torch.where(found[:, None, None], points, torch.nan)
        found = are_found(points)
        answers.append(points)
    return answers


def endless_draws(repeats, batch_size, generator):
    """Batches of indices without end.

    Every pass draws sample i ``repeats[i]`` times, in random order; passes follow each
    other without a gap, so every batch is full. A pass of more than some millions of draws is
    divided into parts, each with its share of every sample.

    Parameters
    ----------
    repeats : int tensor of shape (n,)
    batch_size : int
    generator : torch.Generator

    Yields
    ------
    indices : int tensor of shape (batch_size,)

    Raises
    ------
    ValueError
        If all repeats are 0.
    """
    if not repeats.any():
        raise ValueError("the repeats of the samples to train on are all 0: none would be drawn")
    waiting = torch.empty(0, dtype=torch.int64)
    pools = itertools.chain.from_iterable(_pools(repeats, generator) for _ in itertools.count())
    while True:
        while len(waiting) < batch_size:
            pool = next(pools)
            waiting = torch.cat([waiting, pool[torch.randperm(len(pool), generator=generator)]])
        yield waiting[:batch_size]
        waiting = waiting[batch_size:]


def _pools(repeats, generator):
    """Indices of one pass, each as often as it is repeated, in parts that memory holds."""
    n_parts = math.ceil(int(repeats.sum()) / _MOST_WAITING)
    indices = torch.arange(len(repeats))
    if n_parts == 1:
        yield torch.repeat_interleave(indices, repeats)
        return
    # Part i ends after the share (i + 1) / n_parts of each sample's repeats, give or take a
    # rounding that starts anywhere: otherwise all samples without repeats were in the last.
    start = torch.randint(n_parts, repeats.shape, generator=generator)
    before = torch.zeros_like(repeats)
    for i in range(1, n_parts + 1):
        whole, rest = repeats // n_parts, repeats % n_parts
        after = whole * i + (rest * i + start) // n_parts
        yield torch.repeat_interleave(indices, after - before)
        before = after


@dataclass
class Truth:
    """What training knows of its samples.

    Attributes
    ----------
    points : float32 tensor of shape (n, L, 2)
        In chip pixels, NaN = missing; on the device of the network.
    permutation : int tensor of shape (L,) or None
        Renames the landmarks of a mirrored shape; None where nothing is ever mirrored.
    weights : float32 tensor of shape (n,) or None
    """

    points: torch.Tensor
    permutation: torch.Tensor | None = None
    weights: torch.Tensor | None = None


@torch.no_grad()
def crop_variants(stages, chips, truth, refine_on, generator):
    """Crops of each sample for the last stage to learn on, before its own augmentation.

    They are made once, so that a training step costs the same at every stage.

    Parameters
    ----------
    stages : list of Stage
        Those before the last are trained already.
    chips : Chips
    truth : Truth
    generator : torch.Generator
    refine_on : {"predicted", "truth"}
        Whether the crops of a later stage are cut by what the stages before really
        predict, each time under other augmentation, or by the true landmarks.

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
        batches = torch.arange(len(chips)).split(64)
        guess = torch.cat([_guess(stages[:-1], chips, rows, generator) for rows in batches])
        variants.append(crop.matrices(len(chips), device, guess))
    return torch.stack(variants, 1)


def _guess(stages, chips, indices, generator):
    """Landmarks that stages predict, each under its own augmentation but never mirrored."""
    guess = None
    for stage in stages:
        crops = stage.crop.matrices(len(indices), chips.device, guess)
        plain = replace(stage.augmentation, mirror=0.0)
        change, _ = random_matrices(len(indices), stage.crop.size, plain, generator)
        change = send(change, chips.device)
        guess = locate_in_crops(stage, chips, indices, geometry.compose(change, crops), change)
        if not are_found(guess).all():
            raise Diverged("the stages before answer numbers that are no places")
    return guess


@torch.no_grad()
def training_batches(stage, variants, chips, truth, draws, generator):
    """Batches for a stage, made as whole arrays on the device of the chips.

    Parameters
    ----------
    stage : Stage
    variants : float32 tensor of shape (n, n_variants, 2, 3)
        See :func:`crop_variants`; each draw takes one of a sample's.
    chips : Chips
    truth : Truth
    draws : iterator of int tensors
        Which samples a batch holds.
    generator : torch.Generator

    Yields
    ------
    (images, changes, mirrored), targets, weights
        As :mod:`skwing._engine` takes them, with the inputs of
        :class:`skwing._asymmetry.Sided`.
    """
    size, device = stage.crop.size, chips.device
    bend = Bend(size, stage.augmentation.deformation)
    for indices in draws:
        n, rows = len(indices), send(indices, device)
        chosen = torch.randint(variants.shape[1], (n,), generator=generator)
        change, mirrored = random_matrices(n, size, stage.augmentation, generator)
        change, mirrored = send(change, device), send(mirrored, device)
        matrices = geometry.compose(change, variants[rows, send(chosen, device)])
        targets = geometry.apply(matrices, truth.points[rows])
        if truth.permutation is not None:
            targets = rename_mirrored(targets, mirrored, truth.permutation)
        field = None
        if bend.amount > 0:
            targets, field = bend(targets, rows, generator)
        images = chips.sample(indices, matrices, size, stage.crop.scale, field)
        images = photometric(images, stage.augmentation, generator)
        weights = None if truth.weights is None else truth.weights[rows]
        yield (images, change[:, :, :2], mirrored), targets, weights
