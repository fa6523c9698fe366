"""Warnings that point at the line of the user's that they are about."""

from __future__ import annotations

import contextlib
import sys
import warnings
from pathlib import Path

import sklearn

from skwing.exceptions import DataWarning

__all__ = ["warn_caller", "warn_of_data"]

# The package itself, and what its methods are wrapped in.
_INSIDE = (
    str(Path(__file__).parents[1]),
    str(Path(sklearn.__file__).parent / "callback"),
    contextlib.__file__,
)


def warn_of_data(message: str) -> None:
    """Give a :class:`skwing.exceptions.DataWarning`, shown where skwing was called."""
    warn_caller(message, DataWarning)


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Give a warning that is shown where skwing was called."""
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_INSIDE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)
