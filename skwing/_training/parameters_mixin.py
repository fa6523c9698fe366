"""Nested parameters of the regressor: those of its augmentation, and none of its start."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar, Self

from skwing._crops.augmentation import AUGMENTATIONS, Augmentation, is_default


class ParametersMixin:
    """Methods of :class:`skwing.CascadeLandmarkRegressor` that get and set its parameters.

    ``augmentation="default"`` is equivalent to ``Augmentation()``. Its parameters can be read
    and set like nested parameters: ``set_params(augmentation__rotation=30)`` replaces "default"
    by an `Augmentation`. Of `start`, which may be another estimator, only the weights matter, so
    its parameters are neither listed nor set. Parameters of versions before 0.8 raise an error
    that states their replacement.
    """

    augmentation: Augmentation | str | None
    start: Any
    __signature__: ClassVar[inspect.Signature]

    def __init_subclass__(cls, **settings: Any) -> None:
        """Make the signature that of `__init__`; Python 3.11.2 would take that of `__new__`."""
        super().__init_subclass__(**settings)
        _, *parameters = inspect.signature(cls.__init__).parameters.values()
        cls.__signature__ = inspect.Signature(parameters)

    def __new__(cls, *args: Any, **params: Any) -> Self:
        """Reject parameters that have moved to the augmentation or to the networks."""
        _refuse_moved(cls, params, nested=False)
        return super().__new__(cls)

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Get the parameters of this estimator.

        Parameters
        ----------
        deep : bool, default=True
            Whether to include the parameters of the augmentation, as `augmentation__rotation`.

        Returns
        -------
        params : dict
        """
        params: dict[str, Any] = super().get_params(deep=deep)  # type: ignore[misc]
        params = {name: value for name, value in params.items() if not name.startswith("start__")}
        if deep and is_default(self.augmentation):
            own = Augmentation().get_params()
            params |= {f"augmentation__{name}": value for name, value in own.items()}
        return params

    def set_params(self, **params: Any) -> Self:
        """Set parameters of this estimator.

        Parameters
        ----------
        **params : dict
            Parameters of the augmentation have names such as `augmentation__rotation`.

        Returns
        -------
        self : estimator

        Raises
        ------
        ValueError
            If a parameter is unknown, belongs to the start, or belongs to the augmentation, which
            is None; or if the start is or contains this estimator.
        TypeError
            If a parameter of versions before 0.8 is passed.
        """
        _refuse_moved(type(self), params, nested=True)
        if any(name.startswith("augmentation__") for name in params):
            augmentation = params.get("augmentation", self.augmentation)
            if augmentation is None:
                raise ValueError(
                    "augmentation is None, so its parameters cannot be set: set "
                    "augmentation=Augmentation(...) first"
                )
            if is_default(augmentation):
                params["augmentation"] = Augmentation()
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
        _contains(part.start, estimator) for part in parts if isinstance(part, ParametersMixin)
    )


def _refuse_moved(cls, params, *, nested):
    """Raise a TypeError for parameters that the class does not have any more.

    The message has nested parameters, for `set_params`, or an augmentation to be passed.
    """
    moved = [name for name in (*AUGMENTATIONS, "batch_norm") if name in params]
    if moved:  # a subclass may have parameters of these names
        moved = [name for name in moved if name not in cls._get_param_names()]
    if not moved:
        return
    if moved[0] == "batch_norm":
        raise TypeError(
            f"{cls.__name__} has no parameter 'batch_norm': each network has its own. Networks "
            "given by name have batch normalisation, except for 'cnn6_plain' and 'cnn7_plain'; for "
            "other networks without it pass functools.partial, such as "
            "partial(skwing.networks.shape_indexed_64, batch_norm=False)"
        )
    settings = [f"{name}={params[name]!r:.60}" for name in moved if name != "batch_norm"]
    if nested:
        instead = ", ".join(f"augmentation__{setting}" for setting in settings)
    else:
        instead = f"augmentation=Augmentation({', '.join(settings)})"
    raise TypeError(
        f"{cls.__name__} has no parameter {moved[0]!r}: use its augmentation, {instead}"
    )
