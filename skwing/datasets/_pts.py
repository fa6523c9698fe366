"""The .pts files of iBUG: landmarks as text, counted from 1."""

import math
from pathlib import Path

import numpy as np

__all__ = ["read_pts"]


def _header_count(lines, path):
    """Number of points that the header declares, and the line of the opening brace."""
    declared = None
    for number, line in enumerate(lines, 1):
        key, colon, value = line.partition(":")
        if line.strip() == "{":
            return declared, number
        if key.strip().lower() == "n_points":
            try:
                declared = int(value)
            except ValueError:
                raise ValueError(
                    f"{path}, line {number}: n_points is {value.strip()!r}, not a whole number."
                ) from None
        elif line.strip() and not colon:
            raise ValueError(f"{path}, line {number}: found {line.strip()!r:.60}, expected '{{'.")
    raise ValueError(f"{path}: no line opens the points with '{{'.")


def _point(line, where):
    try:
        x, y = map(float, line.split())
    except ValueError:
        raise ValueError(f"{where}: found {line.strip()!r:.60}, expected two numbers.") from None
    if math.isinf(x) or math.isinf(y):
        raise ValueError(f"{where}: found {line.strip()!r:.60}, expected finite coordinates.")
    return x, y


def read_pts(path):
    r"""Landmarks of a .pts file, counted from 0.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    points : ndarray of shape (n_landmarks, 2)
        float64, in pixels; an integer is the centre of a pixel. The file counts pixels
        from 1, which ends here.

    Raises
    ------
    FileNotFoundError
        If there is no such file.
    ValueError
        If the file is not as the format says; names the file and the line.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> from skwing.datasets import read_pts
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = Path(folder, "a.pts")
    ...     _ = path.write_text("version: 1\nn_points: 2\n{\n1 1\n30.5 41.25\n}\n")
    ...     read_pts(path)
    array([[ 0.  ,  0.  ],
           [29.5 , 40.25]])
    """
    lines = Path(path).read_text(encoding="utf-8-sig", errors="replace").splitlines()
    declared, start = _header_count(lines, path)
    points = []
    for number, line in enumerate(lines[start:], start + 1):
        if line.strip() == "}":
            break
        if line.strip():
            points.append(_point(line, f"{path}, line {number}"))
    else:
        raise ValueError(f"{path}: no line closes the points with '}}': the file is cut short.")
    if declared is not None and declared != len(points):
        raise ValueError(f"{path}: n_points says {declared}, but there are {len(points)} points.")
    return np.array(points, dtype=np.float64).reshape(-1, 2) - 1
