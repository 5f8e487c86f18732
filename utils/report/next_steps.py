"""The last lines of a script: what to look at, and the command that goes on from there."""

import shlex

from utils.audit.verdict import NEXT_STEPS, Verdict
from utils.common.arguments import READING
from utils.common.interrupts import start_word
from utils.common.paths import SCRIPT

TASK = (
    "setting task_labels run_name data_path allow_missing cache_path save_path results device".split()
)  # what one step hands to the next
OF_WEIGHTS = ["weights", "weights_labels", "model", "img_size", "mean", "std", "split", *READING]  # else recorded


def command(step, flags, *words, names=()):
    """The command of a step with the flags that a user gave to an earlier one.

    Args: step: "generate_graph" or "unlearning"; flags: {flag: value}, in `given` those that were typed; names: more of
        them to hand on; words: put behind
    """
    handed = [*TASK, *names, *(OF_WEIGHTS if flags.get("weights") else [])]
    typed = []
    for name in handed:
        if name in flags.get("given", ()):
            value = flags[name] if flags[name] is not None else "none"
            typed.append(f"--no-{name}" if value is False else f"--{name}")
            if not isinstance(value, bool):
                typed += map(str, value if isinstance(value, list) else [value])
    return f"{start_word()} {shlex.join([f'{SCRIPT}_{step}.py', *typed, *words])}"


def after_training(left_out, flags):
    """What comes after step 1 with its flags, {flag: value}; `left_out`: names of the heads an oracle lacks."""
    if left_out:
        return f"next: audit against it: {command('unlearning', flags, '--target', *left_out, '--audit', 'quick')}"
    return f"next: score its channels: {command('generate_graph', flags)}"


def after_graph(picture, flags):
    """What comes after step 2 with its flags, {flag: value}; `picture`: path of the graph's."""
    return f"look at {picture}\nnext: prune: {command('unlearning', flags, names=['target_class'])}"


def after_unlearning(folder, flags):
    """What comes after step 3 without an audit; `folder`: of its pictures; `flags`: {flag: value}."""
    again = command(
        "unlearning", flags, "--audit", "quick", names=["target_class", "method", "strength", "depth", "graph"]
    )
    return f"look at {folder}\nnext: attack what the features still hold: {again}"


def after_audit(folder, verdicts, flags=None):
    """What comes after an audit: where its pictures are, the verdict on each target, and what to do about each word.

    Args: folder: of the pictures; verdicts: {target: verdict}; flags: {flag: value} of step 3, for a command that goes
        on from it; without them words alone
    """
    said = [f"verdict on {target}: {Verdict(**verdict)}" for target, verdict in verdicts.items()]
    for word in dict.fromkeys(verdict["word"] for verdict in verdicts.values()):
        words = _after_verdict(word, flags) if flags else None
        again = command("unlearning", flags, *words, names=["target_class"]) if words else ""
        said.append(f"next: {NEXT_STEPS[word]}{again and ': '}{again}")
    return "\n".join([f"look at {folder}", *said])


def _after_verdict(word, flags):
    """Flags of step 3 that go on from a verdict; None where none of them would change it."""
    erased = flags.get("method") == "erase"
    if word == "ERASED":
        again = ["--method", "erase"] if erased else []
        return [*again, "--evaluate_only", "--audit", "full"] if flags.get("audit") == "quick" else None
    if word == "SILENCED" and erased and flags.get("depth") == "activations":
        return ["--method", "erase", "--depth", "weights", "--audit", "quick"]
    if word not in ("SILENCED", "NOT FORGOTTEN", "INVERTED", "DAMAGED") or flags.get("strength") == "auto":
        return None
    return ["--method", "erase", *(["--strength", "auto"] if erased else []), "--audit", "quick"]
