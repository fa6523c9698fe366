"""Samples that cannot be read: whether to go on, and how they are listed."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_on_error(on_error: str) -> None:
    """Check what to do with samples that cannot be read."""
    if not isinstance(on_error, str) or on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}.")


def listed(failures: Mapping[int, str], n_most: int = 5) -> str:
    """Messages about samples by position, in a line; of more than `n_most` their number."""
    messages = [failures[i].rstrip(".") for i in sorted(failures)]
    more = f"; and {len(messages) - n_most} more" if len(messages) > n_most else ""
    return "; ".join(messages[:n_most]) + more + "."
