"""Ways to the channel scores of step 2: ours, and three libraries through their own interfaces.

A library explains one attribute at a time, so it goes through the attributes and for each through the batches of its
scoring images. Each is used in its fastest form: all layers at once, weights only, no heat map summed, scaled or drawn.

torchcam: `GradCAM` over all layers, a forward pass, then `_get_weights` (what its call does before it sums maps).
pytorch-grad-cam: `GradCAM` over all layers, a forward and a backward pass through its own `activations_and_grads`, then
`get_cam_weights` per layer (what its call does before it scales maps). captum: `LayerGradientXActivation` over all
layers without the product, whose means over positions are the weights; its `LayerGradCam` takes one layer a call.
"""

import math
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata

import torch

from utils.graph.dataflow import Dataflow, trace_dataflow
from utils.graph.importance import score_network
from utils.graph.scoring_images import ScoringImages, choose_scoring_images
from utils.network.loading import random_network

TorchCam = LibraryGradCam = LayerGradient = None  # optional: what is not installed is left out
with suppress(ImportError):
    from torchcam.methods import GradCAM as TorchCam
with suppress(ImportError):
    from pytorch_grad_cam import GradCAM as LibraryGradCam
with suppress(ImportError):
    from captum.attr import LayerGradientXActivation as LayerGradient


@dataclass(frozen=True)
class Work:
    """What step 2 has when it scores: network, data flow, names of the scored layers, scoring images."""

    model: torch.nn.Module
    dataflow: Dataflow
    layers: list
    images: ScoringImages
    batch_size: int
    device: torch.device

    def batches(self, k):
        """Batches of the scoring images of attribute k."""
        rows = self.images.rows[self.images.scored_for[:, k]]
        for images, _ in self.images.data.batches(rows, self.batch_size, self.device):
            yield images

    def describe(self):
        """What there is to do, for the results line."""
        batches, count = self.images.batches(self.batch_size, self.device), len(self.images.rows)
        return {
            "images": count,
            "images_and_attributes": int(self.images.scored_for.sum()),
            "forward_passes": math.ceil(count / self.batch_size),
            "backward_passes": sum(int(part.sum(1).max()) for _, part in batches),
            "batch_size": self.batch_size,
        }


def prepare_work(data, model_name, count, num_images, batch_size, seed, device):
    """Work on a network of random weights, its last `count` convolutions without the last; the images are decoded."""
    model = stir_statistics(random_network(model_name, data.attributes, seed, device))
    dataflow = trace_dataflow(model)
    images = choose_scoring_images(data, num_images)
    data.prepare(images.rows)
    return Work(model, dataflow, list(dataflow.last_layers(count)), images, batch_size, device)


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
    ways = {"torchcam": (TorchCam, by_torchcam), "grad-cam": (LibraryGradCam, by_grad_cam)}
    versions = {}
    for package, (library, way) in (ways | {"captum": (LayerGradient, by_captum)}).items():
        if library is None:
            print(f"{package} is left out: pip install -r benchmarks/requirements.txt")
            continue
        versions[package] = metadata.version(package)
        methods[package] = lambda way=way: by_attribute(work, way)
    return methods, versions


def by_rounds(work, edges):
    """Our scores, as step 2 makes them; without edges there are no links to score."""
    links = work.dataflow.links_between(work.layers) if edges else ()
    return score_network(work.model, work.layers, links, work.images.batches(work.batch_size, work.device)).channels


def by_attribute(work, way):
    """A library's scores: means of its weights over each attribute's scoring images."""
    sums = {layer: [] for layer in work.layers}
    for k, count in enumerate(work.images.counts.values()):
        per_batch = [[weights.sum(0) for weights in layers] for layers in way(work, k)]
        for layer, parts in zip(work.layers, zip(*per_batch, strict=True), strict=True):
            sums[layer].append(sum(parts) / count)
    return {layer: torch.stack(rows).cpu() for layer, rows in sums.items()}


def by_torchcam(work, k):
    """Yield the weights (N, C) of each layer, a list a batch."""
    with TorchCam(work.model, list(work.layers)) as extractor:
        for images in work.batches(k):
            yield extractor._get_weights(k, work.model(images))


def by_grad_cam(work, k):
    """Yield the weights (N, C) of each layer, a list a batch."""
    modules = [work.model.get_submodule(layer) for layer in work.layers]
    with LibraryGradCam(model=work.model, target_layers=modules) as cam:
        for images in work.batches(k):
            logits = cam.activations_and_grads(images)
            work.model.zero_grad()
            logits[:, k].sum().backward()
            gradients = [gradient.numpy() for gradient in cam.activations_and_grads.gradients]
            yield [torch.from_numpy(cam.get_cam_weights(None, None, None, None, one)) for one in gradients]
    work.model.zero_grad()


def by_captum(work, k):
    """Yield the weights (N, C) of each layer, a list a batch."""
    modules = [work.model.get_submodule(layer) for layer in work.layers]
    explain = LayerGradient(work.model, modules, multiply_by_inputs=False)
    for images in work.batches(k):
        yield [gradient.detach().mean((2, 3)) for gradient in explain.attribute(images, target=k)]
