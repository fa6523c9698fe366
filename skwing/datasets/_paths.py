"""Paths of images in files of annotations: read safely, and written relative to the file."""

from __future__ import annotations

import os
import posixpath
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from skwing._utils.types import FilePath
    from skwing.images import BoxedImages

# In the order in which one is taken where a name has several.
IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp", ".gif", ".ppm", ".pgm")

_DRIVE = re.compile(r"[A-Za-z]:")
_OF_WINDOWS = re.compile(r"[A-Za-z]:[/\\]|\\\\")  # absolute paths


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
        advice = "replace it in the file by a path relative to this folder"
        if anywhere and not is_absolute:
            advice = "pass the folder of the images to the reader"
        raise ValueError(f"{told}: {advice}")
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
        :func:`finder_in` with this folder.
    """
    folder = os.path.dirname(os.fspath(path)) if images is None else images
    return finder_in(folder, anywhere=images is None)


def finder_in(folder: FilePath, *, anywhere: bool = False) -> Callable[[Any, str], str]:
    r"""Return a function of (name, where) that returns the path of an image below a folder.

    An absolute path of another computer is looked up in the folder: the longest end of it that
    exists there, else the name of the file. Such a path has a drive letter of another system, or
    does not exist and `anywhere` is False. In the latter case, this also holds for relative paths
    that lead out of the folder, such as ``../photos/a.jpg``.

    Parameters
    ----------
    folder : str or os.PathLike
    anywhere : bool, default=False
        Whether absolute paths may point anywhere, see :func:`inside`.

    Returns
    -------
    find : callable
        Raises a ValueError as :func:`inside` does, and if two paths of another computer would be
        the same file.

    Examples
    --------
    >>> from skwing.datasets._paths import finder_in
    >>> find = finder_in("photos")
    >>> find(r"E:\wings\a.jpg", "line 3").replace("\\", "/")
    'photos/a.jpg'
    >>> find(r"E:\others\a.jpg", "line 7")
    Traceback (most recent call last):
    ...
    ValueError: line 7: the image paths 'E:\\wings\\a.jpg' and 'E:\\others\\a.jpg' both end as ...
    """
    named: dict[str, str] = {}

    def find(name: Any, where: str) -> str:
        if not anywhere and _leads_out(name):
            parts = _parts_of(name.replace("\\", "/").rpartition("../")[2], where)
        elif _is_of_another_computer(name, folder, anywhere):
            parts = _parts_of(name, where)
        else:
            return inside(folder, name, where, anywhere=anywhere)
        ends = [os.path.join(os.fspath(folder), *parts[i:]) for i in range(len(parts))]
        file = next(filter(os.path.isfile, ends), ends[-1])
        if named.setdefault(file, name) != name:
            raise ValueError(
                f"{where}: the image paths {named[file]!r} and {name!r} both end as {file}: "
                f"replace them in the file by paths relative to {folder or '.'}"
            )
        return file

    return find


def is_absolute(name: str) -> bool:
    """Whether a path is absolute on this system or on Windows."""
    return os.path.isabs(name) or bool(_OF_WINDOWS.match(name))


def _leads_out(name: Any) -> bool:
    """Whether a path is relative and begins with a step out of its folder."""
    if not isinstance(name, str) or "\0" in name:
        return False
    return posixpath.normpath(name.replace("\\", "/")).startswith("../")


def _is_of_another_computer(name: Any, folder: FilePath, anywhere: bool) -> bool:
    """Whether a path is absolute, but cannot be that of an image on this computer."""
    if not isinstance(name, str) or "\0" in name or not is_absolute(name):
        return False
    if not os.path.isabs(name):
        return True
    return not (anywhere or _is_below(name, folder) or os.path.exists(name))


def _parts_of(name: str, where: str) -> list[str]:
    """Folders and file name of an absolute path of any system, without the drive."""
    parts = [part for part in name.replace("\\", "/").split("/") if part not in ("", ".")]
    parts = parts[1:] if _DRIVE.match(parts[0] if parts else "") else parts
    if not parts or ".." in parts or name.endswith(("/", "\\")):
        raise ValueError(f"{where}: found {name!r:.60}, expected the path of an image.")
    return parts


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
