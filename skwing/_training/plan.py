"""Plan of a fit: validated samples and settings, before images are decoded."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from skwing._training.agreement import agree, check_parts
from skwing._training.automatic import networks_for, reads_patches
from skwing._training.checkpoint import Checkpoint
from skwing._training.parameters import StageSettings, stage_settings
from skwing._training.samples import (
    Samples,
    check_held_out,
    check_learnable,
    check_samples,
    drop_unused_samples,
    split_samples,
)
from skwing._training.start import Start, beginning
from skwing._utils.checks import per_stage
from skwing._utils.device import check_device
from skwing._utils.random import check_random_state
from skwing._utils.unwrap import check_order
from skwing._utils.warnings import warn_of_data
from skwing.losses import bind_loss
from skwing.networks import check_networks
from skwing.schema import LandmarkSchema, check_schema
from skwing.schema._schema import can_mirror
from skwing.shapes._reference import is_symmetric, reference_shape


@dataclass(frozen=True)
class Plan:
    """Validated samples and settings of a fit.

    Attributes
    ----------
    train : Samples
    held_out : Samples or None
    is_val_given : bool
        Whether these are X_val, and not some of X.
    schema : LandmarkSchema or None
    settings : list of StageSettings
    losses : list of callable
        One per stage, from :func:`skwing.losses.bind_loss`.
    builders : list of callable
        One per stage; takes a number of landmarks, returns a network.
    mean_shape : float64 array of shape (L, 2)
    n_known : int
        Number of networks reused from the previous fit or from the start: none, all, or those
        that were trained before an interruption.
    before : object or None
        Fitted model with these networks and their crops.
    start : Start or None
        Model whose weights the new networks take.
    cache : str or None
        Folder of chips, see :func:`skwing._crops.chips.cut_chips`.
    checkpoint : Checkpoint or None
        State of this fit in a file.
    is_further : bool
        Whether this is the second training of a fit, with predicted landmarks.
    device : torch.device
    seed : int
    """

    train: Samples
    held_out: Samples | None
    is_val_given: bool
    schema: LandmarkSchema | None
    settings: list[StageSettings]
    losses: list[Callable]
    builders: Sequence[Callable]
    mean_shape: np.ndarray
    n_known: int
    device: torch.device
    seed: int
    before: Any = None
    start: Start | None = None
    cache: str | None = None
    checkpoint: Checkpoint | None = None
    is_further: bool = False

    @property
    def first(self):
        """First stage to train, from 0; after an interrupted fit, the first missing one."""
        return self.n_known if self.n_known < len(self.builders) else 0

    @property
    def n_given(self):
        """Number of networks whose weights come from the previous fit or from the start."""
        n_start = 0 if self.start is None else len(self.start.model.networks_)
        return max(self.n_known, n_start)

    @property
    def mirrored(self):
        """Whether each stage is trained on mirrored crops, a list of bool."""
        return [own.augmentation.mirror > 0 for own in self.settings]


def make_plan(estimator, given, data, held_out, resumes=False, is_further=False):
    """Validate everything that does not require decoded images.

    Parameters
    ----------
    estimator : CascadeLandmarkRegressor
        With `warm_start`, its fitted stages are trained further.
    given : object
        Validated parameters as attributes.
    data, held_out : tuple
        ``(X, y, sample_weight)`` and ``(X_val, y_val)`` as passed to `fit`.
    resumes : bool, default=False
        Whether a checkpoint is looked for, and other processes are compared.
    is_further : bool, default=False
        See :class:`Plan`.
    """
    train = drop_unused_samples(check_samples(*data))
    device = check_device(given.device)
    n_landmarks = train.points.shape[1]
    schema = check_schema(given.schema or train.data.schema, n_landmarks)
    check_order(schema, train.data.schema)
    before, start, schema = beginning(estimator, given, train.points, schema)
    held_out, checkpoint = check_held_out(*held_out, n_landmarks), None
    is_val_given = held_out is not None
    if is_val_given:
        check_order(schema, held_out.data.schema, name="X_val")
    if resumes:
        source = before if start is None else start.model
        checkpoint = agree(given, device, source, train, held_out)
    rng = check_random_state(given.random_state)
    if given.early_stopping and not is_val_given:
        train, held_out = split_samples(train, given.validation_fraction, rng)
    kept = estimator._builders if before is estimator else []
    # "auto" depends on the number of training samples, without held-out samples.
    builders, settings = _planned_stages(given, train.points, start, kept)
    check_parts(settings[0].batch_size)
    check_learnable(train, held_out, schema)
    known = 0 if before is None else len(before.networks_)
    shape = before.mean_shape_ if known else reference_shape(train.points, len(builders), schema)
    return Plan(
        train=train,
        held_out=held_out,
        is_val_given=is_val_given,
        schema=schema,
        settings=_mirrored_as_known(settings, shape, schema),
        losses=[bind_loss(given.loss, own.w, own.epsilon) for own in settings],
        builders=builders,
        mean_shape=shape,
        n_known=known,
        device=device,
        seed=int(rng.randint(np.iinfo(np.int32).max - len(builders))),
        before=before,
        start=start,
        cache=given.cache,
        checkpoint=checkpoint,
        is_further=is_further,
    )


def _planned_stages(given, points, start, kept):
    """Functions that build the networks, and settings, of all stages.

    `kept` are the functions that built the networks that are trained further.
    """
    margin = per_stage(given.margin, 2)[-1]
    builders = check_networks(networks_for(given.networks, points, margin))
    builders = [*kept, *builders[len(kept) :]]
    patches = [reads_patches(build) for build in builders]
    return builders, stage_settings(given, len(builders), len(points), start, patches)


def _mirrored_as_known(settings, shape, schema):
    """Disable mirroring in stages where mirrored crops are not valid.

    The first stage mirrors crops of the box, which requires a schema with mirror pairs. Later
    stages align landmarks with the mean shape: mirrored crops resemble those of prediction
    only if the mean shape is its own mirror image.
    """
    known = [can_mirror(schema)] + [is_symmetric(shape, schema)] * (len(settings) - 1)
    wanted = [own.augmentation.mirror > 0 for own in settings]
    if known[0] and any(wants and not knows for wants, knows in zip(wanted, known, strict=True)):
        warn_of_data(
            f"mirrored by schema {schema.name!r}, the mean shape of y becomes another one, as for "
            "objects seen from the side: only the first stage is trained on mirrored crops. Use "
            "mirror=None in the schema to disable mirroring, or augmentation__mirror=(0.5, 0) in "
            "the regressor to keep this behaviour without the warning"
        )
    return [
        own if knows else replace(own, augmentation=replace(own.augmentation, mirror=0.0))
        for own, knows in zip(settings, known, strict=True)
    ]
