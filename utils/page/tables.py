"""The tables of the page: heads with intervals, attacks by stage with what each cell says on a click."""

from utils.attacks.registry import ATTACKS
from utils.audit.gaps import LEAST_KNOWN
from utils.audit.tolerances import ALLOWED_LOSS, GAP_TOLERANCE
from utils.page.methods import network_records
from utils.report.audit_figures import LARGEST_GAP, WHOLE
from utils.report.audit_report import NAMES, table_place
from utils.report.style import readable
from utils.report.tables import found_in

MEASURES = ("accuracy", "auc")


def network_kind(network):
    """How a network is drawn: "erased, strength 2" as "erased"; "other" for one without colours of its own."""
    kind = str(network).partition(",")[0]
    kind = "random" if kind == NAMES["random"] else kind
    return kind if kind in ("original", "unlearned", "pruned", "erased", "oracle", "random", "chance") else "other"


def heads_table(methods, forgotten):
    """Each head in each network, with intervals, of {method: audit} on one target.

    Args: forgotten: names of all targets
    Returns: [{"head", "forgotten": bool, "rows": [{"network", "accuracy", "auc": {"value", "interval", "change":
        figure of the change since the original or None, "lost": whether that is more than allowed}}]}]
    """
    records = network_records(methods)
    names = list(dict.fromkeys(name for record in records.values() for name in record["heads"]))
    return [
        {
            "head": name,
            "forgotten": name in forgotten,
            "rows": [
                {"network": network, **{measure: _cell(record, name, measure) for measure in MEASURES}}
                for network, record in records.items()
            ],
        }
        for name in sorted(names, key=lambda name: name not in forgotten)
    ]


def _cell(record, head, measure):
    figures = record["heads"].get(head)
    if figures is None:
        return {"value": None, "interval": None, "change": None, "lost": False, "absent": True}
    change = record["kept_changes"]["heads"].get(head, {}).get(measure)
    change = change if change and change["value"] is not None else None
    interval = figures.get("intervals", {}).get(measure)
    clear = bool(change and change.get("interval") and change["interval"][1] is not None and change["interval"][1] < 0)
    return {
        "value": figures.get(measure),
        "interval": interval if interval and None not in interval else None,
        "change": change,
        "lost": clear and change["value"] < -ALLOWED_LOSS[measure],
        "absent": False,
    }


def heads_without_audit(lines, forgotten):
    """As `heads_table`, without intervals, of {method: line of results}."""
    first = next(iter(lines.values()))
    figures = {"original": {head: sides["before"] for head, sides in first["heads"].items()}}
    figures |= {method: {h: sides["after"] for h, sides in line["heads"].items()} for method, line in lines.items()}
    nothing = {"interval": None, "change": None, "lost": False, "absent": False}
    return [
        {
            "head": head,
            "forgotten": head in forgotten,
            "rows": [
                {"network": network, **{m: {"value": by_head.get(head, {}).get(m), **nothing} for m in MEASURES}}
                for network, by_head in figures.items()
            ],
        }
        for head in sorted(first["heads"], key=lambda head: head not in forgotten)
    ]


def attack_table(audit, method):
    """What attacks find in the unlearned network beyond the reference: a row an attack, a column a stage.

    Args: audit: as `utils.audit.audit.audit` returns it; method: what the unlearned network is called
    Returns: {"reference", "columns": [name], "rows": [{"attack", "decides", "cells": [cell or None]}], "cells": [what
        `_details` says of each], "found": how many are beyond chance}, a cell being {"index", "gap", "information",
        "shade": -1 to 1, "beyond_chance"}; None without a reference
    """
    record = audit["nets"]["unlearned"]
    gaps, clear, stages = record["gaps"]["attacks"], set(found_in(record)), audit.get("stages", [])
    if not gaps:
        return None
    places = {}
    for attack, place in ((attack, place) for attack, places in gaps.items() for place in places):
        places[table_place(attack, place, stages)] = attack, place
    columns = sorted(dict.fromkeys(column for _, column in places), key=lambda column: column == WHOLE)
    rows, cells = [], []
    for row in dict.fromkeys(row for row, _ in places):
        line = []
        for column in columns:
            if (row, column) not in places:
                line.append(None)
                continue
            attack, place = places[row, column]
            gap = gaps[attack][place]
            line.append(
                {
                    "index": len(cells),
                    "gap": gap["value"],
                    "information": gap.get("information"),
                    "shade": None if gap["value"] is None else max(-1.0, min(1.0, gap["value"] / LARGEST_GAP)),
                    "beyond_chance": (attack, place) in clear and gap["value"] is not None,
                }
            )
            cells.append(_details(audit, method, attack, place, line[-1]["beyond_chance"]))
        known = ATTACKS.get(next(attack for (name, _), (attack, _) in places.items() if name == row))
        rows.append({"attack": row, "decides": known is None or known.decides, "cells": line})
    found = sum(cell["beyond_chance"] for row in rows for cell in row["cells"] if cell)
    return {"reference": record["gaps"]["reference"], "columns": columns, "rows": rows, "cells": cells, "found": found}


def _details(audit, method, attack, place, clear):
    """{"title", "sentence", "facts": [text], "figures": [{"network", "kind", "value", "low", "high"}], "curve"}."""
    record = audit["nets"]["unlearned"]
    gap = record["gaps"]["attacks"][attack][place]
    reference = record["gaps"]["reference"]
    against = NAMES.get(reference, reference)
    figures = []
    for name in ("original", "unlearned", reference):
        figure = audit["nets"].get(name, {}).get("attacks", {}).get(attack, {}).get(place)
        if figure and figure["value"] is not None:
            low, high = figure.get("interval") or (None, None)
            shown = method if name == "unlearned" else NAMES.get(name, name)
            ends = {"value": figure["value"], "low": low, "high": high}
            figures.append({"network": shown, "kind": network_kind(shown), **ends})
    return {
        "title": f"{readable(attack)} at {place}",
        "sentence": _cell_sentence(gap, clear, against),
        "facts": _facts(gap, against),
        "figures": figures,
        "curve": "relearning" in attack,
    }


def _cell_sentence(gap, clear, against):
    if gap["value"] is None:
        return "This attack could not be run here: too few images, or nothing to fit."
    if clear:
        return f"This attack finds more than in the {against}, beyond chance over all attacks: it is still here."
    if gap["value"] > GAP_TOLERANCE:
        return f"This attack finds more than in the {against}, but not beyond chance."
    return f"This attack finds no more than in the {against}."


def _facts(gap, against):
    if gap["value"] is None:
        return []
    low, high = gap.get("interval") or (None, None)
    interval = "" if low is None else f", 95 % interval {low:+.3f} to {high:+.3f}"
    facts = [f"AUC less the {against}'s: {gap['value']:+.3f}{interval}"]
    if gap.get("p") is not None:
        p = gap["p"]
        facts.append(f"one-sided p {'below 0.001' if p < 0.001 else format(p, '.3f')}, before Holm's correction")
    if gap.get("information") is not None:
        share = gap["information"]
        facts.append(f"information: {share:+.2f} of what the original tells beyond the oracle (1: all, 0: none)")
    elif against == "oracle":
        facts.append(f"information: undefined, the original is less than {LEAST_KNOWN} of AUC above the oracle here")
    return facts
