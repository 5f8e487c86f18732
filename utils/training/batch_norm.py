"""Batch norms whose statistics are those of the whole batch, whichever process holds its images.

With statistics of its own part each process would train another network than one process does on the same batch.
PyTorch has such a layer for GPUs only; this one serves the CPU.
"""

import torch
import torch.nn.functional as F
from torch import nn
from torch.autograd import Function

from utils.common import distributed


def share_batch_norms(model, device):
    """Let the batch norms of a network share their statistics among the processes while they train, in place.

    Parameters, buffers and their names stay, and what the network computes in eval mode.
    Args: device: torch.device of the network
    """
    if device.type == "cuda":
        nn.SyncBatchNorm.convert_sync_batchnorm(model)
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            module.__class__ = SharedBatchNorm


class SharedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """A batch norm that trains on the statistics of all processes together, each of which has an image at least."""

    @torch.compiler.disable
    def forward(self, values):
        """Normalise (N, C, …), N of this process; in training the running statistics move on."""
        if not self.training:
            return super().forward(values)
        output, mean, variance, count = _SharedNorm.apply(values, self.weight, self.bias, self.eps)
        if self.running_mean is not None:
            self.num_batches_tracked += 1
            step = 1 / int(self.num_batches_tracked) if self.momentum is None else self.momentum
            with torch.no_grad():
                self.running_mean.lerp_(mean, step)
                self.running_var.lerp_(variance * (count / (count - 1)), step)
        return output

    def _check_input_dim(self, values):
        pass


class _SharedNorm(Function):
    """(values - mean) / sqrt(variance + eps) * weight + bias, mean and variance over the values of all processes."""

    @staticmethod
    def forward(ctx, values, weight, bias, eps):
        # PyTorch's own pass, many times faster than var_mean; float32 running statistics, not moved, make it exact
        running = values.new_zeros(2, values.shape[1], dtype=torch.float32)
        mean, variance = (part.double() for part in torch.batch_norm_update_stats(values, *running, 0.0))
        own = values.numel() // values.shape[1]
        sums = torch.cat([own * mean, own * (variance + mean.square()), mean.new_tensor([own])])
        *moments, count = distributed.reduce_sum(sums).split([len(mean), len(mean), 1])
        mean = moments[0] / count
        variance = (moments[1] / count - mean.square()).clamp_min(0)  # in float64 the difference loses nothing
        mean, variance, count = mean.float(), variance.float(), count.item()
        if count < 2:
            raise ValueError("a batch norm needs more than one value of each channel to train on")
        ctx.save_for_backward(values, weight, mean, (variance + eps).rsqrt())
        ctx.eps, ctx.count = eps, count
        ctx.mark_non_differentiable(mean, variance)
        return F.batch_norm(values, mean, variance, weight, bias, False, 0.0, eps), mean, variance, count

    @staticmethod
    def backward(ctx, gradient, *_):
        values, weight, mean, scale = ctx.saved_tensors
        given = gradient.contiguous(memory_format=_layout(values)), values, weight, None, None, mean, scale, True
        _, of_weight, of_bias = torch.ops.aten.native_batch_norm_backward(*given, ctx.eps, [False, True, True])
        by_value, by_one = (distributed.reduce_sum(torch.stack([of_weight, of_bias]).double()) / ctx.count).float()
        gain = scale if weight is None else scale * weight
        slope, shape = -gain * scale * by_value, [1, -1] + [1] * (values.dim() - 2)
        constant = -gain * by_one - slope * mean
        of_values = torch.addcmul(constant.view(shape), values, slope.view(shape)).addcmul_(given[0], gain.view(shape))
        of_values = of_values.to(values.dtype)
        return of_values, None if weight is None else of_weight, None if weight is None else of_bias, None


def _layout(values):
    nhwc = values.dim() == 4 and values.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if nhwc else torch.contiguous_format
