"""Parts of the report of errors by landmark: scales, statistics, text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.warnings import warn_of_data

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

    from skwing._utils.types import Floats

__all__ = ["PIXELS", "report_text", "scales_of", "summary"]

PIXELS = ("px", "pixel", "pixels")  # names of the unit that needs no scale
_SUMMARY = ("median", "95 %", "max", "n")


def summary(errors: Floats) -> dict[str, float]:
    """Statistics of the errors that are not NaN; NaN without any."""
    known = errors[~np.isnan(errors)]
    if not len(known):
        return dict.fromkeys(("mean", "median", "95 %", "max"), np.nan) | {"n": 0}
    return {
        "mean": float(known.mean()),
        "median": float(np.median(known)),
        "95 %": float(np.quantile(known, 0.95)),
        "max": float(known.max()),
        "n": len(known),
    }


def scales_of(scale: ArrayLike | None, unit: str, n_samples: int) -> Floats:
    """Length of a pixel of each sample in `unit`; 1 for errors in pixels."""
    if scale is None:
        if unit not in PIXELS:
            raise ValueError(f"unit={unit!r} needs scale= ({unit} per pixel)")
        return np.ones(n_samples)
    if unit in PIXELS:
        raise ValueError(
            f"scale= needs the unit of a scaled error, such as unit='mm'; got {unit!r}"
        )
    scales = np.asarray(scale, dtype=np.float64)
    if scales.shape not in ((), (n_samples,)):
        raise ValueError(f"scale has shape {scales.shape}; expected one number or ({n_samples},).")
    if (scales <= 0).any() or np.isinf(scales).any():
        raise ValueError("scale must be finite and positive; NaN where it is unknown.")
    scales = np.broadcast_to(scales, n_samples)
    n_unknown = int(np.isnan(scales).sum())
    message = f"scale is NaN for {n_unknown} of {n_samples} samples"
    if n_unknown == n_samples:
        raise ValueError(
            f"{message}: it is not known, as without SCALE= in a TPS file; pass {unit} per pixel"
        )
    if n_unknown:
        warn_of_data(f"{message}: they are not included in the report")
    return scales


def report_text(rows: dict[str, dict[str, float]], unit: str, digits: int, *, named: bool) -> str:
    """Table of the statistics of each landmark.

    Parameters
    ----------
    rows : dict
        Statistics as of `summary`, by the name or number of the landmark.
    unit : str
    digits : int
        Number of decimals.
    named : bool
        Whether landmarks have names; otherwise, a last line states how they are numbered.
    """
    width = max(map(len, [*rows, f"error in {unit}"]))
    lines = [f"{f'error in {unit}':{width}}" + "".join(f"{k:>10}" for k in ("mean", *_SUMMARY))]
    for name, row in rows.items():
        numbers_ = "".join(f"{value:10.{digits}f}" for key, value in row.items() if key != "n")
        lines.append(f"{name:{width}}{numbers_}{row['n']:10.0f}")
    if not named:
        lines.append("Landmarks are numbered from 0; schema= gives their names.")
    return "\n".join(lines)
