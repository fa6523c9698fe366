"""Paths of images in files of annotations: read safely, and written relative to the file."""

from __future__ import annotations

import os
import re
from functools import partial
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skwing._utils.types import FilePath
    from skwing.images import BoxedImages

__all__ = ["IMAGE_SUFFIXES", "image_finder", "inside", "relative_path", "written_paths"]

# In the order in which one is taken where a name has several.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")

_DRIVE = re.compile(r"[A-Za-z]:")


def inside(root: FilePath, name: Any, where: str, *, anywhere: bool = False) -> str:
    r"""Path of a file named in an annotation, which must be below a folder.

    Only the text of the path is used: files are not accessed and links are not followed.

    Parameters
    ----------
    root : str or os.PathLike
    name : str
        Both slashes and backslashes separate folders.
    where : str
        Location such as ``"labels.csv, line 3"``, for error messages.
    anywhere : bool, default=False
        Whether absolute paths may point anywhere. Writers use absolute paths for images that
        are not below the folder of the file. Readers accept them if the user did not pass the
        folder of the images.

    Returns
    -------
    path : str

    Raises
    ------
    ValueError
        If `name` is absolute and not below `root`, has a drive letter of another system,
        leaves `root` by ``..``, or names no file.

    Examples
    --------
    >>> from skwing.datasets._paths import inside
    >>> inside("photos", "a/../b.jpg", "labels.csv, line 3").replace("\\", "/")
    'photos/b.jpg'
    """
    if not isinstance(name, str):
        raise ValueError(f"{where}: found {name!r:.60}, expected the path of an image.")
    plain = name.replace("\\", "/")
    if os.path.isabs(name) and (anywhere or _is_below(name, root)):
        if plain.endswith("/") or "\0" in name:
            raise ValueError(f"{where}: found {name!r:.60}, expected the path of an image.")
        return os.path.normpath(name)
    leaves = is_absolute = plain.startswith("/") or bool(_DRIVE.match(plain))
    parts: list[str] = []
    for part in plain.split("/"):
        if part == ".." and not parts:
            leaves = True
        elif part == "..":
            parts.pop()
        elif part not in ("", "."):
            parts.append(part)
    if leaves:
        told = f"{where}: the image path {name!r} leaves the folder {root or '.'}"
        advice = ": replace it in the file by a path relative to this folder"
        raise ValueError(told + (advice if is_absolute else ""))
    if not parts or plain.endswith("/") or "\0" in name:
        raise ValueError(f"{where}: found {name!r:.60}, expected the path of an image.")
    return os.path.join(os.fspath(root), *parts)


def image_finder(path: FilePath, images: FilePath | None) -> Callable[[Any, str], str]:
    """Return a function of (name, where) that returns the path of an image named in a file.

    Parameters
    ----------
    path : str or os.PathLike
        The file.
    images : str, os.PathLike or None
        Folder of the images; None is that of the file, and permits any absolute path.

    Returns
    -------
    find : callable
        :func:`inside` with this folder.
    """
    folder = os.path.dirname(os.fspath(path)) if images is None else images
    return partial(inside, folder, anywhere=images is None)


def _is_below(path: str, folder: FilePath) -> bool:
    return os.path.normpath(path).startswith(os.path.join(os.path.abspath(folder), ""))


def relative_path(path: FilePath, folder: FilePath, *, must: str = "", describe: str = "") -> str:
    """Path for a file in `folder`: relative if it is below the folder, else absolute.

    Folders are separated by slashes, which all systems accept.

    Raises
    ------
    ValueError
        If the path must be below the folder, but is not. `must` is the name of the parameter
        for the folder, `describe` the description of the sample.
    """
    path, folder = os.path.abspath(path), os.path.join(os.path.abspath(folder), "")
    if path.startswith(folder):
        path = path[len(folder) :]
    elif must:
        raise ValueError(
            f"{describe}: the image lies outside of the folder {must}={folder!r}, expected it "
            f"below: readers would reject it. {must}=None writes absolute paths of images that "
            "are elsewhere."
        )
    return path.replace(os.sep, "/")


def written_paths(data: BoxedImages, path: FilePath, images: FilePath | None) -> list[str]:
    """Paths of images for a file to write.

    Parameters
    ----------
    data : BoxedImages
        Image files.
    path : str or path-like
        The file to write.
    images : str, path-like or None
        Folder that the paths are relative to and that must contain all images. None is the
        folder of the file; images elsewhere get absolute paths. Readers have the same
        parameter.

    Returns
    -------
    paths : list of str
    """
    folder = os.path.dirname(os.path.abspath(path)) if images is None else images
    must = "" if images is None else "images"
    return [
        relative_path(own, folder, must=must, describe=data.describe(i))
        for i, own in enumerate(data.paths)  # type: ignore[arg-type]
    ]
