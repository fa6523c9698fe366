"""Type aliases for images, imported only under ``TYPE_CHECKING``."""

from collections.abc import Sequence
from typing import Any, TypeAlias

from numpy.typing import NDArray

from skwing._utils.types import Column, FilePath, Table
from skwing.images._boxed_images import BoxedImages

SourceLike: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]] | Sequence[FilePath] | Column
ImagesLike: TypeAlias = BoxedImages | SourceLike | Table
