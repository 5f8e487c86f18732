"""Erasure: a network forgets attributes in its features and weights, not only in its head.

1. The untouched network's kept outputs and activations are recorded as the reference.
2. On a second pass each site's convolution is edited so that its value no longer shifts with the targets
   (`utils.erasure.edit`); what follows sees the edited values.
3. The kept heads are refitted in closed form, and the target's head answers its base rate.
4. With depth "weights" low layers are drawn anew in part and taught by the network that came out
   (`utils.erasure.redraw`), and 1 to 3 are done once more: then the weights have forgotten, too.

The labels of the kept attributes are not used. Why and how well: docs/ERASURE.md.
"""

import copy
from dataclasses import dataclass
from functools import partial

import torch
from tqdm import tqdm

from models.heads import get_heads
from utils.common import distributed
from utils.common.errors import InputError, first_line, warn
from utils.erasure.edit import ENOUGH, EditedConvolution, edit_site, edits_full_kernel
from utils.erasure.heads import answer_base_rate, emptied_heads, refit_heads
from utils.erasure.redraw import redraw_low_layers
from utils.erasure.reference_activations import output_curvature, record_activations
from utils.erasure.samples import choose_images, make_conditional_shift
from utils.erasure.sites import Runner, find_sites
from utils.network.modes import exact_float32, unchanged_on_error
from utils.training.recipe import resolve_amp

DEPTHS = ("activations", "weights")
BATCH_SIZE = 64  # images among which the targets are shared out
REDRAW_IMAGES = 2048  # that low layers learn from, about as they come: at most half of them have a target
RIDGE = 0.12  # of the site with the largest maps at strength 1, chosen on validation images (docs/ERASURE.md)


@dataclass(frozen=True)
class ErasureSettings:
    """Settings of erasure.

    images: training images, repeats of rare ones included; positives: least share of them that has a target
    strength: above 1 erases more, below 1 less
    kept_weight: weight of keeping the shifts that go with the kept outputs
    curvature_images: images whose gradients say how the kept outputs change with an edit, 0: all directions are alike
    rank: highest rank of an edit for each target, None: any; amp: see `utils.training.recipe.resolve_amp`
    depth: "activations": convolutions are edited; "weights": then low layers are drawn anew in part, and edited again
    passes: images that these are trained on at first, repeats included (`utils.erasure.redraw.ROUNDS`)
    """

    images: int = 1792
    strength: float = 1.0
    kept_weight: float = 2.0
    curvature_images: int = 256
    rank: int | None = 32
    positives: float = 0.4
    amp: str = "auto"
    seed: int = 0
    depth: str = "activations"
    passes: int = 4096

    def __post_init__(self):
        if self.depth not in DEPTHS:
            raise ValueError(f"{self.depth!r} is no depth of an erasure: choose among {', '.join(DEPTHS)}")


def erase(model, data, targets, settings=None, *, rows=None, device="cpu", progress=True):
    """Make a network forget attributes, in place; of several processes the first does it, and all get its weights.

    Args:
        model: network with attribute heads that `torch.fx` traces, on `device`
        data: `utils.datasets.dataset.ImageDataset` or what has its attributes, labels, rows and batches
        targets: names of the forgotten heads. Heads that an earlier erasure emptied are forgotten again along
            with them, for an edit may let them back into the features
        settings: `ErasureSettings`; rows: (M,) images to learn from; None: the training part
    Returns: {"images", "sites": names of the convolutions, "targets": all that were forgotten, "passes_used" to train
        the low layers that were drawn anew}: what was used
    Raises: InputError if a target is on no or on every image, or the network has no convolution to edit, or its numbers
        stop being finite. Whatever is raised, the network is as it was
    """
    used = _erase(model, data, targets, settings or ErasureSettings(), rows, torch.device(device), progress)
    distributed.copy_state(model)
    return used


@distributed.by_first
def _erase(model, data, targets, settings, rows, device, progress):
    rows = data.rows("train") if rows is None else rows
    targets = [*targets, *(name for name in emptied_heads(model) if name not in targets)]
    labels = data.labels[rows][:, [data.attributes.index(target) for target in targets]]
    sample = choose_images(rows, labels, settings.images, BATCH_SIZE, settings.positives, settings.seed)
    # a copy is edited: whatever stops the erasure, the network is as it was
    edited = copy.deepcopy(model).eval().to(memory_format=torch.channels_last)
    try:
        with torch.no_grad(), exact_float32():
            sites, logits = _edit_network(edited, data, sample, targets, settings, device, progress)
            used = {}
            if settings.depth == "weights":
                natural = choose_images(rows, labels, REDRAW_IMAGES, BATCH_SIZE, 0.0, settings.seed)
                used["passes_used"] = _redraw(edited, model, data, natural, targets, settings, device, progress)
                sites, _ = _edit_network(edited, data, sample, targets, settings, device, progress, logits)
        finite = torch.stack([value.isfinite().all() for value in edited.state_dict().values()]).all()
        failed = None if finite else "it gave numbers that are not finite"
    except torch.linalg.LinAlgError as error:
        failed = f"an equation has no solution, {first_line(error)}"
    if failed:
        cure = "train a network whose features hardly vary yet for longer, or use --method prune"
        weaker = f"use a strength below {settings.strength:g}, or more images"
        raise InputError(f"the erasure failed: {failed}; {weaker}; {cure}")
    with unchanged_on_error(model.state_dict().values()):
        model.load_state_dict(edited.state_dict())
    return {"images": len(sample.rows), "sites": sites, "targets": targets, **used}


def _edit_network(model, data, sample, targets, settings, device, progress, logits=None):
    """Steps 1 to 3, in place; returns the names of the convolutions edited, and the logits before.

    Args: logits: (N, K) that the kept heads are fitted to; None: those before
    """
    runner = Runner(model, find_sites(model), resolve_amp(settings.amp, device))
    kept = [place for place, name in enumerate(model.attributes) if name not in targets]
    reference = record_activations(runner, data, sample, kept, device)
    if not reference.logits.isfinite().all():
        raise InputError("the network's outputs are not finite, so it cannot be edited: its weights are damaged")
    shift = make_conditional_shift(sample, reference.logits[:, kept])
    names = reference.before_last_stage()
    curvatures = output_curvature(runner, reference, names, kept, settings.curvature_images, settings.seed)
    if logits is None:
        _warn_of_few_images(runner, reference, shift)
    features = _edit_sites(runner, reference, shift, curvatures, settings, progress)
    refit_heads(model, features, reference.logits if logits is None else logits, shift.weights, kept)
    answer_base_rate(model, targets, sample.base_rates)
    return [site.conv for site in runner.sites], reference.logits


def _redraw(model, original, data, sample, targets, settings, device, progress):
    """Step 4 up to the second edit, in place; how many images the low layers were trained on."""
    kept = [place for place, name in enumerate(model.attributes) if name not in targets]
    options = {"passes": settings.passes, "amp": resolve_amp(settings.amp, device), "seed": settings.seed}
    return redraw_low_layers(model, original, data, sample, kept, device=device, progress=progress, **options)


def _warn_of_few_images(runner, reference, shift):
    """One line if the images have too few positions to learn from, for the inputs of a site."""
    convs = {site.conv: runner.model.get_submodule(site.conv) for site in runner.sites}
    inputs = {
        name: conv.weight[0].numel() if edits_full_kernel(conv) else conv.in_channels for name, conv in convs.items()
    }
    needed = max(ENOUGH * count / reference.areas[name] for name, count in inputs.items())
    if shift.images < needed:
        text = f"erasing from {shift.images:,} different images, where {needed:,.0f} would tell all inputs apart"
        warn(f"{text}: the edits of the deep layers are held back, and the attribute may stay there")


def _edit_sites(runner, reference, shift, curvatures, settings, progress):
    """The second pass, in which each site is edited; returns the features (N, D) that the heads see.

    It uses up the reference's values, for they are large.
    """
    modules, heads, sites = dict(runner.model.named_modules()), get_heads(runner.model), runner.sites
    on_path = {node: site for site in sites for node in site.path}
    rank = None if settings.rank is None else settings.rank * len(shift.gram)
    path_inputs, features, shrunk, early = {}, [], reference.shrunk(), reference.before_last_stage()
    bar = tqdm(total=len(sites), desc="erase", unit="site", leave=False, disable=None if progress else True)

    def visit(node, output, values):
        if node.op == "call_module" and modules[node.target] is heads:
            features.append(values[node.all_input_nodes[0]].float())
        site = on_path.get(node)
        if site is None:
            return output
        # what the path reads must outlive its last use, for the value is computed once more
        read = path_inputs.setdefault(site.conv, {})
        read |= {source: values[source] for source in node.all_input_nodes if source not in site.path}
        if node is not site.value:
            return output
        edited = EditedConvolution(modules[site.conv], modules[site.norm] if site.norm else None)
        inputs = path_inputs.pop(site.conv)[site.path[0].all_input_nodes[0]]
        goal = reference.values.pop(site.conv), shift, RIDGE * shrunk[site.conv] / settings.strength
        options = {"kept_weight": settings.kept_weight, "curvature": curvatures.get(site.conv), "rank": rank}
        if site.activation and site.conv in early:
            options["activate"] = partial(runner.compute_activation, site)
        bar.update()
        return edit_site(edited, inputs, output, *goal, partial(runner.compute_path, site.path, read), **options)

    with bar:
        runner.run_rest(reference.begin, visit)
    return features[-1]
