"""State of the training of a network between two steps, to be saved and restored."""

from dataclasses import asdict, dataclass, field

import torch

from skwing._training.weights import EpochWeights
from skwing._utils.random import draws_state, load_draws


@dataclass
class Tally:
    """Sums over the steps of an epoch so far.

    Attributes
    ----------
    n_steps, n_samples : int
    seconds : float
        Time of earlier runs.
    loss : tensor of shape () or None
        Sum of the losses; None before the first step.
    """

    n_steps: int = 0
    n_samples: int = 0
    seconds: float = 0.0
    loss: torch.Tensor | None = None


@dataclass
class LoopState:
    """Everything that changes while a network is trained.

    Attributes
    ----------
    network : torch.nn.Module
    optimizer : torch.optim.Optimizer
    scheduler : torch.optim.lr_scheduler.LambdaLR
    weights : EpochWeights
    rows : list of dict
        Rows of the completed epochs.
    waited : int
        Number of epochs without a lower validation error.
    tally : Tally
        Sums of the epoch in training.
    """

    network: torch.nn.Module
    optimizer: torch.optim.Optimizer
    scheduler: torch.optim.lr_scheduler.LambdaLR
    weights: EpochWeights
    rows: list = field(default_factory=list)
    waited: int = 0
    tally: Tally = field(default_factory=Tally)

    def end_epoch(self, row):
        """Add the row of a completed epoch, and begin the next one."""
        self.rows.append(row)
        self.tally = Tally()

    def state(self):
        """All values as numbers, strings, tensors, lists and dicts; tensors share memory."""
        return {
            "network": dict(self.network.state_dict()),
            "optimizer": [dict(self.optimizer.state[p]) for p in _parameters(self.optimizer)],
            "n_scheduled": self.scheduler.last_epoch,
            "weights": self.weights.state(),
            "rows": self.rows,
            "waited": self.waited,
            "tally": {name: getattr(self.tally, name) for name in asdict(Tally())},
            "random": draws_state(),
        }

    def load(self, state):
        """Set all values from the result of :meth:`state`; tensors are copied."""
        self.network.load_state_dict(state["network"])
        for parameter, own in zip(_parameters(self.optimizer), state["optimizer"], strict=True):
            self.optimizer.state[parameter] = {k: _like(parameter, v) for k, v in own.items()}
        _schedule_at(self.scheduler, state["n_scheduled"])
        self.weights.load(state["weights"])
        self.rows[:] = state["rows"]
        self.waited = state["waited"]
        self.tally = Tally(**state["tally"])
        if self.tally.loss is not None:
            self.tally.loss = self.tally.loss.to(next(self.network.parameters()).device)
        load_draws(state["random"])


def _parameters(optimizer):
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _like(parameter, value):
    """Copy of a value on the device of a parameter, with its memory format if shapes agree."""
    if not isinstance(value, torch.Tensor):
        return value
    if value.shape != parameter.shape:
        return value.to(parameter.device)
    return torch.empty_like(parameter, dtype=value.dtype, requires_grad=False).copy_(value)


def _schedule_at(scheduler, n_steps):
    """Set a schedule to the state after a number of steps."""
    rates = [
        base * rate(n_steps)
        for base, rate in zip(scheduler.base_lrs, scheduler.lr_lambdas, strict=True)
    ]
    scheduler.last_epoch, scheduler._step_count, scheduler._last_lr = n_steps, n_steps + 1, rates
    for group, rate in zip(scheduler.optimizer.param_groups, rates, strict=True):
        if isinstance(group["lr"], torch.Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate
