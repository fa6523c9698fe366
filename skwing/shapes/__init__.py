"""Statistics of landmark shapes: Procrustes alignment, mean shape, modes of variation.

A shape is an (n_landmarks, 2) array of points ``(x, y)``; shapes come stacked as
(n_shapes, n_landmarks, 2). A point with NaN, in one coordinate or both, is missing and
is left out of every sum;
:func:`complete_shapes` infers where it is.
"""

from skwing.shapes._pca import ShapeModes, coefficients, complete_shapes, shape_pca
from skwing.shapes._procrustes import align, is_shape, mean_shape, normalize, symmetric

__all__ = [
    "ShapeModes",
    "align",
    "coefficients",
    "complete_shapes",
    "is_shape",
    "mean_shape",
    "normalize",
    "shape_pca",
    "symmetric",
]

# A pickle names it by where it is public.
ShapeModes.__module__ = __name__
