"""Settings that are checked: a number in a range, yes or no, one of a few."""

import math
import numbers

import numpy as np


def check_number(value, name, low, high=math.inf, *, ends="[]", integer=False):
    """Check that a setting is a finite number in a range; bool is not a number here.

    `ends` says by "[" or "(" and "]" or ")" whether `low` and `high` belong to the range.
    """
    kind = numbers.Integral if integer else numbers.Real
    if isinstance(value, kind) and not isinstance(value, bool) and math.isfinite(value):
        above = value >= low if ends[0] == "[" else value > low
        below = value <= high if ends[1] == "]" else value < high
        if above and below:
            return value
    what = "an integer" if integer else "a number"
    close = ends[1] if math.isfinite(high) else ")"
    raise ValueError(f"{name} must be {what} in {ends[0]}{low}, {high}{close}, got {value!r}")


def check_flag(value, name):
    """Check that a setting is True or False: any text, "no" too, would count as true."""
    if not isinstance(value, (bool, np.bool_)):
        raise ValueError(f"{name} must be True or False, got {value!r}")
    return bool(value)


def check_choice(value, name, choices):
    """Check that a setting is one of a few names, numbers or None."""
    # An array would not even compare.
    if not (value is None or np.isscalar(value)) or value not in choices:
        listed = ", ".join(map(repr, choices))
        raise ValueError(f"{name} must be one of {listed}; got {value!r}.")
    return value
