"""Faces of the protocols of the paper, with training and test splits."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from _folds import FOLD_SEED, SUBSETS_300W, Source, load_faces, make_folds

from skwing.datasets import load_300w, load_aflw, make_faces
from skwing.images import BoxedImages, concatenate

PARTS = {"lfpw/testset": "common", "helen/testset": "common", "ibug": "challenging"}
N_MADE = 3000  # two thirds for training
PUBLISHED = "published"


@dataclass(frozen=True)
class Split:
    """Faces, test indices, and the description of the split in results.

    `parts` is the test-set part of each test face; None if there are no parts.
    """

    told: dict
    data: BoxedImages
    target: np.ndarray
    is_test: np.ndarray
    parts: np.ndarray | None = None

    @property
    def n_train(self):
        """Number of training faces."""
        return int((~self.is_test).sum())


def _join(told, train, test, parts=None):
    """Split from separate training and test sets."""
    is_test = np.repeat([False, True], [len(train[1]), len(test[1])])
    data, target = concatenate([train[0], test[0]]), np.concatenate([train[1], test[1]])
    return Split(told, data, target, is_test, parts)


def _some(n_rows, n):
    """`n` random indices, sorted; all if n is None."""
    rows = np.random.RandomState(FOLD_SEED).permutation(n_rows)
    return np.sort(rows if n is None else rows[: max(1, n)])


def _fifths(n):
    """Numbers of training and test faces for about `n` faces."""
    return (None, None) if n is None else (n - n // 5, n // 5)


def _load_made(args):
    n = args.n_faces or N_MADE
    faces = make_faces(n, random_state=FOLD_SEED)
    test = faces.groups >= np.unique(faces.groups)[-1] * 2 // 3  # other persons
    told = {"faces": "made", "boxes": "drawn", "n_faces": n, "n_folds": 1, "fold": 0}
    return [Split(told, faces.data, faces.target, test)]


def _load_aflw(args):
    told = {"faces": "aflw", "boxes": PUBLISHED, "n_faces": args.n_faces, "n_folds": PUBLISHED}
    sides = []
    for side, n in zip(("train", "test"), _fifths(args.n_faces), strict=True):
        faces = load_aflw(args.data, split=side)
        rows = _some(len(faces.target), n)
        sides.append((faces.data[rows], faces.target[rows]))
    return [_join(told | {"fold": PUBLISHED}, *sides)]


def _load_300w(args):
    root = Path(args.data)
    source = Source(args.data, "300w", args.boxes, args.folds, args.n_faces)
    tests = [name for name in PARTS if (root / name).is_dir()]
    use = args.use or ([PUBLISHED] if tests else [0])
    faces = load_faces(source)
    folds = {str(name): rows for name, rows in make_folds(faces, source).items()}
    splits = []
    for name in map(str, use):
        if name in folds:
            train, test = ((faces.data[rows], faces.target[rows]) for rows in folds[name])
            splits.append(_join(source.told() | {"fold": int(name)}, train, test))
        elif name == PUBLISHED and tests:
            splits.append(_published_300w(args, source, tests))
        else:
            there = [*folds, *([PUBLISHED] if tests else [])]
            raise SystemExit(f"--use: there is no {name}, only {', '.join(there)}")
    return splits


def _published_300w(args, source, tests):
    """All training folders, and the available folders of the common and challenging sets."""
    train = load_faces(source)
    test = load_300w(args.data, subsets=tests, boxes=args.boxes)
    rows = _some(len(test.target), _fifths(args.n_faces)[1])
    told = source.told() | {"n_folds": PUBLISHED, "fold": PUBLISHED}
    parts = np.array([PARTS[subset] for subset in test.subset[rows]])
    return _join(told, (train.data, train.target), (test.data[rows], test.target[rows]), parts)


LOADERS = {"aflw": _load_aflw, "300w": _load_300w, "faces": _load_made}


def load_splits(args):
    """Splits selected on the command line."""
    if args.protocol != "faces" and args.data is None:
        raise SystemExit(f"--protocol {args.protocol} needs --data, the folder of the data set")
    if args.protocol != "300w" and args.use:
        raise SystemExit(f"--use is for --protocol 300w: {args.protocol} has one split")
    return LOADERS[args.protocol](args)


def add_options(parser):
    """Add the options for the faces to a parser."""
    parser.add_argument("--protocol", required=True, choices=list(LOADERS))
    parser.add_argument("--data", help="folder of the data set; not used for generated faces")
    parser.add_argument(
        "--boxes",
        default="detector",
        choices=["detector", "ground_truth", "landmarks"],
        help="of 300-W",
    )
    parser.add_argument(
        "--folds", type=int, default=5, help="number of folds of the training faces of 300-W"
    )
    parser.add_argument(
        "--use",
        nargs="+",
        metavar="SPLIT",
        help="of 300-W: numbers of folds of the training folders "
        f"({', '.join(SUBSETS_300W)}), by photograph, or 'published': all of them, tested on "
        "the common and the challenging set. Default: published if there is such a set, else 0",
    )
    parser.add_argument("--n-faces", type=int, help="approximate total number of faces")
