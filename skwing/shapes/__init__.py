"""Statistics of landmark shapes: Procrustes alignment, mean shape, principal components.

A shape is an (n_landmarks, 2) array of points ``(x, y)``; several shapes are an array of shape
(n_shapes, n_landmarks, 2). A point with NaN in one or both coordinates is missing and is
ignored; :func:`complete_shapes` infers missing points.
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

# Pickles refer to the public name.
ShapeModes.__module__ = __name__
