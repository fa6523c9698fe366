"""Training of a cascade, stage after stage, on chips."""

import math
from contextlib import nullcontext

import torch

from skwing._reading.stages import mirror_permutation
from skwing._training import engine
from skwing._training.asymmetry import Sided
from skwing._training.batches import Truth, crop_variants, endless_draws, training_batches
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
    return Truth(points, permutation, weights)


def train_last(stages, chips, truth, repeats, settings, loss, *, seed, validate, report):
    """Train the last stage of a cascade on what the others, trained already, let it see.

    Parameters
    ----------
    stages : list of Stage
        The last one's network is changed in place and left in evaluation mode; its
        asymmetry is learned as well, from the one that it has.
    chips : Chips
    truth : Truth
    repeats : int array of shape (n,)
    settings : StageSettings
        Of the last stage.
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
    stage, size = stages[-1], settings.batch_size
    generator = torch.Generator().manual_seed(seed)
    variants = crop_variants(stages, chips, truth, settings.refine_on, generator)
    # A copy, as views of the data forbid writing and torch warns of such arrays.
    draws = endless_draws(torch.tensor(repeats), size, generator)
    mirrors = stage.augmentation.mirror > 0
    unit = stage.crop.size / _ASYMMETRY_UNITS
    sided = Sided(stage.network, stage.asymmetry, truth.permutation if mirrors else None, unit)

    def validate_now():
        stage.asymmetry = sided.asymmetry
        return validate()

    def check_now():
        stage.asymmetry = sided.asymmetry
        check_predictions(stages, chips, truth)

    batches = training_batches(stage, variants, chips, truth, draws, generator)
    # A GPU works beside the CPU anyway, and records its work in the thread that asks for it.
    ready = made_ahead(batches) if chips.device.type == "cpu" else nullcontext(batches)
    try:
        with ready as batches:
            return engine.train(
                sided,
                batches,
                loss,
                engine.make_optimizer(
                    settings.optimizer,
                    sided.parameters(),
                    settings.learning_rate,
                    settings.momentum,
                    settings.weight_decay,
                ),
                engine.SCHEDULES[settings.schedule],
                n_epochs=settings.max_epochs,
                n_steps=math.ceil(len(chips) / size),
                mixed=check_mixed(settings.precision, chips.device, stage.network),
                recorded=can_record(stage.network)
                and getattr(loss, "func", loss) in LOSSES.values(),
                validate=None if validate is None else validate_now,
                patience=settings.patience,
                on_epoch=report,
                check=check_now,
            )
    finally:
        stage.asymmetry = sided.asymmetry
