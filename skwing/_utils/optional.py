"""Import of optional dependencies."""

import importlib


def import_optional(name, purpose, extra):
    """Import an optional library, or raise an error that explains how to install it.

    Parameters
    ----------
    name : str
        Name of the module, such as ``"pandas"``.
    purpose : str
        Purpose of the library; the error message begins with it.
    extra : str
        Extra of this package that installs the library.

    Raises
    ------
    ImportError
        If the library cannot be imported.
    """
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise ImportError(
            f'{purpose} needs {name}: `pip install "skwing[{extra}]"`. The import gave: {error}.',
            name=name,
        ) from error
