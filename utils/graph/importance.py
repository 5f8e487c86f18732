"""Gradient scores of channels and connections, for every attribute and scored layer in one pass over the images.

An image costs one forward pass and, per attribute it is scored for, one backward pass that ends at the first scored
layer: nothing below it receives a gradient, and no parameter's `.grad` is touched. The forward pass is the network's
own; the backward passes of all attributes are one, with fewer operations (utils.graph.cheap_gradients).
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from tqdm import tqdm

from models.heads import get_heads
from utils.graph.cheap_gradients import cheap_gradients, gradients_of, portions
from utils.graph.connections import connection_matrix, weight_relevance
from utils.network.modes import evaluating

MEASURES = ("gradcam", "gradient_activation")


@dataclass
class Scores:
    """Means over the scoring images, attributes in head order.

    channels: {layer: (K, C)}, logits (or probabilities) per unit of activation
    edges: {(producer, consumer): (K, C_producer, C_consumer)}, logits per relative change of the connection
    counts: (K,) scoring images of each attribute
    """

    channels: dict[str, torch.Tensor]
    edges: dict[tuple[str, str], torch.Tensor]
    counts: torch.Tensor


@contextmanager
def _forward_with_maps(model, layers, inputs_of=()):
    """Run the network in eval mode so that only the outputs of `layers` carry gradients.

    Yields ({layer: output before batch norm}, {layer: input}); a forward pass of the network fills the dicts. Hooks,
    train flags and `requires_grad` are as before afterwards, also after an error.
    """
    modules = dict(model.named_modules())
    for layer in layers:
        if not isinstance(modules.get(layer), torch.nn.Conv2d):
            raise ValueError(f"{layer!r} is not a convolution of this network")
    maps, inputs, handles = {}, {}, []

    def keep(layer):
        def hook(_module, given, output):
            maps[layer] = output if output.requires_grad else output.requires_grad_()
            if layer in inputs_of:
                inputs[layer] = given[0].detach()
            return output.clone()  # an in-place ReLU right behind a convolution would overwrite the map that we keep

        return hook

    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    try:
        with evaluating(model), torch.enable_grad(), cheap_gradients(model):
            model.requires_grad_(False)
            handles = [modules[layer].register_forward_hook(keep(layer)) for layer in layers]
            yield maps, inputs
    finally:
        for handle in handles:
            handle.remove()
        for parameter in trainable:
            parameter.requires_grad_(True)


def channel_scores(model, layers, images, attribute):
    """Grad-CAM weight of every output channel of some convolutions (Selvaraju et al. 2017, eq. 1).

    alpha_c = 1 / (H W) * sum over positions of d logit / d A_c, A being the output before batch norm.

    Args:
        layers: names in `model.named_modules()`, such as ["layer4.0.conv1"]
        images: (N, 3, H, W) float tensor on the model's device, normalised
        attribute: name of the head to explain
    Returns: {layer: (N, C) tensor}, in logits per unit of activation
    Raises: KeyError if the network has no such head; ValueError if a layer is not a convolution
    """
    gradients, _ = maps_and_gradients(model, layers, images, attribute)
    return {layer: gradient.mean((2, 3)) for layer, (_, gradient) in gradients.items()}


def maps_and_gradients(model, layers, images, attribute):
    """({layer: (map, gradient of the logit with respect to it)}, logits (N, K)); maps are (N, C, H, W)."""
    head = get_heads(model).index(attribute)
    with _forward_with_maps(model, layers) as (maps, _):
        logits = model(images)
        gradients = torch.autograd.grad(logits[:, head].sum(), [maps[layer] for layer in layers])
    kept = {layer: (maps[layer].detach(), gradient) for layer, gradient in zip(layers, gradients, strict=True)}
    return kept, logits.detach()


def score_groups(scored_for):
    """Group images by the set of attributes they are scored for.

    Args:
        scored_for: (N, K) bool array, image n is a scoring image of attribute k
    Returns: [(tuple of attribute indices, list of image positions)], so that a batch needs the same backward passes
    """
    groups = {}
    for position, row in enumerate(scored_for.tolist()):
        groups.setdefault(tuple(k for k, wanted in enumerate(row) if wanted), []).append(position)
    return sorted(groups.items())


def score_network(model, layers, links, batches, *, measure="gradcam", of_probability=False, total=None):
    """Channel and connection scores of all attributes in one pass.

    Args:
        layers: names of the scored convolutions
        links: `dataflow.Link`s between scored layers; each gives the relevance of its connections, the mean over the
            scoring images of sum_u W_u * d logit / d W_u, u running over the kernel (gradient times weight)
        batches: iterable of (attribute indices, images (B, 3, H, W) on the model's device): every image of a batch is
            a scoring image of each of these attributes
        measure: "gradcam" (signed mean gradient) or "gradient_activation" (mean of gradient times activation)
        of_probability: differentiate the sigmoid of the logit, which vanishes where the network is confident
        total: number of batches, for the progress bar
    Returns: Scores
    Raises: ValueError for an unknown measure or a layer that is no convolution
    """
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}: expected one of {', '.join(MEASURES)}")
    consumers = list(dict.fromkeys(link.consumer for link in links))
    names = list(dict.fromkeys([*layers, *consumers]))
    heads = len(get_heads(model).attributes)
    sums, weight_sums, counts = {}, {}, torch.zeros(heads, dtype=torch.int64)
    bar = tqdm(batches, total=total, desc="scoring", unit="batch", disable=None, leave=False)
    with _forward_with_maps(model, names, consumers) as (maps, inputs):
        for attributes, images in bar:
            logits = model(images)
            outputs = logits.sigmoid() if of_probability else logits
            counts[list(attributes)] += len(images)
            for some in portions(attributes, [maps[name] for name in names]):
                gradients = dict(zip(names, gradients_of(outputs, some, [maps[name] for name in names]), strict=True))
                for layer in layers:
                    means = _channel_sums(gradients[layer], maps[layer].detach(), measure)
                    _add(sums, layer, some, means)
                for name in consumers:
                    convolution = model.get_submodule(name)
                    relevance = [weight_relevance(convolution, inputs[name], one) for one in gradients[name]]
                    _add(weight_sums, name, some, relevance)
            maps.clear()  # the next forward pass needs the room
    return _means(model, layers, links, sums, weight_sums, counts)


def _channel_sums(gradients, activation, measure):
    product = gradients if measure == "gradcam" else gradients * activation
    return product.mean((3, 4)).sum(1)


def _add(sums, name, attributes, values):
    for k, value in zip(attributes, values, strict=True):
        sums[name, k] = sums[name, k] + value if (name, k) in sums else value


def _means(model, layers, links, sums, weight_sums, counts):
    heads, device = range(len(counts)), next(model.parameters()).device
    share = (1.0 / counts.clamp(min=1)).to(device)
    channels = {}
    for layer in layers:
        blank = torch.zeros(model.get_submodule(layer).out_channels, device=device)
        channels[layer] = torch.stack([sums.get((layer, k), blank) * share[k] for k in heads]).cpu()
    edges = {}
    for link in links:
        blank = torch.zeros_like(model.get_submodule(link.consumer).weight[:, :, 0, 0])
        relevance = torch.stack([weight_sums.get((link.consumer, k), blank) * share[k] for k in heads])
        width = model.get_submodule(link.producer).out_channels
        spread = connection_matrix(relevance, model.get_submodule(link.consumer).groups)
        edges[link.producer, link.consumer] = spread[:, link.offset : link.offset + width].cpu()
    return Scores(channels, edges, counts)


def gradcam_maps(model, layers, images, attribute):
    """Grad-CAM heat maps (Selvaraju et al. 2017, eq. 2): relu(sum_c alpha_c A_c), scaled to a maximum of 1 an image.

    Args: as `channel_scores`
    Returns: {layer: (N, h, w) tensor in [0, 1]}; a map without any positive value is 0
    """
    found, _ = maps_and_gradients(model, layers, images, attribute)
    heat = {}
    for layer, (maps, gradient) in found.items():
        weighted = (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()
        heat[layer] = weighted / weighted.amax((1, 2), keepdim=True).clamp(min=torch.finfo(weighted.dtype).tiny)
    return heat
