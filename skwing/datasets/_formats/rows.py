"""Rows of a text table, and the numbers in them, with the line that each stands in."""

import csv
import itertools
import math
import os
import re
from array import array

import numpy as np

from skwing.datasets._common import IMAGE_SUFFIXES, as_number, read_text

__all__ = [
    "Numbers",
    "as_column",
    "check_name",
    "is_missing",
    "is_number",
    "read_rows",
    "read_table",
    "split_rows",
]

MISSING = frozenset(["", "nan", "na", "n/a", "#n/a", "null", "none", "<na>"])
LONGEST_NAME = 4096  # characters of a column's or an image's name; file systems allow no more

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")


def is_missing(text):
    """Whether a cell says that there is no value: empty, NaN, NA, null, in any case."""
    return len(text) < 16 and text.strip().lower() in MISSING


def is_number(text):
    """Whether a cell holds a number, finite or not."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_name(name, where):
    """Name of an image as it stands in a file: not empty, not absurdly long."""
    if not name.strip() or len(name) > LONGEST_NAME:
        raise ValueError(f"{where}: found {name!r:.60} for the image, expected the path of a file.")
    return name


def _decoded(path, encoding):
    """Text of the file, its lines ended by newlines."""
    if encoding is None:
        return read_text(path)
    if not os.path.isfile(path):
        return read_text(path)  # says what is wrong
    try:
        with open(path, encoding=encoding) as file:
            return file.read()
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"{path}: cannot be read as {encoding!r}: {error}") from None


def _separator(line):
    """Separator that parts the first line into most fields."""
    found = {sep: len(next(csv.reader([line], delimiter=sep), ())) for sep in "\t;,"}
    best = max(found, key=found.get)
    return " " if found[best] < 2 and len(line.split()) > 2 else best


def split_rows(text, sep, path):
    """Fields of each row that is not empty, and the number of its first line.

    Yields
    ------
    line : int
    fields : list of str
    """
    lines = text.split("\n")
    if sep == " ":
        records = enumerate((line.split() for line in lines), 1)
    elif '"' not in text:  # twice as fast, and a field may have any length
        records = enumerate((line.split(sep) for line in lines), 1)
    else:
        records = _quoted(lines, sep, path)
    return ((line, fields) for line, fields in records if any(fields))


def _quoted(lines, sep, path):
    reader = csv.reader((line + "\n" for line in lines), delimiter=sep, strict=True)
    while True:
        line = reader.line_num + 1
        try:
            fields = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise ValueError(
                f"{path}, line {line}: this row cannot be read ({error}); is a quote opened and "
                "not closed?"
            ) from None
        yield line, fields


def read_rows(path, sep=None, encoding=None):
    """Rows of a file, as from :func:`split_rows`; `sep` None finds the separator."""
    if sep is not None and (not isinstance(sep, str) or len(sep) != 1 or sep in '"\n\r'):
        raise ValueError(f"sep must be one character, such as ',', ';' or a tab; got {sep!r}.")
    text = _decoded(path, encoding)
    if sep is None:
        # Any first line will do: a long one is not cut into fields just for this.
        lines = (line for line in text[:100_000].split("\n") if line.strip())
        first = next(lines, "")
        sep = _separator(next(lines, first) if _is_count(first.split()) else first)
    return split_rows(text, sep, path)


def _is_count(fields):
    """Whether the first row only says how many rows there are."""
    return len(fields) == 1 and bool(_WHOLE.fullmatch(fields[0].strip()))


def _has_header(fields):
    """Whether a first row names columns: no number in it, or they just count columns."""
    if any(field.strip().lower().endswith(IMAGE_SUFFIXES) for field in fields):
        return False
    numbers = [field.strip() for field in fields if is_number(field)]
    counted = [[str(i) for i in range(start, start + len(numbers))] for start in (0, 1)]
    return not numbers or numbers in counted


def read_table(path, sep=None, encoding=None, header=None):
    """Column names and rows of a table.

    Parameters
    ----------
    path : str or os.PathLike
    sep : str, default=None
    encoding : str, default=None
    header : bool, default=None
        Whether the first row names the columns; None finds out.

    Returns
    -------
    names : list of str
        Without a header "", "0", "1", ... or "0", "1", ... where the first cell is a number.
    rows : iterator of (line, fields)
        All of as many fields as there are names. The first is in it even if it was looked at.
    sample : list of str
        Fields of the first row of data.

    Raises
    ------
    ValueError
        If there is no row of data or a row has another number of fields.
    """
    rows = read_rows(path, sep, encoding)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{path}: the file is empty, expected a table.")
    if header is None and _is_count(first[1]):
        first = next(rows, first)
    if _has_header(first[1]) if header is None else header:
        names = [name.strip() for name in first[1]]
        if longest := [name for name in names if len(name) > LONGEST_NAME]:
            raise ValueError(
                f"{path}, line {first[0]}: found {longest[0]!r:.60}... of {len(longest[0])} "
                "characters, expected the name of a column."
            )
        first = next(rows, None)
        if first is None:
            raise ValueError(f"{path}: the file has a header and no row of data.")
        if len(first[1]) == len(names) + 1 and first[1][0].lower().endswith(IMAGE_SUFFIXES):
            names = ["", *names]  # of the columns behind the image
    else:
        names = [str(i) for i in range(len(first[1]))]
        if not is_number(first[1][0]):
            names = ["", *names[:-1]]
    _check_width(first, len(names), path)
    return names, _checked_widths(itertools.chain([first], rows), len(names), path), first[1]


def _check_width(row, width, path):
    line, fields = row
    if len(fields) != width:
        raise ValueError(
            f"{path}, line {line}: found {len(fields)} fields, expected {width} like the rows "
            "before."
        )


def _checked_widths(rows, width, path):
    for row in rows:
        if len(row[1]) != width:
            _check_width(row, width, path)
        yield row


class Numbers:
    """Numbers of some columns, gathered row by row in 8 bytes each.

    Parameters
    ----------
    path : str or os.PathLike
        For errors.
    names : sequence of str
        Of the columns, for errors.
    decimal : str, default="."
    """

    def __init__(self, path, names, decimal="."):
        self.path = path
        self.names = list(names)
        self.decimal = decimal
        self.lines = array("q")
        self._values = array("d")
        self._texts = []

    def add(self, line, texts):
        """Take the cells of one row."""
        self.lines.append(line)
        self._texts += texts
        if len(self._texts) > 10_000:
            self._convert()

    def _convert(self):
        """Turn the texts gathered so far into numbers: many at once, as that is faster."""
        texts, self._texts = self._texts, []
        if self.decimal != ".":
            texts = [text.replace(self.decimal, ".") for text in texts]
        plain = "".join(texts)
        # float() takes 1_000 and digits of all scripts, which are slips here.
        if "_" not in plain and plain.isascii():
            try:
                self._values.extend([float(text) if text else math.nan for text in texts])
                return
            except ValueError:
                pass
        for text in texts:
            row, column = divmod(len(self._values), len(self.names))
            where = f"{self.where(row)}, column {self.names[column]!r}"
            self._values.append(math.nan if is_missing(text) else self._number(text, where))

    def _number(self, text, where):
        try:
            return as_number(text, where)
        except ValueError as error:
            if self.decimal == "." and re.fullmatch(r"\s*-?[0-9]+,[0-9]+\s*", text):
                raise ValueError(f"{error}; for decimal commas pass decimal=','") from None
            raise

    def where(self, row):
        """Words for a row, for errors."""
        return f"{self.path}, line {self.lines[row]}"

    def finish(self):
        """All numbers, an array of shape (n_rows, n_columns); an infinite one is an error."""
        self._convert()
        values = np.array(self._values, dtype=np.float64)
        values = values.reshape(len(self.lines), len(self.names))
        if np.isinf(values).any():
            row, column = np.argwhere(np.isinf(values))[0]
            raise ValueError(
                f"{self.where(row)}, column {self.names[column]!r}: found {values[row, column]}, "
                "expected a finite number."
            )
        return values


def as_column(texts):
    """Array of a column of texts: int or float where all are such numbers, else str.

    Whole numbers with leading zeros are names and stay texts.

    Examples
    --------
    >>> from skwing.datasets._formats.rows import as_column
    >>> as_column(["2", "10"]), as_column(["0.5", ""]), as_column(["02", "10"])
    (array([ 2, 10]), array([0.5, nan]), array(['02', '10'], dtype='<U2'))
    """
    if all(map(_WHOLE.fullmatch, texts)):
        return np.array([int(text) for text in texts], dtype=np.int64)
    try:
        numbers = [math.nan if is_missing(text) else as_number(text, "") for text in texts]
    except ValueError:
        numbers = None
    zeros = any(len(text) > 1 and text[0] == "0" and text[1].isdigit() for text in texts)
    if numbers is not None and not zeros and not all(map(math.isnan, numbers)):
        return np.array(numbers)
    room = len(texts) * max(map(len, texts), default=0)
    return np.array(texts, dtype=str if room < 2**26 else object)
