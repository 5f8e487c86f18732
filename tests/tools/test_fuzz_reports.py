"""Results lines and audits from anywhere, whole or mutilated: read, or refused in one line."""

import copy
import json
from types import SimpleNamespace

import pytest
from fuzz_rules import ends_in_one_line, fuzz
from hypothesis import given
from hypothesis import strategies as st
from small_audit import small_audit

from results.make_tables import make_tables
from tools import compare
from utils.page import audit_files
from utils.page.page import write_page

WORDS = st.sampled_from(["", "a|b", "<script>", "`x`", "=1+1", "../x", "\x1b[31m", "caf\udce9", "\u2028", "Bald"])
LEAVES = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(), WORDS, st.text(max_size=5), st.just(10**400), st.just([[[]]])
)
VALUES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3))
HEAD = {"n": 9, "n_all_positive": 2, "tpr": 0.5, "tpr_all_positive": 0.5, "accuracy": 0.9, "auc": None}
CHANGES = {"Smiling": {"accuracy": {"value": -0.01}, "auc": {"value": 0.0}}}
NETWORK = {
    "head_auc": {"value": 0.9},
    "attacks": {"linear": {"layer1": {"value": 0.5}}, "mlp": {"top": {"value": 0.5}}},
}
NETWORK |= {"membership": None, "relearning": {"head": {"area": 0.2}}, "kept_changes": CHANGES}
LINE = {
    "run": "r_s1",
    "forgotten": ["Bald"],
    "method": "erase",
    "proportion": None,
    "model": "resnet18",
    "img_size": 64,
}
LINE |= {"seed": 1, "dataset": "d", "commit": "0123", "date": "2026-01-02", "hardware": "2 cores", "verdict": {}}
NETWORK |= {"gaps": {"reference": "oracle", "attacks": {"linear": {"layer1": {"information": 0.1}}}}}
NETWORKS = {"nets": {"unlearned": NETWORK, "oracle": NETWORK}}
LINE |= {"heads": {"Bald": {"before": HEAD, "after": HEAD}}, "audit": {"Bald": NETWORKS}}
BENCHMARKS = {"times_ours": {"a": 2.0}, "median_cpu_seconds": {"a": 2.0, "ours": [1.0]}, "worst_gap": 0.1}
BENCHMARKS |= {"stages": {"x": {"seconds": 1.0}}, "erase_seconds": [1.0], "epoch_seconds": [2.0], "ratio": 0.1}


@st.composite
def mutilated(draw, tree):
    """A copy of a JSON tree in which some nodes are gone, or something else."""
    tree = copy.deepcopy(tree)
    for _ in range(draw(st.integers(1, 3))):
        node = tree
        while True:
            keys = list(node) if isinstance(node, dict) else range(len(node))
            if not keys:
                break
            key = draw(st.sampled_from(keys))
            if isinstance(node[key], (dict, list)) and node[key] and draw(st.integers(0, 4)):
                node = node[key]
                continue
            if isinstance(node, dict) and draw(st.booleans()):
                del node[key]
            else:
                node[key] = copy.deepcopy(draw(VALUES))  # what is drawn may be drawn again
            break
    return tree


def contents(tree):
    """Bytes of a file: a mutilated tree, a damaged text of it, or anything."""
    text = json.dumps(tree).encode()
    damaged = st.tuples(st.integers(0, len(text) - 1), st.binary(max_size=3)).map(
        lambda cut: text[: cut[0]] + cut[1] + text[cut[0] + 1 :]
    )
    return st.one_of(mutilated(tree).map(lambda tree: json.dumps(tree).encode()), damaged, st.binary(max_size=200))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fuzz")
    (folder / "erased").mkdir()
    return folder


@fuzz(0.1)
@given(content=contents(small_audit()))
def test_any_audit_is_compared_or_refused(content, folder):
    (folder / "erased" / "audit_Bald.json").write_bytes(content)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(compare, "draw_comparison", lambda *_: None)  # what is drawn is read before
        ends_in_one_line(lambda: compare.main(SimpleNamespace(folders=[str(folder)])), folder)


@fuzz(0.01)
@given(content=contents(small_audit()))
def test_any_audit_is_on_a_page_or_left_out(content, folder):
    (folder / "erased" / "audit_Bald.json").write_bytes(content)
    ends_in_one_line(lambda: write_page(folder), folder)


@fuzz(0.02)
@given(
    lines=st.lists(st.one_of(contents(LINE), contents(LINE | BENCHMARKS)), min_size=1, max_size=2),
    whole=st.sampled_from([[], [LINE]]),
)
def test_any_line_of_results_becomes_a_row_or_is_refused(lines, whole, folder):
    path = folder / "lines.jsonl"
    path.write_bytes(b"\n".join([*(json.dumps(line).encode() for line in whole), *lines]))
    tables = ends_in_one_line(lambda: make_tables([path]), folder)
    for table in tables.values() if isinstance(tables, dict) else ():
        assert "<" not in table and all(sign >= " " or sign == "\n" for sign in table)


def test_a_deep_and_a_large_audit_are_refused(folder, monkeypatch):
    for content in ("[" * 100_000, json.dumps(small_audit())):
        (folder / "erased" / "audit_Bald.json").write_text(content)
        error = ends_in_one_line(lambda: compare.main(SimpleNamespace(folders=[str(folder)])), folder)
        assert "audit_Bald.json is no audit" in str(error)
        monkeypatch.setattr(audit_files, "LARGEST", 100)


def test_a_data_set_that_is_no_text_names_its_table_all_the_same(folder):
    path = folder / "loading.jsonl"
    path.write_text(json.dumps({"decode_only": 1.0, "dataset": [1], "commit": "a"}))
    assert "**[1]**" in make_tables([path])["loading"]
