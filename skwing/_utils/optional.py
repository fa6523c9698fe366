"""Libraries that only some functions need."""

import importlib

__all__ = ["import_optional"]


def import_optional(name, purpose, extra):
    """A library of an extra, or an error that says how to install it.

    Parameters
    ----------
    name : str
        Of the module, such as ``"pandas"``.
    purpose : str
        What it is for, as the beginning of the error.
    extra : str
        The extra of this package that installs it.

    Raises
    ------
    ImportError
        If it cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs {name}: `pip install "skwing[{extra}]"`. The import gave: {error}.',
            name=name,
        ) from error
