"""Warnings about the input and the results of predictions."""

import numpy as np

from skwing._utils.boxes import without_box
from skwing._utils.corners import boxes_as_corners
from skwing._utils.warnings import warn_caller, warn_of_data
from skwing.images._failures import listed


def warn_of_boxes(data, relation):
    """Warn of missing boxes in the input of `predict`; `relation` is None if trained without."""
    missing = data.missing_boxes
    if missing.any():
        warn_of_data(
            f"{without_box(data, missing)} no box (NaN): the landmarks predicted for them are NaN. "
            "X.missing_boxes is the mask of these samples; the box (0, 0, width, height) is the "
            "whole image."
        )
    elif relation is not None and not data.has_boxes:
        warn_of_data(
            "X has no boxes, but the regressor was trained with boxes: each whole image is used as "
            "the box of an object, which gives wrong landmarks unless the images are cropped like "
            "the boxes. skwing.detection.detect_boxes finds boxes, X.with_boxes sets them."
        )


def warn_of_corners(data, sizes):
    """Warn of boxes that are probably corners; `sizes` of images are (n, 2), NaN = unknown."""
    rows = np.flatnonzero(~(data.missing_boxes | np.isnan(sizes).any(axis=1)))
    if data.has_boxes and len(rows) >= 3:
        found = boxes_as_corners(data.boxes[rows], sizes[rows], lambda i: data.describe(rows[i]))
        if found is not None:
            warn_of_data(found)


def warn_of_lost(lost, n_samples):
    """Warn of samples, given by index, for which a network returns NaN."""
    if len(lost):
        warn_caller(
            f"the networks return NaN or infinite numbers for {len(lost)} of {n_samples} "
            f"samples, the first of which is sample {lost[0]}: their landmarks are NaN. The "
            "weights are damaged, or training diverged"
        )


def warn_of_unread(failures, n_samples):
    """Warn of samples that could not be read, with their error messages."""
    if failures:
        warn_caller(
            f"{len(failures)} of {n_samples} samples could not be read and have NaN landmarks: "
            f"{listed(failures)}"
        )
