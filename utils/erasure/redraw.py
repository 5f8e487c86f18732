"""Low layers drawn anew in part and taught by the network as it was, so that the weights forget, too.

What a closed-form edit takes out of the features is still in the low layers' weights: a short training on the kept
labels alone brings it back. So the weights of the low layers are mixed with random ones, and trained until the maps at
the end of each later stage are again what the edited network gives, and the kept logits what the original gives (no
labels are used, the layers above stay as they are). What the mixture lost of the target, these maps do not teach again,
since it is not in them.
The idea is that of distilling an unlearned network into a partly random one (Lee et al. 2025, arXiv 2506.06278).

Where the kept logits have not come back, the training goes on for twice as many passes.

The share, the learning rates and the number of passes were chosen on validation images (docs/ERASURE.md).
"""

import numpy as np
import torch
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.modules.batchnorm import _BatchNorm
from tqdm import tqdm

from utils.common.errors import InputError, warn
from utils.erasure.samples import sample_batches
from utils.erasure.sites import owns_weight
from utils.graph.operations import is_norm
from utils.graph.tracing import trace
from utils.network.modes import evaluating, keeping_modes

OLD_SHARE = 0.5  # of a mixed weight
ROUNDS = (1, 2)  # times the passes: the training goes on until the kept logits have come back
MOST_ERROR = 0.02  # of the kept logits, in their variances, that counts as come back
LOW_SHARE = 0.6  # of the multiplications of a pass, up to which layers count as low
LEARNING_RATE, BATCH = 2e-3, 32
RATE_WITHOUT_NORMS = 5e-4  # where no low layer normalises: at LEARNING_RATE AlexNet's kept logits never come back
NORM_IMAGES = 512  # whose statistics batch norms take afterwards
_DRAW = 8  # added to the seed of the random weights


def redraw_low_layers(model, original, data, sample, kept, *, passes, device, amp=False, seed=0, progress=True):
    """Mix the low layers of a network with random weights and train them to give what they gave, in place.

    Args:
        model: network that `torch.fx` traces, on `device`
        original: the network before it was edited: its kept logits are the goal, the maps are the edited one's
        data, sample: images to learn from, `utils.erasure.samples.TrainingSample` of N
        kept: places of the heads whose logits are to stay
        passes: images to train on in the first of ROUNDS, repeats included; amp: train in bfloat16
    Returns: the images it was trained on, in all rounds
    Raises: InputError if the network has no stage that ends before LOW_SHARE of it, or the training diverges
    """
    size = next(sample_batches(data, sample, 1, device))[1].shape[1:]
    low, stages = find_low_layers(model, size)
    observed = observe(model.to(memory_format=torch.channels_last), stages)
    goals = _record_goals(observed, original, data, sample, kept, device, amp)
    wanted, used = [parameter.requires_grad for parameter in model.parameters()], 0
    rate = LEARNING_RATE if any(map(is_norm, low.values())) else RATE_WITHOUT_NORMS
    mix_with_random(low, OLD_SHARE, seed + _DRAW)
    for number, times in enumerate(ROUNDS):
        options = {"rate": rate, "device": device, "amp": amp, "seed": seed + number, "progress": progress}
        loss = _train(observed, list(low.values()), data, sample, kept, goals, times * passes, **options)
        if not torch.isfinite(loss):
            raise InputError("drawing the low layers anew failed, the training diverged: use --depth activations")
        _measure_norms(observed, low.values(), data, sample, device)
        used += times * passes
        if _logit_error(observed, data, sample, kept, goals, device, amp) <= MOST_ERROR:
            break
    else:
        warn("the kept logits did not come back after low layers were drawn anew: kept heads may have lost; audit them")
    for parameter, flag in zip(model.parameters(), wanted, strict=True):
        parameter.requires_grad_(flag)
    return used


def find_low_layers(model, size):
    """The layers of the first stages, and where stages end.

    A stage ends with the last value that all later ones depend on before the maps become smaller. The low layers are
    those up to the last end with at most LOW_SHARE of a pass's multiplications before it, or up to the first end, but
    none that is used above, too.

    Args: model: network that `torch.fx` traces; size: (3, H, W) of its images
    Returns: ({name: module with parameters} of the low layers, [node of `trace(model).graph`] of the ends, from that of
        the low layers on)
    Raises: InputError if there is no such end below the heads, all low layers are used above, too, or a low
        convolution's weight is no parameter of its own
    """
    traced = trace(model)
    parameter = next(model.parameters())
    with keeping_modes(model), torch.no_grad():
        images = torch.zeros(1, *size, device=parameter.device)
        ShapeProp(fx.GraphModule(model.eval(), traced.graph)).propagate(images)
    work, total = {}, 0
    for node in traced.graph.nodes:
        module = traced.modules.get(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d):
            total += _shape(node)[2:].numel() * module.weight.numel()
        work[node] = total
    ends = [node for node in _stage_ends(traced) if work[node]]
    if len(ends) < 2:
        raise InputError(f"this {type(model).__name__} has no stages to draw anew: use --depth activations")
    last = max([place for place, node in enumerate(ends[:-1]) if work[node] <= LOW_SHARE * total], default=0)
    low, above, behind = {}, set(), False
    for node in traced.graph.nodes:
        module = traced.modules.get(node.target) if node.op == "call_module" else None
        if isinstance(module, nn.Conv2d) and not (behind or owns_weight(module)):
            why = "computes its weight of others, as weight norm does"
            raise InputError(f"{node.target} {why}: use --depth activations")
        if module is not None and next(module.parameters(recurse=False), None) is not None:
            above |= {id(module)} if behind else set()
            low |= {} if behind else {node.target: module}
        behind = behind or node is ends[last]
    low = {name: module for name, module in low.items() if id(module) not in above}
    if not low:
        raise InputError(f"this {type(model).__name__} uses all its low layers above, too: use --depth activations")
    return low, ends[last:]


def _shape(node):
    """Shape of a node's output, an empty one if it is no tensor."""
    return getattr(node.meta.get("tensor_meta"), "shape", torch.Size())


def _stage_ends(traced):
    """Nodes with maps (1, C, H, W) that all later nodes depend on, the last of each size, from large to small."""
    nodes = list(traced.graph.nodes)
    place = {node: number for number, node in enumerate(nodes)}
    ends, read_until = [], 0  # the last reader of anything before
    for node in nodes:
        if node.op in ("placeholder", "output"):
            continue
        area = _shape(node)[2:].numel() if len(_shape(node)) == 4 else 0
        if area > 1 and read_until <= place[node]:
            if ends and area == _shape(ends[-1])[2:].numel():
                ends[-1] = node
            elif not ends or area < _shape(ends[-1])[2:].numel():
                ends.append(node)
        read_until = max(read_until, *map(place.get, node.users), 0)
    return ends


def observe(model, stages):
    """A module that shares a network's layers and gives ([value of each node of `stages`], logits)."""
    graph, copied = fx.Graph(), {}
    for node in stages[0].graph.nodes:
        if node.op == "output":
            graph.output(([copied[stage] for stage in stages], copied[node.all_input_nodes[0]]))
        else:
            copied[node] = graph.node_copy(node, copied.get)
    return fx.GraphModule(model, graph)


def _record_goals(observed, original, data, sample, kept, device, amp):
    """What is to come out for a sample: [(N, C, H, W) bfloat16 maps], (N, K) kept logits, and their variances."""
    maps, logits = [], []
    precision = torch.autocast(torch.device(device).type, torch.bfloat16, enabled=amp)
    with torch.no_grad(), evaluating(original), precision:
        for _, images in sample_batches(data, sample, BATCH, device):
            maps.append([value.bfloat16() for value in observed(images)[0]])
            logits.append(original(images)[:, kept].float())
    maps = list(zip(*maps, strict=True))  # a stage's parts go as soon as they are joined
    maps, logits = [torch.cat(maps.pop(0)) for _ in range(len(maps))], torch.cat(logits)
    centred = [logits - logits.mean(0)] if kept else []
    scales = [value.float().var(correction=0) + 1e-12 for value in (*maps, *centred)]
    return maps, logits, scales


@torch.no_grad()
def _logit_error(observed, data, sample, kept, goals, device, amp):
    """Mean squared difference of the kept logits of a sample, in their variances; 0 if none is kept."""
    _, logits, scales = goals
    if not kept:
        return 0.0
    with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=amp):
        parts = [observed(images)[1][:, kept].float() for _, images in sample_batches(data, sample, BATCH, device)]
    return float((torch.cat(parts) - logits).square().mean() / scales[-1])


def mix_with_random(modules, share, seed):
    """Mix a share of the weights of {name: module} with normal numbers of their spread, drawn on the CPU, in place.

    Weights of layers that normalise go towards 1, their biases towards 0; other biases stay.
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for module in modules.values():
            for name, parameter in module.named_parameters(recurse=False):
                if parameter.dim() > 1:
                    drawn = torch.randn(parameter.shape, generator=generator).to(parameter)
                    parameter.lerp_(drawn * parameter.std(), 1 - share)
                elif is_norm(module):
                    parameter.lerp_(torch.full_like(parameter, float(name == "weight")), 1 - share)


@torch.no_grad()
def _measure_norms(observed, modules, data, sample, device):
    """Give the batch norms among some modules the statistics of a sample: their own lag behind a short training."""
    norms = [module for module in modules if isinstance(module, _BatchNorm) and module.track_running_stats]
    momenta = [norm.momentum for norm in norms]
    first = sample.reordered(np.arange(min(NORM_IMAGES, len(sample.rows)) if norms else 0))
    with keeping_modes(observed):
        observed.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # the mean of all batches
            norm.train()
        for _, images in sample_batches(data, first, BATCH, device):
            observed(images)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum


def _train(observed, modules, data, sample, kept, goals, passes, *, rate, device, amp, seed, progress):
    """Train some modules, in training mode, the others fixed; the last loss as a tensor."""
    parameters = [parameter for module in modules for parameter in module.parameters(recurse=False)]
    maps, logits, scales = goals
    steps = max(1, passes // BATCH)
    optimiser = torch.optim.AdamW(parameters, rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, rate, total_steps=steps)
    generator = torch.Generator().manual_seed(seed)
    rounds = -(-steps * BATCH // len(sample.rows))
    order = torch.cat([torch.randperm(len(sample.rows), generator=generator) for _ in range(rounds)])[: steps * BATCH]
    shuffled = sample.reordered(order.numpy())
    batches = sample_batches(data, shuffled, BATCH, device)
    bar = tqdm(batches, total=steps, desc="redraw", unit="step", leave=False, disable=None if progress else True)
    observed.requires_grad_(False)
    for parameter in parameters:
        parameter.requires_grad_(True)
    with keeping_modes(observed), torch.enable_grad():
        observed.eval()
        for module in modules:
            module.train()
        for part, images in bar:
            places = order[part].to(maps[0].device)
            with torch.autocast(torch.device(device).type, torch.bfloat16, enabled=amp):
                values, answers = observed(images)
            differences = [value.float() - goal[places] for value, goal in zip(values, maps, strict=True)]
            differences += [answers[:, kept].float() - logits[places]] if kept else []
            loss = sum(part.square().mean() / scale for part, scale in zip(differences, scales, strict=True))
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            schedule.step()
    return loss.detach()
