"""What a smaller file costs: the difference of its landmarks, and of their errors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from skwing import geometry
from skwing._crops.chips import cut_chips
from skwing._training.samples import check_samples, drop_unboxed
from skwing._utils.warnings import warn_caller
from skwing.images import as_boxed_images
from skwing.metrics import nme

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import Floats
    from skwing.images._types import ImagesLike

_N_FEW = 100  # with fewer samples, the ranges of values are uncertain
_N_TOGETHER = 16  # chips of a run, as the values of all layers are kept in memory
_MUCH = 0.5  # difference of landmarks, in percent of the box
_LOSS = 0.02  # difference of errors, in percentage points


@dataclass(frozen=True)
class Calibration:
    """Samples that decide the ranges of values, and show what is lost.

    Attributes
    ----------
    pixels : uint8 array of shape (n, size, size, 3)
        Chips.
    matrices : float64 array of shape (n, 2, 3)
        From image pixels to chip pixels.
    side : float
        Side of the boxes, in chip pixels.
    points : float array of shape (n, L, 2) or None
        Landmarks, in image pixels.
    schema : LandmarkSchema or None
    """

    pixels: NDArray[np.uint8]
    matrices: Floats
    side: float
    points: Floats | None
    schema: Any

    @classmethod
    def of(cls, regressor: Any, X: ImagesLike, y: ArrayLike | None) -> Calibration:
        """Cut the chips of some samples; those without a box are left out."""
        if y is None:
            data = as_boxed_images(X)
            data, points = data[np.flatnonzero(~data.missing_boxes)], None
        else:
            known = check_samples(X, y, None, regressor.n_landmarks_, name="calibration_target")
            known = drop_unboxed(known, "calibration")
            data, points = known.data, known.points
        if len(data) == 0:
            raise ValueError("calibration has 0 samples with a box: at least one is needed")
        chips = cut_chips(data, regressor._frame)
        side = chips.frame.size / (1 + 2 * chips.frame.margin)
        return cls(chips.pixels, chips.matrices, side, points, regressor.schema_)

    def rows(self, rows: Any) -> Calibration:
        """Some of the samples."""
        points = None if self.points is None else self.points[rows]
        return Calibration(self.pixels[rows], self.matrices[rows], self.side, points, self.schema)

    def batches(self, batch_size: int | None) -> list[NDArray[np.uint8]]:
        """Chips in batches; the last one is filled up if their size is fixed."""
        n = batch_size or _N_TOGETHER
        parts = [self.pixels[i : i + n] for i in range(0, len(self.pixels), n)]
        if batch_size is not None:
            parts[-1] = np.resize(parts[-1], (n, *parts[-1].shape[1:]))
        return parts

    def run(self, model: Any, batch_size: int | None) -> Floats:
        """Landmarks by a graph, in chip pixels, of shape (n, L, 2)."""
        import onnxruntime

        settings = onnxruntime.SessionOptions()
        settings.log_severity_level = 3
        session = onnxruntime.InferenceSession(
            model.SerializeToString(), settings, providers=["CPUExecutionProvider"]
        )
        found = [session.run(None, {"chips": pixels})[0] for pixels in self.batches(batch_size)]
        return np.concatenate(found)[: len(self.pixels)].astype(np.float64)

    def error(self, points: Floats) -> float:
        """Mean error of landmarks in chip pixels, in percent; NaN if some are not found."""
        if self.points is None or not np.isfinite(points).all():
            return float("nan")
        placed = geometry.apply(geometry.invert(self.matrices), points)
        return 100 * nme(self.points, placed, schema=self.schema)


def told_loss(known: Calibration, before: Floats, after: Floats) -> dict[str, str]:
    """Entries of the metadata that tell what is lost; a warning if it is much.

    Parameters
    ----------
    known : Calibration
    before, after : float array of shape (n, L, 2)
        Landmarks by the graph in float32 and by the smaller one, in chip pixels.
    """
    apart = np.linalg.norm(after - before, axis=-1).mean() * 100 / known.side
    told = {"calibration_n": str(len(before)), "difference": f"{apart:.4g}"}
    # NaN is a loss, too.
    if not apart <= _MUCH:
        warn_caller(
            f"the landmarks of the smaller file differ by {apart:.2f} percent of the side of the "
            f"box from those in float32 on average, more than {_MUCH}"
        )
    if known.points is not None:
        error, lossy = known.error(before), known.error(after)
        told |= {"error_float32": f"{error:.4f}", "error": f"{lossy:.4f}"}
        if not lossy - error <= _LOSS:
            warn_caller(
                f"the error of the smaller file is {lossy:.3f} percent instead of {error:.3f} in "
                f"float32, more than {_LOSS} points above it"
            )
    return told


def warn_of_few(n: int) -> None:
    """Warn if the ranges of values are determined from few samples."""
    if n < _N_FEW:
        warn_caller(
            f"calibration has {n} samples: with precision='int8', 200 or more are recommended, "
            "because values outside the range of these samples are cut off"
        )
