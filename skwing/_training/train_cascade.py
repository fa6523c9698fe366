"""Training of the stages of a cascade, one after the other."""

from functools import partial

import numpy as np
import torch

from skwing._crops.shared_chips import cut_together
from skwing._prediction.read_images import read_chips
from skwing._training.contradictions import warn_of_contradictions
from skwing._training.identity import chips_digest
from skwing._training.progress import FitProgress
from skwing._training.run import Run
from skwing._training.samples import warn_of_other_boxes
from skwing._training.train_stage import make_truth, train_stage
from skwing._utils import ranks
from skwing.metrics import nme


def train_cascade(plan, chips, stages, *, history, estimator):
    """Train the stages of a plan in place, and report the progress of the estimator.

    `history` has the rows of the first stages, which are not trained again.

    Raises
    ------
    BaseException
        If training ends early without a usable result.
    """
    truth, checkpoint = make_truth(chips, plan.train, plan.schema), plan.checkpoint
    held_out = None if plan.held_out is None else _held_out_chips(plan, chips)
    validate = _validation(plan, held_out)
    if checkpoint is not None:
        checkpoint.check_pixels(chips_digest(chips, held_out))
    run = Run(stages, plan.n_known, history)
    n_epochs = sum(own.max_epochs for own in plan.settings[plan.first :])
    with (
        run,
        FitProgress(estimator, n_epochs, is_further=plan.is_further) as progress,
    ):
        for i in range(plan.first, len(stages)):
            ready, known = stages[: i + 1], [] if checkpoint is None else checkpoint.rows_of(i)
            report = run.start_stage(progress, known)
            if checkpoint is not None and checkpoint.take(i, stages[i]):
                progress.skip(plan.settings[i].max_epochs - len(known))
                continue
            if i >= max(1, plan.n_given) and hasattr(stages[i].network, "take_features"):
                stages[i].network.take_features(stages[i - 1].network)
            rows = train_stage(
                ready,
                plan.settings[: i + 1],
                chips,
                truth,
                plan.train.repeats,
                plan.losses[i],
                seed=plan.seed + i,
                validate=None if validate is None else partial(validate, ready),
                report=report,
                keeper=None if checkpoint is None else checkpoint.keeper(i),
            )
            if checkpoint is not None:
                checkpoint.finish(i, stages[i], rows)
            progress.skip(plan.settings[i].max_epochs - len(rows))
    run.settle(chips, truth, plan.train, plan.settings)
    if run.is_empty:
        raise run.failure
    return run


def _held_out_chips(plan, chips):
    """Chips of held-out samples, like those of the training samples."""
    held_out = plan.held_out
    try:
        own = cut_together(held_out.data, chips.frame, chips.device, cache=plan.cache)
    except (OSError, ValueError) as error:
        if not plan.is_val_given:
            raise
        raise type(error)(f"X_val: {error}") from error
    if plan.is_val_given and not plan.is_further:
        warn_of_contradictions(held_out, own, plan.schema, "X_val, y_val: ")
        warn_of_other_boxes(plan.train, chips, held_out, own)
    return own


def _validation(plan, held_out_chips):
    """Function that computes the mean error of stages on held-out samples, or None."""
    held_out = plan.held_out
    if held_out is None:
        return None

    def validate(stages):
        own = ranks.part_of(len(held_out))
        points = np.empty((0, *held_out.points.shape[1:]))
        if len(own):
            rows = torch.arange(own.first, own.last)
            points = read_chips(stages, held_out_chips, rows=rows)[0][-1]
        points = np.concatenate(ranks.gathered(points))
        if np.isnan(points).any():
            return np.nan
        errors = nme(held_out.points, points, schema=plan.schema, per_sample=True)
        return float(np.nanmean(errors))

    return validate
