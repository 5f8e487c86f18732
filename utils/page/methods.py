"""The methods of one run side by side: what each forgot, what it kept and what that cost."""

import os
from pathlib import Path
from urllib.parse import quote

from utils.report.tables import found_in, worst_change, worst_places

AGAINST = {"oracle": "oracle", "random": "untrained network", None: "reference"}  # what attacks are compared with


def compared_networks(audits):
    """Networks side by side on one target.

    Args: audits: {method: audit as `utils.audit.audit.audit` returns it}, all of one original
    Returns: {network: {"rate": true-positive rate of the head, "head": its AUC, "gap": what the worst attack finds
        beyond its reference, in AUC, "attack": its name and place, "reference": see `references_of`, "kept": accuracy
        of the worst kept head, "changes": worst (change, head) of a kept head by accuracy and by AUC, "verdict": a word
        or ""}}, fractions, None where undefined
    """
    audit = next(iter(audits.values()))
    found = {}
    for name, record in network_records(audits, by_reference=True).items():
        kept = [record["heads"][head].get("accuracy") for head in audit["kept"] if head in record["heads"]]
        gap, attack = worst_attack(record)
        changes = record["kept_changes"]["heads"]
        found[name] = {
            "rate": record["heads"].get(audit["target"], {}).get("tpr"),
            "head": record["shipped"]["value"] if record["shipped"]["has_head"] else None,
            "gap": gap,
            "attack": attack,
            "reference": record["gaps"]["reference"],
            "kept": min((value for value in kept if value is not None), default=None),
            "changes": {measure: worst_change(changes, measure) for measure in ("accuracy", "auc")},
            "verdict": record["verdict"]["word"] if name in audits else "",
        }
    return found


def references_of(audits):
    """What the attacks of some audits are compared with, each once: "oracle", "random" or None.

    Gaps to one of them do not compare with gaps to another. Args: {method: audit}
    """
    return list(dict.fromkeys(audit["nets"]["unlearned"]["gaps"]["reference"] for audit in audits.values()))


def network_records(audits, by_reference=False):
    """{"original", each method, "oracle": what an audit says of that network}; those that none has are left out.

    Args: by_reference: where references differ, an original for each: "original, against the oracle" and so on
    """
    originals = {}
    for audit in audits.values():
        if "original" in audit["nets"]:
            originals.setdefault(audit["nets"]["unlearned"]["gaps"]["reference"], audit["nets"]["original"])
    if by_reference and len(originals) > 1:
        networks = {f"original, against the {AGAINST[reference]}": record for reference, record in originals.items()}
    else:
        networks = {"original": next(iter(originals.values()), None)}
    networks |= {name: audit["nets"]["unlearned"] for name, audit in audits.items()}
    networks["oracle"] = network_of_any(audits, "oracle")
    return {name: record for name, record in networks.items() if record}


def network_of_any(audits, network):
    """What the first of some audits, {method: audit}, that has a network says of it; None if none has."""
    return next((audit["nets"][network] for audit in audits.values() if network in audit["nets"]), None)


def worst_attack(record):
    """(largest gap of an attack to the reference's, "attack at place"); None and "" where nothing is compared.

    Of the attacks that found the target beyond chance, if any did. The reference itself has no worst attack.

    Args: record: of one network in an audit
    """
    gaps, found = record["gaps"]["attacks"], set(found_in(record))
    worst = [(gaps[attack][place]["value"], attack, place) for attack, place in worst_places(record).items() if gaps]
    worst = [entry for entry in worst if entry[1:] in found] or worst
    gap, attack, place = max(worst, default=(None, "", ""))
    return gap, f"{attack} at {place}" if any(value for value, *_ in worst) else ""


def runs_of(networks, above, page):
    """Networks of several runs as rows of one table, the unlearned ones numbered through.

    Args:
        networks: {(network, folder, target): figures as of `compared_networks`}; folder: a pathlib.Path
        above: folder of the table's own file; page: name of the page that a folder may hold
    Returns: [{"run", "target", "page": relative address or None, "networks": [{"network", "number": from 1, None for an
        original or an oracle, "change": worst change of a kept head's accuracy, "auc": of its AUC, and "gap", "attack",
        "head", "verdict", "reference" of the figures}]}]; undefined figures are None
    """
    runs, number = {}, 0
    for (name, named, target), own in networks.items():
        folder = named.resolve()
        if (folder, target) not in runs:
            there = (folder / page).is_file()
            address = os.path.relpath(folder / page, Path(above).resolve()).replace(os.sep, "/") if there else None
            address = address and quote(os.fsencode(address))
            run = {"run": folder.parent.name, "target": target, "page": address, "networks": []}
            runs[folder, target] = run
        kind = name.partition(", ")[0]
        unlearned = kind not in ("original", "oracle")
        number += unlearned
        accuracy, auc = (own["changes"][measure] for measure in ("accuracy", "auc"))
        row = {"network": kind if kind == "original" else name, "number": number if unlearned else None}
        row |= {"change": 0.0 if kind == "original" else accuracy and accuracy[0], "auc": auc and auc[0]}
        row |= {what: own[what] for what in ("gap", "attack", "head", "verdict", "reference")}
        row |= {"gap": 0.0, "attack": ""} if kind == "oracle" else {}
        runs[folder, target]["networks"].append(row)
    return list(runs.values())
