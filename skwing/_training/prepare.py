"""Chips, networks and crops of a plan, before the first step of training."""

import numpy as np
import torch

from skwing._crops.chip_size import cut_to_learn_on
from skwing._crops.crop import make_crops
from skwing._crops.shared_chips import cut_together
from skwing._training.contradictions import warn_of_contradictions
from skwing._training.start import make_networks
from skwing.networks import start_at
from skwing.networks._contract import patch_size_of


def prepare(plan):
    """Cut the chips of the training samples, and build the networks of a plan, on its device.

    New networks begin with the weights of the start, or at the mean landmarks.

    Returns
    -------
    chips, networks, crops
    asymmetries : list of float32 array of shape (L, 2)
        See :class:`skwing._prediction.stages.Stage`.
    """
    known, settings, samples = plan.n_known, plan.settings, plan.train
    networks = make_networks(plan)
    sizes, margins = [n.input_size for n in networks], [own.margin for own in settings]
    if known:
        chips = cut_together(
            samples.data, plan.before._frame, plan.device, check_sizes=True, cache=plan.cache
        )
    else:
        patches = list(map(patch_size_of, networks))
        chips = cut_to_learn_on(samples, sizes, margins, plan.device, patches, plan.cache)
    warn_of_contradictions(samples, chips, plan.schema)
    mean_points = chips.mean_in_chip(samples.points)
    crops = make_crops(sizes, margins, chips.frame, plan.mean_shape, mean_points)
    asymmetries = [np.zeros(mean_points.shape, dtype=np.float32) for _ in networks]
    if known:
        crops[:known] = plan.before.crops_
        asymmetries[:known] = plan.before.asymmetry_
    for network, crop in zip(networks[known:], crops[known:], strict=True):
        start_at(network, crop.start(mean_points))
    if plan.start is not None:
        plan.start.give(networks, crops, plan.builders)
    for network in networks:
        network.to(plan.device, memory_format=torch.channels_last)
    return chips, networks, crops, asymmetries
