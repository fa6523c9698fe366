"""The command line ``skwing``: an interface to readers, estimators, writers and displays."""

from skwing._cli.main import main

__all__ = ["main"]
