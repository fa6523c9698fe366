"""Selection of the stages that are trained on mirrored crops."""

from dataclasses import replace

from skwing._utils.warnings import warn_of_data
from skwing.schema._schema import can_mirror
from skwing.shapes._reference import is_symmetric


def mirrored_as_known(settings, shape, schema):
    """Disable mirroring in stages where mirrored crops are not valid.

    The first stage mirrors crops of the box, which requires a schema with mirror pairs. Later
    stages align landmarks with the mean shape: mirrored crops resemble those of prediction
    only if the mean shape is its own mirror image.

    Parameters
    ----------
    settings : list of StageSettings
    shape : array of shape (L, 2)
        The mean shape.
    schema : LandmarkSchema or None

    Returns
    -------
    settings : list of StageSettings
    """
    known = [can_mirror(schema)] + [is_symmetric(shape, schema)] * (len(settings) - 1)
    wanted = [own.augmentation.mirror > 0 for own in settings]
    if known[0] and any(wants and not knows for wants, knows in zip(wanted, known, strict=True)):
        warn_of_data(
            f"mirrored by schema {schema.name!r}, the mean shape of y becomes another one, as for "
            "objects seen from the side: only the first stage is trained on mirrored crops. Use "
            "mirror=None in the schema to disable mirroring, or augmentation__mirror=(0.5, 0) in "
            "the regressor to keep this behaviour without the warning"
        )
    return [
        own if knows else replace(own, augmentation=replace(own.augmentation, mirror=0.0))
        for own, knows in zip(settings, known, strict=True)
    ]
