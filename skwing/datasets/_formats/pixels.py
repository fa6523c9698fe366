"""Images that stand in a table as text: grey levels one after the other."""

import math

import numpy as np

__all__ = ["Pixels", "is_pixels"]


def is_pixels(value):
    """Whether a cell holds the grey levels of an image, as Kaggle's do, not a path."""
    if not isinstance(value, str) or len(value) < 31:  # of 16 pixels at least
        return False
    return all(part.isascii() and part.isdigit() for part in value[:64].split())


class Pixels:
    """Square grey images of one size, gathered row by row."""

    def __init__(self):
        self._images = []

    def add(self, text, where):
        """Take the cell of one row; `where` is for errors."""
        try:
            if "_" in text or not text.isascii():  # int() takes 1_0 and digits of all scripts
                raise ValueError
            image = bytes(map(int, text.split()))
        except ValueError:
            raise ValueError(
                f"{where}: found {text!r:.60}, expected grey levels from 0 to 255."
            ) from None
        expected = len(self._images[0]) if self._images else math.isqrt(len(image)) ** 2
        if len(image) != expected or not image:
            raise ValueError(
                f"{where}: found {len(image)} grey levels, expected "
                + (f"{expected} as before." if self._images else "those of a square image.")
            )
        self._images.append(image)

    def finish(self):
        """All images, a uint8 array of shape (n, side, side, 1)."""
        images = np.frombuffer(b"".join(self._images), dtype=np.uint8)
        side = math.isqrt(len(self._images[0]))
        return images.reshape(-1, side, side, 1)
