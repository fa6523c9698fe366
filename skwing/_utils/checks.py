"""What a setting may be: constraints, declared in tables, and the check that names the setting.

A table maps the names of parameters to constraints. Estimators have one as their attribute
`_constraints`, functions beside their definition. A constraint describes itself as an error
message does, and turns what it accepts into plain Python values: numbers of numpy and arrays
without dimensions are numbers as well.
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

__all__ = [
    "LARGEST_COUNT",
    "VERBOSE",
    "By",
    "Choice",
    "Either",
    "Flag",
    "Number",
    "Only",
    "Pair",
    "PerStage",
    "Seed",
    "check_choice",
    "check_flag",
    "check_number",
    "check_table",
    "count",
    "told",
]

LARGEST_COUNT = 2**31 - 1
_MOST_TOLD = 60  # characters of a value that a message shows


class Refused(Exception):
    """A constraint does not hold."""


def told(value: object) -> str:
    """A value as error messages show it: its repr, if there is one, cut to one short line.

    Examples
    --------
    >>> from skwing._utils.checks import told
    >>> told("many"), len(told(10**400))
    ("'many'", 60)
    """
    try:
        text = repr(value)
    except Exception:  # integers of thousands of digits have none
        text = f"a value of type {type(value).__name__}"
    text = " ".join(text.split())
    return text if len(text) <= _MOST_TOLD else f"{text[: _MOST_TOLD - 3]}..."


class Constraint:
    """What a setting may be.

    A subclass says so by `__str__` and `clean`, which gives the value as a plain Python one
    and raises `Refused` for all others.
    """

    def clean(self, value: Any) -> Any:
        """The value as a plain one."""
        raise NotImplementedError

    def check(self, value: Any, name: str) -> Any:
        """The value as a plain one; a ValueError names the setting."""
        try:
            return self.clean(value)
        except Refused:
            between = ";" if isinstance(self, Choice) else ","  # choices have commas themselves
            raise ValueError(f"{name} must be {self}{between} got {told(value)}") from None


@dataclass(frozen=True)
class Number(Constraint):
    """A finite number in a range; bool is not a number here.

    `ends` says by "[" or "(" and "]" or ")" whether `low` and `high` belong to the range.
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
    """An integer that counts something."""
    return Number(low, high, integer=True)


@dataclass(frozen=True)
class Flag(Constraint):
    """True or False: any text, "no" as well, would count as true."""

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
        # An array would not even compare.
        comparable = value is None or isinstance(value, (str, numbers.Real))
        if not comparable or isinstance(value, (bool, np.bool_)) or value not in self.choices:
            raise Refused
        return self.choices[self.choices.index(value)]


@dataclass(frozen=True)
class Only(Constraint):
    """One text or None."""

    value: Any

    def __str__(self):
        return repr(self.value)

    def clean(self, value):
        # An array would not even compare.
        if (value is None or isinstance(value, str)) and value == self.value:
            return self.value
        raise Refused


class Either(Constraint):
    """What one of several constraints accepts."""

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
    """One value for every stage of a cascade, or a sequence of one a stage."""

    part: Constraint

    def __str__(self):
        return f"{self.part}, or a sequence of one for each stage"

    def check(self, value, name):
        if isinstance(value, np.ndarray) and value.ndim == 1:
            value = list(value)
        if not isinstance(value, (list, tuple)):
            return self.part.check(value, name)
        if not value:
            raise ValueError(f"{name} is empty: give one value for all stages, or one for each")
        cleaned = []
        for stage, own in enumerate(value, start=1):
            try:
                cleaned.append(self.part.clean(own))
            except Refused:
                raise ValueError(
                    f"{name} must be {self.part}, got {told(own)} for stage {stage}"
                ) from None
        return tuple(cleaned)


@dataclass(frozen=True)
class Pair(Constraint):
    """Two values; a single one stands for both."""

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
    """What scikit-learn takes as `random_state`."""

    def __str__(self):
        return f"an integer in [0, {2**32 - 1}], a numpy.random.RandomState or None"

    def clean(self, value):
        if value is None or isinstance(value, np.random.RandomState) or value is np.random:
            return value
        return Number(0, 2**32 - 1, integer=True).clean(value)


@dataclass(frozen=True)
class By(Constraint):
    """What a function accepts, whose errors name the setting."""

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
    """Check all settings of a table.

    Parameters
    ----------
    table : dict
        A constraint for each name.
    values : object or dict
        Has an attribute, or a key, for each name.
    prefix : str, default=""
        Stands before the names in errors, such as "augmentation.".

    Returns
    -------
    settings : SimpleNamespace
        Has an attribute for each name, a plain Python value where there is one.

    Raises
    ------
    ValueError, TypeError
        Names the first setting that is wrong, what was found and what is expected.

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
    """A number in a range as a plain one, see :class:`Number`."""
    return Number(low, high, ends, integer).check(value, name)


def check_flag(value: object, name: str) -> bool:
    """True or False as a plain bool."""
    return Flag().check(value, name)


def check_choice(value: object, name: str, choices: Iterable[Any]) -> Any:
    """One of a few names, numbers or None."""
    return Choice(tuple(choices)).check(value, name)
