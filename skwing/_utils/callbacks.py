"""scikit-learn's callbacks, with types, which scikit-learn does not state."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeVar

    from sklearn.callback import CallbackSupportMixin

    Method = TypeVar("Method", bound=Callable[..., Any])

    def with_callbacks(method: Method) -> Method: ...

else:
    from sklearn.callback import CallbackSupportMixin, with_callbacks


__all__ = ["CallbackSupportMixin", "with_callbacks"]
