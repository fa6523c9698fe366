"""scikit-learn's callbacks (since 1.9), or placeholders for earlier versions."""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Placeholder for versions of scikit-learn without callbacks."""

    def with_callbacks(method):
        """Placeholder: return the method unchanged."""
        return method


__all__ = ["CallbackSupportMixin", "with_callbacks"]
