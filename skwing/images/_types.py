"""What may stand for images in signatures: imported by type checkers only."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from skwing._utils.types import Column, FilePath, Table
from skwing.images._boxed_images import BoxedImages

__all__ = ["ImagesLike", "SourceLike"]


SourceLike: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]] | Sequence[FilePath] | Column
ImagesLike: TypeAlias = BoxedImages | SourceLike | Table
