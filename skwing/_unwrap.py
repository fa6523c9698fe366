"""What a pipeline or a search predicts with."""

__all__ = ["parts_of", "predictor_of"]


def parts_of(estimator):
    """An estimator and all that it holds, the outermost first.

    Parameters
    ----------
    estimator : object

    Yields
    ------
    part : object
        The estimator; of a search its best candidate, or before `fit` the one that it
        searches with; of a pipeline its steps, the last first; and so on within each.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skwing import CascadeLandmarkRegressor, PoseBalancer
    >>> from skwing._unwrap import parts_of
    >>> pipe = make_pipeline(PoseBalancer(), CascadeLandmarkRegressor())
    >>> [type(part).__name__ for part in parts_of(pipe)]
    ['Pipeline', 'CascadeLandmarkRegressor', 'PoseBalancer']
    """
    yield estimator
    for part in _inside(estimator):
        yield from parts_of(part)


def predictor_of(estimator):
    """What predicts in the end: the last step of a pipeline, the best candidate of a search.

    Examples
    --------
    >>> from sklearn.pipeline import make_pipeline
    >>> from skwing import CascadeLandmarkRegressor, PoseBalancer
    >>> from skwing._unwrap import predictor_of
    >>> type(predictor_of(make_pipeline(PoseBalancer(), CascadeLandmarkRegressor()))).__name__
    'CascadeLandmarkRegressor'
    """
    while inside := _inside(estimator):
        estimator = inside[0]
    return estimator


def _inside(estimator):
    """What an estimator holds, what predicts in it first."""
    if isinstance(estimator, type):
        return []
    if getattr(estimator, "steps", None):
        steps = [step for _, step in reversed(estimator.steps)]
        # "passthrough" and None are steps that do nothing.
        return [step for step in steps if step is not None and not isinstance(step, str)]
    for name in ("best_estimator_", "estimator_", "regressor_", "estimator", "regressor"):
        inner = getattr(estimator, name, None)
        if hasattr(inner, "get_params") or hasattr(inner, "predict"):
            return [inner]
    return []
