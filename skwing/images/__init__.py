"""Images with boxes: the common representation of X for all estimators.

:class:`BoxedImages` refers to shared sources: arrays in memory or paths of files.
:func:`as_boxed_images` converts all supported inputs to it. Images are decoded one at a time,
on access.
"""

from skwing.images._boxed_images import BoxedImages
from skwing.images._convert import as_boxed_images, concatenate

__all__ = [
    "BoxedImages",
    "as_boxed_images",
    "concatenate",
]

# Pickles refer to the public name.
BoxedImages.__module__ = __name__
