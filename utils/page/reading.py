"""What a folder of results holds: audits, lines of results, the graph, a sweep of strengths, what step 3 kept."""

import json
import os
import shlex
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from utils.common.errors import InputError
from utils.common.paths import GRAPHS, graph_file, is_same_file, targets_name
from utils.datasets.task import UNLEARNED
from utils.graph.essential_graph import EssentialGraph, read_graph
from utils.layouts.text import shown
from utils.page.audit_files import LARGEST, is_number_or_none, read_audit
from utils.page.kept_record import KEPT_FILE, check_kept


@dataclass(frozen=True)
class ResultsFolder:
    """Everything that the page is made of; what is absent is empty.

    run, targets: names of the two folders; audits: {target: {method: audit}}, methods as their folders are called
    lines: {method: its last line of results}; strengths: {method: sweep}; kept: {method: record, see `kept_record`}
    graph: `EssentialGraph` or None; notes: sentences on files that could not be used
    graph_path: where the graph is, or would be; asked: arguments of `tools.report` that read the same again
    """

    run: str
    targets: str
    audits: dict = field(default_factory=dict)
    lines: dict = field(default_factory=dict)
    strengths: dict = field(default_factory=dict)
    kept: dict = field(default_factory=dict)
    graph: EssentialGraph | None = None
    notes: list = field(default_factory=list)
    graph_path: Path | None = None
    asked: list = field(default_factory=list)

    @property
    def methods(self):
        """Names of the methods that were run here, in a fixed order."""
        audited = [method for methods in self.audits.values() for method in methods]
        return sorted({*audited, *self.lines, *self.kept}, reverse=True)

    @property
    def forgotten(self):
        """Names of the targets, in head order as far as a file tells it."""
        for names in [self.graph and self.graph.forgotten, *(line["forgotten"] for line in self.lines.values())]:
            if names:
                return list(names)
        return list(self.audits)

    @property
    def attributes(self):
        """Names of the heads, in order."""
        for names in [self.graph and self.graph.attributes, *(line["attributes"] for line in self.lines.values())]:
            if names:
                return list(names)
        audits = [audit for methods in self.audits.values() for audit in methods.values()]
        return list(dict.fromkeys(name for audit in audits for name in audit.get("attributes") or audit["kept"]))


def read_results(folder, results=None, graph=None):
    """Read a results/<run>/<targets> folder, or one of `tools.audit`; what cannot be used gets a note and is left out.

    Args:
        results: the file of JSON lines; None: results.jsonl beside the folder of the run, if there is one
        graph: file of the essential graph; None: where step 2 writes it, if there is one
    Returns: ResultsFolder
    Raises: InputError if there is nothing that a page could show, or no file where one was named
    """
    folder = Path(folder)
    run, targets, notes = folder.absolute().parent.name, folder.absolute().name, []
    own = {"results": folder.absolute().parent.parent / "results.jsonl", "graph": graph_file(GRAPHS, run, targets)}
    asked, named = [str(folder)], {"results": results, "graph": graph}
    for flag, path in named.items():
        if path is not None and not Path(path).exists():
            raise InputError(f"--{flag} {path}: there is no such file")
        if path is not None and not is_same_file(path, own[flag]):
            asked += [f"--{flag}", str(path)]
    results, graph = (Path(named[flag] or own[flag]) for flag in own)
    audits, strengths, kept = {}, {}, {}
    for path in sorted([*folder.glob("audit_*.json"), *folder.glob("*/audit_*.json")]):
        with _noting(notes, folder):
            audit, method = read_audit(path), path.parent.name
            audits.setdefault(audit["target"], {})["unlearned" if path.parent == folder else method] = audit
    for name, table, check in (("strength.json", strengths, _check_sweep), (KEPT_FILE, kept, check_kept)):
        for path in sorted(folder.glob(f"*/{name}")):
            with _noting(notes, folder):
                table[path.parent.name] = _read_json(path, check)
    lines = _last_lines(results, run, targets)
    for target, methods in audits.items():
        _drop_others(methods, lines, f"audit of {target}", "run step 3 with --audit again", notes)
    _drop_others(strengths, lines, "sweep of strengths", "run tools.choose_strength again", notes)
    _drop_others(kept, lines, "Grad-CAM", "run step 3 with --report again", notes)
    if not any(audits.values()) and not lines:
        cure = "run step 3 first, or pass --results for another file of lines"
        raise InputError(f"nothing to report on in {folder}: no audit, and no line of this run; {cure}")
    essential = None
    if graph.suffix == ".json" and graph.exists():
        with _noting(notes, folder):
            essential = read_graph(graph)
    return ResultsFolder(run, targets, audits, lines, strengths, kept, essential, notes, graph, asked)


class _noting(suppress):
    """Passes over an InputError, whose line becomes a note, with paths as from the folder."""

    def __init__(self, notes, folder):
        super().__init__(InputError)
        self.notes, self.folder = notes, folder

    def __exit__(self, kind, error, trace):
        if isinstance(error, InputError):
            self.notes.append(shown(str(error).replace(f"{self.folder}{os.sep}", "")))
        return super().__exit__(kind, error, trace)


def _read_json(path, check):
    try:
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise ValueError("no file, or too large")
        content = json.loads(path.read_text(encoding="utf-8"))
        check(content)
        return content
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise InputError(f"{path} cannot be used ({type(error).__name__}): make it again") from None


def _check_sweep(sweep):
    for point in [sweep["original"], *sweep["points"]]:
        if not is_number_or_none(point["worst_gap"]):
            raise ValueError("worst_gap")
    for point in sweep["points"]:
        if not is_number_or_none(point["kept_loss"]) or not point["strength"] > 0:
            raise ValueError("a point")
    if not sweep["chosen"] > 0 or not isinstance(sweep["reached"], bool):
        raise ValueError("the choice")


def _last_lines(path, run, targets):
    """{method: the last line that made it}, of a run and its targets, methods as their folders are called."""
    found = {}
    if not path.is_file():
        return found
    with open(path, encoding="utf-8", errors="replace") as file:
        for text in file:
            with suppress(ValueError, LookupError, TypeError, AttributeError, RecursionError):
                line = json.loads(text)
                method = UNLEARNED[line["arguments"]["method"]]  # lines of tools.audit have none
                if line["run"] == run and targets_name(line["forgotten"]) == targets and _is_whole(line):
                    if not _evaluates(line, found.get(method)):
                        found[method] = line
    return found


def _drop_others(records, lines, what, cure, notes):
    """Take out of {method: what a file holds} what is of another network than its line, with a note on each."""
    for method in [name for name in records if name in lines and not _is_of(records[name], lines[name])]:
        records.pop(method)
        notes.append(shown(f"{method}: the {what} is of another network than the last one made here: {cure}"))


def _is_of(record, line):
    """Whether a record and a line are of one network; by the name of the method where the record holds no digest."""
    digests = ("checkpoint_sha256", "parent_sha256")
    same = [record[key] == line[key] for key in digests if record.get(key) and line.get(key)]
    return all(same) if same or not record.get("method") else record["method"] == line["method"]


def _evaluates(line, before):
    """Whether a line is of an evaluation alone of what an earlier line made: that one says how it was made."""
    same = before and before["checkpoint_sha256"] == line["checkpoint_sha256"]
    return bool(same and before["seconds"] and not line["seconds"])


def _is_whole(line):
    shlex.split(line["command"]), dict(line.get("versions") or {})  # or an error
    texts = [line["command"], line["method"], line["model"], *line["attributes"], *line["forgotten"]]
    sides = [side for head in line["heads"].values() for side in (head["before"], head["after"])]
    numbers = [side.get(measure) for side in sides for measure in ("auc", "accuracy", "tpr", "n")]
    numbers += [*line["seconds"].values(), *line["pruned"].values()]
    return all(isinstance(text, str) for text in texts) and all(map(is_number_or_none, numbers))
