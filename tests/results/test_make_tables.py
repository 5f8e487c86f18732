"""The tables of results say what their JSON lines say, worked out by hand."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from results.make_tables import counts, fill_markers, get_args_parser, main, make_tables
from results.result_lines import group_of, group_results, read_lines, without_seed
from results.wording import spread, verdict_words
from utils.common.errors import InputError

ROOT = Path(__file__).resolve().parents[2]
COMMAND = "python step3.py --task_labels Bald Smiling --run_name Bald"


def head(rate, n=1500):
    figures = {"accuracy": 0.9, "balanced_accuracy": None, "auc": 1.0}
    return {"n": n, "n_all_positive": 310, "tpr_all_positive": rate, **figures}


def result(seed, after, **changes):
    line = {
        "run": f"Bald_seed{seed}",
        "forgotten": ["Bald"],
        "method": "pruning",
        "model": "resnet18",
        "img_size": 64,
        "seed": seed,
        "dataset": "drawn faces",
        "command": f"{COMMAND}_seed{seed} --seed {seed}",
        "heads": {
            "Bald": {"before": head(1.0), "after": head(after)},
            "Smiling": {"before": head(0.5), "after": head(0.5)},
        },
        "arguments": {"proportion": 0.1, "data_path": "data/faces"},
        "versions": {"torch": "2.9", "numpy": "2.1"},
        "hardware": "2 cores",
        "commit": "0123456789abcdef0123456789abcdef01234567-dirty",
        "date": "2026-01-02T03:04:05",
        "verdict": {"word": "SILENCED", "reason": "layer4"},
    }
    return line | changes


@pytest.fixture
def write_lines(tmp_path):
    def write(*results, name="results.jsonl"):
        path = tmp_path / name
        path.write_text("".join(json.dumps(line) + "\n\n" for line in results), encoding="utf-8")
        return path

    return write


def rows_of(table):
    lines = [line for line in table.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def test_a_row_is_the_mean_and_sample_deviation_over_seeds_before_and_after(write_lines):
    # 0.0, 0.1, 0.2: mean 0.1, squared deviations 0.01 + 0 + 0.01 over n - 1 = 2: deviation 0.1
    table = make_tables([write_lines(result(0, 0.0), result(1, 0.1), result(2, 0.2))])["results:drawn faces"]
    forgotten, kept = rows_of(table)
    assert forgotten[:6] == ["1", "Bald", "pruning, p = 0.1", "**Bald**", "3", "1,500 (310)"]
    assert forgotten[6] == "1.000 ± 0.000 → 0.100 ± 0.100"
    assert forgotten[8] == "undefined → undefined"
    assert forgotten[10] == "SILENCED"
    assert kept[3] == "Smiling"
    assert kept[6] == "0.500 ± 0.000 → 0.500 ± 0.000"
    assert kept[10] == ""  # the verdict is on the forgotten head


def test_under_the_table_stands_where_each_row_comes_from(write_lines):
    table = make_tables([write_lines(result(0, 0.0), result(1, 0.1, date="2026-01-03"))])["results:drawn faces"]
    expected = (
        f"1. resnet18, 64 px · seeds 0, 1 · `{COMMAND}_seed0 --seed 0`; the others with their own seed · 2 cores"
        " · torch 2.9, numpy 2.1 · commit 0123456789ab-dirty · 2026-01-02 · 2026-01-03"
    )
    assert expected in table.splitlines()


def test_generated_faces_and_celeba_never_share_a_table(write_lines):
    path = write_lines(result(0, 0.0), result(1, 0.5, dataset={"name": "CelebA"}))
    tables = make_tables([path])
    assert set(tables) == {"results", "results:drawn faces", "results:CelebA"}
    assert [row[4] for row in rows_of(tables["results:drawn faces"])] == ["1", "1"]
    assert "0.500" not in rows_of(tables["results:drawn faces"])[0][6]
    assert rows_of(tables["results:CelebA"])[0][6] == "1.000 → 0.500"  # one seed has no spread
    assert tables["results"].index("**drawn faces**") < tables["results"].index("**CelebA**")


@pytest.mark.parametrize(
    "change",
    [
        {"method": "oracle"},
        {"model": "customresnet"},
        {"img_size": 32},
        {"forgotten": ["Smiling"]},
        {"arguments": {"proportion": 0.2}},
        {"command": COMMAND + " --as_released --seed 1"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_runs_that_differ_in_more_than_the_seed_have_rows_of_their_own(change):
    assert len(group_results([result(0, 0.0), result(1, 0.1)])) == 1
    assert len(group_results([result(0, 0.0), result(1, 0.1, **change)])) == 2


def test_a_seed_run_again_counts_once_with_its_later_result():
    (by_seed,) = group_results([result(0, 0.9), result(1, 0.1), result(0, 0.2)]).values()
    assert list(by_seed) == [0, 1]
    assert by_seed[0]["heads"]["Bald"]["after"]["tpr_all_positive"] == 0.2


def test_a_result_that_names_no_data_set_is_filed_under_its_folder():
    assert group_of(result(0, 0.0, dataset=None)).dataset == "data/faces"
    assert group_of(result(0, 0.0, dataset=None, arguments={})).dataset == "data set not named"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("Bald_seed1", "Bald"),
        ("Bald-s1", "Bald"),
        ("checkpoints/Bald_s1/original.pth", "checkpoints/Bald/original.pth"),
        ("Bald_s12", "Bald_s12"),  # another seed
        ("Bald_1", "Bald_1"),  # not said to be a seed
    ],
)
def test_a_seed_is_taken_off_the_end_of_a_name(text, left):
    assert without_seed(text, 1) == left


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([0.25], "0.250"),
        ([0.0, 1.0], "0.500 ± 0.707"),  # sqrt(2 * 0.25 / 1)
        ([0.25, None, 0.25], "0.250 ± 0.000 (2 of 3)"),
        ([None, float("nan")], "undefined"),
    ],
)
def test_undefined_figures_are_left_out_of_a_mean_and_counted(values, words):
    assert spread(values) == words


@given(st.lists(st.floats(0, 1), min_size=2, max_size=6))
def test_the_order_of_seeds_does_not_matter(values):
    assert spread(values) == spread(values[::-1])


def test_counts_that_differ_are_given_as_a_range():
    assert counts([1500, 1500]) == "1,500"
    assert counts([1500, 20, None]) == "20–1,500"
    assert counts([None]) == "?"


def test_verdicts_that_differ_between_seeds_are_counted():
    erased, silenced = {"verdict": "ERASED"}, {"verdict": {"Bald": {"word": "SILENCED"}}}
    assert verdict_words([erased, erased], "Bald") == "ERASED"
    assert verdict_words([erased, silenced, erased], "Bald") == "2 × ERASED, 1 × SILENCED"
    assert verdict_words([erased, {}], "Bald") == "1 × ERASED"  # one of two was not audited
    assert verdict_words([{}], "Bald") == ""


def test_a_broken_line_is_named_and_lines_of_another_kind_are_left_out(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text('{"images_per_second": 3}\n[1]\n\n{"heads": {\n')
    with pytest.raises(InputError, match=r"a\.jsonl, line 4: not JSON .*; remove or mend that line"):
        read_lines(path)
    path.write_text('{"images_per_second": 3}\n[1]\n')
    assert read_lines(path) == []
    assert make_tables([path]) == {}


def test_only_what_stands_between_the_markers_changes():
    text = "before\n<!-- table: a -->\nold\n<!-- end: a -->\nafter <!-- table: b -->\n<!-- end: b -->"
    expected = "before\n<!-- table: a -->\n\nA \\1\n<!-- end: a -->\nafter <!-- table: b -->\n\nB\n<!-- end: b -->"
    filled = fill_markers(text, {"a": "A \\1", "b": "B"}, "README.md")
    assert filled == expected
    assert fill_markers(filled, {"a": "A \\1", "b": "B"}, "README.md") == filled


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nothing here", "README.md: no marker; put <!-- table: NAME -->"),
        ("<!-- table: a -->\n", "README.md: <!-- table: a --> has no <!-- end: a --> after it"),
        (
            "<!-- table: a -->\n<!-- end: a -->\n<!-- table: a -->",
            "README.md: <!-- table: a --> has no <!-- end: a -->",
        ),
        ("<!-- table: z -->\n<!-- end: z -->", "README.md: no table named z; there are: a"),
    ],
)
def test_markers_that_do_not_fit_are_refused(text, message):
    with pytest.raises(InputError, match=message):
        fill_markers(text, {"a": "A"}, "README.md")


def test_the_tables_can_be_printed_written_and_filled_in(write_lines, tmp_path, capsys):
    path, readme, tables = write_lines(result(0, 0.0)), tmp_path / "README.md", tmp_path / "tables.md"
    readme.write_text("<!-- table: results:drawn faces -->\n<!-- end: results:drawn faces -->\n")
    main(get_args_parser().parse_args([str(path)]))
    printed = capsys.readouterr().out
    assert printed.startswith("## results\n\n**drawn faces**\n\n")
    main(get_args_parser().parse_args([str(path), "--write", str(tables), "--fill", str(readme)]))
    assert capsys.readouterr().out == ""
    assert printed.rstrip("\n") in tables.read_text()
    assert rows_of(readme.read_text()) == rows_of(printed)


def test_a_mistake_on_the_command_line_is_one_line_and_exit_code_2(tmp_path):
    command = [sys.executable, "-m", "results.make_tables", str(tmp_path / "absent.jsonl")]
    answer = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert answer.returncode == 2
    assert "absent.jsonl" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_a_sweep_over_proportions_is_a_table_of_its_own(tmp_path):
    point = {"run": "r", "forgotten": ["a", "b"], "proportion": 0.1, "pruned": 7, "auc": 0.9876}
    point |= {"tpr_all_positive": 0.25, "kept_accuracy_change": -0.0125}
    (tmp_path / "sweep.jsonl").write_text(json.dumps({**point, "pruned": 3}) + "\n" + json.dumps(point) + "\n")
    table = make_tables([tmp_path / "sweep.jsonl"])["sweep"]
    assert "| r | a and b | 0.1 | 7 | 0.250 | 0.988 | -1.2 points |" in table and "| 3 |" not in table
