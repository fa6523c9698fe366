"""Fitted models in files that outlive the version that wrote them.

A file is a safetensors file: the weights and other arrays, and JSON in its metadata. It
names public things only, and nothing in it is run when it is loaded.
"""

from skwing.persistence._models import describe_model, load_model, save_model
from skwing.persistence._plain import NotInFile

__all__ = ["NotInFile", "describe_model", "load_model", "save_model"]
