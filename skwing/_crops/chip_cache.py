"""Store of chips in a folder, shared by fits, also at the same time and on several machines.

Chips are found by a key that contains everything that determines them. Fits read the chips that
they find, and cut and add the others. No file is changed after it has appeared under its name,
so no locks are needed. If several processes need the same chips, each cuts portions in another
order and looks again before each, so they divide the work.
"""

import contextlib
import glob
import hashlib
import os
import shutil
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import simplejpeg

from skwing._crops.pack import DamagedPack, Pack, StoredPixels, write_pack
from skwing._utils.checks import Constraint, Refused
from skwing._utils.opencv import cv2
from skwing._utils.version import __version__
from skwing.images._decode import decoding_threads
from skwing.images._identity import sample_keys

_BATCH = 48e6  # maximum number of bytes of pixels that are in memory while chips are cut
_LEAST_PACK = 64e6  # number of bytes of pixels of a file; more if there are many chips
_PACKS_A_BUILD = 40
_MOST_OPEN = 100  # maximum number of files that a fit reads
_FREE_SHARE, _FREE_BYTES = 0.1, 20e9  # part of the disk that stays free, whichever is less
_ABANDONED = 24 * 3600  # age in seconds of unfinished files that are removed


class FolderOrNone(Constraint):
    """Path of a folder, which may not exist yet, or None."""

    def __str__(self):
        return "the path of a folder or None"

    def clean(self, value):
        """Return the path as str, or None."""
        if value is None:
            return None
        if not isinstance(value, (str, os.PathLike)) or not os.fspath(value):
            raise Refused
        path = os.fsdecode(value)
        if "\0" in path or (os.path.exists(path) and not os.path.isdir(path)):
            raise Refused
        return path


def stored_chips(folder, data, frame, cut):
    """Find the chips of samples in a folder, after adding those that it lacks.

    Parameters
    ----------
    folder : str
        Created if it does not exist.
    data : BoxedImages
    frame : ChipFrame
    cut : callable
        Cuts the chips of some samples; takes BoxedImages and returns
        :class:`skwing._crops.chips.Chips` on the CPU.

    Returns
    -------
    pixels : StoredPixels
    matrices : float64 array of shape (n, 2, 3)
        From image pixels to chip pixels.
    image_sizes : float64 array of shape (n, 2)

    Raises
    ------
    ValueError, OSError
        As by `cut`; or if the folder cannot be written, or the disk is full.
    """
    keys, first, inverse = np.unique(sample_keys(data), return_index=True, return_inverse=True)
    shelf = _Shelf(folder, frame, keys)
    shelf.look()
    lacking = first[shelf.lacking]
    if len(lacking):
        _fill(shelf, data, np.sort(lacking), inverse, cut)
    matrices, sizes = shelf.matrices[inverse], shelf.image_sizes[inverse]
    pixels = StoredPixels(shelf.packs, shelf.pack_of[inverse], shelf.row_of[inverse], frame.size)
    return pixels, matrices, sizes


def _fill(shelf, data, lacking, inverse, cut):
    """Cut the chips of samples, given by their positions, in portions."""
    per_chip = shelf.bytes_a_chip
    _make_room(shelf, len(lacking) * per_chip)
    in_pack = max(1, int(max(_LEAST_PACK, len(lacking) * per_chip / _PACKS_A_BUILD) / per_chip))
    portions = [lacking[start : start + in_pack] for start in range(0, len(lacking), in_pack)]
    for number in np.random.default_rng().permutation(len(portions)):
        shelf.look()
        portion = portions[number]
        portion = portion[shelf.pack_of[inverse[portion]] < 0]
        if len(portion):
            shelf.add(portion, inverse[portion], data, cut)


class _Shelf:
    """The packs of one frame in a folder, and where they hold the chips of some samples.

    Parameters
    ----------
    folder : str
    frame : ChipFrame
    keys : sorted array of 16 bytes, of shape (n,)
        Keys of the samples.

    Attributes
    ----------
    packs : list of Pack
        Those that hold chips of the samples.
    pack_of, row_of : int arrays of shape (n,)
        Pack and position of each chip, -1 if there is none.
    matrices, image_sizes : float64 arrays of shape (n, 2, 3) and (n, 2)
    """

    def __init__(self, folder, frame, keys):
        self.folder, self.frame, self.keys = folder, frame, keys
        self.place = os.path.join(folder, _name(frame))
        self.bytes_a_chip = 3 * frame.size**2
        self.packs, self._seen = [], set()
        self.pack_of = np.full(len(keys), -1, np.int32)
        self.row_of = np.full(len(keys), -1, np.int32)
        self.matrices = np.empty((len(keys), 2, 3))
        self.image_sizes = np.empty((len(keys), 2))
        try:
            os.makedirs(self.place, exist_ok=True)
        except OSError as error:
            message = f"cache={folder!r}: the folder cannot be created: {error}"
            raise type(error)(message) from error

    @property
    def lacking(self):
        """Mask of the samples without a chip."""
        return self.pack_of < 0

    def look(self):
        """Take chips from packs that have appeared since the last call."""
        paths = set(glob.glob(os.path.join(glob.escape(self.place), "*.chips"))) - self._seen
        self._seen |= paths
        # Large ones first, because few files can be open.
        for path in sorted(paths, key=_n_bytes, reverse=True):
            if not self.lacking.any() or len(self.packs) >= _MOST_OPEN:
                return
            with contextlib.suppress(OSError):  # another process may have removed it
                try:
                    self._take(Pack(path, self.frame.size), is_new=False)
                except DamagedPack:
                    os.unlink(path)

    def add(self, rows, places, data, cut):
        """Cut the chips of samples, at rows of `data`, and write them to a new pack.

        Their keys are at other places in `keys`. `cut` is that of :func:`stored_chips`.
        """
        keys = self.keys[places]
        path = os.path.join(self.place, f"{hashlib.sha256(keys.tobytes()).hexdigest()[:32]}.chips")
        n_batch = max(1, int(_BATCH / self.bytes_a_chip))
        starts = range(0, len(rows), n_batch)
        batches = ((keys[i : i + n_batch], cut(data[rows[i : i + n_batch]])) for i in starts)
        self._seen.add(path)
        try:
            write_pack(path, self.frame.size, batches)
        except PermissionError:
            # On Windows, an open file cannot be replaced; its content is the same.
            if not os.path.exists(path):
                raise
        self._take(Pack(path, self.frame.size), is_new=True)

    def _take(self, pack, is_new):
        found = pack.index
        places = np.searchsorted(self.keys, found["key"]).clip(max=len(self.keys) - 1)
        useful = (self.keys[places] == found["key"]) & self.lacking[places]
        rows, places = np.flatnonzero(useful), places[useful]
        if not len(rows):
            return
        if not is_new:
            with ThreadPoolExecutor(decoding_threads()) as pool:
                list(pool.map(pack.verify, np.array_split(rows, decoding_threads())))
            with contextlib.suppress(OSError):  # a folder that may only be read
                os.utime(pack.path)  # the time of the last use
        self.pack_of[places], self.row_of[places] = len(self.packs), rows
        self.matrices[places] = found["matrix"][rows]
        self.image_sizes[places] = found["image_size"][rows]
        pack.index = None
        self.packs.append(pack)


def _name(frame):
    """Name of the folder for chips of a frame, cut by these versions of the software."""
    versions = (__version__, cv2.__version__, simplejpeg.__version__)
    told = repr((frame.size, float(frame.margin), versions)).encode()
    return f"chips-{frame.size}-{hashlib.sha256(told).hexdigest()[:12]}"


def _make_room(shelf, n_bytes):
    """Remove the files that were not used for longest, until new ones fit on the disk, or raise."""
    _remove_abandoned(shelf.folder)
    used = {pack.path for pack in shelf.packs}
    others = glob.glob(os.path.join(glob.escape(shelf.folder), "chips-*", "*.chips"))
    others = sorted(set(others) - used, key=_last_use)
    while (room := _room(shelf.folder)) < n_bytes and others:
        with contextlib.suppress(OSError):
            os.unlink(others.pop(0))
    if room < n_bytes:
        raise OSError(
            f"cache={shelf.folder!r}: {n_bytes / 1e9:.3g} GB of chips of {shelf.frame.size} pixels "
            f"do not fit on its disk, of which {max(room, 0) / 1e9:.3g} GB can be used (a tenth, "
            f"at most {_FREE_BYTES / 1e9:.0f} GB, stays free): use a folder on another disk"
        )


def _room(folder):
    """Number of bytes that may be written."""
    disk = shutil.disk_usage(folder)
    return disk.free - min(_FREE_SHARE * disk.total, _FREE_BYTES)


def _remove_abandoned(folder):
    """Remove files that processes left unfinished when they were killed."""
    for path in glob.glob(os.path.join(glob.escape(folder), "chips-*", "*.chips.*.tmp")):
        if time.time() - _last_use(path) > _ABANDONED:
            with contextlib.suppress(OSError):
                os.unlink(path)


def _last_use(path):
    try:
        return os.stat(path).st_mtime
    except OSError:
        return time.time()


def _n_bytes(path):
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
