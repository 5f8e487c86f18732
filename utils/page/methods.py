"""The methods of one run side by side: what each forgot, what it kept and what that cost."""

from utils.report.tables import found_in, worst_change, worst_places


def compared_networks(audits):
    """Networks side by side on one target.

    Args: audits: {method: audit as `utils.audit.audit.audit` returns it}, all of one original
    Returns: {network: {"rate": true-positive rate of the head, "head": its AUC, "gap": what the worst attack finds
        beyond the reference, in AUC, "attack": its name and place, "kept": accuracy of the worst kept head, "changes":
        worst (change, head) of a kept head by accuracy and by AUC, "verdict": a word or ""}}, fractions, None where
        undefined
    """
    audit = next(iter(audits.values()))
    found = {}
    for name, record in network_records(audits).items():
        kept = [record["heads"][head].get("accuracy") for head in audit["kept"] if head in record["heads"]]
        gap, attack = worst_attack(record)
        changes = record["kept_changes"]["heads"]
        found[name] = {
            "rate": record["heads"].get(audit["target"], {}).get("tpr"),
            "head": record["shipped"]["value"] if record["shipped"]["has_head"] else None,
            "gap": gap,
            "attack": attack,
            "kept": min((value for value in kept if value is not None), default=None),
            "changes": {measure: worst_change(changes, measure) for measure in ("accuracy", "auc")},
            "verdict": record["verdict"]["word"] if name in audits else "",
        }
    return found


def network_records(audits):
    """{"original", each method, "oracle": what an audit says of that network}; those that none has are left out."""
    first = next(iter(audits.values()))["nets"]
    networks = {
        "original": first.get("original"),
        **{name: audit["nets"]["unlearned"] for name, audit in audits.items()},
    }
    networks["oracle"] = first.get("oracle")
    return {name: record for name, record in networks.items() if record}


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
