"""Pictures of data, training and errors, in scikit-learn's Display convention.

A display holds computed arrays; its class methods ``from_...`` compute them and draw, and
:meth:`plot` draws again. After that `ax_` (and, where there are several panels, `axes_`) and
`figure_` are matplotlib's objects, to be changed at will. matplotlib is imported when
something is drawn; ``pip install skwing[plot]`` brings it.
"""

from skwing.display._cumulative import CumulativeErrorDisplay
from skwing.display._error_by_pose import ErrorByPoseDisplay
from skwing.display._history import TrainingHistoryDisplay
from skwing.display._landmarks import LandmarkDisplay
from skwing.display._loss import LossDisplay
from skwing.display._parameter_grid import ParameterGridDisplay
from skwing.display._pose_histogram import PoseHistogramDisplay

__all__ = [
    "CumulativeErrorDisplay",
    "ErrorByPoseDisplay",
    "LandmarkDisplay",
    "LossDisplay",
    "ParameterGridDisplay",
    "PoseHistogramDisplay",
    "TrainingHistoryDisplay",
]
