"""One page on several runs: what each network forgot and kept."""

import json
import re
from pathlib import Path
from types import SimpleNamespace

import pytest
from small_audit import small_audit

from tools.compare import main
from utils.page.charts import runs_chart
from utils.page.methods import runs_of
from utils.page.page import write_runs_page


def figures(gap, change, verdict="SILENCED", reference="oracle"):
    """Of one network, as `compared_networks` gives them."""
    changes = {"accuracy": change and (change, "Smiling"), "auc": change and (change / 10, "Smiling")}
    about = {"attack": "linear at layer4", "verdict": verdict, "reference": reference, "rate": 0.1, "kept": 0.9}
    return {"gap": gap, "head": 0.5, "changes": changes} | about


def networks_of(folder, target="Bald", **unlearned):
    """What `runs_of` takes of one run: its original, its oracle and between them the networks given."""
    found = {"original": figures(0.3, None, ""), **unlearned, "oracle": figures(0.01, -0.002, "")}
    return {(name, Path(folder), target): own for name, own in found.items()}


def test_each_unlearned_network_has_a_number_in_the_table_and_in_the_chart(tmp_path):
    (tmp_path / "a b" / "Bald").mkdir(parents=True)
    (tmp_path / "a b" / "Bald" / "report.html").touch()
    networks = networks_of(tmp_path / "a b" / "Bald", pruned=figures(0.2, 0.0), erased=figures(-0.01, -0.004, "ERASED"))
    networks |= networks_of(tmp_path / "other" / "Bald", erased=figures(0.05, -0.02))
    runs = runs_of(networks, tmp_path, "report.html")
    rows = [row for run in runs for row in run["networks"]]
    assert [row["number"] for row in rows] == [None, 1, 2, None, None, 3, None]
    assert [(run["run"], run["page"]) for run in runs] == [("a b", "a%20b/Bald/report.html"), ("other", None)]
    original, pruned, _, oracle = rows[:4]
    assert (original["change"], original["gap"]) == (0.0, 0.3) and (oracle["change"], oracle["gap"]) == (-0.002, 0.0)
    assert (pruned["network"], pruned["verdict"], pruned["auc"]) == ("pruned", "SILENCED", 0.0)

    lines = {line["network"]: line for line in runs_chart(runs)["lines"]}
    assert [mark["label"] for mark in lines["erased"]["marks"]] == ["2", "3"] and lines["erased"]["path"] == ""
    assert [mark["label"] for mark in lines["original"]["marks"]] == ["", ""]
    first, second = lines["erased"]["marks"]
    assert first["y"] > second["y"] and first["x"] > second["x"]  # forgot more, and kept more
    page = write_runs_page(tmp_path / "comparison.html", networks).read_text(encoding="utf-8")
    assert page.count('href="a%20b/Bald/report.html"') == 1 and "<script" not in page
    assert re.findall(r"<b>(\d)</b>", page) == ["1", "2", "3"] and "−0.4" in page


def test_gaps_to_different_references_are_not_drawn_together(tmp_path):
    networks = networks_of("r/a/Bald", erased=figures(0.1, -0.01))
    networks |= networks_of("r/b/Bald", erased=figures(0.3, -0.02, reference="random"))
    assert runs_chart(runs_of(networks, tmp_path, "report.html")) is None
    page = write_runs_page(tmp_path / "comparison.html", networks).read_text(encoding="utf-8")
    assert "made against different references" in page and "against the untrained network" in page


def test_undefined_figures_leave_a_network_out_of_the_chart_not_out_of_the_table(tmp_path):
    networks = {("erased", Path("r/a/Bald"), "Bald"): figures(None, None, "UNDECIDED")}
    assert runs_chart(runs_of(networks, tmp_path, "report.html")) is None
    page = write_runs_page(tmp_path / "comparison.html", networks).read_text(encoding="utf-8")
    assert "UNDECIDED" in page and "no two networks with both figures" in page


@pytest.mark.parametrize("run", ["<script>alert(1)<", "\u202eevil", 'quo"te', "long" * 50, "n\udcff"])
def test_a_hostile_name_of_a_run_is_text(run, tmp_path):
    folder = tmp_path / run / "Bald"
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    networks = networks_of(folder, erased=figures(0.1, -0.01))
    page = write_runs_page(tmp_path / "comparison.html", networks).read_text(encoding="utf-8")
    assert "<script>" not in page and "\u202e" not in page and 'quo"te' not in page


def test_the_tool_writes_the_page_above_several_runs_alone(tmp_path, capsys):
    for run in ("one", "two"):
        folder = tmp_path / run / "Bald" / "erased"
        folder.mkdir(parents=True)
        audit = small_audit()
        for record in audit["nets"].values():
            for head in record["heads"].values():
                head |= {"tpr": 0.25, "accuracy": 0.9}
        (folder / "audit_Bald.json").write_text(json.dumps(audit))
    main(SimpleNamespace(folders=[str(tmp_path / "one" / "Bald")]))
    assert not list(tmp_path.rglob("comparison.html"))
    main(SimpleNamespace(folders=[str(tmp_path / run / "Bald") for run in ("one", "two")]))
    assert (tmp_path / "comparison.html").is_file() and f"  {tmp_path / 'comparison.html'}" in capsys.readouterr().out


def test_relative_folders_and_links_are_followed_to_their_run(tmp_path, monkeypatch):
    folder = tmp_path / "deep" / "results" / "one" / "Bald"
    folder.mkdir(parents=True)
    (folder / "report.html").touch()
    (tmp_path / "linked").symlink_to(tmp_path / "deep" / "results")
    monkeypatch.chdir(folder.parent)
    for named, above in (("Bald", "."), (tmp_path / "linked" / "one" / "Bald", tmp_path / "deep/results/one")):
        ((run,),) = [runs_of(networks_of(named, erased=figures(0.1, 0.0)), Path(above), "report.html")]
        assert (run["run"], run["page"]) == ("one", "Bald/report.html")
