"""The lines and tables that are kept here belong together."""

import json
from pathlib import Path

from results.make_tables import make_tables

RESULTS = Path(__file__).resolve().parents[2] / "results"


def test_the_tables_on_disk_are_made_of_the_lines_beside_them():
    tables = make_tables(sorted((RESULTS / "lines").glob("*.jsonl")))
    shown = {name: table for name, table in tables.items() if name.count(":") < 2}
    text = (RESULTS / "tables.md").read_text(encoding="utf-8")
    assert text.count("\n## ") == len(shown)
    assert all(f"## {name}\n\n{table}" in text for name, table in shown.items())


def test_no_line_kept_here_was_measured_on_a_tree_with_local_changes():
    for path in (RESULTS / "lines").glob("*.jsonl"):
        lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
        assert lines and all(line["commit"].isalnum() for line in lines), path
