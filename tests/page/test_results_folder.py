import json

import pytest
from small_page import make_results

from utils.page.methods import compared_networks
from utils.page.page import make_page, write_page
from utils.page.reading import read_results
from utils.page.words import three_numbers

PRUNED = {"checkpoint_sha256": "p" * 64, "parent_sha256": "a" * 64}  # as `small_page.result_line` names it


def rewrite(path, **more):
    """Put more into a JSON file."""
    path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | more), encoding="utf-8")


@pytest.mark.parametrize(
    ("of", "shown"),
    [
        (PRUNED, True),
        (PRUNED | {"checkpoint_sha256": "0" * 64}, False),
        (PRUNED | {"parent_sha256": "0" * 64}, False),
        (PRUNED | {"method": "another name of it"}, True),
        ({"method": "prune"}, True),  # of an earlier version, without digests
        ({"method": "prune, no balance"}, False),
    ],
)
def test_an_audit_of_another_network_than_the_last_one_is_no_verdict_on_it(of, shown, tmp_path):
    folder, _ = make_results(tmp_path)
    rewrite(folder / "pruned" / "audit_Bald.json", **of)
    found = read_results(folder)
    assert ("pruned" in found.audits["Bald"]) is shown and "erased" in found.audits["Bald"]
    note = "pruned: the audit of Bald is of another network than the last one made here: run step 3 with --audit again"
    assert found.notes == ([] if shown else [note])


def test_maps_and_a_sweep_of_another_network_are_left_out_too(tmp_path):
    folder, graph = make_results(tmp_path)
    sweep = {"original": {"worst_gap": 0.4}, "points": [{"strength": 1, "worst_gap": 0.1, "kept_loss": 0.0}]}
    (folder / "erased" / "strength.json").write_text(json.dumps(sweep | {"chosen": 1, "reached": True}))
    found = read_results(folder)
    assert list(found.strengths) == ["erased"] and sorted(found.kept) == ["erased", "pruned"]
    rewrite(folder / "erased" / "strength.json", parent_sha256="0" * 64)
    rewrite(folder / "pruned" / "page.json", checkpoint_sha256="0" * 64)
    found = read_results(folder)
    assert not found.strengths and list(found.kept) == ["erased"] and len(found.notes) == 2
    page = write_page(folder, graph=graph).read_text(encoding="utf-8")
    assert "Left out: pruned: the Grad-CAM is of another network" in page


def against_random(path):
    """Make an audit of `small_page` one without an oracle: twice as far from a network that was never trained."""
    audit = json.loads(path.read_text(encoding="utf-8"))
    audit["nets"].pop("oracle")
    for record in audit["nets"].values():
        record["gaps"]["reference"] = "random"
        for places in record["gaps"]["attacks"].values():
            for gap in places.values():
                gap["value"] = gap["value"] and 2 * gap["value"]
    path.write_text(json.dumps(audit), encoding="utf-8")


def test_each_method_is_compared_with_the_original_of_its_own_audit(tmp_path):
    folder, graph = make_results(tmp_path)
    against_random(folder / "pruned" / "audit_Bald.json")
    methods = dict(sorted(read_results(folder).audits["Bald"].items(), reverse=True))
    rows = {row["method"]: row for row in three_numbers(methods, {})}
    assert [rows[name]["forgotten"]["original"] for name in ("pruned", "erased")] == pytest.approx([0.38, 0.19])
    assert rows["pruned"]["forgotten"]["share"] == pytest.approx(rows["erased"]["forgotten"]["share"])
    networks = compared_networks(methods)
    originals = ["original, against the untrained network", "original, against the oracle"]
    assert list(networks) == [*originals, "pruned", "erased", "oracle"]
    assert [networks[name]["gap"] for name in originals] == pytest.approx([0.38, 0.19])
    page = write_page(folder, graph=graph).read_text(encoding="utf-8")
    assert "These audits have different references" in page and "a mark a network" not in page
    assert "No audit compares the pruned network with the oracle" in page and "There is no oracle" not in page


def test_heads_that_are_alike_in_the_audits_of_all_targets_are_shown_once(tmp_path):
    folder, _ = make_results(tmp_path, graph=False)
    lines = tmp_path / "results" / "results.jsonl"
    lines.write_text(lines.read_text().replace('"forgotten": ["Bald"]', '"forgotten": ["Bald", "Young"]'))
    for method, tables in (("pruned", 2), ("erased", 1)):  # first an audit lacks, so that the tables differ
        audit = json.loads((folder / method / "audit_Bald.json").read_text())
        (folder / method / "audit_Young.json").write_text(json.dumps(audit | {"target": "Young"}))
        page = make_page(read_results(folder))
        part = page[page.index('<section id="heads">') : page.index('<section id="attacks">')]
        assert part.count("<table") == tables and part.count("<h3>") == (tables if tables > 1 else 0)
