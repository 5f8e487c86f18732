"""The rows that the audits of a JSON line fill in tables: a network, an attack, or an unlearning each."""

NETWORKS = ("original", "unlearned", "oracle")  # the networks of the tables `methods`
LINEAR = "linear"  # the attack that has a column of its own


def audit_rows(kind, line):
    """The rows of a line in the tables of a kind: "methods", "audit", "attacks" or "networks".

    Raises: ValueError for a line of an earlier version, in which attacks have no names
    """
    for target, audit in (line.get("audit") or {}).items():
        networks = audit["nets"]
        if any("attacks" not in record for record in networks.values()):
            raise ValueError("an audit of an earlier version, without attacks: run it again")
        forgotten = target if target == line["forgotten"] else f"{target} (of {line['forgotten']})"
        keys = {"run": line["run"], "forgotten": forgotten}
        word = {"verdict": ((line.get("verdict") or {}).get(target) or {}).get("word")}
        if kind == "attacks":
            for row in _attack_rows(networks):
                yield keys | {"method": line["method"]} | row | {"_place": 0}
        elif kind == "networks":
            row = {"network": str(line.get("model")), "px": str(line.get("img_size")), "forgotten": forgotten}
            row |= {"method": line["method"], **_head(networks["unlearned"]), **_worst("unlearned", networks)}
            yield row | _kept(networks["unlearned"]) | word | {"_title": line["_dataset"]}
        else:
            for name in NETWORKS if kind == "methods" else networks:
                if name in networks:
                    shown = {"network": f"**{line['method']}**" if name == "unlearned" else name.replace("_", " ")}
                    row = keys | shown | _network(name, networks) | (word if name == "unlearned" else {"verdict": None})
                    row |= {} if kind == "methods" else _beside(networks[name])
                    yield row | {"_place": (*NETWORKS, name).index(name)}


def _network(name, networks):
    """Head, worst gap of the linear attack and of all others to the oracle, worst changes of kept heads."""
    linear = _worst(name, networks, lambda attack: attack == LINEAR)["worst − oracle"]
    other = _worst(name, networks, lambda attack: attack != LINEAR)
    gaps = {"linear − oracle": linear, "other − oracle": other["worst − oracle"], "worst other": other["worst attack"]}
    return _head(networks[name]) | gaps | _kept(networks[name])


def _worst(name, networks, counts=lambda attack: True):
    """Largest gap to the oracle, of the attacks that count, and its name; None where nothing is compared."""
    gaps = {pair: gap for pair, gap in _gaps(name, networks).items() if counts(pair[0])}
    worst = max(gaps, key=gaps.get, default=None)
    return {"worst − oracle": gaps.get(worst), "worst attack": worst and f"{worst[0]} at {worst[1]}"}


def _gaps(name, networks):
    """{(attack, place): AUC of a network less the oracle's}, where both have one; {} of the oracle itself.

    An AUC below 0.5 counts as 0.5, as in the audit.
    """
    own = _values(networks[name])
    theirs = {} if name == "oracle" else _values(networks.get("oracle") or {})
    return {pair: max(value, 0.5) - max(theirs[pair], 0.5) for pair, value in own.items() if pair in theirs}


def _values(record):
    """{(attack, place): AUC} of those that a network has."""
    found = {
        (attack, place): figure["value"]
        for attack, places in record.get("attacks", {}).items()
        for place, figure in places.items()
    }
    return {pair: value for pair, value in found.items() if value is not None}


def _attack_rows(networks):
    """A row an attack: where it finds most in the unlearned network beyond the oracle, and the figures there."""
    own, gaps, shares = _values(networks["unlearned"]), _gaps("unlearned", networks), networks["unlearned"].get("gaps")
    for attack in networks["unlearned"]["attacks"]:
        places = {pair: gaps.get(pair, value) for pair, value in own.items() if pair[0] == attack}
        compared = {pair: gap for pair, gap in places.items() if pair in gaps} or places
        if compared:
            worst = max(compared, key=compared.get)
            figures = {name: _values(networks.get(name) or {}).get(worst) for name in NETWORKS}
            share = ((shares or {}).get("attacks") or {}).get(attack, {}).get(worst[1], {}).get("information")
            row = {"attack": attack, "worst at": worst[1], **figures}
            yield row | {"unlearned − oracle": gaps.get(worst), "information": share}


def _head(record):
    return {"head AUC": record["head_auc"]["value"]}


def _kept(record):
    """Worst change of a kept head since the original, in points of accuracy and in AUC."""
    worst = []
    for measure in ("accuracy", "auc"):
        values = [change[measure]["value"] for change in record["kept_changes"].values()]
        worst.append(min((value for value in values if value is not None), default=None))
    return {"kept, points": None if worst[0] is None else 100 * worst[0], "kept AUC": worst[1]}


def _beside(record):
    """Membership and the areas of relearning."""
    areas = {f"relearning {way.replace('_', ' ')}": part["area"] for way, part in record["relearning"].items()}
    return {"membership": record["membership"] and record["membership"]["value"]} | areas
