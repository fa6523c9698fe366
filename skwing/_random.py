"""Random state: torch's global generators are borrowed, seeded, and put back."""

import contextlib

import torch


@contextlib.contextmanager
def seeded(seed, device):
    """Seed torch's global generators inside, and put them back as they were.

    Networks draw their weights and what they drop from these; nothing else of the package
    does.

    Parameters
    ----------
    seed : int
    device : torch.device
        Whose generator is seeded beside the CPU's.
    """
    with kept(device):
        torch.default_generator.manual_seed(seed)
        if device.type == "cuda":
            with torch.cuda.device(device):
                torch.cuda.manual_seed(seed)
        yield


def kept(*devices):
    """Context after which torch's global generators are as before it.

    Parameters
    ----------
    *devices : torch.device
        Whose generators are kept beside the CPU's.
    """
    return torch.random.fork_rng(devices=[d for d in devices if d.type == "cuda"])
