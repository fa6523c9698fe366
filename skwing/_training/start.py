"""Where training begins: with new networks, the previous fit, or the weights of a model."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from skwing._prediction.plain import NotInFile
from skwing._prediction.saved import described, read_file
from skwing._prediction.state import check_fitted, put
from skwing._training.automatic import networks_for, networks_of_model
from skwing._utils.checks import Constraint, per_stage, told
from skwing._utils.random import redirected
from skwing._utils.unwrap import check_order, predictor_of
from skwing._utils.warnings import warn_caller, warn_of_data
from skwing.exceptions import NoticeWarning
from skwing.networks import landmark_axes, of_entry
from skwing.networks._contract import check_first, check_trainable
from skwing.networks._transfer import check_alike, take_weights
from skwing.schema._schema import can_mirror

_REMEDIES = (
    "pass the path of a file of save_model, or sklearn.frozen.FrozenEstimator(model): clones, as "
    "in GridSearchCV or cross_validate, lose the fit of a model that is a parameter"
)


class ModelOrNone(Constraint):
    """A path of a model file, or a fitted model; it is read by :func:`read_start`."""

    def __str__(self):
        return "the path of a model file, a fitted CascadeLandmarkRegressor or None"

    def check(self, value, name):
        """Return the value, whose type is validated."""
        is_path = isinstance(value, (str, os.PathLike)) and os.fspath(value)
        is_model = hasattr(value, "get_params") and not isinstance(value, type)
        if not (value is None or is_path or is_model or isinstance(value, NotInFile)):
            raise ValueError(f"{name} must be {self}, got {told(value)}")
        return value


@dataclass(frozen=True)
class Start:
    """A fitted model, whose weights new networks take.

    Attributes
    ----------
    what : str
        Description for error messages.
    model : object
        Has the fitted attributes of a regressor.
    rows : list of int
        For each landmark, the same landmark of the model, or -1 for none.
    same : bool
        Whether the landmarks are those of the model. All weights, crops and the mean shape
        of the model are then used.
    """

    what: str
    model: Any
    rows: list[int]
    same: bool

    def check(self, networks, builders):
        """Check that networks are of the kinds of the model's; `builders` are what built them."""
        own = zip(networks, builders, self.model.networks_, strict=False)
        for i, (network, build, other) in enumerate(own):
            axes = self._axes(network, build)
            try:
                check_alike(network, other, axes)
            except ValueError as error:
                raise ValueError(
                    f"networks[{i}] is not of the kind of {self.what}, start: {error}"
                ) from None

    def give(self, networks, crops, builders):
        """Copy the weights of the model to networks of the same kind, with the given crops."""
        rows = np.array(self.rows)
        known = rows >= 0
        own = zip(networks, builders, self.model.networks_, strict=False)
        for i, (network, build, other) in enumerate(own):
            shift = torch.zeros(len(rows), 2)
            if crops[i].shape is not None:
                moved = crops[i].shape[known] - self.model.crops_[i].shape[rows[known]]
                shift[known] = torch.tensor(np.nan_to_num(moved))
            axes = {} if self.same else self._axes(network, build)
            take_weights(network, other, self.rows, shift, axes)

    def _axes(self, network, build):
        with redirected():  # custom networks are built for this
            return landmark_axes(network, build, len(self.rows))


def beginning(regressor, given, points, schema):
    """Determine where training begins: anew, from the previous fit or from a start.

    Parameters
    ----------
    regressor : CascadeLandmarkRegressor
    given : object
        Validated parameters as attributes. If training does not begin anew, "auto" of
        `networks` is replaced by the networks of the previous fit or of the start.
    points : array of shape (n, L, 2)
        Landmarks of the samples, in image pixels.
    schema : LandmarkSchema or None
        Schema of the parameters or of the data.

    Returns
    -------
    before : object or None
        Fitted model whose networks and crops are trained further: the regressor itself, or
        a start with the same landmarks and as many networks.
    start : Start or None
    schema : LandmarkSchema or None
        That of `before`, if neither parameters nor data say which landmarks swap places in a
        mirrored image.

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        If the previous fit or the start does not suit the parameters and the data.
    """
    before = start = known = None
    n_landmarks = points.shape[1]
    if given.warm_start and hasattr(regressor, "networks_"):
        n_planned = getattr(regressor, "_n_planned", len(regressor.networks_))
        given.networks = networks_of_model(given.networks, regressor, n_planned)
        _check_warm_start(regressor, n_landmarks, len(given.networks))
        check_order(regressor.schema_, schema)
        before, known = regressor, regressor.schema_
    elif given.start is not None:
        start = read_start(given.start, given.networks, n_landmarks, schema)
        n_start = len(start.model.networks_)
        if isinstance(given.networks, str):  # more than those of the start for large images
            wanted = networks_for(given.networks, points, per_stage(given.margin, 2)[-1])
            n_stages = max(len(wanted), n_start)
            given.networks = networks_of_model("auto", start.model, n_stages)
        before = start.model if start.same and len(given.networks) == n_start else None
        known = start.model.schema_ if start.same else None
    keeps = given.schema is None and known is not None and not can_mirror(schema)
    return before, start, known if keeps else schema


def _check_warm_start(regressor, n_landmarks, n_stages):
    n_planned = getattr(regressor, "_n_planned", len(regressor.networks_))
    if (n_planned, regressor.n_landmarks_) != (n_stages, n_landmarks):
        raise ValueError(
            f"warm_start continues with {n_planned} networks for {regressor.n_landmarks_} "
            f"landmarks, but there are {n_stages} networks and {n_landmarks} landmarks now: set "
            "warm_start=False to train new networks"
        )


def make_networks(plan):
    """Networks of all stages of a plan: copies of those of the previous fit, and new ones."""
    # Copy, so that the old networks are unchanged if training fails.
    kept = plan.before is not None and plan.start is None
    networks = copy.deepcopy(plan.before.networks_) if kept else []
    for i, build in enumerate(plan.builders[len(networks) :], start=len(networks)):
        with of_entry(i), redirected():
            networks.append(build(len(plan.mean_shape)))
    check_first(networks)
    with redirected():
        check_trainable(networks, len(plan.mean_shape))
    if plan.start is not None:
        plan.start.check(networks, plan.builders)
    return networks


def read_start(value, networks, n_landmarks, schema):
    """Read a model to start from.

    Parameters
    ----------
    value : path or fitted model
    networks : sequence of str or callable, or "auto"
        Networks of the new model. Those of the start that are not in its file are taken from
        there.
    n_landmarks : int
    schema : LandmarkSchema or None
        Landmarks of the new model.

    Returns
    -------
    start : Start

    Raises
    ------
    ValueError, TypeError, FileNotFoundError
        If there is no fitted model, or it has another number of networks.

    Warns
    -----
    NoticeWarning
        If the file has a notice.
    DataWarning
        If there are as many landmarks, all of other names.
    """
    what, model = _read_model(value, networks)
    networks = networks_of_model(networks, model)
    if len(model.networks_) > len(networks):
        raise ValueError(
            f"start: {what} has {len(model.networks_)} networks, expected {len(networks)}, the "
            f"number of networks of this regressor, {told(networks)}, or fewer"
        )
    same, rows = matching_rows(schema, n_landmarks, model.schema_, model.n_landmarks_)
    if n_landmarks == model.n_landmarks_ and max(rows) < 0:
        warn_of_data(
            f"none of the {n_landmarks} landmarks has the name of one of the {n_landmarks} of "
            f"{what}, start: only weights that do not depend on landmarks are taken. If they are "
            f"the same landmarks in the same order, pass their schema, {model.schema_.name!r}, to "
            "the regressor"
        )
    return Start(what, model, rows, same)


def _read_model(value, networks):
    """Description of a model, and an object with its fitted attributes."""
    if isinstance(value, NotInFile):
        raise ValueError(
            f"start was {value.name}, which is not in the file that this model was loaded from: "
            "set start=None or another start, or warm_start=True to continue with its own weights"
        )
    if isinstance(value, (str, os.PathLike)):
        return _read_file(value, networks)
    model = predictor_of(value)
    what = f"the {type(value).__name__}"
    if not hasattr(model, "networks_"):
        raise ValueError(f"start: {what} is not a fitted CascadeLandmarkRegressor: {_REMEDIES}")
    return what, model


def _read_file(path, networks):
    path = os.fsdecode(path)
    try:
        content, arrays, what, _ = read_file(path)
        _, fitted = described(content["estimator"], arrays, what)
        check_fitted(fitted, what, finite=True)
    except (ValueError, FileNotFoundError, IsADirectoryError) as error:
        raise type(error)(f"start: {error}") from error
    except RecursionError:
        raise ValueError(f"start: {what} is damaged: it is nested too deep") from None
    for i, own in enumerate(fitted["networks"]):
        if isinstance(own["network"], NotInFile):
            if isinstance(networks, str):
                raise ValueError(
                    f"start: the network of stage {i + 1}, {own['network'].name}, is not in "
                    f"{what}: pass the functions that build its networks as `networks`"
                )
            own["network"] = networks[i] if i < len(networks) else own["network"]
    model = SimpleNamespace()
    put(model, fitted, f"start: {what}")
    if (notice := content["notice"]) is not None:
        model.notice_ = notice
        warn_caller(f"{path}: {notice}", NoticeWarning)
    return what, model


def matching_rows(schema, n_landmarks, start_schema, n_start):
    """Find the landmarks of a start that are those of new data.

    Returns
    -------
    same : bool
        Whether all landmarks are the same, in the same order: as many, and no names that
        say otherwise.
    rows : list of int
        For each landmark, the row of the same landmark of the start, or -1 for none.
    """
    names, before = _names_of(schema), _names_of(start_schema)
    if n_landmarks == n_start and (names == before or names is None or before is None):
        return True, list(range(n_landmarks))
    place = {name: i for i, name in enumerate(before or ())}
    return False, [place.get(name, -1) for name in names or [None] * n_landmarks]


def _names_of(schema):
    """Names that tell landmarks; None if there are none, or they are numbers as in ``lm_1``."""
    if schema is None or all(any(c.isdigit() for c in name) for name in schema.landmark_names):
        return None
    return schema.landmark_names
