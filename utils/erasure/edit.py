"""The closed-form edit of one convolution, after which its value no longer shifts with the targets.

The value u is affine in the weights. What is added to it is linear in what the convolution reads: M (h - mean h). h is
the input at the same place, and M is added to the middle of the kernel; where a kernel's inputs are few (WIDEST), h is
the whole patch: more inputs tell the shift apart from the rest better, so less else is moved. M minimises

    |S_u + M S_h|^2 / P  +  hold * |R_u + M R_h - R_w|^2 / P  +  ridge * E |u* - u - M (h - mean h)|^2_G

S are the targets' shifts at P positions (`erasure_plan.Contrast`), R the shifts that go with the kept outputs, w the
untouched network's value and u* the same without its S: so the edit takes the targets' shift out, the kept outputs'
shift stays, what earlier edits have disturbed is repaired on the way, and nothing else is moved more than needed. By G,
how much the kept outputs mind a change (`erasure_notes.output_curvature`), the shift is taken out where it disturbs
them least.

Of several targets each has a ridge of its own: the least is the ridge, and |S|^2 of each counts by the square root of
the least over its own.

With ridge -> 0 the shift vanishes (a least-squares eraser in the sense of Belrose et al. 2023, here for each position
at once and through the weights of the network itself); with ridge -> infinity what is left is the regression of u* on
the input, which takes out a part of the shift only. M is of low rank (`erasure_solve`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from utils.erasure.solve import solve_edit

LEAST_SCALE = 0.02  # of a batch norm's mean scale: below it a channel is as good as off and left alone
FLOOR = 1e-6  # ridge on the inputs' covariance, in mean variances
FEW = 64  # positions of a map that are used for the covariance, at least
WIDEST = 576  # inputs of a patch up to which the whole kernel is edited
IMAGES = 512  # of which patches are taken for the covariance


@dataclass(frozen=True)
class Edited:
    """Parameters of a site.

    conv: module; norm: its batch norm, None if it has none
    """

    conv: torch.nn.Module
    norm: torch.nn.Module | None = None

    @property
    def gain(self):
        """(C,) change of the value for a unit change of the convolution's output; 0 for channels left alone."""
        if self.norm is None:
            return torch.ones(self.conv.out_channels, device=self.conv.weight.device)
        spread = (self.norm.running_var + self.norm.eps).sqrt()
        gain = self.norm.weight / spread if self.norm.weight is not None else 1 / spread
        return torch.where(gain.abs() > LEAST_SCALE * gain.abs().mean(), gain, 0.0)

    def add(self, change):
        """Add `change` (C_out, C_in, taps) @ input to the value; taps: 1 for the middle of the kernel, or all."""
        change = _inverse(self.gain)[:, None, None] * change
        if change.shape[2] == 1:
            rows, columns = (size // 2 for size in self.conv.kernel_size)
            self.conv.weight[:, :, rows, columns] += change[:, :, 0]
        else:
            self.conv.weight += change.view_as(self.conv.weight)

    def shift(self, level):
        """Add `level` (C_out,) to the value, as far as the parameters can hold it."""
        gain = self.gain
        if self.norm is not None and self.norm.bias is not None:
            self.norm.bias += (gain != 0) * level
        elif self.conv.bias is not None:
            self.conv.bias += _inverse(gain) * level


def takes_whole_kernel(conv):
    """Whether an edit of this convolution reads the whole patch, padded with zeros, not its middle alone."""
    size = conv.kernel_size[0] * conv.kernel_size[1]
    return size > 1 and conv.padding_mode == "zeros" and conv.weight[0].numel() <= WIDEST


@torch.no_grad()
def edit_site(
    edited,
    inputs,
    value,
    wanted,
    contrast,
    ridges,
    rerun,
    *,
    hold=0.0,
    repair=True,
    curvature=None,
    rank=None,
    allowed=None,
):
    """Take the targets' shift out of a value by editing its convolution, in place.

    Args:
        edited: `Edited`
        inputs: (N, C_in, H', W') of the convolution; value: (N, C_out, H, W) as it is
        wanted: (N, C_out, H, W) value of the untouched network on the same images
        ridges: (T,) weight of leaving things as they are against each target's shift; see the module's text
        rerun: function that computes the value anew with the edited weights
        hold: weight of keeping the kept outputs' shifts as the untouched network has them
        repair: also undo what earlier edits have disturbed
        curvature: (C_out, C_out) G of the module's text, with a mean diagonal of 1; None: the identity
        rank: highest rank of the change; None: any
        allowed: (C_out, C_in) bool, connections that may be edited; None: all
    Returns: the new value
    """
    conv, count = edited.conv, value.shape[2] * value.shape[3]
    whole = takes_whole_kernel(conv)
    step = max(1, round((count / FEW) ** 0.5))  # a large map's every second row and column say the same of covariances
    some = slice(min(IMAGES, len(inputs)) if whole else None)

    def read(maps, step=1):
        return _read(maps, conv, whole, step)

    def shift(maps, held=False):
        return read(contrast.shift(maps, held)).flatten(2)

    mean = read(contrast.mean_map(inputs)[None]).mean((0, 2, 3))
    here = read(inputs[some], step)
    rows = _rows(here) - mean
    weighted = rows * _repeated(contrast.weights[some] / contrast.weights[some].sum(), here)
    ridge = min(ridges)
    urgent = torch.tensor([(ridge / one) ** 0.25 for one in ridges], device=mean.device)[:, None, None]
    shifts = shift(inputs)
    flat = _flat(shifts * urgent)  # (inputs, T * P)
    covariance = rows.T @ weighted
    floor = FLOOR * (10 + 1 / ridge) * covariance.diagonal().mean()
    covariance.diagonal().add_(floor)
    pull, right = flat @ flat.T / count, -_flat(contrast.shift(value).flatten(2) * urgent) @ flat.T / count
    if repair:
        drift = _rows(wanted[some, :, ::step, ::step]) - _rows(value[some, :, ::step, ::step])
        missed = drift.T @ weighted - _explained(contrast, wanted, shifts) / count
        right = right + ridge * (missed if curvature is None else curvature @ missed)
    if hold and len(contrast.held):
        held, missing = _flat(shift(inputs, held=True)), _flat(contrast.shift(wanted - value, held=True).flatten(2))
        pull = pull + hold * held @ held.T / count
        right = right + hold * missing @ held.T / count
    change = solve_edit(pull, covariance, right, ridge, curvature, rank)
    change = change.view(len(change), conv.in_channels, -1)
    if allowed is not None:
        change = change * allowed.to(change.device)[:, :, None]
    edited.add(change)
    edited.shift(-change.flatten(1) @ mean)
    value = rerun()
    if repair:
        level = (contrast.mean(wanted) - contrast.mean(value)) * (edited.gain != 0)
        edited.shift(level)
        value = value + level[:, None, None].to(value.dtype)
    return value


def _read(maps, conv, whole, step):
    """What an edit of a convolution reads at each position of its output, or at every step-th row and column.

    Args: maps (N, C_in, H', W')
    Returns: (N, C_in, H, W), or (N, C_in * kernel, H, W) float32 of whole patches
    """
    if not whole:
        return maps[:, :, :: conv.stride[0] * step, :: conv.stride[1] * step]
    strides = [stride * step for stride in conv.stride]
    patches = F.unfold(maps.float(), conv.kernel_size, conv.dilation, conv.padding, strides)
    height, width = (-(-size // stride) for size, stride in zip(maps.shape[2:], strides, strict=True))
    return patches.view(len(maps), -1, height, width)


def _explained(contrast, wanted, shifts):
    """(C_out, inputs): the part of the covariance of the wanted value and the input that goes with the targets."""
    return torch.einsum("st,scp,tdp->cd", contrast.gram, contrast.shift(wanted).flatten(2), shifts)


def _inverse(gain):
    """1 / gain, 0 where it is 0."""
    return torch.where(gain != 0, 1 / torch.where(gain != 0, gain, 1.0), 0.0)


def _flat(shifts):
    """(T, C, P) to (C, T * P)."""
    return shifts.transpose(0, 1).flatten(1)


def _rows(maps):
    """(N, C, H, W) to (N * H * W, C) float32."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2).float()


def _repeated(weights, maps):
    """(N * H * W, 1) weights of the rows of maps (N, C, H, W), with sum 1."""
    count = maps.shape[2] * maps.shape[3]
    return (weights / count).repeat_interleave(count)[:, None]
