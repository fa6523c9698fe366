"""Copies of a network that compute the parts of a training step, each in a thread.

The parts of a batch are always the same, batch normalisation uses the statistics of the whole
batch, and gradients are added in the order of the parts. The model therefore does not depend on
the number of processors.
"""

import contextlib
import copy

import torch

from skwing._training.whole_batch_norm import whole_batch_norm
from skwing._utils.parts import Part, computing
from skwing._utils.random import alike, current_draws, drawing_from
from skwing._utils.team import Team


class Replicas:
    """A network and copies that share its weights, one for each part of a batch.

    Parameters
    ----------
    networks : list of torch.nn.Module
        The first one is the network that is trained.
    team : Team
        With a member for each network.
    """

    def __init__(self, networks, team):
        self.networks, self.team = networks, team

    def add_gradients(self, n, gradients):
        """Add the gradients of all parts of a batch to those of the network.

        Parameters
        ----------
        n : int
            Number of samples of the batch.
        gradients : callable
            Takes a network and a slice of the batch, adds gradients to those of the network, and
            returns a tensor.

        Returns
        -------
        total : tensor
            Sum of the tensors that `gradients` returned.
        """
        # All draw the random numbers of the whole batch; the first has the generators of the fit.
        draws = [current_draws(), *alike(len(self.networks) - 1)]

        def of_part(member):
            part = Part.of(n, member.number, len(self.networks))
            with drawing_from(draws[member.number]), computing(part, member):
                return gradients(self.networks[member.number], slice(part.first, part.last))

        for network in self.networks[1:]:
            network.zero_grad(set_to_none=True)
        values = self.team.run(of_part)
        first, *others = [
            [p.grad for p in network.parameters() if p.grad is not None]
            for network in self.networks
        ]
        for own in others:
            torch._foreach_add_(first, own)
        return torch.stack(values).sum(0)


@contextlib.contextmanager
def replicas(network, n, n_at_once):
    """Context manager with copies of a network in training mode.

    Parameters
    ----------
    network : torch.nn.Module
        On the CPU. Its weights may be changed in place only.
    n : int
        Number of parts of a batch.
    n_at_once : int
        Number of threads that compute at the same time.

    Yields
    ------
    copies : Replicas or None
        None if `n` is 1: the network computes whole batches.
    """
    if n == 1:
        yield None
        return
    networks = [network, *(_sharing(network) for _ in range(n - 1))]
    with Team(n, n_at_once) as team, contextlib.ExitStack() as stack:
        for own in networks:
            stack.enter_context(whole_batch_norm(own))
        yield Replicas(networks, team)


def _sharing(network):
    """A copy of a network with the same weights in memory, and gradients of its own."""
    other = copy.deepcopy(network)
    for own, weight in zip(other.parameters(), network.parameters(), strict=True):
        own.data = weight.data
    return other.train()
