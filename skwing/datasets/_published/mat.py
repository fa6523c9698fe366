"""Reader of variables in MATLAB files, including version 7.3 (HDF5)."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.files import there_is_no
from skwing._utils.optional import import_optional
from skwing.datasets._published.mat5 import parse_mat5

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skwing._utils.types import FilePath, Floats

_HDF5 = b"\x89HDF\r\n\x1a\n"
# Compression in MATLAB reduces images and annotations by small factors. Files with a larger
# factor are damaged or malicious, and would exhaust the memory.
_MOST_GROWTH = 200


def read_mat(path: FilePath, fields: Sequence[str]) -> dict[str, Any]:
    """Read variables of a MATLAB file.

    Parameters
    ----------
    path : str or os.PathLike
    fields : sequence of str
        Names of the variables to read; all must be there.

    Returns
    -------
    variables : dict of str to ndarray
        In MATLAB's order of axes; a cell array is an array of objects, a struct a dict, a
        text an array of str with an element per row.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ImportError
        If the file is of version 7.3 and h5py is not installed.
    ValueError
        If it is no MATLAB file, is damaged, or lacks one of the variables.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(f"{there_is_no(f'file {path}', path)}.")
    with open(path, "rb") as file:
        start = file.read(512 + len(_HDF5))
    # MATLAB writes a header of 512 bytes before the HDF5 data.
    if _HDF5 in (start[: len(_HDF5)], start[512:]):
        found = _read_hdf5(path, fields)
    else:
        found = _read_classic(path, fields)
    missing = [name for name in fields if name not in found]
    if missing:
        raise ValueError(
            f"{path}: there is no variable {', '.join(missing)}; expected {', '.join(fields)}."
        )
    return found


def _damaged(path, error):
    """Error for a file that a library could not read; libraries raise many types."""
    reason = str(error) if type(error) is ValueError else f"{type(error).__name__}: {error}"
    return ValueError(f"{path}: this MATLAB file cannot be read: {reason:.200}")


def _read_classic(path, fields):
    try:
        return parse_mat5(Path(path).read_bytes(), fields)
    except Exception as error:
        raise _damaged(path, error) from error


def _read_hdf5(path, fields):
    purpose = f"reading {path}, a MATLAB file of version 7.3,"
    h5py = import_optional("h5py", purpose, "hdf5")
    try:
        with h5py.File(path, "r") as file:
            return {name: _variable(file, name) for name in fields if name in file}
    except Exception as error:
        raise _damaged(path, error) from error


def _variable(file, name):
    import h5py

    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is a link to elsewhere.")
    array = _stored(file[name], name)
    if h5py.check_ref_dtype(array.dtype) is None:
        return array.T
    cells, seen = np.empty(array.shape, dtype=object), {}
    for place, reference in np.ndenumerate(array):
        thing = file[reference]
        address = h5py.h5o.get_info(thing.id).addr  # an array may have several names
        if address not in seen:
            seen[address] = _stored(thing, f"a cell of {name}").T
        cells[place] = seen[address]
    return cells.T


def _stored(thing, name):
    """Array of a dataset that is entirely inside the file."""
    import h5py

    if not isinstance(thing, h5py.Dataset) or thing.shape is None:
        raise ValueError(f"{name} is no array.")
    if thing.external or thing.is_virtual:
        raise ValueError(f"{name} is stored in another file.")
    if thing.nbytes > _MOST_GROWTH * thing.id.get_storage_size() + 4096:
        raise ValueError(f"{name} claims {thing.nbytes} bytes, more than the file can hold.")
    return thing[()]


def as_numbers(
    variables: dict[str, Any],
    name: str,
    shape: tuple[int | None, ...],
    path: FilePath,
    *,
    missing: bool = False,
) -> Floats:
    """Variable as a validated float64 array.

    Parameters
    ----------
    variables : dict
        From :func:`read_mat`.
    name : str
    shape : tuple of int or None
        None stands for any length.
    path : str or os.PathLike
        For errors.
    missing : bool, default=False
        Whether NaN is allowed.

    Returns
    -------
    array : ndarray of float64

    Raises
    ------
    ValueError
        If the type, the shape or a value is wrong; names file and variable.
    """
    array = np.asarray(variables[name])
    fits = array.ndim == len(shape) and all(
        expected in (None, length) for length, expected in zip(array.shape, shape, strict=True)
    )
    if array.dtype.kind not in "biuf" or not fits:
        expected = " x ".join("n" if length is None else str(length) for length in shape)
        raise ValueError(
            f"{path}: {name} is an array of {array.dtype} of shape {array.shape}, expected "
            f"numbers, {expected}."
        )
    array = array.astype(np.float64)
    wrong = np.isinf(array) if missing else ~np.isfinite(array)
    if wrong.any():
        place = tuple(int(i) + 1 for i in np.argwhere(wrong)[0])
        raise ValueError(f"{path}: {name}{place} is not a finite number (counted from 1).")
    return array
