"""The command line ``skwing``: a thin layer over readers, estimators, writers and displays."""

from skwing._cli.main import main

__all__ = ["main"]
