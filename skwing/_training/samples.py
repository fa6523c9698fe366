"""Validation of the samples of a fit: images, landmarks and weights."""

from dataclasses import dataclass

import numpy as np

from skwing._utils.boxes import are_whole_images, without_box
from skwing._utils.landmarks import as_points, check_reach, named_numbers, numbered, one_sample_hint
from skwing._utils.warnings import warn_of_data
from skwing.images import BoxedImages, as_boxed_images
from skwing.metrics import nme
from skwing.metrics._errors import check_measurable


@dataclass(frozen=True)
class Samples:
    """Validated samples for training or validation.

    Attributes
    ----------
    data : BoxedImages
    points : float64 array of shape (n, L, 2)
        In image pixels, NaN = missing.
    weights : float32 array of shape (n,) or None
        Normalised to a maximum of 1.
    """

    data: BoxedImages
    points: np.ndarray
    weights: np.ndarray | None = None

    def __len__(self):
        return len(self.data)

    def __getitem__(self, rows):
        weights = None if self.weights is None else self.weights[rows]
        return Samples(self.data[rows], self.points[rows], weights)

    @property
    def repeats(self):
        """Number of draws of each sample per epoch, an int array of shape (n,)."""
        if self.data.repeats is None:
            return np.broadcast_to(np.int64(1), len(self))  # takes no memory
        return self.data.repeats


def check_samples(X, y, sample_weight=None, n_landmarks=None, name="y"):
    """Validate user input and convert it to `Samples`; errors name what is invalid."""
    data, X_name = as_boxed_images(X), name.replace("y", "X", 1)
    if len(data) == 0:
        raise ValueError(f"{X_name} has 0 samples: at least one image is needed")
    if y is None:
        raise ValueError(f"requires {name} to be passed, but the target {name} is None")
    points = as_points(y, n_landmarks, name)
    check_reach(points, name)
    if len(points) != len(data):
        raise ValueError(
            f"{X_name} has {len(data)} samples, but {name} has {len(points)}; expected one row for "
            f"each image.{one_sample_hint(y)}"
        )
    weights = None if sample_weight is None else _check_weights(sample_weight, len(data))
    return Samples(data, points, weights)


def _check_weights(sample_weight, n_samples):
    weights = named_numbers(sample_weight, "sample_weight")
    if weights.ndim == 0:
        weights = np.full(n_samples, weights)
    if weights.shape != (n_samples,):
        raise ValueError(f"sample_weight has shape {weights.shape}, expected ({n_samples},)")
    wrong = ~np.isfinite(weights) | (weights < 0)
    if wrong.any():
        i = int(np.flatnonzero(wrong)[0])
        raise ValueError(f"sample_weight of sample {i} is {weights[i]}, expected a number >= 0")
    if not weights.any():
        raise ValueError("sample_weight is zero for every sample; at least one must be positive")
    return (weights / weights.max()).astype(np.float32)


def drop_unboxed(samples, name="X"):
    """Drop samples with missing boxes, with a warning; an error if all are missing.

    If no boxes were passed at all, whole images are used and no sample is dropped.
    """
    missing = samples.data.missing_boxes
    if not missing.any():
        return samples
    if missing.all():
        raise ValueError(
            f"none of the {len(samples)} samples of {name} has a box: all are NaN. To use whole "
            f"images, pass {name} without boxes, such as {name}.with_boxes(None)"
        )
    warn_of_data(
        f"{without_box(samples.data, missing)} no box (NaN) in {name}: such samples are ignored. "
        "Set their boxes, for example with skwing.boxes.landmark_boxes, or to (0, 0, width, "
        f"height) for the whole image; or drop these samples, {name}[~{name}.missing_boxes]."
    )
    return samples[~missing]


def drop_unused_samples(samples):
    """Drop samples without a box, a known landmark, repeats or weight; an error if none is left.

    They would not contribute to the loss. Dropping them also excludes them from the mean shape,
    from the draws and from validation.
    """
    samples = drop_unboxed(samples)
    counts = samples.repeats > 0
    if not counts.any():
        raise ValueError("the repeats of X are zero for every sample: none would be drawn")
    if samples.weights is not None:
        counts &= samples.weights > 0
    if not counts.any():
        raise ValueError("no sample of X has both repeats and a sample_weight above zero")
    return drop_unlabelled(samples if counts.all() else samples[counts])


def drop_unlabelled(samples):
    """Drop samples without any known landmark, with a warning.

    If all landmarks of all samples are missing, none is dropped: `check_learnable` raises.
    """
    kept = labelled(samples)
    if len(kept) < len(samples):
        first = int(np.isnan(samples.points).any(-1).all(-1).argmax())
        warn_of_data(
            f"{len(samples) - len(kept)} of {len(samples)} samples, the first is "
            f"{samples.data.describe(first)}, have no known landmark (NaN): they are left out of "
            "training. Select them by np.isnan(y).all(axis=(1, 2)) to predict them."
        )
    return kept


def labelled(samples):
    """Samples with a known landmark, or all if there are none."""
    missing = np.isnan(samples.points).any(-1).all(-1)
    return samples[~missing] if missing.any() and not missing.all() else samples


def check_learnable(train, held_out, schema):
    """Check that each landmark is known in some sample, and that errors can be computed.

    Raises
    ------
    ValueError
        If landmarks are missing in all samples, or all held-out errors would be NaN.
    """
    seen = ~np.isnan(train.points).any(-1)
    if not seen.any(0).all():
        lost = numbered(np.flatnonzero(~seen.any(0)))
        raise ValueError(f"{lost} are missing in every sample: they cannot be learned")
    if held_out is not None:
        errors = nme(held_out.points, held_out.points, schema=schema, per_sample=True)
        check_measurable(errors, "held-out samples")


def warn_of_other_boxes(train, chips, held_out, held_out_chips):
    """Warn of whole images in place of boxes in only one of X and X_val."""
    parts = {"X": (train.data, chips), "X_val": (held_out.data, held_out_chips)}
    boxed = {
        name: data.has_boxes and not are_whole_images(data.boxes, own.image_sizes)
        for name, (data, own) in parts.items()
    }
    if boxed["X"] != boxed["X_val"]:
        name, other = sorted(boxed, key=boxed.get)
        warn_of_data(
            f"{other} has boxes, but {name} has none: each whole image is used as the box of an "
            "object, so that validation errors are wrong unless these images are cropped like the "
            f"boxes. {name}.with_boxes sets boxes"
        )


def check_held_out(X_val, y_val, n_landmarks):
    """Validate the held-out samples that the user passed; None if there are none."""
    if (X_val is None) != (y_val is None):
        raise ValueError("X_val and y_val must be passed together: only one of them was passed")
    if X_val is None:
        return None
    held_out = check_samples(X_val, y_val, None, n_landmarks, name="y_val")
    return drop_unboxed(held_out, "X_val")


def split_samples(samples, fraction, rng):
    """Split samples at random into training and validation samples; an error if there are too few.

    Samples of the same image (:meth:`BoxedImages.by_image`) are not separated; otherwise,
    validation errors would be too optimistic.
    """
    n_held_out = round(len(samples) * fraction)
    if not 0 < n_held_out < len(samples):
        raise ValueError(
            f"validation_fraction={fraction} of {len(samples)} samples leaves "
            f"{len(samples) - n_held_out} to train on and {n_held_out} to validate on; at least "
            "one of each is required"
        )
    images = samples.data.by_image()
    if len(images) < 2:
        raise ValueError(
            f"all {len(samples)} samples are of one image, and samples of one image are not "
            "divided between training and validation: pass X_val and y_val"
        )
    images = [images[i] for i in rng.permutation(len(images))]
    n_so_far = np.cumsum([len(rows) for rows in images])[:-1]
    n_images = 1 + int(np.argmin(np.abs(n_so_far - n_held_out)))
    held_out, kept = np.concatenate(images[:n_images]), np.concatenate(images[n_images:])
    return samples[np.sort(kept)], samples[np.sort(held_out)]
