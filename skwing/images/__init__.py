"""Images with their boxes: what estimators take as X, whatever it was made from.

:class:`BoxedImages` is an index on shared sources, arrays in memory or paths of files, and
the only form that the rest of the package knows. :func:`as_boxed_images` makes one from
anything a user may pass. Pixels are decoded one sample at a time, when asked for.
"""

from skwing.images._boxed_images import BoxedImages
from skwing.images._convert import as_boxed_images, concatenate

__all__ = [
    "BoxedImages",
    "as_boxed_images",
    "concatenate",
]

# A pickle names it by where it is public.
BoxedImages.__module__ = __name__
