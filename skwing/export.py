"""Export of trained regressors to ONNX, for use without skwing and PyTorch."""

from __future__ import annotations

import copy
import json
import math
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted
from torch import nn

from skwing._crops.chips import Chips
from skwing._prediction.stages import read_stages
from skwing._utils.ambient import plain_state
from skwing._utils.checks import Choice
from skwing._utils.files import check_target, write_bytes
from skwing._utils.optional import import_optional
from skwing._utils.unwrap import predictor_of
from skwing.cascade import CascadeLandmarkRegressor

if TYPE_CHECKING:
    from typing import Any

    from skwing._utils.types import FilePath, Predictor

__all__ = ["to_onnx"]

_OPSET = 20  # the first version in which GridSample has a mode "linear"
_LARGE = 1000  # smaller constants of a graph are not worth a conversion
_N_TRACED = 3  # batch size for tracing; the exporter may treat 1 or 2 as constants


@plain_state()
def to_onnx(regressor: Predictor, path: FilePath, *, dtype: str = "float32") -> None:
    """Write a trained cascade, including the crops between stages, to one ONNX file.

    The model has an input ``chips``, uint8 of shape (n, size, size, 3), with a square RGB
    image around the box of each object. Its output ``points``, float32 of shape
    (n, n_landmarks, 2), holds the landmarks in chip pixels, as `predict` finds them. The
    batch size n is dynamic. The metadata of the file describe the chips:

    - ``chip_size``: side of a chip in pixels;
    - ``chip_margin``: margin around the box on each side, as a fraction of the longer side
      of the box. With 0.5, a chip is twice as wide as the box and has the same centre;
    - ``landmarks``: names of the landmarks as a JSON list, if there is a schema;
    - ``notice``: terms of use of the weights, if there are any (see :func:`skwing.save_model`).

    Parameters
    ----------
    regressor : CascadeLandmarkRegressor
        A fitted regressor; also a pipeline or a search that ends in one.
    path : str or path-like
        Path of the file to write.
    dtype : {"float32", "float16"}, default="float32"
        Data type of the stored weights. With "float16", the file is half as large; the weights
        are converted to float32 when the file is loaded.

    Raises
    ------
    NotFittedError
        If the regressor is not fitted.
    TypeError
        If `regressor` is another kind of estimator.
    ImportError
        If onnx or onnxscript is not installed.
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If `dtype` is unknown.

    Notes
    -----
    `examples/deploy.py` cuts chips with a few lines of OpenCV and runs the file. As in
    training, chips must be downsampled by area averaging (``cv2.INTER_AREA``), and border
    pixels must be replicated outside the image. The result of `calibrate` is not exported.

    Examples
    --------
    >>> from skwing.export import to_onnx
    >>> to_onnx(reg, "landmarks.onnx")  # doctest: +SKIP
    """
    dtype = Choice(("float32", "float16")).check(dtype, "dtype")
    regressor = _cascade_in(regressor)
    check_is_fitted(regressor)
    for library in ("onnx", "onnxscript"):
        import_optional(library, "writing ONNX", "onnx")
    check_target(path)  # fail early: the export can take a minute
    cpu = torch.device("cpu")
    # Copy to the CPU; the original stays on its device.
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
    if regressor.notice_ is not None:
        told["notice"] = regressor.notice_
    program.model.metadata_props.update(told)
    proto = program.model_proto
    if dtype == "float16":
        _halve(proto.graph)
    write_bytes(path, proto.SerializeToString())


def _halve(graph: Any) -> None:
    """Store matrices of float32 as float16, followed by a conversion to float32."""
    import onnx

    halved = [i for i in graph.initializer if i.data_type == onnx.TensorProto.FLOAT]
    halved = [i for i in halved if len(i.dims) > 1 and math.prod(i.dims) >= _LARGE]
    casts = []
    for weights in halved:
        name, stored = weights.name, f"{weights.name}.float16"
        array = onnx.numpy_helper.to_array(weights).astype(np.float16)
        weights.CopyFrom(onnx.numpy_helper.from_array(array, stored))
        casts.append(onnx.helper.make_node("Cast", [stored], [name], to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *graph.node]  # a node must follow those it depends on
    del graph.node[:]
    graph.node.extend(nodes)


def _cascade_in(estimator: Any) -> CascadeLandmarkRegressor:
    """Regressor at the end of a pipeline or a search, or the estimator itself."""
    if hasattr(estimator, "estimator"):  # a search
        check_is_fitted(estimator)
    last = predictor_of(estimator)
    if not isinstance(last, CascadeLandmarkRegressor):
        raise TypeError(
            f"only a CascadeLandmarkRegressor can be exported, got {type(last).__name__}"
        )
    return last


class _Cascade(nn.Module):
    """Module that maps chips to the landmarks of the last stage, in chip pixels."""

    def __init__(self, stages: Any, frame: Any) -> None:
        super().__init__()
        self.networks = nn.ModuleList(stage.network for stage in stages)
        self.stages = stages
        self.frame = frame

    def forward(self, pixels: torch.Tensor) -> torch.Tensor:
        chips = Chips(pixels, np.eye(2, 3)[None], self.frame)
        return read_stages(self.stages, chips, torch.arange(pixels.shape[0])).points[-1]
