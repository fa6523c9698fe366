"""Generated faces with exact landmarks: a data set without download."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, overload

import numpy as np

from skwing._utils.checks import Choice, Number, check_flag, check_table, count
from skwing._utils.random import check_random_state
from skwing.datasets._dataset import Dataset
from skwing.datasets._drawn.marks import MARK_UPS
from skwing.datasets._drawn.picture import draw_person, line_up, shape_of, sit, take_picture
from skwing.datasets._published.protocols import HIDDEN
from skwing.geometry import boxes_of
from skwing.images import BoxedImages
from skwing.schema import LandmarkSchema, check_schema

if TYPE_CHECKING:
    from typing import Literal

    from numpy.typing import ArrayLike

    from skwing._utils.types import Flags, Floats, Ints, RandomState

    class DrawnFaces(Dataset):
        schema: LandmarkSchema
        pose: Floats
        visible: Flags
        self_occluded: Flags
        image: Ints
        groups: Ints

    from typing import Any


_DESCR = """Drawn faces with {n_landmarks} exact landmarks each

{n_samples} faces of {n_persons} persons in {n_images} images of {width} x {height} pixels.
data: RGB images, each with a square box such as a detector gives.
target: landmarks in image pixels, an array of shape (n, {n_landmarks}, 2){hidden}.
pose: yaw, pitch and roll in degrees; yaw > 0 moves the tip of the nose to the right of the
image, pitch > 0 up, roll > 0 turns clockwise.
visible: which landmarks are seen. self_occluded: which ones the head itself hides.
image: the number of the image. groups: the persons in it.

{yaw}
"""
_YAW = {
    "natural": "Most faces look ahead: 37 % turn more than 30 degrees, 9 % more than 60, unless "
    "fewer\nwere asked for.",
    "uniform": "All turns up to {max_yaw:g} degrees are equally frequent.",
    "given": "The poses were given.",
}
_HIDDEN = {"keep": "", "nan": ", NaN where hidden"}
_SETTINGS = {
    "n_samples": count(),
    "image_size": count(32, 2**15),
    "faces_per_identity": count(),
    "n_faces_per_image": count(1, 20),
    "yaw": Choice(("natural", "uniform")),
    "max_yaw": Number(1, 90),
    "occlusion": Number(0, 1),
    "jaw": Choice(("bone", "outline")),
    "hidden": Choice(tuple(HIDDEN)),
    "box_error": Number(0, 5),
}


def _draw_pose(rng, max_yaw):
    """Yaw, pitch and roll in degrees: many faces look at the camera, few show a profile."""
    while True:
        side = 46.0 if rng.random() < 0.5 else -46.0
        yaw = rng.normal(0, 14) if rng.random() < 0.58 else rng.normal(side, 17)
        if abs(yaw) <= max_yaw:
            break
    pitch = np.clip(rng.normal(0, 10), -32, 32)
    roll = rng.uniform(-40, 40) if rng.random() < 0.1 else np.clip(rng.normal(0, 8), -40, 40)
    return np.array([yaw, pitch, roll])


# How much smaller boxes of a detector are than the box of the landmarks, as a logarithm, measured
# on 300-W.
_SMALLER = 0.04


def _draw_box(landmarks, yaw, error, rng):
    """Square box as reported by a detector; errors increase with the absolute yaw."""
    x, y, width, height = boxes_of(landmarks)
    side = max(width, height)
    side *= np.exp(-_SMALLER * error)
    error = error * (1 + abs(yaw) / 60)
    wanted = side * np.exp(0.07 * error * rng.standard_normal())
    middle = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
    middle += side * error * np.array([0.04, 0.03]) * rng.standard_normal(2)
    return np.array([*(middle - (wanted - 1) / 2), wanted, wanted])


def _check_mark_up(schema):
    schema = check_schema(schema)
    if schema is None or MARK_UPS.get(schema.name) != schema:
        name = schema if schema is None else schema.name
        raise ValueError(f"schema must be one of {list(MARK_UPS)}; got {name!r}.")
    return schema


def _check_pose(pose, n_samples):
    pose = np.array(pose, dtype=np.float64)
    if pose.shape != (n_samples, 3):
        raise ValueError(
            f"pose has shape {pose.shape}, expected ({n_samples}, 3): yaw, pitch and roll of "
            "each sample."
        )
    wrong = ~(np.abs(pose) <= 90).all(axis=1)
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        raise ValueError(
            f"sample {first}: pose is {tuple(pose[first].tolist())}, expected yaw, pitch and "
            "roll from -90 to 90 degrees."
        )
    return pose


@dataclass(frozen=True)
class _Plan:
    """Validated parameters of a set of faces, and the seed."""

    seed: int
    n_samples: int
    schema: Any
    image_size: int
    faces_per_identity: int
    n_faces_per_image: int
    yaw: str
    max_yaw: float
    pose: Any
    occlusion: float
    jaw: str
    hidden: str
    box_error: float

    def __post_init__(self):
        for name, value in vars(check_table(_SETTINGS, self)).items():
            object.__setattr__(self, name, value)
        object.__setattr__(self, "schema", _check_mark_up(self.schema))
        if self.pose is not None:
            object.__setattr__(self, "pose", _check_pose(self.pose, self.n_samples))

    def generator(self, kind, index):
        """Independent generator for one person (0), face (1), yaw (2) or image (3)."""
        sequence = np.random.SeedSequence(self.seed, spawn_key=(kind, index))
        return np.random.default_rng(sequence)

    def image_of(self):
        """Index of the image of each face."""
        return np.arange(self.n_samples) // self.n_faces_per_image

    def people(self, block):
        """Persons shown in the given number of consecutive images."""
        first = block * self.n_faces_per_image
        return [draw_person(self.generator(0, first + i)) for i in range(self.n_faces_per_image)]

    def pose_of(self, i, rng):
        """Yaw, pitch and roll of a face in degrees."""
        pose = _draw_pose(rng, self.max_yaw)
        if self.pose is not None:
            return self.pose[i]
        if self.yaw == "uniform":
            # A separate generator keeps all other properties of the face unchanged.
            pose[0] = self.generator(2, i).uniform(-self.max_yaw, self.max_yaw)
        return pose


def _draw_image(plan, number, faces, people):
    """Pixels of an image, and a tuple (target, box, pose, own, other) for each face."""
    rngs = [plan.generator(1, i) for i in faces]
    poses = [plan.pose_of(i, rng) for i, rng in zip(faces, rngs, strict=True)]
    sitters = [
        sit(person, pose, plan.image_size, plan.schema, rng, plan.jaw)
        for person, pose, rng in zip(people, poses, rngs, strict=False)
    ]
    rng, shape = rngs[0], shape_of(plan.n_faces_per_image, plan.image_size)
    if plan.n_faces_per_image > 1:
        rng = plan.generator(3, number)
        sitters = line_up(sitters, plan.n_faces_per_image, plan.image_size, rng)
    picture, own, other = take_picture(sitters, shape, plan.occlusion, rng)
    rows = [
        (
            sitter.landmarks,
            _draw_box(sitter.outline(), pose[0], plan.box_error, sitter.rng),
            pose,
            *hiding,
        )
        for sitter, pose, *hiding in zip(sitters, poses, own, other, strict=True)
    ]
    return picture, rows


def _draw_all(plan):
    """Images; and target, boxes, pose, self-occlusion and occlusion, one row per face."""
    per_image = plan.n_faces_per_image
    n_images = -(-plan.n_samples // per_image)
    images = np.empty((n_images, *shape_of(per_image, plan.image_size), 3), np.uint8)
    rows = []
    for number, pixels in enumerate(images):
        if number % plan.faces_per_identity == 0:
            people = plan.people(number // plan.faces_per_identity)
        faces = range(number * per_image, min((number + 1) * per_image, plan.n_samples))
        pixels[:], drawn = _draw_image(plan, number, faces, people)
        rows += drawn
    return images, *(np.array(column) for column in zip(*rows, strict=True))


def _describe(plan, image, groups):
    height, width = shape_of(plan.n_faces_per_image, plan.image_size)
    return _DESCR.format(
        n_landmarks=plan.schema.n_landmarks,
        n_samples=plan.n_samples,
        n_persons=min(plan.n_samples, (groups[-1] + 1) * plan.n_faces_per_image),
        n_images=image[-1] + 1,
        width=width,
        height=height,
        hidden=_HIDDEN[plan.hidden],
        yaw=_YAW["given" if plan.pose is not None else plan.yaw].format(max_yaw=plan.max_yaw),
    )


@overload
def make_faces(
    n_samples: int = 100,
    *,
    random_state: RandomState = None,
    return_X_y: Literal[False] = False,
    schema: str | LandmarkSchema = "ibug68",
    image_size: int = 128,
    faces_per_identity: int = 4,
    n_faces_per_image: int = 1,
    yaw: Literal["natural", "uniform"] = "natural",
    max_yaw: float = 90.0,
    pose: ArrayLike | None = None,
    occlusion: float = 0.25,
    jaw: Literal["bone", "outline"] = "bone",
    hidden: Literal["keep", "nan"] = "keep",
    box_error: float = 1.0,
) -> DrawnFaces: ...


@overload
def make_faces(
    n_samples: int = 100,
    *,
    random_state: RandomState = None,
    return_X_y: Literal[True],
    schema: str | LandmarkSchema = "ibug68",
    image_size: int = 128,
    faces_per_identity: int = 4,
    n_faces_per_image: int = 1,
    yaw: Literal["natural", "uniform"] = "natural",
    max_yaw: float = 90.0,
    pose: ArrayLike | None = None,
    occlusion: float = 0.25,
    jaw: Literal["bone", "outline"] = "bone",
    hidden: Literal["keep", "nan"] = "keep",
    box_error: float = 1.0,
) -> tuple[BoxedImages, Floats]: ...


def make_faces(
    n_samples: int = 100,
    *,
    random_state: RandomState = None,
    return_X_y: bool = False,
    schema: str | LandmarkSchema = "ibug68",
    image_size: int = 128,
    faces_per_identity: int = 4,
    n_faces_per_image: int = 1,
    yaw: Literal["natural", "uniform"] = "natural",
    max_yaw: float = 90.0,
    pose: ArrayLike | None = None,
    occlusion: float = 0.25,
    jaw: Literal["bone", "outline"] = "bone",
    hidden: Literal["keep", "nan"] = "keep",
    box_error: float = 1.0,
) -> DrawnFaces | tuple[BoxedImages, Floats]:
    """Generate images of faces with exact landmarks and a realistic distribution of poses.

    Each face is a perspective view of a 3D head. Proportions, skin, hair, beard, expression,
    light, background, blur and noise are random. A quarter of the faces are partly occluded.
    The landmarks of all schemas are computed from the same head: with another `schema`,
    images, boxes and poses are the same.

    The distribution of yaw is similar to that of AFLW, with a peak at 0 and shoulders on
    both sides: 58 % are from a normal distribution around 0 with a standard deviation of 14
    degrees, and 21 % each from distributions around -46 and 46 degrees with 17 degrees,
    truncated at `max_yaw`. Yaw exceeds 30 degrees for 37 % of the faces, and 60 degrees for
    9 %. The standard deviation of pitch is 10 degrees, that of roll is 8 degrees, and every
    tenth face has a roll of up to 40 degrees.

    Parameters
    ----------
    n_samples : int, default=100
        Number of faces.
    random_state : int, RandomState or None, default=None
        An int gives reproducible faces. Face `i` does not depend on `n_samples`, except for
        missing neighbours if the last image is not full.
    return_X_y : bool, default=False
        Whether to return only ``(data, target)``.
    schema : {"aflw19", "cofw29", "ibug68", "wflw98"} or LandmarkSchema, default="ibug68"
        Schema of the landmarks: a name, or one of those in :mod:`skwing.schema`.
    image_size : int, default=128
        Side of the square images, in pixels, at least 32. The size of the face is about half
        of it.
    faces_per_identity : int, default=4
        Number of consecutive images of the same person, or of the same `n_faces_per_image`
        persons.
    n_faces_per_image : int, default=1
        Number of faces in an image, up to 20. They are side by side, with random sizes, and
        nearer faces occlude more distant ones. Each face is a sample with its own box. The
        height of the image is `image_size`; for k faces, its width is 1 + 0.55 (k - 1) times
        as large.
    yaw : {"natural", "uniform"}, default="natural"
        Distribution of yaw: as described above, or uniform between ``-max_yaw`` and
        `max_yaw`. All other properties of a face are the same in both cases.
    max_yaw : float, default=90.0
        Maximum absolute yaw in degrees, from 1 to 90.
    pose : array-like of shape (n_samples, 3), default=None
        Yaw, pitch and roll of each face, in degrees from -90 to 90, instead of random
        values. All other properties of a face are unchanged.
    occlusion : float, default=0.25
        Probability of an occlusion by sunglasses, a hand, the brim of a hat, a bar or a round
        object.
    jaw : {"bone", "outline"}, default="bone"
        Where the landmarks of the jaw are: on the edge of the bone, also if it is hidden by
        the cheek of a rotated face, or on the visible outline of the face, where the
        annotators of 300-W placed them. In frontal faces, both are nearly the same.
    hidden : {"keep", "nan"}, default="keep"
        Whether to keep hidden landmarks in `target`, or to replace them by NaN.
    box_error : float, default=1.0
        Errors of the boxes, relative to those of a typical detector; 0 gives exact boxes.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n_samples,)
            RGB images with square boxes around the 68 points of 300-W, for all schemas. As
            for detectors, boxes are 4 % smaller on average, with random errors of position
            (standard deviations of 4 % of the side horizontally and 3 % vertically) and scale
            (7 %), which are up to 2.5 times as large for profiles. With the schema.
        target : ndarray of shape (n_samples, n_landmarks, 2)
            Landmarks in image pixels, float64, all inside the image. They are projected
            points of the head, also if hidden.
        schema : LandmarkSchema
            Schema of the landmarks.
        pose : ndarray of shape (n_samples, 3)
            Yaw, pitch and roll in degrees. Positive yaw moves the tip of the nose to the
            right of the image, positive pitch moves it up, positive roll rotates the face
            clockwise. The mirrored face has the opposite yaw and roll.
        visible : ndarray of bool of shape (n_samples, n_landmarks)
            False if a landmark is hidden by the head or by an object in front of it.
        self_occluded : ndarray of bool of shape (n_samples, n_landmarks)
            True if a landmark is hidden by the head: by nose, cheek or hair, or a pupil by a
            lid.
        image : ndarray of int of shape (n_samples,)
            Index of the image of each face.
        groups : ndarray of int of shape (n_samples,)
            Groups for `GroupKFold`: the person or, with several faces per image, the set of
            persons, so that neither persons nor images are split.
        names : ndarray of str of shape (n_samples,)
            Unique name of each face.
        DESCR : str
            Description of the data.
    (data, target) : tuple
        If `return_X_y` is True.

    Raises
    ------
    ValueError
        If a parameter is out of range, `pose` has a wrong shape, or `schema` is unknown.
    TypeError
        If `schema` is neither a name nor a schema.

    Notes
    -----
    The yaw distribution follows Fig. 5 of Feng et al. (2018), "Wing loss for robust facial
    landmark localisation with convolutional neural networks", CVPR.

    Landmarks with the same name in two schemas are the same point of the head, except for
    lids and jaw, where WFLW has more points. The eye centre of AFLW is the centre of the lids;
    the pupils of COFW and WFLW depend on the gaze.

    Examples
    --------
    >>> from skwing.datasets import make_faces
    >>> faces = make_faces(6, random_state=0)
    >>> faces.data.shape, faces.target.shape, faces.groups.tolist()
    ((6,), (6, 68, 2), [0, 0, 0, 0, 1, 1])
    >>> X, y = make_faces(6, random_state=0, return_X_y=True)
    >>> crowd = make_faces(6, random_state=0, schema="wflw98", n_faces_per_image=3)
    >>> crowd.target.shape, crowd.data.decode(0).shape, crowd.image.tolist()
    ((6, 98, 2), (128, 269, 3), [0, 0, 0, 1, 1, 1])
    """
    return_X_y = check_flag(return_X_y, "return_X_y")
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    plan = _Plan(
        seed=seed,
        n_samples=n_samples,
        schema=schema,
        image_size=image_size,
        faces_per_identity=faces_per_identity,
        n_faces_per_image=n_faces_per_image,
        yaw=yaw,
        max_yaw=max_yaw,
        pose=pose,
        occlusion=occlusion,
        jaw=jaw,
        hidden=hidden,
        box_error=box_error,
    )
    images, target, boxes, poses, own, other = _draw_all(plan)
    visible, image = ~(own | other), plan.image_of()
    if hidden == "nan":
        target[~visible] = np.nan
    if n_faces_per_image > 1:
        # Faces of the same image share one array, in memory and in pickles.
        arrays = list(images)
        images = [arrays[number] for number in image]
    data = BoxedImages(images, boxes=boxes, schema=plan.schema)
    if return_X_y:
        return data, target
    groups = image // faces_per_identity
    whole = "person" if n_faces_per_image == 1 else "image"
    numbers = enumerate(groups if n_faces_per_image == 1 else image)
    return Dataset(
        data=data,
        target=target,
        schema=plan.schema,
        pose=poses,
        visible=visible,
        self_occluded=own,
        image=image,
        groups=groups,
        names=np.array([f"{whole}_{number:05d}/face_{i:05d}" for i, number in numbers]),
        DESCR=_describe(plan, image, groups),
    )
