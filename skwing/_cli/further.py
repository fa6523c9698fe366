"""What annotation files contain besides images, boxes and landmarks."""

from dataclasses import dataclass, field, replace
from pathlib import PureWindowsPath

import numpy as np

from skwing._cli.words import count

_STANDARD = ("data", "target", "schema", "groups", "names", "DESCR", "unread")


@dataclass(frozen=True)
class Further:
    """Content of an annotation file besides images, boxes and landmarks.

    Attributes
    ----------
    columns : dict of str to ndarray of shape (n_samples,)
        A value for each sample, by names that all formats share: ``id``, ``scale``,
        ``comment``, ``variables``, ``image_id``, ``category``, and any others of a table.
    names : ndarray of str of shape (n_samples,) or None
        Name of each sample, which may follow from its image.
    of_landmarks : dict of str to ndarray of shape (n_samples, n_landmarks)
        A value for each landmark: ``visibility``, ``likelihood``.
    curves : tuple of int
        Number of points of each curve of a TPS file.
    image_sizes : ndarray of shape (n_samples, 2) or None
        Sizes stated in the file.
    left_out : tuple of str
        What the reader left out, in words.
    """

    columns: dict = field(default_factory=dict)
    names: np.ndarray | None = None
    of_landmarks: dict = field(default_factory=dict)
    curves: tuple = ()
    image_sizes: np.ndarray | None = None
    left_out: tuple = ()

    def take(self, rows):
        """Content for a selection of the samples, which may contain one several times."""
        return replace(
            self,
            columns={name: values[rows] for name, values in self.columns.items()},
            names=None if self.names is None else self.names[rows],
            of_landmarks={name: values[rows] for name, values in self.of_landmarks.items()},
            image_sizes=None if self.image_sizes is None else self.image_sizes[rows],
        )

    def for_other_landmarks(self):
        """Content for landmarks that are not those of the file."""
        return replace(self, of_landmarks={}, left_out=())

    def column(self, name):
        """Values of a column, whose name may be in upper case, or None; and its name."""
        found = {key.lower(): key for key in reversed(self.columns)}.get(name)
        return (None, None) if found is None else (self.columns[found], found)


def of_csv(dataset):
    """Further columns of a table, by their names in the file."""
    columns = {}
    for key, values in dataset.items():
        if key not in _STANDARD:
            # Readers append "_" to names that data sets have already.
            columns[key[:-1] if key[:-1] in _STANDARD else key] = values
    return Further(columns, dataset.names, left_out=_unread(dataset, "column", "columns"))


def of_tps(dataset):
    """IDs, scales, comments, variables and curves of specimens."""
    columns = {}
    stems = [PureWindowsPath(path).stem for path in dataset.data.paths]
    if dataset.names.tolist() != stems:
        columns["id"] = dataset.names
    if not np.isnan(dataset.scale).all():
        columns["scale"] = dataset.scale
    for key, name in (("comments", "comment"), ("variables", "variables")):
        if any(dataset[key]):
            columns[name] = dataset[key]
    return Further(
        columns, dataset.names, curves=dataset.curves, left_out=_unread(dataset, "entry", "entries")
    )


def of_coco(dataset):
    """Ids, categories, visibilities and sizes of images."""
    columns = {}
    ids, image_ids, categories = map(
        _as_objects, (dataset.ids, dataset.image_ids, dataset.categories)
    )
    if ids.tolist() != list(range(1, len(ids) + 1)) and any(own is not None for own in ids):
        columns["id"] = ids
    place = {}
    if image_ids.tolist() != [place.setdefault(p, len(place) + 1) for p in dataset.data.paths]:
        columns["image_id"] = image_ids
    if len(set(categories)) > 1:
        columns["category"] = categories
    words = {
        "crowd": "of crowds",
        "unlabelled": "without landmarks",
        "other_category": "of other categories",
    }
    left_out = [
        f"{count(n, 'annotations')} {words[key]}" for key, n in dataset.left_out.items() if n
    ]
    n_empty = dataset.n_images - len(set(dataset.data.paths))
    left_out += [f"{count(n_empty, 'images')} without landmarks"] if n_empty else []
    hidden = (dataset.visibility == 1).any()
    return Further(
        columns,
        dataset.names,
        {"visibility": dataset.visibility} if hidden else {},
        image_sizes=None if np.isnan(dataset.image_sizes).all() else dataset.image_sizes,
        left_out=(*left_out, *_unread(dataset, "entry", "entries")),
    )


def of_dlib(dataset):
    """Numbers of the images and boxes that were left out."""
    left_out = []
    if dataset.n_without_box:
        left_out.append(f"{count(dataset.n_without_box, 'images')} without a box")
    if dataset.n_ignored:
        left_out.append(f"{count(dataset.n_ignored, 'box')} marked ignore")
    return Further(left_out=(*left_out, *_unread(dataset, "entry", "entries")))


def of_deeplabcut(dataset):
    """Individuals and likelihoods."""
    columns = {}
    if any(dataset.individuals):
        columns["individual"] = _as_objects(dataset.individuals)
    likelihood = {"likelihood": dataset.likelihood} if "likelihood" in dataset else {}
    return Further(columns, of_landmarks=likelihood)


def _unread(dataset, one, several):
    """Names of content that the reader does not read, in words."""
    unread = dataset.get("unread") or ()
    what = one if len(unread) == 1 else several
    return (f"the {what} {', '.join(unread)}",) if unread else ()


def _as_objects(values):
    array = np.empty(len(values), dtype=object)
    array[:] = values
    return array
