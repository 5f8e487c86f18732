"""Ways to the same channel weights: ours, the bare passes, and three libraries by their own interfaces.

torchcam: `GradCAM` over all layers at once, one forward pass, `_get_weights` per attribute (what its call does before
it sums maps). pytorch-grad-cam: `GradCAM` over all layers, per attribute a forward and a backward pass through its own
`activations_and_grads`, then `get_cam_weights` per layer (what its call does before it scales maps). captum:
`LayerGradCam.attribute` without summation, one call per layer and attribute, which is the only form it has; it gives
weights times maps, so it is compared by the products' means.
"""

from importlib import import_module, metadata

import torch

from models import build_model
from utils.graph.dataflow import trace_dataflow
from utils.graph.importance import maps_and_gradients, score_network


def make_methods(model_name, heads, count, images):
    """({name: (function, what turns its result into {layer: (K, C) means})}, {library: version}), ours first."""
    names = [f"attribute_{k}" for k in range(heads)]
    model = stir_statistics(build_model(model_name, names).to(images.device).eval())
    flow = trace_dataflow(model)
    layers = list(flow.last_layers(count))
    images = images.to(memory_format=torch.channels_last)
    batch = [(tuple(range(heads)), images)]
    methods = {
        "ours": (lambda: score_network(model, layers, [], batch), lambda scores: scores.channels),
        "ours, with edges": (
            lambda: score_network(model, layers, flow.links_between(layers), batch),
            lambda scores: scores.channels,
        ),
        "bare passes": (lambda: bare_passes(model, layers, images, heads), None),
    }
    versions = {}
    for library, package, make in (
        ("torchcam", "torchcam", by_torchcam),
        ("pytorch_grad_cam", "grad-cam", by_grad_cam),
        ("captum", "captum", by_captum),
    ):
        try:
            import_module(library)
        except ImportError as error:
            print(f"{package} is left out: {error}; pip install -r benchmarks/requirements.txt")
            continue
        versions[package] = metadata.version(package)
        methods[package] = make(model, layers, images, heads)
    return methods, versions


def stir_statistics(model):
    """Batch norms that do something: statistics as after training, not those of a fresh network."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def bare_passes(model, layers, images, heads):
    """One forward pass and a backward pass per attribute down to the first layer, as PyTorch does them; no scores."""
    maps = []
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    listen = [
        model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: maps.append(out.requires_grad_()))
        for layer in layers
    ]
    model.requires_grad_(False)
    logits = model(images)
    for handle in listen:
        handle.remove()
    for k in range(heads):
        torch.autograd.grad(logits[:, k].sum(), maps, retain_graph=k < heads - 1)
    for parameter in trainable:
        parameter.requires_grad_(True)


def by_torchcam(model, layers, images, heads):
    """Weights (N, C) per layer and attribute by torchcam."""
    from torchcam.methods import GradCAM

    def work():
        with GradCAM(model, layers) as extractor:
            logits = model(images)
            return [extractor._get_weights(k, logits, retain_graph=k < heads - 1) for k in range(heads)]

    return work, lambda found: _means(found, layers)


def by_grad_cam(model, layers, images, heads):
    """Weights (N, C) per layer and attribute by pytorch-grad-cam."""
    from pytorch_grad_cam import GradCAM

    modules = [model.get_submodule(layer) for layer in layers]

    def work():
        found = []
        with GradCAM(model=model, target_layers=modules) as cam:
            for k in range(heads):
                logits = cam.activations_and_grads(images)
                model.zero_grad()
                logits[:, k].sum().backward()
                gradients = [gradient.numpy() for gradient in cam.activations_and_grads.gradients]
                found.append([cam.get_cam_weights(None, None, None, None, gradient) for gradient in gradients])
        model.zero_grad()
        return [[torch.from_numpy(weights) for weights in per_layer] for per_layer in found]

    return work, lambda found: _means(found, layers)


def by_captum(model, layers, images, heads):
    """Weights times maps (N, C, H, W) per layer and attribute by captum; its means are turned into weights to compare.

    A weight is the product over the map, at the position where the map is largest.
    """
    from captum.attr import LayerGradCam

    def work():
        return [
            [
                LayerGradCam(model, model.get_submodule(layer)).attribute(images, k, attr_dim_summation=False).detach()
                for layer in layers
            ]
            for k in range(heads)
        ]

    def weights(found):
        maps = maps_and_gradients(model, layers, images, model.attributes[0])[0]
        return _means([[_divided(product, maps[layer][0]) for product, layer in zip(row, layers, strict=True)]
                       for row in found], layers)  # fmt: skip

    return work, weights


def _divided(product, maps):
    place = maps.flatten(2).abs().argmax(2, keepdim=True)
    return (product.flatten(2).gather(2, place) / maps.flatten(2).gather(2, place)).squeeze(2)


def _means(found, layers):
    """{layer: (K, C)} from a list over attributes of lists over layers of (N, C)."""
    return {
        layer: torch.stack([per_layer[i].detach().mean(0).cpu() for per_layer in found])
        for i, layer in enumerate(layers)
    }
