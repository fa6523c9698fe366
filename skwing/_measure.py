"""Whether errors can be measured at all."""

import numpy as np


def check_measurable(errors, what):
    """Which errors are known, at least one."""
    known = ~np.isnan(errors)
    if not known.any():
        raise ValueError(
            f"the error of none of the {what} can be measured: each lacks the landmarks, or those "
            "that its size is told by"
        )
    return known
