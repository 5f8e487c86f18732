"""The files that a step will write, and what a network lets it do, looked at before any work."""

from utils.common.errors import InputError
from utils.common.paths import check_outputs, run_name, targets_name
from utils.erasure.sites import find_sites
from utils.graph.dataflow import trace_dataflow
from utils.network.checkpoint import load_checkpoint
from utils.training.events import check_installed, events_folder
from utils.training.resume import training_files


def training_outputs(flags, left_out=()):
    """`TrainingFiles` of step 1 with its flags, {flag: value}, looked at before any work.

    Args: left_out: names of the heads that an oracle lacks
    Raises: InputError if one of the files could not be written, or is one that is read, or a package is missing
    """
    check_installed(flags["log"])
    run = run_name(flags["task_labels"], flags["run_name"])
    files = training_files(flags["save_path"], run, left_out)
    written = [*vars(files).values(), *([events_folder(files.last) / "events"] if flags["log"] else [])]
    check_outputs(flags, save_path=[] if flags["evaluate_only"] else written)
    return files


def unlearned_outputs(task, flags):
    """(path of the unlearned checkpoint, folder of what there is to see), looked at before any work.

    Args: task: `Task`; flags: {flag: value} of step 3
    Raises: InputError if one of the files could not be written, or is one that is read, or holds what another network
        gave, or the network is none that the method can work on
    """
    method, known = flags["method"], flags["evaluate_only"]
    path, folder = task.unlearned_file(method), task.results_folder(flags["results"], method)
    seen = [f"audit_{targets_name([target])}.json" for target in task.forgotten if flags["audit"]]
    results = [flags["results"], *(folder / name for name in ("before_after.png", *seen))]
    results += [folder / "page.json", folder.parent / "report.html"] if flags["audit"] or flags["report"] else []
    if not known and method == "erase":
        find_sites(task.network.model)
    if not known:
        _check_parent(path, task.network, flags["weights"])
    inputs = {"checkpoint": task.network.path, "unlearned": path if known else None}
    if method == "prune" and not known:
        inputs["graph"] = flags.get("graph") or task.graph_file
    check_outputs(flags | inputs, save_path=None if known else path, results=results)
    return path, folder


def steps_to_come(model, layers=5):
    """What steps 2 and 3 will be able to do with a network: prune `layers`, as step 2 does unasked, erase, or why not.

    Returns: it in words
    """
    can, cannot = [], {}
    ways = {f"prune {layers} layers": lambda: trace_dataflow(model).choose_layers([layers])}
    for way, look in (ways | {"erase": lambda: find_sites(model)}).items():
        try:
            look()
            can.append(way)
        except InputError as error:
            cannot[str(error)] = way
    words = [f"can {' and '.join(can)}"] * bool(can) + [f"cannot {way}: {why}" for why, way in cannot.items()]
    return "steps 2 and 3 " + "; ".join(words)


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
        cure = "pass --run_name for this one, or remove it"
        raise InputError(f"{path} holds what another network gave, {parents}: {cure}")
