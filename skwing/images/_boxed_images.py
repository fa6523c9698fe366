"""BoxedImages: images and their boxes."""

from __future__ import annotations

import itertools
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.boxes import check_boxes
from skwing._utils.pickle_format import FORMAT, check_format, check_keys
from skwing._utils.version import __version__
from skwing._utils.warnings import warn_caller, warn_of_data
from skwing.images._decode import as_source, decoding_threads, read_image
from skwing.images._failures import check_on_error, listed
from skwing.runtime import as_rgb, as_uint8
from skwing.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn, Self, TypeVar

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import Flags, Floats, Ints, OnError
    from skwing.images._types import SourceLike
    from skwing.schema import LandmarkSchema

    AnyArray = TypeVar("AnyArray", bound=NDArray[Any] | None)

_MOST_DRAWS = 10**12  # per epoch, as a sanity check: a thousandth already takes days


# Attributes in pickles. Those of earlier versions may lack the latter.
_KEPT = ("store", "numbers", "boxes", "repeats", "schema")
_LATER = ("stated_sizes", "stated_by")


def _check_repeats(repeats: ArrayLike, n_samples: int) -> Ints:
    repeats = np.array(repeats)
    if repeats.shape != (n_samples,):
        raise ValueError(f"repeats have shape {repeats.shape}, expected ({n_samples},).")
    if n_samples and repeats.dtype.kind not in "iu":
        raise ValueError(f"repeats are of dtype {repeats.dtype}, expected integers.")
    if (repeats < 0).any():
        first = int(np.flatnonzero(repeats < 0)[0])
        raise ValueError(f"sample {first}: repeats is {repeats[first]}, expected 0 or more.")
    # Sum as floats to avoid integer overflow.
    total = repeats.sum(dtype=np.float64)
    if total > _MOST_DRAWS:
        raise ValueError(
            f"the sum of repeats is {total:.3g}, the maximum {repeats.max()}; expected a sum of "
            f"at most {_MOST_DRAWS:.0e}."
        )
    return repeats.astype(np.int64)


def _frozen(array: AnyArray) -> AnyArray:
    """Make an array read-only, because views share it."""
    if array is not None:
        array.flags.writeable = False
    return array


def _check_key(key: Any) -> Any:
    """Convert the argument of ``images[...]`` to a slice or an array of indices."""
    if isinstance(key, tuple):
        key = tuple(part for part in key if part is not Ellipsis)
        if len(key) > 1:
            raise IndexError("BoxedImages has one dimension, too many indices were given.")
        key = key[0] if key else slice(None)
    if key is Ellipsis:
        return slice(None)
    if isinstance(key, slice):
        return key
    array = np.asarray(key)
    if array.size == 0 and array.dtype.kind not in "biu":
        array = array.astype(np.intp)
    if array.dtype.kind not in "biu" or array.ndim > 1:
        raise IndexError(
            "BoxedImages takes integers, slices, boolean masks and lists of these, "
            f"not {key!r:.60}."
        )
    return np.atleast_1d(array)


class BoxedImages:
    """Images with a box for each sample, decoded on access.

    Indexing copies no pixels: it returns a view of the same sources. scikit-learn can split,
    shuffle and resample it like an array of shape (n,).

    Parameters
    ----------
    images : array or sequence
        A uint8 array of shape (n, height, width) or (n, height, width, channels); or a
        list, a pandas Series or an object array of such images, which may differ in size, or
        of file paths. Colours are RGB. Arrays are not copied. Floats must be in [0, 1].
    boxes : array-like of shape (n, 4), default=None
        ``(x, y, width, height)`` in image pixels. None uses each whole image. A row of NaN
        marks a sample without a box, for example because a detector found nothing. Such
        samples are excluded from training, and their predictions are NaN.
    repeats : array-like of int of shape (n,), default=None
        Number of times that a regressor draws each sample per epoch; None means once.
    schema : str or LandmarkSchema, default=None
        Schema of the landmarks of these images. Views and splits keep it.

    Attributes
    ----------
    shape : tuple
        ``(n,)``.
    boxes : ndarray of shape (n, 4)
        Boxes; NaN if missing.
    missing_boxes : ndarray of bool of shape (n,)
        Mask of the samples without a box, if other samples have one.
    repeats : ndarray of int of shape (n,) or None
        Number of repeats of each sample.
    schema : LandmarkSchema or None
        Schema of the landmarks.

    Raises
    ------
    TypeError
        If `images` is a single path, or contains an item that is neither image nor path.
    ValueError
        If the shape of an image, a box, or the number of boxes or repeats is invalid.

    Notes
    -----
    Files are decoded by OpenCV and rotated upright according to their EXIF orientation, as
    in viewers, browsers and ``cv2.imread``; most annotations refer to this orientation. Pass
    arrays if your annotations refer to the pixels as stored. Grey images are converted to
    three equal channels, and transparent pixels are blended with white. These files raise
    an error: 16-bit images (convert them to uint8 with the range of grey levels that you
    need), damaged files, files with several pages or frames, images of more than 200 million
    pixels, and anything that is not a regular file.

    JPEG files are decoded strictly: truncated scans, invalid codes and trailing bytes, which
    OpenCV ignores, raise an error. Some changed bits result in a valid file and cannot be
    detected.

    Pickles contain only the rows of the view.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing import BoxedImages
    >>> pixels = np.zeros((3, 48, 64), dtype=np.uint8)
    >>> images = BoxedImages(pixels, boxes=[[0, 0, 9, 9], [5, 5, 20, 20], [1, 2, 3, 4]])
    >>> images[[2, 0]].boxes
    array([[1., 2., 3., 4.],
           [0., 0., 9., 9.]])
    >>> images.decode(0).shape
    (48, 64, 3)
    """

    # Image sizes stated in a file of annotations; absent in pickles of earlier versions.
    _stated_sizes: Floats | None = None
    _stated_by: str | None = None

    def __init__(
        self,
        images: SourceLike,
        boxes: ArrayLike | None = None,
        repeats: ArrayLike | None = None,
        schema: str | LandmarkSchema | None = None,
    ) -> None:
        if isinstance(images, BoxedImages):
            raise TypeError("images is already a BoxedImages: use its with_boxes, with_repeats.")
        source = as_source(images)
        index = _frozen(np.arange(len(source)))
        # A single attribute, so that pickling can replace both parts atomically between threads.
        self._store = (source, index)
        self._numbers = index
        self._boxes = (
            None if boxes is None else _frozen(check_boxes(boxes, len(self), self.describe))
        )
        self._repeats = None if repeats is None else _frozen(_check_repeats(repeats, len(self)))
        self._schema = check_schema(schema)

    @property
    def shape(self) -> tuple[int]:
        """``(n,)``. Without it, scikit-learn would convert the object to a list."""
        return self._numbers.shape

    @property
    def boxes(self) -> Floats:
        """Boxes, an array of shape (n, 4); rows are NaN for missing boxes."""
        return np.full((len(self), 4), np.nan) if self._boxes is None else self._boxes

    @property
    def has_boxes(self) -> bool:
        """Whether boxes were passed; some may be NaN. If False, whole images are used."""
        return self._boxes is not None

    @property
    def missing_boxes(self) -> Flags:
        """Mask of the samples without a box, an array of bool of shape (n,).

        If no boxes were passed at all, whole images are used and no box is missing. Use
        ``images[~images.missing_boxes]`` to select the usable samples.
        """
        if self._boxes is None:
            return np.zeros(len(self), dtype=bool)
        return np.any(np.isnan(self._boxes), axis=1)

    @property
    def repeats(self) -> Ints | None:
        """Number of draws of each sample per epoch, an array of shape (n,), or None."""
        return self._repeats

    @property
    def schema(self) -> LandmarkSchema | None:
        """Schema of the landmarks of these images, or None."""
        return self._schema

    @property
    def paths(self) -> NDArray[np.object_] | None:
        """Paths of the image files, an object array of shape (n,); None for pixels in memory."""
        source, index = self._store
        of_files = source.dtype == object and all(isinstance(item, str) for item in source[index])
        return source[index] if of_files else None

    def by_image(self) -> list[Ints]:
        """Group the samples by image, in order of first appearance.

        Returns
        -------
        samples : list of int arrays
            Positions of the samples of each image. Samples belong to the same image if they
            have the same path or the same array in memory. Different spellings of a path,
            and copies of an array, are different images.
        """
        source, index = self._store
        keys: list[Any] = index.tolist()
        if source.dtype == object:
            # The same array can occur several times.
            keys = [item if isinstance(item, str) else id(item) for item in source[index]]
        numbers: dict[int | str, int] = {}
        image = np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
        samples = np.argsort(image, kind="stable")
        ends = np.cumsum(np.bincount(image)).tolist()
        return [samples[start:end] for start, end in itertools.pairwise([0, *ends])]

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Self:
        """View of the selected samples; an integer gives a view of one sample."""
        key = _check_key(key)
        source, index = self._store
        rows = index[key]
        arrays = {
            name: None if array is None else _frozen(array[key])
            for name in ("_boxes", "_repeats", "_stated_sizes")
            if (array := getattr(self, name)) is not None
        }
        return self._replace(_store=(source, rows), _numbers=self._numbers[key], **arrays)

    def _replace(self, **attributes: Any) -> Self:
        view = object.__new__(type(self))
        view.__dict__.update(self.__dict__, **attributes)
        return view

    def with_boxes(self, boxes: ArrayLike | None) -> Self:
        """Return the same images with other boxes.

        Parameters
        ----------
        boxes : array-like of shape (n, 4) or None

        Returns
        -------
        images : BoxedImages
        """
        if boxes is not None:
            boxes = _frozen(check_boxes(boxes, len(self), self.describe))
        return self._replace(_boxes=boxes)

    def with_schema(self, schema: str | LandmarkSchema | None) -> Self:
        """Return the same images with another schema of their landmarks.

        Parameters
        ----------
        schema : str, LandmarkSchema or None

        Returns
        -------
        images : BoxedImages

        Examples
        --------
        Train on the eyes of a data set of faces:

        >>> from skwing.datasets import make_faces
        >>> faces = make_faces(4, random_state=0)
        >>> eyes = range(36, 48)
        >>> X, y = faces.data.with_schema(faces.schema.select(eyes, "eyes")), faces.target[:, eyes]
        >>> X.schema.n_landmarks, y.shape
        (12, (4, 12, 2))
        """
        return self._replace(_schema=check_schema(schema))

    def with_repeats(self, repeats: ArrayLike | None) -> Self:
        """Return the same images with other repeats.

        Parameters
        ----------
        repeats : array-like of int of shape (n,) or None

        Returns
        -------
        images : BoxedImages
        """
        if repeats is not None:
            repeats = _frozen(_check_repeats(repeats, len(self)))
        return self._replace(_repeats=repeats)

    def describe(self, i: int) -> str:
        """Description of a sample for error messages.

        Parameters
        ----------
        i : int
            Position in this view.

        Returns
        -------
        description : str
            Index of the sample in the original data, also for views such as folds and
            batches, and the path of its file, if any.
        """
        source, index = self._store
        item = source[index[i]] if source.dtype == object else None
        path = f" ({item})" if isinstance(item, str) else ""
        return f"sample {self._numbers[i]}{path}"

    def decode(self, i: int) -> NDArray[np.uint8]:
        """Decode the image of one sample.

        Parameters
        ----------
        i : int
            Position in this view.

        Returns
        -------
        image : ndarray of shape (height, width, 3)
            RGB, uint8. It may share memory with the source, so it must not be modified.

        Raises
        ------
        FileNotFoundError
            If the file does not exist.
        ValueError
            If the file is damaged or not an image, or the image is neither uint8 nor float
            in [0, 1].
        """
        source, index = self._store
        item = source[index[i]]
        if isinstance(item, str):
            return read_image(item, self.describe(i))
        return as_rgb(as_uint8(item, self.describe(i)))

    def verify(self, on_error: OnError = "raise") -> Flags:
        """Decode all images once and report those that cannot be read.

        Use it before long trainings, or for files from many sources. It also warns if the
        size of an image differs from the size that the file of annotations states.

        Parameters
        ----------
        on_error : {"raise", "skip"}, default="raise"
            Whether to raise an error or emit a warning that lists all unreadable images.

        Returns
        -------
        is_readable : ndarray of bool of shape (n,)
            Mask of the readable samples, to index images and landmarks.

        Raises
        ------
        ValueError
            If images cannot be read, unless `on_error` is "skip".

        Examples
        --------
        >>> import numpy as np
        >>> from skwing import BoxedImages
        >>> images = BoxedImages(np.zeros((2, 48, 64), dtype=np.uint8))
        >>> images.verify()
        array([ True,  True])
        """
        check_on_error(on_error)
        failures, sizes = {}, np.full((len(self), 2), np.nan)

        def look(samples: Ints) -> None:
            try:
                sizes[samples] = self.decode(samples[0]).shape[1::-1]
            except (OSError, ValueError) as error:
                failures.update(dict.fromkeys(samples.tolist(), str(error)))

        with ThreadPoolExecutor(decoding_threads()) as pool:
            for _ in pool.map(look, self.by_image()):
                pass
        self.warn_of_sizes(sizes)
        if failures:
            told = f"{len(failures)} of {len(self)} samples cannot be read"
            if on_error == "raise":
                raise ValueError(f"{told}: {listed(failures, len(failures))}")
            warn_caller(f"{told}: {listed(failures, len(failures))}")
        return ~np.isin(np.arange(len(self)), list(failures))

    def with_stated_sizes(self, sizes: ArrayLike, source: object) -> Self:
        """Store the image sizes stated in a file of annotations, for :meth:`warn_of_sizes`.

        Parameters
        ----------
        sizes : array-like of shape (n, 2)
            Width and height of each image; NaN if unknown.
        source : str
            Name of the file.

        Returns
        -------
        images : BoxedImages
        """
        sizes = _frozen(np.array(sizes, dtype=np.float64).reshape(len(self), 2))
        return self._replace(_stated_sizes=sizes, _stated_by=str(source))

    def warn_of_sizes(self, sizes: Floats) -> None:
        """Warn if image sizes differ from those stated in the file of annotations.

        Parameters
        ----------
        sizes : array of shape (n, 2)
            Width and height of the decoded images; NaN if unknown.
        """
        if self._stated_sizes is None:
            return
        known = np.isfinite(self._stated_sizes).all(1) & np.isfinite(sizes).all(1)
        wrong = np.flatnonzero(known & (self._stated_sizes != sizes).any(1))
        if not len(wrong):
            return
        first = wrong[0]
        (width, height), stated = sizes[first].astype(int), self._stated_sizes[first].astype(int)
        warn_of_data(
            f"the images of {len(wrong)} of {len(self)} samples have another size than stated in "
            f"{self._stated_by}: {self.describe(first)} has {width} x {height} pixels "
            f"(width x height, upright by its EXIF orientation), stated are {stated[0]} x "
            f"{stated[1]}. If images were rotated or resized after annotation, the landmarks "
            "are wrong: check some.",
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise TypeError(
            "BoxedImages cannot be converted to an array, because images may differ in size. Pass "
            "it to the estimators of skwing; use images.decode(i) for pixels, images.boxes for "
            "boxes."
        )

    def __repr__(self) -> str:
        source, _ = self._store
        is_paths = source.dtype == object and (not len(source) or isinstance(source[0], str))
        parts = [f"{len(self)} {'paths' if is_paths else 'arrays'}"]
        if self._boxes is not None:
            parts.append("boxes")
        if self._repeats is not None:
            parts.append("repeats")
        if self._schema is not None:
            parts.append(f"schema={self._schema.name!r}")
        return f"BoxedImages({', '.join(parts)})"

    def __sizeof__(self) -> int:
        # Schedulers ask for it: joblib's Dask backend sends what is large once, not in each task.
        source, index = self._store
        arrays = [source, index, self._numbers, self._boxes, self._repeats, self._stated_sizes]
        n_bytes = object.__sizeof__(self) + sum(a.nbytes for a in arrays if a is not None)
        if source.dtype == object and len(source):
            first = source[0]
            each = first.nbytes if isinstance(first, np.ndarray) else sys.getsizeof(first)
            n_bytes += len(source) * each
        return n_bytes

    def __getstate__(self) -> dict[str, Any]:
        # Keep the selected rows for later calls: grid searches pickle X once per task, and
        # joblib shares an array between workers only if it is the same object. If the view
        # covers all of its sources, nothing is copied.
        source, index = self._store
        used = np.zeros(len(source), dtype=bool)
        used[index] = True
        if not used.all():
            self._store = (source[used], (np.cumsum(used) - 1)[index])
        data = {name.removeprefix("_"): value for name, value in vars(self).items()}
        return {"format": FORMAT, "skwing": __version__, "data": data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "format" not in state:  # pickles of skwing 0.6 and before hold plain attributes
            vars(self).update(state)
            return
        version = check_format(state["format"], state.get("skwing"), "this BoxedImages")
        what = f"this BoxedImages, written by skwing {version},"
        data = dict.fromkeys(_LATER) | state.get("data", {})
        check_keys(data, (*_KEPT, *_LATER), what)
        vars(self).update({f"_{name}": value for name, value in data.items()})
