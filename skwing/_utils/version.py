"""Version of the package, for `skwing.__version__` and for what is written into files."""

__version__ = "0.7.0"
