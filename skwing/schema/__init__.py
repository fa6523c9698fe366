"""What a set of landmarks means: names, mirror images, contours, normalising points.

The rest of the library asks a :class:`LandmarkSchema`; nothing counts landmarks or
compares names of data sets. Indices count from 0. "left" and "right" are as seen in an
upright image: the left eye is the one nearer the left edge, the person's right one.
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

# A pickle names it by where it is public.
LandmarkSchema.__module__ = __name__
