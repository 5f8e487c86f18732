"""Write the tables of results from the JSON lines behind them: mean ± spread over seeds, one table a data set.

Reads   results/*.jsonl              (a line a run of step 3)
Writes  the terminal, or a Markdown file

    python -m results.make_tables
    python -m results.make_tables --write results/tables.md
    python -m results.make_tables --fill README.md   # between <!-- table: results --> and <!-- end: results -->
"""

import argparse
import re
from collections import Counter
from pathlib import Path

from results.audit_tables import audit_table
from results.erasure_tables import erasure_tables
from results.loading_tables import loading_table, training_table
from results.result_lines import group_results, read_json_lines, read_lines
from results.shrinking_table import shrinking_table
from results.speed_tables import speed_tables
from results.wording import spread, verdict_words
from utils.common.errors import InputError
from utils.common.files import write_atomically

HERE = Path(__file__).resolve().parent
MEASURES = {
    "tpr_all_positive": "TPR, all-positive images",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
}
SHOWN = "Before → after. ± is the sample standard deviation over seeds. **Bold**: the forgotten head."
COMMIT = re.compile(r"\b([0-9a-f]{12})[0-9a-f]{28}\b")  # twelve digits are enough to find it
MARKED = re.compile(r"(<!-- table: (?P<name>[^>]+?) -->\n)(?P<body>.*?)(<!-- end: (?P=name) -->)", re.DOTALL)


def counts(values):
    """One number if all agree, else from least to most."""
    values = sorted({value for value in values if value is not None})
    if not values:
        return "?"
    return f"{values[0]:,}" if len(values) == 1 else f"{values[0]:,}–{values[-1]:,}"


def table_of(groups):
    """Markdown: a table of the groups (all of one data set), and under it where each row comes from."""
    heads = ["#", "run", "method", "head", "seeds", "test images (all-positive)", *MEASURES.values(), "verdict"]
    rows, origins = [heads, ["---"] * len(heads)], []
    for number, (group, by_seed) in enumerate(groups.items(), start=1):
        results = list(by_seed.values())
        for attribute in group.attributes:
            rows.append([str(number), *_row(group, results, attribute)])
        origins.append(f"{number}. {_origin(group, by_seed)}")
    lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in rows]
    return "\n".join([SHOWN, "", *lines, "", *origins, ""])


def _row(group, results, attribute):
    sides = {side: [result["heads"][attribute].get(side) or {} for result in results] for side in ("before", "after")}
    forgotten = attribute in group.forgotten
    images = f"{counts([head.get('n') for head in sides['after']])} "
    images += f"({counts([head.get('n_all_positive') for head in sides['after']])})"
    cells = [
        " → ".join(spread([head.get(measure) for head in side]) for side in sides.values()) for measure in MEASURES
    ]
    verdict = verdict_words(results, attribute) if forgotten else ""
    name = f"**{attribute}**" if forgotten else attribute
    method = group.method if group.proportion is None else f"{group.method}, p = {group.proportion:g}"
    return [group.run, method, name, str(len(results)), images, *cells, verdict]


def _origin(group, by_seed):
    results = list(by_seed.values())
    facts = [f"{group.model}, {group.img_size} px", f"seeds {', '.join(str(seed) for seed in by_seed)}"]
    others = "; the others with their own seed" if len(results) > 1 else ""
    facts += [f"`{results[0]['command']}`{others}"] if group.command else []
    facts += _distinct(result.get("hardware") for result in results)
    facts += _distinct(", ".join(f"{k} {v}" for k, v in (result.get("versions") or {}).items()) for result in results)
    commits = _distinct(COMMIT.sub(r"\1", str(result.get("commit") or "")) for result in results)
    facts += [f"commit {commit}" for commit in commits]
    facts += _distinct(str(result.get("date") or "")[:10] for result in results)
    return " · ".join(facts)


def _distinct(words):
    return [str(word) for word in dict.fromkeys(words) if word]


def make_tables(files):
    """{name: Markdown}: "FILE:DATASET" for one data set, "FILE" for all of a file, "audit-FILE", "short:" of both."""
    tables = {}
    for file in files:
        groups, name = group_results(read_lines(file)), Path(file).stem
        by_dataset = {}
        for group, by_seed in groups.items():
            by_dataset.setdefault(group.dataset, {})[group] = by_seed
        if by_dataset:
            single = {dataset: table_of(part) for dataset, part in by_dataset.items()}
            tables[name] = "\n".join(f"**{dataset}**\n\n{table}" for dataset, table in single.items())
            tables |= {f"{name}:{dataset}": table for dataset, table in single.items()}
            if len(single) == 1:  # data sets never share a table
                tables[f"short:{name}"] = short_table(groups)
        audits = {f"{prefix}audit-{name}": audit_table(read_lines(file), bool(prefix)) for prefix in ("", "short:")}
        tables |= {key: table for key, table in audits.items() if table}
        loading = [line for line in read_json_lines(file) if "decode_only" in line or "memory" in line]
        if loading:
            tables[name] = loading_table(loading)
        training = [line for line in read_json_lines(file) if "auc_gap" in line or {"plain", "ratio"} <= set(line)]
        if training:
            tables[name] = training_table(training)
        costs = [line for line in read_json_lines(file) if "level" in line and "wall_seconds" in line]
        if costs:
            tables[name] = costs_table(costs)
        sweep = [line for line in read_json_lines(file) if "kept_accuracy_change" in line]
        if sweep:
            tables[name] = proportions_table(sweep)
        for make in (speed_tables, erasure_tables):
            text = make(read_json_lines(file))
            tables |= {name: text} if text else {}
        shrunk = [line for line in read_json_lines(file) if "speed_ratio" in line]
        if shrunk:
            tables[name] = shrinking_table(shrunk)
    return tables


def short_table(groups):
    """Markdown: the groups without where they come from; one row a head, what changes from before to after."""
    columns = ["run, method", "head", *MEASURES.values()]
    rows = [columns, ["---"] * len(columns)]
    for group, by_seed in groups.items():
        for attribute in group.attributes:
            run, method, head, _, _, *cells, _ = _row(group, list(by_seed.values()), attribute)
            rows.append([f"{run}, {method}", head, *cells])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def costs_table(lines):
    """Markdown: a row per level and number of images of `benchmarks.audit_cost`."""
    columns = ["level", "images", "wall clock, s", "ms an image", "peak memory, GB", "hardware"]
    rows = [columns, ["---"] * len(columns)]
    for line in sorted(lines, key=lambda line: (line["level"] == "full", line["images"])):
        figures = [f"{line['wall_seconds']:.0f}", f"{1000 * line['wall_seconds'] / line['images']:.0f}"]
        memory = f"{line['peak_rss_bytes'] / 1e9:.2f}"
        rows.append([line["level"], f"{line['images']:,}", *figures, memory, str(line.get("hardware", "?"))])
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def proportions_table(lines):
    """Markdown: a row per run and proportion of `benchmarks.proportions`, later lines in the place of earlier ones."""
    found = {(line["run"], tuple(line["forgotten"]), line["proportion"]): line for line in lines}
    columns = ["run", "forgotten", "proportion", "channels pruned", "TPR, all-positive images", "AUC", "kept accuracy"]
    rows = [columns, ["---"] * len(columns)]
    for (run, forgotten, proportion), line in found.items():
        change = f"{100 * line['kept_accuracy_change']:+.1f} points"
        figures = [f"{line['tpr_all_positive']:.3f}", f"{line['auc']:.3f}", change]
        rows.append([run, " and ".join(forgotten), f"{proportion:g}", str(line["pruned"]), *figures])
    note = "TPR and AUC are the first forgotten head's; kept accuracy is the largest loss among the kept heads."
    return "\n".join([*("| " + " | ".join(row) + " |" for row in rows), "", note, ""])


def fill_markers(text, tables, where):
    """A Markdown text with what stands between its table markers replaced.

    Raises: InputError for a marker without its end, one that names no table, or a text without markers
    """
    opened, found = re.findall(r"<!-- table: (.+?) -->", text), [match["name"] for match in MARKED.finditer(text)]
    if not opened:
        raise InputError(f"{where}: no marker; put <!-- table: NAME --> and <!-- end: NAME --> where a table belongs")
    for name in Counter(opened) - Counter(found):
        raise InputError(
            f"{where}: <!-- table: {name} --> has no <!-- end: {name} --> after it; put each on a line of its own"
        )
    for name in opened:
        if name not in tables:
            raise InputError(f"{where}: no table named {name}; there are: {', '.join(tables) or 'none'}")
    return MARKED.sub(lambda match: f"{match[1]}\n{tables[match['name']]}\n{match[4]}", text)


def get_args_parser():
    """The flags."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE.jsonl", help="default: all in the results folder")
    parser.add_argument("--write", type=Path, metavar="FILE.md", help="write the tables to a file of their own")
    parser.add_argument(
        "--fill", type=Path, metavar="FILE.md", help="replace the text between this file's table markers"
    )
    return parser


def main(args):
    """Read the lines, make the tables, write them where they are wanted."""
    tables = make_tables(args.files or sorted(HERE.glob("*.jsonl")))
    whole = "\n".join(f"## {name}\n\n{table}" for name, table in tables.items() if ":" not in name)
    if args.write:
        write_atomically(
            args.write, f"# Results\n\nWritten by `python -m results.make_tables`, not by hand.\n\n{whole}"
        )
    if args.fill:
        write_atomically(args.fill, fill_markers(args.fill.read_text(encoding="utf-8"), tables, args.fill))
    if not (args.write or args.fill):
        print(whole)


if __name__ == "__main__":
    parser = get_args_parser()
    try:
        main(parser.parse_args())
    except (InputError, OSError) as error:
        parser.exit(2, f"{error}\n")
