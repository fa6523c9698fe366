"""Pickles of skwing 0.5 and 0.6, which contain instances of private classes."""

import sys

from skwing._crops import chips, crop
from skwing._prediction import confidence
from skwing._prediction.before_0_8 import network_of_0_8
from skwing._prediction.state import ATTRIBUTES, LATER, as_data
from skwing._utils.pickle_format import check_keys, packed_of_first_pickles
from skwing.networks import NETWORKS, check_network
from skwing.networks._contract import build_and_try

# Modules in which those pickles look up the classes of crops, chips and calibrations.
for _name, _module in {"_stages": crop, "_chips": chips, "_confidence": confidence}.items():
    sys.modules.setdefault(f"skwing.{_name}", _module)


def packed_of_0_6(state):
    """Convert the state in a pickle of skwing 0.5 or 0.6 to the present format.

    The result is like that of :func:`skwing._utils.pickle_format.pack`. Pickles of earlier
    versions are an error.
    """
    packed = packed_of_first_pickles(state, ATTRIBUTES)
    own = {key: value for key, value in state.items() if key in ATTRIBUTES}
    if "average_mirrored" not in packed["params"] or (
        "networks_" in own and "asymmetry_" not in own
    ):
        raise ValueError(
            "this CascadeLandmarkRegressor was pickled by skwing 0.4 or an earlier version, whose "
            "predictions differ: load it with that version, or fit again"
        )
    if "networks_" not in own:
        return packed
    later = ("calibration_", "box_relation_", *LATER)
    needed = [key for key in ATTRIBUTES if key not in later]
    what = "this CascadeLandmarkRegressor, pickled by skwing 0.5 or 0.6,"
    check_keys({key: own[key] for key in needed if key in own}, needed, what)
    own["_builders"] = [check_network(_given_network(build)) for build in own["_builders"]]
    return packed | {"fitted": as_data(dict.fromkeys(LATER) | own, own["networks_"])}


def _given_network(build):
    """What a user gave as a network, from the function that built it in skwing 0.5 and 0.6."""
    if build.func is build_and_try:
        return build.args[0]
    names = [n for n, made in NETWORKS.items() if getattr(made, "func", made) is build.func]
    return network_of_0_8(names[0], build.keywords["batch_norm"])
