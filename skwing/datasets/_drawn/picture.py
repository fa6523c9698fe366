"""Composition of a picture: cameras, painted heads, and visibility of landmarks."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skwing._utils.opencv import cv2
from skwing.datasets._drawn import paint
from skwing.datasets._drawn.look import Look, draw_look
from skwing.datasets._drawn.marks import hidden_by_head, mark_up
from skwing.datasets._drawn.model import Head, build_head, on_grid, rotation
from skwing.datasets._drawn.outline import on_outline
from skwing.datasets._drawn.render import cover, light_of, shade_of
from skwing.datasets._drawn.scene import background, glasses, occlude, photograph
from skwing.datasets._drawn.shape import Expression, Shape, draw_expression, draw_shape
from skwing.schema import IBUG68, LandmarkSchema

# Supersampling factor: faces are drawn at this scale, then averaged.
_SUPER = 2
# Size of the neighbourhood of a landmark, in grid cells.
_NEAR = 1.5
# Distance between neighbours in a picture and its variation, in sides of the square of a
# single face; relative size of the most distant face.
_STEP, _JITTER, _FURTHEST = 0.55, 0.09, 0.65


@dataclass(frozen=True)
class Person:
    """Properties shared by all pictures of a person."""

    shape: Shape
    look: Look
    skin: np.ndarray
    hair_rows: np.ndarray


def draw_person(rng):
    """Proportions, colours and hair of a random person."""
    shape, look = draw_shape(rng), draw_look(rng)
    calm = build_head(shape, Expression())
    return Person(shape, look, *paint.paint_base(look, calm.vertices[..., 1], rng))


@dataclass(frozen=True)
class Camera:
    """Perspective onto an image, in pixels; `distance` in half face widths."""

    distance: float
    scale: float
    shift: np.ndarray

    @classmethod
    def aimed(cls, points, size, rng):
        """Camera with a square image that contains all of the points."""
        camera = cls(1 / rng.uniform(1 / 30, 1 / 5), 1.0, np.zeros(2))
        flat = camera.project(points)
        low, high = flat.min(0), flat.max(0)
        scale = min(size * rng.uniform(0.2, 0.28), 0.86 * size / (high - low).max())
        room = (0.92 * size - scale * (high - low)) / 2
        jitter = size * (0.05 * rng.standard_normal(2) + [0, 0.02])
        middle = (size - 1) / 2 + np.clip(jitter, -room, room)
        return replace(camera, scale=scale, shift=middle - scale * (low + high) / 2)

    def moved(self, zoom, corner):
        """Camera whose image is scaled down and placed in a larger one, at a corner (x, y)."""
        return replace(self, scale=zoom * self.scale, shift=zoom * self.shift + corner)

    def project(self, points):
        """Project points of the camera frame to image pixels."""
        near = self.scale * (self.distance - 0.9) / (self.distance - points[..., 2:])
        return points[..., :2] * near + self.shift


def _up(points):
    """Convert pixels of the image to pixels of the supersampled picture."""
    return (points + 0.5) * _SUPER - 0.5


@dataclass(frozen=True)
class Sitter:
    """A person in a picture: a head with an expression and a pose.

    `marks` are the positions of the landmarks on the head, `frame` those of the 68 landmarks
    that define the box. `rng` draws all further random properties of this face.
    """

    person: Person
    expression: Expression
    schema: LandmarkSchema
    head: Head
    marks: np.ndarray
    frame: np.ndarray
    turn: np.ndarray
    camera: Camera
    rng: np.random.Generator

    def place(self, points):
        """Project points of the head frame to image pixels."""
        return self.camera.project(np.asarray(points, float) @ self.turn.T)

    @cached_property
    def landmarks(self):
        """Landmarks in image pixels, shape (n_landmarks, 2)."""
        return self.place(on_grid(self.head.vertices, self.marks))

    def outline(self):
        """The 68 points that define the box for all schemas, in pixels."""
        return self.place(on_grid(self.head.vertices, self.frame))


def sit(person, pose, size, schema, rng, jaw="bone"):
    """Create a sitter with a random expression and a separate camera."""
    expression = draw_expression(rng)
    head, turn = build_head(person.shape, expression), rotation(*pose)
    camera = Camera.aimed(head.points @ turn.T, size, rng)
    marks = mark_up(schema, head, person.look, expression)
    sitter = Sitter(person, expression, schema, head, marks, head.marks, turn, camera, rng)
    if jaw == "bone":
        return sitter
    return replace(
        sitter,
        marks=_with_outline(sitter, marks, schema),
        frame=_with_outline(sitter, head.marks, IBUG68),
    )


def _with_outline(sitter, marks, schema):
    """Positions of landmarks, with those of the jaw on the outline of the face."""
    names = schema.landmark_names
    jaw = [i for i, name in enumerate(names) if "jaw" in name or name == "chin"]
    moved = marks.copy()
    if len(jaw) > 1:  # two of the schemas only have the chin
        moved[jaw] = on_outline(sitter.head, marks[jaw], sitter.place, sitter.turn[:2, 1])
    return moved


def shape_of(n_places, size):
    """Height and width, in pixels, of a picture for the given number of faces."""
    return size, round(size * (1 + _STEP * (n_places - 1)))


def line_up(sitters, n_places, size, rng):
    """Place sitters side by side in one picture, at different distances.

    Parameters
    ----------
    sitters : list of Sitter
        Sitters whose cameras have square images.
    n_places : int
        Number of places; the last picture of a set may show fewer sitters.
    size : int
        Side of the square images, in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    sitters : list of Sitter
        With cameras of the common picture, whose shape is given by :func:`shape_of`.
    """
    zoom = rng.uniform(_FURTHEST, 1, n_places)
    room = np.array(shape_of(n_places, size)[::-1]) - size * zoom[:, None]
    corners = size * np.stack([_STEP * np.arange(n_places) + (1 - zoom) / 2, 0 * zoom], 1)
    corners[:, 0] += size * rng.uniform(-_JITTER, _JITTER, n_places)
    corners[:, 1] = rng.random(n_places) * room[:, 1]
    return [
        replace(sitter, camera=sitter.camera.moved(share, corner))
        for sitter, share, corner in zip(sitters, zoom, np.clip(corners, 0, room), strict=False)
    ]


def _paint_head(picture, sitter, mark):
    """Paint a head into a picture; return the visible (row, column) at each pixel."""
    head, person = sitter.head, sitter.person
    vertices = paint.grow_hair(head, person.hair_rows, person.look) @ sitter.turn.T
    flat = _up(sitter.camera.project(vertices))
    rows, columns = cover(flat, vertices[..., 2], picture.shape[:2])
    skin = person.skin.copy()
    paint.paint_face(skin, head, person.look, sitter.expression, mark)
    light = light_of(vertices, sitter.rng) * shade_of(flat, sitter.rng)
    light *= paint.tint_of(head, person.look)
    # Steps of 1/128 are finer than the colour levels they are multiplied with.
    light = np.clip(128 * light, 0, 255).astype(np.uint8)
    light = cv2.resize(light, skin.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    skin = cv2.multiply(skin, light, scale=1 / 128)
    at = [(where + 0.5) * paint.TEXELS - 0.5 for where in (columns, rows)]
    # Pixels outside of the skin are unchanged.
    cv2.remap(skin, *at, cv2.INTER_LINEAR, dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    return rows, columns


def _is_seen(marks, spots, rows, columns):
    """Whether the pixel at a landmark shows the neighbourhood of the landmark.

    The neighbourhood is slightly larger than a cell, so that the jaw of a frontal face is
    visible although the cells below its rim face away from the camera.
    """
    x, y = spots
    step = np.array([-1, 0, 1])
    around = y + step[:, None, None], x + step[:, None]
    near = np.abs(rows[around] - marks[:, 0]) < _NEAR
    return (near & (np.abs(columns[around] - marks[:, 1]) < _NEAR)).any((0, 1))


def _paint_sitter(picture, sitter, spots, occlusion, mark):
    """Paint a sitter with glasses, hair and occluding objects.

    Returns
    -------
    own, other : ndarray of bool of shape (n_landmarks,)
        Masks of landmarks hidden by the head, and by an object in front of it.
    """
    head, person, rng = sitter.head, sitter.person, sitter.rng
    rows, columns = _paint_head(picture, sitter, mark)
    own = ~_is_seen(sitter.marks, spots, rows, columns)
    own |= hidden_by_head(sitter.schema, head, sitter.marks, person.hair_rows)

    def place(points):
        return _up(sitter.place(points))

    facing = sitter.turn[2, 0]
    if rng.random() < 0.12:
        glasses(picture, head, place, facing, False, rng)
    if rng.random() >= occlusion:
        return own, np.zeros_like(own)
    bare = picture.copy()
    occlude(picture, head, place, facing, person.look.skin, rng)
    return own, _differs(picture, bare, spots)


def _differs(picture, other, spots):
    x, y = spots
    return (picture[y, x] != other[y, x]).any(-1)


def take_picture(sitters, shape, occlusion, rng, mark=None):
    """Take a picture of one or several sitters.

    Parameters
    ----------
    sitters : list of Sitter
    shape : tuple of int
        Height and width, in pixels.
    occlusion : float
        Probability of an occluding object per face.
    rng : numpy.random.Generator
        Generator for background and sensor noise.
    mark : (row, column), default=None
        Position on the heads where a dot is drawn.

    Returns
    -------
    picture : ndarray of shape (height, width, 3), uint8
    own, other : list of ndarray of bool of shape (n_landmarks,)
        For each sitter, masks of landmarks hidden by the head, and by an object or another
        sitter in front of it.
    """
    height, width = shape
    # The background is drawn at a lower resolution than the face.
    picture = np.ascontiguousarray(background(max(shape), rng)[:height, :width])
    picture = cv2.resize(picture, (_SUPER * width, _SUPER * height))
    spots = [np.round(_up(sitter.landmarks)).astype(int).T for sitter in sitters]
    own, other = ([None] * len(sitters) for _ in range(2))
    order = sorted(range(len(sitters)), key=lambda i: sitters[i].camera.scale)
    for number, i in enumerate(order):
        before = picture.copy() if number else None
        own[i], other[i] = _paint_sitter(picture, sitters[i], spots[i], occlusion, mark)
        for k in order[:number]:
            other[k] |= _differs(picture, before, spots[k])
    picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    return photograph(picture, rng), own, other
