"""Save, load and describe models."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import numpy as np
from sklearn.frozen import FrozenEstimator
from sklearn.pipeline import Pipeline
from sklearn.utils.validation import check_is_fitted

from skwing._prediction.before_0_8 import of_0_8
from skwing._prediction.model_file import write_model
from skwing._prediction.plain import Half, NotInFile, name_of, to_plain
from skwing._prediction.saved import (
    NOTHING,
    check_node,
    check_steps,
    described,
    read_file,
    read_part,
)
from skwing._prediction.state import check_fitted, put, taken
from skwing._utils.ambient import plain_state
from skwing._utils.checks import Choice
from skwing._utils.pickle_format import check_keys, set_params_of
from skwing._utils.unwrap import predictor_of, unwrapped
from skwing._utils.warnings import warn_caller
from skwing.balance import PoseBalancer, balance_of, put_balance
from skwing.cascade import CascadeLandmarkRegressor
from skwing.exceptions import NoticeWarning
from skwing.networks import NETWORKS

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from skwing._utils.types import FilePath, Predictor
    from skwing.networks._contract import NetworkBuilder

# Parameters of pipelines to save; `memory` (a cache) is specific to a machine.
_PIPELINE_PARAMS = ("transform_input", "verbose")
_OF_ONE_FIT = ("cache", "callbacks", "checkpoint")
_DTYPES = ("float32", "float16")


@plain_state()
def save_model(
    estimator: Predictor,
    path: FilePath,
    *,
    dtype: str = "float32",
    notice: str | None = None,
) -> None:
    """Save a fitted model to one file.

    Parameters
    ----------
    estimator : CascadeLandmarkRegressor, Pipeline or search
        Fitted model. The steps of a pipeline before the regressor may be `PoseBalancer` or
        "passthrough". For a search, such as `GridSearchCV`, the best estimator is saved;
        :func:`skwing.persistence.describe_model` returns its parameters and its score. For a
        `FrozenEstimator`, the estimator in it is saved.
    path : str or path-like
        Path of the file, such as ``"landmarks.safetensors"``. An existing file is replaced
        when the new one is complete.
    dtype : {"float32", "float16"}, default="float32"
        Data type of the stored weights of the networks. With "float16", the file is half as
        large, and weights are rounded to 11 bits; the loaded model computes in float32 again.
    notice : str, default=None
        Terms of use of the model, such as those of its training data, which
        :func:`load_model` shows as a warning. None stands for the notice of the model that
        was loaded, if any: it stays with the weights.

    Raises
    ------
    NotFittedError
        If the model is not fitted.
    TypeError
        If an estimator, a step or a parameter cannot be saved; the message names it.
    ValueError
        If the model contains NaN, for example because training diverged, if a search has no
        best estimator, or if `dtype` is unknown or its range too small for a weight.
    OSError
        If the file cannot be written.

    See Also
    --------
    load_model : Load a model.

    Notes
    -----
    All parameters and fitted attributes are saved, including those of the balancer. Not
    saved are the `memory` of a pipeline, the `cache` and the `checkpoint` of a regressor,
    callbacks, metadata requests and additional attributes. For custom networks and losses, only
    the names are saved: pass the networks again to :func:`skwing.load_model`. Of the parameter
    `start`, a path is saved, a fitted model is not. A ``functools.partial`` of a network of this
    package with plain arguments is saved completely.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> import skwing
    >>> from skwing.datasets import make_faces
    >>> X, y = make_faces(20, random_state=0, return_X_y=True)
    >>> reg = skwing.CascadeLandmarkRegressor(networks=("cnn6",), max_epochs=1).fit(X, y)
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "landmarks.safetensors"
    ...     skwing.save_model(reg, path)
    ...     loaded = skwing.load_model(path)
    >>> bool((loaded.predict(X) == reg.predict(X)).all())
    True
    """
    dtype = Choice(_DTYPES).check(dtype, "dtype")
    if not isinstance(notice, str | None):
        raise TypeError(f"notice must be a str or None, got {notice!r}")
    arrays: dict[str, Any] = {}
    best, search = _best_of(estimator, arrays)
    node = _to_node(best, "model", arrays, halve=dtype == "float16")
    if notice is None:
        notice = getattr(predictor_of(best), "notice_", None)
    write_model(path, {"estimator": node, "search": search, "notice": notice}, arrays)


@plain_state()
def load_model(
    path: FilePath, networks: NetworkBuilder | Sequence[NetworkBuilder | None] | None = None
) -> CascadeLandmarkRegressor | Pipeline:
    """Load a model saved by :func:`skwing.save_model` of this or an earlier version.

    Parameters
    ----------
    path : str or path-like
        Path of the file.
    networks : sequence of callable, str or None, default=None
        Required for models with custom networks: one entry per stage, as passed to the
        regressor, and None for networks that the file describes.

    Returns
    -------
    estimator : CascadeLandmarkRegressor or Pipeline
        On the CPU until it predicts. For a custom loss, `loss` is a
        :class:`~skwing.persistence.NotInFile`; set the loss again before `fit`.

    Raises
    ------
    FileNotFoundError
        If the file does not exist.
    ValueError
        If the file is damaged or not a model, if a newer version wrote it, or if an entry of
        `networks` is missing or does not fit.

    Warns
    -----
    NoticeWarning
        If the model was saved with a notice. The notice is also in the attribute `notice_`
        of the regressor.

    Notes
    -----
    Loading runs no code from the file and draws no random numbers.

    Examples
    --------
    >>> import skwing
    >>> reg = skwing.load_model("landmarks.safetensors")  # doctest: +SKIP
    """
    model, arrays, what, _ = read_file(path)
    try:
        estimator = _from_node(model["estimator"], arrays, networks, what)
    except RecursionError:
        raise ValueError(f"{what} is damaged: it is nested too deep") from None
    if (notice := model["notice"]) is not None:
        predictor_of(estimator).notice_ = notice
        warn_caller(f"{os.fsdecode(path)}: {notice}", NoticeWarning)
    return estimator


@plain_state()
def describe_model(path: FilePath) -> dict[str, Any]:
    """Describe the content of a model file, without loading the model.

    Parameters
    ----------
    path : str or path-like
        Path of the file.

    Returns
    -------
    description : dict
        With the keys "skwing", the version that wrote the file; "steps", the classes of the
        steps of the pipeline and of the regressor; "networks", the name of the network of
        each stage; "n_landmarks"; "schema", its name or None; "search", None or a dict
        with the class of the search, "best_params", "best_score" and "best_index"; and
        "notice", the terms of use or None.

    Raises
    ------
    FileNotFoundError, ValueError
        See :func:`skwing.load_model`.

    Examples
    --------
    >>> from skwing.persistence import describe_model
    >>> describe_model("landmarks.safetensors")["search"]  # doctest: +SKIP
    """
    model, arrays, what, version = read_file(path)
    steps, fitted = described(model["estimator"], arrays, what)
    search = read_part(model["search"], arrays, what)
    return {
        "skwing": version,
        "steps": steps,
        "networks": [name_of(network["network"]) for network in fitted["networks"]],
        "n_landmarks": check_fitted(fitted, what, finite=True),
        "schema": None if fitted["schema"] is None else fitted["schema"].name,
        "search": search,
        "notice": model["notice"],
    }


def _best_of(estimator: Any, arrays: dict[str, Any]) -> tuple[Any, Any]:
    """Estimator to save, and the description of the search, if any."""
    if isinstance(estimator, FrozenEstimator):
        return _best_of(estimator.estimator, arrays)
    if not hasattr(estimator, "estimator") or isinstance(estimator, Pipeline):
        return estimator, None
    check_is_fitted(estimator)
    if not hasattr(estimator, "best_estimator_"):
        raise ValueError(
            f"this {type(estimator).__name__} has no best_estimator_ to save: it was created with "
            "refit=False, or is not a search"
        )
    told = {"class": type(estimator).__name__}
    for name in ("best_params_", "best_score_", "best_index_"):
        value = getattr(estimator, name, None)  # some are missing without a refit metric
        told[name.rstrip("_")] = _told(value)
    return unwrapped(estimator), to_plain(told, "search", arrays)


def _told(value: Any) -> Any:
    """Convert a value to text for information, unless it consists of numbers and text."""
    if isinstance(value, dict):
        return {str(key): _told(item) for key, item in value.items()}
    arrays: dict[str, Any] = {}
    try:
        to_plain(value, "", arrays)
        return repr(value) if arrays or callable(value) else value
    except TypeError:
        return repr(value)


def _to_node(estimator: Any, name: str, arrays: dict[str, Any], *, halve: bool) -> dict[str, Any]:
    """Convert an estimator to plain data, as for JSON."""
    if type(estimator) is Pipeline:
        last = unwrapped(estimator.steps[-1][1])
        if not isinstance(last, Pipeline | CascadeLandmarkRegressor):
            raise TypeError(
                f"{name} ends with a {type(last).__name__}, expected a CascadeLandmarkRegressor"
            )
        params = {key: getattr(estimator, key, None) for key in _PIPELINE_PARAMS}
        return {
            "class": "Pipeline",
            "params": to_plain(params, f"{name}.params", arrays),
            "steps": [
                _step_to_node(step, own, name, arrays, halve=halve) for step, own in estimator.steps
            ],
        }
    if type(estimator) not in _CLASSES:
        raise TypeError(
            f"{name} is a {type(estimator).__name__}, which cannot be saved: expected a "
            "CascadeLandmarkRegressor, a Pipeline with one, or a search with these"
        )
    check_is_fitted(estimator)
    fitted = _CLASSES[type(estimator)][0](estimator)
    if isinstance(estimator, CascadeLandmarkRegressor):
        check_fitted(fitted, f"{name} cannot be saved", finite=True)
        del fitted["notice"]  # is stored beside the estimator
        if halve:
            fitted["networks"] = [_halved(network) for network in fitted["networks"]]
    return {
        "class": type(estimator).__name__,
        "params": to_plain(_params_of(estimator), f"{name}.params", arrays),
        "fitted": to_plain(fitted, name, arrays),
    }


def _params_of(estimator: Any) -> dict[str, Any]:
    """Parameters that are saved, with a placeholder for a fitted model to start from.

    Functions and paths of one fit on this machine are of no use on others, and not for the eyes
    of others.
    """
    params: dict[str, Any] = estimator.get_params(deep=False)
    params = {name: value for name, value in params.items() if name not in _OF_ONE_FIT}
    if hasattr(start := params.get("start"), "get_params"):
        params["start"] = NotInFile(f"a fitted {type(start).__name__}")
    return params


def _halved(network: dict[str, Any]) -> dict[str, Any]:
    """Mark the matrices and kernels of a network as :class:`Half`.

    Vectors, such as the statistics of batch normalisation, stay float32; they are small.
    """
    weights = {
        key: Half(array) if array.dtype == np.float32 and array.ndim > 1 else array
        for key, array in network["weights"].items()
    }
    return network | {"weights": weights}


def _step_to_node(
    step: str, estimator: Any, name: str, arrays: dict[str, Any], *, halve: bool
) -> list[Any]:
    if isinstance(estimator, str | None) and estimator in NOTHING:
        return [step, estimator]
    estimator = unwrapped(estimator)
    if type(estimator) not in (Pipeline, *_CLASSES):
        raise TypeError(
            f"step {step!r} of {name} is a {type(estimator).__name__}, which no file holds: "
            "expected PoseBalancer, 'passthrough' and at the end CascadeLandmarkRegressor; the "
            "regressor alone can be saved where no other step matters in prediction"
        )
    return [step, _to_node(estimator, f"{name}.{step}", arrays, halve=halve)]


def _from_node(node: Any, arrays: dict[str, Any], networks: Any, what: str) -> Any:
    """Convert the result of :func:`_to_node` back to an estimator."""
    check_node(node, what)
    if node["class"] == "Pipeline":
        steps = [
            (name, part if part in NOTHING else _from_node(part, arrays, networks, what))
            for name, part in check_steps(node["steps"], what)
        ]
        params = read_part(node["params"], arrays, what)
        check_keys(params, _PIPELINE_PARAMS, f"{what}: its pipeline")
        pipeline = Pipeline(steps, verbose=params["verbose"])
        if params["transform_input"] is not None:
            pipeline.set_params(transform_input=params["transform_input"])
        return pipeline
    params, fitted = (read_part(node[key], arrays, what) for key in ("params", "fitted"))
    if not isinstance(params, dict):
        raise ValueError(f"{what} has parameters {params!r:.60}, expected a dict")
    if node["class"] == "CascadeLandmarkRegressor":
        params, fitted = of_0_8(params, fitted)
        check_fitted(fitted, what, finite=True)
        _fill_in(params, fitted, networks, what)
    kinds = {cls.__name__: (cls, put) for cls, (_, put) in _CLASSES.items()}
    cls, put_fitted = kinds[node["class"]]
    estimator = cls()
    set_params_of(estimator, params, what)
    try:
        put_fitted(estimator, fitted, what)
    except Exception as error:  # custom networks may raise any exception
        if isinstance(error, ValueError) and str(error).startswith(what):
            raise
        raise ValueError(f"{what}: {error}") from error
    return estimator


def _fill_in(params: dict[str, Any], fitted: dict[str, Any], networks: Any, what: str) -> None:
    """Insert the given networks where the file does not describe any.

    Parameters
    ----------
    params, fitted : dict
        Modified in place.
    networks : sequence or None
    what : str
    """
    for part in fitted["networks"]:
        part["network"] = _unless_unknown(part["network"])
    stages = [part["network"] for part in fitted["networks"]]
    given = [None] * len(stages) if networks is None else _listed(networks, len(stages), what)
    missing = []
    for i, (stored, own) in enumerate(zip(stages, given, strict=True)):
        if not isinstance(stored, NotInFile):
            if own is not None and to_plain(own, "", {}) != to_plain(stored, "", {}):
                raise ValueError(
                    f"{what}: stage {i + 1} has the network {name_of(stored)}, networks[{i}] is "
                    f"{name_of(own)}; pass None to use the network of the file"
                )
        elif own is None or isinstance(own, NotInFile):
            missing.append(f"stage {i + 1} needs {stored.name}")
        else:
            fitted["networks"][i]["network"] = own
    if missing:
        shown = ", ".join("..." if isinstance(s, NotInFile) else "None" for s in stages)
        raise ValueError(
            f"{what}: {'; '.join(missing)}, which is not part of the file: use load_model(path, "
            f"networks=[{shown}]) with the network of each such stage in place of the dots"
        )
    wanted = params.get("networks")
    if isinstance(wanted, list | tuple):
        wanted = type(wanted)(map(_unless_unknown, wanted))
        named = dict(zip(stages[::-1], given[::-1], strict=True))  # the first of each name
        same = list(wanted) == stages
        filled = [
            (given[i] if same else named.get(network, network))
            if isinstance(network, NotInFile)
            else network
            for i, network in enumerate(wanted)
        ]
        params["networks"] = type(wanted)(filled)


def _unless_unknown(network: Any) -> Any:
    """The network, or a placeholder for a name that was registered where the model was saved."""
    is_unknown = isinstance(network, str) and network not in NETWORKS
    return NotInFile(network) if is_unknown else network


def _listed(networks: Any, n_stages: int, what: str) -> list[Any]:
    if isinstance(networks, str) or callable(networks):
        networks = [networks]
    if not np.iterable(networks):
        raise ValueError(
            f"{what}: networks must be a sequence with one entry per stage, got {networks!r:.60}"
        )
    networks = list(networks)
    if len(networks) != n_stages:
        raise ValueError(f"{what} has {n_stages} stages, networks has {len(networks)} entries")
    return networks


# Functions that get and set the fitted state of each class.
_CLASSES: dict[type, Any] = {
    CascadeLandmarkRegressor: (taken, put),
    PoseBalancer: (balance_of, put_balance),
}
