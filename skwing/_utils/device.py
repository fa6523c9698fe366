"""Validation of the device of networks."""

from __future__ import annotations

import torch

from skwing._utils.checks import told


def check_device(device: object) -> torch.device:
    """Return the device for a name; "auto" is a CUDA device, or the CPU if there is none.

    Raises
    ------
    ValueError
        If the name is unknown or the device is unavailable.
    """
    wanted = device
    if isinstance(device, str) and device == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # The device of a tensor has an index, while the meaning of "cuda" depends on the thread.
        return torch.empty(0, device=torch.device(wanted)).device
    except (RuntimeError, AssertionError, TypeError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={told(device)} cannot be used here: {reason}") from error
