"""Training of a cascade, stage after stage, on chips."""

import math
from contextlib import nullcontext

import torch

from skwing._reading.stages import mirror_permutation
from skwing._training import engine
from skwing._training.asymmetry import WithAsymmetry
from skwing._training.batches import TrainingTargets, crop_variants, endless_draws, training_batches
from skwing._training.divergence import check_predictions
from skwing._training.settings import check_mixed
from skwing._utils.graphs import can_record
from skwing._utils.threads import made_ahead
from skwing.losses import LOSSES

# In a side of the input: at the usual rate, a hundred steps then learn a hundredth of it.
_ASYMMETRY_UNITS = 16


def make_truth(chips, samples, schema):
    """What training knows of its samples, in chip pixels on the device of the chips."""
    device = chips.device
    points = torch.as_tensor(chips.to_chip(samples.points), dtype=torch.float32, device=device)
    permutation = mirror_permutation(schema, device)
    weights = None if samples.weights is None else torch.tensor(samples.weights, device=device)
    return TrainingTargets(points, permutation, weights)


def train_stage(stages, settings, chips, truth, repeats, loss, *, seed, validate, report):
    """Train the last of some stages, on crops that the stages before it place.

    Parameters
    ----------
    stages : list of Stage
        The last one's network is changed in place and left in evaluation mode; its
        asymmetry is learned as well, from the one that it has. The others are trained.
    settings : list of StageSettings
        Of each stage.
    chips : Chips
    truth : TrainingTargets
    repeats : int array of shape (n,)
    loss : callable
        Residuals in input pixels in, values of the same shape out.
    seed : int
    validate : callable or None
        Takes no argument, gives the error of the stages on data held out.
    report : callable
        Takes a row of history; True stops the training.

    Returns
    -------
    rows : list of dict
        A row an epoch, see :func:`skwing._training.engine.train`.

    Raises
    ------
    Diverged
        With the weights of the best epoch in the network.
    """
    stage, own = stages[-1], settings[-1]
    generator = torch.Generator().manual_seed(seed)
    augmentations = [each.augmentation for each in settings]
    variants = crop_variants(stages, augmentations, chips, truth, own.refine_on, generator)
    # A copy, as views of the data forbid writing and torch warns of such arrays.
    draws = endless_draws(torch.tensor(repeats), own.batch_size, generator)
    mirrors = own.augmentation.mirror > 0
    unit = stage.crop.size / _ASYMMETRY_UNITS
    sided = WithAsymmetry(
        stage.network, stage.asymmetry, truth.permutation if mirrors else None, unit
    )

    def validate_now():
        stage.asymmetry = sided.asymmetry
        return validate()

    def check_now():
        stage.asymmetry = sided.asymmetry
        check_predictions(stages, chips, truth)

    batches = training_batches(stage, own.augmentation, variants, chips, truth, draws, generator)
    # A GPU works beside the CPU anyway, and records its work in the thread that asks for it.
    ready = made_ahead(batches) if chips.device.type == "cpu" else nullcontext(batches)
    try:
        with ready as batches:
            return engine.train(
                sided,
                batches,
                loss,
                engine.make_optimizer(
                    own.optimizer,
                    sided.parameters(),
                    own.learning_rate,
                    own.momentum,
                    own.weight_decay,
                ),
                engine.SCHEDULES[own.schedule],
                n_epochs=own.max_epochs,
                n_steps=math.ceil(len(chips) / own.batch_size),
                mixed=check_mixed(own.precision, chips.device, stage.network),
                recorded=can_record(stage.network)
                and getattr(loss, "func", loss) in LOSSES.values(),
                validate=None if validate is None else validate_now,
                patience=own.patience,
                on_epoch=report,
                check=check_now,
            )
    finally:
        stage.asymmetry = sided.asymmetry
