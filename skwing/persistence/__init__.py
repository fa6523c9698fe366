"""Saving and loading of fitted models, independent of the version of skwing.

Models are saved as safetensors files, with weights and other arrays, and JSON text in the
metadata. Files refer only to public names, and loading runs no code from them.
"""

from skwing._prediction.plain import NotInFile
from skwing.persistence._models import describe_model, load_model, save_model

__all__ = ["NotInFile", "describe_model", "load_model", "save_model"]
