"""Data sets: readers of published layouts, and faces drawn on the spot."""

from skwing.datasets._300w import load_300w
from skwing.datasets._faces import make_faces
from skwing.datasets._pts import read_pts

__all__ = ["load_300w", "make_faces", "read_pts"]
