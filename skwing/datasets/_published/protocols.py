"""Common functions of the readers of published data sets: counts and hidden landmarks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.warnings import warn_caller

if TYPE_CHECKING:
    from collections.abc import Mapping

    from skwing._utils.types import FilePath, Flags, Floats

# Options for hidden landmarks, and their texts in descriptions.
HIDDEN = {
    "keep": "the hidden ones are in target too",
    "nan": "the hidden ones are NaN in target",
}


def hide(target: Floats, visible: Flags, hidden: str) -> Floats:
    """Apply the option `hidden`: keep all landmarks, or replace invisible ones by NaN.

    Parameters
    ----------
    target : ndarray of shape (n, n_landmarks, 2)
    visible : ndarray of bool of shape (n, n_landmarks)
    hidden : {"keep", "nan"}

    Returns
    -------
    target : ndarray of shape (n, n_landmarks, 2)
    """
    return target if hidden == "keep" else np.where(visible[..., None], target, np.nan)


def warn_if_incomplete(
    where: FilePath, found: Mapping[str, int], published: Mapping[str, int]
) -> None:
    """Warn if numbers of faces differ from the published ones.

    Parameters
    ----------
    where : str or os.PathLike
    found, published : dict of str to int
        Number of faces of each part; only parts in both are compared.
    """
    wrong = [
        f"{part} has {found[part]} faces instead of {n}"
        for part, n in published.items()
        if part in found and found[part] != n
    ]
    if wrong:
        warn_caller(
            f"{where} is not the published data set: {', '.join(wrong)}. Errors on it cannot be "
            "compared with published ones.",
        )
