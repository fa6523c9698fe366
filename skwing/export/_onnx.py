"""Writing of ONNX files."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING

import numpy as np
import torch
from sklearn.utils.validation import check_is_fitted

from skwing._utils.ambient import plain_state
from skwing._utils.checks import Choice, Either, Only, count
from skwing._utils.files import check_target, write_bytes
from skwing._utils.optional import import_optional
from skwing._utils.unwrap import predictor_of
from skwing.cascade import CascadeLandmarkRegressor
from skwing.export._graph import graph_of
from skwing.export._loss import Calibration, told_loss, warn_of_few
from skwing.export._quantize import quantized
from skwing.export._weights import halve, quarter

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath, Predictor
    from skwing.images._types import ImagesLike

_PRECISION = Choice(("float32", "float16", "int8"))
_BATCH_SIZE = Either(count(), Only(None))


@plain_state()
def to_onnx(
    regressor: Predictor,
    path: FilePath,
    *,
    precision: str = "float32",
    calibration: ImagesLike | None = None,
    calibration_target: ArrayLike | None = None,
    batch_size: int | None = None,
) -> None:
    """Write a trained cascade, including the crops between stages, to one ONNX file.

    The model has an input ``chips``, uint8 of shape (n, size, size, 3), with a square RGB
    image around the box of each object. Its output ``points``, float32 of shape
    (n, n_landmarks, 2), holds the landmarks in chip pixels, as `predict` finds them. The
    metadata of the file describe the chips, and what the precision costs:

    - ``chip_size``: side of a chip in pixels;
    - ``chip_margin``: margin around the box on each side, as a fraction of the longer side
      of the box. With 0.5, a chip is twice as wide as the box and has the same centre;
    - ``landmarks``: names of the landmarks as a JSON list, if there is a schema;
    - ``box_relation``: relation of boxes to landmarks in training, a JSON object, if the model was
      trained with boxes (see :func:`skwing.boxes.box_relation`);
    - ``notice``: terms of use of the weights, if there are any (see :func:`skwing.save_model`);
    - ``precision``: the parameter;
    - ``batch_size``: the parameter, if it is given;
    - with `calibration`: ``calibration_n``, the number of samples, and ``difference``, the mean
      distance of their landmarks from those of a float32 file, in percent of the longer side of
      the box;
    - with `calibration_target`: ``error_float32`` and ``error``, the mean errors of these samples
      with a float32 file and with this file, in percent, normalised as by `score`.

    Parameters
    ----------
    regressor : CascadeLandmarkRegressor
        A fitted regressor; also a pipeline or a search that ends in one.
    path : str or path-like
        Path of the file to write.
    precision : {"float32", "float16", "int8"}, default="float32"
        Type of the numbers in the file:

        - "float32": as in training.
        - "float16": large weights are stored in half the bytes, and are converted when the file is
          loaded. The file is half as large, and as fast.
        - "int8": convolutions, except for the first one of each stage, and fully connected layers
          compute with integers of eight bits, with a scale for each output channel (static
          quantisation, in the QDQ format). Other large weights are stored in 8 or 16 bits.
          Coordinates and crops stay in float32. The file has about a quarter of the size, and is
          the fastest.
    calibration : as X in `fit`, default=None
        Images with boxes from which the ranges of values are determined; required for "int8", and
        for "float16" optional. 200 or more are recommended, of the kind that the file is for. They
        may be training images.
    calibration_target : array-like of shape (n_samples, n_landmarks, 2) or \
            (n_samples, 2 * n_landmarks), default=None
        Landmarks of `calibration`, if the errors before and after are to be compared.
    batch_size : int, default=None
        Number of chips that the model takes. By default, it takes any number. With a fixed number,
        OpenVINO is up to twice as fast for single objects.

    Raises
    ------
    NotFittedError
        If the regressor is not fitted.
    TypeError
        If `regressor` is another kind of estimator.
    ImportError
        If onnx, onnxscript or onnxruntime is not installed.
    FileNotFoundError
        If the folder does not exist.
    ValueError
        If a parameter is invalid, if `calibration` is missing for "int8", or if no landmarks are
        found in it.

    Warns
    -----
    UserWarning
        If `calibration` has fewer than 100 samples for "int8", if the landmarks differ by more than
        0.5 % of the box on average, or if the error increases by more than 0.02 percentage points.

    Notes
    -----
    :class:`skwing.runtime.OnnxLocalizer` runs the file, and :func:`skwing.runtime.cut_chip` cuts
    chips for other programs: downsampled by area averaging, with replicated border pixels outside
    the image. The result of `calibrate` is not exported, and doubtful predictions are not repeated.

    Examples
    --------
    >>> from skwing.export import to_onnx
    >>> to_onnx(reg, "landmarks.onnx")  # doctest: +SKIP
    >>> to_onnx(
    ...     reg,
    ...     "landmarks.int8.onnx",
    ...     precision="int8",
    ...     calibration=faces.data,
    ...     calibration_target=faces.target,
    ... )  # doctest: +SKIP
    """
    precision = _PRECISION.check(precision, "precision")
    batch_size = _BATCH_SIZE.check(batch_size, "batch_size")
    _check_calibration(precision, calibration, calibration_target)
    regressor = _cascade_in(regressor)
    check_is_fitted(regressor)
    for library in ("onnx", "onnxscript", *(["onnxruntime"] if calibration is not None else [])):
        import_optional(library, "writing ONNX", "onnx")
    check_target(path)  # fail early: the export can take a minute
    known = None
    if calibration is not None:
        known = Calibration.of(regressor, calibration, calibration_target)
    # Copy to the CPU; the original stays on its device.
    stages = copy.deepcopy(regressor)._reading_stages(torch.device("cpu"))
    model = graph_of(stages, regressor._frame, batch_size)
    told = _told(regressor) | {"precision": precision}
    if batch_size is not None:
        told["batch_size"] = str(batch_size)
    if precision != "float32":
        model, loss = _reduced(model, precision, known, batch_size)
        told |= loss
    for key, value in told.items():
        model.metadata_props.add(key=key, value=value)
    write_bytes(path, model.SerializeToString())


def _check_calibration(precision: str, X: Any, y: Any) -> None:
    if X is None and y is not None:
        raise ValueError("calibration_target needs calibration, the images of these landmarks")
    if precision == "int8" and X is None:
        raise ValueError(
            "precision='int8' needs calibration: images with boxes from which the ranges of values "
            "are determined, 200 or more, such as some of the training images"
        )
    if precision == "float32" and X is not None:
        raise ValueError(
            "calibration has no effect with precision='float32': pass precision='int8' or "
            "'float16', or leave it out"
        )


def _reduced(
    model: Any, precision: str, known: Calibration | None, batch_size: int | None
) -> tuple[Any, dict[str, str]]:
    """Smaller model, and what it loses on the calibration samples."""
    if known is None:
        halve(model.graph)
        return model, {}
    before = known.run(model, batch_size)
    found: Any = np.isfinite(before).all((1, 2))
    if not found.any():
        raise ValueError(
            f"the regressor finds no landmarks in any of the {len(found)} samples of calibration"
        )
    known, before = known.rows(found), before[found]
    if precision == "int8":
        warn_of_few(len(before))
        model = quantized(model, known.batches(batch_size))
        quarter(model.graph)
    halve(model.graph)
    return model, told_loss(known, before, known.run(model, batch_size))


def _told(regressor: CascadeLandmarkRegressor) -> dict[str, str]:
    """Metadata that describe the chips and the model."""
    frame = regressor._frame
    told = {"chip_size": str(frame.size), "chip_margin": str(frame.margin)}
    if regressor.schema_ is not None:
        told["landmarks"] = json.dumps(regressor.schema_.landmark_names)
    if regressor.box_relation_ is not None:
        told["box_relation"] = json.dumps(regressor.box_relation_)
    if regressor.notice_ is not None:
        told["notice"] = regressor.notice_
    return told


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
