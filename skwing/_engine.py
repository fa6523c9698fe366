"""The training loop: a network, batches, a loss and an optimiser give rows of history.

It knows no face, no chip and no matrix. A batch is a tuple ``(inputs, targets, weights)``
on the device of the network: `inputs` a tuple of what the network takes, `targets` of
shape (b, L, 2) in input pixels with NaN where a point is missing, `weights` of shape (b,)
or None.
"""

import copy
import math
import time
from contextlib import nullcontext

import torch

from skwing._graphs import Replayed
from skwing._random import generator_on


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
    known = ~torch.isnan(targets)
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


class BestWeights:
    """Keeps the weights of the best epoch and says when to stop waiting for a better one."""

    def __init__(self, patience):
        self.patience = patience
        self.best = math.inf
        self.waited = 0
        self.state = None

    def update(self, error, network):
        """Take the error of an epoch; True if training should stop."""
        if error < self.best:
            self.best, self.waited = error, 0
            self.state = copy.deepcopy(network.state_dict())
        else:
            self.waited += 1
        return self.waited >= self.patience

    def restore(self, network):
        """Put the best weights back, if there are any."""
        if self.state is not None:
            network.load_state_dict(self.state)


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
):
    """Train a network; the one loop of the package.

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
        :class:`skwing._graphs.Replayed`: network and loss then do the same work at every
        step, and all batches are of one size.
    validate : callable, default=None
        Takes no argument; gives the error on data held out, lower is better.
    patience : int, default=None
        Stop after this many epochs without a lower error, and keep the best weights.
    on_epoch : callable, default=None
        Takes the row of an epoch; training stops if it returns True.

    Returns
    -------
    rows : list of dict
        ``epoch``, ``loss``, ``learning_rate``, ``seconds``, ``n_samples`` and, with
        `validate`, ``validation_error``, for each epoch.
    """
    device = next(network.parameters()).device
    scheduler = torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule(min(1.0, step / max(1, n_epochs * n_steps)))
    )
    step = TrainingStep(network, loss, optimizer, mixed)
    if recorded:
        step = Replayed(step, generator_on(device))
    best = BestWeights(patience) if patience is not None and validate is not None else None
    rows = []
    for epoch in range(1, n_epochs + 1):
        start, total, n_samples = time.perf_counter(), torch.zeros((), device=device), 0
        network.train()
        for _ in range(n_steps):
            inputs, targets, weights = next(batches)
            # Summed on the device: reading a number off a GPU would wait for it.
            total += step(targets, weights, *inputs)
            scheduler.step()
            n_samples += len(targets)
        network.eval()
        row = {
            "epoch": epoch,
            "loss": float(total) / n_steps,
            "learning_rate": float(scheduler.get_last_lr()[0]),
            "seconds": time.perf_counter() - start,
            "n_samples": n_samples,
        }
        if not math.isfinite(row["loss"]):
            raise ValueError(
                f"the loss is {row['loss']} in epoch {epoch}: training diverged; try a lower "
                "learning_rate"
            )
        stop = False
        if validate is not None:
            row["validation_error"] = validate()
            stop = best is not None and best.update(row["validation_error"], network)
        rows.append(row)
        stop = bool(on_epoch is not None and on_epoch(row)) or stop
        if stop:
            break
    if best is not None:
        best.restore(network)
    return rows
