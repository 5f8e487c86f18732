"""Stitching: the low stages of a network, a linear map, and the original's own remaining stages and head.

The map is fitted without labels, so what it finds is there in a form that the original's code reads. Nobody who has the
original needs this attack; it measures what is left.
"""

from functools import partial

import torch
import torch.nn.functional as F

from models.heads import get_heads
from utils.attacks.passes import hooked
from utils.network.modes import evaluating, exact_float32
from utils.probes.attack import Attack
from utils.probes.features import channel_axis
from utils.probes.fitting import rarer_class

RIDGE = 1e-3  # of the map, in mean variances of a channel
CHUNK = 256  # images whose maps are float32 at a time


def run(subject):
    """Scores of the test images by the original's head, stitched behind each spatial stage of the subject.

    Args: subject: `utils.probes.attack.Subject`
    Returns: {stage: (M,) logits}; {} without an original that has a head for the target, or where the training images
        lack a class: the attacks that need labels have no answer then, and this one shall not stand for them
    """
    setup, original = subject.setup, subject.original
    heads = () if original is None else get_heads(original.model).attributes
    if setup.target not in heads or not rarer_class(setup.y_train):
        return {}
    maps = {
        stage: fit_map(own, original.train.maps[stage], setup.device)
        for stage, own in subject.train.maps.items()
        if stage in original.train.maps
    }
    return _stitched_scores(subject.model, original.model, maps, setup)


STITCHING = Attack("stitching", run, costly=True)


@exact_float32()
def fit_map(own, theirs, device="cpu"):
    """The ridge 1 x 1 convolution from the maps of one network to another's of the same images, in closed form.

    A 1 x 1 convolution and an average over positions can change places, so averaged maps do as well as whole ones.

    Args: own (N, C, h, w), theirs (N, D, h, w): of any floating type, on the CPU
    Returns: weight (D, C, 1, 1) and bias (D,), float32 on the device
    """
    sums, count = None, 0
    for parts in zip(own.split(CHUNK), theirs.split(CHUNK), strict=True):
        x, y = (part.to(device, torch.float32).movedim(1, -1).flatten(0, -2) for part in parts)  # (positions, channels)
        if sums is None:  # of the positions' values, less those of the first images: small means keep the digits
            shift_x, shift_y = x.mean(0), y.mean(0)
            sums = [torch.zeros((), dtype=torch.float64, device=device)] * 4
        x, y, count = x - shift_x, y - shift_y, count + len(x)
        sums = [total + new.double() for total, new in zip(sums, (x.sum(0), y.sum(0), x.T @ x, x.T @ y), strict=True)]
    mean_x, mean_y, square, product = (total / count for total in sums)
    square, product = square - torch.outer(mean_x, mean_x), product - torch.outer(mean_x, mean_y)
    ridge = RIDGE * square.diagonal().mean().clamp(min=1e-12)  # a stage without any spread gets a map of zeros
    square.diagonal().add_(ridge)
    weight = torch.linalg.solve(square, product).T  # (D, C)
    bias = mean_y + shift_y - weight @ (mean_x + shift_x)
    return weight.float()[:, :, None, None], bias.float()


@exact_float32()
@torch.no_grad()
def _stitched_scores(model, original, maps, setup):
    """{stage: (M,) logits of the original's target head} on the test images behind {stage: (weight, bias)}."""
    column, scores = get_heads(original).index(setup.target), {stage: [] for stage in maps}
    side, mapped = setup.data.img_size, {}
    blank = torch.zeros(1, 3, side, side, device=setup.device)  # so nothing comes round the stage from the original

    def keep_mapped(stage, module, inputs, output):
        mapped[stage] = F.conv2d(output.float().movedim(channel_axis(output), 1), *maps[stage])

    def give_mapped(stage, module, inputs, output):
        return mapped.pop(stage).movedim(1, channel_axis(output))

    hooks = {stage: partial(keep_mapped, stage) for stage in maps}
    with evaluating(model), evaluating(original):
        joined = {stage for stage in maps if _is_joined(original, stage, blank)}
        for images, _ in setup.data.batches(setup.test, setup.batch_size, setup.device):
            with hooked(model, hooks):
                model(images)
            for stage in maps:
                blanks = blank.expand(len(images), -1, -1, -1) if stage in joined else blank
                with hooked(original, {stage: partial(give_mapped, stage)}):
                    scores[stage].append(original(blanks)[:, column].float())
    return {stage: torch.cat(parts).cpu().numpy() for stage, parts in scores.items()}


def _is_joined(original, stage, blank):
    """Whether a stage's values are joined with others of the images, so that those must be as many: they cost time."""
    try:
        with hooked(original, {stage: lambda module, inputs, output: torch.cat([output, output])}):
            original(blank)
    except RuntimeError:
        return True
    return False
