"""Packs: files with chips, which are read one by one.

A pack has a header, the pixels of its chips one after the other, and an index with what belongs
to each chip. Chips are read, not mapped to memory: mapped pages count as resident memory, and
reading a mapped file that another program truncates kills the process.
"""

import hashlib
import os
import struct
import threading
import weakref
import zlib

import numpy as np

from skwing._crops.warp import halve
from skwing._utils.files import replacing

_MAGIC = b"skwing chips 1\n\0"
_HEADER = struct.Struct("<16sqq")  # magic, number of chips, side of a chip
_N_DIGEST = 16

# Of each chip: key of the sample, matrix from image to chip pixels, width and height of the
# image, and checksum of the pixels.
INDEX = np.dtype(
    [("key", "V16"), ("matrix", "<f8", (2, 3)), ("image_size", "<f8", 2), ("check", "<u4")]
)


class DamagedPack(OSError):
    """A file is no complete pack, or has changed."""


def write_pack(path, size, batches):
    """Write a pack of chips of `size` pixels, atomically, and return its index.

    Batches are keys of samples, and their :class:`skwing._crops.chips.Chips` on the CPU.
    """
    parts = []
    with replacing(path, binary=True) as file:
        file.write(_HEADER.pack(_MAGIC, 0, size))
        for keys, chips in batches:
            part = np.zeros(len(keys), INDEX)
            part["key"], part["matrix"] = keys, chips.matrices
            part["image_size"] = chips.image_sizes
            part["check"] = [zlib.crc32(pixels) for pixels in chips.pixels]
            file.write(chips.pixels.data)
            parts.append(part)
        index = np.concatenate(parts)
        file.write(index.tobytes())
        file.write(_digest(index))
        file.seek(0)
        file.write(_HEADER.pack(_MAGIC, len(index), size))
    return index


def _digest(index):
    return hashlib.blake2b(index.tobytes(), digest_size=_N_DIGEST).digest()


class Pack:
    """An open pack of chips of `size` pixels. It remains readable if its file is removed.

    Attributes
    ----------
    index : array of dtype `INDEX`

    Raises
    ------
    OSError
        If the file cannot be opened.
    DamagedPack
        If it is incomplete or of another kind.
    """

    def __init__(self, path, size):
        self.path, self.n_bytes = path, 3 * size**2
        self._shape, self._lock = (size, size, 3), threading.Lock()
        self._descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        weakref.finalize(self, os.close, self._descriptor)
        magic, n, written_size = _HEADER.unpack(self._read(0, _HEADER.size))
        end = _HEADER.size + n * self.n_bytes
        expected = end + n * INDEX.itemsize + _N_DIGEST
        if (magic, written_size) != (_MAGIC, size) or n < 1:
            raise DamagedPack(f"{path} is not a file of chips of {size} pixels")
        if os.fstat(self._descriptor).st_size != expected:
            raise DamagedPack(f"{path} is incomplete")
        self.index = np.frombuffer(self._read(end, n * INDEX.itemsize), INDEX)
        if self._read(expected - _N_DIGEST, _N_DIGEST) != _digest(self.index):
            raise DamagedPack(f"{path} is damaged")

    def __getitem__(self, row):
        """Pixels of a chip, a read-only uint8 array of shape (size, size, 3)."""
        content = self._read(_HEADER.size + int(row) * self.n_bytes, self.n_bytes)
        return np.frombuffer(content, np.uint8).reshape(self._shape)

    def verify(self, rows):
        """Read chips and compare their checksums; raise `DamagedPack` if one differs."""
        for row in rows:
            if zlib.crc32(self[row]) != self.index["check"][row]:
                raise DamagedPack(f"{self.path} is damaged")

    def _read(self, start, n_bytes):
        if hasattr(os, "pread"):
            content = os.pread(self._descriptor, n_bytes, start)
        else:
            with self._lock:
                os.lseek(self._descriptor, start, os.SEEK_SET)
                content = os.read(self._descriptor, n_bytes)
        if len(content) != n_bytes:
            raise DamagedPack(f"{self.path} is incomplete")
        return content


class StoredPixels:
    """Pixels of chips in packs, indexed like a uint8 array of shape (n, size, size, 3).

    Parameters
    ----------
    packs : list of Pack
    pack_of, row_of : int arrays of shape (n,)
        Pack of each chip, and its position there.
    size : int
        Side of the chips in the packs.
    n_halvings : int, default=0
        How often chips are halved when they are read.
    """

    dtype = np.dtype(np.uint8)

    def __init__(self, packs, pack_of, row_of, size, n_halvings=0):
        self._packs, self._pack_of, self._row_of = packs, pack_of, row_of
        self._size, self._n_halvings = size, n_halvings
        side = size >> n_halvings
        self.shape = (len(pack_of), side, side, 3)
        self.nbytes = len(pack_of) * 3 * side**2

    def __len__(self):
        return self.shape[0]

    def __getitem__(self, key):
        if isinstance(key, int | np.integer):
            return self._read(key)
        rows = np.arange(len(self))[key]
        chips = np.empty((len(rows), *self.shape[1:]), np.uint8)
        for row, chip in zip(rows, chips, strict=True):
            chip[:] = self._read(row)
        return chips

    def _read(self, row):
        chip = self._packs[self._pack_of[row]][self._row_of[row]]
        for _ in range(self._n_halvings):
            chip = halve(chip[None])[0]
        return chip

    def halved(self):
        """Chips of half the side, as by :func:`skwing._crops.warp.halve`."""
        return StoredPixels(
            self._packs, self._pack_of, self._row_of, self._size, self._n_halvings + 1
        )
