"""Create boxes around landmarks, adjust, compare and match boxes.

A regressor learns where landmarks are *relative to the boxes of the training samples*. Use
boxes of the same kind for training and prediction. For prediction, boxes usually come from a
detector, and its boxes differ in size and centre from boxes around landmarks.
:func:`skwing.detection.detect_boxes` runs the detector on the training images and measures
how its boxes relate to the landmarks; :func:`landmark_boxes` can imitate this relation. If the
regressor is already trained and boxes come from another detector, :func:`adapt_boxes` converts
them to the kind of boxes that the regressor was trained with.
"""

from skwing.boxes._boxes import adjust_boxes, box_overlaps, landmark_boxes, match_boxes
from skwing.boxes._relation import BoxRelation as BoxRelation
from skwing.boxes._relation import adapt_boxes, box_relation, relation_in_training

__all__ = [
    "adapt_boxes",
    "adjust_boxes",
    "box_overlaps",
    "box_relation",
    "landmark_boxes",
    "match_boxes",
    "relation_in_training",
]

# Pickles refer to the public names.
for _name in ("BoxRelation", *__all__):
    globals()[_name].__module__ = __name__
