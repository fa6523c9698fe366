"""The parameter `start`, whose own parameters are not those of the estimator."""

from __future__ import annotations

from typing import Any, Self


class StartMixin:
    """Mixin for estimators with a parameter `start`, which may be another estimator.

    Only its weights matter, so its parameters are neither listed nor set as nested parameters.
    """

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this estimator.

        Parameters
        ----------
        deep : bool, default=True

        Returns
        -------
        params : dict
        """
        params: dict[str, Any] = super().get_params(deep=deep)  # type: ignore[misc]
        return {name: value for name, value in params.items() if not name.startswith("start__")}

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator.

        Parameters
        ----------
        **params : dict

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If a parameter is unknown, or belongs to the start, or if the start is or contains this
            estimator.
        """
        if nested := [name for name in params if name.startswith("start__")]:
            raise ValueError(
                f"{nested[0]} is a parameter of another model, the start, of which only the "
                f"weights are used: set {nested[0].removeprefix('start__')} of this estimator"
            )
        if _contains(params.get("start"), self):
            raise ValueError(
                "start cannot be this estimator or contain it: set warm_start=True to continue "
                "with the weights of its own fit"
            )
        super().set_params(**params)  # type: ignore[misc]
        return self


def _contains(start: Any, estimator: Any) -> bool:
    """Whether a start is an estimator, or one of its parameters is, or one of their starts."""
    if not hasattr(start, "get_params"):
        return False
    parts = [start, *start.get_params().values()]
    return any(part is estimator for part in parts) or any(
        _contains(part.start, estimator) for part in parts if isinstance(part, StartMixin)
    )
