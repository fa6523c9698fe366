"""Surroundings of a generated face: background, occluding objects, camera sensor."""

import numpy as np

from skwing._utils.opencv import cv2
from skwing.datasets._drawn.strokes import disc, fill, stroke


def _color(rng):
    """Random colour, usually with low saturation."""
    gray, vivid = rng.uniform(15, 240), rng.uniform(0, 1) ** 2
    return np.clip(gray + vivid * rng.uniform(-120, 120, 3), 0, 255)


def _noise(size, cells, low, high, rng):
    """Texture of patches between two colours, with `cells` patches per side."""
    share = rng.random((cells, cells, 1), np.float32)
    share = share + 0.15 * rng.random((cells, cells, 3), np.float32)
    grid = np.clip(low + (high - low) * share, 0, 255).astype(np.uint8)
    return cv2.resize(grid, (size, size), interpolation=cv2.INTER_LINEAR)


def background(size, rng):
    """Background: a gradient with coarse and fine texture and some shapes."""
    colors = [_color(rng) for _ in range(4)]
    picture = _noise(size, 2, *colors[:2], rng)
    for cells, most in ((int(rng.integers(4, 12)), 0.6), (size // 4, 0.3)):
        share = rng.uniform(0, most)
        texture = _noise(size, cells, *colors[2:], rng)
        picture = cv2.addWeighted(picture, 1 - share, texture, share, 0)
    for _ in range(int(12 * rng.random() ** 1.5)):
        color, place = _color(rng), rng.integers(-size // 8, 9 * size // 8, (2, 2))
        kind = rng.integers(0, 3)
        if kind == 0:
            cv2.rectangle(picture, place[0], place[1], color, -1, cv2.LINE_AA)
        elif kind == 1:
            cv2.circle(picture, place[0], int(rng.integers(3, size // 4)), color, -1, cv2.LINE_AA)
        else:
            cv2.line(picture, *place, color, int(rng.integers(1, size // 10)), cv2.LINE_AA)
    if rng.random() < 0.25:
        picture = cv2.convertScaleAbs(picture, alpha=rng.uniform(0.1, 0.5))
    blur = rng.uniform(0, 1.5)
    return cv2.GaussianBlur(picture, (0, 0), blur) if blur > 0.5 else picture


def glasses(picture, head, place, facing, dark, rng):
    """Draw glasses or, if `dark`, sunglasses: two rims, the bridge and the nearer temple.

    `place` projects points of the head frame into the picture; `facing` is the component of
    the x axis of the head towards the camera.
    """
    angle = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    power = rng.uniform(0.5, 1)
    oval = np.stack([np.cos(angle), np.sin(angle)], 1)
    oval = np.sign(oval) * np.abs(oval) ** power * rng.uniform([0.24, 0.17], [0.29, 0.25])
    color = _color(rng) * 0.4
    width = round(rng.uniform(1.2, 3.2))
    lines = []
    for side, eye in ((-1, head.points[36:42]), (1, head.points[42:48])):
        x, y = side * 0.44, eye[:, 1].mean() + 0.04
        bow = np.abs(oval[:, 0] + x)
        rim = np.column_stack([oval[:, 0] + x, oval[:, 1] + y, 1.22 - 0.35 * bow**2])
        if dark:
            fill(picture, place(rim), color * 0.6)
        lines.append((rim, True))
        if side * facing > -0.15:
            outer = rim[0] if side > 0 else rim[10]
            lines.append(([outer, [side * 1.1, y - 0.05, 0.1]], False))
    y = head.points[27, 1]
    lines.append(([[-0.2, y, 1.2], [0, y - 0.03, 1.25], [0.2, y, 1.2]], False))
    for points, closed in lines:
        stroke(picture, place(points), color, width, closed)


def _hand(picture, target, unit, color, rng):
    """Draw a hand, four fingers and a palm, over a point of the face."""
    angle = rng.uniform(0, np.pi) if rng.random() < 0.8 else rng.uniform(0, 2 * np.pi)
    out = np.array([np.cos(angle), np.sin(angle)])
    across = np.array([-out[1], out[0]])
    width = 0.2 * unit * rng.uniform(0.8, 1.2)
    color = color * rng.uniform(0.75, 1.05)
    palm = target + out * unit * rng.uniform(0.7, 0.9)
    arm = palm + out * 4 * unit
    for thick, shade in ((4.2, 0.6), (4.0, 1.0)):
        stroke(picture, [palm, arm], color * shade, int(thick * width))
    for finger in range(4):
        root = palm + across * width * (finger - 1.5)
        tip = target + across * width * 1.1 * (finger - 1.5)
        tip = tip + out * unit * (0.08 * (finger - 1.3) ** 2)
        for thick, shade in ((1.15, 0.6), (0.85, 1.0)):
            stroke(picture, [root, tip], color * shade, max(1, int(thick * width)))


def _bar(picture, target, unit, rng):
    angle, width = rng.uniform(0, np.pi), int(max(2, unit * rng.uniform(0.12, 0.45)))
    step = 8 * unit * np.array([np.cos(angle), np.sin(angle)])
    stroke(picture, [target - step, target + step], _color(rng), width)


def _blob(picture, target, unit, rng):
    """Draw a round object, such as a cup, a ball or a microphone."""
    axes, color = unit * rng.uniform(0.2, 0.6, 2), _color(rng)
    for share in (1.0, 0.85, 0.5):
        spot = target - (1 - share) * axes * 0.5
        shade = np.clip(color * (1.5 - 0.6 * share), 0, 255)
        disc(picture, spot, axes * share, shade)


def _brim(picture, head, place, rng):
    """Draw the brim of a hat, above the eyes or over them."""
    angle = np.linspace(-1.5, 1.5, 15)
    y, reach = rng.uniform(-0.75, -0.25), rng.uniform(1.25, 1.8)
    near = np.stack([1.05 * np.sin(angle), np.full(15, y - 0.15), 1.1 * np.cos(angle)], 1)
    far = near * [rng.uniform(1, 1.5), 0, reach]
    far[:, 1] = y + rng.uniform(0, 0.25) * np.cos(angle)
    color = _color(rng)
    fill(picture, place([*near, *far[::-1]]), color)
    stroke(picture, place(far), color * 0.5, 2)


def occlude(picture, head, place, facing, skin, rng):
    """Draw an occluding object: sunglasses, a hand, a brim, a bar or a round object."""
    flat = place(head.points)
    unit = np.sqrt(np.prod(np.ptp(flat, 0))) / 2
    target = flat[rng.integers(0, 68)] + 0.1 * unit * rng.standard_normal(2)
    kind = rng.choice(5, p=[0.22, 0.28, 0.15, 0.15, 0.2])
    if kind == 0:
        glasses(picture, head, place, facing, True, rng)
    elif kind == 1:
        _hand(picture, target, unit, skin, rng)
    elif kind == 2:
        _bar(picture, target, unit, rng)
    elif kind == 4:
        _brim(picture, head, place, rng)
    else:
        _blob(picture, target, unit, rng)


def _motion(picture, rng):
    reach = int(rng.integers(1, 3))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1), np.float32)
    end = np.round(reach * np.array([np.cos(t := rng.uniform(0, np.pi)), np.sin(t)])).astype(int)
    cv2.line(kernel, (reach - end).tolist(), (reach + end).tolist(), 1.0)
    # Motion blur is symmetric, so that landmarks do not move.
    kernel = kernel + kernel[::-1, ::-1]
    return cv2.filter2D(picture, -1, kernel / kernel.sum())


def photograph(picture, rng):
    """Simulate a camera sensor: low resolution, blur, exposure, colour, noise.

    All filters are symmetric, so that landmarks do not move.
    """
    size = picture.shape[1::-1]
    if rng.random() < 0.2:
        share = rng.uniform(0.45, 0.9)
        small = [int(side * share) for side in size]
        picture = cv2.resize(picture, small, interpolation=cv2.INTER_AREA)
        picture = cv2.resize(picture, size, interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.4:
        picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.4, 1.3))
    if rng.random() < 0.1:
        picture = _motion(picture, rng)
    # The exposure follows the picture, as in a camera, in steps: it is robust to details.
    level = 1.25 ** np.round(np.log(max(20, np.median(picture[::2, ::2, 1]))) / np.log(1.25))
    gain = np.clip(rng.uniform(55, 140) / level, 0.6, 1.8) * (1 + 0.06 * rng.standard_normal(3))
    if rng.random() < 0.12:
        picture = np.repeat(picture.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
        gain = gain.mean()
    tones = (np.linspace(0, 1, 256)[:, None] ** rng.uniform(0.75, 1.4)) * gain
    low = rng.uniform(-20, 25)
    tones = np.clip(low + tones * (255 - low), 0, 255) * np.ones(3)
    picture = cv2.LUT(picture, tones.astype(np.uint8)[None]).astype(np.float32)
    # Uniform noise takes a tenth of the time of Gaussian noise; sums over pixels are similar.
    noise = np.frombuffer(rng.bytes(picture.size), np.int8).reshape(picture.shape)
    strength = rng.choice([2.0, 5.0, 10.0], p=[0.6, 0.3, 0.1])
    picture += noise * np.float32(strength * rng.uniform(0.5, 1) * np.sqrt(3) / 128)
    return np.clip(picture, 0, 255).round().astype(np.uint8)
