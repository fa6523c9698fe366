"""Reader of variables in MATLAB files of version 5 to 7.

``scipy.io.loadmat`` supports more types of variables, but damaged files can crash the process.
This reader supports numbers, texts, cells and structs, validates all lengths before use, and
raises ValueError for everything else.
"""

import math
import struct
import zlib

import numpy as np

# Types of stored elements and classes of arrays, by MATLAB's "MAT-File Format", tables 1-1
# and 1-3.
_STORED = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8"}
_STORED |= {13: "u8", 16: "u1", 17: "u2", 18: "u4"}
_MATRIX, _DEFLATED = 14, 15
_ENCODINGS = {1: "utf-8", 2: "utf-8", 16: "utf-8", 4: "utf-16", 17: "utf-16", 18: "utf-32"}
_CELL, _STRUCT, _CHAR, _OPAQUE = 1, 2, 4, 17
_NUMERIC = {6: "f8", 7: "f4", 8: "i1", 9: "u1", 10: "i2", 11: "u2", 12: "i4", 13: "u4"}
_NUMERIC |= {14: "i8", 15: "u8"}
_COMPLEX, _LOGICAL = 0x800, 0x200

_DEEPEST = 8  # nesting of cells; a few levels occur in practice
# Compression reduces annotations by small factors, not by hundreds.
_MOST_GROWTH, _FREE = 200, 2**20


def parse_mat5(raw, fields):
    """Parse variables of a MATLAB file of version 5 to 7.

    Parameters
    ----------
    raw : bytes
        The whole file.
    fields : collection of str
        Names of the variables wanted; others are skipped.

    Returns
    -------
    variables : dict of str to ndarray
        Cells and structs are arrays of objects; each struct is a dict, each text an array
        of str with an element per row.

    Raises
    ------
    ValueError
        If the file is damaged, or a wanted variable is of another kind.
    """
    order = {b"IM": "<", b"MI": ">"}.get(raw[126:128])
    if order is None or struct.unpack(f"{order}H", raw[124:126])[0] >> 8 != 1:
        raise ValueError("it does not begin as a file of version 5 to 7 does.")
    buffer, variables = _Buffer(memoryview(raw), order, 128), {}
    while buffer.left >= 8:
        kind, data = buffer.element()
        if kind == _DEFLATED:
            data = _inflated(data, order, fields)
            kind = _MATRIX
        if kind == _MATRIX and data is not None:
            name, read = _header(_Buffer(data, order))
            if name in fields and name not in variables:
                variables[name] = read()
    if buffer.left:
        raise ValueError("it is cut short.")
    return variables


class _Buffer:
    """Position in the bytes of a file, with methods to read the next elements."""

    def __init__(self, data, order, start=0):
        self.data, self.order, self.start = data, order, start

    @property
    def left(self):
        return len(self.data) - self.start

    def element(self):
        """Type and bytes of the next element."""
        if self.left < 8:
            raise ValueError("it is cut short.")
        kind, size = struct.unpack_from(f"{self.order}II", self.data, self.start)
        begin, small = self.start + 8, kind >> 16
        if small:  # up to four bytes are stored next to the size
            kind, size, begin = kind & 0xFFFF, small, self.start + 4
            padded = 4
        else:
            padded = size if kind == _DEFLATED else (size + 7) // 8 * 8
        if size > min(padded, len(self.data) - begin):
            raise ValueError("it is cut short.")
        self.start = min(begin + padded, len(self.data))
        return kind, self.data[begin : begin + size]

    def numbers(self):
        """Next element as an array of numbers, and its type."""
        kind, data = self.element()
        if kind not in _STORED:
            raise ValueError(f"an element is of type {kind}, expected numbers.")
        dtype = np.dtype(self.order + _STORED[kind])
        if len(data) % dtype.itemsize:
            raise ValueError("a list of numbers has a part of a number at its end.")
        return np.frombuffer(data, dtype), kind


def _inflated(data, order, fields):
    """Bytes of a compressed variable; None if it is not requested."""
    try:
        # Flags, dimensions and name; names of variables have at most 63 letters.
        start = zlib.decompressobj().decompress(data, 512)
        # The variable is truncated here; only its name is used.
        name, _ = _header(_Buffer(memoryview(start)[8:], order))
        if name not in fields:
            return None
        most = _MOST_GROWTH * len(data) + _FREE
        inflater = zlib.decompressobj()
        whole = inflater.decompress(data, most)
    except zlib.error as error:
        raise ValueError(str(error)) from None
    if inflater.unconsumed_tail:
        raise ValueError(f"{name} claims more than {most} bytes, which deflate from {len(data)}.")
    kind, inside = _Buffer(memoryview(whole), order).element()
    if kind != _MATRIX:
        raise ValueError(f"{name} is of type {kind}, expected an array.")
    return inside


def _header(buffer, depth=0):
    """Name of an array, and a function that reads its content."""
    if not buffer.left:  # MATLAB writes empty cells this way
        return "", lambda: np.empty((0, 0))
    flags, _ = buffer.numbers()
    if len(flags) == 2 and flags[0] & 0xFF == _OPAQUE:  # objects have no dimensions
        return "", lambda: np.empty((0, 0))
    (dimensions, _), (name, _) = buffer.numbers(), buffer.numbers()
    if len(flags) != 2 or not 2 <= len(dimensions) <= 8 or (dimensions < 0).any():
        raise ValueError("an array has no sensible dimensions.")
    shape = tuple(int(length) for length in dimensions)
    name = name.tobytes().rstrip(b"\0").decode("latin-1")
    return name, lambda: _contents(buffer, int(flags[0]), shape, depth)


def _contents(buffer, flags, shape, depth):
    kind = flags & 0xFF
    if depth > _DEEPEST:
        raise ValueError(f"cells are nested more than {_DEEPEST} deep.")
    if kind == _CELL:
        return _cells(buffer, shape, lambda: _nested(buffer, depth))
    if kind == _STRUCT:
        names = _field_names(buffer)
        return _cells(buffer, shape, lambda: {name: _nested(buffer, depth) for name in names})
    if kind == _CHAR:
        return _texts(buffer, shape)
    if kind not in _NUMERIC or flags & _COMPLEX:
        raise ValueError(f"an array is of class {kind}, expected real numbers, texts or cells.")
    array, _ = buffer.numbers()
    if len(array) != math.prod(shape):
        raise ValueError(f"an array of shape {shape} has {len(array)} numbers.")
    dtype = bool if flags & _LOGICAL else _NUMERIC[kind]
    with np.errstate(invalid="ignore"):
        return array.reshape(shape, order="F").astype(dtype)


def _nested(buffer, depth):
    kind, data = buffer.element()
    if kind != _MATRIX:
        raise ValueError(f"a cell is of type {kind}, expected an array.")
    return _header(_Buffer(data, buffer.order), depth + 1)[1]()


def _cells(buffer, shape, read):
    """Array of objects of the given shape, each of at least 8 bytes."""
    n = math.prod(shape)
    if n > buffer.left // 8:
        raise ValueError(f"cells of shape {shape} do not fit into the file.")
    cells = np.empty(n, dtype=object)
    for i in range(n):
        cells[i] = read()
    return cells.reshape(shape, order="F")


def _field_names(buffer):
    (length, *more), _ = buffer.numbers()
    _, names = buffer.element()
    if more or not 0 < length <= 64 or len(names) % length or not len(names):
        raise ValueError("a struct has no sensible field names.")
    names = [bytes(names[i : i + length]) for i in range(0, len(names), length)]
    return [name.partition(b"\0")[0].decode("latin-1") for name in names]


def _texts(buffer, shape):
    """Array of str, one per row of a character matrix."""
    units, kind = buffer.numbers()
    if kind not in _ENCODINGS:
        raise ValueError(f"a text is stored as type {kind}.")
    encoding = _ENCODINGS[kind]
    if encoding != "utf-8":
        units, encoding = units.astype(units.dtype.newbyteorder("<")), f"{encoding}-le"
    text = units.tobytes().decode(encoding)
    rows = shape[0] if len(shape) == 2 else 1
    if rows <= 1:
        return np.array([text], dtype=object)
    if len(text) != math.prod(shape):
        raise ValueError(f"a text of shape {shape} has {len(text)} letters.")
    return np.array([text[i::rows] for i in range(rows)], dtype=object)
