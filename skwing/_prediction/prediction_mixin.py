"""Prediction with a fitted cascade."""

from __future__ import annotations

from typing import TYPE_CHECKING, overload

import torch
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from skwing._prediction.confidence import error_units
from skwing._prediction.read_images import read_images
from skwing._prediction.stages import make_stages
from skwing._prediction.warn import warn_of_boxes
from skwing._utils.ambient import plain_state
from skwing._utils.checks import check_flag
from skwing._utils.device import check_device
from skwing._utils.landmarks import as_layout
from skwing._utils.modules import modules_of
from skwing._utils.warnings import warn_caller
from skwing.images import as_boxed_images
from skwing.images._failures import check_on_error
from skwing.networks import folded

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, Literal

    from torch import nn

    from skwing._prediction.certainty import Certainty
    from skwing._utils.types import Floats, OnError
    from skwing.images._types import ImagesLike
    from skwing.schema import LandmarkSchema

_NOT_CALIBRATED = (
    "{} requires calibrate(X, y) with held-out samples first, because training errors "
    "underestimate errors on new samples"
)
_NO_CONFIDENCE = (
    "calibrate gave no confidence. It compares the predictions of the last two networks, and those "
    "for a crop and its mirror image: this takes two networks, or a schema with mirror pairs and "
    "average_mirrored=True. It also takes held-out samples with two known landmarks, unless there "
    "is only one. Models that were calibrated by skwing 0.9 or before, and those of three networks "
    "without mirrored images that were calibrated by 0.16 or before, must be calibrated again"
)
_LAYOUT = torch.channels_last  # of weights: convolutions are fastest in it


class PredictionMixin:
    """Methods of :class:`skwing.CascadeLandmarkRegressor` that use its fitted networks."""

    device: Any
    average_mirrored: Any
    retry: Any
    networks_: list[nn.Module]
    n_landmarks_: int
    crops_: Any
    asymmetry_: Any
    mirrored_: list[bool]
    schema_: LandmarkSchema | None
    box_relation_: Any
    calibration_: Any
    _frame: Any
    _flat: bool
    _retry: Any = None
    _certainty: Certainty | None = None
    _seen: Any = None

    @overload
    def predict(
        self,
        X: ImagesLike,
        return_std: Literal[False] = False,
        on_error: OnError = "raise",
        *,
        return_confidence: Literal[False] = False,
    ) -> Floats: ...

    @overload
    def predict(
        self,
        X: ImagesLike,
        return_std: Literal[True],
        on_error: OnError = "raise",
        *,
        return_confidence: Literal[False] = False,
    ) -> tuple[Floats, Floats]: ...

    @overload
    def predict(
        self,
        X: ImagesLike,
        return_std: Literal[False] = False,
        on_error: OnError = "raise",
        *,
        return_confidence: Literal[True],
    ) -> tuple[Floats, Floats]: ...

    @overload
    def predict(
        self,
        X: ImagesLike,
        return_std: Literal[True],
        on_error: OnError = "raise",
        *,
        return_confidence: Literal[True],
    ) -> tuple[Floats, Floats, Floats]: ...

    def predict(
        self,
        X: ImagesLike,
        return_std: bool = False,
        on_error: OnError = "raise",
        *,
        return_confidence: bool = False,
    ) -> Floats | tuple[Floats, ...]:
        """Predict landmarks.

        Parameters
        ----------
        X : as in `fit`
            Files are read in portions, so that memory does not grow with their number.
        return_std : bool, default=False
            Whether to return the standard deviation of the error of each landmark. It
            requires a call of :meth:`calibrate`, and seven more predictions of the last stage
            for each sample.
        on_error : {"raise", "skip"}, default="raise"
            Whether samples that cannot be read, or whose box is invalid, raise an error. With
            "skip", their landmarks are NaN, and one warning lists them.
        return_confidence : bool, default=False
            Whether to return the probability that the landmarks of each sample are right. It
            requires a call of :meth:`calibrate`, but no further predictions.

        Returns
        -------
        y : ndarray of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            In image pixels, float64, in the layout that was passed to `fit`. NaN for samples
            with a missing box (NaN) in X, and, with a warning, if a network returns NaN or
            infinite values. If this occurs before the last stage, all landmarks of the
            sample are NaN.
        std : ndarray of shape (n_samples, n_landmarks)
            Standard deviation of the error along each axis, in image pixels. Only if
            `return_std` is True.
        confidence : ndarray of shape (n_samples,)
            Probability that the mean error of the landmarks is less than a tenth of the size of
            the shape, the root mean square distance of its landmarks from their centre (for a
            single landmark, of the side of its box). Only if `return_confidence` is True.

        Raises
        ------
        NotFittedError
            If called before `fit`, or with `return_std` or `return_confidence` before
            `calibrate`. Also with `return_confidence` if nothing is known that the confidence
            depends on: of a single network without mirrored crops.
        ValueError, TypeError, FileNotFoundError
            If an image or a box is invalid, unless `on_error` is "skip"; the message names
            the sample. ValueError also if the confidence was calibrated with another value of
            `average_mirrored`.
        """
        if check_flag(return_std, "return_std"):
            check_is_fitted(self, "calibration_", msg=_NOT_CALIBRATED.format("return_std"))
        if check_flag(return_confidence, "return_confidence"):
            self._check_confidence()
        found = self._locate(X, spread=return_std, on_error=on_error)
        points = found.points[-1]
        answer = [as_layout(points, self._flat)]
        if return_std:
            answer.append(self.calibration_.std(found.spread, error_units(points, found.sides)))
        if return_confidence:
            answer.append(self._certainty.probability(found.doubt))
        return answer[0] if len(answer) == 1 else tuple(answer)

    def _check_confidence(self) -> None:
        """Check that the confidence was calibrated, with the same kind of predictions."""
        if self._certainty is None:
            is_calibrated = hasattr(self, "calibration_")
            message = _NO_CONFIDENCE if is_calibrated else _NOT_CALIBRATED
            raise NotFittedError(message.format("return_confidence"))
        average = check_flag(self.average_mirrored, "average_mirrored")
        if self._certainty.averaged != average:
            raise ValueError(
                f"the confidence was calibrated with average_mirrored={not average}, but it is "
                f"{average} now: call calibrate(X, y) again"
            )

    def staged_predict(self, X: ImagesLike, on_error: OnError = "raise") -> Iterator[Floats]:
        """Predict the landmarks of each stage.

        Parameters
        ----------
        X : as in `fit`
        on_error : {"raise", "skip"}, default="raise"
            See `predict`.

        Yields
        ------
        y : ndarray of shape (n_samples, n_landmarks, 2) or (n_samples, 2 * n_landmarks)
            Landmarks of each stage, in the layout of `predict`.
        """
        for points in self._locate(X, first=0, on_error=on_error).points:
            yield as_layout(points, self._flat)

    @plain_state()
    def _locate(
        self,
        X: ImagesLike,
        *,
        first: int = -1,
        spread: bool = False,
        on_error: OnError = "raise",
        changes: Any = None,
    ) -> Any:
        """Predict landmarks, see :func:`read_images`."""
        check_is_fitted(self)
        check_on_error(on_error)
        data = as_boxed_images(X)
        if len(data) == 0:
            raise ValueError("X has 0 samples: at least one image is needed")
        warn_of_boxes(data, self.box_relation_)
        stages = self._reading_stages(self._device_here())
        retries = check_flag(self.retry, "retry") and self._retry is not None
        return read_images(
            data,
            stages,
            self._frame,
            self.n_landmarks_,
            first=first,
            spread=spread,
            on_error=on_error,
            retry=self._retry.of(stages) if retries else None,
            changes=changes,
        )

    def _device_here(self) -> torch.device:
        """The requested device, or the CPU if it is unavailable."""
        try:
            return check_device(self.device)
        except ValueError:
            warn_caller(f"the device {self.device!r} is unavailable: using the CPU")
            return torch.device("cpu")

    def _make_stages(
        self,
        networks: list[nn.Module],
        crops: Any,
        asymmetries: Any,
        mirrored: list[bool],
        schema: LandmarkSchema | None,
        device: torch.device,
    ) -> Any:
        """Create stages; only those trained on mirrored crops average over them."""
        average = check_flag(self.average_mirrored, "average_mirrored")
        reads_mirrored = [average and both for both in mirrored]
        return make_stages(networks, crops, asymmetries, reads_mirrored, schema, device)

    def _reading_stages(self, device: torch.device) -> Any:
        """Stages for prediction, on a device and with folded batch normalisation."""
        for network in self.networks_:
            if not _is_ready(network, device):
                network.to(device, memory_format=_LAYOUT).eval()  # type: ignore[call-overload]
        networks = [folded(network) for network in self.networks_]
        return self._make_stages(
            networks, self.crops_, self.asymmetry_, self.mirrored_, self.schema_, device
        )


def _is_ready(network: nn.Module, device: torch.device) -> bool:
    """Whether a network is in evaluation mode on a device: faster to check than to ensure."""
    for module in modules_of(network):
        if module.training:
            return False
        for tensor in (*module._parameters.values(), *module._buffers.values()):
            if tensor is not None and (
                tensor.device != device
                or (tensor.ndim == 4 and not tensor.is_contiguous(memory_format=_LAYOUT))
            ):
                return False
    return True
