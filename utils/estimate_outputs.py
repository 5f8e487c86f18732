"""What an estimate leaves behind: estimate.json, its words on the screen, and those of the comparison afterwards."""

import json

from utils import run
from utils.errors import InputError
from utils.essential_graph import read_graph
from utils.estimate import compare
from utils.judging import shown


def graph_with_scores(path):
    """The essential graph of step 2. Raises: InputError for the released text, which does not say whose channels"""
    if str(path).endswith(".txt"):
        raise InputError(f"{path} holds votes only, not the channels of each attribute: --estimate needs step 2's JSON")
    return read_graph(path)


def write_and_show(folder, estimated, sha256):
    """Write estimate.json, with the sha256 of the network it speaks of, and print it."""
    content = {**estimated, "parent_sha256": sha256}
    run.write_atomically(folder / "estimate.json", json.dumps(content, indent=1, allow_nan=False) + "\n")
    print(summary(estimated))
    print(f"wrote {folder}/estimate.json; a later run of step 3 compares itself with it")


def compare_if_there(folder, record):
    """Hold an estimate made before against a run, print that, and return {"estimate": it}; {} if there is none.

    Args: record: of `utils.unlearning.record`, with "audit" if there was one
    """
    names = ("attributes", "forgotten", "parent_sha256")
    estimated, why_not = read_estimate(folder / "estimate.json", *(record[name] for name in names))
    if estimated is None:
        if why_not:
            print(why_not)
        return {}
    nets = {target: found["nets"]["unlearned"] for target, found in record.get("audit", {}).items()}
    probes = {t: {stage: figure["value"] for stage, figure in net["probes"].items()} for t, net in nets.items()}
    compared = compare(estimated, record["heads"], probes)
    print(comparison_in_words(compared))
    return {"estimate": compared}


def read_estimate(path, attributes, targets, sha256):
    """(the estimate, "") if there is one for these heads, targets and network; else (None, why not, "" if no file).

    Raises: InputError if the file is damaged
    """
    if not path.is_file():
        return None, ""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        of = found["attributes"], found["targets"], found["parent_sha256"]
        found["basis"], [(one["head"], one["score"]) for one in found["kept"]], found["floor"].values()
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a whole estimate ({error!r}): make it again with --estimate") from error
    if of != (list(attributes), list(targets), sha256):
        return None, f"{path} is of another network or other targets, and is not compared: run --estimate again"
    return found, ""


def summary(estimated):
    """The estimate as aligned text: kept heads by predicted loss, reasons in words, and the floor of each target."""
    basis = estimated["basis"]
    rows = [[place, one["head"], one["score"], one["reason"]] for place, one in enumerate(estimated["kept"], 1)]
    lines = [
        f"estimate from {basis}, {estimated['n']:,} training images; no network was run",
        *(["no graph of step 2 was used: run step 2 for one that counts shared channels too"] * (basis == "labels")),
        run.table(rows, ["rank", "kept head", "score", "why it may suffer"]),
    ]
    among = ", ".join(sorted(one["head"] for one in estimated["kept"]))
    for target, figure in estimated["floor"].items():
        said = f"floor of {target}: AUC {shown(figure['value'])} from the true labels of {among} alone"
        told = figure["value"] is not None and figure["interval"][0] > 0.5
        lines.append(f"{said}, {'which no method can take away' if told else 'which tell nothing of it'}")
    return "\n".join(lines)


def comparison_in_words(compared):
    """Estimated against measured, as aligned text and a sentence for each claim."""
    rows = [[one["head"], one["score"], one["loss"]] for one in compared["kept"]]
    lines = [
        "estimated against measured:",
        run.table(rows, ["kept head", "score", "worst loss, measured"]),
    ]
    if compared["spearman"] is not None:
        lines.append(
            f"rank correlation over {len(rows)} kept heads: {compared['spearman']:+.2f} (Spearman; 1: as foreseen)"
        )
    if compared["worst_foreseen"] is not None:
        lines.append(f"the head expected to suffer most {'did' if compared['worst_foreseen'] else 'did not'}")
    for target, one in compared["floor"].items():
        lines.append(f"floor of {target}: {_floor(one)}")
    return "\n".join(lines)


def _floor(one):
    if one["held"] is None:
        return (
            f"{shown(one['floor'])}, not checked: a head's own AUC ({shown(one['head'])}) may lie below it; "
            "--audit quick probes the features"
        )
    return f"{shown(one['floor'])}, best probe {shown(one['probe'])}: {'held' if one['held'] else 'NOT held'}"
