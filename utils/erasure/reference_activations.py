"""What a network computes on the training sample before any edit: the reference that its edits are measured against."""

from dataclasses import dataclass

import torch

from utils.common.errors import InputError
from utils.erasure.edit import sampled_places
from utils.erasure.samples import combine_images, sample_batches, weighted_columns

CHUNK = 128  # images a pass
IDENTITY_SHARE = 0.2  # of the curvature: what treats all directions alike
_SIGNS = 7  # added to the seed of the random signs


@dataclass(frozen=True)
class RecordedValue:
    """What edits need to know of a site's value (N, C, H, W) on N images.

    moments: (Q, C, H, W) float32 sums over the images by each of `utils.erasure.samples.weighted_columns`
    sampled: (n, C, h, w), the value at `utils.erasure.edit.sampled_places`
    """

    moments: torch.Tensor
    sampled: torch.Tensor


@dataclass
class ReferenceActivations:
    """Logits and activations of N images.

    logits: (N, K); values: {convolution: `RecordedValue` of its site}
    begin: {node: value} that the first edit's convolution and what follows it read
    """

    logits: torch.Tensor
    values: dict
    begin: dict

    @property
    def areas(self):
        """{convolution: positions of its site's maps}."""
        return {name: value.moments[0, 0].numel() for name, value in self.values.items()}

    def shrunk(self):
        """{convolution: side of its site's maps over the side of the largest}: deep edits cost the kept heads less."""
        largest = max(self.areas.values())
        return {name: (area / largest) ** 0.5 for name, area in self.areas.items()}

    def before_last_stage(self):
        """Names of the sites whose maps are not the smallest; all but the last site, if they are of one size.

        Behind the last stage the heads are refitted, and few heads depend on few directions there: sparing those would
        let an edit go too far in all others.
        """
        areas = self.areas
        smallest = min(areas.values())
        return [name for name, area in areas.items() if area > smallest] or list(areas)[:-1]


def record_activations(runner, data, sample, kept, device):
    """Run a network over a sample and keep what erasure needs.

    Args: runner: `utils.erasure.sites.Runner`; kept: places of the kept heads
    Returns: ReferenceActivations
    Raises: InputError if a site's value has more positions than its convolution gives
    """
    sites = {site.value: site.conv for site in runner.sites}
    begun, sizes = {site.path[0]: site.value for site in runner.sites}, {}
    moments, sampled, begins, logits, reached = {}, {}, {}, [], {}

    def visit(node, output, _):
        if node in begun:
            sizes[begun[node]] = output.shape
        if node in sites:  # a copy: the activation behind it may work in place
            if output.shape != sizes[node]:
                text = f"a sum spreads what {sites[node]} gives over a larger map, which cannot be edited"
                raise InputError(f"{text}: use --method prune")
            reached[sites[node]] = output.clone()
        return output

    for part, batch in sample_batches(data, sample, CHUNK, device):
        begin = runner.run_start(batch)
        for node, value in begin.items():
            begins.setdefault(node, []).append(value.clone())
        logits.append(runner.run_rest(begin, visit))
        columns = weighted_columns(sample, logits[-1][:, kept], part)
        for name, value in reached.items():
            own = record_value(runner.model.get_submodule(name), value, columns, part.start)
            moments[name] = moments.get(name, 0) + own.moments
            sampled.setdefault(name, []).append(own.sampled)
        reached.clear()
    values = {name: RecordedValue(moments[name], torch.cat(sampled.pop(name))) for name in list(sampled)}
    # parts go as soon as they are joined: together they are the largest thing here
    return ReferenceActivations(torch.cat(logits), values, {node: torch.cat(begins.pop(node)) for node in list(begins)})


def record_value(conv, value, columns, first=0):
    """`RecordedValue` of some images of a sample.

    Args: conv: the site's convolution; value: (n, C, H, W); columns: (n, Q) `weighted_columns` of these images
        first: images of the sample before them
    """
    images, step = sampled_places(conv, value)
    sampled = value[: max(0, images - first), :, ::step, ::step].clone()
    return RecordedValue(combine_images(columns.T, value), sampled)


def output_curvature(runner, reference, names, kept, images, seed):
    """How much the kept outputs change with the value of some sites, by direction.

    The curvature is that of the squared error of the kept logits, each in units of its spread, by the site's value: the
    output side of a Kronecker-factored Gauss-Newton matrix (K-FAC, Martens & Grosse 2015), summed over positions.

    Args: as of `output_gradients`
    Returns: {convolution: (C, C) float32 with mean diagonal 1, of which IDENTITY_SHARE is the identity}
    """
    curvatures = {}
    for gradients in output_gradients(runner, reference, names, kept, images, seed):
        for name, gradient in gradients.items():
            rows = gradient.permute(0, 2, 3, 1).flatten(0, 2).float()
            curvatures[name] = curvatures.get(name, 0) + rows.T @ rows
    for name, total in curvatures.items():
        eye = torch.eye(len(total), device=total.device)
        scale = total.diagonal().mean() + 1e-30
        curvatures[name] = (1 - IDENTITY_SHARE) * total / scale + IDENTITY_SHARE * eye
    return curvatures


def output_gradients(runner, reference, names, kept, images, seed):
    """Gradients of the kept outputs by the values of some sites, in chunks of images.

    For each image one random combination of the kept logits is taken, each in units of its spread, with a sign of its
    own: a square summed over images then stands for the sum over all heads, at the price of one backward pass.

    Args:
        reference: `ReferenceActivations` of the same runner's network; names: convolutions of the sites
        kept: places of the kept heads; images: how many of the first ones to use; seed: of the signs
    Yields: {convolution: (up to CHUNK, C, H, W) gradient of the combination by the site's value}
    """
    images = min(images, len(reference.logits))
    if not (names and kept and images):
        return
    values = {site.value: site.conv for site in runner.sites if site.conv in names}
    logits = reference.logits[:, kept]
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
            begin = {node: value[part].requires_grad_().clone() for node, value in reference.begin.items()}
            combined = (runner.run_rest(begin, visit)[:, kept] * directions[part]).sum()
            gradients = torch.autograd.grad(combined, [reached[name] for name in names], materialize_grads=True)
        yield dict(zip(names, gradients, strict=True))
