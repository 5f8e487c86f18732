"""The page: everything that a folder of results holds, in one HTML file that asks for nothing from anywhere."""

from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from utils.common import distributed
from utils.common.errors import printable
from utils.common.paths import PAGE, write_atomically
from utils.graph.selection import CONTROLS
from utils.page.charts import relearning_charts, roc_chart, runs_chart, strength_chart, trade_chart
from utils.page.graph_data import graph_data, has_all_scores, nodes_at
from utils.page.kept_record import cam_rows, keep_record
from utils.page.methods import AGAINST, compared_networks, references_of, runs_of
from utils.page.reading import read_results
from utils.page.sources import about, limits_of, sources_of
from utils.page.tables import attack_table, heads_table, heads_without_audit, network_kind
from utils.page.words import make_commands, numbers_without_audit, three_numbers, verdicts_of
from utils.report import run_record, style
from utils.report.next_steps import after_audit, after_unlearning

RUNS_PAGE = "comparison.html"
MOST_BYTES = 3_000_000
CONTENTS = {
    "verdict": "Verdict",
    "numbers": "Forgotten, kept, price",
    "heads": "Heads",
    "attacks": "Attacks",
    "curves": "Curves",
    "cams": "Grad-CAM",
    "graph": "Graph",
    "methods": "Methods",
    "limits": "Limits",
    "commands": "Commands",
}
PALETTE = {
    **{name: look[0] for name, look in style.NETWORK_STYLES.items() if " " not in name},
    **{"random": style.GREY, "other": style.SPARE_STYLES[1][0], "green": style.GREEN, "pale": style.PALE},
    **{"forgotten": style.FORGOTTEN, "kept": style.KEPT, "shared": style.SHARED},
}


@distributed.by_first
def finish_unlearning(line, task, networks, data, folder, flags):
    """Append the line of a run, draw and print before against after, write the page, say what to do next.

    Args: line: of `run_record.unlearning_line`; task: `Task`; networks: {"original", "unlearned"} on its device; data:
        `ImageDataset`; folder: of the method's pictures; flags: {flag: value} of step 3
    """
    run_record.report_unlearning(line, folder, flags["results"])
    verdicts, look = line.get("verdict", {}), folder
    if bool(flags["audit"]) if flags["report"] is None else flags["report"]:
        pair = {name: networks[name] for name in ("original", "unlearned")}
        keep_record(folder, task, pair, data, flags["faces"], line["checkpoint_sha256"])
        look = write_page(folder.parent, flags["results"], flags["graph"], faces=flags["faces"] is not False)
    print(after_audit(look, verdicts, flags) if verdicts else after_unlearning(look, flags))


def write_page(folder, results=None, graph=None, out=None, faces=True):
    """Write the page of a results/<run>/<targets> folder.

    Args:
        results, graph: as `read_results`; out: the file, None: report.html in the folder
        faces: show the images that step 3 kept; False: heat maps alone
    Returns: the path
    Raises: InputError if there is nothing to report on
    """
    found = read_results(folder, results, graph)
    path = Path(out or Path(folder) / PAGE)
    return write_atomically(path, make_page(found, faces))


def make_page(found, faces=True):
    """The page as text, at most `MOST_BYTES` long: without Grad-CAM, then without the graph, where it would be longer.

    Args: found: `ResultsFolder`; faces: as `write_page`
    Returns: HTML
    """
    view = _view(found, faces)
    for left_out in ([], ["cams"], ["cams", "graph"]):
        view |= dict.fromkeys(left_out) | {"too_long": left_out}
        text = _environment().get_template("page.html").render(view)
        if len(text.encode()) <= MOST_BYTES:
            break
    return text


def write_runs_page(path, networks):
    """Write one page on several runs: what each network forgot and kept, in one chart and one table.

    Args: path: the file; networks: as `utils.page.methods.runs_of`
    Returns: the path
    """
    runs = runs_of(networks, Path(path).parent, PAGE)
    references = {row["reference"] for run in runs for row in run["networks"]} - {None}
    view = {"title": "Several runs: forgotten against kept", "palette": PALETTE, "runs": runs}
    view |= {"plot": runs_chart(runs), "mixed": len(references) > 1}
    return write_atomically(path, _environment().get_template("runs.html").render(view))


def _view(found, faces):
    """What the template shows: {name: value}."""
    audits = [audit for methods in found.audits.values() for audit in methods.values()]
    references = {reference for methods in found.audits.values() for reference in references_of(methods)}
    alone = [name for name in found.methods if any(_lacks_oracle(methods, name) for methods in found.audits.values())]
    drawn = next((record["drawn"] for record in found.kept.values() if "drawn" in record), None)
    kept = {name: found.kept[name] for name in found.methods if name in found.kept}
    kept = kept if faces else {name: _without_images(record) for name, record in kept.items()}
    scored = bool(found.graph) and has_all_scores(found.graph)
    graph = graph_data(found.graph) if scored else None
    gone = nodes_at(found.graph, graph["proportion"], graph["balance"]) if graph else {}
    targets = [_target_view(found, target, index) for index, target in enumerate(found.forgotten)]
    alike = all(part["heads"] == targets[0]["heads"] for part in targets)  # audits of one network tell the same of them
    for part in targets[1:] if alike else ():
        part["heads"] = []
    return {
        "title": f"What is left of {', '.join(map(style.readable, found.forgotten))}? {found.run}",
        "palette": PALETTE,
        "contents": CONTENTS.items(),
        "found": found,
        "about": about(found),
        "several": len(found.forgotten) > 1,
        "heads_alike": alike,
        "targets": targets,
        "unaudited": [method for method in found.methods if any(method in part["plain_numbers"] for part in targets)],
        "audited": bool(audits),
        "lack_oracle": alone,
        "no_oracle": not any("oracle" in audit["nets"] for audit in audits),
        "reference": AGAINST[references.pop()] if len(references) == 1 else "reference",
        "commands": make_commands(found),
        "strength": next((strength_chart(sweep) for sweep in found.strengths.values()), None),
        "cams": cam_rows(kept),
        "no_maps": bool(kept) and not any(record["cams"] for record in kept.values()),
        "drawn": drawn,
        "scored": scored,
        "graph": graph,
        "graph_lacks": _graph_lacks(found),
        "gone": sum(map(len, gone.values())),
        "total": sum(found.graph.layers.values()) if found.graph else 0,
        "control": bool(found.graph) and found.graph.rule in CONTROLS,
        "limits": limits_of(found, drawn),
        "sources": sources_of(found),
    }


def _target_view(found, target, index):
    """What there is to show of one target; empty where no audit was made of it."""
    methods = {method: found.audits.get(target, {}).get(method) for method in found.methods}
    methods = {method: audit for method, audit in methods.items() if audit}
    lines = {method: line for method, line in found.lines.items() if method not in methods}
    by_lines = heads_without_audit(found.lines, found.forgotten) if found.lines else []
    return {
        "target": target,
        "index": index,
        "verdicts": verdicts_of(methods),
        "numbers": three_numbers(methods, found.lines) if methods else [],
        "plain_numbers": {method: numbers_without_audit(target, line) for method, line in lines.items()},
        "heads": heads_table(methods, found.forgotten) if methods else by_lines,
        "attacks": {method: attack_table(audit, method) for method, audit in methods.items()},
        "roc": roc_chart(methods) if methods else None,
        "relearning": relearning_charts(methods) if methods else [],
        "compared": compared_networks(methods) if methods else {},
        "mixed": len(references_of(methods)) > 1,
        "trade": trade_chart(methods) if methods else None,
    }


def _graph_lacks(found):
    """(sentence on why a `ResultsFolder` has no graph or None, whether step 2 makes it)."""
    path = found.graph_path
    if found.graph:
        return None, False
    if path and path.exists():
        released = "The graph is in the released text format, which holds votes and no scores."
        return (released if path.suffix != ".json" else "The graph could not be read."), path.suffix == ".json"
    where = f" at {path}" if path and "pruned" in found.methods else ""
    return f"There is no essential graph{where or '; an erasure needs none'}.", True


def _lacks_oracle(methods, name):
    return name in methods and "oracle" not in methods[name]["nets"]


def _without_images(record):
    return record | {"cams": record["cams"] and record["cams"] | {"images": None}}


def _environment():
    """Jinja2 with autoescape for every template, and the filters that turn figures into words."""
    options = {"autoescape": True, "undefined": StrictUndefined, "trim_blocks": True, "lstrip_blocks": True}
    options["finalize"] = lambda value: printable(value) if type(value) is str else value  # no sign that turns a line
    environment = Environment(loader=FileSystemLoader(Path(__file__).parent / "templates"), **options)
    environment.filters |= {
        "readable": lambda name: style.plain(str(name).replace("_", " "), most=60),
        "kind": network_kind,
        "against": lambda reference: AGAINST[reference],
        "digits": lambda value: _in_digits(value, ".3f"),
        "gap": lambda value: _in_digits(value, "+.3f"),
        "share": lambda value: _in_digits(value, "+.2f"),
        "percent": lambda value: "–" if value is None else f"{100 * value:.1f} %",
        "whole_percent": lambda value: f"{100 * value:.0f} %",
        "points": lambda value: _in_digits(value and 100 * value, "+.1f"),
        "minus": lambda text: str(text).replace("-", "−"),
    }
    return environment


def _in_digits(value, digits):
    """A figure as text with a real minus sign, "–" where it is undefined; no zero with a minus."""
    if value is None:
        return "–"
    text = format(value, digits)
    return (text.replace("-", "+" if "+" in digits else "") if float(text) == 0 else text).replace("-", "−")
