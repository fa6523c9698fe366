"""From people to a picture: cameras, painted heads, and which landmarks it shows."""

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from skwing._utils.opencv import cv2
from skwing.datasets._drawn import paint
from skwing.datasets._drawn.marks import hidden_by_head, mark_up
from skwing.datasets._drawn.model import Head, build_head, on_grid, rotation
from skwing.datasets._drawn.render import cover, light_of
from skwing.datasets._drawn.scene import background, glasses, occlude, photograph
from skwing.datasets._drawn.shape import Expression, Shape, draw_expression, draw_shape
from skwing.schema import LandmarkSchema

__all__ = [
    "Camera",
    "Person",
    "Sitter",
    "draw_person",
    "line_up",
    "shape_of",
    "sit",
    "take_picture",
]

# A face is drawn at this many times the size of the image, then averaged down.
_SUPER = 2
# How far from a landmark, in cells of the grid, its surroundings reach.
_NEAR = 1.5
# Distance between neighbours in a picture, and how much it varies, in sides of the square
# that one face would have for itself; how small the furthest of them is.
_STEP, _JITTER, _FURTHEST = 0.55, 0.09, 0.65


@dataclass(frozen=True)
class Person:
    """What all pictures of one person share."""

    shape: Shape
    look: paint.Look
    skin: np.ndarray
    hair_rows: np.ndarray


def draw_person(rng):
    """Proportions, colours and hair of a random person."""
    shape, look = draw_shape(rng), paint.draw_look(rng)
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
        """Camera that sees all of some points in a square image."""
        camera = cls(1 / rng.uniform(1 / 30, 1 / 5), 1.0, np.zeros(2))
        flat = camera.project(points)
        low, high = flat.min(0), flat.max(0)
        scale = min(size * rng.uniform(0.2, 0.28), 0.86 * size / (high - low).max())
        room = (0.92 * size - scale * (high - low)) / 2
        jitter = size * (0.05 * rng.standard_normal(2) + [0, 0.02])
        middle = (size - 1) / 2 + np.clip(jitter, -room, room)
        return replace(camera, scale=scale, shift=middle - scale * (low + high) / 2)

    def moved(self, zoom, corner):
        """Camera whose image is shrunk and put into a larger one, at a corner (x, y)."""
        return replace(self, scale=zoom * self.scale, shift=zoom * self.shift + corner)

    def project(self, points):
        """Points of the camera's frame in pixels of the image."""
        near = self.scale * (self.distance - 0.9) / (self.distance - points[..., 2:])
        return points[..., :2] * near + self.shift


def _up(points):
    """Pixels of the image in pixels of the larger picture it is averaged from."""
    return (points + 0.5) * _SUPER - 0.5


@dataclass(frozen=True)
class Sitter:
    """A person who sits for a picture: a head with an expression, held in a pose.

    `marks` are the places of the landmarks on the head, `rng` draws what else concerns
    this face alone.
    """

    person: Person
    expression: Expression
    schema: LandmarkSchema
    head: Head
    marks: np.ndarray
    turn: np.ndarray
    camera: Camera
    rng: np.random.Generator

    def place(self, points):
        """Points of the head's own frame in pixels of the image."""
        return self.camera.project(np.asarray(points, float) @ self.turn.T)

    @cached_property
    def landmarks(self):
        """Landmarks in pixels of the image, (n_landmarks, 2)."""
        return self.place(on_grid(self.head.vertices, self.marks))

    def outline(self):
        """The 68 points that a detector's box goes by, whatever the schema, in pixels."""
        return self.place(self.head.points)


def sit(person, pose, size, schema, rng):
    """Seat a person in front of a camera of their own, with a random expression."""
    expression = draw_expression(rng)
    head, turn = build_head(person.shape, expression), rotation(*pose)
    camera = Camera.aimed(head.points @ turn.T, size, rng)
    marks = mark_up(schema, head, person.look, expression)
    return Sitter(person, expression, schema, head, marks, turn, camera, rng)


def shape_of(n_places, size):
    """Height and width, in pixels, of a picture with room for so many faces."""
    return size, round(size * (1 + _STEP * (n_places - 1)))


def line_up(sitters, n_places, size, rng):
    """Put sitters side by side into one picture, some nearer than others.

    Parameters
    ----------
    sitters : list of Sitter
        Each with a camera of a square image.
    n_places : int
        For how many there is room; the last picture of a set may show fewer.
    size : int
        Side of the square images, in pixels.
    rng : numpy.random.Generator

    Returns
    -------
    sitters : list of Sitter
        With cameras of the common picture, :func:`shape_of` tells how large it is.
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
    """Paint a head into a picture; tell for each pixel the (row, column) seen there."""
    head, person = sitter.head, sitter.person
    vertices = paint.grow_hair(head, person.hair_rows, person.look) @ sitter.turn.T
    flat = _up(sitter.camera.project(vertices))
    rows, columns = cover(flat, vertices[..., 2], picture.shape[:2])
    skin = person.skin.copy()
    paint.paint_face(skin, head, person.look, sitter.expression, mark)
    light = light_of(vertices, sitter.rng) * paint.tint_of(head, person.look)
    # In 1/128, which is finer than the steps of the colours it is multiplied with.
    light = np.clip(128 * light, 0, 255).astype(np.uint8)
    light = cv2.resize(light, skin.shape[1::-1], interpolation=cv2.INTER_LINEAR)
    skin = cv2.multiply(skin, light, scale=1 / 128)
    at = [(where + 0.5) * paint.TEXELS - 0.5 for where in (columns, rows)]
    # Pixels that look beside the skin keep what the picture had.
    cv2.remap(skin, *at, cv2.INTER_LINEAR, dst=picture, borderMode=cv2.BORDER_TRANSPARENT)
    return rows, columns


def _is_seen(marks, spots, rows, columns):
    """Whether the pixel that a landmark falls on shows the landmark's own surroundings.

    These reach a bit further than to the next cell, so that the jaw of a face that looks
    ahead is seen although the cells below its rim face away.
    """
    x, y = spots
    step = np.array([-1, 0, 1])
    around = y + step[:, None, None], x + step[:, None]
    near = np.abs(rows[around] - marks[:, 0]) < _NEAR
    return (near & (np.abs(columns[around] - marks[:, 1]) < _NEAR)).any((0, 1))


def _paint_sitter(picture, sitter, spots, occlusion, mark):
    """Paint a sitter with all there is on and before the face.

    Returns
    -------
    own, other : ndarray of bool of shape (n_landmarks,)
        Which landmarks the head itself hides, and which a thing in front of it.
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
        Probability that something hides part of a face.
    rng : numpy.random.Generator
        Draws background and sensor.
    mark : (row, column), default=None
        A place on the heads to put a dot on.

    Returns
    -------
    picture : ndarray of shape (height, width, 3), uint8
    own, other : list of ndarray of bool of shape (n_landmarks,)
        For each sitter the landmarks that the head itself hides, and those that something
        in front of it does: a thing, or a neighbour with all that belongs to them.
    """
    height, width = shape
    # A background has no need of edges as sharp as those of the face.
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
