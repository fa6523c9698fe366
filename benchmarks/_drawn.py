"""Generated objects with exact landmarks: kites and figures."""

import cv2
import numpy as np

# A quadrilateral with a spike, and the order of its outline.
KITE = np.array([[-1, -0.4], [1, -0.4], [0.6, 0.6], [-0.6, 0.6], [0, -1]])
OUTLINE = [0, 4, 1, 2, 3]
SPOTS = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0), (0, 255, 255)]

# Of a figure, in lengths of its body: head; and arms and legs, above and below the joint.
HEAD, ARM, LEG = 0.45, 0.55, 0.6
FREE = 60  # maximum angle of limbs at the shoulder or hip, in degrees
SIXTEENTHS = 4  # fractional bits of coordinates in OpenCV's drawing functions


def draw_kites(n, side, sizes, seed):
    """Quadrilaterals with a spike and spots of five colours, with random shape and rotation.

    Returns images of shape (n, side, side, 3) and landmarks (n, 5, 2); `sizes` are a range,
    as a fraction of `side`.
    """
    rng = np.random.RandomState(seed)
    images, shapes = np.empty((n, side, side, 3), dtype=np.uint8), np.empty((n, 5, 2))
    for image, shape in zip(images, shapes, strict=True):
        clouds = rng.randint(64, 192, (8, 8, 3)).astype(np.uint8)
        image[:] = cv2.resize(clouds, (side, side), interpolation=cv2.INTER_CUBIC)
        radius = side * rng.uniform(*sizes) / 2
        angle = np.deg2rad(rng.uniform(-30, 30))
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        varied = KITE * (1 + 0.15 * rng.standard_normal((5, 2)))
        shape[:] = np.rint(
            radius * varied @ turn + rng.uniform(1.3 * radius, side - 1.3 * radius, 2)
        )
        points = shape.astype(np.int32)
        cv2.fillPoly(image, [points[OUTLINE]], rng.randint(0, 256, 3).tolist())
        for point, colour in zip(points, SPOTS, strict=True):
            cv2.circle(image, point.tolist(), max(1, int(0.12 * radius)), colour, -1)
    return images, shapes


def draw_figures(n, side, sizes, seed):
    """Figures of a head, a body and four articulated limbs with two joints each.

    Returns images of shape (n, side, side, 3) and landmarks (n, 11, 2): head, neck, hip, then
    joint and end of the arms and of the legs, the darker one of a pair first. `sizes` are a
    range for the longer side of the box around the landmarks, as a fraction of `side`.
    """
    rng = np.random.RandomState(seed)
    images, shapes = np.empty((n, side, side, 3), dtype=np.uint8), np.empty((n, 11, 2))
    for image, shape in zip(images, shapes, strict=True):
        clouds = rng.randint(0, 200, (8, 8, 3)).astype(np.uint8)
        image[:] = cv2.resize(clouds, (side, side), interpolation=cv2.INTER_CUBIC)
        joints = _joints(rng)
        low, high = joints.min(0), joints.max(0)
        extent = side * rng.uniform(*sizes)
        scale = extent / (high - low).max()
        middle = rng.uniform(0.55 * extent, max(side - 0.55 * extent, 0.55 * extent + 1), 2)
        shape[:] = (joints - (low + high) / 2) * scale + middle
        _paint(image, shape, scale, rng)
    return images, shapes


def _joints(rng):
    """Landmarks of a figure with a body of length 1."""

    def towards(angle):
        return np.array([np.sin(angle), np.cos(angle)])

    def turn(degrees):
        return np.deg2rad(rng.uniform(-degrees, degrees))

    lean = turn(25)
    hip = np.zeros(2)
    neck = hip - towards(lean)
    points = [neck - HEAD * towards(lean + turn(20)), neck, hip]
    for start, length in ((neck, ARM), (hip, LEG)):
        for side in (-1, 1):
            above = lean + np.deg2rad(40 * side) + turn(FREE)
            joint = start + length * towards(above)
            points += [joint, joint + length * towards(above + turn(1.2 * FREE))]
    return np.array(points)


def _paint(image, shape, body, rng):
    """Draw a figure with a body of the given length in pixels; right limbs are on top."""
    colour, width = rng.randint(60, 256, 3), 0.14 * body
    head, neck, hip, *limbs = shape

    def line(start, end, thickness, shade):
        ends = np.rint(2**SIXTEENTHS * np.array([start, end])).astype(int).tolist()
        tone = np.clip(colour * shade + rng.randint(-12, 12, 3), 0, 255).tolist()
        cv2.line(image, *ends, tone, max(1, round(thickness)), cv2.LINE_AA, SIXTEENTHS)

    for i, start in enumerate((neck, neck, hip, hip)):
        joint, end = limbs[2 * i : 2 * i + 2]
        shade = 1.0 if i % 2 else 0.65
        line(start, joint, width, shade)
        line(joint, end, 0.7 * width, shade)
    line(neck, hip, 1.6 * width, 0.85)
    line(head, head, 0.44 * body, 0.9)
    noise = rng.normal(0, 8, image.shape)
    image[:] = np.clip(image + noise, 0, 255).astype(np.uint8)
