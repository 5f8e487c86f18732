"""What an untouched network says of the images that an erasure learns from: what its edits are held against."""

from dataclasses import dataclass

import torch

from utils.erasure.samples import chosen_batches
from utils.erasure.sites import Runner, pooled

CHUNK = 128  # images a pass
SHARE_EVEN = 0.2  # of the curvature: what treats all directions alike
_SIGNS = 7  # added to the seed of the random signs


@dataclass
class Notes:
    """What the untouched network said.

    logits: (N, K); values: {convolution: (N, C, H, W) value of its site}
    pooled: {convolution: (N, C) pooled values behind the activation}; begin: {node: value} where the first edit begins
    """

    logits: torch.Tensor
    values: dict
    pooled: dict
    begin: dict


def take_notes(model, plan, data, choice, device, amp, images=None, only_pooled=False):
    """Run a network over the chosen images (the first `images` of them) and keep what erasure needs.

    Args: plan: `utils.erasure.sites.Plan` of the model; only_pooled: leave `values` and `begin` empty
    Returns: Notes
    """
    runner = Runner(model, plan.graph, amp)
    values = {site.value: site.conv for site in plan.sites}
    seen = {site.seen: site.conv for site in plan.sites}
    kept = {"logits": [], "values": {}, "pooled": {}, "begin": {}}

    def visit(node, output, _):
        if node in seen:
            kept["pooled"].setdefault(seen[node], []).append(pooled(output))
        if node in values and not only_pooled:  # a copy: the activation behind it may work in place
            kept["values"].setdefault(values[node], []).append(output.clone())
        return output

    count = len(choice.rows) if images is None else min(images, len(choice.rows))
    for part, batch in chosen_batches(data, choice, CHUNK, device):
        if part.start >= count:
            break
        begin = runner.run({runner.placeholder: batch}, stop=plan.first)
        if not only_pooled:
            for node, value in begin.items():
                kept["begin"].setdefault(node, []).append(value.clone())
        kept["logits"].append(runner.run(begin, start=plan.first, visit=visit)[runner.output].float())
    joined = {
        name: {key: torch.cat(parts) for key, parts in kept[name].items()} for name in ("values", "pooled", "begin")
    }
    return Notes(torch.cat(kept["logits"]), **joined)


def map_sizes(notes):
    """{convolution: positions of its site's maps}."""
    return {name: value[0, 0].numel() for name, value in notes.values.items()}


def before_last_stage(notes):
    """Names of the sites whose maps are not the smallest; all but the last site, if they are of one size.

    Behind those the heads are refitted, and few heads mind few directions there: sparing those would let an edit go too
    far in all others.
    """
    areas = map_sizes(notes)
    smallest = min(areas.values())
    names = [name for name, area in areas.items() if area > smallest]
    return names or list(areas)[:-1]


def output_curvature(model, plan, notes, names, kept, images, seed, amp):
    """How much the kept outputs mind a change at some sites, by direction.

    The curvature is that of the squared error of the kept logits, each in units of its spread, by the site's value: the
    output side of a Kronecker-factored Gauss-Newton matrix (Martens & Grosse 2015), summed over positions.

    Args: as of `output_gradients`
    Returns: {convolution: (C, C) float32 with mean diagonal 1, of which SHARE_EVEN is the identity}
    """
    found = {}
    for gradients in output_gradients(model, plan, notes, names, kept, images, seed, amp):
        for name, gradient in gradients.items():
            rows = gradient.permute(0, 2, 3, 1).flatten(0, 2).float()
            found[name] = found.get(name, 0) + rows.T @ rows
    for name, total in found.items():
        eye = torch.eye(len(total), device=total.device)
        found[name] = (1 - SHARE_EVEN) * total / (total.diagonal().mean() + 1e-30) + SHARE_EVEN * eye
    return found


def output_gradients(model, plan, notes, names, kept, images, seed, amp):
    """How the kept outputs answer to a change at some sites, in chunks of images.

    For each image one random combination of the kept logits is taken, each in units of its spread, with a sign of its
    own: a square summed over images then stands for the sum over all heads, at the price of one backward pass.

    Args:
        names: convolutions of the sites; kept: places of the kept heads; images: how many of the first ones to use
    Yields: {convolution: (up to CHUNK, C, H, W) gradient of the combination by the site's value}
    """
    images = min(images, len(notes.logits))
    if not (names and kept and images):
        return
    runner = Runner(model, plan.graph, amp)
    values = {site.value: site.conv for site in plan.sites if site.conv in names}
    logits = notes.logits[:, kept]
    signs = torch.randint(0, 2, (images, len(kept)), generator=torch.Generator().manual_seed(seed + _SIGNS)) * 2 - 1
    directions = signs.to(logits) / (logits.std(0) + 1e-6)
    for start in range(0, images, CHUNK):
        part, reached = slice(start, min(start + CHUNK, images)), {}

        def visit(node, output, _, reached=reached):
            if node not in values:
                return output
            reached[values[node]] = output
            return output.clone()  # the activation behind it may work in place

        with torch.enable_grad():
            # copies, not leaves: the first steps may work in place
            begin = {node: value[part].requires_grad_().clone() for node, value in notes.begin.items()}
            said = runner.run(begin, start=plan.first, visit=visit)[runner.output].float()
            combined = (said[:, kept] * directions[part]).sum()
            gradients = torch.autograd.grad(combined, [reached[name] for name in names], materialize_grads=True)
        yield dict(zip(names, gradients, strict=True))
