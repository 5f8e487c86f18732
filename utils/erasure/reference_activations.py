"""What a network computes on the training sample before any edit: the reference that its edits are measured against."""

from dataclasses import dataclass

import torch

from utils.erasure.samples import sample_batches

CHUNK = 128  # images a pass
IDENTITY_SHARE = 0.2  # of the curvature: what treats all directions alike
_SIGNS = 7  # added to the seed of the random signs


@dataclass
class ReferenceActivations:
    """Logits and activations of N images.

    logits: (N, K); values: {convolution: (N, C, H, W) value of its site}
    begin: {node: value} that the first edit's convolution and what follows it read
    """

    logits: torch.Tensor
    values: dict
    begin: dict

    @property
    def areas(self):
        """{convolution: positions of its site's maps}."""
        return {name: value[0, 0].numel() for name, value in self.values.items()}

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


def record_activations(runner, data, sample, device):
    """Run a network over a sample and keep what erasure needs.

    Args: runner: `utils.erasure.sites.Runner`
    Returns: ReferenceActivations
    """
    values = {site.value: site.conv for site in runner.sites}
    parts = {"logits": [], "values": {}, "begin": {}}

    def visit(node, output, _):
        if node in values:  # a copy: the activation behind it may work in place
            parts["values"].setdefault(values[node], []).append(output.clone())
        return output

    for _, batch in sample_batches(data, sample, CHUNK, device):
        begin = runner.run_start(batch)
        for node, value in begin.items():
            parts["begin"].setdefault(node, []).append(value.clone())
        parts["logits"].append(runner.run_rest(begin, visit))
    # a site's parts go as soon as they are joined: together they are the largest thing here
    joined = {name: {key: torch.cat(parts[name].pop(key)) for key in list(parts[name])} for name in ("values", "begin")}
    return ReferenceActivations(torch.cat(parts["logits"]), **joined)


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
