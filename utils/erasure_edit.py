"""The closed-form edit of one convolution, after which its value no longer shifts with the targets.

The value u is affine in the weights. What is added to it is linear in the convolution's input h at the same place,
M (h - mean h), by adding M to the middle of the kernel. M minimises

    |S_u + M S_h|^2 / P  +  hold * |R_u + M R_h - R_w|^2 / P  +  ridge * E |u* - u - M (h - mean h)|^2

S are the targets' shifts at P positions (`erasure_plan.Contrast`), R the shifts that go with the kept outputs, w the
untouched network's value and u* the same without its S: so the edit takes the targets' shift out, the kept outputs'
shift stays, what earlier edits have disturbed is repaired on the way, and nothing else is moved more than needed.

A guard adds that the kept outputs may not move on some images: with g their gradient by the value, an image's outputs
move to first order by the sum over positions of g' M (h - mean h), which should make up for what earlier edits moved.

Of several targets each has a ridge of its own: the least is the ridge, and |S|^2 of each counts by the square root of
the least over its own.

With ridge -> 0 the shift vanishes (a least-squares eraser in the sense of Belrose et al. 2023, here for each position
at once and through the weights of the network itself); with ridge -> infinity what is left is the regression of u* on
the input, which takes out a part of the shift only.
"""

from dataclasses import dataclass

import torch

LEAST_SCALE = 0.02  # of a batch norm's mean scale: below it a channel is as good as off and left alone
FLOOR = 1e-6  # ridge on the inputs' covariance, in mean variances
SLACK = 1e-3  # of a guarded image's own sensitivity: how far the guard may give way
FEW = 64  # positions up to which all of a map's are used for the covariance


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

    def add(self, change, level):
        """Add `change` (C_out, C_in) @ input + `level` (C_out,) to the value, as far as the parameters can hold it."""
        gain = self.gain
        used = gain != 0
        inverse = torch.where(used, 1 / torch.where(used, gain, 1.0), 0.0)
        rows, columns = (size // 2 for size in self.conv.kernel_size)
        self.conv.weight[:, :, rows, columns] += inverse[:, None] * change
        if self.norm is not None and self.norm.bias is not None:
            self.norm.bias += used * level
        elif self.conv.bias is not None:
            self.conv.bias += inverse * level


@torch.no_grad()
def edit_site(
    edited, inputs, value, wanted, contrast, ridges, rerun, *, hold=0.0, repair=True, guard=None, allowed=None
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
        guard: (G, C_out, H, W) gradients of the kept outputs of the first G images by the value; None: no guard
        allowed: (C_out, C_in) bool, connections that may be edited; None: all
    Returns: the new value
    """
    inputs = inputs[:, :, :: edited.conv.stride[0], :: edited.conv.stride[1]]
    count = inputs.shape[2] * inputs.shape[3]
    mean = contrast.mean(inputs)
    sparse = 2 if count > FEW else 1  # every second row and column of a large map says the same about covariances
    here = inputs[:, :, ::sparse, ::sparse]
    rows = _rows(here) - mean
    weighted = rows * _repeated(contrast.weights, here)
    covariance = rows.T @ weighted
    ridge = min(ridges)
    urgent = torch.tensor([(ridge / one) ** 0.25 for one in ridges], device=mean.device)[:, None, None]
    shifts = contrast.shift(inputs)
    flat = _flat(shifts * urgent)  # (C_in, T * P)
    eye = torch.eye(len(covariance), device=covariance.device)
    left = flat @ flat.T / count + ridge * covariance + FLOOR * covariance.diagonal().mean() * eye
    right = -_flat(contrast.shift(value) * urgent) @ flat.T / count
    if repair:
        drift = _rows(wanted[:, :, ::sparse, ::sparse]) - _rows(value[:, :, ::sparse, ::sparse])
        right = right + ridge * (drift.T @ weighted - _explained(contrast, wanted, shifts) / count)
    if hold and len(contrast.held):
        held, missing = (_flat(contrast.shift(maps, held=True)) for maps in (inputs, wanted - value))
        left = left + hold * held @ held.T / count
        right = right + hold * missing @ held.T / count
    change = torch.linalg.solve_ex(left, right.T)[0].T
    if guard is not None:
        first, used = len(guard), (edited.gain != 0)[:, None]
        weights = contrast.weights[:first] / contrast.weights[:first].sum()
        answers = guard.flatten(2) * used * weights.sqrt()[:, None, None]
        moved = (answers * (wanted[:first] - value[:first]).flatten(2)).sum((1, 2))
        rows = answers @ (inputs[:first] - mean[:, None, None]).flatten(2).transpose(1, 2).float()
        change = change + _guarding(rows, moved, change, left)
    if allowed is not None:
        change = change * allowed.to(change.device)
    edited.add(change, -change @ mean)
    value = rerun()
    if repair:
        level = (contrast.mean(wanted) - contrast.mean(value)) * (edited.gain != 0)
        edited.add(torch.zeros_like(change), level)
        value = value + level[:, None, None].to(value.dtype)
    return value


def _guarding(rows, wanted, change, left):
    """(C_out, C_in) to add to a change so that rows (G, C_out, C_in) times it gives `wanted` (G,), moving it least."""
    spread = rows @ torch.linalg.inv_ex(left)[0]
    gram = spread.flatten(1) @ rows.flatten(1).T
    slack = (SLACK * gram.diagonal().mean() + 1e-30) * torch.eye(len(gram), device=gram.device)
    missing = wanted - rows.flatten(1) @ change.flatten()
    return torch.einsum("g,goc->oc", torch.linalg.solve_ex(gram + slack, missing)[0], spread)


def _explained(contrast, wanted, shifts):
    """(C_out, C_in): the part of the covariance of the wanted value and the input that goes with the targets."""
    return torch.einsum("st,scp,tdp->cd", contrast.gram, contrast.shift(wanted), shifts)


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
