"""Reading and atomic writing of files."""

from __future__ import annotations

import contextlib
import os
import secrets
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import IO, Any

    from skwing._utils.types import FilePath

_KINDS = (
    (stat.S_ISDIR, "a folder"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)
_NAME_PART = 40  # maximum length of the target's name in the name of the temporary file


def there_is_no(what: str, path: FilePath) -> str:
    """State that there is no file of this path, and where a relative path leads to.

    Parameters
    ----------
    what : str
        What is missing.
    path : str or path-like

    Examples
    --------
    >>> from skwing._utils.files import there_is_no
    >>> there_is_no("such file", "/photos/a.jpg")
    'there is no such file'
    >>> there_is_no("file ~/a.jpg", "~/a.jpg")
    'there is no file ~/a.jpg: ~ is not expanded, as by os.path.expanduser'
    """
    path = os.fsdecode(path)
    if path.startswith("~"):
        return f"there is no {what}: ~ is not expanded, as by os.path.expanduser"
    return f"there is no {what}" + (
        "" if os.path.isabs(path) else f" in the current folder {os.getcwd()}"
    )


def check_target(path: FilePath | bytes) -> str:
    """Validate a path before an expensive computation of the content to write.

    Parameters
    ----------
    path : str or path-like

    Returns
    -------
    target : str
        Absolute path; symbolic links are resolved.

    Raises
    ------
    FileNotFoundError
        If the folder does not exist.
    PermissionError
        If the file or its folder is not writable.
    ValueError
        If the path exists and is not a regular file, but a folder, a named pipe or a device.
    """
    path = os.fsdecode(path)
    found = None if "\0" in path else _stat(path)
    if found is None and (not os.path.basename(path) or "\0" in path):
        raise ValueError(f"{path!r}: expected the name of a file to write.")
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    if not os.path.isdir(folder):
        raise FileNotFoundError(f"there is no folder {folder} to write {path} into.")
    if found is not None and not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{path} is {_kind(found)}, expected the name of a file to write.")
    if found is not None and not os.access(target, os.W_OK):
        raise PermissionError(f"the file {path} may not be written: it is read-only.")
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PermissionError(f"the folder {folder} may not be written, so {path} cannot be.")
    return target


@contextlib.contextmanager
def replacing(path: FilePath | bytes, *, binary: bool = False) -> Iterator[IO[Any]]:
    r"""Context manager for atomic writing: `path` is replaced when the file is complete.

    Content is written to a temporary file ``NAME.0123456789abcdef.tmp`` next to the target,
    flushed to disk, and then renamed. Until then, the target is unchanged. If an exception
    occurs, including KeyboardInterrupt, the temporary file is removed; it remains only if the
    process is killed. Permissions of a replaced file are preserved. A symbolic link is
    preserved, and its target is replaced. Other hard links keep the old content.

    Parameters
    ----------
    path : str or path-like
    binary : bool, default=False
        Whether to write bytes; otherwise text in UTF-8 with line ends ``\n``.

    Yields
    ------
    file : file object

    Raises
    ------
    OSError
        If the file cannot be written, for example because of missing permissions or a full
        disk; the message names the file.
    ValueError
        If the path is not a regular file, or the text is not valid Unicode.

    Examples
    --------
    >>> from skwing._utils.files import replacing
    >>> with replacing("labels.csv") as file:  # doctest: +SKIP
    ...     file.write("image,x,y")
    """
    path = os.fsdecode(path)
    target = check_target(path)
    folder, name = os.path.split(target)
    temporary = os.path.join(folder, f"{name[:_NAME_PART]}.{secrets.token_hex(8)}.tmp")
    try:
        with _create(temporary, _stat(target), binary) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    except BaseException as error:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        if isinstance(error, UnicodeEncodeError):  # for example a file name that is not Unicode
            raise ValueError(f"{path}: {error.object!r:.60} cannot be written as UTF-8.") from None
        if isinstance(error, OSError) and error.filename in (None, temporary):
            raise OSError(error.errno, f"not written: {error.strerror or error}", path) from error
        raise
    _flush_folder(folder)


def write_bytes(path: FilePath | bytes, content: bytes) -> None:
    """Write bytes to a file atomically, see :func:`replacing`."""
    with replacing(path, binary=True) as file:
        file.write(content)


def write_text(path: FilePath | bytes, content: str) -> None:
    """Write text to a file atomically, see :func:`replacing`."""
    with replacing(path) as file:
        file.write(content)


def read_bytes(path: FilePath | bytes) -> bytes:
    """Read a regular file, without blocking on other kinds of files.

    Raises
    ------
    OSError
        See `open`.
    ValueError
        If the path is a folder, a named pipe, a socket or a device.
    """
    # Without O_NONBLOCK, opening a named pipe would block until there is a writer.
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    found = os.stat(path)
    if not stat.S_ISREG(found.st_mode):
        raise ValueError(f"{os.fsdecode(path)}: this is {_kind(found)}, expected a file.")
    with open(path, "rb", opener=lambda name, _: os.open(name, flags)) as file:
        return file.read()


def _create(temporary: str, replaced: os.stat_result | None, binary: bool) -> IO[Any]:
    """Create a file with the permissions and the owner of the file to replace."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    # Permissions are never wider than those of the old file; for new files, umask applies.
    descriptor = os.open(temporary, flags, 0o666 if replaced is None else 0o600)
    try:
        if replaced is not None and hasattr(os, "fchmod"):
            with contextlib.suppress(OSError):  # only the superuser can change the owner
                os.fchown(descriptor, replaced.st_uid, replaced.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(replaced.st_mode))
        if binary:
            return open(descriptor, "wb")
        return open(descriptor, "w", encoding="utf-8", newline="\n")
    except BaseException:
        os.close(descriptor)
        raise


def _flush_folder(folder: str) -> None:
    """Flush a renaming to disk, if the system supports flushing of folders."""
    with contextlib.suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _stat(path: str) -> os.stat_result | None:
    try:
        return os.stat(path)
    except (FileNotFoundError, NotADirectoryError):
        return None


def _kind(found: os.stat_result) -> str:
    return next((kind for test, kind in _KINDS if test(found.st_mode)), "no regular file")
