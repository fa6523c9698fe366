"""Boxes by detectors: which box belongs to which sample, and detectors to find them with."""

from skwing.detection._detect import DetectedBoxes, Detections, detect_all, detect_boxes
from skwing.detection._detectors import Detector, SkimageCascade, YuNet

__all__ = [
    "DetectedBoxes",
    "Detections",
    "Detector",
    "SkimageCascade",
    "YuNet",
    "detect_all",
    "detect_boxes",
]

# A pickle names them by where they are public.
for _part in (DetectedBoxes, Detections, Detector, SkimageCascade, YuNet):
    _part.__module__ = __name__
