"""Training of the stages of a cascade, one after the other."""

from functools import partial

import numpy as np

from skwing._crops.chips import cut_chips
from skwing._prediction.read_images import read_chips
from skwing._training.progress import FitProgress
from skwing._training.run import Run
from skwing._training.train_stage import make_truth, train_stage
from skwing.metrics import nme


def train_cascade(plan, chips, stages, *, history, estimator):
    """Train the stages of a plan.

    Parameters
    ----------
    plan : Plan
    chips : Chips
        Chips of the training samples.
    stages : list of Stage
        All stages of the cascade. Trained stages are modified in place.
    history : list of list of dict
        History of the first stages, which are not trained again.
    estimator : CascadeLandmarkRegressor
        Estimator for progress reporting.

    Returns
    -------
    run : Run

    Raises
    ------
    BaseException
        If training ends early without a usable result.
    """
    truth, validate = make_truth(chips, plan.train, plan.schema), _validation(plan, chips)
    run = Run(stages, plan.n_known, history)
    n_epochs = sum(own.max_epochs for own in plan.settings[plan.first :])
    with run.ended_by_failure(), FitProgress(estimator, n_epochs) as progress:
        for i in range(plan.first, len(stages)):
            ready = stages[: i + 1]
            rows = train_stage(
                ready,
                plan.settings[: i + 1],
                chips,
                truth,
                plan.train.repeats,
                plan.losses[i],
                seed=plan.seed + i,
                validate=None if validate is None else partial(validate, ready),
                report=run.start_stage(progress),
            )
            progress.skip(plan.settings[i].max_epochs - len(rows))
    run.settle(chips, truth, plan.train, plan.settings)
    if run.is_empty:
        raise run.failure
    return run


def _validation(plan, chips):
    """Function that computes the mean error of stages on held-out samples, or None."""
    held_out = plan.held_out
    if held_out is None:
        return None
    held_out_chips = cut_chips(held_out.data, chips.frame, chips.device, cache=plan.cache)

    def validate(stages):
        points = read_chips(stages, held_out_chips)[0][-1]
        if np.isnan(points).any():
            return np.nan
        errors = nme(held_out.points, points, schema=plan.schema, per_sample=True)
        return float(np.nanmean(errors))

    return validate
