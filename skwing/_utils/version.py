"""Version of the package, for `skwing.__version__` and for files."""

__version__ = "0.19.0"
