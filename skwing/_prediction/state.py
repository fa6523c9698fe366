"""Conversion of the fitted state of a cascade to and from plain data, for pickles and files.

The data consist of numbers, strings, lists, dicts, arrays, the schema, and the networks as
passed by the user. Crops, frames and calibrations are converted to dicts.
"""

from dataclasses import fields
from numbers import Integral, Real

import numpy as np

from skwing._crops.chips import ChipFrame
from skwing._crops.crop import Crop
from skwing._prediction.certainty import Certainty
from skwing._prediction.confidence import Calibration
from skwing._prediction.retry import NEVER, Retry
from skwing._utils.pickle_format import check_keys
from skwing.networks import check_network, given_network
from skwing.networks._contract import check_first
from skwing.networks._storage import as_arrays, rebuild
from skwing.schema import check_schema
from skwing.schema._schema import can_mirror

# Fitted attributes of a regressor.
ATTRIBUTES = (
    "networks_",
    "crops_",
    "asymmetry_",
    "mean_shape_",
    "n_landmarks_",
    "schema_",
    "history_",
    "n_iter_",
    "mirrored_",
    "box_relation_",
    "calibration_",
    "notice_",
    "_retry",
    "_certainty",
    "_seen",
    "_builders",
    "_n_planned",
    "_frame",
    "_flat",
)
_KEYS = (
    *("networks", "crops", "frame", "asymmetry", "mean_shape", "schema", "flat"),
    *("history", "n_iter", "mirrored", "n_planned", "box_relation", "calibration", "notice"),
    *("retry", "certainty", "seen"),
)
# Attributes that were added later. In models without them, None stands for the behaviour at that
# time.
LATER = ("mirrored_", "notice_", "_retry", "_certainty", "_seen", "_n_planned")
_LATER_KEYS = [name.strip("_") for name in LATER]
_NETWORK_KEYS = ("network", "weights")


def taken(regressor):
    """Fitted state of a regressor as plain data, or None if it is not fitted.

    Returns
    -------
    fitted : dict or None
    """
    if not hasattr(regressor, "networks_"):
        return None
    return as_data(vars(regressor), [as_arrays(network) for network in regressor.networks_])


def as_data(own, weights):
    """Convert fitted attributes and the weights of the networks to plain data."""
    return {
        "networks": [
            {"network": given_network(build), "weights": arrays}
            for build, arrays in zip(own["_builders"], weights, strict=True)
        ],
        "crops": [_parts(crop) for crop in own["crops_"]],
        "frame": _parts(own["_frame"]),
        "asymmetry": list(own["asymmetry_"]),
        "mean_shape": own["mean_shape_"],
        "schema": own["schema_"],
        "flat": own["_flat"],
        "history": own["history_"],
        "n_iter": own["n_iter_"],
        "mirrored": own["mirrored_"],
        "n_planned": own["_n_planned"],
        "box_relation": own.get("box_relation_"),
        "calibration": _parts(own.get("calibration_")),
        "notice": own.get("notice_"),
        "retry": _parts(own.get("_retry")),
        "certainty": _parts(own.get("_certainty")),
        "seen": own.get("_seen"),
    }


def put(regressor, fitted, what):
    """Set the fitted attributes of a regressor from the result of :func:`taken`.

    Arrays are copied, because memory-mapped arrays of joblib are read-only and their file may be
    deleted. Errors about values that are missing, unknown or inconsistent begin with `what`.
    """
    n_landmarks = check_fitted(fitted, what)
    fitted = _completed(fitted)
    builders = [check_network(n["network"]) for n in fitted["networks"]]
    networks = []
    for i, (build, own) in enumerate(zip(builders, fitted["networks"], strict=True)):
        network = rebuild(build, n_landmarks, own["weights"])
        if network.input_size != fitted["crops"][i]["size"]:
            raise ValueError(
                f"{what}: the crops of stage {i + 1} have {fitted['crops'][i]['size']} pixels, "
                f"but the input size of its network is {network.input_size}"
            )
        networks.append(network)
    try:
        check_first(networks)
    except ValueError as error:
        raise ValueError(f"{what}: {error}") from None
    regressor.networks_ = networks
    regressor._builders = builders
    regressor.crops_ = [
        Crop(int(crop["size"]), _floats(crop["matrix"]), _floats(crop["shape"]))
        for crop in fitted["crops"]
    ]
    regressor._frame = ChipFrame(int(fitted["frame"]["size"]), float(fitted["frame"]["margin"]))
    regressor.asymmetry_ = [_floats(asymmetry) for asymmetry in fitted["asymmetry"]]
    regressor.mean_shape_ = np.array(fitted["mean_shape"])
    regressor.n_landmarks_ = n_landmarks
    regressor.schema_ = fitted["schema"]
    regressor._flat = bool(fitted["flat"])
    regressor.history_ = fitted["history"]
    regressor.n_iter_ = fitted["n_iter"]
    regressor.mirrored_ = [bool(both) for both in fitted["mirrored"]]
    regressor._n_planned = int(fitted["n_planned"])
    regressor.box_relation_ = fitted["box_relation"]
    regressor.notice_ = fitted["notice"]
    regressor._retry = _retry_of(fitted["retry"])
    regressor._certainty = _certainty_of(fitted)
    regressor._seen = None if fitted["seen"] is None else np.array(fitted["seen"])
    vars(regressor).pop("calibration_", None)
    if (found := fitted["calibration"]) is not None:
        own = np.array(found["own"])
        regressor.calibration_ = Calibration(own, float(found["near"]), float(found["whole"]))


def _retry_of(parts):
    """When predictions are repeated; in models of earlier versions, never."""
    if parts is None:
        return None
    once = float(parts.get("limit_once", NEVER))  # unknown in models of 0.16 and before
    return Retry(_floats(parts["start"]), float(parts["limit"]), once)


def _certainty_of(fitted):
    """Model of the confidence, or None if the doubt that it was fitted to was another one."""
    told = fitted["certainty"]
    if told is None:
        return None
    # Until 0.16, the doubt of three stages without mirrored crops was that of the last two.
    is_mirrored = told["averaged"] and fitted["mirrored"][-1]
    before_0_17 = "limit_once" not in (fitted["retry"] or {})
    if before_0_17 and not is_mirrored and len(fitted["networks"]) > 2:
        return None
    return Certainty(**told)


def _completed(fitted):
    """Add keys that are missing in models of earlier versions.

    In these models, all stages were trained, with mirrored crops if the schema allows it.
    """
    fitted = dict.fromkeys(_LATER_KEYS) | fitted
    n_stages = len(fitted["networks"])
    if fitted["mirrored"] is None:
        fitted["mirrored"] = [can_mirror(fitted["schema"])] * n_stages
    if fitted["n_planned"] is None:
        fitted["n_planned"] = n_stages
    return fitted


def check_fitted(fitted, what, *, finite=False):
    """Validate the fitted state of a regressor, except for the shapes of the weights.

    Errors begin with `what`, which describes the source. With `finite`, NaN, which diverged
    training may leave, is an error. The result is the number of landmarks.
    """
    if isinstance(fitted, dict):
        fitted = dict.fromkeys(_LATER_KEYS) | fitted
    check_keys(fitted, _KEYS, what)
    shape = np.asarray(fitted["mean_shape"])
    n_landmarks = len(shape) if shape.ndim else 0
    if n_landmarks < 1:
        raise ValueError(f"{what}: mean_shape is of shape {shape.shape}, expected (n, 2)")

    def check(value, name, shape):
        _check_array(value, f"{what}: {name}", shape, finite)

    check(shape, "mean_shape", (n_landmarks, 2))
    n_stages = len(_check_list(fitted["networks"], f"{what}: networks"))
    if n_stages == 0:
        raise ValueError(f"{what}: networks is empty")
    for name in ("crops", "asymmetry", "n_iter"):
        if len(_check_list(fitted[name], f"{what}: {name}")) != n_stages:
            raise ValueError(
                f"{what}: {name} has {len(fitted[name])} entries for {n_stages} stages"
            )
    for i, network in enumerate(fitted["networks"]):
        name = f"networks[{i}]"
        check_keys(network, _NETWORK_KEYS, f"{what}: {name}")
        _check_weights(network["weights"], f"{what}: the weights of {name}", finite)
    for i, crop in enumerate(fitted["crops"]):
        check_keys(crop, _names_of(Crop), f"{what}: crops[{i}]")
        _check_number(crop["size"], f"{what}: crops[{i}] size", Integral, 1)
        check(crop["matrix"], f"crops[{i}] matrix", (2, 3))
        if crop["shape"] is not None:
            check(crop["shape"], f"crops[{i}] shape", (n_landmarks, 2))
    if fitted["crops"][0]["shape"] is not None:
        raise ValueError(f"{what}: the first of crops has a shape, but no previous stage")
    check_keys(fitted["frame"], _names_of(ChipFrame), f"{what}: frame")
    _check_number(fitted["frame"]["size"], f"{what}: size of frame", Integral, 1)
    _check_number(fitted["frame"]["margin"], f"{what}: margin of frame", Real)
    for i, asymmetry in enumerate(fitted["asymmetry"]):
        check(asymmetry, f"asymmetry[{i}]", (n_landmarks, 2))
    _check_rest(fitted, n_landmarks, what, finite)
    return n_landmarks


def _check_rest(fitted, n_landmarks, what, finite):
    """Validate the remaining keys."""
    try:
        check_schema(fitted["schema"], n_landmarks)
    except (TypeError, ValueError) as error:
        raise ValueError(f"{what}: {error}") from None
    if not isinstance(fitted["flat"], (bool, np.bool_)):
        raise ValueError(f"{what}: flat is {fitted['flat']!r:.40}, expected True or False")
    if not all(isinstance(row, dict) for row in _check_list(fitted["history"], f"{what}: history")):
        raise ValueError(f"{what}: history contains other objects than rows")
    mirrored, n_stages = fitted["mirrored"], len(fitted["networks"])
    if mirrored is not None:
        listed = _check_list(mirrored, f"{what}: mirrored")
        if len(listed) != n_stages or not all(isinstance(x, (bool, np.bool_)) for x in listed):
            raise ValueError(f"{what}: mirrored is {mirrored!r:.60}, expected a bool per stage")
    if fitted["n_planned"] is not None:
        _check_number(fitted["n_planned"], f"{what}: n_planned", Integral, n_stages)
    if (retry := fitted["retry"]) is not None:
        retry = {"limit_once": NEVER, **retry} if isinstance(retry, dict) else retry
        check_keys(retry, _names_of(Retry), f"{what}: retry")
        _check_array(retry["start"], f"{what}: start of retry", (n_landmarks, 2), finite)
        for name in ("limit", "limit_once"):
            _check_number(retry[name], f"{what}: {name} of retry", Real, 0)
    if (certainty := fitted["certainty"]) is not None:
        check_keys(certainty, _names_of(Certainty), f"{what}: certainty")
        for name in ("intercept", "slope"):
            _check_number(certainty[name], f"{what}: {name} of certainty", Real)
        if not isinstance(certainty["averaged"], (bool, np.bool_)):
            raise ValueError(f"{what}: averaged of certainty is {certainty['averaged']!r:.40}")
    if (seen := fitted["seen"]) is not None:
        array = np.asarray(seen)
        if array.dtype != np.int64 or array.ndim != 1:
            raise ValueError(f"{what}: seen is of shape {array.shape} and dtype {array.dtype}")
    if not isinstance(fitted["box_relation"], dict | None):
        raise ValueError(f"{what}: box_relation is {fitted['box_relation']!r:.40}")
    if (found := fitted["calibration"]) is not None:
        check_keys(found, _names_of(Calibration), f"{what}: calibration")
        _check_array(found["own"], f"{what}: own of calibration", (n_landmarks,), finite)
        for name in ("near", "whole"):
            _check_number(found[name], f"{what}: {name} of calibration", Real, 0)


def _check_array(value, name, shape, finite):
    array = np.asarray(value)
    if array.dtype.kind != "f" or array.shape != shape:
        raise ValueError(
            f"{name} is of shape {array.shape} and dtype {array.dtype}, expected floats of shape "
            f"{shape}"
        )
    if finite and not np.isfinite(array).all():
        raise ValueError(f"{name} contains numbers that are not finite")


def _check_weights(weights, name, finite):
    if not isinstance(weights, dict) or not all(isinstance(key, str) for key in weights):
        raise ValueError(f"{name} are not a dict of arrays by name")
    for key, array in weights.items():
        if not isinstance(array, np.ndarray):
            raise ValueError(f"{name} contain {array!r:.40} under {key!r}, expected an array")
        # Infinity can be intended, as in masks, but NaN cannot.
        if finite and array.dtype.kind == "f" and np.isnan(array).any():
            raise ValueError(f"{name} contain NaN, in {key!r}")


def _check_list(value, name):
    if not isinstance(value, list):
        raise ValueError(f"{name} is {value!r:.40}, expected a list")
    return value


def _check_number(value, name, kind, low=-np.inf):
    right = isinstance(value, kind) and not isinstance(value, bool)
    if not (right and np.isfinite(value) and value >= low):
        raise ValueError(f"{name} is {value!r:.40}, expected a finite number of at least {low}")


def _names_of(cls):
    return tuple(part.name for part in fields(cls))


def _parts(thing):
    """Attributes of a dataclass as a dict."""
    return None if thing is None else {n: getattr(thing, n) for n in _names_of(type(thing))}


def _floats(array):
    return None if array is None else np.array(array, dtype=np.float32)
