"""What a pipeline or a search predicts with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["parts_of", "predictor_of", "schema_of"]


def parts_of(estimator: Any) -> Iterator[Any]:
    """An estimator and all that it holds, the outermost first.

    Parameters
    ----------
    estimator : object

    Yields
    ------
    part : object
        The estimator; of a fitted search its best candidate; of a pipeline its steps, the
        last first; and so on within each.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skwing import CascadeLandmarkRegressor, PoseBalancer
    >>> from skwing._utils.unwrap import parts_of
    >>> pipe = make_pipeline(PoseBalancer(), CascadeLandmarkRegressor())
    >>> [type(part).__name__ for part in parts_of(pipe)]
    ['Pipeline', 'CascadeLandmarkRegressor', 'PoseBalancer']
    """
    yield estimator
    for part in _inside(estimator):
        yield from parts_of(part)


def predictor_of(estimator: Any) -> Any:
    """What predicts in the end: the last step of a pipeline, the best candidate of a search.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skwing import CascadeLandmarkRegressor, PoseBalancer
    >>> from skwing._utils.unwrap import predictor_of
    >>> type(predictor_of(make_pipeline(PoseBalancer(), CascadeLandmarkRegressor()))).__name__
    'CascadeLandmarkRegressor'
    """
    return _path_of(estimator)[-1]


def schema_of(estimator: Any = None, data: Any = None) -> Any:
    """Schema that errors of an estimator are measured by.

    Parameters
    ----------
    estimator : object, default=None
    data : BoxedImages or other X, default=None

    Returns
    -------
    schema : LandmarkSchema, str or None
        That which the estimator, or what predicts in it, was given, else was fitted with; else
        that which the data carry. A column of a table that has the name is none.
    """
    for owner in (*_path_of(estimator), data):
        for name in ("schema", "schema_"):
            found = None if hasattr(owner, "columns") else getattr(owner, name, None)
            if found is not None:
                return found
    return None


def _path_of(estimator: Any) -> list[Any]:
    """An estimator, what predicts in it, and so on to the innermost."""
    path = [estimator]
    while inside := _inside(path[-1]):
        path.append(inside[0])
    return path


def _inside(estimator: Any) -> list[Any]:
    """What an estimator holds, what predicts in it first."""
    if hasattr(estimator, "best_estimator_"):
        return [estimator.best_estimator_]
    steps = [step for _, step in reversed(getattr(estimator, "steps", None) or [])]
    # "passthrough" and None are steps that do nothing.
    return [step for step in steps if step is not None and not isinstance(step, str)]
