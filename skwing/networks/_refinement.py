"""Refinement of a shape in steps, and layers that networks with such steps share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import nn

from skwing.networks._dropout import dropout_rows

if TYPE_CHECKING:
    from typing import Any


class Refinement(nn.Module):
    """Network that moves landmarks in steps, by features that it reads at them.

    A subclass has the attributes `n_landmarks` and `landmark_dropout`, and a method
    ``_read(maps, points)`` that returns features of shape (n_landmarks, n_samples, n_read).
    """

    n_landmarks: int
    landmark_dropout: float
    # Layers and parameters whose rows belong to landmarks.
    _by_landmark: tuple[str, ...] = ("moves", "own_moves", "condense")

    @property
    def landmark_axes(self) -> dict[str, int]:
        """Axis of the landmarks in each parameter that has one, by name."""
        axes = {}
        for key, value in self.named_parameters():
            part = key.partition(".")[0]
            if part in self._by_landmark:
                axes[key] = 0
            elif part == "hidden" and value.ndim > 1:
                axes[key] = 1  # columns
        return axes

    def _add_steps(
        self, n_landmarks: int, n_read: int, n_condensed: int, n_hidden: int, n_steps: int
    ) -> None:
        """Add the layers of the steps, which at first move nothing."""
        sizes = (n_landmarks, n_read, n_condensed)
        self.condense = nn.ModuleList([LinearEach(*sizes) for _ in range(n_steps)])
        n_in = n_landmarks * n_condensed
        self.hidden = nn.ModuleList([nn.Linear(n_in, n_hidden) for _ in range(n_steps)])
        self.moves = nn.ModuleList([nn.Linear(n_hidden, 2 * n_landmarks) for _ in range(n_steps)])
        sizes = (n_landmarks, n_condensed, 2)
        self.own_moves = nn.ModuleList([LinearEach(*sizes) for _ in range(n_steps)])
        start_at_zero(*self.moves, *self.own_moves)

    def _refine(self, maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        """Points after all steps, or in training mode after each, and before the first."""
        if torch.compiler.is_exporting():
            return self._refine_flat(maps, points.flatten(1), points.new_zeros(()))
        shapes = [points]
        steps = zip(self.condense, self.hidden, self.moves, self.own_moves, strict=True)
        for condense, hidden, move_all, move_each in steps:
            condensed = F.relu(condense(self._read(maps, points)))
            # Rows are landmarks; dropout applies to whole rows.
            kept = dropout_rows(condensed.transpose(0, 1), self.landmark_dropout, self.training)
            move = exactly(move_all, F.relu(hidden(kept.flatten(1))))
            own_move = exactly(move_each, condensed).transpose(0, 1)
            points = points + move.unflatten(1, (self.n_landmarks, 2)) + own_move
            shapes.append(points)
        return torch.stack(shapes, 1) if self.training else points

    def _refine_flat(
        self, maps: torch.Tensor, points: torch.Tensor, shift: torch.Tensor
    ) -> torch.Tensor:
        """Equal to :meth:`_refine`, in fewer operations: runtimes execute them one by one.

        Takes points of shape (n, 2 * n_landmarks), to which `shift`, a sum of biases, is still
        to be added.
        """
        layers: Any = (self.condense, self.hidden, self.moves, self.own_moves)
        for condense, hidden, move_all, move_each in zip(*layers, strict=True):
            rows = F.relu(condense(self._read_flat(maps, points, shift))).transpose(0, 1)
            move = exactly(move_all, F.relu(hidden(rows.flatten(1))))
            own_move = (rows[:, :, None] * move_each.weight.transpose(1, 2)).sum(-1)
            points = points + move + own_move.flatten(1)
            shift = shift + move_each.bias
        return (points + shift).unflatten(1, (self.n_landmarks, 2))

    def _read(self, maps: torch.Tensor, points: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError(f"{type(self).__name__} has no method _read")

    def _read_flat(
        self, maps: torch.Tensor, points: torch.Tensor, shift: torch.Tensor
    ) -> torch.Tensor:
        """Equal to :meth:`_read` at ``points + shift``, points of shape (n, 2 * n_landmarks)."""
        return self._read(maps, (points + shift).unflatten(1, (self.n_landmarks, 2)))


def start_at_zero(*layers: Any) -> None:
    """Set weights and biases of layers to zero."""
    for layer in layers:
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)


class LinearEach(nn.Module):
    """A separate linear layer for each landmark."""

    def __init__(self, n_landmarks: int, n_in: int, n_out: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(n_landmarks, n_in, n_out) / n_in**0.5)
        # One-dimensional, because the optimiser applies weight decay to other shapes only.
        self.bias = nn.Parameter(torch.zeros(n_landmarks * n_out))

    def forward(self, values: torch.Tensor) -> torch.Tensor:
        bias = self.bias.reshape(len(self.weight), 1, -1)
        return torch.baddbmm(bias, values, self.weight)


class Residual(nn.Module):
    """Residual block of two convolutions, initialised as the identity."""

    def __init__(self, width: int, batch_norm: bool) -> None:
        super().__init__()
        self.first = nn.Sequential(*convolution(width, width, 3, 1, batch_norm))
        *layers, _ = convolution(width, width, 3, 1, batch_norm)
        nn.init.zeros_(layers[-1].weight)
        if layers[-1].bias is not None:
            nn.init.zeros_(layers[-1].bias)
        self.second = nn.Sequential(*layers)

    def forward(self, maps: torch.Tensor) -> torch.Tensor:
        return F.relu(maps + self.second(self.first(maps)), inplace=True)


def convolution(n_in: int, n_out: int, size: int, stride: int, batch_norm: bool) -> list[Any]:
    """Layers of a block: convolution, optional batch normalisation, ReLU."""
    # Batch norm has its own shift, so the preceding convolution has no bias.
    layers: list[nn.Module] = [nn.Conv2d(n_in, n_out, size, stride, size // 2, bias=not batch_norm)]
    if batch_norm:
        layers.append(nn.BatchNorm2d(n_out))
    return [*layers, nn.ReLU(inplace=True)]


def exactly(layer: nn.Module, values: torch.Tensor) -> torch.Tensor:
    """Run a layer in float32; bfloat16 would round coordinates near 100 to half a pixel."""
    with torch.autocast(values.device.type, enabled=False):
        return layer(values.float())


def off_middle(scores: torch.Tensor) -> torch.Tensor:
    """Offset from the centre of the mean position under a softmax over square maps.

    Takes scores of shape (n, n_cells, n_cells) and returns x and y in cells, of shape (n, 2).
    """
    n_cells = scores.shape[-1]
    share = scores.flatten(1).softmax(1)
    if torch.compiler.is_exporting():  # fewer operations; OpenVINO fails at sums of several axes
        return (share[:, None] * offsets_from_middle(n_cells)).sum(-1)
    offset = torch.arange(n_cells, device=scores.device) - (n_cells - 1) / 2
    share = share.unflatten(1, (n_cells, n_cells))
    # Not a matrix product, which could be computed in bfloat16.
    return torch.stack([(share.sum(i) * offset).sum(1) for i in (1, 2)], -1)


def offsets_from_middle(n_cells: int) -> torch.Tensor:
    """Offsets of the cells of a square map from its centre, x and y, of shape (2, n_cells**2)."""
    offset = torch.arange(n_cells) - (n_cells - 1) / 2
    return torch.stack(torch.meshgrid(offset, offset, indexing="xy")).flatten(1)


def circle(n_points: int, radius: float) -> torch.Tensor:
    """Centre of a circle and points on it, as a tensor of shape (1 + n_points, 2)."""
    angle = torch.arange(n_points) * (2 * torch.pi / max(n_points, 1))
    circle = radius * torch.stack([torch.cos(angle), torch.sin(angle)], -1)
    return torch.cat([torch.zeros(1, 2), circle])
