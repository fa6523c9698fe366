"""Writer of TPS files of geometric morphometrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.checks import count
from skwing._utils.files import replacing
from skwing._utils.warnings import warn_caller
from skwing.datasets._checks import check_written
from skwing.datasets._formats.tps import flip_y, heights_of
from skwing.datasets._paths import written_paths
from skwing.datasets._text import number_text

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import FilePath
    from skwing.images._types import ImagesLike


def write_tps(
    path: FilePath,
    data: ImagesLike,
    target: ArrayLike,
    *,
    images: FilePath | None = None,
    names: Sequence[str] | None = None,
    scale: float | ArrayLike | None = None,
    comments: Sequence[str] | None = None,
    variables: Sequence[str] | None = None,
    curves: Sequence[int] = (),
    y_up: bool = True,
    image_height: int | ArrayLike | None = None,
    missing: Literal["NA", "-1"] = "NA",
    decimals: int | None = None,
) -> None:
    """Write landmarks of specimens to a TPS file.

    :func:`read_tps` reads back the same landmarks, and its result can be passed:
    ``write_tps(path, wings.data, y, names=wings.names, scale=wings.scale)``. The format does
    not contain boxes and the schema.

    Parameters
    ----------
    path : str or os.PathLike
        Path of the file, which is written atomically.
    data : BoxedImages of shape (n,)
        Image files.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
        Landmarks in image pixels, with y pointing down; NaN for missing ones.
    images : str or os.PathLike, default=None
        Folder that the names of images are relative to and that must contain them. None is
        the folder of `path`; images elsewhere get absolute paths.
    names : sequence of str of length n, default=None
        IDs; None counts from 0.
    scale : float or array-like of shape (n,), default=None
        Units per pixel; NaN is not written.
    comments, variables : sequence of str of length n, default=None
        Comments and variables.
    curves : sequence of int, default=()
        Number of points of each curve; the last landmarks are written as these curves.
    y_up : bool, default=True
        Whether y points up in the file, as most programs expect.
    image_height : int or array-like of shape (n,), default=None
        See :func:`read_tps`.
    missing : {"NA", "-1"}, default="NA"
        Notation of missing landmarks: "NA" for geomorph, "-1" for tpsDig.
    decimals : int, default=None
        Number of decimals to which coordinates are rounded; None does not round.

    Raises
    ------
    FileNotFoundError
        If the folder of `path`, or an image whose height is required, does not exist.
    ValueError
        If shapes or lengths differ, or a text cannot be read back.

    Warns
    -----
    UserWarning
        If both coordinates of a landmark are negative in the file (to the left of and below
        the image), because programs, and by default `read_tps`, treat it as missing.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing import BoxedImages
    >>> from skwing.datasets import write_tps
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     wing = BoxedImages([f"{folder}/wing.jpg"])
    ...     write_tps(f"{folder}/a.tps", wing, [[[10, 0], [20.5, 47]]], image_height=48)
    ...     print(Path(folder, "a.tps").read_text())
    LM=2
    10 47
    20.5 0
    IMAGE=wing.jpg
    ID=0
    """
    data, points = check_written(data, target)
    n_samples, n_landmarks = points.shape[:2]
    if missing not in ("NA", "-1"):
        raise ValueError(f"missing must be 'NA' or '-1'; got {missing!r}.")
    counts = [n_landmarks - sum(curves), *curves]
    if min(counts) < 0:
        raise ValueError(f"curves has {sum(curves)} points, but there are {n_landmarks} landmarks.")
    heights = _heights(data, points, image_height) if y_up else None
    entries = {
        "IMAGE": written_paths(data, path, images),
        "ID": [str(i) for i in range(n_samples)] if names is None else names,
        "COMMENT": [""] * n_samples if comments is None else comments,
        "VARIABLES": [""] * n_samples if variables is None else variables,
        "SCALE": _scale_texts(scale, n_samples),
    }
    for key, texts in entries.items():
        entries[key] = _check_texts(key, texts, n_samples)
    points = points.copy()
    if heights is not None:
        points[..., 1] = flip_y(points[..., 1], heights)
    if decimals is not None:
        points = points.round(count(0, 15).check(decimals, "decimals"))
    with replacing(path) as file:
        for i, rows in enumerate(points.tolist()):
            lines = [
                f"{missing} {missing}" if x != x or y != y else f"{number_text(x)} {number_text(y)}"
                for x, y in rows
            ]
            file.write(_specimen_text(lines, counts, {key: t[i] for key, t in entries.items()}))
    if n_negative := int((points < 0).all(axis=2).sum()):
        warn_caller(
            f"{n_negative} landmarks are to the left of and below their image, at negative "
            "coordinates in the file: programs treat them as missing.",
        )


def _heights(data, points, image_height):
    """Height of each image; images without landmarks are not read, and have any height."""
    known = np.flatnonzero(~np.isnan(points).all(axis=(1, 2)))
    if image_height is not None or len(known) == len(points):
        return heights_of(data.paths, image_height, data.describe)
    heights = np.ones(len(points))
    heights[known] = heights_of(data.paths[known], None, lambda i: data.describe(int(known[i])))
    return heights


def _scale_texts(scale, n_samples):
    scale = np.asarray(np.nan if scale is None else scale, dtype=np.float64)
    if scale.shape not in ((), (n_samples,)):
        raise ValueError(f"scale has shape {scale.shape}, expected one number or ({n_samples},).")
    if not (np.isnan(scale) | ((scale > 0) & np.isfinite(scale))).all():
        raise ValueError("scale must be of numbers above 0, or NaN.")
    texts = np.broadcast_to(scale, n_samples).tolist()
    return ["" if np.isnan(number) else number_text(number) for number in texts]


def _check_texts(key, texts, n_samples):
    texts = [str(text) for text in texts]
    if len(texts) != n_samples:
        raise ValueError(f"{key}: got {len(texts)} texts for {n_samples} samples.")
    for i, text in enumerate(texts):
        lines = text.split("\n") if key == "COMMENT" else [text]
        if any(line != line.strip() or set(line) & set("\n\r\0") for line in lines):
            raise ValueError(
                f"sample {i}: {key} {text!r:.60} has line ends or blanks at its ends, which a "
                "TPS file cannot hold."
            )
    return texts


def _specimen_text(rows, counts, entries):
    """Lines of a specimen; the first count is the number of landmarks."""
    rows, lines = iter(rows), []
    for number, n_points in enumerate(counts):
        if number == 1:
            lines.append(f"CURVES={len(counts) - 1}")
        lines.append(f"{'POINTS' if number else 'LM'}={n_points}")
        lines += [next(rows) for _ in range(n_points)]
    for key, text in entries.items():
        if text:
            lines += [f"{key}={line}" for line in text.split("\n")]
    return "\n".join(lines) + "\n"
