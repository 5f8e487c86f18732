"""What a network costs: parameters, multiply-adds of an image, and time beside another network."""

import statistics

import torch
from torch import nn

from utils.run import Stopwatch


def count_parameters(model):
    """Values that training would move."""
    return sum(parameter.numel() for parameter in model.parameters())


@torch.inference_mode()
def count_multiply_adds(model, img_size):
    """Multiply-adds of the convolutions and linear layers for one image of that side, by one forward pass."""
    counted = []

    def count(module, inputs, output):
        counted.append(output[0].numel() * module.weight[0].numel())

    layers = [module for module in model.modules() if isinstance(module, (nn.Conv2d, nn.Linear))]
    handles = [layer.register_forward_hook(count) for layer in layers]
    try:
        model(torch.zeros(1, 3, img_size, img_size, device=next(model.parameters()).device))
    finally:
        for handle in handles:
            handle.remove()
    return sum(counted)


@torch.inference_mode()
def time_side_by_side(models, images, repeats):
    """Time the forward pass of several networks in turn, so that what else the machine does meets all alike.

    Args:
        models: {name: network on the device of `images`}; images: (N, 3, H, W); repeats: passes that count
    Returns: {name: [seconds of each pass]}; one pass before them warms up and doesn't count
    """
    seconds = {name: [] for name in models}
    for turn in range(repeats + 1):
        for name in list(models)[:: 1 if turn % 2 else -1]:  # who goes first takes turns
            watch = Stopwatch(images.device)
            with watch("forward"):
                models[name](images)
            seconds[name].append(watch.seconds["forward"])
    return {name: found[1:] for name, found in seconds.items()}


def compare_costs(models, images, repeats):
    """{"parameters", "multiply_adds", "seconds" (medians)} of each of two networks, and "speed_ratio" of the second.

    The ratio is the median over passes of (seconds of the first / seconds of the second): above 1 is faster.
    """
    seconds = time_side_by_side(models, images, repeats)
    first, second = seconds.values()
    costs = {
        "parameters": {name: count_parameters(model) for name, model in models.items()},
        "multiply_adds": {name: count_multiply_adds(model, images.shape[-1]) for name, model in models.items()},
        "seconds": {name: statistics.median(found) for name, found in seconds.items()},
    }
    return {**costs, "speed_ratio": statistics.median(a / b for a, b in zip(first, second, strict=True))}
