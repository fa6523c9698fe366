"""The training loop, independent of images and crops.

A batch is a tuple ``(inputs, targets, weights)`` on the device of the network: `inputs` is a
tuple of arguments of the network, `targets` has shape (b, L, 2) in input pixels with NaN for
missing points, and `weights` has shape (b,) or is None.
"""

import itertools
import math
import time
from contextlib import nullcontext

import torch
from torch.nn.modules.batchnorm import _BatchNorm

from skwing._training.loop_state import LoopState
from skwing._training.weights import Diverged, EpochWeights, broken_part, finite_parts
from skwing._utils import ranks
from skwing._utils.graphs import Replayed
from skwing._utils.parts import computing
from skwing._utils.random import generator_on
from skwing._utils.warnings import warn_caller


def average_loss(values, weights=None):
    """Weighted mean of one value per coordinate; 0 if all weights are 0."""
    if weights is None:
        return values.mean()
    return (values * weights).sum() / weights.sum().clamp_min(torch.finfo(values.dtype).tiny)


def batch_loss(points, targets, weights, loss):
    """Loss of a batch of predictions, ignoring missing targets.

    Takes points of shape (b, L, 2), or several estimates with equal weights, of shape
    (b, n_estimates, L, 2); targets of shape (b, L, 2), NaN = missing, both in input pixels;
    weights of shape (b,) or None; and a function from residuals to values of the same shape.
    """
    if points.ndim == 4:
        targets = targets[:, None].expand_as(points)
    known = ~torch.isnan(targets).any(-1, keepdim=True).expand_as(targets)
    # Replace NaN before the loss, because 0 * NaN in the backward pass is NaN.
    residual = torch.where(known, points - targets, 0.0)
    coordinate_weights = known.to(points.dtype)
    if weights is not None:
        weights = weights.reshape(-1, *[1] * (points.ndim - 1))
        coordinate_weights = coordinate_weights * weights.to(points.dtype)
    return average_loss(loss(residual), coordinate_weights)


def make_optimizer(name, parameters, learning_rate, momentum, weight_decay):
    """Create an optimiser by name: ``"adamw"`` or ``"sgd"`` (with momentum).

    Weight decay is not applied to biases and to the factors of normalisation layers.
    """
    parameters = list(parameters)
    devices = {p.device.type for p in parameters}
    fused = devices <= {"cpu", "cuda"}
    if devices == {"cuda"}:  # a tensor, which recorded steps read at each replay
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
    """Increase to the peak rate over the first tenth, then cosine decay to a thousandth."""
    rise = 0.1
    if progress < rise:
        return 0.04 + 0.96 * (1 - math.cos(math.pi * progress / rise)) / 2
    return 1e-3 + (1 - 1e-3) * (1 + math.cos(math.pi * (progress - rise) / (1 - rise))) / 2


# Factor of the peak learning rate as a function of the progress of training, from 0 to 1.
SCHEDULES = {
    "one_cycle": _one_cycle,
    "cosine": lambda progress: 1e-3 + (1 - 1e-3) * (1 + math.cos(math.pi * progress)) / 2,
    # Decay to a hundredth, the range stated in Table 1 of Feng et al. 2018.
    "exponential": lambda progress: 10 ** (-2 * progress),
    "constant": lambda progress: 1.0,
}


def scheduled(optimizer, schedule, n_steps):
    """Scheduler that sets the learning rate of an optimiser in each of a number of steps."""
    return torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda step: schedule(min(1.0, step / max(1, n_steps)))
    )


def autocast(device, mixed):
    """Context manager for bfloat16 if `mixed`, else without effect."""
    if not mixed:
        return nullcontext()
    # Inside another autocast, a cache of converted weights would persist after the step.
    return torch.autocast(torch.device(device).type, torch.bfloat16, cache_enabled=False)


def add_gradients(network, loss, targets, weights, inputs, mixed, share=None):
    """Add the gradients of a batch, or of its share, and return its loss."""
    with autocast(targets.device, mixed):
        points = network(*inputs)
    value = batch_loss(points.float(), targets, weights, loss)
    if share is not None:
        value = value * share
    value.backward()
    return value.detach()


class TrainingStep:
    """A training step on one batch, which returns the (detached) loss before the step.

    It is called with targets, weights and the inputs of the network. With a `part`, several
    processes train, and these are the rows of one of them; gradients and the loss are those of the
    whole batch. If memory does not suffice,
    the gradients of parts of the batch are computed one after the other and added, with a
    warning. The loss and the step are then the same except for rounding, unless the network
    normalises by statistics of the batch, or draws random numbers.
    """

    def __init__(self, network, loss, optimizer, mixed=False, part=None, copies=None):
        self.network, self.loss, self.optimizer = network, loss, optimizer
        self.mixed, self.part, self.copies = mixed, part, copies
        self._at_once = None  # number of samples that memory suffices for, if it is known

    def __call__(self, targets, weights, *inputs):
        """Run the step."""
        n_samples, value, told = len(targets), None, self._at_once is not None
        while value is None:
            try:
                with computing(self.part, ranks.current_group()):
                    value = self._gradients(targets, weights, inputs)
            except torch.OutOfMemoryError as error:
                if self.part is not None:  # the others would compute another number of parts
                    error.add_note(_TOO_LARGE_PART)
                    raise
                n_tried = min(self._at_once or n_samples, n_samples)
                if n_tried < 2:
                    error.add_note(_TOO_LARGE)
                    raise
                self._at_once = (n_tried + 1) // 2
            if value is None:  # the exception, which held tensors, is gone
                self.optimizer.zero_grad(set_to_none=True)
                if targets.device.type == "cuda":
                    torch.cuda.empty_cache()
        if self._at_once is not None and not told:
            self._tell(n_samples)
        value = ranks.add_gradients(self.network.parameters(), value)
        self.optimizer.step()
        return value

    def _gradients(self, targets, weights, inputs):
        """Compute the gradients of a batch, and return its loss."""
        self.optimizer.zero_grad(set_to_none=True)
        n_at_once = min(self._at_once or len(targets), len(targets))
        if self.part is None and self.copies is None and n_at_once == len(targets):
            return add_gradients(self.network, self.loss, targets, weights, inputs, self.mixed)
        amounts = (~torch.isnan(targets).any(-1)).sum(-1).to(torch.float32)
        if weights is not None:
            amounts = amounts * weights
        whole = ranks.added(amounts.sum())
        shares = amounts / whole.clamp_min(torch.finfo(torch.float32).tiny)

        def add(network, rows):
            own = None if weights is None else weights[rows]
            part = tuple(each[rows] for each in inputs)
            share = shares[rows].sum()
            return add_gradients(network, self.loss, targets[rows], own, part, self.mixed, share)

        if self.copies is not None:
            return self.copies.add_gradients(len(targets), add)
        parts = _parts(len(targets), n_at_once)
        return torch.stack([add(self.network, rows) for rows in parts]).sum()

    def _tell(self, n_samples):
        normalised = any(isinstance(m, _BatchNorm) for m in self.network.modules())
        warn_caller(
            f"memory does not suffice for a training step on {n_samples} samples at once: steps "
            f"compute {self._at_once} at a time and add their gradients, which takes longer. "
            + (_OF_PARTS if normalised else "The result is the same except for rounding.")
        )


_TOO_LARGE = "memory does not suffice for a training step on one sample at a time"
_TOO_LARGE_PART = (
    "memory does not suffice for the part of this process in a training step: reduce batch_size, "
    "or use more processes"
)
_OF_PARTS = "Batch normalisation uses the statistics of these parts instead of the whole batch."


def _parts(n_samples, at_once):
    """Slices of nearly equal lengths of at most `at_once`."""
    n_parts = math.ceil(n_samples / at_once)
    ends = [n_samples * i // n_parts for i in range(n_parts + 1)]
    return [slice(first, last) for first, last in itertools.pairwise(ends)]


_LOW_RATE = 0.1  # fraction of the peak learning rate below which early stopping is active


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
    part=None,
    copies=None,
    validate=None,
    patience=None,
    on_epoch=None,
    check=None,
    keeper=None,
):
    """Train a network.

    In all cases, the network ends with the weights of a complete epoch, or with its initial
    weights. If an exception occurs, these are the best weights with `validate`, else the last
    ones. If training diverges, they are the weights with the smallest error of `validate`, or
    else with the smallest loss.

    Parameters
    ----------
    network : torch.nn.Module
        Maps ``*inputs`` to points, see :func:`batch_loss`. Modified in place, and left in
        evaluation mode.
    batches : iterator
        Infinite iterator over ``(inputs, targets, weights)``.
    loss : callable
        Maps residuals in input pixels to values of the same shape.
    optimizer : torch.optim.Optimizer
    schedule : callable
        Maps the progress in [0, 1] to a factor of the learning rate.
    n_epochs, n_steps : int
        Number of epochs, and of steps per epoch.
    mixed : bool, default=False
        Whether to use bfloat16 (mixed precision).
    recorded : bool, default=False
        Whether steps may be recorded as a CUDA graph, see
        :class:`skwing._utils.graphs.Replayed`. Network and loss must then do the same
        operations at each step, with batches of the same size.
    part : Part or None, default=None
        If several processes train, the rows of each whole batch that `batches` has for this one.
    validate : callable, default=None
        Called without arguments; returns the error on held-out data, lower is better.
    patience : int, default=None
        Stop after this number of epochs without a lower error, and restore the best weights.
        If the schedule decreases the learning rate to a tenth, only the epochs after that
        are considered.
    on_epoch : callable, default=None
        Called with the row of each epoch; training stops if it returns True.
    check : callable, default=None
        Called without arguments at the end; raises
        :class:`skwing._training.weights.Diverged` if the network is not usable.
    keeper : object, default=None
        Its method `begin` is called with the :class:`LoopState` before the first step, and may
        load a saved state, from which training continues. Its method `keep` is called with it
        after each step and epoch.

    Returns
    -------
    rows : list of dict
        For each epoch, ``epoch``, ``loss``, ``learning_rate``, ``seconds``, ``n_samples``
        and, with `validate`, ``validation_error``.

    Raises
    ------
    Diverged
        If the loss or a weight is not finite at the end of an epoch, or by `check`.
    """
    scheduler = scheduled(optimizer, schedule, n_epochs * n_steps)
    step = TrainingStep(network, loss, optimizer, mixed, part, copies)
    if recorded:
        step = Replayed(step, generator_on(next(network.parameters()).device))
    sound, weights_kept = finite_parts(network), EpochWeights(network)
    state = LoopState(network, optimizer, scheduler, weights_kept)
    if keeper is not None:
        keeper.begin(state)
    network.eval()  # between epochs; there may be none left
    first_low, n_before = _first_low_epoch(schedule, n_epochs), len(state.rows)
    epoch = n_before
    try:
        for epoch in range(n_before + 1, n_epochs + 1):
            found = _train_epoch(network, batches, step, state, n_steps, keeper, part)
            row = {"epoch": epoch, **found}
            ranks.copy_from_first(network)  # processors of other kinds round differently
            _check_epoch(row, network, sound)
            if validate is not None:
                row["validation_error"] = validate()
            row = ranks.shared(row)
            if epoch == first_low:
                weights_kept.forget_best()
            is_best = weights_kept.update(row.get("validation_error", row["loss"]))
            state.waited = 0 if is_best or epoch < first_low else state.waited + 1
            state.end_epoch(row)
            stops = ranks.shared(on_epoch is not None and on_epoch(row))
            is_late = patience is not None and validate is not None and state.waited >= patience
            if stops or is_late:
                break
            if keeper is not None:
                keeper.keep(state)
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
    return state.rows


def _train_epoch(network, batches, step, state, n_steps, keeper=None, part=None):
    """Train for the rest of an epoch and return its row of history, without the epoch number."""
    start, tally = time.perf_counter(), state.tally
    earlier = tally.seconds
    if tally.loss is None:
        tally.loss = torch.zeros((), device=next(network.parameters()).device)
    network.train()
    while tally.n_steps < n_steps:
        inputs, targets, weights = next(batches)
        # Accumulate on the device, because reading a number would force a GPU sync.
        tally.loss += step(targets, weights, *inputs)
        state.scheduler.step()
        tally.n_samples += len(targets) if part is None else part.n
        tally.n_steps += 1
        if keeper is not None:
            tally.seconds = earlier + time.perf_counter() - start
            keeper.keep(state)
    network.eval()
    return {
        "loss": float(tally.loss) / n_steps,
        "learning_rate": float(state.scheduler.get_last_lr()[0]),
        "seconds": earlier + time.perf_counter() - start,
        "n_samples": tally.n_samples,
    }


def _first_low_epoch(schedule, n_epochs):
    """First epoch, counted from 1, in which early stopping considers the validation error.

    While the learning rate is high, the error fluctuates, and most of the improvement occurs
    at the end of the decay. The minimum before that is mostly noise. For schedules without
    such a decay, all epochs are considered.
    """
    epoch = n_epochs + 1
    while epoch > 1 and schedule((epoch - 1) / n_epochs) <= _LOW_RATE:
        epoch -= 1
    return epoch if epoch <= n_epochs else 1


def _check_epoch(row, network, sound):
    """Check that the loss of an epoch and the weights after it are finite."""
    broken = broken_part(network, sound) if math.isfinite(row["loss"]) else None
    if broken is not None or not math.isfinite(row["loss"]):
        found = f"the loss is {row['loss']}" if broken is None else f"{broken} is not finite"
        raise Diverged(found)
