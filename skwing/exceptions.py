"""Warning classes of skwing."""

__all__ = ["DataWarning", "NoticeWarning"]


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


class NoticeWarning(UserWarning):
    """Warning that shows the terms of use of a model when it is loaded.

    See Also
    --------
    skwing.save_model : Stores a notice with a model.

    Examples
    --------
    To silence the warning for a model whose terms are known:

    >>> import warnings
    >>> from skwing.exceptions import NoticeWarning
    >>> with warnings.catch_warnings():
    ...     warnings.simplefilter("ignore", NoticeWarning)
    """
