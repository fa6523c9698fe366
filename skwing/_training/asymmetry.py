"""Asymmetry of labels: per-landmark offsets that are learned beside the network.

Mirroring an image and renaming its landmarks gives a valid sample only if labels are
mirror-symmetric. If, for example, all labels have an offset to the right, the labels of mirrored
samples have an offset to the left, and a network learns the mean of both.
"""

import torch
from torch import nn

from skwing._crops.random_changes import rename_mirrored
from skwing.networks import locate


class WithAsymmetry(nn.Module):
    """A network with learned offsets for labels that are not mirror-symmetric.

    Parameters
    ----------
    network : torch.nn.Module
        See :func:`skwing.networks.check_network`.
    asymmetry : float tensor of shape (n_landmarks, 2)
        Initial offsets, added to the output of the network in the original crop, in input
        pixels. They are transformed with rotated and mirrored crops; mirroring negates them.
    permutation : int tensor of shape (n_landmarks,) or None
        Landmark i of a mirrored shape is landmark ``permutation[i]`` of the original. None
        if crops are not mirrored; the asymmetry is then constant and not learned.
    unit : float
        Scale of the parameters in pixels; larger values give faster learning.

    Examples
    --------
    >>> import torch
    >>> from skwing._training.asymmetry import WithAsymmetry
    >>> seen = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2, bias=False))
    >>> sided = WithAsymmetry(seen, torch.tensor([[0.5, 0.0]]), torch.tensor([0]), unit=4.0)
    >>> plain, reflected, upside_down = [1.0, 1], [-1, 1], [-1, -1]
    >>> changes = torch.tensor([plain, reflected, upside_down]).diag_embed()
    >>> images, mirrored = torch.zeros(3, 3, 1, 1), torch.tensor([False, True, False])
    >>> sided(images, changes, mirrored).tolist()
    [[[0.5, 0.0]], [[-0.5, 0.0]], [[-0.5, 0.0]]]
    """

    def __init__(self, network, asymmetry, permutation, unit):
        super().__init__()
        self.network = network
        self.permutation = permutation
        self.unit = unit
        # One-dimensional, because the optimiser applies weight decay to other shapes only.
        self.flat = nn.Parameter(asymmetry.flatten() / unit, requires_grad=permutation is not None)

    @property
    def asymmetry(self):
        """Current asymmetry, of shape (n_landmarks, 2), in input pixels."""
        return self.unit * self.flat.detach().unflatten(0, (-1, 2))

    def forward(self, images, changes, mirrored):
        """Predict points in transformed crops, some of them mirrored.

        Parameters
        ----------
        images : tensor of shape (b, 3, input_size, input_size)
        changes : float tensor of shape (b, 2, 2)
            Linear part of the transforms of the original crops.
        mirrored : bool tensor of shape (b,)
            Mask of the transforms with a reflection.

        Returns
        -------
        points : tensor of shape (b, n_landmarks, 2) or (b, n_estimates, n_landmarks, 2)
            In input pixels.
        """
        points = locate(self.network, images)
        asymmetry = (self.unit * self.flat.unflatten(0, (-1, 2))).expand(len(images), -1, -1)
        if self.permutation is not None:
            # Remove the symmetric part, which the network can learn. If it is initially zero, it
            # remains zero, as its gradient vanishes.
            asymmetry = (asymmetry - mirror_image(asymmetry, self.permutation)) / 2
            asymmetry = rename_mirrored(asymmetry, mirrored, self.permutation)
        # Not a matrix product, which could be computed in bfloat16.
        added = (changes[:, None] * asymmetry[:, :, None]).sum(-1)
        return points + added.reshape(len(added), *[1] * (points.ndim - 3), -1, 2)


def mirror_image(offsets, permutation):
    """Mirror offsets of landmarks, of shape (..., n_landmarks, 2)."""
    x, y = offsets[..., permutation, :].unbind(-1)
    return torch.stack([-x, y], -1)
