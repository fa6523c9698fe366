"""Model files: JSON text and arrays in one safetensors file, with a checksum over both."""

from __future__ import annotations

import hashlib
import json
import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from skwing._utils.files import there_is_no, write_bytes
from skwing._utils.pickle_format import check_format, check_keys
from skwing._utils.version import __version__
from skwing.networks._storage import as_array, as_tensor

if TYPE_CHECKING:
    from typing import Any

    from numpy.typing import NDArray

    from skwing._utils.types import FilePath


@dataclass(frozen=True)
class Kind:
    """Kind of content of a file.

    Attributes
    ----------
    name : str
        For error messages.
    key : str
        Key in the metadata of the file; its value is a JSON text with the header.
    newest : int
        Number of the newest format.
    writer : str
        What writes such files, for error messages.
    """

    name: str
    key: str
    newest: int
    writer: str

    @property
    def keys(self) -> tuple[str, ...]:
        """Keys of the header."""
        return ("format", "skwing", "sha256", self.name)


# 1: before 0.9, without float16 weights and notices. 2: before 0.10, without confidence.
# 3: before 0.15, without marks of the training samples.
FORMAT = 4
MODEL = Kind(
    "model",
    "skwing",
    FORMAT,
    "save_model (load files of joblib or pickle with these, run ONNX files by skwing.runtime)",
)


def write_model(path: FilePath, model: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> None:
    """Write a model to a file atomically, see :func:`write_content`."""
    write_content(path, MODEL, model, arrays)


def read_model(path: FilePath) -> tuple[Any, dict[str, NDArray[Any]], str]:
    """Read a file written by :func:`write_model`, see :func:`read_content`."""
    return read_content(path, MODEL)


def write_content(
    path: FilePath, kind: Kind, content: dict[str, Any], arrays: dict[str, NDArray[Any]]
) -> None:
    """Write content that is serialisable as JSON, and arrays by name, to a file atomically.

    The arrays are those of :func:`skwing.networks._storage.as_array`.
    """
    tensors = {name: as_tensor(array) for name, array in arrays.items()}
    header = {"format": kind.newest, "skwing": __version__, kind.name: content}
    header["sha256"] = _checksum(header, tensors)
    write_bytes(path, save(tensors, {kind.key: json.dumps(header, allow_nan=False)}))


def read_content(path: FilePath, kind: Kind) -> tuple[Any, dict[str, NDArray[Any]], str]:
    """Content, arrays and version of skwing of a file written by :func:`write_content`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is of another kind, damaged, or of a newer format.
    """
    path = os.fsdecode(path)
    if not stat.S_ISREG(_stat(path, kind).st_mode):
        written = f"expected a file written by {kind.writer.partition(' (')[0]}"
        raise ValueError(f"{path} is not a regular file, {written}")
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            header = _read_header(file.metadata() or {}, path, kind)
            version = check_format(
                header["format"],
                header["skwing"],
                f"the {kind.name} in {path}",
                newest=kind.newest,
            )
            # Copy the tensors, because the file may be replaced while they are in use.
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, RuntimeError, TypeError, OverflowError) as error:
        raise ValueError(
            f"{path} cannot be read as a {kind.name}: it is damaged, or was not written by "
            f"{kind.writer} ({error})"
        ) from error
    if header.pop("sha256") != _checksum(header, tensors):
        raise ValueError(f"{path} is damaged: its content does not match its checksum")
    return header[kind.name], {name: as_array(tensor) for name, tensor in tensors.items()}, version


def _stat(path: str, kind: Kind) -> os.stat_result:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        what = f"no {kind.name} can be loaded: "
        raise FileNotFoundError(what + there_is_no(f"file {path}", path)) from None


def _read_header(metadata: dict[str, str], path: str, kind: Kind) -> dict[str, Any]:
    if kind.key not in metadata:
        writer = kind.writer.partition(" (")[0]
        raise ValueError(f"{path} is a safetensors file, but not one written by {writer}")
    try:
        header = json.loads(metadata[kind.key])
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path} is damaged: its header is not JSON") from error
    check_keys(header, kind.keys, f"the header of {path}")
    return header


def _checksum(header: dict[str, Any], tensors: dict[str, torch.Tensor]) -> str:
    """Checksum of the header, and of names, data types, shapes and values of all tensors."""
    total = hashlib.sha256(json.dumps(header, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        told = [name, str(tensor.dtype), list(tensor.shape)]
        total.update(json.dumps(told).encode())
        if tensor.numel():  # others have no view as bytes
            flat = tensor.contiguous().reshape(-1)
            total.update(flat.view(torch.uint8).numpy())  # type: ignore[arg-type]
    return total.hexdigest()
