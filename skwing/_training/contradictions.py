"""Detection of landmarks, boxes and images that contradict each other.

The checks do not decode images. They are conservative: unusual but consistent data do not cause
messages.
"""

from skwing._training import coordinate_checks, sample_checks
from skwing._training.evidence import Evidence
from skwing._utils.warnings import warn_of_data

# At most one of these checks is reported, because each explains all coordinates.
OF_ALL = (
    coordinate_checks.fractions,
    coordinate_checks.triples,
    coordinate_checks.per_cent,
    coordinate_checks.blocks,
    coordinate_checks.corners,
    coordinate_checks.swapped,
    coordinate_checks.outside,
)
OF_SOME = (
    sample_checks.sentinels,
    sample_checks.one_place,
    sample_checks.one_shape,
    sample_checks.pairs,
)


def contradictions(evidence):
    """Messages about inconsistent samples, at most one about the meaning of y."""
    if not evidence.known.any():
        return []
    about_all = next((found for check in OF_ALL if (found := check(evidence))), None)
    if about_all is not None:
        return [about_all]
    return [found for check in OF_SOME if (found := check(evidence))]


def warn_of_contradictions(samples, chips, schema, prefix=""):
    """Warn of landmarks, boxes and images that contradict each other, by the chips of samples."""
    data = samples.data
    boxes = data.boxes if data.has_boxes else None
    evidence = Evidence(
        samples.points, boxes, chips.image_sizes, data.describe, schema, data.by_image
    )
    for message in contradictions(evidence):
        warn_of_data(prefix + message)
