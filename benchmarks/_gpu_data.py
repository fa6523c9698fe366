"""Faces for `on_gpu.py`: a split of 300-W by photograph, or generated faces without data."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import pandas as pd
from _folds import SUBSETS_300W, Source, load_faces, make_folds
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from sklearn.utils import Bunch

from skwing.datasets import load_300w, make_faces
from skwing.images import concatenate

MORE = "300w_helen_rest"  # additional faces of HELEN, next to the folder 300w
PAIRS = "same_photo_pairs.csv"  # near-duplicate photographs under two names
FOLD = 1  # fold of the results of `on_gpu.py`
N_TINY = 40


@dataclass(frozen=True)
class Split:
    """Faces, with training indices (`few` or `all`) and test indices."""

    faces: Bunch
    rows: dict[str, np.ndarray]
    test: np.ndarray
    told: dict


def same_photographs(names, groups, pairs):
    """Merge groups that contain the same photograph under two names.

    Parameters
    ----------
    names, groups : array of str of shape (n,)
    pairs : list of (str, str)
        Pairs of names; names that are not in `names` are ignored.

    Returns
    -------
    groups : int array of shape (n,)
    """
    _, own = np.unique(groups, return_inverse=True)
    row_of = {name: row for row, name in enumerate(names)}
    links = [(row_of[a], row_of[b]) for a, b in pairs if a in row_of and b in row_of]
    a, b = own[np.array(links, dtype=int).reshape(-1, 2)].T
    n = own.max() + 1
    links = coo_array((np.ones(len(a)), (a, b)), shape=(n, n))
    return connected_components(links, directed=False)[1][own]


@lru_cache(maxsize=1)
def load_all(data):
    """All faces of a folder that contains ``300w`` and optionally ``300w_helen_rest``.

    Returns
    -------
    faces : Bunch
        With data, target, subset, and groups, which are equal for faces of one photograph.
    """
    root = Path(data)
    subsets = [name for name in SUBSETS_300W if (root / "300w" / name).is_dir()]
    parts, pairs = [load_300w(root / "300w", subsets=subsets)], []
    if (root / MORE).is_dir():
        parts.append(load_300w(root / MORE))
        table = pd.read_csv(root / MORE / PAIRS)
        pairs = list(zip(table["a"], table["b"], strict=True))
    names = np.concatenate([part.names for part in parts])
    photos = [[f"{i} {group}" for group in part.groups] for i, part in enumerate(parts)]
    return Bunch(
        data=concatenate([part.data for part in parts]),
        target=np.concatenate([part.target for part in parts]),
        subset=np.concatenate([part.subset for part in parts]),
        groups=same_photographs(names, np.concatenate(photos), pairs),
    )


def has_turned(data):
    """Whether a folder contains the far turned faces of `_folds.py`."""
    return data is not None and (Path(data) / "aflw_mtfl_merlrav").is_dir()


@lru_cache(maxsize=8)
def load_split(data, tiny, fold=FOLD, turned=False):
    """Split of the faces of a folder; the test faces are those of a fold of `_folds.py`.

    Parameters
    ----------
    data : str or None
        Folder of :func:`load_all`; None draws faces.
    tiny : bool
        Whether to select few faces.
    fold : int, default=1
    turned : bool, default=False
        Whether to add the far turned faces of `_folds.py`.

    Returns
    -------
    split : Split
    """
    if data is None:
        return _drawn_split(N_TINY if tiny else 2000)
    if turned:
        return _turned_split(data, tiny, fold)
    faces = load_all(data)
    groups = faces.groups
    source = Source(str(Path(data) / "300w"))
    train, test = make_folds(load_faces(source), source)[fold]
    # Faces of photographs in the test set are excluded from training.
    clean = ~np.isin(groups, groups[test])
    rows = {"few": train[clean[train]], "all": np.flatnonzero(clean)}
    return _made_split(faces, rows, test, tiny, {"faces": "300w", "fold": fold})


def _turned_split(data, tiny, fold):
    source = Source(data, "turned")
    faces = load_faces(source)
    train, test = make_folds(faces, source)[fold]
    told = {"faces": "turned", "fold": fold}
    return _made_split(faces, {"few": train, "all": train}, test, tiny, told)


def _made_split(faces, rows, test, tiny, told):
    if tiny:
        rows = {name: some[:: max(1, len(some) // N_TINY)] for name, some in rows.items()}
        test = test[:: max(1, len(test) // N_TINY)]
    return Split(faces, rows, test, {**told, "n_test": len(test)})


def _drawn_split(n):
    drawn = make_faces(n, random_state=0)
    test = drawn.groups >= np.quantile(drawn.groups, 0.8)  # other persons
    faces = Bunch(data=drawn.data, target=drawn.target, subset=np.full(n, "drawn"))
    rows = np.flatnonzero(~test)
    told = {"faces": "drawn", "fold": 0, "n_test": int(test.sum())}
    return Split(faces, {"few": rows, "all": rows}, np.flatnonzero(test), told)
