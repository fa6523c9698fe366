"""Which stages of a cascade train on mirrored crops."""

from dataclasses import replace

from skwing._utils.warnings import warn_of_data
from skwing.schema._schema import can_mirror
from skwing.shapes._reference import is_symmetric


def mirrored_as_known(settings, shape, schema):
    """Settings of stages without mirrored crops where it is not known what they show.

    A first stage mirrors crops of the box, which takes a schema that says how landmarks are
    renamed. Later stages bring landmarks onto the mean shape: a mirrored crop is one that
    they meet in predict only where that shape is its own mirror image.

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
            f"the mirror image that schema {schema.name!r} describes is no shape like those of "
            "y, as of an object seen from the side: only the first stage learns on mirrored "
            "crops. mirror=None in the schema mirrors nothing, mirror=(0.5, 0) in the regressor "
            "does the same as now without this warning"
        )
    return [
        own if knows else replace(own, augmentation=replace(own.augmentation, mirror=0.0))
        for own, knows in zip(settings, known, strict=True)
    ]
