"""Text files, and numbers and names in them."""

from __future__ import annotations

import math
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.files import there_is_no

if TYPE_CHECKING:
    from collections.abc import Container
    from typing import Any

    from skwing._utils.types import FilePath

_DIGITS = re.compile(r"([0-9]+)")


def read_text(path: FilePath) -> str:
    r"""Read a UTF-8 file, with or without byte order mark; line ends are converted to ``\n``.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the path is a folder, or the file has another encoding or contains NUL bytes.
    """
    try:
        raw = Path(path).read_bytes()
    except FileNotFoundError:
        raise FileNotFoundError(f"{there_is_no(f'file {path}', path)}.") from None
    except (IsADirectoryError, PermissionError, ValueError) as error:
        what = "this is a folder" if os.path.isdir(path) else f"the file cannot be read: {error}"
        raise ValueError(f"{path}: {what}, expected a text file.") from None
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = _line_of(raw, error.start)
        raise ValueError(
            f"{path}, line {line}: not UTF-8 text (byte 0x{raw[error.start]:02x}); save the file "
            "as UTF-8."
        ) from None
    if "\0" in text:
        line = _line_of(raw, raw.index(b"\0"))
        raise ValueError(f"{path}, line {line}: not UTF-8 text: it contains NUL bytes.")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _line_of(raw: bytes, position: int) -> int:
    before = raw[:position].replace(b"\r\n", b"\n")
    return before.count(b"\n") + before.count(b"\r") + 1


def as_number(text: Any, where: str, *, missing: Container[str] = ()) -> float:
    """Convert text, or a number from a JSON parser, to a finite number.

    Parameters
    ----------
    text : str, int or float
    where : str
        Location such as ``"labels.csv, line 3"``, for error messages.
    missing : container of str, default=()
        Texts that mark a missing value.

    Returns
    -------
    number : float
        NaN for a missing value.

    Raises
    ------
    ValueError
        If the text is not a finite number. "nan" is accepted only if it is in `missing`.

    Examples
    --------
    >>> from skwing.datasets._text import as_number
    >>> as_number("12.5", "line 3"), as_number("-", "line 3", missing=("-", ""))
    (12.5, nan)
    """
    if isinstance(text, str):
        text = text.strip()
    if text in missing:
        return math.nan
    # float() accepts 1_000 and digits of all scripts, which annotation tools do not write.
    plain = text.isascii() and "_" not in text if isinstance(text, str) else _is_real(text)
    try:
        number = float(text) if plain else math.nan
    except (ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"{where}: found {text!r:.60}, expected a number")
    return number


def _is_real(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)


def number_text(number: float) -> str:
    """Shortest text that reads back as the same number, without decimal point for integers.

    Examples
    --------
    >>> from skwing.datasets._text import number_text
    >>> number_text(12.0), number_text(0.1), number_text(-0.0)
    ('12', '0.1', '-0.0')
    """
    number = float(number)
    negative_zero = number == 0 and math.copysign(1, number) < 0
    if number.is_integer() and abs(number) < 2**53 and not negative_zero:
        return str(int(number))
    return repr(number)


def natural_key(name: str) -> tuple[tuple[Any, ...], str]:
    """Key for natural sorting of names, in which numbers are compared by value.

    Examples
    --------
    >>> from skwing.datasets._text import natural_key
    >>> sorted(["p10", "p2", "p1"], key=natural_key)
    ['p1', 'p2', 'p10']
    """
    # Compare numbers by length, then by digits, because int() rejects very long numbers. Texts
    # and numbers alternate, so that compared parts always have the same type.
    parts = [
        (len(part.lstrip("0")), part.lstrip("0")) if i % 2 else part
        for i, part in enumerate(_DIGITS.split(name))
    ]
    return tuple(parts), name
