"""Model files: JSON text and arrays in one safetensors file, with a checksum over both."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from skwing._utils.files import write_bytes
from skwing._utils.pickle_format import check_format, check_keys
from skwing._utils.version import __version__
from skwing.networks import as_array, as_tensor

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from skwing._utils.types import FilePath

__all__ = ["read_model", "write_model"]

# 1: before 0.9, without float16 weights and notices. 2: before 0.10, without confidence.
FORMAT = 3
_KEY = "skwing"  # key in the metadata; its value is a JSON text with the following keys
_KEYS = ("format", "skwing", "sha256", "model")


def write_model(path: FilePath, model: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write a model to a file atomically.

    Parameters
    ----------
    path : str or path-like
    model : dict
        Must be serialisable as JSON.
    arrays : dict of str to ndarray
        Arrays from :func:`skwing.networks.as_array`.

    Raises
    ------
    OSError
        If the file cannot be written.
    """
    tensors = {name: as_tensor(array) for name, array in arrays.items()}
    header = {"format": FORMAT, "skwing": __version__, "model": model}
    header["sha256"] = _checksum(header, tensors)
    write_bytes(path, save(tensors, {_KEY: json.dumps(header, allow_nan=False)}))


def read_model(path: FilePath) -> tuple[Any, dict[str, NDArray[Any]], str]:
    """Read a file written by :func:`write_model`.

    Returns
    -------
    model : dict
    arrays : dict of str to ndarray
    version : str
        Version of skwing that wrote the file.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is not a model file, damaged, or of a newer format.
    """
    path = os.fsdecode(path)
    if not stat.S_ISREG(_stat(path).st_mode):
        raise ValueError(f"{path} is not a regular file, expected a file written by save_model")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = _read_header(file.metadata() or {}, path)
            version = check_format(
                header["format"], header["skwing"], f"the model in {path}", newest=FORMAT
            )
            # Copy the tensors, because the file may be replaced while they are in use.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, RuntimeError, TypeError, OverflowError) as error:
        raise ValueError(
            f"{path} cannot be read as a model: it is damaged, or was not written by save_model "
            f"(load files of joblib or pickle with these) ({error})"
        ) from error
    if header.pop("sha256") != _checksum(header, tensors):
        raise ValueError(f"{path} is damaged: its content does not match its checksum")
    return header["model"], {name: as_array(tensor) for name, tensor in tensors.items()}, version


def _stat(path: str) -> os.stat_result:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(f"there is no file {path} to load a model from") from None


def _read_header(metadata: dict[str, str], path: str) -> dict[str, Any]:
    if _KEY not in metadata:
        raise ValueError(f"{path} is a safetensors file, but not one written by save_model")
    try:
        header = json.loads(metadata[_KEY])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its header is not JSON") from error
    check_keys(header, _KEYS, f"the header of {path}")
    return header


def _checksum(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    """Checksum of the header, and of names, data types, shapes and values of all tensors."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        told = [name, str(tensor.dtype), list(tensor.shape)]
        total.update(json.dumps(told).encode())
        total.update(tensor.contiguous().reshape(-1).view(torch.uint8).numpy())  # type: ignore[arg-type]
    return total.hexdigest()
