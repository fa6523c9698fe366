"""Images and boxes for dlib's shape predictor, without other imports than NumPy and OpenCV."""

import cv2
import numpy as np

AROUND = 0.5  # margin of the images for dlib, as a fraction of the longer side of the box


def grey_part(image, box, scale=1):
    """Grey image around a box, and the matrix from image pixels to its pixels.

    The image is cropped, so that time and memory do not depend on the size of the photograph.
    """
    x, y, width, height = box
    pad = AROUND * max(width, height)
    left, top = max(int(x - pad), 0), max(int(y - pad), 0)
    part = image[top : int(np.ceil(y + height + pad)), left : int(np.ceil(x + width + pad))]
    part = cv2.cvtColor(np.ascontiguousarray(part), cv2.COLOR_RGB2GRAY)
    if scale != 1:
        part = cv2.resize(part, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    shift = (scale - 1) / 2  # resizing keeps the outer edges of pixels
    matrix = [[scale, 0.0, shift - scale * left], [0.0, scale, shift - scale * top]]
    return part, np.array(matrix, dtype=float)


def dlib_box(dlib, box, matrix):
    """Box as a dlib rectangle: integer coordinates of the first and the last pixel."""
    x, y, width, height = box
    corners = np.array([[x, y], [x + width - 1, y + height - 1]]) * matrix[0, 0] + matrix[:, 2]
    return dlib.rectangle(*(round(float(value)) for value in corners.ravel()))


def locate(dlib, predictor, image, box, scale=1):
    """Landmarks by a shape predictor, of shape (L, 2), in image pixels."""
    picture, matrix = grey_part(image, box, scale)
    found = predictor(picture, dlib_box(dlib, box, matrix))
    points = np.array([[part.x, part.y] for part in found.parts()], dtype=float)
    return (points - matrix[:, 2]) / matrix[0, 0]
