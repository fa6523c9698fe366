"""Drawn faces with exact landmarks: data that needs no download."""

from dataclasses import dataclass
from numbers import Integral, Real

import numpy as np
from sklearn.utils import Bunch, check_random_state

from skwing._cv2 import cv2
from skwing.datasets import _face_paint as paint
from skwing.datasets._face_model import build_head, rotation
from skwing.datasets._face_render import cover, light_of
from skwing.datasets._face_scene import background, glasses, occlude, photograph
from skwing.datasets._face_shape import Expression, Shape, draw_expression, draw_shape
from skwing.geometry import boxes_of
from skwing.images import BoxedImages
from skwing.schema import IBUG68

__all__ = ["make_faces"]

# A face is drawn at this many times the size of the image, then averaged down.
_SUPER = 2

_DESCR = """Drawn faces with 68 exact landmarks each

{n_samples} faces of {n_persons} persons, {size} x {size} pixels.
data: RGB images, each with a square box such as a detector gives.
target: landmarks in image pixels, an array of shape (n, 68, 2).
pose: yaw, pitch and roll in degrees; yaw > 0 moves the tip of the nose to the right of the
image, pitch > 0 up, roll > 0 turns clockwise.
visible: which landmarks are seen. groups: the person of each face.

Most faces look ahead: 37 % turn more than 30 degrees, 9 % more than 60, unless fewer were
asked for.
"""


@dataclass(frozen=True)
class _Person:
    """What all pictures of one person share."""

    shape: Shape
    look: paint.Look
    skin: np.ndarray
    hair_rows: np.ndarray


def _draw_person(rng):
    shape, look = draw_shape(rng), paint.draw_look(rng)
    calm = build_head(shape, Expression())
    return _Person(shape, look, *paint.paint_base(look, calm.vertices[..., 1], rng))


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


class _Camera:
    """Perspective onto a square image, placed so that all landmarks are inside."""

    def __init__(self, points, size, rng):
        self._distance = 1 / rng.uniform(1 / 30, 1 / 5)
        self._scale, self._shift = 1.0, np.zeros(2)
        flat = self.project(points)
        low, high = flat.min(0), flat.max(0)
        wanted = size * rng.uniform(0.2, 0.28)
        self._scale = min(wanted, 0.86 * size / (high - low).max())
        room = (0.92 * size - self._scale * (high - low)) / 2
        jitter = size * (0.05 * rng.standard_normal(2) + [0, 0.02])
        middle = (size - 1) / 2 + np.clip(jitter, -room, room)
        self._shift = middle - self._scale * (low + high) / 2

    def project(self, points):
        """Points of the camera's frame in pixels of the image."""
        near = self._scale * (self._distance - 0.9) / (self._distance - points[..., 2:])
        return points[..., :2] * near + self._shift


def _up(points):
    """Pixels of the image in pixels of the larger picture it is averaged from."""
    return (points + 0.5) * _SUPER - 0.5


def _paint_head(picture, head, person, expression, turn, camera, rng, mark):
    """Paint a head into a picture; tell for each pixel the (row, column) seen there."""
    vertices = paint.grow_hair(head, person.hair_rows, person.look) @ turn.T
    rows, columns = cover(_up(camera.project(vertices)), vertices[..., 2], len(picture))
    skin = person.skin.copy()
    paint.paint_face(skin, head, person.look, expression, mark)
    light = light_of(vertices, rng) * paint.tint_of(head, person.look)
    # In 1/128, which is finer than the steps of the colours it is multiplied with.
    light = np.clip(128 * light, 0, 255).astype(np.uint8)
    light = cv2.resize(light, skin.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    skin = cv2.multiply(skin, light, scale=1 / 128)
    at = [(where + 0.5) * paint.TEXELS - 0.5 for where in (columns, rows)]
    # Pixels that look beside the skin keep what the picture had.
    cv2.remap(skin, *at, cv2.INTER_LINEAR, dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    return rows, columns


def _is_seen(head, flat, rows, columns):
    """Whether the place that a landmark projects to shows the landmark's own surroundings."""
    x, y = np.round(flat).astype(int).T
    step = np.array([-1, 0, 1])
    around = y + step[:, None, None], x + step[:, None]
    near = np.abs(rows[around] - head.marks[:, 0]) < 1
    return (near & (np.abs(columns[around] - head.marks[:, 1]) < 1)).any((0, 1))


def _draw_face(person, pose, size, occlusion, rng, mark=None):
    """One picture of a person: image, landmarks in its pixels, which of them are seen."""
    expression = draw_expression(rng)
    head, turn = build_head(person.shape, expression), rotation(*pose)
    camera = _Camera(head.points @ turn.T, size, rng)

    def place(points):
        return _up(camera.project(np.asarray(points, float) @ turn.T))

    # A background has no need of edges as sharp as those of the face.
    picture = cv2.resize(background(size, rng), (_SUPER * size,) * 2)
    rows, columns = _paint_head(picture, head, person, expression, turn, camera, rng, mark)
    landmarks = camera.project(head.points @ turn.T)
    visible = _is_seen(head, _up(landmarks), rows, columns)
    visible &= ~paint.under_hair(head, person.hair_rows)
    if rng.random() < 0.12:
        glasses(picture, head, place, turn[2, 0], False, rng)
    if rng.random() < occlusion:
        bare = picture.copy()
        occlude(picture, head, place, turn[2, 0], person.look.skin, rng)
        x, y = np.round(_up(landmarks)).astype(int).T
        visible &= (picture[y, x] == bare[y, x]).all(-1)
    picture = cv2.resize(picture, (size, size), interpolation=cv2.INTER_AREA)
    return photograph(picture, rng), landmarks, visible


def _draw_box(landmarks, yaw, error, rng):
    """The square a detector would report; the further a face turns, the worse it is."""
    x, y, width, height = boxes_of(landmarks)
    side = max(width, height)
    error = error * (1 + abs(yaw) / 60)
    wanted = side * np.exp(0.07 * error * rng.standard_normal())
    middle = np.array([x + (width - 1) / 2, y + (height - 1) / 2])
    middle += side * error * np.array([0.04, 0.03]) * rng.standard_normal(2)
    return np.array([*(middle - (wanted - 1) / 2), wanted, wanted])


def _check_parameters(n_samples, image_size, faces_per_identity, max_yaw, occlusion, box_error):
    integers = (
        ("n_samples", n_samples, 1),
        ("image_size", image_size, 32),
        ("faces_per_identity", faces_per_identity, 1),
    )
    for name, value, low in integers:
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise TypeError(f"{name} must be an integer; got {value!r}.")
        if value < low:
            raise ValueError(f"{name} must be at least {low}; got {value}.")
    reals = (
        ("max_yaw", max_yaw, 1, 90),
        ("occlusion", occlusion, 0, 1),
        ("box_error", box_error, 0, 5),
    )
    for name, value, low, high in reals:
        if not isinstance(value, Real) or not low <= value <= high:
            raise ValueError(f"{name} must be a number from {low} to {high}; got {value!r}.")


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


def _generator(seed, kind, index):
    """A generator for one person or one face, whatever else is drawn."""
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(kind, index)))


def make_faces(
    n_samples=100,
    *,
    random_state=None,
    return_X_y=False,
    image_size=128,
    faces_per_identity=4,
    max_yaw=90.0,
    pose=None,
    occlusion=0.25,
    box_error=1.0,
):
    """Drawn faces with exact 68-point landmarks, in numbers as uneven as on photographs.

    Each picture is a head in three dimensions, seen in perspective: its proportions, skin,
    hair, beard, expression, light, background and the camera's blur and noise are random.
    A quarter of the faces has something in front of it.

    Yaw is drawn as the set AFLW has it, with a peak in front and shoulders on both sides:
    58 % from a normal distribution round 0 with a standard deviation of 14 degrees, 21 %
    each round -46 and 46 degrees with one of 17, cut at `max_yaw`. So 37 % of the faces
    turn more than 30 degrees, 9 % more than 60. Pitch has a standard deviation
    of 10 degrees; roll one of 8, and every tenth face leans by up to 40.

    Parameters
    ----------
    n_samples : int, default=100
    random_state : int, RandomState or None, default=None
        An int gives the same faces again. Face `i` does not depend on `n_samples`.
    return_X_y : bool, default=False
        Return only ``(data, target)``.
    image_size : int, default=128
        Side of the square images, in pixels, at least 32. The face takes about half of it.
    faces_per_identity : int, default=4
        How many faces in succession are of one person.
    max_yaw : float, default=90.0
        Largest turn to a side that is drawn, in degrees, from 1 to 90.
    pose : array-like of shape (n_samples, 3), default=None
        Yaw, pitch and roll of each face, in degrees from -90 to 90, in place of random
        ones. All else about a face stays as it is.
    occlusion : float, default=0.25
        Probability that sunglasses, a hand, a bar or something round hides a part.
    box_error : float, default=1.0
        Errors of the boxes, relative to those of a usual detector; 0 gives boxes that fit.

    Returns
    -------
    faces : Bunch
        With the attributes

        data : BoxedImages of shape (n_samples,)
            RGB images with square boxes round the landmarks. As with detectors, a box is
            off by random shifts (standard deviations of 4 % of its side across, 3 % down)
            and by a random scale (7 %), up to 2.5 times as much for a profile. Carries the
            schema.
        target : ndarray of shape (n_samples, 68, 2)
            Landmarks in image pixels, float64, all of them inside the image. They are
            points of the head: one that is hidden has the place it projects to, and the
            jaw is the bone's edge, not the outline of a turned face.
        schema : LandmarkSchema
            :data:`skwing.schema.IBUG68`.
        pose : ndarray of shape (n_samples, 3)
            Yaw, pitch and roll in degrees. Positive yaw moves the tip of the nose to the
            right of the image, positive pitch up; positive roll turns the face clockwise.
            The mirrored face has the opposite yaw and roll.
        visible : ndarray of bool of shape (n_samples, 68)
            False where the head itself or something in front of it hides a landmark.
        groups : ndarray of int of shape (n_samples,)
            The person, for `GroupKFold`.
        names : ndarray of str of shape (n_samples,)
        DESCR : str
    (data, target) : tuple
        If `return_X_y`.

    Raises
    ------
    ValueError
        If a parameter is out of range, or `pose` has another shape.
    TypeError
        If a number of things is no integer.

    Notes
    -----
    The shape of the yaw distribution follows Fig. 5 of Feng et al. (2018), "Wing loss for
    robust facial landmark localisation with convolutional neural networks", CVPR.

    Examples
    --------
    >>> from skwing.datasets import make_faces
    >>> faces = make_faces(6, random_state=0)
    >>> faces.data.shape, faces.target.shape, faces.groups.tolist()
    ((6,), (6, 68, 2), [0, 0, 0, 0, 1, 1])
    >>> X, y = make_faces(6, random_state=0, return_X_y=True)
    """
    _check_parameters(n_samples, image_size, faces_per_identity, max_yaw, occlusion, box_error)
    seed = check_random_state(random_state).randint(np.iinfo(np.int32).max)
    given = None if pose is None else _check_pose(pose, n_samples)
    images = np.empty((n_samples, image_size, image_size, 3), np.uint8)
    target, visible = np.empty((n_samples, 68, 2)), np.empty((n_samples, 68), bool)
    poses, boxes = np.empty((n_samples, 3)), np.empty((n_samples, 4))
    groups = np.arange(n_samples) // faces_per_identity
    for i in range(n_samples):
        if i % faces_per_identity == 0:
            person = _draw_person(_generator(seed, 0, int(groups[i])))
        rng = _generator(seed, 1, i)
        poses[i] = _draw_pose(rng, max_yaw)
        if given is not None:
            poses[i] = given[i]
        images[i], target[i], visible[i] = _draw_face(person, poses[i], image_size, occlusion, rng)
        boxes[i] = _draw_box(target[i], poses[i, 0], box_error, rng)
    data = BoxedImages(images, boxes=boxes, schema=IBUG68)
    if return_X_y:
        return data, target
    return Bunch(
        data=data,
        target=target,
        schema=IBUG68,
        pose=poses,
        visible=visible,
        groups=groups,
        names=np.array([f"person_{group:05d}/face_{i:05d}" for i, group in enumerate(groups)]),
        DESCR=_DESCR.format(n_samples=n_samples, n_persons=groups[-1] + 1, size=image_size),
    )
