"""Access to the parts of pipelines and searches."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sklearn.frozen import FrozenEstimator

from skwing._utils.names import misplaced

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any


def parts_of(estimator: Any) -> Iterator[Any]:
    """Iterate over an estimator and all its nested parts, the outermost first.

    Parameters
    ----------
    estimator : object

    Yields
    ------
    part : object
        The estimator, then the one in a `FrozenEstimator`, the best estimator of a fitted search
        or the steps of a pipeline in reverse order, and recursively their parts.

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


def unwrapped(estimator: Any) -> Any:
    """Estimator in searches, whose `predict` has no further parameters, and `FrozenEstimator`.

    Examples
    --------
    >>> from sklearn.frozen import FrozenEstimator
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing._utils.unwrap import unwrapped
    >>> unwrapped(FrozenEstimator(CascadeLandmarkRegressor()))
    CascadeLandmarkRegressor()
    """
    while isinstance(estimator, FrozenEstimator) or hasattr(estimator, "best_estimator_"):
        estimator = _inside(estimator)[0]
    return estimator


def gives_confidence(estimator: Any) -> bool:
    """Whether ``predict(X, return_confidence=True)`` is possible, after `calibrate`.

    Examples
    --------
    >>> from skwing import CascadeLandmarkRegressor
    >>> from skwing._utils.unwrap import gives_confidence
    >>> gives_confidence(CascadeLandmarkRegressor())
    False
    """
    return getattr(predictor_of(estimator), "_certainty", None) is not None


def schema_of(estimator: Any = None, data: Any = None, given: Any = None) -> Any:
    """Schema for the errors of an estimator.

    Parameters
    ----------
    estimator : object, default=None
    data : BoxedImages or other X, default=None
    given : LandmarkSchema or str, default=None
        Schema that is used in place of the others.

    Returns
    -------
    schema : LandmarkSchema, str or None
        The first that exists: `given`, the parameter or the fitted attribute of the estimator
        or of its predictor, or the schema of the data. Columns of tables are ignored.

    Raises
    ------
    ValueError
        If the data have landmarks of the fitted estimator, or of `given`, at other places.
    """
    fitted = getattr(_path_of(estimator)[-1], "schema_", None)
    of_data = None if hasattr(data, "columns") else getattr(data, "schema", None)
    check_order(fitted, of_data)
    if given is not None:
        check_order(given, of_data if fitted is None else fitted, "schema=")
        return given
    for owner in (*_path_of(estimator), data):
        for name in ("schema", "schema_"):
            found = None if hasattr(owner, "columns") else getattr(owner, name, None)
            if found is not None:
                return found
    return None


def check_order(schema: Any, of_data: Any, whose: str = "the regressor", name: str = "X") -> None:
    """Check that no name of two schemas is at different places in them.

    Parameters
    ----------
    schema : LandmarkSchema or None
        Schema of a regressor.
    of_data : LandmarkSchema, str or None
        Schema of the data that it is used with. Another number of landmarks is not checked.
    whose, name : str
        What has the two schemas, for the message.

    Raises
    ------
    ValueError
        If the orders differ, or a landmark of both is at different places.
    """
    own, other = (getattr(one, "landmark_names", None) for one in (schema, of_data))
    if not own or not other or len(own) != len(other):
        return
    i = misplaced(own, other)
    if i is None:
        return
    message = f"landmark {i} is {own[i]!r} for {whose}, and {other[i]!r} in the schema of {name}. "
    if set(map(str.casefold, own)) == set(map(str.casefold, other)):
        raise ValueError(
            f"{name} has the landmarks of {whose} in another order: {message}Bring y into the "
            f"order of {whose}, and pass {name} with its schema."
        )
    raise ValueError(
        f"{name} has some landmarks of {whose} at other places, and others: {message}Pass y with "
        f"the landmarks of {whose} in its order, and {name} with its schema."
    )


def _path_of(estimator: Any) -> list[Any]:
    """Nested predictors of an estimator, from the outermost to the innermost."""
    path = [estimator]
    while inside := _inside(path[-1]):
        path.append(inside[0])
    return path


def _inside(estimator: Any) -> list[Any]:
    """Direct parts of an estimator, the predictor first."""
    if isinstance(estimator, FrozenEstimator):
        return [estimator.estimator]
    if hasattr(estimator, "best_estimator_"):
        return [estimator.best_estimator_]
    steps = [step for _, step in reversed(getattr(estimator, "steps", None) or [])]
    # "passthrough" and None are steps without effect.
    return [step for step in steps if step is not None and not isinstance(step, str)]
