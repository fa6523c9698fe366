"""Pickles of skwing 0.5 and 0.6, which held private objects as they were."""

import sys

from skwing._crops import chips, crop
from skwing._reading import confidence
from skwing._reading.state import ATTRIBUTES, NOT_TOLD, as_data
from skwing._utils.envelope import check_keys, packed_of_first_pickles

# Where those pickles look for the classes of crops, chips and calibrations.
for _name, _module in {"_stages": crop, "_chips": chips, "_confidence": confidence}.items():
    sys.modules.setdefault(f"skwing.{_name}", _module)


def packed_of_0_6(state):
    """What :func:`skwing._utils.envelope.pack` would have made, from a pickle of skwing 0.5 or 0.6.

    They held attributes as they were.

    Parameters
    ----------
    state : dict

    Returns
    -------
    packed : dict

    Raises
    ------
    ValueError
        If it is of an earlier version.
    """
    packed = packed_of_first_pickles(state, ATTRIBUTES)
    own = {key: value for key, value in state.items() if key in ATTRIBUTES}
    if "average_mirrored" not in packed["params"] or (
        "networks_" in own and "asymmetry_" not in own
    ):
        raise ValueError(
            "this CascadeLandmarkRegressor was pickled by skwing 0.4 or an earlier version, which "
            "located landmarks in another way: load it with that version, or fit anew"
        )
    if "networks_" not in own:
        return packed
    later = ("calibration_", "box_relation_", "mirrored_", "_n_planned")
    needed = [key for key in ATTRIBUTES if key not in later]
    what = "this CascadeLandmarkRegressor, pickled by skwing 0.5 or 0.6,"
    check_keys({key: own[key] for key in needed if key in own}, needed, what)
    return packed | {"fitted": as_data({**NOT_TOLD, **own}, own["networks_"])}
