"""Tables as columns, with descriptions of rows for errors: files (via pandas), DataFrames."""

import csv
import io
import math
import os
import re

import numpy as np

from skwing._utils.optional import import_optional
from skwing.datasets._paths import IMAGE_SUFFIXES
from skwing.datasets._text import as_number, read_text

MISSING = frozenset(["", "nan", "na", "n/a", "#n/a", "null", "none", "<na>"])
# Case-sensitive list for pandas; other spellings are detected later.
_MISSING = [spelled for text in MISSING for spelled in {text, text.upper(), text.title()}] + ["NaN"]
LONGEST_NAME = 4096  # characters of the name of a column or an image; the limit of file systems

_WHOLE = re.compile(r"-?(0|[1-9][0-9]{0,17})")
_TOO_MANY = re.compile(r"fields in line (\d+), saw (\d+)")
_STATED_SEP = re.compile(r"sep=(.)[^\n]*\n", re.I)  # first line of files for Excel


def is_missing(text):
    """Whether a cell marks a missing value: empty, NaN, NA or null, in upper or lower case."""
    return len(text) < 16 and text.strip().lower() in MISSING


def is_number(text):
    """Whether a cell contains a number, finite or not."""
    try:
        float(text)
    except ValueError:
        return False
    return True


def check_names(names, where):
    """Validate paths of images in cells, which must not be empty or extremely long."""
    names = [os.fspath(name) if isinstance(name, os.PathLike) else name for name in names]
    for row, name in enumerate(names):
        if not isinstance(name, str) or not name.strip() or len(name) > LONGEST_NAME:
            raise ValueError(f"{where(row)}: found {name!r:.60}, expected the path of an image.")
    return names


class Table:
    """Columns of a table.

    Parameters
    ----------
    names : list of str
        Names of the columns.
    columns : list of array-like of shape (n_rows,)
    where : callable
        Returns the description of a row for error messages.
    decimal : str, default="."
        Decimal point of numbers in text cells.
    """

    def __init__(self, names, columns, where, decimal="."):
        self.names, self.where = names, where
        self._columns, self._decimal = columns, decimal

    def __len__(self):
        return len(self._columns[0])

    def values(self, i):
        """Array of a column."""
        return np.asarray(self._columns[i])

    def sample(self):
        """Cells of the first row."""
        return [np.asarray(column[:1])[0] for column in self._columns]

    def cell(self, row, i):
        """Description of a cell for error messages."""
        return f"{self.where(row)}, column {self.names[i]!r}"

    def image_names(self, i):
        """Paths of images in a column."""
        return check_names(self.values(i), lambda row: self.cell(row, i))

    def numbers(self, places, absent=()):
        """Finite numbers or NaN of the given columns, an array of shape (n_rows, n_columns).

        Texts of the rows `absent` are ignored.
        """
        numbers = np.empty((len(self), len(places)))
        for k, i in enumerate(places):
            values = self.values(i)
            if values.dtype.kind not in "iuf":
                values = [
                    math.nan if row in absent else self._number(value, row, i)
                    for row, value in enumerate(values.tolist())
                ]
            numbers[:, k] = values
        if np.isinf(numbers).any():
            row, k = (int(i) for i in np.argwhere(np.isinf(numbers))[0])
            raise ValueError(
                f"{self.cell(row, places[k])}: found {numbers[row, k]}, expected a finite number."
            )
        return numbers

    def _number(self, value, row, i):
        # The texts of None, NaN, NA and NaT of pandas mark missing values.
        if value is None or is_missing(str(value)):
            return math.nan
        text = value.replace(self._decimal, ".") if isinstance(value, str) else value
        try:
            return as_number(text, self.cell(row, i))
        except ValueError as error:
            if self._decimal == "." and re.fullmatch(r"\s*-?[0-9]+,[0-9]+\s*", str(value)):
                raise ValueError(f"{error}; for decimal commas pass decimal=','") from None
            raise


# ---------------------------------------------------------------------------------------
# Files
# ---------------------------------------------------------------------------------------
def _decoded(path, encoding):
    """Text of the file, with normalised line ends."""
    if encoding is None or not os.path.isfile(path):
        return read_text(path)  # raises a descriptive error
    try:
        with open(path, encoding=encoding) as file:
            return file.read()
    except (LookupError, UnicodeError) as error:
        raise ValueError(f"{path}: cannot be read as {encoding!r}: {error}") from None


def _separator(line):
    """Separator that splits a line into the largest number of fields."""
    found = {sep: len(next(csv.reader([line], delimiter=sep), ())) for sep in "\t;,"}
    best = max(found, key=found.get)
    return " " if found[best] < 2 and len(line.split()) > 2 else best


def _is_count(fields):
    """Whether a row only contains the number of rows."""
    return len(fields) == 1 and bool(_WHOLE.fullmatch(fields[0].strip()))


def _has_header(fields):
    """Whether the first row contains names: no numbers, or only consecutive column numbers."""
    if any(field.strip().lower().endswith(IMAGE_SUFFIXES) for field in fields):
        return False
    numbers = [field.strip() for field in fields if is_number(field)]
    counted = [[str(i) for i in range(start, start + len(numbers))] for start in (0, 1)]
    return not numbers or numbers in counted


def _rows(text, sep, path):
    """First line and fields of each non-empty row; used for the first few rows."""
    file = io.StringIO(text)
    if sep == " " or '"' not in text:  # quoted fields may have any length
        split = str.split if sep == " " else lambda line: line.rstrip("\n").split(sep)
        yield from ((i, fields) for i, line in enumerate(file, 1) if any(fields := split(line)))
        return
    reader, line = csv.reader(file, delimiter=sep, strict=True), 1
    try:
        for fields in reader:
            if any(fields):
                yield line, fields
            line = reader.line_num + 1
    except csv.Error as error:
        raise ValueError(
            f"{path}, line {line}: this row cannot be read ({error}); is a quotation mark not "
            "closed?"
        ) from None


def top_rows(path, sep=None, encoding=None):
    """Text of a file, its separator, and an iterator over its first rows.

    Parameters
    ----------
    path : str or os.PathLike
    sep : str, default=None
        None detects it.
    encoding : str, default=None

    Returns
    -------
    text : str
    sep : str
    rows : iterator of (line, fields)
        Non-empty rows.
    """
    if sep is not None and (not isinstance(sep, str) or len(sep) != 1 or sep in '"\n\r'):
        raise ValueError(f"sep must be one character, such as ',', ';' or a tab; got {sep!r}.")
    text = _decoded(path, encoding)
    if stated := _STATED_SEP.match(text):
        sep, text = sep or stated[1], "\n" + text[stated.end() :]  # lines keep their numbers
    if sep is None:
        # The start of a long line is sufficient to detect the separator.
        lines = (line for line in text[:100_000].split("\n") if line.strip())
        first = next(lines, "")
        sep = _separator(next(lines, first) if _is_count(first.split()) else first)
    return text, sep, _rows(text, sep, path)


class TextTable:
    """A table in a file, of which only the header and the first row are parsed initially.

    Parameters
    ----------
    path : str or os.PathLike
    text : str
        Text of the whole file.
    sep : str
    names : list of str
        Names of the columns.
    first : (int, list of str)
        Line and fields of the first row of data.
    decimal : str
    unnamed : bool, default=False
        Whether the header lacks the name of the first column, as R writes tables.
    """

    def __init__(self, path, text, sep, names, first, decimal, *, unnamed=False):
        self.path, self.names, self.sample = path, names, first[1]
        self._text, self._sep, self._line, self._decimal = text, sep, first[0], decimal
        self._unnamed = unnamed
        self._check_width(*first)

    def check_unnamed(self, image, rest):
        """Check that a first column that the header lacks contains the images.

        If rows have a field too many, all names are those of the next column: the image, or the
        first name, is then that of a number.
        """
        if self._unnamed and (image != 0 or (1 in rest and is_number(self.sample[1]))):
            raise ValueError(
                f"{self.path}, line {self._line}: found {len(self.names)} fields, expected "
                f"{len(self.names) - 1} as in the header. If the header lacks the name of the "
                "first column, add it."
            )

    @classmethod
    def of_file(cls, path, sep=None, encoding=None, header=None, decimal="."):
        """Find the names of the columns and the first row of data.

        Without a header, the names are "", "0", "1", ..., or "0", "1", ... if the first cell is
        a number. `header=None` detects whether there is a header.
        """
        text, sep, rows = top_rows(path, sep, encoding)
        first, unnamed = next(rows, None), False
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
                names, unnamed = ["", *names], True  # names of the columns after the image
        else:
            names = [str(i) for i in range(len(first[1]))]
            if not is_number(first[1][0]):
                names = ["", *names[:-1]]
        return cls(path, text, sep, names, first, decimal, unnamed=unnamed)

    def _check_width(self, line, fields):
        if len(fields) != len(self.names):
            raise ValueError(
                f"{self.path}, line {line}: found {len(fields)} fields, expected "
                f"{len(self.names)} like the rows before."
            )

    def read(self, texts):
        """Parse the table; `texts` are the indices of columns that are not converted."""
        pandas = import_optional("pandas", "reading tables", "csv")
        quoted = self._sep != " " and '"' in self._text
        if quoted:  # pandas joins rows if a quote is missing
            for line, fields in _rows(self._text, self._sep, self.path):
                if line >= self._line:
                    self._check_width(line, fields)
        file = io.StringIO(self._text)
        for _ in range(self._line - 1):
            file.readline()
        numbers = [i for i in range(len(self.names)) if i not in texts]
        try:
            frame = pandas.read_csv(
                file,
                sep=r"\s+" if self._sep == " " else self._sep,
                header=None,
                dtype=dict.fromkeys(texts, str),
                na_values=dict.fromkeys(numbers, _MISSING),
                keep_default_na=False,
                skip_blank_lines=False,  # so that row numbers are line numbers
                low_memory=False,
                decimal=self._decimal,
                quoting=csv.QUOTE_MINIMAL if quoted else csv.QUOTE_NONE,
            )
        except pandas.errors.ParserError as error:
            raise self._malformed(str(error)) from None
        lines = self._line + np.arange(len(frame))
        if quoted:  # line breaks in quotes
            more = sum(frame[i].str.count("\n").to_numpy(int) for i in texts)
            lines += np.cumsum(more) - more
        filled = np.column_stack([frame[texts] != "", frame[numbers].notna()]).any(axis=1)
        frame, lines = frame[filled], lines[filled]
        last = frame[len(self.names) - 1]
        if not quoted:
            self._check_full(lines[(last.isna() | (last == "")).to_numpy()])
        columns = [frame[i].to_numpy() for i in range(len(self.names))]
        return Table(
            self.names, columns, lambda row: f"{self.path}, line {lines[row]}", self._decimal
        )

    def _check_full(self, lines):
        """Check the number of fields of rows that end empty; pandas adds missing fields."""
        every = self._text.split("\n") if len(lines) else ()
        for line in lines:
            row = every[line - 1]
            self._check_width(line, row.split(None if self._sep == " " else self._sep))

    def _malformed(self, message):
        """Error for rows that pandas cannot parse."""
        if found := _TOO_MANY.search(message):
            line, n_fields = map(int, found.groups())
            self._check_width(line + self._line - 1, [""] * n_fields)
        return ValueError(f"{self.path}: this table cannot be read: {message:.200}")


def as_column(texts):
    """Array of a text column: int or float if all cells are such numbers, else object.

    Integers with leading zeros are names and remain strings.

    Examples
    --------
    >>> from skwing.datasets._formats.table import as_column
    >>> as_column(["2", "10"]), as_column(["0.5", ""])
    (array([ 2, 10]), array([0.5, nan]))
    >>> as_column(["02", "10"])
    array(['02', '10'], dtype=object)
    """
    if all(map(_WHOLE.fullmatch, texts)):
        return np.array([int(text) for text in texts], dtype=np.int64)
    try:
        numbers = [math.nan if is_missing(text) else as_number(text, "") for text in texts]
    except ValueError:
        numbers = [math.nan]
    if all(map(math.isnan, numbers)) or any(re.match("0[0-9]", text) for text in texts):
        return np.array(texts, dtype=object)
    return np.array(numbers)
