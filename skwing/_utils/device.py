"""The device that networks run on."""

from __future__ import annotations

import torch

from skwing._utils.checks import told


def check_device(device: object) -> torch.device:
    """Device by that name; "auto" is the first CUDA device, or the CPU where there is none.

    Raises
    ------
    ValueError
        If the name is unknown or there is no such device.
    """
    wanted = device
    if isinstance(device, str) and device == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        # Of a tensor, as that has a number: what "cuda" stands for differs between threads.
        return torch.empty(0, device=torch.device(wanted)).device
    except (RuntimeError, AssertionError, TypeError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={told(device)} can not be used here: {reason}") from error
