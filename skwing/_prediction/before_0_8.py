"""Conversion of models of skwing 0.7 and before to the parameters of 0.8.

In these versions, augmentation and batch normalisation were parameters of the regressor.
"""

from functools import partial

from skwing._crops.augmentation import AUGMENTATIONS, Augmentation
from skwing.networks import NETWORKS

_PLAIN = {"cnn6": "cnn6_plain", "cnn7": "cnn7_plain"}


def of_0_8(params, fitted):
    """Convert parameters and fitted state, written by any version, to the present form.

    Values that are not dicts, as in damaged files, are returned unchanged and rejected later.
    """
    return _params_of_0_8(params), _fitted_of_0_8(fitted)


def packed_of_0_8(packed):
    """Convert the result of :func:`skwing._utils.pickle_format.pack` of any version."""
    if not {"params", "fitted"} <= packed.keys():
        return packed
    params, fitted = of_0_8(packed["params"], packed["fitted"])
    return packed | {"params": params, "fitted": fitted}


def _params_of_0_8(params):
    if not isinstance(params, dict) or "augmentation" in params:
        return params
    own = {name: params[name] for name in AUGMENTATIONS if name in params}
    params = {name: value for name, value in params.items() if name not in own}
    batch_norm = params.pop("batch_norm", True)
    if isinstance(given := params.get("networks"), list | tuple):
        params["networks"] = type(given)(network_of_0_8(part, batch_norm) for part in given)
    return params | {"augmentation": Augmentation(**own)}


def _fitted_of_0_8(fitted):
    if not isinstance(fitted, dict) or not isinstance(fitted.get("networks"), list):
        return fitted
    return fitted | {"networks": [_stage_of_0_8(stage) for stage in fitted["networks"]]}


def _stage_of_0_8(stage):
    if not isinstance(stage, dict) or not {"network", "batch_norm"} <= stage.keys():
        return stage
    network = network_of_0_8(stage["network"], stage["batch_norm"])
    return {k: v for k, v in stage.items() if k != "batch_norm"} | {"network": network}


def network_of_0_8(network, batch_norm):
    """Present equivalent of a network and the former parameter `batch_norm`.

    The parameter applied only to networks given by name.

    Examples
    --------
    >>> from skwing._prediction.before_0_8 import network_of_0_8
    >>> network_of_0_8("cnn6", True), network_of_0_8("cnn6", False)
    ('cnn6', 'cnn6_plain')
    """
    if batch_norm or not isinstance(network, str) or network not in NETWORKS:
        return network
    if network in _PLAIN:
        return _PLAIN[network]
    return network if network == "resnet50" else partial(NETWORKS[network], batch_norm=False)
