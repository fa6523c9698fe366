"""How an estimator measures its own error: by the length that suits the landmarks."""

import numpy as np

from skwing import geometry
from skwing.metrics import nme


def own_nme(true, predicted, schema):
    """Normalised error of each sample.

    Parameters
    ----------
    true, predicted : array of shape (n, L, 2)
        In image pixels; NaN in `true` = missing.
    schema : LandmarkSchema or None

    Returns
    -------
    errors : float64 array of shape (n,)
        As a fraction of the inter-ocular distance where the schema has one, else of the
        size of the box around the known landmarks (1 px for a mark-up of one landmark); NaN
        where there is no such length.
    """
    if schema is not None and "inter_ocular" in schema.normalizers:
        return nme(true, predicted, normalizer="inter_ocular", schema=schema, per_sample=True)
    boxes = np.full((len(true), 4), np.nan)
    # A lone landmark has no size to measure by; where there is but one at all, its box has
    # a side of 1 and the error is in pixels.
    seen = (~np.isnan(true).any(-1)).sum(-1) > min(1, true.shape[1] - 1)
    boxes[seen] = geometry.boxes_of(true[seen])
    return nme(true, predicted, normalizer="box", boxes=boxes, per_sample=True)


def check_measurable(errors, what):
    """Which errors are known, at least one."""
    known = ~np.isnan(errors)
    if not known.any():
        raise ValueError(
            f"the error of none of the {what} can be measured: each lacks the landmarks, or those "
            "that its size is told by"
        )
    return known
