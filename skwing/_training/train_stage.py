"""Training of one stage of a cascade on chips."""

import math
from contextlib import nullcontext

import numpy as np
import torch

from skwing._prediction.stages import mirror_permutation
from skwing._training import loop
from skwing._training.asymmetry import WithAsymmetry
from skwing._training.batches import TrainingTargets, crop_variants, training_batches
from skwing._training.divergence import check_predictions
from skwing._training.draws import EndlessDraws
from skwing._training.parameters import check_mixed
from skwing._training.patch_batches import patch_batches, patch_places
from skwing._training.replicas import replicas
from skwing._training.whole_batch_norm import whole_batch_norm
from skwing._utils import ranks
from skwing._utils.graphs import can_record
from skwing._utils.random import draws_by_itself
from skwing._utils.streams import made_beside
from skwing._utils.threads import made_ahead, one_thread
from skwing.losses import LOSSES

# Units per side of the input. At the default learning rate, a hundred steps can then change the
# asymmetry by a hundredth of the side.
_ASYMMETRY_UNITS = 16

# Steps of networks with smaller inputs, or with smaller parts, take longer in parts. More parts
# are faster on more processors only, and take longer on one.
_LEAST_SIZE, _LEAST_PART, _N_PARTS = 128, 8, 2


def make_truth(chips, samples, schema):
    """Training targets in chip pixels, on the device of the chips."""
    device = chips.device
    points = torch.from_numpy(chips.to_chip(samples.points, np.float32)).to(device)
    permutation = mirror_permutation(schema, device)
    weights = None if samples.weights is None else torch.tensor(samples.weights, device=device)
    return TrainingTargets(points, permutation, weights)


def train_stage(
    stages, settings, chips, truth, repeats, loss, *, seed, validate, report, keeper=None
):
    """Train the last of some stages, on crops placed by the previous stages.

    Parameters
    ----------
    stages : list of Stage
        The network of the last stage is trained in place and left in evaluation mode. Its
        asymmetry is learned too, starting from the present one. All others must be trained.
    settings : list of StageSettings
        Settings of each stage.
    chips : Chips
    truth : TrainingTargets
    repeats : int array of shape (n,)
    loss : callable
        Maps residuals in input pixels to values of the same shape.
    seed : int
    validate : callable or None
        Called without arguments; returns the error of the stages on held-out data.
    report : callable
        Called with each row of history; training stops if it returns True.
    keeper : StageKeeper or None, default=None
        Saves the state of training, from which it continues.

    Returns
    -------
    rows : list of dict
        One row per epoch, see :func:`skwing._training.loop.train`.

    Raises
    ------
    Diverged
        If training diverges; the network then has the weights of the best epoch.
    """
    stage, own = stages[-1], settings[-1]
    draws, generator = endless_draws(repeats, own, seed)
    sided = with_asymmetry(stage, own, truth)

    def validate_now():
        stage.asymmetry = sided.asymmetry
        return validate()

    def check_now():
        stage.asymmetry = sided.asymmetry
        check_predictions(stages, chips, truth)

    alone = ranks.n_processes() == 1
    part = None if alone else ranks.part_of(own.batch_size)
    n_parts = n_parts_of(stage, own, chips.device, loss)
    batches = stage_batches(stages, settings, chips, truth, draws, generator, part)
    if keeper is not None:
        batches = keeper.placed(batches, draws, generator)
    try:
        with (
            nullcontext() if alone else whole_batch_norm(sided),
            replicas(sided, n_parts, one_thread.n_before) as copies,
            made_ready(batches, chips.device) as batches,
        ):
            return loop.train(
                sided,
                batches if keeper is None else keeper.taken(batches),
                loss,
                optimizer_of(own, sided),
                loop.SCHEDULES[own.schedule],
                n_epochs=own.max_epochs,
                n_steps=n_steps_of(chips, own),
                mixed=check_mixed(own.precision, chips.device, stage.network),
                recorded=alone and can_record(stage.network) and is_recordable(loss),
                part=part,
                copies=copies,
                validate=None if validate is None else validate_now,
                patience=own.patience,
                on_epoch=report,
                check=check_now,
                keeper=keeper,
            )
    finally:
        stage.asymmetry = sided.asymmetry


def endless_draws(repeats, own, seed):
    """Draws of the samples of a stage, and the generator of all its batches."""
    generator = torch.Generator().manual_seed(seed)
    # Copy, because torch warns of read-only arrays.
    return EndlessDraws(torch.tensor(repeats), own.batch_size, generator), generator


def with_asymmetry(stage, own, truth):
    """The network of a stage, with its asymmetry to be learned if crops are mirrored."""
    names = truth.permutation if own.augmentation.mirror > 0 else None
    unit = stage.crop.size / _ASYMMETRY_UNITS
    return WithAsymmetry(stage.network, stage.asymmetry, names, unit)


def optimizer_of(own, network):
    """Optimiser of a network by the settings of its stage."""
    return loop.make_optimizer(
        own.optimizer, network.parameters(), own.learning_rate, own.momentum, own.weight_decay
    )


def n_steps_of(chips, own):
    """Number of training steps of an epoch."""
    return math.ceil(len(chips) / own.batch_size)


def n_parts_of(stage, own, device, loss):
    """Number of parts of a batch that are computed by threads, see :class:`Replicas`.

    It depends on the network and on the size of the batch only. Custom networks and losses may
    have a state, or draw numbers by themselves, and get whole batches.
    """
    network = stage.network
    in_parts = (
        device.type == "cpu"
        and ranks.n_processes() == 1
        and stage.crop.size >= _LEAST_SIZE
        and own.batch_size >= _N_PARTS * _LEAST_PART
        and can_record(network)
        and draws_by_itself(network)
        and is_recordable(loss)
    )
    return _N_PARTS if in_parts else 1


def is_recordable(loss):
    """Whether a loss does the same operations at each call, as those of this package do."""
    return getattr(loss, "func", loss) in LOSSES.values()


def made_ready(batches, device):
    """Context manager with an iterator over batches, each made while the one before is used.

    On a CPU, another thread makes them. CUDA graphs can be recorded only in the calling thread.
    """
    if device.type == "cuda":
        return made_beside(batches, device)
    return made_ahead(batches) if device.type == "cpu" else nullcontext(batches)


def stage_batches(stages, settings, chips, truth, draws, generator, part=None):
    """Iterator over the training batches of the last stage, or over a part of each."""
    stage, own = stages[-1], settings[-1]
    if stage.patch_size is not None:
        places = patch_places(stages, chips, truth)
        return patch_batches(stage, own.augmentation, places, chips, truth, draws, generator, part)
    augmentations = [each.augmentation for each in settings]
    variants = crop_variants(stages, augmentations, chips, truth, own.refine_on, generator)
    return training_batches(stage, own.augmentation, variants, chips, truth, draws, generator, part)
