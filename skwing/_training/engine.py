"""The training loop: a network, batches, a loss and an optimiser give rows of history.

It knows no face, no chip and no matrix. A batch is a tuple ``(inputs, targets, weights)``
on the device of the network: `inputs` a tuple of what the network takes, `targets` of
shape (b, L, 2) in input pixels with NaN where a point is missing, `weights` of shape (b,)
or None.
"""

import math
import time
from contextlib import nullcontext

import torch

from skwing._training.weights import Diverged, EpochWeights, broken_part, finite_parts
from skwing._utils.graphs import Replayed
from skwing._utils.random import generator_on


def average_loss(values, weights=None):
    """Weighted mean of a loss over the coordinates that are known.

    Parameters
    ----------
    values : tensor of shape (b, L, 2)
        One value a coordinate, 0 where it is unknown.
    weights : tensor of shape (b, L, 2) or None
        Weight of each coordinate, 0 where it is unknown.

    Returns
    -------
    loss : tensor of shape ()
        0 if nothing is known.
    """
    if weights is None:
        return values.mean()
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)


def batch_loss(points, targets, weights, loss):
    """Loss of a batch of predictions, missing targets left out.

    Parameters
    ----------
    points : tensor of shape (b, L, 2) or (b, n_estimates, L, 2)
        In input pixels; of several estimates all count alike.
    targets : tensor of shape (b, L, 2)
        In input pixels; NaN = missing.
    weights : tensor of shape (b,) or None
    loss : callable
        Residuals in, values of the same shape out.

    Returns
    -------
    loss : tensor of shape ()
    """
    if points.ndim == 4:
        targets = targets[:, None].expand_as(points)
    known = ~torch.isnan(targets).any(-1, keepdim=True).expand_as(targets)
    # NaN must be gone before the loss: 0 * NaN, in its backward pass, is NaN.
    residual = torch.where(known, points - targets, 0.0)
    coordinate_weights = known.to(points.dtype)
    if weights is not None:
        weights = weights.reshape(-1, *[1] * (points.ndim - 1))
        coordinate_weights = coordinate_weights * weights.to(points.dtype)
    return average_loss(loss(residual), coordinate_weights)


def make_optimizer(name, parameters, learning_rate, momentum, weight_decay):
    """Optimiser of that name: ``"adamw"`` or ``"sgd"`` (with momentum).

    Weights decay; biases and the factors of normalisation layers do not.
    """
    parameters = list(parameters)
    devices = {p.device.type for p in parameters}
    fused = devices <= {"cpu", "cuda"}
    if devices == {"cuda"}:  # so that a recorded step follows the schedule
        learning_rate = torch.tensor(learning_rate, device=parameters[0].device)
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
    if name == "sgd":
        return torch.optim.SGD(groups, lr=learning_rate, momentum=momentum, fused=fused)
    betas, capturable = (momentum, 0.999), devices == {"cuda"}
    return torch.optim.AdamW(
        groups, lr=learning_rate, betas=betas, fused=fused, capturable=capturable
    )


OPTIMIZERS = ("adamw", "sgd")


def _one_cycle(progress):
    """Up to the full rate over the first tenth, then down to a thousandth along a cosine."""
    rise = 0.1
    if progress < rise:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / rise)) / 2
    return 1e-3 + (1 - 1e-3) * (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


# Factor of the learning rate over the progress of training, from 0 to 1.
SCHEDULES = {
    "one_cycle": _one_cycle,
    "cosine": lambda progress: 1e-3 + (1 - 1e-3) * (1 + math.cos(math.pi * progress)) / 2,
    # Down to a hundredth, the range that Table 1 of Feng et al. 2018 states.
    "exponential": lambda progress: 10 ** (-2 * progress),
    "constant": lambda progress: 1.0,
}


def autocast(device, mixed):
    """Context in which convolutions and products run in bfloat16, or one that does nothing."""
    if not mixed:
        return nullcontext()
    # Inside of another autocast the cache would outlive the step, and weights with it.
    return torch.autocast(torch.device(device).type, torch.bfloat16, cache_enabled=False)


class TrainingStep:
    """One step of an optimiser on one batch; gives the loss before it, detached.

    Called with targets, weights and what the network takes.
    """

    def __init__(self, network, loss, optimizer, mixed=False):
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.mixed = mixed

    def __call__(self, targets, weights, *inputs):
        """Take the step."""
        with autocast(targets.device, self.mixed):
            points = self.network(*inputs)
        value = batch_loss(points.float(), targets, weights, self.loss)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()
        self.optimizer.step()
        return value.detach()


_LOW_RATE = 0.1  # of the greatest; from there on patience counts


@torch.enable_grad()
def train(
    network,
    batches,
    loss,
    optimizer,
    schedule,
    *,
    n_epochs,
    n_steps,
    mixed=False,
    recorded=False,
    validate=None,
    patience=None,
    on_epoch=None,
    check=None,
):
    """Train a network; the one loop of the package.

    Whatever ends it, the network has the weights of a whole epoch, or those from before
    the first. An exception leaves the best where there is `validate`, else the last ones;
    divergence leaves those of the least error, by `validate` or else by the loss.

    Parameters
    ----------
    network : torch.nn.Module
        Answers ``*inputs`` by points, as :func:`batch_loss` takes them. Changed in place;
        left in evaluation mode.
    batches : iterator
        Endless; gives ``(inputs, targets, weights)``.
    loss : callable
        Residuals in input pixels in, values of the same shape out.
    optimizer : torch.optim.Optimizer
    schedule : callable
        Progress in [0, 1] in, factor of the learning rate out.
    n_epochs, n_steps : int
        Number of epochs, and of steps in each.
    mixed : bool, default=False
        Whether to run in bfloat16 where that is safe.
    recorded : bool, default=False
        Whether a CUDA device may record a step and replay it, see
        :class:`skwing._utils.graphs.Replayed`: network and loss then do the same work at every
        step, and all batches are of one size.
    validate : callable, default=None
        Takes no argument; gives the error on data held out, lower is better.
    patience : int, default=None
        Stop after this many epochs without a lower error, and keep the best weights: both
        of the epochs since the rate has come down to a tenth, where the schedule does that.
    on_epoch : callable, default=None
        Takes the row of an epoch; training stops if it returns True.
    check : callable, default=None
        Called at the end, without arguments; raises :class:`skwing._training.weights.Diverged` if
        the network is of no use.

    Returns
    -------
    rows : list of dict
        ``epoch``, ``loss``, ``learning_rate``, ``seconds``, ``n_samples`` and, with
        `validate`, ``validation_error``, for each epoch.

    Raises
    ------
    Diverged
        If the loss or a weight is not finite at the end of an epoch, or by `check`.
    """
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule(min(1.0, step / max(1, n_epochs * n_steps)))
    )
    step = TrainingStep(network, loss, optimizer, mixed)
    if recorded:
        step = Replayed(step, generator_on(next(network.parameters()).device))
    sound, weights_kept = finite_parts(network), EpochWeights(network)
    first_low, rows, waited = _first_low_epoch(schedule, n_epochs), [], 0
    try:
        for epoch in range(1, n_epochs + 1):
            row = _train_epoch(network, batches, step, scheduler, n_steps)
            row = {"epoch": epoch, **row}
            _check_epoch(row, network, sound)
            if validate is not None:
                row["validation_error"] = validate()
            if epoch == first_low:
                weights_kept.forget_best()
            is_best = weights_kept.update(row.get("validation_error", row["loss"]))
            waited = 0 if is_best or epoch < first_low else waited + 1
            rows.append(row)
            stops = on_epoch is not None and on_epoch(row)
            if stops or (patience is not None and validate is not None and waited >= patience):
                break
        if patience is not None and validate is not None:
            weights_kept.restore_best()
        if check is not None:
            check()
    except Diverged as error:
        error.epoch = epoch
        weights_kept.restore_best()
        raise
    except BaseException:
        (weights_kept.restore_last if validate is None else weights_kept.restore_best)()
        raise
    finally:
        network.eval()
    return rows


def _train_epoch(network, batches, step, scheduler, n_steps):
    """Train for one epoch; its row of history but for its number."""
    device = next(network.parameters()).device
    start, total, n_samples = time.perf_counter(), torch.zeros((), device=device), 0
    network.train()
    for _ in range(n_steps):
        inputs, targets, weights = next(batches)
        # Summed on the device: reading a number off a GPU would wait for it.
        total += step(targets, weights, *inputs)
        scheduler.step()
        n_samples += len(targets)
    network.eval()
    return {
        "loss": float(total) / n_steps,
        "learning_rate": float(scheduler.get_last_lr()[0]),
        "seconds": time.perf_counter() - start,
        "n_samples": n_samples,
    }


def _first_low_epoch(schedule, n_epochs):
    """First epoch, from 1, at whose end the rate is so low that its error can be relied on.

    While the rate is high the error goes up and down, and most of what a training gains it
    gains at the end of the fall: the least of many errors before that is luck. A schedule
    that does not fall that low has no such end, and all its epochs are alike.
    """
    epoch = n_epochs + 1
    while epoch > 1 and schedule((epoch - 1) / n_epochs) <= _LOW_RATE:
        epoch -= 1
    return epoch if epoch <= n_epochs else 1


def _check_epoch(row, network, sound):
    """Check the loss of an epoch, and the weights that its last step left."""
    broken = broken_part(network, sound) if math.isfinite(row["loss"]) else None
    if broken is not None or not math.isfinite(row["loss"]):
        found = f"the loss is {row['loss']}" if broken is None else f"{broken} is not finite"
        raise Diverged(found)
