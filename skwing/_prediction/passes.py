"""Number of crops that networks read at once in prediction."""

_ON_CPU = 32  # larger batches do not fit into caches
_ELSEWHERE = 512  # sufficient to utilise a GPU, with little memory


def crops_a_pass(device):
    """Batch size of prediction on a device."""
    return _ON_CPU if device.type == "cpu" else _ELSEWHERE
