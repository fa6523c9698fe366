"""Warnings with the location of the user's call."""

from __future__ import annotations

import contextlib
import sys
import warnings
from contextvars import ContextVar
from pathlib import Path
from typing import TYPE_CHECKING

import sklearn

from skwing.exceptions import DataWarning

if TYPE_CHECKING:
    from collections.abc import Iterator

_SILENT = ContextVar("_SILENT", default=False)

# Files whose frames are skipped: the package, and modules that wrap its methods.
_INSIDE = (
    str(Path(__file__).parents[1]),
    str(Path(sklearn.__file__).parent / "callback"),
    contextlib.__file__,
)
# Its decorators, such as torch.no_grad; torch is not imported for this.
_OF_TORCH = str(Path("torch", "utils", "_contextlib.py"))


def warn_of_data(message: str) -> None:
    """Emit a :class:`skwing.exceptions.DataWarning` at the location of the user's call."""
    warn_caller(message, DataWarning)


def warn_caller(message: str, category: type[Warning] = UserWarning) -> None:
    """Emit a warning at the location of the user's call."""
    if _SILENT.get():
        return
    level, frame = 1, sys._getframe(0)
    while frame.f_back is not None and _is_inside(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, category, stacklevel=level)


@contextlib.contextmanager
def silent() -> Iterator[None]:
    """Context manager without warnings, for processes whose warnings another one gives too."""
    token = _SILENT.set(True)
    try:
        yield
    finally:
        _SILENT.reset(token)


def _is_inside(file: str) -> bool:
    return file.startswith(_INSIDE) or file.endswith(_OF_TORCH)
