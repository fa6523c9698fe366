"""scikit-learn's base class of estimators, with the types that it lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn import base

__all__ = ["BaseEstimator"]

if TYPE_CHECKING:
    from typing import Any, Self

    class BaseEstimator(base.BaseEstimator):
        """scikit-learn's, to a type checker."""

        def get_params(self, deep: bool = True) -> dict[str, Any]:
            """Parameters by name."""

        def set_params(self, **params: Any) -> Self:
            """Change parameters by name."""

else:
    BaseEstimator = base.BaseEstimator
