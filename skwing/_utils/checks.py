"""Validation of parameters by tables of constraints.

A table maps names of parameters to constraints. Estimators have a table as their attribute
`_constraints`, functions next to their definition. `str(constraint)` describes it for error
messages. A constraint converts accepted values to plain Python values; numpy scalars and
zero-dimensional arrays are accepted as numbers.
"""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

LARGEST_COUNT = 2**31 - 1
_MOST_TOLD = 60  # maximum number of characters of a value in a message


class Refused(Exception):
    """The value does not fulfil a constraint."""


def told(value: object) -> str:
    """Representation of a value for error messages, truncated to one short line.

    Examples
    --------
    >>> from skwing._utils.checks import told
    >>> told("many"), len(told(10**400))
    ("'many'", 60)
    """
    try:
        text = repr(value)
    except Exception:  # repr fails for integers with thousands of digits
        text = f"a value of type {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= _MOST_TOLD else f"{text[: _MOST_TOLD - 3]}..."


class Constraint:
    """Base class of constraints.

    Subclasses define `__str__`, the description, and `clean`, which returns an accepted value
    as a plain Python value and raises `Refused` for others.
    """

    def clean(self, value: Any) -> Any:
        """Convert a value to a plain Python value, or raise `Refused`."""
        raise NotImplementedError

    def check(self, value: Any, name: str) -> Any:
        """Convert a value to a plain Python value, or raise a ValueError with the name."""
        try:
            return self.clean(value)
        except Refused:
            between = ";" if isinstance(self, Choice) else ","  # choices contain commas
            raise ValueError(f"{name} must be {self}{between} got {told(value)}") from None


@dataclass(frozen=True)
class Number(Constraint):
    """A finite number in a range; bool is not accepted.

    `ends` consists of "[" or "(" and "]" or ")", for closed or open ends of the range.
    """

    low: float = -math.inf
    high: float = math.inf
    ends: str = "[]"
    integer: bool = False

    def __str__(self):
        opening = self.ends[0] if math.isfinite(self.low) else "("
        closing = self.ends[1] if math.isfinite(self.high) else ")"
        what = "an integer" if self.integer else "a number"
        return f"{what} in {opening}{self.low}, {self.high}{closing}"

    def clean(self, value):
        value = _without_dimensions(value)
        kind = numbers.Integral if self.integer else numbers.Real
        if not isinstance(value, kind) or isinstance(value, bool):
            raise Refused
        try:
            value = int(value) if self.integer else float(value)
        except (OverflowError, ValueError):
            raise Refused from None
        above = value >= self.low if self.ends[0] == "[" else value > self.low
        below = value <= self.high if self.ends[1] == "]" else value < self.high
        if not (above and below and (self.integer or math.isfinite(value))):
            raise Refused
        return value


def count(low: int = 1, high: int = LARGEST_COUNT) -> Number:
    """Constraint for an integer number of things."""
    return Number(low, high, integer=True)


@dataclass(frozen=True)
class Flag(Constraint):
    """True or False; other values such as "no", which is truthy, are not accepted."""

    def __str__(self):
        return "True or False"

    def clean(self, value):
        value = _without_dimensions(value)
        if not isinstance(value, (bool, np.bool_)):
            raise Refused
        return bool(value)


@dataclass(frozen=True)
class Choice(Constraint):
    """One of a few names, numbers or None."""

    choices: tuple

    def __str__(self):
        return f"one of {', '.join(map(repr, self.choices))}"

    def clean(self, value):
        # Comparisons with arrays would fail.
        comparable = value is None or isinstance(value, (str, numbers.Real))
        if not comparable or isinstance(value, (bool, np.bool_)) or value not in self.choices:
            raise Refused
        return self.choices[self.choices.index(value)]


@dataclass(frozen=True)
class Only(Constraint):
    """A single string, or None."""

    value: Any

    def __str__(self):
        return repr(self.value)

    def clean(self, value):
        # Comparisons with arrays would fail.
        if (value is None or isinstance(value, str)) and value == self.value:
            return self.value
        raise Refused


class Either(Constraint):
    """Accepts the values of several constraints."""

    def __init__(self, *parts):
        self.parts = parts

    def __str__(self):
        return " or ".join(map(str, self.parts))

    def clean(self, value):
        for part in self.parts:
            try:
                return part.clean(value)
            except Refused:
                continue
        raise Refused


@dataclass(frozen=True)
class PerStage(Constraint):
    """One value for all stages of a cascade, or a sequence with one value per stage."""

    part: Constraint

    def __str__(self):
        return f"{self.part}, or a sequence of one for each stage"

    def check(self, value, name):
        if isinstance(value, np.ndarray) and value.ndim == 1:
            value = list(value)
        if not isinstance(value, (list, tuple)):
            return self.part.check(value, name)
        if not value:
            raise ValueError(f"{name} is empty: pass one value for all stages, or one for each")
        cleaned = []
        for stage, own in enumerate(value, start=1):
            try:
                cleaned.append(self.part.clean(own))
            except Refused:
                raise ValueError(
                    f"{name} must be {self.part}, got {told(own)} for stage {stage}"
                ) from None
        return tuple(cleaned)


def per_stage(value: Any, n_stages: int) -> list[Any]:
    """Convert a parameter to a list with one value per stage.

    The last value of a tuple or list is repeated, and extra values are ignored.
    """
    if not isinstance(value, (list, tuple)):
        return [value] * n_stages
    value = list(value)
    return (value + value[-1:] * n_stages)[:n_stages]


@dataclass(frozen=True)
class Pair(Constraint):
    """Two values, or a single value for both."""

    part: Constraint

    def __str__(self):
        return f"{self.part}, or two of them"

    def clean(self, value):
        value = _without_dimensions(value)
        values = tuple(value) if isinstance(value, (tuple, list, np.ndarray)) else (value, value)
        if len(values) != 2:
            raise Refused
        return tuple(self.part.clean(value) for value in values)


@dataclass(frozen=True)
class Seed(Constraint):
    """A `random_state` as in scikit-learn."""

    def __str__(self):
        return f"an integer in [0, {2**32 - 1}], a numpy.random.RandomState or None"

    def clean(self, value):
        if value is None or isinstance(value, np.random.RandomState) or value is np.random:
            return value
        return Number(0, 2**32 - 1, integer=True).clean(value)


@dataclass(frozen=True)
class By(Constraint):
    """Validation by a function, whose errors name the parameter."""

    function: Any

    def __str__(self):
        return f"what {self.function.__name__} accepts"

    def check(self, value, name):
        self.function(value)
        return value


VERBOSE = Either(count(0), Flag())


def _without_dimensions(value):
    return value[()] if isinstance(value, np.ndarray) and value.ndim == 0 else value


def check_table(
    table: Mapping[str, Constraint], values: object, prefix: str = ""
) -> SimpleNamespace:
    """Validate all parameters of a table.

    Parameters
    ----------
    table : dict
        A constraint for each name.
    values : object or dict
        Values as attributes or items.
    prefix : str, default=""
        Prefix of the names in error messages, such as "augmentation.".

    Returns
    -------
    settings : SimpleNamespace
        Converted values as attributes.

    Raises
    ------
    ValueError, TypeError
        If a value is invalid. The message names the parameter, the value and the
        constraint.

    Examples
    --------
    >>> from skwing._utils.checks import Flag, check_table, count
    >>> table = {"n_bins": count(), "absolute": Flag()}
    >>> check_table(table, {"n_bins": 9, "absolute": True})
    namespace(n_bins=9, absolute=True)
    >>> check_table(table, {"n_bins": 9, "absolute": "no"})
    Traceback (most recent call last):
    ...
    ValueError: absolute must be True or False, got 'no'
    """
    if not isinstance(values, dict):
        values = {name: getattr(values, name) for name in table}
    return SimpleNamespace(
        **{
            name: constraint.check(values[name], f"{prefix}{name}")
            for name, constraint in table.items()
        }
    )


def check_number(
    value: object,
    name: str,
    low: float = -math.inf,
    high: float = math.inf,
    *,
    ends: str = "[]",
    integer: bool = False,
) -> Any:
    """Validate a number in a range, see :class:`Number`."""
    return Number(low, high, ends, integer).check(value, name)


def check_flag(value: object, name: str) -> bool:
    """Validate a bool."""
    return Flag().check(value, name)


def check_choice(value: object, name: str, choices: Iterable[Any]) -> Any:
    """Validate a choice of names, numbers or None."""
    return Choice(tuple(choices)).check(value, name)
