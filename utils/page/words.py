"""What figures mean in words: verdicts, the three numbers, the commands that fill a gap."""

import shlex

from utils.audit.gaps import LEAST_KNOWN
from utils.audit.verdict import NEXT_STEPS, UNTRAINED_ERASED
from utils.common.arguments import READING
from utils.common.paths import SCRIPT
from utils.page.audit_files import is_number
from utils.page.methods import compared_networks
from utils.report.next_steps import OF_WEIGHTS, TASK

IN_WORDS = {
    "ERASED": "The head guesses, and no attack finds more of it in the features than in a network that never saw it. "
    "The kept heads are unharmed.",
    UNTRAINED_ERASED: "The head guesses, and no attack finds more of it than in a network that was never trained. "
    "Whether a network that never saw it would know less, only an oracle tells.",
    "SILENCED": "The head no longer answers, but attacks on the features still find it: it is not gone.",
    "NOT FORGOTTEN": "The head still tells who has it and who has not.",
    "INVERTED": "The head knows it and says the opposite: read upside down, it still answers.",
    "DAMAGED": "A kept head lost more than is allowed, so this forgetting costs too much.",
    "UNDECIDED": "The figures cannot tell yet; the reason says what is missing.",
}
KINDS = {"ERASED": "good", UNTRAINED_ERASED: "good", "SILENCED": "half", "DAMAGED": "bad", "NOT FORGOTTEN": "bad"}
KINDS |= {"INVERTED": "bad"}
OF_IMAGES = ["img_size", "mean", "std", "split", "allow_missing", *READING]
SWITCHES = ("as_released", "no_balance")  # flags without a --no- form
OF_GRAPH = "proportion layers num_images importance no_balance as_released batch_size limit seed".split()
RECIPE = (  # flags of step 1 that an oracle has to share with its original
    "model epoch batch_size optimizer lr weight_decay scheduler rotation hflip vflip as_released limit".split()
    + ["amp", "compile", "seed", *OF_IMAGES]
)


def verdicts_of(methods):
    """[{"method", "word", "kind", "qualifier", "sentence", "reason", "next"}] of {method: audit} on one target."""
    return [
        {
            "method": method,
            "named": audit.get("method") or method,
            "word": audit["verdict"]["word"],
            "kind": KINDS.get(audit["verdict"]["word"], "open"),
            "qualifier": audit["verdict"]["qualifier"],
            "sentence": IN_WORDS.get(audit["verdict"]["word"], ""),
            "reason": audit["verdict"]["reason"],
            "next": NEXT_STEPS.get(audit["verdict"]["word"], ""),
        }
        for method, audit in methods.items()
    ]


def three_numbers(methods, lines):
    """Forgotten, kept and price of each method on one target, against the oracle.

    Args: methods: {method: audit}; lines: {method: line of results}
    Returns: [{"method", "reference", "forgotten": {"share": of what the worst attack finds in the original, "gap",
        "attack", "original"}, "kept": {"value", "oracle", "original"}, "price": {"value", "head", "auc", "auc_head",
        "seconds", "channels"}}], fractions, None where undefined
    """
    rows = []
    for method, audit in methods.items():
        networks, line = compared_networks({method: audit}), lines.get(method, {})
        own, original, oracle = (networks.get(name, {}) for name in (method, "original", "oracle"))
        accuracy, auc = own["changes"]["accuracy"], own["changes"]["auc"]
        spent = {phase: seconds for phase, seconds in line.get("seconds", {}).items() if phase in ("prune", "erase")}
        rows.append(
            {
                "method": method,
                "reference": audit["nets"]["unlearned"]["gaps"]["reference"],
                "forgotten": {"share": _forgotten(own["gap"], original.get("gap"))}
                | {"gap": own["gap"], "attack": own["attack"], "original": original.get("gap")},
                "kept": {"value": own["kept"], "oracle": oracle.get("kept"), "original": original.get("kept")},
                "price": {
                    "value": accuracy and accuracy[0],
                    "head": accuracy and accuracy[1],
                    "auc": auc and auc[0],
                    "auc_head": auc and auc[1],
                    "since": audit["nets"]["unlearned"]["kept_changes"]["since"],
                    "seconds": sum(spent.values()) if spent else None,
                    "channels": sum(line.get("pruned", {}).values()) or None,
                },
            }
        )
    return rows


def _forgotten(gap, original):
    """Share of the original's gap that is gone, from 0 to 1; None where the original is hardly above the reference."""
    if gap is None or original is None or original < LEAST_KNOWN:
        return None
    return min(1.0, max(0.0, 1 - gap / original))


def numbers_without_audit(target, line):
    """What a line of results alone tells of one target: {"before", "after": AUC of its head, "kept": worst accuracy,
    "price": its worst change with its head}, None where undefined."""
    heads = line["heads"]
    kept = {name: sides for name, sides in heads.items() if name not in line["forgotten"]}
    pairs = {name: (sides["before"].get("accuracy"), sides["after"].get("accuracy")) for name, sides in kept.items()}
    known = {name: pair for name, pair in pairs.items() if None not in pair}
    changes = [(after - before, name) for name, (before, after) in known.items()]
    sides = heads.get(target, {"before": {}, "after": {}})
    return {
        "before": sides["before"].get("auc"),
        "after": sides["after"].get("auc"),
        "kept": min((after for _, after in known.values()), default=None),
        "price": min(changes, default=None),
    }


def make_commands(found):
    """{what is missing: the command that makes it}, with the flags of the task that a recorded command has.

    Args: found: `ResultsFolder`
    """
    line = next(iter(found.lines.values()), None)
    words = shlex.split(line["command"]) if line else []
    otherwise = ["--task_labels", *found.attributes, "--data_path", "DIR"]
    task = _task_words(words, [*TASK, *OF_WEIGHTS]) or otherwise
    target = [] if "--setting" in task else ["--target_class", *found.forgotten]
    method = "erase" if "erased" not in found.methods else "prune"
    audits = {
        f"audit of {name}": [f"{SCRIPT}_unlearning.py", *task, *target, "--audit", "quick", *flags]
        for name, flags in (("pruned", []), ("erased", ["--method", "erase"]))
    }
    commands = {
        **audits,
        "audit": [f"{SCRIPT}_unlearning.py", *task, *target, "--audit", "quick"],
        "original": [f"{SCRIPT}_original.py", *_recipe_words(found, line, words)],
        "oracle": [f"{SCRIPT}_original.py", *_recipe_words(found, line, words), "--leave_out", *found.forgotten],
        "graph": [f"{SCRIPT}_generate_graph.py", *task, *target],
        "scored": [f"{SCRIPT}_generate_graph.py", *task, *target, *_graph_words(found, task)],
        "strength": ["-m", "tools.choose_strength", *task, *target],
        "cams": [f"{SCRIPT}_unlearning.py", *task, *target, "--audit", "quick", "--evaluate_only"],
        "method": [f"{SCRIPT}_unlearning.py", *task, *target, "--method", method, "--audit", "quick"],
        "full": [f"{SCRIPT}_unlearning.py", *task, *target, "--evaluate_only", "--audit", "full"],
        "page": ["-m", "tools.report", *found.asked],
    }
    if found.methods == ["erased"]:
        for name in ("audit", "cams", "full"):
            commands[name] += ["--method", "erase"]
    return {name: f"python {shlex.join(words)}" for name, words in commands.items()}


def _graph_words(found, task):
    """Flags of step 2 that made the graph, where the task does not name them already."""
    made = found.graph.made_by.get("arguments", {}) if found.graph else {}
    typed = [_typed(flag, made.get(flag)) for flag in OF_GRAPH if f"--{flag}" not in task]
    return [word for words in typed for word in words]


def _recipe_words(found, line, words):
    """Flags of step 1 for a network like the original: its own; of one's own weights what is known."""
    recipe = next((record["training"] for record in found.kept.values()), {})
    if line:
        known = {flag: line["arguments"].get(flag) for flag in OF_IMAGES}
        recipe = known | {"model": line["model"], "img_size": line.get("img_size")} | recipe
    began_from = ["--pretrained", "FILE"] if recipe.get("pretrained") else []
    recipe = {flag: typed for flag in RECIPE if (typed := _typed(flag, recipe.get(flag)))}
    task = _task_words(words, [flag for flag in TASK if flag not in recipe])
    if not any(word.partition("=")[0] in ("--task", "--task_labels", "--setting") for word in task):
        task = ["--task_labels", *found.attributes, *(task or ["--data_path", "DIR"])]
    return [*task, *(word for typed in recipe.values() for word in typed), *began_from]


def _typed(flag, value):
    """A recorded flag as words of a command; none for what is no value of a flag."""
    if isinstance(value, bool):
        return [f"--{flag}"] if value else [] if flag in SWITCHES else [f"--no-{flag}"]
    values = value if isinstance(value, list) else [value]
    fit = values and all(is_number(one) or isinstance(one, str) and one[:1] not in ("", "-") for one in values)
    return [f"--{flag}", *map(str, values)] if fit else []


def _task_words(words, names):
    """The flags of some names, with their values, among the words of a recorded command."""
    known = {f"--{name}" for name in names} | {"--task", "--no-allow_missing"}
    taken, taking = [], False
    for word in words:
        if word.startswith("--"):
            taking = word.partition("=")[0] in known
        if taking:
            taken.append(word)
    return taken
