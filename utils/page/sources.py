"""Where the figures of the page come from, and what they do not show."""

from utils.page.graph_data import proportion_of
from utils.page.words import make_commands
from utils.report.style import readable

DIGITS = 16  # of a sha256


def sources_of(found):
    """[{"title", "command" or None, "facts": [(what, text)]}]: the steps behind a `ResultsFolder`, in their order."""
    parts, commands = [], make_commands(found)
    kept = next(iter(found.kept.values()), None)
    if kept:
        facts = [("flags", _flags(kept["training"])), ("oracle, sha256", _short(kept["oracle_sha256"]))]
        command = commands["original"] if "epoch" in kept["training"] else None  # one's own weights do not say
        parts.append({"title": "Step 1: the original", "command": command, "facts": _known(facts)})
    if found.graph:
        made_by = found.graph.made_by
        facts = [("flags", _flags(made_by.get("arguments", {}))), ("seed", made_by.get("seed"))]
        facts += [("original, sha256", _short(made_by.get("parent_sha256"))), ("rule", found.graph.rule)]
        facts += [("proportion", proportion_of(found.graph)), ("versions", _versions(made_by.get("versions")))]
        parts.append({"title": "Step 2: the essential graph", "command": commands["scored"], "facts": _known(facts)})
    for method, line in found.lines.items():
        facts = [("date", line.get("date")), ("seed", line.get("seed")), ("method", line["method"])]
        facts += [("original, sha256", _short(line.get("parent_sha256")))]
        facts += [(f"{method}, sha256", _short(line.get("checkpoint_sha256"))), ("commit", line.get("commit"))]
        facts += [("versions", _versions(line.get("versions"))), ("hardware", line.get("hardware"))]
        parts.append({"title": f"Step 3: {method}", "command": line["command"], "facts": _known(facts)})
    return parts


def limits_of(found, drawn):
    """Sentences on what a page of a `ResultsFolder` does not show; `drawn`: whether its images are, None: unknown."""
    audits = [audit for methods in found.audits.values() for audit in methods.values()]
    said = ["An audit certifies nothing: it says what its attacks found. Another attack may find more."]
    pairs = [pair for methods in found.audits.values() for pair in methods.items()]
    quick = list(dict.fromkeys(method for method, audit in pairs if _level(audit) == "quick"))
    if quick:
        alike = all(_level(audit) == "quick" for audit in audits)
        which = "These audits are quick ones" if alike else f"The audit of {' and '.join(quick)} is a quick one"
        said.append(f"{which}: level full also fine-tunes the whole network.")
    if audits and any("oracle" not in audit["nets"] for audit in audits):
        said.append("Without an oracle nobody knows how much a network that never saw the target would tell.")
    if len({str(line.get("seed")) for line in found.lines.values()}) <= 1:
        said.append("This is one seed: intervals are over test images, not over trainings.")
    said.append("Grad-CAM shows what moves a head, not what the features hold. A dark map is no proof of forgetting.")
    if found.graph:
        said.append("The graph says which channels would go, not what would be forgotten: that is measured above.")
    parents = {str(line["parent_sha256"]) for line in found.lines.values() if line.get("parent_sha256")}
    parent = found.graph and found.graph.made_by.get("parent_sha256")
    if len(parents) > 1:
        said.append(f"The methods were run on different originals: the one shown is that of {found.methods[0]}.")
    if parent and parents and str(parent) not in parents:
        said.append("The graph was made from another original than the one that was unlearned here.")
    if drawn:
        said.append("The images are drawn, not photographed: figures on photographs will differ.")
    notes = [note for audit in audits for note in audit.get("notes", [])]
    return said + [f"{note[:1].upper()}{note[1:]}." for note in dict.fromkeys(notes)]


def about(found):
    """[words] on a `ResultsFolder`: network, data, images, level, date."""
    lines, audits = found.lines.values(), [a for methods in found.audits.values() for a in methods.values()]
    audit = next(iter(audits), None)
    words = _each_once(f"{line['model']} at {line.get('img_size')} px" for line in lines)
    words += _each_once(f"data set {readable(line['dataset'])}" for line in lines if line.get("dataset"))
    counts = (audit or {}).get("n", {})
    if counts.get("test"):
        told = counts.get("test_positive") and len(found.forgotten) == 1
        some = f", {counts['test_positive']:,} of them with the target" if told else ""
        words.append(f"{counts['test']:,} test images{some}")
    words += _each_once(f"audit {_level(audit)}" for audit in audits if _level(audit))
    return words + _each_once(str(line["date"])[:10] for line in lines if line.get("date"))


def _each_once(words):
    """[the words, each once, joined by "and"], or none."""
    words = list(dict.fromkeys(words))
    return [" and ".join(words)] if words else []


def _level(audit):
    return (audit.get("level") or {}).get("name")


def _flags(flags):
    """Recorded flags in one line; without those that had no value, and records that are no flags."""
    return " · ".join(f"{name} {_value(value)}" for name, value in sorted(flags.items()) if _says(name, value))


def _says(name, value):
    return value not in (None, [], {}) and name not in ("training_part", "unlearning")


def _value(value):
    if isinstance(value, (list, tuple)):
        return " ".join(map(str, value))
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def _versions(versions):
    """Versions of packages in one line; what is no table of them, in a stranger's file, as it is."""
    if not isinstance(versions, dict):
        return "" if versions is None else str(versions)
    return " ".join(f"{package} {version}" for package, version in versions.items())


def _short(digest):
    return digest and f"{str(digest)[:DIGITS]}…"


def _known(facts):
    return [(what, str(value)) for what, value in facts if value not in (None, "")]
