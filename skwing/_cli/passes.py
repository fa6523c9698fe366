"""Predictions of many images, with a progress bar."""

import numpy as np
from tqdm import tqdm

from skwing._utils.unwrap import gives_confidence, predictor_of

_A_PASS = 64  # images between two updates of the progress bar


def predict_all(model, data, quiet, skip=False, known=None):
    """Predict the landmarks of all images, NaN without a box; a progress bar if there are many.

    The bar is not shown if `quiet`. Samples with `known` landmarks are not predicted.

    Returns
    -------
    points : array of shape (n, L, 2)
    confidence : array of shape (n,)
        NaN if it is not known.
    """
    on_error = {"on_error": "skip"} if skip else {}
    sure = {"return_confidence": True} if gives_confidence(model) else {}
    points = np.full((len(data), predictor_of(model).n_landmarks_, 2), np.nan)
    points = points if known is None else known.copy()
    confidence = np.full(len(data), np.nan)
    rows = np.flatnonzero(~data.missing_boxes & np.isnan(points).any(axis=2).all(axis=1))
    with tqdm(total=len(rows), disable=quiet or len(rows) <= _A_PASS, unit=" images") as bar:
        for start in range(0, len(rows), _A_PASS):
            part = rows[start : start + _A_PASS]
            found = model.predict(data[part], **on_error, **sure)
            if sure:
                found, confidence[part] = found
            points[part] = found.reshape(len(part), -1, 2)
            bar.update(len(part))
    return points, confidence
