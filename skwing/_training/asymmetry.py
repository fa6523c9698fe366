"""Labels that are not mirrored when the image is: by how much, learned beside the network.

Mirroring an image and renaming its landmarks makes a new sample only if annotators would
have marked the mirrored image so. Where all their points lie a little to the right, say,
half of the samples then lie to the left, and a network learns the mean of both.
"""

import torch
from torch import nn

from skwing._crops.augment import rename_mirrored
from skwing.networks import locate


class WithAsymmetry(nn.Module):
    """A network that learns what mirror images have in common, and what they have not.

    Parameters
    ----------
    network : torch.nn.Module
        See :func:`skwing.networks.check_network`.
    asymmetry : float tensor of shape (n_landmarks, 2)
        What is added to the network's points in a plain crop, in input pixels. In a
        turned one it is turned with the crop, and in a mirrored one mirrored, which makes
        it its negative. Learned from there.
    permutation : int tensor of shape (n_landmarks,) or None
        Landmark i of a mirrored shape is landmark ``permutation[i]`` of the original. None
        where nothing is mirrored: the asymmetry is then added as it is, and not learned.
    unit : float
        Pixels in which the asymmetry is learned: the larger, the faster.

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
        # Flat, as biases are: the optimiser knows by that what not to shrink.
        self.flat = nn.Parameter(asymmetry.flatten() / unit, requires_grad=permutation is not None)

    @property
    def asymmetry(self):
        """The asymmetry as it is now, of shape (n_landmarks, 2), in input pixels."""
        return self.unit * self.flat.detach().unflatten(0, (-1, 2))

    def forward(self, images, changes, mirrored):
        """Points in crops that are changed from plain ones, some of them mirrored.

        Parameters
        ----------
        images : tensor of shape (b, 3, input_size, input_size)
        changes : float tensor of shape (b, 2, 2)
            From directions in the plain crop to directions in the image.
        mirrored : bool tensor of shape (b,)
            Which of the changes contain a reflection.

        Returns
        -------
        points : tensor of shape (b, n_landmarks, 2) or (b, n_estimates, n_landmarks, 2)
            In input pixels.
        """
        points = locate(self.network, images)
        asymmetry = (self.unit * self.flat.unflatten(0, (-1, 2))).expand(len(images), -1, -1)
        if self.permutation is not None:
            # What is the same on both sides is the network's to learn. Started without such
            # a part, the asymmetry never gets one, as its gradient has none.
            asymmetry = (asymmetry - mirror_image(asymmetry, self.permutation)) / 2
            asymmetry = rename_mirrored(asymmetry, mirrored, self.permutation)
        # Not as a matrix product, which might be in bfloat16.
        added = (changes[:, None] * asymmetry[:, :, None]).sum(-1)
        return points + added.reshape(len(added), *[1] * (points.ndim - 3), -1, 2)


def mirror_image(offsets, permutation):
    """Offsets of landmarks, of shape (..., n_landmarks, 2), as they are in the mirror."""
    x, y = offsets[..., permutation, :].unbind(-1)
    return torch.stack([-x, y], -1)
