"""The closed-form edit of one convolution, after which its value no longer shifts with the targets.

The value u is affine in the weights. What is added to it is linear in what the convolution reads: M (h - mean h). h is
the input at the same place, and M is added to the middle of the kernel; where a kernel's inputs are few (MOST_INPUTS),
h is the whole patch: more inputs tell the shift apart from the rest better, so less else is moved. M minimises

    |S_u + M S_h|^2 / P  +  kept_weight * |R_u + M R_h - R_ref|^2 / P  +  ridge * E |u' - u - M (h - mean h)|^2_G

S are the targets' shifts at P positions (`utils.erasure.samples.ConditionalShift`), R those of the kept outputs, ref
the value of the untouched network and u' the same without its S: so the edit takes the targets' shift out, the kept
outputs' shift stays, what earlier edits have disturbed is repaired on the way, and nothing else is moved more than
needed. By the curvature G (`utils.erasure.reference_activations.output_curvature`) the shift is taken out where that
changes the kept outputs least. Where no bias can hold M mean h, as within DenseNet's blocks, M h is added, and mean h
counts as 0.

Before the last stage, where an activation alone reads the value, S_u is the shift *behind* it, in units of the value
(`_shift_behind`): a ReLU shifts with a target, too, if only the spread of what it reads does. In the last stage what is
in front counts: a short training on kept labels would bring it back.

With ridge -> 0 the shift vanishes (a least-squares eraser in the sense of LEACE, Belrose et al. 2023, here for each
position at once and through the weights of the network itself); with ridge -> infinity what is left is the regression
of u' on the input, which takes out a part of the shift only. M is of low rank (`solve_edit`).
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from utils.erasure.samples import parts_of
from utils.erasure.solving import solve_edit

LEAST_GAIN = 0.02  # of a batch norm's mean gain: below it a channel is as good as off and left alone
COVARIANCE_RIDGE = 1e-6  # on the inputs' covariance, in mean variances
ENOUGH = 2  # rows for each input: where there are fewer, the covariance gets a ridge of its own
FEW_POSITIONS = 64  # of a map that are used for the covariance, at least
MOST_INPUTS = 1152  # of a patch, up to which the full kernel is edited
ALL = 2**40  # images
PATCH_ROWS = 8192  # patches that are taken for the covariance, of the first images
SLOPE_IMAGES = 256  # the first images, that tell how much of a change an activation lets through
SLOPE_STEP = 0.01  # of the value's spread: the change it is told by
LEAST_SLOPE = 0.1  # of a channel that hardly passes: below it an edit would be all too large


def edits_full_kernel(conv):
    """Whether an edit of this convolution reads the whole patch, padded with zeros, not its middle alone."""
    size = conv.kernel_size[0] * conv.kernel_size[1]
    return size > 1 and conv.padding_mode == "zeros" and conv.weight[0].numel() <= MOST_INPUTS


@dataclass(frozen=True)
class EditedConvolution:
    """The parameters of a site, and what its edit reads: D inputs a position.

    conv: module; norm: its batch norm in eval mode, None if it has none
    """

    conv: torch.nn.Module
    norm: torch.nn.Module | None = None

    @property
    def gain(self):
        """(C_out,) change of the value for a unit change of the convolution's output; 0 for channels left alone."""
        if self.norm is None:
            return torch.ones(self.conv.out_channels, device=self.conv.weight.device)
        deviation = (self.norm.running_var + self.norm.eps).sqrt()
        gain = self.norm.weight / deviation if self.norm.weight is not None else 1 / deviation
        return torch.where(gain.abs() > LEAST_GAIN * gain.abs().mean(), gain, 0.0)

    @property
    def holds_constant(self):
        """Whether a constant can be added to the value: not without a bias, as within DenseNet's blocks."""
        return self.conv.bias is not None or (self.norm is not None and self.norm.bias is not None)

    def read(self, maps, step=1):
        """What the edit reads at each position of the output, or at every step-th row and column.

        Args: maps: (N, C_in, H', W')
        Returns: (N, D, H, W): D is C_in, or C_in * kernel of whole patches in float32
        """
        strides = [stride * step for stride in self.conv.stride]
        if not edits_full_kernel(self.conv):
            return maps[:, :, :: strides[0], :: strides[1]]
        patches = F.unfold(maps.float(), self.conv.kernel_size, self.conv.dilation, self.conv.padding, strides)
        height, width = (-(-size // stride) for size, stride in zip(maps.shape[2:], strides, strict=True))
        return patches.view(len(maps), -1, height, width)

    def add_linear(self, change):
        """Add `change` (C_out, D) @ inputs to the value, in place."""
        change = _inverse(self.gain)[:, None] * change
        if edits_full_kernel(self.conv):
            self.conv.weight += change.view_as(self.conv.weight)
        else:
            row, column = (size // 2 for size in self.conv.kernel_size)
            self.conv.weight[:, :, row, column] += change

    def add_constant(self, constant):
        """Add `constant` (C_out,) to the value, in place, if the parameters can hold it."""
        gain = self.gain
        if self.norm is not None and self.norm.bias is not None:
            self.norm.bias += (gain != 0) * constant
        elif self.conv.bias is not None:
            self.conv.bias += _inverse(gain) * constant


@torch.no_grad()
def edit_site(
    edited, inputs, value, reference, shift, ridge, rerun, *, activate=None, kept_weight=0.0, curvature=None, rank=None
):
    """Take the targets' shift out of a value by editing its convolution, in place.

    Args:
        edited: `EditedConvolution`; shift: `ConditionalShift` of the N images
        inputs: (N, C_in, H', W') of the convolution; value: (N, C_out, H, W) as it is, gets the new value
        reference: `utils.erasure.reference_activations.RecordedValue` of the untouched network on the same images
        ridge: weight of leaving things as they are against the targets' shift; see the module's text
        rerun: function of a slice of the images that gives their value with the edited weights
        activate: function of values (n, C_out, H, W) that gives what their activation makes of them; None: the value
            is read as it is
        kept_weight: weight of keeping the kept outputs' shifts as the untouched network has them
        curvature: (C_out, C_out) G of the module's text, with a mean diagonal of 1; None: the identity
        rank: highest rank of the change; None: any
    Returns: the new value
    Raises: torch.linalg.LinAlgError if the equation has no solution, as where numbers are not finite
    """
    mean, covariance, drift = _measure_inputs(edited, inputs, value, reference, shift, ridge)
    goal = shift.of_targets(value) if activate is None else _shift_behind(value, shift, activate)
    gram, right, explained = _target_terms(edited, inputs, goal, reference, shift)
    drift = drift - explained
    right = right + ridge * (drift if curvature is None else curvature @ drift)
    if kept_weight and len(shift.kept_readout):
        kept_gram, kept_right = _kept_terms(edited, inputs, value, reference, shift)
        gram, right = gram + kept_weight * kept_gram, right + kept_weight * kept_right
    change = solve_edit(gram, covariance, right, ridge, curvature, rank)
    edited.add_linear(change)
    edited.add_constant(-change @ mean)
    for part in parts_of(len(value)):  # all at once, the path's other values would be as large again
        value[part] = rerun(part)
    return _restore_mean(edited, value, reference, shift)


def sampled_places(conv, value):
    """Where the covariances of a value (n, C, H, W) are measured, for they need few of a large map's positions.

    Returns: (the first so many images, every so many-th row and column)
    """
    step = max(1, round((_positions(value) / FEW_POSITIONS) ** 0.5))
    positions = _positions(value[:1, :1, ::step, ::step])
    return (-(-PATCH_ROWS // positions) if edits_full_kernel(conv) else ALL), step


def _measure_inputs(edited, inputs, value, reference, shift, ridge):
    """Mean (D,) and covariance (D, D) of the inputs, and the covariance (C_out, D) of reference - value with them.

    Where no constant can be added to the value, an edit moves its mean, too: then the mean counts as 0, and second
    moments stand for covariances, so that what moves the mean costs as much as what moves the rest.
    """
    images, step = sampled_places(edited.conv, value)
    images = slice(images)
    mean = edited.read(shift.mean_map(inputs)[None]).mean((0, 2, 3)) * edited.holds_constant
    sampled = edited.read(inputs[images], step)
    rows = _rows(sampled) - mean
    weights = shift.weights[images] / shift.weights[images].sum()
    weighted = rows * (weights / _positions(sampled)).repeat_interleave(_positions(sampled))[:, None]
    covariance = rows.T @ weighted
    # of few rows a covariance knows too little: some combinations of inputs would seem to cost nothing
    missing = max(0.0, len(mean) / min(len(rows), shift.images * _positions(value)) - 1 / ENOUGH)
    covariance.diagonal().add_((COVARIANCE_RIDGE * (10 + 1 / ridge) + missing) * covariance.diagonal().mean())
    drift = _rows(reference.sampled) - _rows(value[images, :, ::step, ::step])
    return mean, covariance, drift.T @ weighted


def _shift_behind(value, shift, activate):
    """The shift (T, C, H, W) that a value would have to lose so that its activation shifts with no target any more.

    That is the activation's shift over its slope: how much of a small shift of the value a channel lets through.
    """
    own, first = slice(SLOPE_IMAGES), value[:SLOPE_IMAGES]
    step = SLOPE_STEP * first.float().std() + 1e-12
    parts = (first[part].float() for part in parts_of(len(first)))
    slopes = torch.cat([(activate(maps + step) - activate(maps)).mean((2, 3)) / step for maps in parts])  # (n, C)
    weights = shift.readout[:, own].square() / shift.weights[own]  # (T, n): residual labels, squared
    slope = (weights @ slopes / weights.sum(1, keepdim=True)).clamp_min(LEAST_SLOPE)
    return shift.of_targets(value, activate) / slope[:, :, None, None]


def _target_terms(edited, inputs, goal, reference, shift):
    """The targets' part of the equation: (D, D) Gram matrix of the inputs' shifts, (C_out, D) right-hand side.

    And (C_out, D), the part of the covariance of the reference with the inputs that goes with the targets.
    Args: goal: (T, C_out, H, W) shift that is to go
    """
    count, shifts = _positions(goal), edited.read(shift.of_targets(inputs)).flatten(2)  # (T, D, P)
    flat = _flatten_shifts(shifts)
    right = -_flatten_shifts(goal.flatten(2)) @ flat.T / count
    of_reference = shift.on_moments.of_targets(reference.moments)
    explained = torch.einsum("st,scp,tdp->cd", shift.gram, of_reference.flatten(2), shifts) / count
    return flat @ flat.T / count, right, explained


def _kept_terms(edited, inputs, value, reference, shift):
    """The kept outputs' part of the equation: (D, D) and (C_out, D) as of `_target_terms`."""
    flat = _flatten_shifts(edited.read(shift.of_kept(inputs)).flatten(2))
    of_reference = shift.on_moments.of_kept(reference.moments)
    missing = _flatten_shifts((of_reference - shift.of_kept(value)).flatten(2))
    return flat @ flat.T / _positions(value), missing @ flat.T / _positions(value)


def _restore_mean(edited, value, reference, shift):
    """Give a value the reference's mean of each channel, in place and in the parameters; returns the value.

    A value whose parameters hold no constant stays as it is.
    """
    if not edited.holds_constant:
        return value
    constant = (shift.on_moments.mean(reference.moments) - shift.mean(value)) * (edited.gain != 0)
    edited.add_constant(constant)
    return value.add_(constant[:, None, None].to(value.dtype))


def _inverse(gain):
    """1 / gain, 0 where it is 0."""
    return torch.where(gain != 0, 1 / torch.where(gain != 0, gain, 1.0), 0.0)


def _positions(maps):
    """How many positions maps (N, C, H, W) have."""
    return maps.shape[2] * maps.shape[3]


def _flatten_shifts(shifts):
    """(T, C, P) to (C, T * P)."""
    return shifts.transpose(0, 1).flatten(1)


def _rows(maps):
    """(N, C, H, W) to (N * H * W, C) float32."""
    return maps.permute(0, 2, 3, 1).flatten(0, 2).float()
