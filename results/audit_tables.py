"""Tables of audits: what each network at hand still tells about the forgotten attribute, over seeds."""

from results.result_lines import group_results
from results.wording import spread, verdict_words

NAMES = {"drop_head": "drop the head", "random": "random initialisation"}
BESIDE = ("original", "drop_head", "oracle", "random")
LEFT_OUT = ("drop the head", "floor")  # of a short table
NOTE = (
    "AUC on the test part; ± is the sample standard deviation over seeds. *Worst stage*: the largest excess of the "
    "linear probe over the oracle's at any stage; ERASED allows 0.02. *Relearning*: area between a refitted head's "
    "curve and the oracle's, AUC × doublings, above 0 is sooner than the oracle. *Kept loss*: the largest loss among "
    "the kept heads since the original, points of accuracy / AUC."
)
FLOOR_NOTE = " *Floor*: from the true kept labels alone."


def audit_table(results, short=False):
    """Markdown: for each run and forgotten attribute the audited networks, one row each.

    Methods audited on the same run and attribute share the rows of the original, the oracle and the baselines.

    Args: results: result lines, those without "audit" are left out; short: the main columns and networks only
    Returns: "" if there is no audit among them
    """
    cases = {}
    for group, by_seed in group_results([line for line in results if line.get("audit")]).items():
        lines = list(by_seed.values())
        for target in lines[0]["audit"]:
            cases.setdefault((group.dataset, group.run, target), []).append((group, lines))
    if not cases:
        return ""
    stages = _stages(cases)
    heads = ["run, forgotten", "network", "seeds", "head AUC", *(f"probe {stage}" for stage in stages)]
    heads += ["worst stage", "MLP", "kNN", "relearning", "membership", "kept loss", "verdict"]
    hidden = {"seeds", "membership", *(f"probe {stage}" for stage in stages[:-1])}
    shown = [place for place, head in enumerate(heads) if head not in hidden]
    rows = [heads, ["---"] * len(heads)]
    for (_, run, target), methods in cases.items():
        rows += [[f"{run}, {target}", *row] for row in _case(target, methods, stages)]
    if short:
        rows = [[row[place] for place in shown] for row in rows if row[1] not in LEFT_OUT]
    note = NOTE if short else NOTE + FLOOR_NOTE
    return "\n".join(["| " + " | ".join(row) + " |" for row in rows] + ["", note, ""])


def _stages(cases):
    """Stages of all audits, shallow to deep; the last features only, where the last stage is the same numbers."""
    found = {}
    for methods in cases.values():
        for _, lines in methods:
            found |= dict.fromkeys(lines[0]["audit"][next(iter(lines[0]["audit"]))]["nets"]["unlearned"]["probes"])
    stages = [stage for stage in found if stage != "features"]
    return [*(stage for stage in stages if not _same_as_features(stage, cases)), "features"]


def _same_as_features(stage, cases):
    nets = [
        net
        for methods in cases.values()
        for _, lines in methods
        for line in lines
        for audit in line["audit"].values()
        for net in audit["nets"].values()
    ]
    return all(net["probes"].get(stage, {}).get("value") == net["probes"]["features"]["value"] for net in nets)


def _case(target, methods, stages):
    """Rows of one run and attribute."""
    _, first = methods[0]
    rows = [_row(NAMES.get(net, net), net, target, first, stages) for net in BESIDE[:2] if _has(first, target, net)]
    for group, lines in methods:
        name = group.method if group.proportion is None else f"{group.method}, p = {group.proportion:g}"
        rows.append(_row(f"**{name}**", "unlearned", target, lines, stages)[:-1] + [verdict_words(lines, target)])
    rows += [_row(NAMES.get(net, net), net, target, first, stages) for net in BESIDE[2:] if _has(first, target, net)]
    floor = spread([line["audit"][target]["kept_labels"]["value"] for line in first])
    return [*rows, ["floor", str(len(first)), floor, *["-"] * (len(stages) + 7)]]


def _has(lines, target, net):
    return all(net in line["audit"][target]["nets"] for line in lines)


def _row(name, net, target, lines, stages):
    nets = [line["audit"][target]["nets"][net] for line in lines]
    figures = [[found["head_auc"] for found in nets]]
    figures += [[found["probes"].get(stage) for found in nets] for stage in stages]
    cells = [
        *map(_figure, figures),
        _worst_stage(nets, [line["audit"][target]["nets"].get("oracle") for line in lines]),
    ]
    cells += [_figure([found[kind] for found in nets]) for kind in ("mlp", "knn")]
    areas = [found["relearning"]["head"]["area"] for found in nets]
    cells += ["-" if None in areas else spread(areas), _figure([found["membership"] for found in nets])]
    return [name, str(len(lines)), *cells, _kept_loss(nets), "-"]


def _figure(column):
    values = [figure and figure["value"] for figure in column]
    return "-" if None in values else spread(values)


def _worst_stage(nets, oracles):
    """Mean ± spread of the largest excess, over stages, of a network's probe over the oracle's: "+0.012"."""
    if None in oracles:
        return "-"
    gaps = [
        max(net["probes"][stage]["value"] - figure["value"] for stage, figure in oracle["probes"].items())
        for net, oracle in zip(nets, oracles, strict=True)
        if None not in [part["probes"][stage]["value"] for part in (net, oracle) for stage in oracle["probes"]]
    ]
    return spread(gaps) if len(gaps) == len(nets) else "-"


def _kept_loss(nets):
    """Mean over seeds of the worst kept head's loss: "points of accuracy / AUC"."""
    if not all(net["kept_changes"] for net in nets):
        return "-"
    worst = [
        [max(-change[measure]["value"] for change in net["kept_changes"].values()) for net in nets]
        for measure in ("accuracy", "auc")
    ]
    accuracy, auc = (sum(column) / len(column) for column in worst)
    return f"{100 * accuracy:+.1f} / {auc:+.3f}"
