"""Write the tables of results from the JSON lines behind them: mean ± sample standard deviation over seeds.

Reads   results/lines/*.jsonl    (lines of a tree with local changes, a commit with "+", are left out)
Writes  results/tables.md, and in README.md and docs/*.md what is between <!-- table: NAME --> and <!-- end: NAME -->

    python -m results.make_tables    # with --check it writes nothing: exit code 1 if a file is not up to date
"""

import argparse
import json
import re
import statistics
import sys
from collections import Counter
from pathlib import Path

import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from results.audits import audit_rows
from results.columns import KINDS, MISSING, PARTS, PLAIN
from utils.common.errors import InputError
from utils.common.parser import one_line
from utils.common.paths import write_atomically

ROOT = Path(__file__).resolve().parent.parent
MOST_BYTES = 64 << 20  # of a file of lines
MARKED = re.compile(r"(<!-- table: (.+?) -->\n).*?(<!-- end: \2 -->)", re.DOTALL)
UNREADABLE = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)  # a stranger's JSON


def read_lines(path):
    """The JSON lines of a file, but for those of a tree with local changes; InputError names a line that is none."""
    lines = []
    if path.stat().st_size > MOST_BYTES:
        raise InputError(f"{path} has more than {MOST_BYTES >> 20} MB: no lines of results, move it away")
    for number, text in enumerate(path.read_bytes().split(b"\n"), start=1):
        try:
            line = {**json.loads(text)} if text.strip() else {"commit": "+"}
            if "+" not in str(line.get("commit")):
                lines.append(line | place(line, path.name) | {"_number": number})
                _rows_of(lines[-1])  # all that any table takes of it
        except UNREADABLE as error:
            what = f"no JSON object of a result ({one_line(error)[:120]}); remove or mend that line"
            raise InputError(f"{path}, line {number}: {what}") from None
    return lines


def _rows_of(line):
    for kind, (_, _, keys, figures) in KINDS.items():
        for row in rows_of(line, kind):
            for name, value in row.items():
                if name in figures or (name not in keys and name[0] != "_"):
                    write_cell([value], figures.get(name, ".3f").rsplit(" ", 1)[-1])


def rows_of(line, kind):
    """The rows that a line fills in the tables of a kind of KINDS."""
    return audit_rows(kind, line) if KINDS[kind][0] == "audit" else declared_rows(line, *KINDS[kind])


def place(line, file):
    """Where a line belongs: its run without the seed, its method with the proportion; "_" keys are not shown."""
    arguments, seed = line.get("arguments") or {}, line.get("seed")
    dataset = str(line.get("dataset") or arguments.get("data_path") or "")
    title = f"{dataset}, {line.get('model')}, {line.get('img_size')} px" if "run" in line else dataset
    title += f", the first {arguments['limit']} images" if arguments.get("limit") else ""
    run = re.sub(rf"[-_](?:seed|s)[-_]?{re.escape(str(seed))}(?!\w)", "", line.get("run", ""))
    run += ", level full" if "full" in (arguments.get("audit"), arguments.get("level")) else ""
    run += ", shift in front" if file.endswith("_in_front.jsonl") else ""  # by an erasure before this one
    method, proportion = line.get("method", ""), line.get("proportion", arguments.get("proportion"))
    method += "" if proportion is None else f", p = {proportion:g}"
    names = {"run": run, "method": method, "forgotten": " and ".join(line.get("forgotten", []))}
    names |= {"_commit": str(line.get("commit"))[:12], "_day": str(line.get("date"))[:10], "_file": file}
    return names | {"_hardware": str(line.get("hardware")), "_dataset": dataset, "_title": title, "_seed": str(seed)}


def look_up(flat, path):
    """What stands at a path of a flat line, of a list the median; None if it is absent."""
    if " → " in path:
        return tuple(look_up(flat, side) for side in path.split(" → "))
    values = [flat.get(part) for part in path.split(" : ")]
    values = [statistics.median(value) if isinstance(value, list) else value for value in values]
    return None if None in values else values[0] if len(values) == 1 else values[0] / values[1]


def declared_rows(line, has, each, keys, figures):
    """The rows that a line fills, by an entry of KINDS; none if the line is of another kind."""
    small = {key: value for key, value in line.items() if key != "audit"}  # which other tables take
    flat = pd.json_normalize(small, sep="/").to_dict("records")[0] if has in line else {}
    for item in (line[each] if each else [""]) if flat else []:
        row = {column: item if path == "*" else str(line.get(path, "")) for column, path in keys.items()}
        yield row | {name: look_up(flat, path.rsplit(" ", 1)[0].replace("*", item)) for name, path in figures.items()}


def write_cell(values, form):
    """One cell over seeds: mean ± sample standard deviation; pairs before → after; words, counted where they differ."""
    if isinstance(values[0], tuple):
        return " → ".join(write_cell(side, form) for side in zip(*values, strict=True))
    known = [value for value in values if not pd.isna(value)]
    if not known:
        return MISSING
    if isinstance(known[0], str):
        return known[0] if len({*values}) == 1 else ", ".join(f"{n} × {word}" for word, n in Counter(known).items())
    single = len(known) == 1 or (form.endswith(".0f") and len(set(known)) == 1)  # counts that agree have no spread
    spread = "" if single else f" ± {statistics.stdev(known):{form.lstrip('+')}}"
    text = f"{statistics.fmean(known):{form}}{spread}"
    return text if len(known) == len(values) else f"{text} ({len(known)} of {len(values)})"


def markdown_table(frame, keys, forms, one_run=False):
    """Markdown of rows: those of equal keys become one, in which the last of each seed counts; below, their origin."""
    frame = frame.drop_duplicates([*keys, "_seed"], keep="last")
    frame = frame.sort_values([key for key in ("run", "forgotten", "_place") if key in frame], kind="stable")
    groups, figures = frame.groupby(keys, sort=False), [name for name in frame if name not in keys and name[0] != "_"]
    cells = groups[figures].agg(lambda column: write_cell(column.tolist(), forms.get(column.name, ".3f")))
    cells = cells.loc[:, (cells != MISSING).any()]  # without columns that no row fills
    cells = (cells.assign(seeds=groups.size().astype(str)) if "forgotten" in keys else cells).reset_index()
    shared = [name for name in ("run", "forgotten", "seeds") if one_run and cells[name].nunique() == 1]
    title = ", ".join([frame["_title"].iloc[0], *(f"{name}: {cells[name][0]}" for name in shared)])  # for all rows
    cells = cells.drop(columns=[*shared, *["kept AUC"] * one_run], errors="ignore")  # a table that README has room for
    files, commits, hardware = (", ".join(frame[name].unique()) for name in ("_file", "_commit", "_hardware"))
    days = " to ".join(frame["_day"].agg(["min", "max"]).unique())
    rows = [map(plain, cells), ["---"] * cells.shape[1], *(map(plain, row) for row in cells.to_numpy().tolist())]
    origin = plain(f"{files} · {commits} · {days} · {hardware}")
    table = ["| " + " | ".join(row) + " |" for row in rows] + ["", f"*{origin}*", ""]
    return "\n".join(([f"**{plain(title)}**", ""] if title else []) + table)


def plain(text):
    """Text that Markdown shows as it is: no end of a cell or line, no HTML, no code."""
    return str(text).translate({**PLAIN, **dict.fromkeys(range(32), " ")})


def make_tables(files):
    """{name: Markdown}: "KIND", or with what PARTS splits it by, such as "heads:FILE" or "methods:DATASET:RUN"."""
    lines, tables = [line for file in files for line in read_lines(file)], {}
    for kind, spec in KINDS.items():
        keys, forms, rows = list(spec[2]), {name: path.rsplit(" ", 1)[-1] for name, path in spec[3].items()}, []
        for line in lines:
            rows += [{name: line[name] for name in line if name[0] == "_"} | row for row in rows_of(line, kind)]
        if kind == "networks":  # of one network alone the table of its file says it all
            networks = Counter(file for file, _ in {(row["_file"], row["network"]) for row in rows})
            rows = [row for row in rows if networks[row["_file"]] > 1]
        for columns in PARTS.get(kind, [["_kind"]]) if rows else []:
            for values, part in pd.DataFrame(rows).assign(_kind="").groupby(columns, sort=False):
                by_title = part.groupby("_title", sort=False)
                try:
                    parts = [markdown_table(one, keys, forms, "run" in columns) for _, one in by_title]
                except UNREADABLE as error:  # lines that are results each, and not of one kind
                    where = ", ".join(map(str, part["_file"].unique()))
                    raise InputError(f"{where}: no table of {kind} can be made ({one_line(error)[:120]})") from None
                tables[":".join(filter(None, (kind, *values))).removesuffix(".jsonl")] = "\n".join(parts)
    return tables


def fill_markers(text, tables, where):
    """A text with its marked tables replaced; InputError for a marker without its end, or that names no table."""
    opened, closed = re.findall(r"<!-- table: (.+?) -->", text), [match[2] for match in MARKED.finditer(text)]
    for name in opened:
        if opened.count(name) > closed.count(name):
            raise InputError(f"{where}: <!-- table: {name} --> has no <!-- end: {name} --> after it")
        if name not in tables:
            raise InputError(f"{where}: no table named {name}; there are: {', '.join(tables) or 'none'}")
    return MARKED.sub(lambda match: f"{match[1]}\n{tables[match[2]]}\n{match[3]}", text)


def main(argv=None, root=ROOT):
    """Write the files that are not up to date, or with --check only name them. Returns: the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing; exit code 1 if a file is not up to date")
    check, summary, stale = parser.parse_args(argv).check, root / "results" / "tables.md", False
    tables = make_tables(sorted((root / "results" / "lines").glob("*.jsonl")))
    whole = "# Results\n\nWritten by `python -m results.make_tables`, not by hand.\n"
    whole += "".join(f"\n## {name}\n\n{table}" for name, table in tables.items() if name.count(":") < 2)
    for path in [summary, root / "README.md", *sorted((root / "docs").glob("*.md"))]:
        old = path.read_text(encoding="utf-8") if path.is_file() else ""
        new = whole if path == summary else fill_markers(old, tables, path)
        if new != old:
            stale = check
            print("not up to date:" if check else "wrote", path if check else write_atomically(path, new))
    return int(stale)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (InputError, OSError) as error:
        print(error, file=sys.stderr)
        sys.exit(2)
