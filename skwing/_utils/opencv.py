"""OpenCV, imported by `skwing.runtime` with helpful errors."""

from skwing.runtime import cv2

__all__ = ["cv2"]
