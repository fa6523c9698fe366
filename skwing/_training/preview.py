"""Crops as they are in training, to be looked at before or after a fit."""

import copy
import itertools

import torch
from sklearn.exceptions import NotFittedError

from skwing._crops.chips import cut_chips
from skwing._crops.random_changes import StageAugmentation
from skwing._training.batches import crop_variants, training_batches
from skwing._training.train_stage import make_truth
from skwing._utils.ambient import plain_state
from skwing._utils.checks import count
from skwing._utils.random import drawing
from skwing._utils.threads import one_thread


@plain_state()
@one_thread
def training_crops(regressor, X, y, stage, n_variants):
    """Training crops of one stage: without augmentation, then with it.

    Parameters
    ----------
    regressor : CascadeLandmarkRegressor
        Must be fitted for stages after the first.
    X, y
        As for `fit`.
    stage : int
        Number of the stage, counted from 1.
    n_variants : int
        Number of augmented crops of each sample.

    Returns
    -------
    crops : uint8 array of shape (n_samples, 1 + n_variants, size, size, 3)
    points : float32 array of shape (n_samples, 1 + n_variants, n_landmarks, 2)
        Targets, in pixels of the crops.
    schema : LandmarkSchema or None
    """
    plan = regressor._check(X, y, None, None, None)
    n_stages = len(plan.builders)
    if count().check(stage, "stage") > n_stages:
        raise ValueError(f"stage is {stage}, but there are {n_stages} stages, counted from 1.")
    with drawing(plan.seed):
        chips, stages = _stages(regressor, plan, stage)
        if stages[stage - 1].patch_size is not None:
            raise ValueError(
                f"stage {stage} reads patches around the landmarks instead of a crop: choose a "
                "stage before it"
            )
        images, points = _draw(plan, chips, stages[:stage], n_variants)
    crops = (255 * images).round().to(torch.uint8).permute(0, 1, 3, 4, 2)
    return crops.cpu().numpy(), points.cpu().numpy(), plan.schema


def _stages(regressor, plan, stage):
    """Chips, and the stages that place their crops."""
    if hasattr(regressor, "networks_") and len(regressor.networks_) >= stage:
        chips = cut_chips(plan.train.data, regressor._frame, plan.device, cache=plan.cache)
        return chips, copy.deepcopy(regressor)._reading_stages(plan.device)
    if stage > 1:
        raise NotFittedError(
            f"the crops of stage {stage} are placed by the stages before it: fit the "
            f"{type(regressor).__name__} first, or pass stage=1."
        )
    return regressor._prepare(plan)


def _draw(plan, chips, stages, n_variants):
    """Crops and targets of all samples, first without augmentation."""
    generator = torch.Generator().manual_seed(plan.seed)
    truth, settings = make_truth(chips, plan.train, plan.schema), plan.settings[: len(stages)]
    augmentations = [own.augmentation for own in settings]
    variants = crop_variants(stages, augmentations, chips, truth, settings[-1].refine_on, generator)
    draws, drawn = itertools.repeat(torch.arange(len(chips))), []
    for augmentation in [StageAugmentation(), *[augmentations[-1]] * n_variants]:
        batches = training_batches(
            stages[-1], augmentation, variants, chips, truth, draws, generator
        )
        (images, _, _), targets, _ = next(batches)
        drawn.append((images, targets))
    images, points = zip(*drawn, strict=True)
    return torch.stack(images, 1), torch.stack(points, 1)
