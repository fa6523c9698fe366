"""Folds of faces that share no photographs and no persons.

The folds depend only on the faces, and are the same for all trials, peers and seeds.

- ``300w``: the available training subsets of 300-W (LFPW, HELEN, AFW), never its test sets;
  folds by photograph, because photographs of AFW and HELEN may contain several faces.
- ``youtube``: frames of YouTube Faces with automatic landmarks, as a folder with
  ``training_frames_keypoints.csv``, ``training/`` and ``boxes.csv``; folds by person, from
  the column ``fold``. Frames without a detected box are excluded. For duplicate names, the last
  row is used: the name denotes two frames, and the image file is that of the later one. The
  label definition differs from 300-W, so errors on the two data sets are not comparable.
- ``turned``: the faces of ``300w``, and faces of AFLW with the 68 landmarks of MERL-RAV, many
  of them far turned, as a folder with ``300w``, ``mtfl`` (images) and ``aflw_mtfl_merlrav``
  (landmarks, NaN where the head itself hides them). Boxes of AFLW are the landmarks' boxes,
  shifted and scaled at random; one face in a photograph.
"""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from sklearn.model_selection import GroupKFold
from sklearn.utils import Bunch

from skwing import BoxedImages
from skwing.boxes import landmark_boxes
from skwing.datasets import load_300w, read_csv
from skwing.geometry import boxes_of
from skwing.images import concatenate

FOLD_SEED = 2018
SUBSETS_300W = ("lfpw/trainset", "helen/trainset", "afw")


@dataclass(frozen=True)
class Source:
    """Faces, boxes and number of folds."""

    data: str
    faces: str = "300w"
    boxes: str = "detector"
    n_folds: int = 5
    n_faces: int | None = None
    n_train: int | None = None

    def told(self):
        """Fields for a line of results, without local paths."""
        told = {"faces": self.faces, "boxes": self.boxes, "n_faces": self.n_faces}
        if self.n_train is not None:
            told["n_train_asked"] = self.n_train
        return told | {"n_folds": self.n_folds if self.faces == "300w" else "by person"}


def _load_300w(root, boxes):
    present = [subset for subset in SUBSETS_300W if (Path(root) / subset).is_dir()]
    if not present:
        raise SystemExit(f"{root} holds none of {', '.join(SUBSETS_300W)}")
    faces = load_300w(root, subsets=present, boxes=boxes)
    return Bunch(**{key: faces[key] for key in ("data", "target", "groups", "subset")}, fold=None)


def _load_youtube(root, boxes):
    root = Path(root)
    table = read_csv(
        root / "training_frames_keypoints.csv",
        images=root / "training",
        boxes=root / "boxes.csv",
        groups="person",
        schema="ibug68",
    )
    last = np.unique(table.names[::-1], return_index=True)[1]
    rows = np.sort(len(table.names) - 1 - last)
    data, target = table.data[rows], table.target[rows]
    if boxes == "landmarks":
        data = data.with_boxes(boxes_of(target))
    elif boxes != "detector":
        raise SystemExit(f"youtube has detector boxes and landmark boxes, no {boxes} boxes")
    kept = ~np.isnan(data.boxes).any(1)
    rows, data, target = rows[kept], data[kept], target[kept]
    subset = np.full(len(rows), "youtube")
    return Bunch(
        data=data, target=target, groups=table.groups[rows], subset=subset, fold=table.fold[rows]
    )


def _load_turned(root, boxes):
    root = Path(root)
    faces = _load_300w(root / "300w", boxes)
    labels = np.load(root / "aflw_mtfl_merlrav" / "landmarks_68.npz")
    target = labels["landmarks"].astype(float)
    paths = [str(root / "mtfl" / name.replace("\\", "/")) for name in labels["image"]]
    placed = landmark_boxes(target, square=True, jitter=0.05, random_state=FOLD_SEED)
    return Bunch(
        data=concatenate([faces.data, BoxedImages(paths, placed, schema="ibug68")]),
        target=np.concatenate([faces.target, target]),
        groups=np.concatenate([faces.groups, labels["merl_rav_name"]]),
        subset=np.concatenate([faces.subset, np.full(len(target), "aflw")]),
        fold=None,
    )


def aflw_test_rows(faces):
    """Every sixth face of AFLW among the ``turned`` ones, for which nothing was chosen.

    Two other sixths were used to choose the parameters of repeated predictions.
    """
    return np.flatnonzero(faces.subset == "aflw")[3::6]


LOADERS = {"300w": _load_300w, "youtube": _load_youtube, "turned": _load_turned}


@lru_cache(maxsize=2)
def load_faces(source):
    """Bunch with data, target, groups, subset and, if the data set has folds, fold."""
    faces = LOADERS[source.faces](source.data, source.boxes)
    if source.n_faces is None or source.n_faces >= len(faces.groups):
        return faces
    rows = _some(faces.groups, source.n_faces)
    return Bunch(**{key: value if value is None else value[rows] for key, value in faces.items()})


def _some(groups, n):
    """Sorted indices of about n faces; groups (photograph or person) are not split."""
    names, sizes = np.unique(groups, return_counts=True)
    order = np.random.RandomState(FOLD_SEED).permutation(len(names))
    n_groups = np.searchsorted(np.cumsum(sizes[order]), n) + 1
    return np.flatnonzero(np.isin(groups, names[order[:n_groups]]))


def make_folds(faces, source):
    """Training and test indices of each fold."""
    if faces.fold is not None:
        folds = {
            int(fold): (np.flatnonzero(faces.fold != fold), np.flatnonzero(faces.fold == fold))
            for fold in np.unique(faces.fold)
        }
    else:
        splitter = GroupKFold(source.n_folds, shuffle=True, random_state=FOLD_SEED)
        folds = dict(enumerate(splitter.split(faces.target, groups=faces.groups)))
    if source.n_train is None:
        return folds
    return {
        fold: (train[_some(faces.groups[train], source.n_train)], test)
        for fold, (train, test) in folds.items()
    }


def add_options(parser):
    """Add the options for faces and folds to a parser."""
    parser.add_argument("--data", required=True, help="folder of the data set")
    parser.add_argument("--faces", default="300w", choices=list(LOADERS))
    parser.add_argument(
        "--boxes", default="detector", choices=["detector", "ground_truth", "landmarks"]
    )
    parser.add_argument(
        "--folds", type=int, default=5, help="number of folds of 300-W; others have fixed folds"
    )
    parser.add_argument("--use", type=int, nargs="+", help="folds to run; default: all")
    parser.add_argument("--n-faces", type=int, help="approximate number of faces to use")
    parser.add_argument("--n-train", type=int, help="approximate number of training faces")
    parser.add_argument(
        "--seeds", type=int, nargs="+", default=[0], help="random seeds of training"
    )


def chosen(args):
    """Source and fold numbers selected on the command line."""
    source = Source(args.data, args.faces, args.boxes, args.folds, args.n_faces, args.n_train)
    there = list(make_folds(load_faces(source), source))
    use = there if args.use is None else args.use
    if unknown := sorted(set(use) - set(there)):
        raise SystemExit(f"--use: there is no fold {unknown}, only {there}")
    return source, use
