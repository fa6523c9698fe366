"""Conversion from and to labels of sleap-io, which supports SLEAP, YOLO, NWB and others."""

from __future__ import annotations

import os
from collections import Counter
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import check_choice
from skwing._utils.optional import import_optional
from skwing.datasets._checks import check_written
from skwing.datasets._dataset import as_bunch
from skwing.datasets._formats.image_size import image_sizes
from skwing.datasets._formats.names import (
    check_points,
    edges_of,
    landmark_names,
    lines_of,
    mirror_pairs,
    schema_of,
)
from skwing.images import BoxedImages
from skwing.schema import LandmarkSchema

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any, Literal

    from numpy.typing import ArrayLike, NDArray

    from skwing._utils.types import Floats
    from skwing.datasets._dataset import Dataset
    from skwing.images._types import ImagesLike

    class Frames(Dataset):
        schema: LandmarkSchema
        tracks: NDArray[Any]
        scores: Floats


INSTANCES = ("user", "predicted", "all")

_DESCR = """{n_samples} instances of the skeleton {skeleton}, {n_landmarks} landmarks each

data: the images, with the boxes that are linked to instances.
target: landmarks in image pixels counted from 0, an array of shape (n, n_landmarks, 2).
groups: the image file of each instance, or the file of its video.
"""


# ---------------------------------------------------------------------------------------
# Reading
# ---------------------------------------------------------------------------------------
def _skeleton_of(labels, name):
    found = [s for s in labels.skeletons if name is None or s.name == name]
    if len(found) != 1:
        names = [skeleton.name for skeleton in labels.skeletons]
        raise ValueError(
            f"labels have {len(found)} skeletons{'' if name is None else f' named {name!r}'}, "
            f"expected one; all are named {names!r:.300}. skeleton= says which to read."
        )
    return found[0]


def _schema_of(skeleton):
    """Schema of a skeleton: its edges are lines of two points, its symmetries mirror pairs."""
    name, names = skeleton.name or "sleap", skeleton.node_names
    pairs = [tuple(pair) for pair in skeleton.symmetry_inds] or None  # None: derived from the names
    return LandmarkSchema.from_names(
        name, names, contours=lines_of(skeleton.edge_inds, names), pairs=pairs
    )


def _image_path(frame):
    """Path of the image file of a frame, or None if only its pixels are available."""
    files = frame.video.filename
    if frame.video.is_cropped or not isinstance(files, list):
        return None
    if frame.frame_idx >= len(files):
        raise ValueError(
            f"labels have a frame {frame.frame_idx} of a video of {len(files)} image files, the "
            f"first is {files[0]}: are images missing?"
        )
    return os.fspath(files[frame.frame_idx])


def _origin(frame):
    """File of the pixels of a frame; for frames in a package, the original file."""
    video = frame.video.original_video or frame.video
    files = video.filename if isinstance(video.filename, list) else [video.filename]
    return str(files[frame.frame_idx if frame.frame_idx < len(files) else 0])


def _pixels(frame, where):
    try:
        return np.asarray(frame.video[frame.frame_idx])
    except Exception as error:  # readers of videos raise many types
        raise ValueError(
            f"{where}: the frame cannot be read: {type(error).__name__}: {error}; "
            "use labels.replace_filenames to correct the paths of videos."
        ) from error


def _box_of(box):
    """x, y, width, height of a box; for rotated boxes, of the upright bounding box."""
    x0, y0, x1, y1 = box.bounds
    return (x0, y0, x1 - x0, y1 - y0) if x1 > x0 and y1 > y0 else (np.nan,) * 4


@overload
def from_sleap_io(
    labels: Any,
    *,
    instances: Literal["user", "predicted", "all"] = "user",
    skeleton: str | None = None,
    schema: str | LandmarkSchema | None = None,
    return_X_y: Literal[False] = False,
) -> Frames: ...


@overload
def from_sleap_io(
    labels: Any,
    *,
    instances: Literal["user", "predicted", "all"] = "user",
    skeleton: str | None = None,
    schema: str | LandmarkSchema | None = None,
    return_X_y: Literal[True],
) -> tuple[BoxedImages, Floats]: ...


def from_sleap_io(
    labels: Any,
    *,
    instances: Literal["user", "predicted", "all"] = "user",
    skeleton: str | None = None,
    schema: str | LandmarkSchema | None = None,
    return_X_y: bool = False,
) -> Frames | tuple[BoxedImages, Floats]:
    """Convert labels of sleap-io to images, boxes and landmarks.

    sleap-io reads SLEAP, Label Studio, YOLO (Ultralytics), NWB, JABS and other formats. Each
    instance is one sample.

    Parameters
    ----------
    labels : sleap_io.Labels
        Labels, for example from ``sleap_io.load_file(path)``.
    instances : {"user", "predicted", "all"}, default="user"
        Whether to read instances labelled by users, predicted ones, or both.
    skeleton : str, default=None
        Name of the skeleton to read if there are several.
    schema : str or LandmarkSchema, default=None
        None creates a schema from the skeleton: edges are lines of two points, symmetries
        are mirror pairs. Without symmetries, mirror pairs are derived from the names.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.

    Returns
    -------
    frames : Bunch
        With the attributes

        data : BoxedImages of shape (n,)
            Image files are decoded on access. Frames of videos, including cropped ones, are
            decoded immediately and kept in memory, but only those with instances. Boxes are
            those linked to instances, NaN if there is none; for rotated boxes, the upright
            bounding box is used.
        target : ndarray of shape (n, n_landmarks, 2)
            In image pixels as in the labels, float64; NaN for points that are not visible.
            Instances without visible points are skipped.
        schema : LandmarkSchema
            Schema of the landmarks.
        groups : ndarray of str of shape (n,)
            Path of the image file or of the video; for frames in a package, of the original
            file.
        names : ndarray of str of shape (n,)
            Image file, or video and index of the frame, followed by ``#0``, ``#1``, ... if a
            frame has several instances.
        tracks : ndarray of str of shape (n,)
            Track of each instance, empty if there is none.
        scores : ndarray of shape (n, n_landmarks)
            Scores of predicted points; NaN for others.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    TypeError
        If `labels` is not an object of sleap-io.
    ValueError
        If the skeleton does not exist, there are no instances, or a frame cannot be read.

    See Also
    --------
    read_deeplabcut : Reader of DeepLabCut, which keeps information that sleap-io drops.
    read_coco : Reader of COCO, with visibilities, ids and flip pairs.

    Examples
    --------
    >>> import sleap_io
    >>> from skwing.datasets import from_sleap_io
    >>> flies = from_sleap_io(sleap_io.load_file("flies.slp"))  # doctest: +SKIP
    >>> flies.data  # doctest: +SKIP
    BoxedImages(1600 arrays, schema='fly')
    """
    check_choice(instances, "instances", INSTANCES)
    if not hasattr(labels, "labeled_frames"):
        raise TypeError(
            f"labels are of type {type(labels).__name__}, expected sleap_io.Labels, such as "
            "sleap_io.load_file(path) returns."
        )
    if getattr(labels, "is_lazy", False):  # lazy labels create new frames on each access
        labels = labels.materialize()
    chosen = _skeleton_of(labels, skeleton)
    found = [
        (frame, instance)
        for frame in labels.labeled_frames
        for instance in frame.instances
        if instance.skeleton is chosen and instance.n_visible
    ]
    is_predicted = [hasattr(instance, "score") for _, instance in found]
    if instances != "all":
        wanted = instances == "predicted"
        found = [pair for pair, own in zip(found, is_predicted, strict=True) if own == wanted]
    if not found:
        raise ValueError(
            f"labels have no instance with instances={instances!r}: there are "
            f"{is_predicted.count(False)} of a person and {is_predicted.count(True)} predicted "
            f"with visible points of the skeleton {chosen.name!r}."
        )
    names, sources, boxes, groups = _frames_of(found)
    points = np.array([instance.numpy() for _, instance in found], dtype=np.float64)
    check_points(points, chosen.node_names, names.__getitem__)
    scores = [
        instance.points["score"] if hasattr(instance, "score") else np.full(len(points[0]), np.nan)
        for _, instance in found
    ]
    own, order = schema_of(chosen.node_names, schema, "labels")
    own = _schema_of(chosen) if schema is None else own
    return as_bunch(
        BoxedImages(sources, boxes=boxes, schema=own),
        points[:, order],
        names=names,
        groups=groups,
        descr=_DESCR.format(
            n_samples=len(names), skeleton=repr(chosen.name), n_landmarks=len(order)
        ),
        return_X_y=return_X_y,
        tracks=np.array([i.track.name if i.track else "" for _, i in found], dtype=object),
        scores=np.array(scores, dtype=np.float64)[:, order],
    )


def _frames_of(found):
    """Names, paths or pixels, boxes (None if all are missing) and groups of instances."""
    names, sources, boxes, groups, seen = [], [], [], [], {}
    n_instances, n_seen = Counter(id(frame) for frame, _ in found), Counter()
    for frame, instance in found:
        if id(frame) not in seen:
            path, file = _image_path(frame), _origin(frame)
            name = path or f"{file} frame {frame.frame_idx}"
            linked = {id(box.instance): _box_of(box) for box in frame.bboxes}
            seen[id(frame)] = name, path or _pixels(frame, name), linked, file
        name, source, linked, file = seen[id(frame)]
        number = f"#{n_seen[id(frame)]}" if n_instances[id(frame)] > 1 else ""
        n_seen[id(frame)] += 1
        names.append(name + number)
        sources.append(source)
        boxes.append(linked.get(id(instance), (np.nan,) * 4))
        groups.append(file)
    boxes = np.array(boxes)
    return names, sources, None if np.isnan(boxes).all() else boxes, groups


# ---------------------------------------------------------------------------------------
# Writing
# ---------------------------------------------------------------------------------------
def _skeleton(sleap_io, schema, names):
    """Skeleton of a schema: contours are edges, mirror pairs symmetries."""
    if schema is None:
        return sleap_io.Skeleton(names)
    skeleton = sleap_io.Skeleton(names, edges=edges_of(schema), name=schema.name)
    place = dict(zip(schema.landmark_names, names, strict=True))
    skeleton.add_symmetries([[place[a], place[b]] for a, b in mirror_pairs(schema) or ()])
    return skeleton


def _videos(sleap_io, data):
    """Video and frame of each image file; one video for the images of each size."""
    paths = [os.path.abspath(path) for path in data.paths]
    sizes = dict(zip(paths, image_sizes(data.paths, data.describe).tolist(), strict=True))
    places, files = {}, {}
    for path, (width, height) in sizes.items():
        of_size = files.setdefault((height, width), [])
        places[path] = (height, width), len(of_size)
        of_size.append(path)
    videos = {size: sleap_io.Video.from_filename(own) for size, own in files.items()}
    return [(videos[places[path][0]], places[path][1]) for path in paths]


def to_sleap_io(
    data: ImagesLike,
    target: ArrayLike,
    *,
    names: Sequence[str] | None = None,
    tracks: Sequence[str] | None = None,
) -> Any:
    """Convert images and landmarks to labels of sleap-io, which writes SLEAP and other formats.

    Parameters
    ----------
    data : BoxedImages of shape (n,)
        Existing image files; also other forms such as a list of paths. Samples of the same
        image are instances of one frame. Boxes are linked to their instances.
    target : array-like of shape (n, n_landmarks, 2) or (n, 2 * n_landmarks)
        Landmarks in image pixels counted from 0; NaN for points that are not visible.
    names : sequence of str of length n_landmarks, default=None
        Names of the landmarks; None uses those of the schema of `data`, or numbers.
    tracks : sequence of str of length n, default=None
        Track of each sample, empty if there is none.

    Returns
    -------
    labels : sleap_io.Labels
        ``labels.save("labels.slp")`` writes a file for SLEAP; use
        ``sleap_io.save_ultralytics``, ``save_labelstudio``, ``save_nwb`` and others for other
        programs. Images of the same size form a video. Contours of the schema are edges of the
        skeleton, and mirror pairs are symmetries.

    Raises
    ------
    ImportError
        If sleap-io is not installed.
    FileNotFoundError
        If an image is missing.
    ValueError
        If `data` holds pixels, or lengths do not fit.

    Examples
    --------
    >>> from skwing.datasets import to_sleap_io
    >>> labels = to_sleap_io(X, reg.predict(X))  # doctest: +SKIP
    >>> labels.save("predicted.slp")  # doctest: +SKIP
    """
    sleap_io = import_optional("sleap_io", "writing labels of sleap-io", "sleap")
    data, points = check_written(data, target)
    names = landmark_names(data.schema, names, points.shape[1])
    tracks = [""] * len(data) if tracks is None else [str(track) for track in tracks]
    if len(tracks) != len(data):
        raise ValueError(f"data has {len(data)} samples, tracks has {len(tracks)}.")
    known = {name: sleap_io.Track(name) for name in dict.fromkeys(tracks) if name}
    skeleton = _skeleton(sleap_io, data.schema, names)
    frames: dict[Any, Any] = {}
    boxes = data.boxes.tolist()
    for i, (video, index) in enumerate(_videos(sleap_io, data)):
        frame = frames.setdefault(
            (id(video), index), sleap_io.LabeledFrame(video=video, frame_idx=index)
        )
        track = known.get(tracks[i])
        instance = sleap_io.Instance.from_numpy(points[i], skeleton=skeleton, track=track)
        frame.instances.append(instance)
        if boxes[i][0] == boxes[i][0]:
            box = sleap_io.UserBoundingBox.from_xywh(*boxes[i], instance=instance, track=track)
            frame.bboxes.append(box)
    return sleap_io.Labels(list(frames.values()))
