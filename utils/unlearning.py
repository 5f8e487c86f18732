"""Step 3's working parts: which channels go, how a network is judged, what is written, and what is said."""

from pathlib import Path

from utils import paths, run
from utils.arguments import recipe_arguments
from utils.balance import released_nodes_to_prune
from utils.checkpoint import Checkpoint, check_matches, load_checkpoint, save_checkpoint
from utils.errors import InputError
from utils.essential_graph import read_graph, read_released_text
from utils.figures import draw_before_after
from utils.metrics import figures_per_head
from utils.network import check_graph
from utils.selection import CONTROLS
from utils.training import predict

SILENT_RATE = 0.05  # a head that says yes to at most this share of its positives is silent
CHANCE = 0.05  # |AUC - 0.5| up to which a head tells nothing


def kind(forgotten):
    """Name of the unlearned checkpoint."""
    return f"unlearned_{paths.targets_name(forgotten)}"


def channels_to_prune(args, network, forgotten, name):
    """({layer: channels}, how they were chosen) from the graph on disk, checked against the network and the request.

    Raises: InputError if the graph is absent, damaged or another's
    """
    targets = paths.targets_name(forgotten)
    if args.released_txt or str(args.graph or "").endswith(".txt"):
        indices = [network.attributes.index(attribute) for attribute in forgotten]
        path = args.graph or paths.released_graph_file(args.released_path, name, indices)
        return _from_released_text(path, network), {"rule": "released"}
    path = args.graph or paths.graph_file(args.graph_path, name, targets)
    graph = read_graph(path)
    check_graph(graph, network, forgotten, path)
    chosen_by = graph.made_by.get("arguments", {})
    recipe = {name: chosen_by.get(name) for name in ("proportion", "importance", "layers", "num_images", "as_released")}
    return graph.prune, {"rule": graph.rule, **recipe}


def method_name(recipe):
    """The method in words: "prune", and what differs from the published one."""
    if recipe["rule"] in CONTROLS:
        return f"control, {recipe['rule']} channels"
    words = ["prune"]
    words += ["no balance"] if recipe["rule"] == "no_balance" else []
    words += ["as released"] if recipe.get("as_released") else []
    words += ["gradient x activation"] if recipe.get("importance") == "gradient_activation" else []
    layers = recipe.get("layers") or ["5"]
    words += [f"layers {' '.join(layers)}"] if layers != ["5"] else []
    return ", ".join(words)


def _from_released_text(path, network):
    tallies, modules = read_released_text(path), dict(network.model.named_modules())
    for layer, tally in tallies.items():
        channels = getattr(modules.get(layer), "out_channels", None)
        if channels != len(tally):
            there = f"{channels} channels there" if channels else "no such convolution"
            raise InputError(f"{path}: {len(tally)} votes for layer {layer}, but {network.name} has {there}")
    return {layer: released_nodes_to_prune(tally, len(network.attributes)) for layer, tally in tallies.items()}


def describe(args, network, device, forgotten, prune, images):
    """Lines of the header: {what: value}."""
    counts = ", ".join(f"{layer} {len(channels)}" for layer, channels in prune.items())
    return {
        "network": f"{network.name} from {network.path}, {network.img_size} px, on {device}",
        "forget": " ".join(forgotten),
        "keep": " ".join(name for name in network.attributes if name not in forgotten),
        "channels to prune": counts,
        "test images": f"{images} ({args.split} split of {args.data_path})",
    }


def judge(model, data, rows, batch_size, device):
    """{attribute: figures} of a network on some rows."""
    logits, labels = predict(model, data, rows, batch_size, device)
    return figures_per_head(logits.numpy(), labels.numpy(), data.attributes)


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


def save_unlearned(args, network, forgotten, prune, name):
    """Write the unlearned checkpoint; returns its sha256."""
    path = paths.checkpoint_file(args.save_path, name, kind(forgotten))
    checkpoint = Checkpoint(
        state_dict=network.model.state_dict(),
        model=network.name,
        attributes=tuple(network.attributes),
        img_size=network.img_size,
        seed=network.seed,
        epoch=network.epoch,
        arguments={**recipe_arguments(args), "pruned": prune},
        versions=run.environment(),
        parent_sha256=network.sha256,
        kind=kind(forgotten),
    )
    sha256 = save_checkpoint(path, checkpoint)
    print(f"wrote {path}")
    return sha256


def dataset_name(args):
    """What the data set is called in results: --dataset_name, or the folder's own name."""
    return args.dataset_name or Path(args.data_path).resolve().name


def write_results(args, network, forgotten, prune, recipe, heads, seconds, sha256, name):
    """Append the line to the results file and draw the before/after picture."""
    record = {
        "run": name,
        "dataset": dataset_name(args),
        "attributes": list(network.attributes),
        "forgotten": list(forgotten),
        "method": method_name(recipe),
        "proportion": recipe.get("proportion"),
        "graph": recipe,
        "model": network.name,
        "img_size": network.img_size,
        "seed": args.seed if network.seed is None else network.seed,
        "heads": heads,
        "pruned": {layer: len(channels) for layer, channels in prune.items()},
        "seconds": seconds,
        "peak_rss_bytes": run.peak_rss_bytes(),
        "arguments": recipe_arguments(args),
        "checkpoint_sha256": sha256,
        "parent_sha256": network.sha256,
    }
    run.append_result(args.results, record)
    folder = paths.results_folder(args.results, name, paths.targets_name(forgotten))
    draw_before_after(
        folder / "before_after.png", heads, list(forgotten), f"{network.name}: forget {', '.join(forgotten)}"
    )
    print(f"wrote {folder / 'before_after.png'} and a line in {args.results}")


def report(heads, forgotten):
    """Print the before/after table and say plainly whether the head was erased or only silenced."""
    measures = {
        "tpr_all_positive": "TPR on all-positive",
        "accuracy": "accuracy",
        "balanced_accuracy": "balanced accuracy",
    }
    measures["auc"] = "AUC"
    rows = []
    for attribute, sides in heads.items():
        mark = f"{attribute} (forgotten)" if attribute in forgotten else attribute
        pairs = [f"{_shown(sides['before'][key])} -> {_shown(sides['after'][key])}" for key in measures]
        rows.append([mark, sides["after"]["n"], *pairs])
    print(run.table(rows, ["attribute", "n", *measures.values()]))
    for attribute in forgotten:
        print(verdict_line(attribute, heads[attribute]["before"], heads[attribute]["after"]))


def _shown(value):
    return "-" if value is None else f"{value:.3f}"


def verdict_line(attribute, before, after):
    """One sentence on a forgotten head: its rate may have fallen while its ranking stays."""
    rate, auc = after["tpr"], after["auc"]
    if rate is None or auc is None:
        return f"{attribute}: the test part lacks positives or negatives, so nothing can be said"
    ranks = f"its AUC is {_shown(before['auc'])} -> {_shown(auc)}"
    fell = f"true-positive rate {_shown(before['tpr'])} -> {_shown(rate)}"
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
