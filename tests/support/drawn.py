"""Images drawn for tests: white dots whose middles are known to fractions of a pixel."""

import numpy as np


def draw_dots(points, shape, sigma=2.0):
    """White dots on black, centred between pixels as exactly as 8 bits allow."""
    rows, columns = np.indices(shape)
    image = np.zeros(shape)
    for x, y in points:
        image += 250 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (2 * sigma**2))
    return np.repeat(np.round(image).astype(np.uint8)[..., None], 3, axis=2)


def find_dots(image, expected, radius):
    """Centres of mass of what is white in windows around the expected places."""
    image = np.asarray(image, dtype=float)
    found = []
    for x, y in expected:
        left, top = max(round(x) - radius, 0), max(round(y) - radius, 0)
        part = image[top : round(y) + radius + 1, left : round(x) + radius + 1]
        rows, columns = np.indices(part.shape)
        mass = part.sum()
        assert mass > 0, f"nothing is seen around {x, y}"
        found.append([(columns * part).sum() / mass + left, (rows * part).sum() / mass + top])
    return np.array(found)
