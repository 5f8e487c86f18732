"""What step 3 says of an unlearning: its header, the checkpoint that it writes, its line of results, its picture."""

from utils.common import run
from utils.common.arguments import recorded_flags
from utils.common.errors import InputError
from utils.common.paths import check_outputs, targets_name
from utils.erasure.heads import emptied_heads
from utils.graph.selection import CONTROLS
from utils.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint, sha256_of
from utils.report.figures import draw_before_after
from utils.report.run_record import dataset_name, describe_task
from utils.report.tables import before_after_table, forgetting_sentence


def describe_unlearning(task, method, data):
    """Header of step 3: {what: value}; `method` as in `save_unlearned`, `data` an `ImageDataset`."""
    counts = ", ".join(f"{layer} {len(channels)}" for layer, channels in method.get("pruned", {}).items())
    emptied = emptied_heads(task.network.model)
    return {
        **describe_task(task, data),
        **({"empty before": f"{' '.join(emptied)} (answers the same whatever it sees)"} if emptied else {}),
        "method": method_name(method),
        **({"channels to prune": counts} if counts else {}),
        "test images": f"{len(data.rows('test'))} ({task.data_options['data_path']})",
    }


def unlearned_outputs(task, flags):
    """(path of the unlearned checkpoint, folder of what there is to see), looked at before any work.

    Args: task: `Task`; flags: {flag: value} of step 3
    Raises: InputError if one of the files could not be written, or is one that is read, or holds what another network
        gave
    """
    method, known = flags["method"], flags["evaluate_only"]
    path, folder = task.unlearned_file(method), task.results_folder(flags["results"], method)
    seen = [f"audit_{targets_name([target])}.json" for target in task.forgotten if flags["audit"]]
    results = [flags["results"], *(folder / name for name in ("before_after.png", *seen))]
    inputs = {"checkpoint": task.network.path, "unlearned": path if known else None}
    if not known:
        _check_parent(path, task.network, flags["weights"])
    check_outputs(flags | inputs, save_path=None if known else path, results=results)
    return path, folder


def _check_parent(path, network, weights):
    """Refuse to overwrite what another network gave: an unlearning of `weights` has the names of one of the original.

    A run that was trained again may overwrite what its earlier original gave.
    """
    try:
        there = load_checkpoint(path)
    except InputError:  # none, or a damaged one
        return
    if there.parent_sha256 in (None, network.sha256):
        return
    unlearned_before = (there.arguments.get("unlearning") or {}).get("before")
    if weights or unlearned_before or there.epoch is None:
        parents = f"{there.parent_sha256[:12]}…, not {network.path} ({network.sha256[:12]}…)"
        raise InputError(
            f"{path} holds what another network gave, {parents}: pass --run_name for this one, or remove it"
        )


def save_unlearned(path, network, method, flags):
    """Write the unlearned checkpoint of a `LoadedNetwork`.

    Args: method: what made it, JSON-ready, see `utils.pruning.channels` and `ErasureSettings`; flags: {flag: value}
    """
    asked = {flag: value for flag, value in recorded_flags(flags).items() if value is not None}
    before = network.arguments.get("unlearning")  # of an earlier unlearning that this one goes on from
    checkpoint = Checkpoint(
        state_dict=network.model.state_dict(),
        model=network.name,
        attributes=tuple(network.attributes),
        img_size=network.img_size,
        normalisation=str(network.normalisation),
        seed=network.seed,
        epoch=network.epoch,
        arguments={**network.arguments, "unlearning": method | {"arguments": asked, "before": before}},
        versions=run.environment(),
        parent_sha256=network.sha256,
        kind=path.stem,
    )
    save_checkpoint(path, checkpoint)
    print(f"wrote {path}")


def method_name(method):
    """The method in words: "prune" or "erase", and what differs from its defaults."""
    if method["rule"] == "erase":
        strength = method["strength"]
        return "erase" if strength == 1 else f"erase, strength {strength if strength == 'auto' else f'{strength:g}'}"
    if method["rule"] in CONTROLS:
        return f"control, {method['rule']} channels"
    words = ["prune"]
    words += ["no balance"] if method["rule"] == "no_balance" else []
    words += ["as released"] if method.get("as_released") or method["rule"] == "released" else []
    words += ["gradient x activation"] if method.get("importance") == "gradient_activation" else []
    layers = method.get("layers") or ["5"]
    words += [f"layers {' '.join(layers)}"] if layers != ["5"] else []
    return ", ".join(words)


def unlearning_line(task, method, path, before, after, seconds, flags):
    """What a results line keeps of an unlearning.

    Args:
        task: `Task`; method: as in `save_unlearned`; path: of the unlearned checkpoint
        before, after: {attribute: figures}; seconds: {phase: seconds}; flags: {flag: value} of step 3
    """
    network = task.network
    nodes = method.get("pruned", {})
    asked = recorded_flags(flags | task.data_options)
    if flags["evaluate_only"]:  # what was asked when the checkpoint was made, as far as it says how
        made = method.get("arguments", {})
        asked |= {flag: made[flag] for flag in ("method", "strength") if flag in made}
    return {
        "run": task.run,
        "dataset": dataset_name(flags["data_path"]),
        "attributes": list(network.attributes),
        "forgotten": list(task.forgotten),
        "method": method_name(method),
        "proportion": method.get("proportion"),
        "graph": {name: value for name, value in method.items() if name not in ("pruned", "arguments", "before")},
        "model": network.name,
        "img_size": network.img_size,
        "heads": {head: {"before": before[head], "after": after[head]} for head in network.attributes},
        "pruned": {layer: len(channels) for layer, channels in nodes.items()},
        "seconds": seconds,
        "peak_rss_bytes": run.peak_rss_bytes(),
        "parent_sha256": network.sha256,
        "checkpoint_sha256": sha256_of(path),
        "arguments": asked,
        "seed": flags["seed"] if network.seed is None else network.seed,
    }


def report_unlearning(line, folder, results):
    """Append the line of a run to the results, draw before against after, and print both in words.

    Args: line: of `unlearning_line`; folder: of the picture; results: the file of JSON lines
    """
    run.append_result(results, line)
    heads, forgotten = line["heads"], line["forgotten"]
    picture = folder / "before_after.png"
    draw_before_after(picture, heads, forgotten, f"{line['model']}: {line['method']}, forget {', '.join(forgotten)}")
    print(f"wrote {picture} and a line in {results}")
    print(before_after_table(heads, forgotten))
    print(*(forgetting_sentence(target, **heads[target]) for target in forgotten), sep="\n")
