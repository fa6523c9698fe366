"""Handling of samples that cannot be read."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping


def check_on_error(on_error: str) -> None:
    """Validate the parameter `on_error`."""
    if not isinstance(on_error, str) or on_error not in ("raise", "skip"):
        raise ValueError(f"on_error must be 'raise' or 'skip', got {on_error!r}.")


def listed(failures: Mapping[int, str], n_most: int = 5) -> str:
    """Join the messages of at most `n_most` failures, and the number of further ones."""
    messages = [failures[i].rstrip(".") for i in sorted(failures)]
    more = f"; and {len(messages) - n_most} more" if len(messages) > n_most else ""
    return "; ".join(messages[:n_most]) + more + "."
