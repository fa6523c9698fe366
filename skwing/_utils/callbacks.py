"""scikit-learn's callbacks (from 1.9), or stand-ins that do nothing before that."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from sklearn.callback import CallbackSupportMixin

    Method = TypeVar("Method", bound=Callable[..., Any])

    def with_callbacks(method: Method) -> Method: ...

else:
    try:
        from sklearn.callback import CallbackSupportMixin, with_callbacks
    except ImportError:  # scikit-learn < 1.9

        class CallbackSupportMixin:
            """Stand-in: this scikit-learn has no callbacks."""

        def with_callbacks(method):
            """Stand-in that returns the method unchanged."""
            return method


__all__ = ["CallbackSupportMixin", "with_callbacks"]
