"""Displays of data, training and errors, with the interface of scikit-learn's displays.

A display stores computed arrays. The class methods ``from_...`` compute these arrays and plot
them; the method `plot` plots them again. Afterwards, the attributes `ax_` (and `axes_` if there are
several panels) and `figure_` are matplotlib objects, which can be modified. matplotlib is
imported on first use; install it with ``pip install skwing[plot]``.
"""

from skwing.display._crops import CropDisplay
from skwing.display._cumulative import CumulativeErrorDisplay
from skwing.display._error_by_pose import ErrorByPoseDisplay
from skwing.display._history import TrainingHistoryDisplay
from skwing.display._landmarks import LandmarkDisplay
from skwing.display._loss import LossDisplay
from skwing.display._parameter_grid import ParameterGridDisplay
from skwing.display._pose_histogram import PoseHistogramDisplay

__all__ = [
    "CropDisplay",
    "CumulativeErrorDisplay",
    "ErrorByPoseDisplay",
    "LandmarkDisplay",
    "LossDisplay",
    "ParameterGridDisplay",
    "PoseHistogramDisplay",
    "TrainingHistoryDisplay",
]
