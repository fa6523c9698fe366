"""Detection of diverged training from invalid or implausible predictions."""

import math

import torch

from skwing._prediction.stages import read_stages
from skwing._training.weights import Diverged
from skwing._utils.warnings import warn_caller

_N_CHECKED = 256  # maximum number of training samples to predict
_A_PASS = 64
_FAR_WORSE = 10  # threshold of the error, relative to that of a constant prediction
_FAR_OFF = 2  # minimum error of diverged training, relative to the side of the crop
_A_POINT = 2  # extent of shapes that are nearly a point, in input pixels
_FAR_WIDER = 4  # minimum extent of the true shapes relative to that
_FAR_LABEL = 10  # distance of an implausible label from its box, relative to the side of the chip


@torch.no_grad()
def check_predictions(stages, chips, truth):
    """Check the predictions of a cascade on training samples of its last stage.

    Raises
    ------
    Diverged
        If a prediction is not finite, or the mean error is more than ten times that of the
        mean landmarks and more than two sides of the crop.

    Warns
    -----
    UserWarning
        If the landmarks of a sample nearly coincide, as fractions in place of pixels do.
    """
    step = max(1, math.ceil(len(chips) / _N_CHECKED))
    rows = torch.arange(0, len(chips), step)
    found = torch.cat([read_stages(stages, chips, part).points[-1] for part in rows.split(_A_PASS)])
    broken = ~found.isfinite().flatten(1).all(1)
    if broken.any():
        raise Diverged(
            f"predictions on {int(broken.sum())} of {len(rows)} training samples are not finite"
        )
    true = truth.points[rows.to(truth.points.device)]
    crop = stages[-1].crop
    off = _mean_distance(found, true) * crop.scale
    constant = _mean_distance(true.nanmean(0).expand_as(true), true) * crop.scale
    if off > max(_FAR_WORSE * constant, _FAR_OFF * crop.size):
        raise Diverged(
            f"predictions on training samples are off by {off:.3g} pixels of the input of "
            f"{crop.size} on average, where the mean position of each landmark is off by "
            f"{constant:.3g}"
        )
    _warn_of_a_point(found * crop.scale, true * crop.scale, len(stages), crop.size)


def is_sound(stages, chips, truth):
    """Whether :func:`check_predictions` finds that training did not diverge."""
    try:
        check_predictions(stages, chips, truth)
    except Diverged:
        return False
    return True


def _warn_of_a_point(found, true, stage, size):
    """Warn if all predicted landmarks nearly coincide, as those of a network of another unit."""
    shapes = true[~true.isnan().any(-1).any(-1)]
    if not len(shapes):
        return
    extent, wanted = (float((s.amax(1) - s.amin(1)).amax(-1).median()) for s in (found, shapes))
    if extent < _A_POINT and wanted > _FAR_WIDER * _A_POINT:
        warn_caller(
            f"stage {stage}: the predicted landmarks of a training image lie within {extent:.2g} "
            f"pixels of each other, those of y within {wanted:.0f} (medians, in pixels of the "
            f"network's input). A network must return pixels of its input, 0 to {size - 1}, not "
            "fractions; if it does so, it needs more training"
        )


def _mean_distance(points, true):
    """Mean distance over known landmarks; 0 if there are none."""
    distances = torch.linalg.norm(points.double() - true.double(), dim=-1)
    known = distances[~distances.isnan()]
    return float(known.mean()) if len(known) else 0.0


def likely_cause(chips, samples, learning_rate):
    """Probable cause of divergence and a remedy, for an error message."""
    advice = f"try a lower learning_rate than {learning_rate:g}"
    middle = (chips.frame.size - 1) / 2
    far = abs(chips.to_chip(samples.points) - middle).max(-1)
    far[~(far > _FAR_LABEL * chips.frame.size)] = 0
    if not far.any():
        return advice
    i, j = divmod(int(far.argmax()), far.shape[1])
    return (
        f"{samples.data.describe(i)} has landmark {j} at {samples.points[i, j].tolist()}, far from "
        f"its box: correct it or mark it as missing with NaN, else {advice}"
    )
