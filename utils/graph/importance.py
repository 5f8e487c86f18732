"""Gradient scores of channels and connections, for every attribute and scored layer in one pass over the images.

The Grad-CAM weight of channel c for attribute k (Selvaraju et al. 2017, eq. 1), A being the layer's maps (N, C, H, W)
before batch norm, is

    alpha_c = mean over the scoring images of k of  1 / (H W) * sum over positions of d logit_k / d A_c

A batch goes forward once and backward in *rounds*: round r takes of every image the r-th attribute that it is a scoring
image of. In eval mode images do not influence one another, so one backward pass of the sum of the logits taken gives
each image the gradient of its own logit. A batch costs as many backward passes as its image with most attributes has;
they end at the first scored layer, and no parameter's `.grad` is touched.
"""

from contextlib import contextmanager
from dataclasses import dataclass

import torch
from tqdm import tqdm

from models.heads import get_heads
from utils.common import distributed
from utils.common.errors import InputError
from utils.graph.connections import add_relevance, connection_matrix
from utils.network.modes import evaluating, exact_float32

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
def _recording(model, layers, inputs_of=()):
    """Run the network in eval mode so that only the outputs of `layers` carry gradients.

    Yields ({layer: output before batch norm}, {layer: input}); a forward pass of the network fills the dicts. Hooks,
    train flags and `requires_grad` are as before afterwards, also after an error.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    for layer in layers:
        if not isinstance(modules.get(layer), torch.nn.Conv2d):
            raise ValueError(f"{layer!r} is not a convolution of this network")
    maps, inputs, handles = {}, {}, []

    def keep(layer):
        def hook(_module, given, output):
            if layer in maps:
                raise InputError(f"{layer} is used several times in a pass, so its channels cannot be scored")
            maps[layer] = output if output.requires_grad else output.requires_grad_()
            if layer in inputs_of:
                inputs[layer] = given[0].detach()
            return output.clone()  # an in-place ReLU right behind a convolution would overwrite the map that we keep

        return hook

    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        with evaluating(model), exact_float32(), torch.enable_grad():
            model.requires_grad_(False)  # nothing below the first layer gets a gradient
            for layer in layers:
                handles.append(modules[layer].register_forward_hook(keep(layer)))
            yield maps, inputs
    finally:
        for handle in handles:
            handle.remove()
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


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
    with _recording(model, layers) as (maps, _):
        logits = model(images)
        gradients = torch.autograd.grad(logits[:, head].sum(), [maps[layer] for layer in layers])
    kept = {layer: (maps[layer].detach(), gradient) for layer, gradient in zip(layers, gradients, strict=True)}
    return kept, logits.detach()


def score_network(model, layers, links, batches, *, measure="gradcam", of_probability=False, total=None):
    """Channel and connection scores of all attributes in one pass.

    Args:
        layers: names of the scored convolutions
        links: `dataflow.Link`s between scored layers; each gives the relevance of its connections, the mean over the
            scoring images of sum_u W_u * d logit / d W_u, u running over the kernel (gradient times weight)
        batches: iterable of (images (B, 3, H, W) on the model's device, scored_for (B, K) bool on the CPU): image n is
            a scoring image of attribute k. Several processes each pass every other batch, all equally many, an empty
            one where there is none left; all get the sums, bit for bit those of one process
        measure: "gradcam" (signed mean gradient) or "gradient_activation" (mean of gradient times activation)
        of_probability: differentiate the sigmoid of the logit, which vanishes where the network is confident
        total: number of batches, for the progress bar
    Returns: Scores
    Raises: InputError if an output or a score is not finite; ValueError for an unknown measure or a layer that is no
        convolution
    """
    if measure not in MEASURES:
        raise ValueError(f"unknown measure {measure!r}: expected one of {', '.join(MEASURES)}")
    consumers = list(dict.fromkeys(link.consumer for link in links))
    names = list(dict.fromkeys([*layers, *consumers]))
    counts = torch.zeros(len(get_heads(model).attributes), dtype=torch.int64)
    total = None if total is None else -(-total // distributed.world_size())
    hidden = None if distributed.is_main() else True
    bar = tqdm(batches, total=total, desc="scoring", unit="batch", disable=hidden, leave=False)
    with bar, _recording(model, names, consumers) as (maps, inputs):
        weights = {name: model.get_submodule(name).weight for name in names}
        channels = {layer: weights[layer].new_zeros(len(counts), len(weights[layer])) for layer in layers}
        relevance = {name: weights[name].new_zeros(len(counts), *weights[name].shape[:2]) for name in consumers}
        largest = weights[names[0]].new_zeros(())  # NaN or infinite from the first output on that is
        for images, scored_for in bar:
            rank = scored_for.cumsum(1) * scored_for  # 1 at an image's first attribute, 2 at its second, 0 elsewhere
            history = {name: [] for name in consumers}
            of_rounds = {layer: [sums.new_zeros(0, *sums.shape)] for layer, sums in channels.items()}
            if len(images):
                logits = model(images)
                largest = largest.maximum(logits.detach().abs().max())
                outputs = logits.sigmoid() if of_probability else logits
                for chosen, gradients in _rounds(outputs, maps, rank):
                    for layer, parts in of_rounds.items():
                        product = gradients[layer] if measure == "gradcam" else gradients[layer] * maps[layer].detach()
                        parts.append((chosen.T @ product.mean((2, 3)))[None])  # (K, B) @ (B, C)
                    for name in consumers:
                        history[name].append(gradients[name])
            for layer, parts in of_rounds.items():
                distributed.add_in_order(channels[layer], torch.cat(parts))
            for name in consumers:
                of_batch = torch.zeros_like(relevance[name])
                if len(images):
                    add_relevance(of_batch, model.get_submodule(name), inputs[name], history.pop(name), rank)
                distributed.add_in_order(relevance[name], of_batch[None])
            counts += scored_for.sum(0)
            maps.clear()  # the next forward pass needs the memory
            inputs.clear()
    sums = [*channels.values(), *relevance.values(), distributed.gather_rows(largest[None])]
    if not torch.stack([*(values.abs().max() for values in sums)]).isfinite().all():  # the one wait at the end
        raise InputError("the network's outputs or scores are not finite: its weights are damaged, or too large")
    return _means(model, links, channels, relevance, distributed.reduce_sum(counts))


def _rounds(outputs, maps, rank):
    """Go back once a round.

    Args:
        outputs: (B, K); maps: {layer: (B, C, H, W)} that they were computed from
        rank: (B, K) whole numbers on the CPU, the round that takes attribute k of image n; 0 for none
    Yields: (chosen (B, K), {layer: gradient (B, C, H, W)}): `chosen` is 1 at each image's attribute of the round; an
        image that has none left has zeros in both
    """
    last = int(rank.max())
    for number in range(1, last + 1):
        chosen = (rank == number).to(outputs, non_blocking=True)
        options = {"retain_graph": number < last, "materialize_grads": True}
        gradients = torch.autograd.grad((outputs * chosen).sum(), list(maps.values()), **options)
        yield chosen, dict(zip(maps, gradients, strict=True))


def _means(model, links, channels, relevance, counts):
    share = (1.0 / counts.clamp(min=1))[:, None]
    edges = {}
    for link in links:
        mean = relevance[link.consumer].cpu() * share[:, :, None]
        matrix = connection_matrix(mean, model.get_submodule(link.consumer).groups)
        width = model.get_submodule(link.producer).out_channels
        ends, part = (link.producer, link.consumer), matrix[:, link.offset : link.offset + width]
        edges[ends] = edges[ends] + part if ends in edges else part  # read twice: both readings count
    return Scores({layer: sums.cpu() * share for layer, sums in channels.items()}, edges, counts)


def gradcam_maps(model, layers, images, attribute):
    """Grad-CAM heat maps (Selvaraju et al. 2017, eq. 2): relu(sum_c alpha_c A_c), scaled to a maximum of 1 an image.

    Args: as `channel_scores`
    Returns: {layer: (N, h, w) tensor in [0, 1]}; a map without any positive value is 0
    """
    recorded, _ = maps_and_gradients(model, layers, images, attribute)
    heat = {}
    for layer, (maps, gradient) in recorded.items():
        weighted = (gradient.mean((2, 3), keepdim=True) * maps).sum(1).relu()
        heat[layer] = weighted / weighted.amax((1, 2), keepdim=True).clamp(min=torch.finfo(weighted.dtype).tiny)
    return heat
