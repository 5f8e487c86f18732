"""Erasure: a network forgets attributes in its features, not only in its head, by a short distillation from itself.

1. The untouched network is run once over some training images; its kept logits and pooled features are noted.
2. Features are asked to agree between images with and without the target at every stage, given the kept outputs
   (`utils.erasure_penalty`), while the kept logits stay as noted, and the features stay as noted but for the target's
   mean shift. Batch norms keep their statistics.
3. The kept heads are refitted in closed form, and the target's head answers its base rate.

The labels of the kept attributes are not used.
"""

import copy
from dataclasses import dataclass

import torch
from tqdm import tqdm

from utils.calibration import answer_base_rate, refit_heads
from utils.erasure_penalty import Penalty
from utils.erasure_plan import choose_images, chosen_batches, take_notes
from utils.errors import InputError
from utils.features import LAST, default_stages, pooled_outputs
from utils.modes import evaluating
from utils.recipe import resolve_amp
from utils.run import Stopwatch


@dataclass(frozen=True)
class ErasureRecipe:
    """Settings of erasure.

    images: image passes of the distillation, repeats included; batch_size: images a step; lr: first learning rate, it
    falls linearly to 0; strength: weight of the penalty; positives: least share of a batch that has a target
    match: weight of the features' match; adversary: weight of the adversary within the penalty
    refit: images, the last ones, that the kept heads are refitted on; 0: none; amp: see `utils.recipe.resolve_amp`
    """

    images: int = 1280
    batch_size: int = 64
    lr: float = 7e-4
    strength: float = 1.0
    positives: float = 0.25
    match: float = 0.3
    adversary: float = 0.2
    refit: int = 512
    amp: str = "auto"
    seed: int = 0


def erase(model, data, targets, recipe=None, *, rows=None, device="cpu", stages=None, watch=None, progress=True):
    """Make a network forget attributes, in place.

    Args:
        model: net with attribute heads, on `device`
        data: `utils.celeba.CelebA` or what has its attributes, labels, rows and batches
        targets: names of the forgotten heads
        rows: images to learn from; None: the training part
        stages: module names at which features must agree; None: those that an audit probes
        watch: `utils.run.Stopwatch` that gets the seconds of each part
    Returns: {"images", "steps", "stages"}: what was used
    Raises: InputError if a target is on no or on every image, or the network's numbers stop being finite
    """
    recipe, watch = recipe or ErasureRecipe(), watch or Stopwatch(device)
    device = torch.device(device)
    amp = resolve_amp(recipe.amp, device)
    rows = data.everything("train") if rows is None else rows
    stages = default_stages(model, data.img_size) if stages is None else tuple(stages)
    columns = [data.attributes.index(target) for target in targets]
    choice = choose_images(
        rows, data.labels[rows][:, columns], recipe.images, recipe.batch_size, recipe.positives, recipe.seed
    )
    with evaluating(model):
        model.to(memory_format=torch.channels_last)
        with watch("erase: note"):
            notes = take_notes(model, data, choice, targets, stages, device=device, amp=amp)
        with watch("erase: distil"):
            before = copy.deepcopy(model.state_dict())
            steps = _distil(model, data, choice, notes, recipe, stages, device, amp, progress)
            if not all(torch.isfinite(value).all() for value in model.state_dict().values()):
                model.load_state_dict(before)
                raise InputError(f"erasure diverged: use a learning rate below {recipe.lr:g}")
        with watch("erase: refit heads"):
            _refit(model, data, choice, notes, recipe, device, amp)
            answer_base_rate(model, targets, choice.base_rates)
        model.to(memory_format=torch.contiguous_format)
    return {"images": len(choice.rows), "steps": steps, "stages": list(notes.goals)}


def _distil(model, data, choice, notes, recipe, stages, device, amp, progress):
    """The steps of the distillation; returns how many."""
    labels = torch.from_numpy(choice.labels).to(device).float()
    weights = torch.from_numpy(choice.weights).to(device)
    wanted, width = notes.logits[:, notes.kept], notes.logits[:, notes.kept].var(0).mean() + 1e-8
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    model.requires_grad_(True)
    optimizer = torch.optim.AdamW(model.parameters(), recipe.lr, weight_decay=0.0, fused=True)
    steps = len(choice.rows) // recipe.batch_size
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: 1 - step / steps)
    penalty = Penalty(recipe.adversary)
    batches = chosen_batches(data, choice, recipe.batch_size, device)
    bar = tqdm(batches, total=steps, desc="erase", unit="batch", leave=False, disable=None if progress else True)
    with pooled_outputs(model, stages) as outputs:
        for part, images in bar:
            with torch.autocast(device.type, torch.bfloat16, enabled=amp):
                logits = model(images).float()[:, notes.kept]
            share = weights[part] / weights[part].sum()
            loss = (share[:, None] * (logits - wanted[part]).square()).sum(0).mean() / width
            for stage, goal in notes.goals.items():
                features = outputs[stage]
                loss = loss + recipe.match * (features - goal[part]).square().mean() / notes.scales[stage]
                told = penalty(stage, features, labels[part], notes.confounders[part], share)
                loss = loss + recipe.strength / len(notes.goals) * told
            optimizer.zero_grad(set_to_none=True)
            loss.backward()
            optimizer.step()
            schedule.step()
    optimizer.zero_grad(set_to_none=True)
    for parameter, flag in flags:
        parameter.requires_grad_(flag)
    return steps


def _refit(model, data, choice, notes, recipe, device, amp):
    """Closed-form refit of the kept heads on the last images used."""
    if not recipe.refit:
        return
    batch = recipe.batch_size
    first = max(0, len(choice.rows) - recipe.refit) // batch * batch
    last = choice.last(len(choice.rows) - first)
    seen = []
    with torch.no_grad(), pooled_outputs(model, ()) as outputs:
        for _, images in chosen_batches(data, last, 128, device):
            with torch.autocast(device.type, torch.bfloat16, enabled=amp):
                model(images)
            seen.append(outputs[LAST])
    weights = torch.from_numpy(last.weights).to(device)
    refit_heads(model, torch.cat(seen), notes.logits[first:], weights, notes.kept)
