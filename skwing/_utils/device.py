"""Validation of the device of networks."""

from __future__ import annotations

import os

import torch

from skwing._utils.checks import told
from skwing._utils.ranks import n_processes


def own_cuda_device() -> str:
    """Name of the CUDA device of this process.

    It is the current one, unless ``torchrun`` has started several processes that train
    together and none has been chosen: then it is that of the number of the process.
    """
    number = int(os.environ.get("LOCAL_RANK", "0")) if n_processes() > 1 else 0
    if torch.cuda.current_device() > 0 or number >= torch.cuda.device_count():
        return "cuda"
    return f"cuda:{number}" if number else "cuda"


def check_device(device: object) -> torch.device:
    """Return the device for a name; "auto" is a CUDA device, or the CPU if there is none.

    If several processes of a machine train together, "auto" is another CUDA device for each.

    Raises
    ------
    ValueError
        If the name is unknown or the device is unavailable.
    """
    wanted = device
    if isinstance(device, str) and device == "auto":
        wanted = own_cuda_device() if torch.cuda.is_available() else "cpu"
    try:
        # The device of a tensor has an index, while the meaning of "cuda" depends on the thread.
        return torch.empty(0, device=torch.device(wanted)).device
    except (RuntimeError, AssertionError, TypeError, ValueError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(f"device={told(device)} cannot be used here: {reason}") from error
