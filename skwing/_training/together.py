"""First stages of several fits that are trained together, on the same batches.

The crops of the first stage depend on the boxes alone. Fits of a search that differ only in what
enters the step of each network, such as the parameters of the loss, therefore see the same
batches: these are made once, and the steps of all networks run at the same time. What is trained
is written to the checkpoint of each fit, which continues from there.
"""

import copy
import math
import time
from dataclasses import replace
from numbers import Integral

from skwing._training.divergence import is_sound
from skwing._training.identity import chips_digest
from skwing._training.joint import JointStep
from skwing._training.loop import SCHEDULES, scheduled
from skwing._training.parameters import check_mixed
from skwing._training.train_stage import (
    endless_draws,
    is_recordable,
    made_ready,
    make_truth,
    n_steps_of,
    optimizer_of,
    stage_batches,
    with_asymmetry,
)
from skwing._training.weights import broken_part, finite_parts
from skwing._utils import ranks
from skwing._utils.graphs import Replayed, can_record
from skwing._utils.random import drawing

# What may differ between fits that are trained together.
OWN = (
    *("epsilon", "learning_rate", "loss", "momentum", "optimizer", "schedule", "w"),
    "weight_decay",
)


def kind_of(regressor, plan):
    """What fits that can be trained together have in common: equal batches in the first stage.

    None if a fit is trained alone: without a checkpoint, or with one that has a state already;
    without an int as `random_state`; with validation; with callbacks, which are to be called in
    each epoch; if training begins with the weights of another model; and in one of several
    processes.
    """
    alone = (
        plan.checkpoint is None
        or not plan.checkpoint.is_new
        or not isinstance(regressor.random_state, Integral)
        or plan.held_out is not None
        or bool(regressor.callbacks)
        or plan.before is not None
        or plan.start is not None
        or ranks.n_processes() > 1
    )
    if alone:
        return None
    identity = plan.checkpoint.identity.items()
    shared = sorted((name, digest) for name, (_, digest) in identity if name not in OWN)
    return plan.device, plan.seed, tuple(shared)


def train_together(plans, prepare):
    """Train the first stages of fits of the same kind, and write their checkpoints.

    Nothing is written for a fit whose training diverged. `prepare` takes a plan, and returns the
    chips and the untrained stages of a fit.
    """
    first = plans[0]
    with drawing(first.seed):
        chips, (stage, *_) = prepare(first)
        truth, digest = make_truth(chips, first.train, first.schema), chips_digest(chips)
        stages = [replace(stage, network=copy.deepcopy(stage.network)) for _ in plans]
        rows_of_all = _train_first(plans, stages, chips, truth)
        for plan, stage, rows in zip(plans, stages, rows_of_all, strict=True):
            if rows is not None:
                plan.checkpoint.check_pixels(digest)
                plan.checkpoint.finish(0, stage, rows)


def _train_first(plans, stages, chips, truth):
    """Train the stages; rows of the history of each, or None if its training diverged."""
    first, device, stage = plans[0], chips.device, stages[0]
    settings, losses = [plan.settings[0] for plan in plans], [plan.losses[0] for plan in plans]
    own, n_steps = settings[0], n_steps_of(chips, settings[0])
    draws, generator = endless_draws(first.train.repeats, own, first.seed)
    batches = stage_batches(stages[:1], [own], chips, truth, draws, generator)
    networks = [
        with_asymmetry(stage, each, truth) for stage, each in zip(stages, settings, strict=True)
    ]
    sound = finite_parts(networks[0])
    optimizers = [
        optimizer_of(each, network) for each, network in zip(settings, networks, strict=True)
    ]
    schedulers = [
        scheduled(optimizer, SCHEDULES[each.schedule], own.max_epochs * n_steps)
        for each, optimizer in zip(settings, optimizers, strict=True)
    ]
    mixed = check_mixed(own.precision, device, stage.network)
    step = JointStep(networks, losses, optimizers, device, mixed)
    if can_record(stage.network) and all(map(is_recordable, losses)):
        step = Replayed(step, *step.generators)
    with made_ready(batches, device) as batches:
        epochs = [
            _train_epoch(networks, batches, step, schedulers, n_steps)
            for _ in range(own.max_epochs)
        ]
    found = []
    for i, (stage, network) in enumerate(zip(stages, networks, strict=True)):
        rows = [{"epoch": n, **rows[i]} for n, rows in enumerate(epochs, start=1)]
        stage.asymmetry = network.asymmetry
        is_finite = all(math.isfinite(row["loss"]) for row in rows)
        is_kept = is_finite and not broken_part(network, sound) and is_sound([stage], chips, truth)
        found.append(rows if is_kept else None)
    return found


def _train_epoch(networks, batches, step, schedulers, n_steps):
    """Train for an epoch; a row of history of each network, without the epoch number."""
    start, n_samples, total = time.perf_counter(), 0, 0.0
    for network in networks:
        network.train()
    for _ in range(n_steps):
        inputs, targets, weights = next(batches)
        total = total + step(targets, weights, *inputs)
        for scheduler in schedulers:
            scheduler.step()
        n_samples += len(targets)
    for network in networks:
        network.eval()
    losses = (total / n_steps).tolist()
    seconds = (time.perf_counter() - start) / len(networks)
    return [
        {
            "loss": loss,
            "learning_rate": float(scheduler.get_last_lr()[0]),
            "seconds": seconds,
            "n_samples": n_samples,
        }
        for loss, scheduler in zip(losses, schedulers, strict=True)
    ]
