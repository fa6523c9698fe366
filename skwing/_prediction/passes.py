"""Number of crops that networks read at once in prediction."""

_ON_CPU = 32  # larger batches do not fit into caches
_ELSEWHERE = 512  # sufficient to utilise a GPU, with little memory
# Each sample of a search is read in many crops, which fill the passes. Few samples in a batch give
# each thread a part of those that are searched for.
_SEARCHED_ON_CPU = 4


def crops_a_pass(device):
    """Batch size of prediction on a device."""
    return _ON_CPU if device.type == "cpu" else _ELSEWHERE


def samples_a_search(device):
    """Number of samples whose predictions are repeated in one batch on a device."""
    return _SEARCHED_ON_CPU if device.type == "cpu" else crops_a_pass(device)
