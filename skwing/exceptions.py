"""Warnings that skwing gives of its own."""

__all__ = ["DataWarning"]


class DataWarning(UserWarning):
    """Images, boxes and landmarks that can be used, but contradict themselves or each other.

    Examples
    --------
    Data that are meant as they are can be trained on in silence, or be an error:

    >>> import warnings
    >>> from skwing.exceptions import DataWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", DataWarning)
    """
