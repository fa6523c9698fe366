"""Scorer for model selection."""

from __future__ import annotations

import numbers
from typing import TYPE_CHECKING

from skwing._utils.landmarks import as_points
from skwing._utils.unwrap import schema_of
from skwing.metrics._errors import nme
from skwing.metrics._lengths import normalizing_groups
from skwing.metrics._samples import boxes_of_data, with_boxes_only
from skwing.schema import check_schema

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from numpy.typing import ArrayLike

    from skwing.schema import LandmarkSchema


def make_nme_scorer(
    normalizer: str | float = "auto", schema: str | LandmarkSchema | None = None
) -> Callable[[object, object, ArrayLike], float]:
    """Make a scorer for model selection: the negative NME, so that higher is better.

    Parameters
    ----------
    normalizer : str or float, default="auto"
        "auto" uses the same length as ``CascadeLandmarkRegressor.score`` and the displays:
        the inter-ocular distance if the schema defines it, else the size of the box around
        the true landmarks. Other values as for :func:`normalizing_lengths`. With "box", the
        boxes are taken from X: its `boxes`, or its columns x, y, width and height.
    schema : str or LandmarkSchema, default=None
        None uses, at each call, the schema of the estimator (for a pipeline or a search, of
        its last step), or else the schema of X.

    Returns
    -------
    scorer : callable
        ``scorer(estimator, X, y)``, for the parameter ``scoring`` of scikit-learn. It can
        be pickled. It takes no sample weights, unlike ``CascadeLandmarkRegressor.score``.

    Raises
    ------
    ValueError
        If `schema` is unknown or does not define the normaliser.
    TypeError
        If `normalizer` is neither a name nor a number. Arrays of lengths are not supported,
        because cross-validation does not split them.

    Examples
    --------
    >>> from skwing.metrics import make_nme_scorer
    >>> make_nme_scorer("inter_pupil", schema="ibug68")
    make_nme_scorer(normalizer='inter_pupil', schema='ibug68')
    """
    if not isinstance(normalizer, str | numbers.Real):
        raise TypeError(
            f"normalizer of a scorer must be a name or a number; got "
            f"{type(normalizer).__name__}. Cross-validation does not split arrays of lengths."
        )
    given = check_schema(schema)
    if given is not None and isinstance(normalizer, str) and normalizer not in ("auto", "box"):
        normalizing_groups(normalizer, given, given.n_landmarks)
    return _NMEScorer(normalizer, given)


class _NMEScorer:
    def __init__(self, normalizer: str | float, schema: LandmarkSchema | None) -> None:
        self.normalizer = normalizer
        self.schema = schema

    def __call__(self, estimator: Any, X: Any, y: ArrayLike) -> float:
        X, y = with_boxes_only(X, as_points(y))
        schema = schema_of(estimator, X, self.schema)
        predicted = estimator.predict(X)
        boxes = boxes_of_data(X) if self.normalizer == "box" else None
        return -nme(y, predicted, normalizer=self.normalizer, schema=schema, boxes=boxes)

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as a call of the public function."""
        return make_nme_scorer, (self.normalizer, self.schema)

    def __repr__(self) -> str:
        schema = None if self.schema is None else self.schema.name
        return f"make_nme_scorer(normalizer={self.normalizer!r}, schema={schema!r})"
