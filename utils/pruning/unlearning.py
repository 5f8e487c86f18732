"""Step 3's working parts: which channels go, what is loaded and saved, what is recorded, and what is said."""

from dataclasses import asdict, fields

from utils.common import run
from utils.common.errors import InputError
from utils.erasure.erasure import ErasureSettings
from utils.evaluation.predict import shown
from utils.graph.essential_graph import read_graph, read_released_text
from utils.graph.selection import CONTROLS, released_nodes_to_prune
from utils.network.checkpoint import Checkpoint, check_matches, load_checkpoint, save_checkpoint
from utils.network.loading import check_graph

SILENT_RATE = 0.05  # a head that says yes to at most this share of its positives is silent
CHANCE = 0.05  # |AUC - 0.5| up to which a head tells nothing


def channels_to_prune(path, network, forgotten):
    """({layer: channels}, how they were chosen) from a graph (.json or the released .txt) that fits the network.

    Raises: InputError if the graph is absent, damaged or another's
    """
    if str(path).endswith(".txt"):
        return _from_released_text(path, network), {"rule": "released"}
    graph = read_graph(path)
    check_graph(graph, network, forgotten, path)
    chosen_by = graph.made_by.get("arguments", {})
    recipe = {name: chosen_by.get(name) for name in ("proportion", "importance", "layers", "num_images", "as_released")}
    return graph.prune, {"rule": graph.rule, **recipe}


def erasure_settings(strength, images, seed):
    """{"rule": "erase", and every setting of an `ErasureSettings`} from those that the user chooses."""
    recipe = ErasureSettings(strength=strength, images=images, seed=seed)
    return {"rule": "erase", **asdict(recipe)}


def erasure_recipe(settings):
    """The fields of an `ErasureSettings` among the `erasure_settings`."""
    return {field.name: settings[field.name] for field in fields(ErasureSettings)}


def _from_released_text(path, network):
    tallies, modules = read_released_text(path), dict(network.model.named_modules())
    for layer, tally in tallies.items():
        channels = getattr(modules.get(layer), "out_channels", None)
        if channels != len(tally):
            there = f"{channels} channels there" if channels else "no such convolution"
            raise InputError(f"{path}: {len(tally)} votes for layer {layer}, but {network.name} has {there}")
    return {layer: released_nodes_to_prune(tally, len(network.attributes)) for layer, tally in tallies.items()}


def method_name(recipe):
    """The method in words: "prune", and what differs from the published one."""
    if recipe["rule"] == "erase":
        words = ["erase"]
        words += [f"strength {recipe['strength']:g}"] if recipe["strength"] != 1 else []
        return ", ".join(words)
    if recipe["rule"] in CONTROLS:
        return f"control, {recipe['rule']} channels"
    words = ["prune"]
    words += ["no balance"] if recipe["rule"] == "no_balance" else []
    words += ["as released"] if recipe.get("as_released") else []
    words += ["gradient x activation"] if recipe.get("importance") == "gradient_activation" else []
    layers = recipe.get("layers") or ["5"]
    words += [f"layers {' '.join(layers)}"] if layers != ["5"] else []
    return ", ".join(words)


def describe(network, device, forgotten, prune, recipe, images):
    """Lines of the header: {what: value}; `images` says on what the network is judged."""
    if recipe["rule"] == "erase":
        what = {"erasure": f"{recipe['images']} training images, strength {recipe['strength']}"}
    else:
        what = {"channels to prune": ", ".join(f"{layer} {len(channels)}" for layer, channels in prune.items())}
    return {
        "network": f"{network.name} from {network.path}, {network.img_size} px, on {device}",
        "forget": " ".join(forgotten),
        "keep": " ".join(name for name in network.attributes if name not in forgotten),
        **what,
        "test images": images,
    }


def load_unlearned(network, path):
    """Put the values of an unlearned checkpoint into the network, in place.

    Raises: InputError if there is none, or it descends from another original
    """
    checkpoint = load_checkpoint(path)
    check_matches(checkpoint, path, attributes=tuple(network.attributes), model=network.name, img_size=network.img_size)
    if checkpoint.parent_sha256 != network.sha256:
        sides = f"{str(checkpoint.parent_sha256)[:12]}…, but {network.path} has sha256 {network.sha256[:12]}…"
        raise InputError(
            f"{path} was unlearned from a checkpoint of sha256 {sides}: run step 3 without --evaluate_only"
        )
    network.model.load_state_dict(checkpoint.state_dict)


def save_unlearned(path, network, prune, arguments):
    """Write the unlearned checkpoint; returns its sha256."""
    checkpoint = Checkpoint(
        state_dict=network.model.state_dict(),
        model=network.name,
        attributes=tuple(network.attributes),
        img_size=network.img_size,
        seed=network.seed,
        epoch=network.epoch,
        arguments={**arguments, "pruned": prune},
        versions=run.environment(),
        parent_sha256=network.sha256,
        kind=path.stem,
    )
    sha256 = save_checkpoint(path, checkpoint)
    print(f"wrote {path}")
    return sha256


def record(network, forgotten, prune, recipe, heads, seconds):
    """What the results file keeps of a run, beside what the script knows (run, data set, arguments, seed)."""
    return {
        "attributes": list(network.attributes),
        "forgotten": list(forgotten),
        "method": method_name(recipe),
        "proportion": recipe.get("proportion"),
        "graph": recipe,
        "model": network.name,
        "img_size": network.img_size,
        "heads": heads,
        "pruned": {layer: len(channels) for layer, channels in prune.items()},
        "seconds": seconds,
        "peak_rss_bytes": run.peak_rss_bytes(),
        "parent_sha256": network.sha256,
    }


def plain_words(attribute, before, after):
    """One sentence on a forgotten head: its rate may have fallen while its ranking stays.

    Args:
        before, after: figures of the head, see `metrics.figures_per_head`
    """
    rate, auc = after["tpr"], after["auc"]
    if rate is None or auc is None:
        return f"{attribute}: the test part lacks positives or negatives, so nothing can be said"
    ranks = f"its AUC is {shown(before['auc'])} -> {shown(auc)}"
    fell = f"true-positive rate {shown(before['tpr'])} -> {shown(rate)}"
    if abs(auc - 0.5) <= CHANCE:
        return f"{attribute}: the head no longer tells ({ranks}; {fell}). Whether features still do needs a probe."
    if auc < 0.5:
        return (
            f"{attribute}: INVERTED, not forgotten: {ranks}, so reading it upside down recovers the attribute ({fell})."
        )
    if rate < before["tpr"]:
        word = "silenced" if rate <= SILENT_RATE else "pushed down"
        return f"{attribute}: {word}, not erased: {fell}, but the head still ranks: {ranks}."
    return f"{attribute}: not forgotten: {fell}, {ranks}."
