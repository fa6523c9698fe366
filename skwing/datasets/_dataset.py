"""What readers return: a Bunch of images, landmarks, groups and names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.utils import Bunch

from skwing._utils.checks import check_flag

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import Floats
    from skwing.images import BoxedImages
    from skwing.schema import LandmarkSchema


class Dataset(Bunch):
    """Result of a reader: a :class:`sklearn.utils.Bunch` with at least these attributes.

    Attributes
    ----------
    data : BoxedImages of shape (n,)
    target : ndarray of shape (n, n_landmarks, 2)
        In image pixels, NaN for missing.
    schema : LandmarkSchema or None
    groups : ndarray of str of shape (n,)
        Photo of each sample, for cross-validation by photo.
    names : ndarray of str of shape (n,)
        Unique name of each sample.
    DESCR : str
        Description of the data.

    Examples
    --------
    >>> from skwing.datasets import make_faces
    >>> faces = make_faces(8, random_state=0)
    >>> faces.target.shape, faces.schema.name
    ((8, 68, 2), 'ibug68')
    """

    data: BoxedImages
    target: Floats
    schema: LandmarkSchema | None
    groups: NDArray[Any]
    names: NDArray[Any]
    DESCR: str


def as_bunch(
    data: BoxedImages,
    target: ArrayLike,
    *,
    names: Iterable[object],
    descr: str,
    groups: Any = None,
    return_X_y: bool = False,
    **more: Any,
) -> Any:
    """Create the result of a reader.

    Parameters
    ----------
    data : BoxedImages of shape (n,)
    target : array-like of shape (n, n_landmarks, 2)
        In image pixels, NaN for missing.
    names : sequence of str of length n
    descr : str
    groups : sequence of str of length n, default=None
        Photo of each sample; None uses the paths of the images.
    return_X_y : bool, default=False
    **more
        Further attributes.

    Returns
    -------
    bunch : Bunch or (data, target)
    """
    target = np.asarray(target, dtype=np.float64)
    if check_flag(return_X_y, "return_X_y"):
        return data, target
    groups = data.paths if groups is None else groups
    return Dataset(
        data=data,
        target=target,
        schema=data.schema,
        groups=_as_texts(groups),
        names=_as_texts(names),
        DESCR=descr,
        **more,
    )


def _as_texts(texts: Any) -> NDArray[Any]:
    """Array of str, or of objects if a very long text would make the str array too large."""
    texts = [str(text) for text in texts]
    room = len(texts) * max(map(len, texts), default=0)
    return np.array(texts, dtype=str if room < 2**26 else object)
