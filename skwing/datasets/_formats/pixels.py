"""Images in tables as text: lists of grey levels."""

import math

import numpy as np


def is_pixels(value):
    """Whether a cell contains the grey levels of an image, as in Kaggle's file, not a path."""
    if not isinstance(value, str) or len(value) < 31:  # at least 16 pixels
        return False
    return all(part.isascii() and part.isdigit() for part in value[:64].split())


def read_pixels(table, column):
    """Square grey images of one size, a uint8 array of shape (n, side, side, 1)."""
    images = []
    for row, text in enumerate(table.values(column)):
        try:
            if "_" in text or not text.isascii():  # int() accepts 1_0 and digits of all scripts
                raise ValueError
            image = bytes(map(int, text.split()))
        except (TypeError, ValueError):
            raise ValueError(
                f"{table.where(row)}: found {text!r:.60}, expected grey levels from 0 to 255."
            ) from None
        expected = len(images[0]) if images else math.isqrt(len(image)) ** 2
        if len(image) != expected or not image:
            raise ValueError(
                f"{table.where(row)}: found {len(image)} grey levels, expected "
                + (f"{expected} as before." if images else "those of a square image.")
            )
        images.append(image)
    side = math.isqrt(len(images[0]))
    return np.frombuffer(b"".join(images), dtype=np.uint8).reshape(-1, side, side, 1)
