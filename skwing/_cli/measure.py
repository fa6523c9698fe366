"""Errors of a model on annotated images, with their unit in words."""

import math
from dataclasses import dataclass

import numpy as np

from skwing._utils.unwrap import schema_of
from skwing.display._inputs import length_in_words, sample_errors
from skwing.metrics import ced_auc, failure_rate, landmark_report
from skwing.metrics._errors import check_measurable
from skwing.metrics._report import PIXELS
from skwing.schema import SCHEMAS


@dataclass(frozen=True)
class Measure:
    """What errors are measured in: a normalising length, or a unit of length.

    Attributes
    ----------
    normalizer : str
    schema : LandmarkSchema, str or None
    unit : str or None
        Pixels, or a unit of `scale`; None for percent of the normalising length.
    scale : float, ndarray of shape (n_samples,) or None
        Length of a pixel in `unit`; None for pixels.
    """

    normalizer: str = "auto"
    schema: object = None
    unit: str | None = None
    scale: object = None

    @classmethod
    def of(cls, args, model, data, columns=None):
        """Measure that the arguments of a command ask for.

        `columns` are the numbers of each sample by the names of the file.
        """
        schema = schema_of(model, data)
        if args.unit is None:
            if args.scale is not None:
                raise ValueError("--scale S requires --unit, such as --unit mm")
            check_normalizer(args.normalizer, schema, data.has_boxes)
            return cls(args.normalizer, schema)
        if args.normalizer != "auto":
            raise ValueError("--unit and --normalizer exclude each other")
        if args.unit in PIXELS:
            if args.scale is not None:
                raise ValueError(f"--scale S needs a unit such as --unit mm; {args.unit} has none")
            return cls(schema=schema, unit=args.unit)
        if isinstance(args.scale, float):
            return cls(schema=schema, unit=args.unit, scale=args.scale)
        scales = (columns or {}).get("scale" if args.scale is None else args.scale)
        if scales is None and args.scale is not None:
            raise ValueError(
                f"--scale {args.scale}: expected a number above 0, or the name of a column of DATA "
                f"with numbers; there are: {', '.join(columns or ()) or 'none'}"
            )
        if scales is None or np.isnan(scales).all():
            raise ValueError(
                f"--unit {args.unit} requires --scale S, {args.unit} per pixel: a number, or a "
                "column of DATA"
            )
        return cls(schema=schema, unit=args.unit, scale=scales)

    def of_pixels(self, errors):
        """Errors in the unit, of errors in pixels."""
        return errors if self.scale is None else errors * np.asarray(self.scale)


def columns_of(dataset, rows):
    """Numbers of samples that a file states beside landmarks and boxes, by their names."""
    own = {"data", "target", "groups", "names", "visibility"}
    return {
        name: values[rows].astype(np.float64)
        for name, values in dataset.items()
        if name not in own
        and isinstance(values, np.ndarray)
        and values.shape == (len(dataset.data),)
        and values.dtype.kind in "iuf"
    }


def names_of_normalizers(schema=None):
    """Names of normalising lengths, of one schema or of all."""
    schemas = SCHEMAS.values() if schema is None else [schema]
    return ["auto", "box", *sorted({name for one in schemas for name in one.normalizers})]


def check_normalizer(name, schema, has_boxes):
    """Check before the work that errors can be divided by a length."""
    known = names_of_normalizers(SCHEMAS.get(schema, schema) if isinstance(schema, str) else schema)
    if name not in known:
        raise ValueError(f"unknown normaliser {name!r}; one of {', '.join(known)}")
    if name == "box" and not has_boxes:
        raise ValueError("--normalizer box requires boxes, and DATA has none")
    if schema is None and name not in ("auto", "box"):
        raise ValueError(
            f"--normalizer {name} is defined by a schema, and neither DATA nor the model has one: "
            "add --schema, such as --schema ibug68"
        )


def digits_of(errors, unit):
    """Decimals of printed errors: two, or more for a unit in which errors are small.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing._cli.measure import digits_of
    >>> digits_of(np.array([0.018, 0.02]), "mm"), digits_of(np.array([18.0]), "um")
    (3, 2)
    """
    typical = np.nanmedian(errors)
    if unit in PIXELS or unit.startswith("%") or not 0 < typical < 1:
        return 2
    return min(max(2, 1 - math.floor(math.log10(typical))), 6)


def print_errors(true, points, data, measure):
    """Print statistics of the errors; return the error of each sample."""
    normalizer = measure.normalizer if measure.unit is None else 1.0
    boxes = data.boxes if data.has_boxes else None
    errors, length = sample_errors(true, points, normalizer, measure.schema, boxes)
    if measure.unit is not None:
        name, errors, unit = "mean error", measure.of_pixels(errors), measure.unit
    elif length == "pixels":
        name, unit = "mean error", "px"
    else:
        name, errors, unit = "mean error (NME)", 100 * errors, f"% of {length_in_words(length)}"
    known = errors[check_measurable(errors, "samples")]
    digits = digits_of(known, unit)
    print(f"samples                      {len(known):8d} of {len(errors)}")
    print(f"{name:29}{known.mean():8.{digits}f} {unit}")
    print(f"median error                 {np.median(known):8.{digits}f} {unit}")
    print(f"95 % of samples are below    {np.quantile(known, 0.95):8.{digits}f} {unit}")
    if unit.startswith("%"):
        print(f"samples above 10 %           {100 * failure_rate(known, 10):8.2f} %")
        print(f"area under the curve to 10 % {100 * ced_auc(known, 10):8.2f} %")
    return errors


def print_landmarks(true, points, data, measure):
    """Print the errors of each landmark."""
    if measure.unit is not None:
        pixels, _ = sample_errors(true, points, 1.0, measure.schema, None)
        digits = digits_of(measure.of_pixels(pixels), measure.unit)
        told = {"unit": measure.unit, "scale": measure.scale, "digits": digits}
        print()
    else:
        boxes = data.boxes if data.has_boxes else None
        told = {"normalizer": measure.normalizer, "boxes": boxes}
        _, length = sample_errors(true, points, measure.normalizer, measure.schema, boxes)
        if length == "pixels":
            told, what = {}, "pixels"
        else:
            what = f"% of {length_in_words(length)}"
        print(f"\nerrors of the landmarks in {what}:")
    print(landmark_report(true, points, schema=measure.schema, **told))
