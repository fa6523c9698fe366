"""The graph of a cascade: from chips to landmarks, including the crops of all stages."""

from __future__ import annotations

import contextlib
import logging
import warnings
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from skwing import geometry
from skwing._crops.chips import Chips
from skwing._prediction.stages import read_both
from skwing.export._placement import FixedPlacement, ShapePlacement, read_images

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

    from numpy.typing import NDArray

    from skwing._crops.chips import ChipFrame

_OPSET = 20  # the first version in which GridSample has a mode "linear"
_N_TRACED = 3  # batch size for tracing; the exporter may treat 1 or 2 as constants


def graph_of(stages: Any, frame: ChipFrame, batch_size: int | None = None) -> Any:
    """ONNX model of a cascade, with the input ``chips`` and the output ``points``.

    Parameters
    ----------
    stages : list of Stage
        On the CPU.
    frame : ChipFrame
    batch_size : int, default=None
        Number of chips; None stands for any number.

    Returns
    -------
    model : onnx.ModelProto
    """
    n = _N_TRACED if batch_size is None else batch_size
    with _quiet_exporter():
        program: Any = torch.onnx.export(
            _Cascade(stages, frame).eval(),
            (torch.zeros(n, frame.size, frame.size, 3, dtype=torch.uint8),),
            dynamo=True,
            opset_version=_OPSET,
            dynamic_shapes=({0: torch.export.Dim("n")},) if batch_size is None else None,
            input_names=["chips"],
            output_names=["points"],
            verbose=False,
        )
    model = program.model_proto
    # The exporter notes the lines of source code that each operation is from.
    for part in (model, model.graph, *model.graph.node, *model.graph.value_info):
        del part.metadata_props[:]
    return model


@contextlib.contextmanager
def _quiet_exporter() -> Iterator[None]:
    """Context manager without messages of torch's exporter that users can do nothing about.

    The exporter logs which operations of torchvision it does not know, and libraries warn each
    other of their deprecated functions.
    """
    logger = logging.getLogger("torch.onnx._internal.exporter._registration")
    logger.addFilter(_is_of_use)
    try:
        with warnings.catch_warnings():
            for category in (FutureWarning, DeprecationWarning):
                warnings.simplefilter("ignore", category)
            yield
    finally:
        logger.removeFilter(_is_of_use)


def _is_of_use(record: logging.LogRecord) -> bool:
    return not record.getMessage().startswith("torchvision is not installed")


class _Cascade(nn.Module):
    """Module that maps chips to the landmarks of the last stage, in chip pixels."""

    def __init__(self, stages: Any, frame: ChipFrame) -> None:
        super().__init__()
        self.networks = nn.ModuleList(stage.network for stage in stages)
        self.stages = stages
        self.frame = frame

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        first, *later = self.stages
        chips = pixels.permute(0, 3, 1, 2).to(torch.float32)
        points = FixedPlacement(first.crop.matrix).to_chip(
            read_images(first, box_crop(chips, first.crop))
        )
        points = points.where(points.abs() < torch.inf, torch.nan)
        for stage in later:
            placement = ShapePlacement(stage.crop, points)
            if stage.patch_size is None:
                images = placement.sample(_reduced(chips, stage.crop.scale), self.frame.size)
                found = placement.to_chip(read_images(stage, images))
            else:
                found = self._by_patches(stage, pixels, placement, points)
            found = found.where(found.abs() < torch.inf, torch.nan)
            points = found.where(placement.is_found, torch.nan)
        return points

    def _by_patches(
        self, stage: Any, pixels: torch.Tensor, placement: ShapePlacement, before: torch.Tensor
    ) -> torch.Tensor:
        chips = Chips(pixels, np.eye(2, 3)[None], self.frame)
        indices = torch.arange(pixels.shape[0])
        return read_both(stage, chips, indices, placement.matrices(), before=before)[0]


def _reduced(chips: torch.Tensor, scale: float) -> torch.Tensor:
    """Chips from which crops of a scale are sampled, as `Chips.sample` does."""
    while scale < 0.75 and chips.shape[-1] % 2 == 0:
        # Round half up, as OpenCV does.
        chips, scale = (F.avg_pool2d(chips, 2) + 0.5).floor(), 2 * scale
    return chips


def box_crop(chips: torch.Tensor, crop: Any) -> torch.Tensor:
    """Crop of the box.

    This crop is not rotated, and it is the same in all chips. Its resampling is therefore a
    product with a constant matrix on each side, which is faster than sampling single pixels.

    Parameters
    ----------
    chips : float32 tensor of shape (n, 3, side, side)
        In [0, 255].
    crop : Crop

    Returns
    -------
    images : float32 tensor of shape (n, 3, size, size)
        In [0, 1].
    """
    rows, columns = (
        _resampling(crop.matrix[i, [i, 2]], chips.shape[-1], crop.size) for i in (1, 0)
    )
    # Only what the crop shows.
    low, high = np.flatnonzero(rows.any(0) | columns.any(0))[[0, -1]]
    shown = slice(int(low), int(high) + 1)
    rows, columns = rows[:, shown] / 255, columns[:, shown]
    return torch.tensor(rows) @ (chips[:, :, shown, shown] @ torch.tensor(columns.T))


def _resampling(line: NDArray[Any], side: int, size: int) -> NDArray[np.float32]:
    """Matrix of shape (size, side) that resamples a row of pixels.

    Crops of small scale are sampled from averages of pixels, as `Chips.sample` does.

    Parameters
    ----------
    line : float array of shape (2,)
        Scale and shift, from pixels of the row to pixels of the result.
    side, size : int
        Number of pixels of the row and of the result.
    """
    levels = 0
    while line[0] * 2**levels < 0.75 and side % 2 ** (levels + 1) == 0:
        levels += 1
    n_together = 2**levels
    cells = np.kron(np.eye(side // n_together), np.full(n_together, 1 / n_together))
    to_cells = geometry.halving(levels)[0, [0, 2]]
    places = to_cells[0] * (np.arange(size) - line[1]) / line[0] + to_cells[1]
    places = places.clip(0, len(cells) - 1)
    low = np.floor(places).astype(int).clip(max=len(cells) - 2)
    part = (places - low)[:, None]
    matrix: Any = (1 - part) * cells[low] + part * cells[low + 1]
    return matrix.astype(np.float32)
