"""Ways to the channel scores of step 2: ours, and three libraries through their own interfaces.

A library explains one attribute at a time, so it goes through the attributes and for each through the batches of its
scoring images. Each is used in its fastest form: all layers at once, weights only, no heat map summed, scaled or drawn.

torchcam: `GradCAM` over all layers, a forward pass, then `_get_weights` (what its call does before it sums maps).
pytorch-grad-cam: `GradCAM` over all layers, a forward and a backward pass through its own `activations_and_grads`, then
`get_cam_weights` per layer (what its call does before it scales maps). captum: `LayerGradientXActivation` over all
layers without the product, whose means over positions are the weights; its `LayerGradCam` takes one layer a call.
"""

import math
from dataclasses import dataclass, replace
from importlib import import_module, metadata

import torch

from utils import graph_making, network
from utils.dataflow import Dataflow, trace_dataflow

LIBRARIES = {"torchcam": "torchcam", "pytorch_grad_cam": "grad-cam", "captum": "captum"}  # module: package


@dataclass(frozen=True)
class Work:
    """What step 2 has when it scores: network, data flow, scored layers, data, scoring images (rows, scored_for)."""

    model: torch.nn.Module
    dataflow: Dataflow
    layers: list
    data: object
    rows: object
    scored_for: object
    batch_size: int
    device: torch.device

    def batches(self, k):
        """Batches of the scoring images of attribute k."""
        for images, _ in self.data.batches(self.rows[self.scored_for[:, k]], self.batch_size, self.device):
            yield images

    def describe(self):
        """What there is to do, for the results line."""
        batches = graph_making.scoring_batches(self.data, self.rows, self.scored_for, self.batch_size, self.device)
        return {
            "images": len(self.rows),
            "images_and_attributes": int(self.scored_for.sum()),
            "forward_passes": math.ceil(len(self.rows) / self.batch_size),
            "backward_passes": sum(int(part.sum(1).max()) for _, part in batches),
            "batch_size": self.batch_size,
        }


def prepare_work(data, model_name, count, num_images, batch_size, seed, device):
    """Work on a network of random weights, its last `count` convolutions without the last; the images are decoded."""
    model = stir_statistics(network.random_network(model_name, data.attributes, seed, device))
    dataflow = trace_dataflow(model)
    rows, scored_for = graph_making.scoring_rows(data, data.attributes, num_images)
    data.prepare(rows)
    return Work(model, dataflow, list(dataflow.last_layers(count)), data, rows, scored_for, batch_size, device)


def stir_statistics(model):
    """Batch norms that do something: statistics as after training, not those of a fresh network."""
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1)
            module.running_var.uniform_(0.5, 1.5)
    return model


def make_methods(work):
    """({name: function that returns {layer: (K, C)}}, {library: version}), ours first; what is absent is left out."""
    methods = {"ours": lambda: by_rounds(work, edges=False), "ours, with edges": lambda: by_rounds(work, edges=True)}
    ways = dict(zip(LIBRARIES.values(), (by_torchcam, by_grad_cam, by_captum), strict=True))
    versions = {}
    for module, package in LIBRARIES.items():
        try:
            import_module(module)
        except ImportError as error:
            print(f"{package} is left out: {error}; pip install -r benchmarks/requirements.txt")
            continue
        versions[package] = metadata.version(package)
        methods[package] = lambda way=ways[package]: by_attribute(work, way)
    return methods, versions


def by_rounds(work, edges):
    """Our scores, as step 2 makes them; without edges the data flow has no links."""
    flow = work.dataflow if edges else replace(work.dataflow, links=())
    images = {"data": work.data, "rows": work.rows, "scored_for": work.scored_for, "batch_size": work.batch_size}
    recipe = graph_making.Recipe()
    scores = graph_making.score(work.model, flow, work.layers, recipe=recipe, device=work.device, **images)
    return scores.channels


def by_attribute(work, way):
    """A library's scores: means of its weights over each attribute's scoring images."""
    sums = {layer: [] for layer in work.layers}
    for k, count in enumerate(work.scored_for.sum(0).tolist()):
        per_batch = [[weights.sum(0) for weights in layers] for layers in way(work, k)]
        for layer, parts in zip(work.layers, zip(*per_batch, strict=True), strict=True):
            sums[layer].append(sum(parts) / count)
    return {layer: torch.stack(rows).cpu() for layer, rows in sums.items()}


def by_torchcam(work, k):
    """Yield the weights (N, C) of each layer, a list a batch."""
    from torchcam.methods import GradCAM

    with GradCAM(work.model, list(work.layers)) as extractor:
        for images in work.batches(k):
            yield extractor._get_weights(k, work.model(images))


def by_grad_cam(work, k):
    """Yield the weights (N, C) of each layer, a list a batch."""
    from pytorch_grad_cam import GradCAM

    modules = [work.model.get_submodule(layer) for layer in work.layers]
    with GradCAM(model=work.model, target_layers=modules) as cam:
        for images in work.batches(k):
            logits = cam.activations_and_grads(images)
            work.model.zero_grad()
            logits[:, k].sum().backward()
            gradients = [gradient.numpy() for gradient in cam.activations_and_grads.gradients]
            yield [torch.from_numpy(cam.get_cam_weights(None, None, None, None, one)) for one in gradients]
    work.model.zero_grad()


def by_captum(work, k):
    """Yield the weights (N, C) of each layer, a list a batch."""
    from captum.attr import LayerGradientXActivation

    modules = [work.model.get_submodule(layer) for layer in work.layers]
    explain = LayerGradientXActivation(work.model, modules, multiply_by_inputs=False)
    for images in work.batches(k):
        yield [gradient.detach().mean((2, 3)) for gradient in explain.attribute(images, target=k)]
