import json

import pytest
from small_page import make_results

from utils.page.page import write_page
from utils.page.reading import read_results

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
