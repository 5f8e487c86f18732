"""The tables of results say what their JSON lines say, worked out by hand."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.make_tables import fill_markers, main, make_tables, read_lines, write_cell
from utils.common.errors import InputError

RESULTS = Path(__file__).resolve().parents[2] / "results"
FRAME = {"hardware": "2 cores", "commit": "0123456789abcdef", "date": "2026-01-02T03:04:05"}


def head(rate, auc=1.0):
    return {
        "n": 1500,
        "n_all_positive": 59,
        "tpr_all_positive": rate,
        "accuracy": 0.9,
        "balanced_accuracy": None,
        "auc": auc,
    }


def network(head_auc, linear, other, change=None):
    measures = {"accuracy": change, "auc": change and change / 10}
    kept = {"Smiling": {name: {"value": value} for name, value in measures.items()}} if change else {}
    return {
        "head_auc": {"value": head_auc},
        "attacks": {
            "linear": {"layer1": {"value": linear / 2}, "layer4": {"value": linear}},
            "kept_labels": {"linear layer4": {"value": other}, "unpooled layer4": {"value": None}},
        },
        "membership": None,
        "relearning": {"head": {"area": 0.25, "curve": [[16, 0.5]]}},
        "kept_changes": kept,
    }


def step_3(seed, after, **changes):
    line = {
        "run": f"faces_s{seed}",
        "forgotten": ["Bald"],
        "method": "prune",
        "proportion": 0.1,
        "model": "resnet18",
        "img_size": 64,
        "seed": seed,
        "dataset": "drawn",
        "command": f"python step3.py --seed {seed}",
        "heads": {
            "Bald": {"before": head(1.0), "after": head(after)},
            "Smiling": {"before": head(0.5), "after": head(0.5)},
        },
    }
    return FRAME | line | changes


def audited(seed, word, method="prune", **changes):
    nets = {"original": network(1.0, 1.0, 1.0), "unlearned": network(0.5, 0.8 + seed / 10, 0.75, -0.02)}
    nets["oracle"] = network(0.5, 0.8, 0.7, 0.01)
    nets["unlearned"]["gaps"] = {"attacks": {"kept_labels": {"linear layer4": {"information": 1 / 6}}}}
    audit = {"audit": {"Bald": {"nets": nets}}, "verdict": {"Bald": {"word": word}}}
    return step_3(seed, 0.0, method=method) | audit | changes


@pytest.fixture
def tables_of(tmp_path):
    def make(*lines, name="lines.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n\n" for line in lines), encoding="utf-8")
        return make_tables([path])

    return make


def rows_of(table):
    """The rows of a Markdown text as {column: cell}."""
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line[:1] == "|"]
    return [dict(zip(lines[0], line, strict=True)) for line in lines[2:]]


def test_a_row_is_the_mean_and_sample_deviation_over_seeds_before_and_after(tables_of):
    # 0.0, 0.1, 0.2: mean 0.1, squared deviations 0.01 + 0 + 0.01 over n - 1 = 2: deviation 0.1
    forgotten, kept = rows_of(tables_of(step_3(0, 0.0), step_3(1, 0.1), step_3(2, 0.2))["heads:lines"])
    assert [forgotten[name] for name in ("run", "forgotten", "head")] == ["faces", "Bald", "Bald"]
    assert [forgotten[name] for name in ("method", "seeds", "test images")] == ["prune, p = 0.1", "3", "1,500"]
    assert forgotten["TPR, all-positive"] == "1.000 ± 0.000 → 0.100 ± 0.100"
    assert forgotten["balanced"] == "– → –"
    assert kept["head"] == "Smiling" and kept["TPR, all-positive"] == "0.500 ± 0.000 → 0.500 ± 0.000"


def test_of_two_lines_with_one_seed_the_later_one_counts(tables_of):
    row, _ = rows_of(tables_of(step_3(0, 0.9), step_3(1, 0.5), step_3(0, 0.5))["heads:lines"])
    assert row["TPR, all-positive"] == "1.000 ± 0.000 → 0.500 ± 0.000" and row["seeds"] == "2"


@pytest.mark.parametrize(
    "change", [{"method": "erase"}, {"run": "other"}, {"forgotten": ["Smiling"]}, {"proportion": 0.2}]
)
def test_runs_that_differ_in_more_than_the_seed_have_rows_of_their_own(tables_of, change):
    assert len(rows_of(tables_of(step_3(0, 0.0), step_3(1, 0.1) | change)["heads:lines"])) == 4


def test_lines_of_an_erasure_before_have_a_run_of_their_own(tables_of):
    assert [row["run"] for row in rows_of(tables_of(step_3(0, 0.0))["heads:lines"])] == ["faces"] * 2
    before = rows_of(tables_of(step_3(0, 0.0), name="lines_in_front.jsonl")["heads:lines_in_front"])
    assert [row["run"] for row in before] == ["faces, shift in front"] * 2


@pytest.mark.parametrize(
    "change", [{"dataset": "CelebA"}, {"model": "vgg11"}, {"img_size": 32}, {"arguments": {"limit": 9}}]
)
def test_data_sets_networks_sizes_and_parts_of_the_data_never_share_a_table(tables_of, change):
    text = tables_of(step_3(0, 0.0), step_3(1, 0.5) | change)["heads:lines"]
    assert text.count("| run |") == 2 and text.startswith("**drawn, resnet18, 64 px**\n")
    assert "± " not in text


def test_methods_of_one_run_share_the_rows_of_the_original_and_the_oracle(tables_of):
    tables = tables_of(audited(0, "SILENCED"), audited(1, "SILENCED"), audited(0, "ERASED", "erase", proportion=None))
    one_run = tables["methods:drawn:faces"]  # what its rows share stands in its heading
    assert one_run.startswith("**drawn, resnet18, 64 px, run: faces, forgotten: Bald**\n")
    rows = rows_of(tables["methods:drawn"])
    for row in rows:
        assert row.pop("run") == "faces" and row.pop("forgotten") == "Bald" and row.pop("kept AUC")
    assert rows_of(one_run) == rows
    rows = {row["network"]: row for row in rows_of(tables["methods:drawn"])}
    assert list(rows) == ["original", "**prune, p = 0.1**", "**erase**", "oracle"]
    pruned = rows["**prune, p = 0.1**"]
    # worst stage: layer4, 0.8 - 0.8 and 0.9 - 0.8: mean 0.05, deviation sqrt(2 * 0.05 ** 2) = 0.071
    assert pruned["linear − oracle"] == "+0.050 ± 0.071"
    assert pruned["other − oracle"] == "+0.050 ± 0.000"
    assert pruned["worst other"] == "kept_labels at linear layer4"
    assert pruned["kept, points"] == "-2.0 ± 0.0"
    assert pruned["kept AUC"] == "-0.002 ± 0.000"
    assert [pruned["verdict"], pruned["seeds"]] == ["SILENCED", "2"]
    assert [rows["oracle"][name] for name in ("linear − oracle", "verdict")] == ["–", "–"]
    assert rows["original"]["linear − oracle"] == "+0.200 ± 0.000"
    assert rows["**erase**"]["verdict"] == "ERASED"


def test_the_table_of_an_audit_holds_every_network(tables_of):
    line = audited(0, "ERASED")
    line["audit"]["Bald"]["nets"]["random"] = network(0.4, 0.6, 0.6)
    rows = {row["network"]: row for row in rows_of(tables_of(line)["audit:lines"])}
    assert list(rows) == ["original", "**prune, p = 0.1**", "oracle", "random"]
    assert rows["random"]["linear − oracle"] == "+0.000"  # at layer1 0.3 and 0.4 tell nothing; at layer4 0.6 - 0.8
    assert rows["**prune, p = 0.1**"]["relearning head"] == "0.250"
    assert rows["original"]["verdict"] == "–" and "membership" not in rows["original"]  # measured for none of them


def test_the_table_of_attacks_has_a_row_each_at_its_worst_place(tables_of):
    tables = tables_of(audited(0, "SILENCED"), audited(1, "SILENCED"), audited(0, "ERASED", "erase", proportion=None))
    assert tables["attacks:drawn:faces"].startswith("**drawn, resnet18, 64 px, run: faces, forgotten: Bald**\n")
    rows = rows_of(tables["attacks:lines"])
    places = [(row["method"], row["attack"], row["worst at"]) for row in rows]
    # linear of seed 0: 0 above the oracle at either stage, the first counts; of seed 1: 0.05 at layer1, 0.1 at layer4
    assert places[0] == ("prune, p = 0.1", "linear", "1 × layer1, 1 × layer4")
    assert places[1:3] == [("prune, p = 0.1", "kept_labels", "linear layer4"), ("erase", "linear", "layer1")]
    figures = [rows[1][name] for name in ("original", "unlearned", "oracle", "unlearned − oracle", "information")]
    assert [figure.partition(" ±")[0] for figure in figures] == ["1.000", "0.750", "0.700", "+0.050", "+0.17"]
    assert rows[1]["seeds"] == "2" and rows[0]["information"] == "–"


def test_networks_share_a_table_where_a_file_has_several(tables_of):
    lines = [audited(0, "ERASED"), audited(0, "SILENCED", model="vgg11", img_size=128)]
    assert "networks:lines" not in tables_of(lines[0])
    first, second = rows_of(tables_of(*lines)["networks:lines"])
    names = ("network", "px", "forgotten", "method", "verdict", "seeds")
    assert [first[name] for name in names] == ["resnet18", "64", "Bald", "prune, p = 0.1", "ERASED", "1"]
    assert [second[name] for name in names] == ["vgg11", "128", "Bald", "prune, p = 0.1", "SILENCED", "1"]
    assert (first["worst − oracle"], first["worst attack"]) == ("+0.050", "kept_labels at linear layer4")


def test_an_audit_of_an_earlier_version_is_named_with_its_line(tables_of):
    line = audited(0, "ERASED")
    for record in line["audit"]["Bald"]["nets"].values():
        record["probes"] = record.pop("attacks")["linear"]
    with pytest.raises(InputError, match="lines.jsonl, line 3: .*an audit of an earlier version.*: run it again"):
        tables_of(audited(1, "ERASED"), line)


def test_an_attack_that_the_oracle_lacks_has_no_excess(tables_of):
    line = audited(0, "ERASED")
    del line["audit"]["Bald"]["nets"]["oracle"]
    assert "linear − oracle" not in tables_of(line)["methods:drawn"]


def test_lines_of_a_tree_with_local_changes_are_left_out(tables_of):
    assert tables_of(step_3(0, 0.0, commit="0123456789ab+")) == {}


def test_under_a_table_stand_file_commits_days_and_hardware(tables_of):
    text = tables_of(step_3(0, 0.0), step_3(1, 0.1, date="2026-01-04", commit="ab"))["heads:lines"]
    assert text.splitlines()[-1] == "*lines.jsonl · 0123456789ab, ab · 2026-01-02 to 2026-01-04 · 2 cores*"


def test_benchmarks_fill_the_columns_that_are_declared_for_them(tables_of):
    scoring = {"what": "scoring", "attributes": 40, "img_size": 224, "times_ours": {"ours": 1.0, "a/b": 2.5}}
    cost = {"run": "r", "forgotten": ["a", "b"], "dataset": "drawn", "erase_images": 1536, "seed": 0}
    cost |= {"oracle_epochs": 20, "erase_seconds": [3.0, 2.0, 4.0], "epoch_seconds": [9.0, 8.0, 10.0], "ratio": 3 / 180}
    loading = {"img_size": 64, "decode_only": 1e4, "plain": {"evaluation": 50.0}, "ours": {"later": 2000.0}}
    tables = tables_of(
        FRAME | scoring | {"median_cpu_seconds": {"ours": 0.02, "a/b": 0.03}}, FRAME | cost, FRAME | loading
    )
    ours, other = rows_of(tables["scoring"])
    assert [ours[name] for name in ("px", "attributes", "in CPU time", "times ours")] == ["224", "40", "1.00", "1.00"]
    assert [other[name] for name in ("method", "in CPU time", "times ours")] == ["a/b", "1.50", "2.50"]
    (row,) = rows_of(tables["erasure_cost"])
    assert [row[name] for name in ("forgotten", "erasure, s", "share of an oracle")] == ["a and b", "3.00", "1.67%"]
    (row,) = rows_of(tables["loading"])
    assert row["ratio"] == "40.0" and row["later"] == "2,000" and "first pass" not in row


@pytest.mark.parametrize(
    ("values", "form", "cell"),
    [
        ([0.25], ".3f", "0.250"),
        ([0.0, 1.0], "+.3f", "+0.500 ± 0.707"),  # sqrt(2 * 0.25 / 1)
        ([0.25, None, 0.25], ".3f", "0.250 ± 0.000 (2 of 3)"),
        ([None, float("nan")], ".3f", "–"),
        ([1500, 1500], ",.0f", "1,500"),
        (["ERASED", "ERASED"], "s", "ERASED"),
        (["ERASED", "SILENCED", "ERASED"], "s", "2 × ERASED, 1 × SILENCED"),
        (["ERASED", None], "s", "1 × ERASED"),
    ],
)
def test_a_cell_says_mean_spread_and_what_is_missing(values, form, cell):
    assert write_cell(values, form) == cell


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_order_of_seeds_does_not_matter(values):
    assert write_cell(values, ".3f") == write_cell(values[::-1], ".3f")


@pytest.mark.parametrize("text", ['{"heads": {', "3", "[]", '"x"', "null"])
def test_a_broken_line_is_named_with_its_file(tmp_path, text):
    (tmp_path / "a.jsonl").write_text(f'{{"images": 3}}\n\n{text}\n')
    with pytest.raises(InputError, match=r"a\.jsonl, line 3: no JSON object .*; remove or mend that line"):
        read_lines(tmp_path / "a.jsonl")


def test_only_what_stands_between_the_markers_changes():
    text = "before\n<!-- table: a -->\nold\n<!-- end: a -->\nafter <!-- table: b -->\n<!-- end: b -->"
    expected = "before\n<!-- table: a -->\n\nA \\1\n<!-- end: a -->\nafter <!-- table: b -->\n\nB\n<!-- end: b -->"
    assert fill_markers(text, {"a": "A \\1", "b": "B"}, "README.md") == expected
    assert fill_markers(expected, {"a": "A \\1", "b": "B"}, "README.md") == expected
    assert fill_markers("no marker\n", {}, "README.md") == "no marker\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("<!-- table: a -->\n", "README.md: <!-- table: a --> has no <!-- end: a --> after it"),
        ("<!-- table: a -->\n<!-- end: a -->\n<!-- table: a -->", "<!-- table: a --> has no <!-- end: a -->"),
        ("<!-- table: z -->\n<!-- end: z -->", "README.md: no table named z; there are: a"),
    ],
)
def test_markers_that_do_not_fit_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        fill_markers(text, {"a": "A"}, "README.md")


def test_files_are_written_once_and_checked(tmp_path, capsys):
    (tmp_path / "results" / "lines").mkdir(parents=True)
    (tmp_path / "results" / "lines" / "demo.jsonl").write_text(json.dumps(step_3(0, 0.25)))
    (tmp_path / "README.md").write_text("<!-- table: heads:demo -->\n<!-- end: heads:demo -->\n")
    assert main(["--check"], root=tmp_path) == 1 and not (tmp_path / "results" / "tables.md").exists()
    assert main([], root=tmp_path) == 0 and "1.000 → 0.250" in (tmp_path / "README.md").read_text()
    assert capsys.readouterr().out.count("wrote") == 2
    assert main(["--check"], root=tmp_path) == 0 and capsys.readouterr().out == ""


def test_a_mistake_is_one_line_and_exit_code_2(tmp_path):
    (tmp_path / "results").mkdir()
    script = shutil.copy(RESULTS / "make_tables.py", tmp_path / "results")
    (tmp_path / "README.md").write_text("<!-- table: heads:demo -->\n<!-- end: heads:demo -->\n")
    environment = os.environ | {"PYTHONPATH": str(RESULTS.parent)}
    answer = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert answer.stderr == f"{tmp_path / 'README.md'}: no table named heads:demo; there are: none\n"


def test_names_stay_cells_and_text_whatever_they_hold(tables_of):
    name = r"a|b <script>`x`</script> \ <!-- end: heads -->"
    table = tables_of(step_3(0, 0.5, method=name, dataset=name))["heads:lines"]
    shown = r"a\|b &lt;script&gt;\`x\`&lt;/script&gt; \\ &lt;!-- end: heads --&gt;"
    assert f"| {shown}, p = 0.1 |" in table and table.startswith(f"**{shown}, resnet18, 64 px**")
    assert "<" not in table


def test_a_file_of_any_length_is_not_read(tmp_path):
    with open(tmp_path / "a.jsonl", "wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(InputError, match=r"a\.jsonl has more than 64 MB"):
        read_lines(tmp_path / "a.jsonl")


def test_a_line_that_is_no_result_is_named(tables_of):
    with pytest.raises(InputError, match="lines.jsonl, line 3: no JSON object of a result"):
        tables_of(step_3(0, 0.5), step_3(1, 0.5) | {"heads": {"Bald": {"after": {"auc": [{}]}}}})
