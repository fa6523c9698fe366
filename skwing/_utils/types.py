"""Type aliases for annotations, imported only under ``TYPE_CHECKING``."""

import os
from collections.abc import Sequence
from typing import Any, Literal, NotRequired, Protocol, TypeAlias, TypedDict, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

Floats: TypeAlias = NDArray[np.float64]
Ints: TypeAlias = NDArray[np.int64]
Flags: TypeAlias = NDArray[np.bool_]
FilePath: TypeAlias = str | os.PathLike[str]
RandomState: TypeAlias = int | np.random.RandomState | None
# A setting of one value for all stages, or one for each.
PerStage: TypeAlias = float | Sequence[float] | NDArray[Any]
OnError: TypeAlias = Literal["raise", "skip"]
# The type of results equals the type of arguments; integers give some kind of number.
Array = TypeVar(
    "Array", NDArray[np.float64], NDArray[np.float32], torch.Tensor, NDArray[np.number[Any]]
)


class Column(Protocol):
    """Protocol of one or several columns of a table, such as a pandas.Series or DataFrame."""

    def to_numpy(self) -> Any:
        """Its values."""

    def __len__(self) -> int:
        """Number of rows."""


# As an ArrayLike, but of known length.
Rows: TypeAlias = NDArray[Any] | Sequence[Sequence[float]] | Sequence[NDArray[Any]] | Column


class Predictor(Protocol):
    """Protocol of a fitted regressor of landmarks, or a pipeline or a search with one."""

    def predict(self, X: Any, /) -> Any:
        """Landmarks of each sample."""


class Table(Protocol):
    """Protocol of a table with named columns, such as a pandas.DataFrame."""

    @property
    def columns(self) -> Any:
        """Names of the columns."""

    def __getitem__(self, key: Any, /) -> Any:
        """Column of that name."""


class HistoryRow(TypedDict):
    """One epoch of training."""

    stage: int
    epoch: int
    loss: float
    learning_rate: float
    seconds: float
    n_samples: int
    validation_error: NotRequired[float]
