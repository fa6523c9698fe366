"""Batch normalisation by the statistics of a batch whose parts are computed separately."""

import contextlib
import types

import torch
import torch.nn.functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from skwing._utils.parts import current_exchange


@contextlib.contextmanager
def whole_batch_norm(network):
    """Context manager in which a network in training normalises by the whole batch.

    Inside of :func:`skwing._utils.parts.computing`, the statistics are those of all parts of the
    batch. Weights and buffers of its layers stay where they are.
    """
    own = [module for module in network.modules() if _is_plain(module)]
    for layer in own:
        layer.forward = types.MethodType(_forward, layer)
    try:
        yield
    finally:
        for layer in own:
            del layer.forward


_SUMS = [False, True, True]


def _is_plain(module):
    # Not layers that communicate themselves, or that a user has changed.
    return isinstance(module, _BatchNorm) and type(module).forward is _BatchNorm.forward


def _forward(layer, values):
    exchange = current_exchange()
    if exchange is None or not layer.training:
        return _BatchNorm.forward(layer, values)
    layer._check_input_dim(values)
    n, mean, variance = _statistics(values, exchange)
    _keep_statistics(layer, n, mean, variance)
    return _Normalised.apply(
        values, layer.weight, layer.bias, n, mean, variance, layer.eps, exchange
    )


@torch.no_grad()
def _statistics(values, exchange):
    """Number of values of a channel in the whole batch, their means and variances."""
    n_own = values.numel() // values.shape[1]
    # In float32, because sums of bfloat16 would be rounded.
    mean, variance = torch.batch_norm_update_stats(values.float(), None, None, 0.0)
    own = torch.cat([mean.new_full((1,), n_own), mean, variance])
    numbers, rest = torch.stack(exchange.gathered(own)).split([1, len(own) - 1], 1)
    means, variances = rest.chunk(2, 1)
    n = numbers.sum()
    shares = numbers / n
    mean = (shares * means).sum(0)
    return n, mean, (shares * (variances + (means - mean).square())).sum(0)


@torch.no_grad()
def _keep_statistics(layer, n, mean, variance):
    """Update the running statistics of a layer as torch does."""
    if layer.running_mean is None:
        return
    layer.num_batches_tracked.add_(1)
    share = layer.momentum
    if share is None:
        share = 1.0 / float(layer.num_batches_tracked)
    unbiased = variance * (n / (n - 1))
    layer.running_mean.mul_(1 - share).add_(mean.to(layer.running_mean.dtype), alpha=share)
    layer.running_var.mul_(1 - share).add_(unbiased.to(layer.running_var.dtype), alpha=share)


class _Normalised(torch.autograd.Function):
    """Normalisation by given statistics, which depend on the values of all parts."""

    @staticmethod
    def forward(ctx, values, weight, bias, n, mean, variance, eps, exchange):
        ctx.save_for_backward(values, weight, n, mean, variance)
        ctx.eps, ctx.exchange = eps, exchange
        return F.batch_norm(values, mean, variance, weight, bias, False, 0.0, eps)

    @staticmethod
    def backward(ctx, gradient):
        values, weight, n, mean, variance = ctx.saved_tensors
        scale = torch.rsqrt(variance + ctx.eps)
        # With fixed statistics, the gradients of weight and bias are sums over the values.
        _, by_scale, by_shift = torch.ops.aten.native_batch_norm_backward(
            gradient, values, weight, mean, variance, mean, scale, False, ctx.eps, _SUMS
        )
        sums = ctx.exchange.added(torch.cat([by_scale.float(), by_shift.float()]))
        along, across = (sums / n).chunk(2)
        factor = scale if weight is None else scale * weight
        # What the statistics add is an affine function of the values of each channel.
        slope = -factor * scale * along
        offset = -factor * across - slope * mean
        none, one = torch.zeros_like(mean), torch.ones_like(mean)
        whole = F.batch_norm(values.float(), none, one, slope, offset, False, 0.0, 0.0)
        shape = (1, -1, *[1] * (values.ndim - 2))
        whole = whole.addcmul_(gradient.float(), factor.reshape(shape)).to(values.dtype)
        needed = [by_scale, by_shift] if weight is not None else [None, None]
        return whole, *needed, None, None, None, None, None
