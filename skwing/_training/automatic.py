"""Networks of the stages for ``networks="auto"``: the default cascade, finer for large images."""

from functools import partial

import numpy as np

from skwing.geometry import boxes_of
from skwing.networks import NETWORKS, PatchCNN, check_networks, given_network, patches_256

CASCADE, _FINE = ("shape_indexed_64_coarse", "shape_indexed_128"), "patches_256"
_LAST_SIZE = 128  # side of the input of the last stage of the cascade, in pixels
_FINER = 2.0  # minimum resolution of images for the fine stage, relative to the last crop


def check_networks_or_auto(networks):
    """Validate the parameter `networks`, see :func:`skwing.networks.check_networks`."""
    if not (isinstance(networks, str) and networks == "auto"):
        check_networks(networks)


def networks_of_model(networks, model, n_stages=None):
    """Networks of a cascade that continues a model, an object with the attributes of a regressor.

    "auto" is the networks that the model was built with, followed by those of a new cascade if it
    has fewer than `n_stages`.
    """
    if not isinstance(networks, str):
        return networks
    own = tuple(given_network(build) for build in model._builders)
    return own if n_stages is None else (own + (*CASCADE, _FINE)[len(own) :])[:n_stages]


def networks_for(networks, points, margin):
    """Networks of a new cascade.

    "auto" is the cascade of two networks, followed by one that reads patches if :func:`are_fine`,
    which documents the other parameters.
    """
    if not isinstance(networks, str):
        return networks
    return (*CASCADE, _FINE) if are_fine(points, margin) else CASCADE


def are_fine(points, margin):
    """Whether images have at least twice the resolution of the last crop of the cascade.

    Parameters
    ----------
    points : array of shape (n, L, 2)
        Landmarks in image pixels, NaN = missing.
    margin : float
        Margin of the last crop around the mean shape.

    Examples
    --------
    >>> import numpy as np
    >>> from skwing._training.automatic import are_fine
    >>> square = np.array([[[0.0, 0.0], [1.0, 0.0], [0.0, 1.0], [1.0, 1.0]]])
    >>> are_fine(200 * square, margin=0.08), are_fine(400 * square, margin=0.08)
    (False, True)
    """
    extents = boxes_of(points)[:, 2:].max(-1)
    extents = extents[extents > 1]  # ignore samples with a single landmark
    if not len(extents):
        return False
    return bool(np.median(extents) >= _FINER * _LAST_SIZE / (1 + 2 * margin))


def reads_patches(build):
    """Whether a result of :func:`skwing.networks.check_network` builds a network of patches."""
    part = given_network(build)
    part = NETWORKS[part] if isinstance(part, str) else part
    while isinstance(part, partial):
        part = part.func
    return part in (patches_256, PatchCNN)
