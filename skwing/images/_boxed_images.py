"""Images with a box each, whatever they were made from."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from skwing._utils.boxes import check_boxes
from skwing._utils.envelope import FORMAT, check_format, check_keys
from skwing._utils.version import __version__
from skwing._utils.warnings import warn_caller, warn_of_data
from skwing.images._decode import as_rgb, as_source, as_uint8, decoding_threads, read_image
from skwing.images._failures import check_on_error, listed
from skwing.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any, NoReturn, Self, TypeVar

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import Flags, Floats, Ints, OnError
    from skwing.images._types import SourceLike
    from skwing.schema import LandmarkSchema

    AnyArray = TypeVar("AnyArray", bound=NDArray[Any] | None)

__all__ = ["BoxedImages"]

_MOST_DRAWS = 10**12  # in a pass; even a thousandth of it takes days


# What a pickle holds, and what those of earlier versions may lack.
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
    # As floats, whose sum does not overflow.
    total = repeats.sum(dtype=np.float64)
    if total > _MOST_DRAWS:
        raise ValueError(
            f"the repeats add up to {total:.3g}, the greatest is {repeats.max()}; expected at "
            f"most {_MOST_DRAWS:.0e} draws of all samples together."
        )
    return repeats.astype(np.int64)


def _frozen(array: AnyArray) -> AnyArray:
    """Forbid writing to an array, as views share it."""
    if array is not None:
        array.flags.writeable = False
    return array


def _check_key(key: Any) -> Any:
    """Index of the first axis from what stands in brackets, as slice or array."""
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
    """Images with a box each: an index on shared sources, decoded when asked for.

    Indexing copies no pixels: a view holds the sources of the whole and the rows it stands
    for. scikit-learn splits, shuffles and resamples it like an array of shape (n,).

    Parameters
    ----------
    images : array or sequence
        A uint8 array of shape (n, height, width) or (n, height, width, channels); or a
        list, a pandas Series or an object array of such images, of any sizes, or of file
        paths. Colours are RGB. Arrays are kept, not copied. Floats must lie in [0, 1].
    boxes : array-like of shape (n, 4), default=None
        ``(x, y, width, height)`` in image pixels. None takes each image as a whole. NaN in
        all four values of a row says that this sample has no box, as where a detector
        found nothing: it is not trained on, and its predictions are NaN.
    repeats : array-like of int of shape (n,), default=None
        How often a regressor draws each sample per epoch; None for once.
    schema : str or LandmarkSchema, default=None
        The landmarks that belong to these images; goes along wherever the images go.

    Attributes
    ----------
    shape : tuple
        ``(n,)``.
    boxes : ndarray of shape (n, 4)
    missing_boxes : ndarray of bool of shape (n,)
    repeats : ndarray of int of shape (n,) or None
    schema : LandmarkSchema or None

    Raises
    ------
    TypeError
        If `images` is a single path, or holds something that is neither image nor path.
    ValueError
        If the shape of an image, a box or the number of boxes or repeats is wrong.

    Notes
    -----
    Files are decoded by OpenCV and turned upright as their EXIF orientation says, which is
    how viewers, browsers and ``cv2.imread`` show them and so how most annotations are
    made; give arrays where yours count pixels of the unturned file. Grey images get three
    equal channels, and what is transparent lies on white. An image of 16 bits is an error:
    which of its grey levels matter is for the user to say. So are a damaged file, one of
    several pages or frames, one of more than 200 million pixels, and what is no regular file.

    JPEG files are decoded strictly: scans that end early, impossible codes and left-over
    bytes, which OpenCV passes over, are errors. A changed bit may still leave a stream as
    valid as the first, which no decoder can tell.

    A pickle holds the rows of the view only.

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

    # What a file of annotations states of the images; pickles of earlier versions lack it.
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
            raise TypeError("images is a BoxedImages already: use its with_boxes, with_repeats.")
        source = as_source(images)
        index = _frozen(np.arange(len(source)))
        # One attribute, as pickling replaces both at once and threads may be reading.
        self._store = (source, index)
        self._numbers = index
        self._boxes = (
            None if boxes is None else _frozen(check_boxes(boxes, len(self), self.describe))
        )
        self._repeats = None if repeats is None else _frozen(_check_repeats(repeats, len(self)))
        self._schema = check_schema(schema)

    @property
    def shape(self) -> tuple[int]:
        """``(n,)``: without it scikit-learn would make a list of it."""
        return self._numbers.shape

    @property
    def boxes(self) -> Floats:
        """Boxes, an array of shape (n, 4); rows of NaN where there is none."""
        return np.full((len(self), 4), np.nan) if self._boxes is None else self._boxes

    @property
    def has_boxes(self) -> bool:
        """Whether boxes were given, be it NaN for some; without, each image is a whole."""
        return self._boxes is not None

    @property
    def missing_boxes(self) -> Flags:
        """Samples that have no box while others have, an array of bool of shape (n,).

        Where no boxes were given at all, each image is taken as a whole and none is missing:
        ``images[~images.missing_boxes]`` are all that can be worked with.
        """
        if self._boxes is None:
            return np.zeros(len(self), dtype=bool)
        return np.any(np.isnan(self._boxes), axis=1)

    @property
    def repeats(self) -> Ints | None:
        """How often each sample is drawn per epoch, an array of shape (n,), or None."""
        return self._repeats

    @property
    def schema(self) -> LandmarkSchema | None:
        """Schema of the landmarks that belong to these images, or None."""
        return self._schema

    @property
    def paths(self) -> NDArray[np.object_] | None:
        """Paths of the image files, an object array of shape (n,); None for pixels in memory."""
        source, index = self._store
        of_files = source.dtype == object and all(isinstance(item, str) for item in source[index])
        return source[index] if of_files else None

    def by_image(self) -> list[Ints]:
        """Positions of the samples of each image, in the order of first appearance.

        Returns
        -------
        samples : list of int arrays
            Samples are of one image where they have the same path, or the same array in
            memory; two spellings of a path, and equal arrays, are different images.
        """
        source, index = self._store
        keys: list[Any] = index.tolist()
        if source.dtype == object:
            # An array of arrays holds the same one several times where a list did.
            keys = [item if isinstance(item, str) else id(item) for item in source[index]]
        samples: dict[int | str, list[int]] = {}
        for position, key in enumerate(keys):
            samples.setdefault(key, []).append(position)
        return [np.array(positions) for positions in samples.values()]

    def __len__(self) -> int:
        return len(self._numbers)

    def __iter__(self) -> Iterator[Self]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, key: Any) -> Self:
        """View on some samples; a single number gives a view of one sample."""
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
        """Give the same images other boxes.

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

    def with_repeats(self, repeats: ArrayLike | None) -> Self:
        """Give the same images other repeats.

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
        """Words for a sample, as errors use them.

        Parameters
        ----------
        i : int
            Position in this view.

        Returns
        -------
        description : str
            The number counts the samples of the data that the view was cut from, so that
            it stays true in folds and batches; the path follows where there is one.
        """
        source, index = self._store
        item = source[index[i]] if source.dtype == object else None
        path = f" ({item})" if isinstance(item, str) else ""
        return f"sample {self._numbers[i]}{path}"

    def decode(self, i: int) -> NDArray[np.uint8]:
        """Pixels of one sample.

        Parameters
        ----------
        i : int
            Position in this view.

        Returns
        -------
        image : ndarray of shape (height, width, 3)
            RGB, uint8. It may share memory with the source: do not write to it.

        Raises
        ------
        FileNotFoundError
            If there is no such file.
        ValueError
            If the file is no image or broken, or the image neither uint8 nor float in
            [0, 1].
        """
        source, index = self._store
        item = source[index[i]]
        if isinstance(item, str):
            return read_image(item, self.describe(i))
        return as_rgb(as_uint8(item, self.describe(i)))

    def verify(self, on_error: OnError = "raise") -> Flags:
        """Decode every image once, and tell which cannot be read.

        Before a long training, or for a folder whose files come from many places. It also
        warns where an image has another size than the file of annotations that the data
        were read from states.

        Parameters
        ----------
        on_error : {"raise", "skip"}, default="raise"
            "raise" is an error that lists every image that cannot be read, "skip" a
            warning.

        Returns
        -------
        is_readable : ndarray of bool of shape (n,)
            Of each sample, to index images and landmarks with.

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
        """Note the sizes that a file of annotations states, for :meth:`warn_of_sizes`.

        Parameters
        ----------
        sizes : array-like of shape (n, 2)
            Width and height of each image; NaN where it is not stated.
        source : str
            Name of the file.

        Returns
        -------
        images : BoxedImages
        """
        sizes = _frozen(np.array(sizes, dtype=np.float64).reshape(len(self), 2))
        return self._replace(_stated_sizes=sizes, _stated_by=str(source))

    def warn_of_sizes(self, sizes: Floats) -> None:
        """Warn once where images have another size than the file of annotations states.

        Parameters
        ----------
        sizes : array of shape (n, 2)
            Width and height as decoded; NaN where that is not known.
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
            f"{len(wrong)} of {len(self)} samples are of images of another size than "
            f"{self._stated_by} states: {self.describe(first)} has {width} x {height} pixels "
            f"(width x height, upright by its EXIF orientation), stated are {stated[0]} x "
            f"{stated[1]}. If they were turned or resized after they were annotated, the "
            "landmarks are off: look at some.",
        )

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NoReturn:
        raise TypeError(
            "BoxedImages holds images of any size and is no array. Pass it as it is to skwing's "
            "estimators; for pixels use images.decode(i), for boxes images.boxes."
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

    def __getstate__(self) -> dict[str, Any]:
        # The view keeps the rows that it gathers. Grid searches pickle their X once per
        # task, and joblib shares an array between workers only if it meets the same one
        # again. Where the view covers its sources nothing is gathered.
        source, index = self._store
        used = np.zeros(len(source), dtype=bool)
        used[index] = True
        if not used.all():
            self._store = (source[used], (np.cumsum(used) - 1)[index])
        data = {name.removeprefix("_"): value for name, value in vars(self).items()}
        return {"format": FORMAT, "skwing": __version__, "data": data}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "format" not in state:  # of skwing 0.6 or before, which kept attributes as they were
            vars(self).update(state)
            return
        version = check_format(state["format"], state.get("skwing"), "this BoxedImages")
        what = f"this BoxedImages, written by skwing {version},"
        data = dict.fromkeys(_LATER) | state.get("data", {})
        check_keys(data, (*_KEPT, *_LATER), what)
        vars(self).update({f"_{name}": value for name, value in data.items()})
