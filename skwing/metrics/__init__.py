"""Metrics of the distance between predicted and true landmarks.

Errors are fractions of a normalising length, not percent. Missing landmarks (NaN in
`y_true`) are ignored in all means. A prediction must not be NaN where `y_true` is known.
"""

from skwing.metrics._distribution import ced_auc, ced_curve, failure_rate
from skwing.metrics._errors import nme, point_errors
from skwing.metrics._lengths import normalizing_lengths
from skwing.metrics._report import landmark_report
from skwing.metrics._scorer import make_nme_scorer

__all__ = [
    "ced_auc",
    "ced_curve",
    "failure_rate",
    "landmark_report",
    "make_nme_scorer",
    "nme",
    "normalizing_lengths",
    "point_errors",
]

# Pickles refer to the public names.
for _name in __all__:
    globals()[_name].__module__ = __name__
