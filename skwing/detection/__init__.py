"""Detectors, and matching of their boxes to samples."""

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

# Pickles refer to the public names.
for _part in (DetectedBoxes, Detections, Detector, SkimageCascade, YuNet):
    _part.__module__ = __name__
