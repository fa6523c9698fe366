"""Access to the parts of pipelines and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

__all__ = ["parts_of", "predictor_of", "schema_of"]


def parts_of(estimator: Any) -> Iterator[Any]:
    """Iterate over an estimator and all its nested parts, the outermost first.

    Parameters
    ----------
    estimator : object

    Yields
    ------
    part : object
        The estimator, then the best estimator of a fitted search or the steps of a pipeline
        in reverse order, and recursively their parts.

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
    """Innermost predictor: the last step of a pipeline, the best estimator of a search.

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
    """Schema for the errors of an estimator.

    Parameters
    ----------
    estimator : object, default=None
    data : BoxedImages or other X, default=None

    Returns
    -------
    schema : LandmarkSchema, str or None
        The first that exists: the parameter or the fitted attribute of the estimator or of
        its predictor, or the schema of the data. Columns of tables are ignored.
    """
    for owner in (*_path_of(estimator), data):
        for name in ("schema", "schema_"):
            found = None if hasattr(owner, "columns") else getattr(owner, name, None)
            if found is not None:
                return found
    return None


def _path_of(estimator: Any) -> list[Any]:
    """Nested predictors of an estimator, from the outermost to the innermost."""
    path = [estimator]
    while inside := _inside(path[-1]):
        path.append(inside[0])
    return path


def _inside(estimator: Any) -> list[Any]:
    """Direct parts of an estimator, the predictor first."""
    if hasattr(estimator, "best_estimator_"):
        return [estimator.best_estimator_]
    steps = [step for _, step in reversed(getattr(estimator, "steps", None) or [])]
    # "passthrough" and None are steps without effect.
    return [step for step in steps if step is not None and not isinstance(step, str)]
