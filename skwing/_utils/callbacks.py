"""scikit-learn's callbacks (from 1.9), or stand-ins that do nothing before that."""

try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ImportError:  # scikit-learn < 1.9

    class CallbackSupportMixin:
        """Stand-in: this scikit-learn has no callbacks."""

    def with_callbacks(method):
        """Stand-in: the method as it is."""
        return method


__all__ = ["CallbackSupportMixin", "with_callbacks"]
