"""Names of landmarks: those of a file and those of a model."""

import numpy as np

from skwing._utils.unwrap import predictor_of
from skwing.datasets._formats.names import have_meaning, order_of
from skwing.schema import check_schema

_N_NAMED = 5


def are_named(schema):
    """Whether the names of a schema say which landmark is which; numbers do not."""
    return schema is not None and schema.name != "tps" and have_meaning(schema.landmark_names)


def schema_to_write(model, data):
    """Schema of landmarks that a model predicts: its own, or that of the images if it has none."""
    predictor, there = predictor_of(model), data.schema
    own = check_schema(predictor.schema_)
    fits = there is not None and there.n_landmarks == predictor.n_landmarks_
    return there if fits and not are_named(own) else own


def table_columns(model):
    """Names of the columns of x and y of the landmarks of a model."""
    predictor = predictor_of(model)
    schema = check_schema(predictor.schema_)
    if are_named(schema):
        return [f"{name}_{axis}" for name in schema.landmark_names for axis in "xy"]
    return [f"{axis}{i}" for i in range(predictor.n_landmarks_) for axis in "xy"]


def order_by_name(model, dataset, path):
    """Index of each landmark of the model in an annotation file.

    Parameters
    ----------
    model : estimator
    dataset : Dataset
    path : str
        The annotation file, for messages.

    Returns
    -------
    order : ndarray of int of shape (n_landmarks,) or None
        None if the file has the order of the model, or if one of them has no names.

    Raises
    ------
    ValueError
        If the numbers of the landmarks differ, or both have names, and these differ.
    """
    predictor, there = predictor_of(model), dataset.data.schema
    n_model, n_file = predictor.n_landmarks_, dataset.target.shape[1]
    if n_model != n_file:
        raise ValueError(f"the model locates {n_model} landmarks, {path} has {n_file}")
    own = check_schema(predictor.schema_)
    if not are_named(own) or not are_named(there) or own.landmark_names == there.landmark_names:
        return None
    for these, those, who in ((there, own, path), (own, there, "the model")):
        if odd := [n for n in these.landmark_names if n not in those.landmark_names]:
            more = f" and {len(odd) - _N_NAMED} more" if len(odd) > _N_NAMED else ""
            raise ValueError(
                f"{who} has landmarks {', '.join(odd[:_N_NAMED])}{more}, which "
                f"{'the model' if who == path else path} does not have: their names must be the "
                "same, in any order"
            )
    return np.array(order_of(there.landmark_names, own.landmark_names))
