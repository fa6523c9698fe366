"""Networks of one kind that are computed in one pass, each with its own weights.

A GPU computes one operation on stacked weights in less time than the same operation on each of
them. :func:`torch.func.vmap` makes such operations of the code of a network.
"""

import contextlib
import types

import torch
import torch.nn.functional as F
from torch.func import functional_call, vmap
from torch.nn.modules.batchnorm import _BatchNorm

from skwing._training.loop import autocast, batch_loss


class Stacked:
    """Networks of one kind, whose weights and buffers become slices of stacked tensors.

    The networks remain usable: what changes their weights changes those of the stack.

    Parameters
    ----------
    networks : sequence of torch.nn.Module
        Modified in place. Their code must be the same, and independent of their weights.

    Examples
    --------
    >>> import torch
    >>> from skwing._training.stacked import Stacked
    >>> networks = [torch.nn.Linear(3, 2) for _ in range(4)]
    >>> stacked, values = Stacked(networks), torch.rand(5, 3)
    >>> stacked(values).shape
    torch.Size([4, 5, 2])
    >>> torch.allclose(stacked(values)[1], networks[1](values))
    True
    """

    def __init__(self, networks):
        self.networks = list(networks)
        self._parameters, self._buffers = {}, {}
        for name, parameter in self.networks[0].named_parameters():
            own = [network.get_parameter(name) for network in self.networks]
            whole = torch.stack([each.detach() for each in own])
            for each, part in zip(own, whole, strict=True):
                each.data = part
            self._parameters[name] = whole.requires_grad_(parameter.requires_grad)
        for name, _ in self.networks[0].named_buffers():
            whole = torch.stack([network.get_buffer(name) for network in self.networks])
            for network, part in zip(self.networks, whole, strict=True):
                owner, _, leaf = name.rpartition(".")
                network.get_submodule(owner)._buffers[leaf] = part
            self._buffers[name] = whole

    def __call__(self, *inputs):
        """Outputs of all networks for the same inputs, of shape (n_networks, ...).

        Random numbers are drawn once, and are those that each network alone would draw.
        """
        network = self.networks[0]

        def run(parameters, buffers):
            return functional_call(network, (parameters, buffers), inputs)

        with _joint_norms(network):
            return vmap(run, randomness="same")(self._parameters, self._buffers)

    def clear_gradients(self):
        """Delete the gradients of all weights."""
        for whole in self._parameters.values():
            whole.grad = None

    def share_gradients(self):
        """Give each network its gradients."""
        for name, whole in self._parameters.items():
            parts = [None] * len(self.networks) if whole.grad is None else whole.grad
            for network, part in zip(self.networks, parts, strict=True):
                network.get_parameter(name).grad = part


class JointStep:
    """A training step of several networks on one batch.

    It is called with targets, weights and the inputs of the networks, and returns their losses
    before the step, of shape (n_networks,).

    Parameters
    ----------
    stacked : Stacked
    losses : list of callable
        The loss of each network.
    optimizers : list of torch.optim.Optimizer
        The optimiser of each network.
    mixed : bool, default=False
        Whether to use bfloat16.
    """

    def __init__(self, stacked, losses, optimizers, mixed=False):
        self.stacked, self.losses, self.optimizers = stacked, losses, optimizers
        self.mixed = mixed

    def __call__(self, targets, weights, *inputs):
        """Run the step."""
        self.stacked.clear_gradients()
        with autocast(targets.device, self.mixed):
            points = self.stacked(*inputs)
        values = [
            batch_loss(own, targets, weights, loss)
            for own, loss in zip(points.float(), self.losses, strict=True)
        ]
        values = torch.stack(values)
        values.sum().backward()  # no network has a gradient in the loss of another one
        self.stacked.share_gradients()
        for optimizer in self.optimizers:
            optimizer.step()
        return values.detach()


@contextlib.contextmanager
def _joint_norms(network):
    """Context manager in which batch normalisation is one operation for all networks.

    That of vmap does not accept bfloat16 with statistics of float32 on a GPU.
    """
    own = [m for m in network.modules() if isinstance(m, _BatchNorm) and _is_plain(m)]
    for layer in own:
        layer.forward = types.MethodType(_normalised, layer)
    try:
        yield
    finally:
        for layer in own:
            del layer.forward


def _is_plain(layer):
    return layer.training and layer.affine and layer.track_running_stats and layer.momentum


def _normalised(layer, values):
    layer.num_batches_tracked.add_(1)
    return _JointNorm.apply(
        values,
        layer.running_mean,
        layer.running_var,
        layer.weight,
        layer.bias,
        layer.momentum,
        layer.eps,
    )


class _JointNorm(torch.autograd.Function):
    """Batch normalisation of several networks, as that of one with all their channels."""

    @staticmethod
    def forward(values, mean, variance, weight, bias, momentum, eps):
        return F.batch_norm(values, mean, variance, weight, bias, True, momentum, eps)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass  # only `vmap` is differentiated, by its own operations

    @staticmethod
    def vmap(info, in_dims, values, mean, variance, weight, bias, momentum, eps):
        n = info.batch_size
        if in_dims[0] is None:  # the same for all networks
            values = values.unsqueeze(1).expand(-1, n, *values.shape[1:])
        else:
            values = values.movedim(in_dims[0], 1)
        states = (mean.flatten(), variance.flatten())  # views, which are updated in place
        whole = F.batch_norm(
            values.flatten(1, 2), *states, weight.flatten(), bias.flatten(), True, momentum, eps
        )
        return whole.unflatten(1, (n, -1)), 1
