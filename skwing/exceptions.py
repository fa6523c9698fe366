"""Warning classes of skwing."""

__all__ = ["DataWarning"]


class DataWarning(UserWarning):
    """Warning for images, boxes or landmarks that are valid but inconsistent.

    Examples
    --------
    To silence the warnings for data that are correct:

    >>> import warnings
    >>> from skwing.exceptions import DataWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", DataWarning)
    """
