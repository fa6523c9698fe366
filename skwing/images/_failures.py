"""Samples that cannot be read: whether to go on, and how they are listed."""


def check_on_error(on_error):
    """Check what to do with samples that cannot be read."""
    if not isinstance(on_error, str) or on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}.")


def listed(failures, n_most=5):
    """Messages about samples by position, in a line; of more than `n_most` their number."""
    messages = [failures[i].rstrip(".") for i in sorted(failures)]
    more = f"; and {len(messages) - n_most} more" if len(messages) > n_most else ""
    return "; ".join(messages[:n_most]) + more + "."
