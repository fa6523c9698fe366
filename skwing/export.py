"""Trained regressors for programs that have neither skwing nor PyTorch."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skwing._crops.chips import Chips
from skwing._reading.stages import read_stages
from skwing._utils.ambient import plain_state
from skwing._utils.files import check_target, write_bytes
from skwing._utils.optional import import_optional
from skwing._utils.unwrap import predictor_of
from skwing.cascade import CascadeLandmarkRegressor

if TYPE_CHECKING:
    from typing import Any

    from skwing._utils.types import FilePath, Predictor

__all__ = ["to_onnx"]

_OPSET = 20  # the first whose GridSample calls its mode "linear"
_N_TRACED = 3  # chips that the exporter sees: of one or two it may take the number for fixed


@plain_state()
def to_onnx(regressor: Predictor, path: FilePath) -> None:
    """Write a trained cascade, all stages and the crops between them, to one ONNX file.

    The model has an input ``chips``, uint8 of shape (n, size, size, 3): RGB squares around
    the box of each object; and an output ``points``, float32 of shape (n, n_landmarks, 2):
    x and y in pixels of the chip, what `predict` finds. n is free. What a chip shows is in
    the metadata of the file:

    - ``chip_size``: its side in pixels;
    - ``chip_margin``: what it shows around the box on each side, as a fraction of the
      box's longer side. With 0.5 it is twice as wide as the box, with the same middle;
    - ``landmarks``: names of the landmarks as a JSON list, where there is a schema.

    Parameters
    ----------
    regressor : CascadeLandmarkRegressor
        Fitted; also the last step of a pipeline, or of the best one of a search.
    path : str or path-like
        File to write.

    Raises
    ------
    NotFittedError
        If the regressor is not fitted.
    TypeError
        If it is another estimator.
    ImportError
        If onnx or onnxscript is not installed.
    FileNotFoundError
        If there is no such folder.

    Notes
    -----
    `examples/deploy.py` cuts chips with a few lines of OpenCV and runs the file. A chip is
    to be shrunk by averaging over areas (``cv2.INTER_AREA``), and beyond the image its
    border pixels go on, as in training. What `calibrate` has learned is not written.

    Examples
    --------
    >>> from skwing.export import to_onnx
    >>> to_onnx(reg, "landmarks.onnx")  # doctest: +SKIP
    """
    regressor = _cascade_in(regressor)
    check_is_fitted(regressor)
    for library in ("onnx", "onnxscript"):
        import_optional(library, "writing ONNX", "onnx")
    check_target(path)  # before the minute that it may take, not after
    cpu = torch.device("cpu")
    # A copy: it is on the CPU, and the original stays on its device.
    frame, stages = regressor._frame, copy.deepcopy(regressor)._reading_stages(cpu)
    program: Any = torch.onnx.export(
        _Cascade(stages, frame).eval(),
        (torch.zeros(_N_TRACED, frame.size, frame.size, 3, dtype=torch.uint8),),
        dynamo=True,
        opset_version=_OPSET,
        dynamic_shapes=({0: torch.export.Dim("n")},),
        input_names=["chips"],
        output_names=["points"],
        verbose=False,
    )
    told = {"chip_size": str(frame.size), "chip_margin": str(frame.margin)}
    if regressor.schema_ is not None:
        told["landmarks"] = json.dumps(regressor.schema_.landmark_names)
    program.model.metadata_props.update(told)
    write_bytes(path, program.model_proto.SerializeToString())


def _cascade_in(estimator: Any) -> CascadeLandmarkRegressor:
    """The regressor at the end of a pipeline or a search, or the estimator itself."""
    if hasattr(estimator, "estimator"):  # a search
        check_is_fitted(estimator)
    last = predictor_of(estimator)
    if not isinstance(last, CascadeLandmarkRegressor):
        raise TypeError(
            f"only a CascadeLandmarkRegressor can be written, got {type(last).__name__}"
        )
    return last


class _Cascade(nn.Module):
    """From chips to the landmarks of the last stage, in pixels of the chips."""

    def __init__(self, stages: Any, frame: Any) -> None:
        super().__init__()
        self.networks = nn.ModuleList(stage.network for stage in stages)
        self.stages = stages
        self.frame = frame

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        chips = Chips(pixels, np.eye(2, 3)[None], self.frame)
        return read_stages(self.stages, chips, torch.arange(pixels.shape[0]))[-1]
