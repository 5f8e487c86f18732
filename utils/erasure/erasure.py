"""Erasure: a network forgets attributes in its features, not only in its head, in closed form, without training.

1. The untouched network is run once over some training images. Its kept outputs say what may stay; its values at every
   residual sum are the goal. An untrained network's features say how far to go (`utils.erasure.ridges`).
2. The images go through the network a second time, and on their way each site's convolution is edited in closed form so
   that its value no longer shifts with the targets (`utils.erasure.edit`); gradients of the kept outputs say in which
   directions an edit disturbs them least (`utils.erasure.reference_activations`). What follows sees the edited values.
3. The kept heads are refitted in closed form, and the target's head answers its base rate.

Nothing is trained: there is no learning rate and there are no steps. The labels of the kept attributes are not used.
"""

from dataclasses import dataclass

import torch
from tqdm import tqdm

from models.heads import get_heads
from utils.common.errors import InputError
from utils.common.run import Stopwatch
from utils.erasure.edit import Edited, edit_site, takes_whole_kernel
from utils.erasure.heads import answer_base_rate, refit_heads
from utils.erasure.reference_activations import before_last_stage, map_sizes, output_curvature, take_notes
from utils.erasure.ridges import site_ridges, untrained_like
from utils.erasure.samples import choose_images, make_contrast
from utils.erasure.sites import Runner, find_sites
from utils.network.modes import evaluating
from utils.training.recipe import resolve_amp


@dataclass(frozen=True)
class ErasureSettings:
    """Settings of erasure.

    images: training images, repeats of rare ones included; positives: least share of them that has a target
    strength: above 1 erases more, below 1 less; reference: images that the untrained network sees
    hold: weight of keeping the shifts that go with the kept outputs
    curvature: images whose gradients say how much the kept outputs mind an edit, 0: all directions are alike
    rank: highest rank of an edit for each target, None: any; a low one makes for a small undo file
    ridge: one for every site at strength 1 instead of those that an untrained network suggests, None: those
    conditional: leave what the kept outputs imply; repair: undo what earlier edits disturb; refit: the kept heads
    everywhere: edit every convolution, not one for each residual sum; amp: see `utils.training.recipe.resolve_amp`
    """

    images: int = 1536
    strength: float = 1.0
    hold: float = 2.0
    curvature: int = 256
    rank: int | None = 32
    positives: float = 0.25
    reference: int = 512
    ridge: float | None = None
    conditional: bool = True
    repair: bool = True
    refit: bool = True
    everywhere: bool = False
    amp: str = "auto"
    seed: int = 0


def erase(model, data, targets, recipe=None, *, rows=None, device="cpu", allowed=None, watch=None, progress=True):
    """Make a network forget attributes, in place.

    Args:
        model: net with attribute heads that `torch.fx` traces, on `device`
        data: `utils.datasets.dataset.ImageDataset` or what has its attributes, labels, rows and batches
        targets: names of the forgotten heads. Heads that an earlier erasure emptied are forgotten again along
            with them, for an edit may let them back into the features
        rows: images to learn from; None: the training part
        allowed: {convolution: (C_out, C_in) bool} connections that may be edited, others stay; None: all
        watch: `utils.common.run.Stopwatch` that gets the seconds of each part
    Returns: {"images", "sites": {convolution: least ridge}, "targets": all that were forgotten}: what was used
    Raises: InputError if a target is on no or on every image, or the network has no convolution to edit, or its numbers
        stop being finite; the network is then as it was
    """
    recipe, watch = recipe or ErasureSettings(), watch or Stopwatch(device)
    device, plan = torch.device(device), find_sites(model, recipe.everywhere)
    rows = data.rows("train") if rows is None else rows
    targets = [*targets, *(name for name in forgotten_before(model) if name not in targets)]
    columns = [data.attributes.index(target) for target in targets]
    choice = choose_images(rows, data.labels[rows][:, columns], recipe.images, 64, recipe.positives, recipe.seed)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    bar = tqdm(total=len(plan.sites), desc="erase", unit="site", leave=False, disable=None if progress else True)
    with evaluating(model), torch.no_grad(), bar:
        model.to(memory_format=torch.channels_last)
        try:
            ridges = _forget(model, plan, data, choice, targets, recipe, device, allowed, watch, bar)
        except torch.linalg.LinAlgError:  # its input was not finite
            ridges = None
        model.to(memory_format=torch.contiguous_format)
    if ridges is None or not all(torch.isfinite(value).all() for value in model.state_dict().values()):
        model.load_state_dict(before)
        raise InputError(f"erasure gave numbers that are not finite: use a strength below {recipe.strength:g}")
    return {
        "images": len(choice.rows),
        "sites": {conv: float(min(of)) for conv, of in ridges.items()},
        "targets": targets,
    }


def forgotten_before(model):
    """Names of the heads that answer the same whatever they see: those that an earlier erasure emptied."""
    heads = get_heads(model)
    empty = (heads.weight == 0).all(1).tolist()
    return [name for name, is_empty in zip(heads.attributes, empty, strict=True) if is_empty]


def _forget(model, plan, data, choice, targets, recipe, device, allowed, watch, bar):
    """The three steps; returns {convolution: (T,) ridges}."""
    amp = resolve_amp(recipe.amp, device)
    kept = [place for place, name in enumerate(model.attributes) if name not in targets]
    with watch("erase: note"):
        notes = take_notes(model, plan, data, choice, device, amp)
        if not torch.isfinite(notes.logits).all():
            raise InputError(
                "the network gives numbers that are not finite, so it cannot be edited: its weights are damaged"
            )
    with watch("erase: levels"):
        ridges = _ridges(model, plan, data, choice, notes, recipe, device, amp)
    with watch("erase: edit"):
        contrast = make_contrast(choice, notes.logits[:, kept], recipe.conditional)
        names = before_last_stage(notes)
        curvatures = output_curvature(model, plan, notes, names, kept, recipe.curvature, recipe.seed, amp)
        features = _edit(model, plan, notes, contrast, ridges, curvatures, recipe, amp, allowed, bar)
    with watch("erase: heads"):
        if recipe.refit:
            refit_heads(model, features, notes.logits, contrast.weights, kept)
        answer_base_rate(model, targets, choice.base_rates)
    return ridges


def _ridges(model, plan, data, choice, notes, recipe, device, amp):
    """{convolution: (T,) ridges} of each site."""
    if recipe.ridge is not None:
        return {site.conv: [recipe.ridge / recipe.strength] * choice.labels.shape[1] for site in plan.sites}
    fresh = untrained_like(model, recipe.seed + 1).to(memory_format=torch.channels_last)
    untrained = take_notes(fresh, plan, data, choice, device, amp, recipe.reference, only_pooled=True)
    whole = [site.conv for site in plan.sites if takes_whole_kernel(model.get_submodule(site.conv))]
    pooled = notes.pooled, untrained.pooled
    return site_ridges(*pooled, choice.labels, choice.rows, recipe.strength, map_sizes(notes), whole)


def _edit(model, plan, notes, contrast, ridges, curvatures, recipe, amp, allowed, bar):
    """The second pass, in which each site is edited; returns the features (N, D) that the heads see."""
    runner, modules = Runner(model, plan.graph, amp), dict(model.named_modules())
    sites, read, features = {site.value: site for site in plan.sites}, {}, []
    on_path = {node: site for site in plan.sites for node in site.path}

    def visit(node, output, values):
        if node in on_path:  # what the path reads must outlive its last use, for the value is computed once more
            path = on_path[node].path
            inputs = {source: values[source] for source in node.all_input_nodes if source not in path}
            read.setdefault(path[-1], {}).update(inputs)
        if node not in sites:
            return output
        site = sites[node]
        edited = Edited(modules[site.conv], modules[site.norm] if site.norm else None)
        inputs = read.pop(node)

        def rerun():
            again = dict(inputs)
            for step in site.path:
                again[step] = runner.compute(step, again)
            return again[site.value]

        value = edit_site(
            edited,
            inputs[site.path[0].all_input_nodes[0]],
            output,
            notes.values[site.conv],
            contrast,
            ridges[site.conv],
            rerun,
            hold=recipe.hold,
            repair=recipe.repair,
            curvature=curvatures.get(site.conv),
            rank=None if recipe.rank is None else recipe.rank * len(contrast.gram),
            allowed=None if allowed is None else allowed[site.conv],
        )
        bar.update()
        return value

    handle = get_heads(model).register_forward_pre_hook(lambda _, inputs: features.append(inputs[0].float()))
    try:
        runner.run(dict(notes.begin), start=plan.first, visit=visit)
    finally:
        handle.remove()
    return features[-1]
