"""Schemas of landmarks: names, mirror pairs, contours and normalising lengths.

A :class:`LandmarkSchema` is the only source of this information; no other module infers it
from the number of landmarks or the name of a data set. Indices are counted from 0. "left" and
"right" are as seen in an upright image: the left eye is nearer to the left edge of the image,
and is the person's right eye.
"""

from skwing.schema._names import mirror_from_names
from skwing.schema._schema import (
    AFLW19,
    COFW29,
    IBUG68,
    SCHEMAS,
    WFLW98,
    LandmarkSchema,
    check_schema,
)

__all__ = [
    "AFLW19",
    "COFW29",
    "IBUG68",
    "SCHEMAS",
    "WFLW98",
    "LandmarkSchema",
    "check_schema",
    "mirror_from_names",
]

# Pickles refer to the public name.
LandmarkSchema.__module__ = __name__
