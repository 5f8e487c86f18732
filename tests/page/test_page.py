import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from small_audit import figure, small_audit
from small_page import kept_record, make_results, small_graph

from utils.common.errors import InputError
from utils.graph.essential_graph import read_graph
from utils.page.page import MOST_BYTES, make_page, write_page
from utils.page.reading import ResultsFolder, read_results
from utils.report.style import KEPT, NETWORK_STYLES

HOSTILE = {
    "Bald": '<script>alert("x")</script>',
    "Smiling": "Ünïcode'\"&lt; " + "long" * 50,
    "Young": "\u05e2\u05d1\u05e8\u05d9\u05ea\u202e{{7*7}}",
}


class Outline(HTMLParser):
    """Tags with their attributes, the text outside of scripts and styles, and the JSON of data scripts."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.words, self.data, self.inside = [], [], [], ""
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append((tag, attributes))
        if tag in ("script", "style"):
            self.inside = attributes.get("type") or tag

    def handle_endtag(self, tag):
        self.inside = "" if tag in ("script", "style") else self.inside

    def handle_data(self, text):
        if self.inside == "application/json":
            self.data.append(json.loads(text))
        elif not self.inside:
            self.words.append(text)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    folder, graph = make_results(tmp_path_factory.mktemp("page"))
    return write_page(folder, graph=graph).read_text(encoding="utf-8")


def test_the_page_says_the_verdict_first_and_then_every_part_in_order(page):
    headings = re.findall(r'<section id="(\w+)"', page)
    assert headings == "verdict numbers heads attacks curves cams graph methods limits commands".split()
    words = Outline(page).text
    assert "What is left of Bald ?" in words and "SILENCED" in words
    assert "95 % of what the original gives away." in words  # 0.01 of 0.19 is left
    assert "The worst attack (linear at layer4) finds +0.010 of AUC beyond the oracle, in the original +0.190." in words
    assert "-1.0" not in words and "+0.1" in words  # minus signs are real ones
    assert "2 of 7 cells find more of it than the oracle holds, beyond chance." in words


def test_the_page_asks_for_nothing_from_anywhere(page):
    sources = [value for _, attributes in Outline(page).tags for name, value in attributes.items()
               if name in ("src", "href", "srcset", "action", "poster", "data")]  # fmt: skip
    assert all(source.startswith(("data:", "#")) for source in sources) and len(sources) > 20
    assert not re.findall(r"url\(|@import|https?://(?!www\.w3\.org/2000/svg)", page)
    assert "default-src 'none'" in page


def test_a_network_has_the_colour_that_it_has_in_every_picture(page):
    assert f"--oracle: {KEPT};" in page and f"--pruned: {NETWORK_STYLES['pruned'][0]};" in page


def test_hostile_names_change_nothing_but_the_text_shown(page, tmp_path):
    folder, graph = make_results(tmp_path, HOSTILE, run="<img src=x onerror=alert(1)> ' \u05d0".replace("/", ""))
    hostile = write_page(folder, graph=graph).read_text(encoding="utf-8")
    plain, other = Outline(page), Outline(hostile)

    def bones(outline):
        free = ("aria-label", "value", "data-cell", "src", "style")
        return [(tag, {k: v for k, v in attributes.items() if k not in free}) for tag, attributes in outline.tags]

    assert bones(other) == bones(plain)
    assert other.data[-1]["attributes"] == list(HOSTILE.values()) and "{{7*7}}" in other.text
    assert "\u202e" not in other.text  # it would turn what follows
    assert '<script>alert("x")</script>' in other.text


def test_the_same_files_give_the_same_page(tmp_path, monkeypatch):
    pages = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        monkeypatch.chdir(tmp_path / name)
        folder, _ = make_results(Path())
        pages.append(write_page(folder).read_text(encoding="utf-8"))
    assert pages[0] == pages[1] and "<code>python -m tools.report results/small/Bald</code>" in pages[0]


def test_what_is_missing_is_said_with_its_reason(tmp_path, monkeypatch):
    folder, path = make_results(tmp_path / "other place")

    def read(graph=path):
        return Outline(write_page(folder, graph=graph).read_text(encoding="utf-8")).text

    text = read()
    assert f"python -m tools.report '{folder}' --graph '{path}'" in text
    monkeypatch.setattr("utils.page.page.MOST_BYTES", 100)
    text = read()
    assert "Grad-CAM was kept, but is left out: the page would be too long" in text and "was not kept" not in text
    assert "The graph is left out: the page would be too long" in text and "There is no essential graph" not in text
    monkeypatch.undo()
    for method in ("pruned", "erased"):
        record = json.loads((folder / method / "page.json").read_text()) | {"cams": None}
        (folder / method / "page.json").write_text(json.dumps(record))
    (tmp_path / "votes.txt").write_text("")
    text = read(tmp_path / "votes.txt")
    assert "no convolution of this network has maps of four pixels" in text and "was not kept" not in text
    assert "The graph is in the released text format" in text and "erasure needs none" not in text
    assert "There is no essential graph at graphs/small/Bald.json." in read(None)
    with pytest.raises(InputError, match="^--graph nope.json: there is no such file$"):
        read("nope.json")
    with pytest.raises(InputError, match="^--results nope.jsonl: there is no such file$"):
        write_page(folder, results="nope.jsonl")


@pytest.mark.parametrize(
    ("absent", "said"),
    [
        ({"audit": False}, "unlearning.py --task Bald Smiling Young --data_path D --target_class Bald --audit quick"),
        ({"graph": False}, "python unlearning_multi_celeba_resnet18_generate_graph.py --task Bald Smiling Young"),
        (
            {"oracle": False},
            "Smiling Young --data_path D --model resnet18 --epoch 5 --no-vflip --img_size 32 --leave_out Bald",
        ),
        ({"methods": ("pruned",)}, "--target_class Bald --method erase --audit quick"),
        ({"methods": ("erased",)}, "--target_class Bald --method prune --audit quick"),
        ({}, "python -m tools.choose_strength --task Bald Smiling Young --data_path D --target_class Bald"),
    ],
)
def test_a_part_that_was_not_computed_names_its_command(absent, said, tmp_path):
    folder, graph = make_results(tmp_path, **absent)
    assert said in Outline(write_page(folder, graph=graph).read_text(encoding="utf-8")).text


def test_without_photographs_the_maps_stand_alone(tmp_path):
    folder, graph = make_results(tmp_path, graph=False)
    shown, hidden = (
        write_page(folder, graph=graph, faces=faces).read_text(encoding="utf-8") for faces in (True, False)
    )
    assert shown.count("<img") - hidden.count("<img") == 2 and hidden.count("<img") == 12
    assert "The images are left out, so" in hidden and "left out" not in shown


@pytest.mark.parametrize("images", [True, False])
@pytest.mark.parametrize("drawn", [True, False, None])  # None: kept by an earlier version, which did not say
def test_images_are_called_drawn_where_they_were_and_not_where_they_are_shown(drawn, images, tmp_path):
    folder, _ = make_results(tmp_path, graph=False)
    for path in folder.glob("*/page.json"):
        record = kept_record(("Bald", "Smiling"), images) | ({} if drawn is None else {"drawn": drawn})
        path.write_text(json.dumps(record))
    text = Outline(write_page(folder).read_text(encoding="utf-8")).text
    assert ("The images are drawn, not photographed" in text) is (drawn is True)
    assert ("keeps those that were not drawn" in text) is (drawn is False and not images)
    assert ("The images are left out" in text) is not images and "faces are" not in text


def test_a_file_that_is_damaged_is_named_and_the_rest_is_shown(tmp_path):
    folder, graph = make_results(tmp_path)
    (folder / "erased" / "audit_Bald.json").write_text('{"target": NaN', encoding="utf-8")
    graph.write_text("{}", encoding="utf-8")
    text = Outline(write_page(folder, graph=graph).read_text(encoding="utf-8")).text
    assert (
        "Left out: erased/audit_Bald.json is no audit" in text
        and "is not a whole essential graph" in text
        and "SILENCED" in text
    )


def test_a_change_of_auc_is_told_with_the_head_it_is_of(tmp_path):
    folder, graph = make_results(tmp_path, methods=("erased",))
    audit = json.loads((folder / "erased" / "audit_Bald.json").read_text())
    record = audit["nets"]["unlearned"]
    record["heads"]["Young"] = record["heads"]["Smiling"]
    record["kept_changes"]["heads"] = {
        "Smiling": {"accuracy": figure(-0.001, interval=[-0.002, 0.0]), "auc": figure(0.0)},
        "Young": {"accuracy": figure(0.001), "auc": figure(-0.03, interval=[-0.04, -0.02])},
    }
    (folder / "erased" / "audit_Bald.json").write_text(json.dumps(audit))
    text = Outline(write_page(folder, graph=graph).read_text(encoding="utf-8")).text
    worst = "on the kept head that fared worst ( Smiling ). The worst change of AUC is −0.030 ( Young )."
    assert f"−0.1 points of accuracy since the original, {worst}" in text
    assert "+0.1 AUC −0.030: more than allowed" in text and text.count("more than allowed") == 1


@pytest.mark.parametrize("odd", ["abc", [1], 7, {"torch": [1]}, [["torch", 1]]])
def test_a_graph_of_a_stranger_may_say_anything_of_what_made_it(odd, tmp_path):
    folder, path = make_results(tmp_path)
    graph = read_graph(path)
    graph.made_by.update({"versions": odd, "parent_sha256": odd, "seed": odd})
    graph.made_by["arguments"] |= {"of_another_version": odd}
    path.write_text(graph.to_json(), encoding="utf-8")
    text = Outline(write_page(folder, graph=path).read_text(encoding="utf-8")).text
    assert "The graph was made from another original" in text and "Step 2" in text


def test_a_folder_without_anything_is_refused_in_a_line(tmp_path):
    with pytest.raises(InputError, match="^nothing to report on in .*: run step 3 first|no audit, and no line"):
        write_page(tmp_path / "run" / "targets")


def test_a_line_of_an_evaluation_does_not_hide_the_line_that_made_the_network(tmp_path):
    folder, _ = make_results(tmp_path)
    lines = tmp_path / "results" / "results.jsonl"
    again = json.loads(lines.read_text().splitlines()[0]) | {"seconds": {}, "command": "python x.py --evaluate_only"}
    lines.write_text(lines.read_text() + json.dumps(again) + "\nno JSON\n")
    assert "--evaluate_only" not in read_results(folder).lines["pruned"]["command"]


def test_many_heads_and_a_wide_network_stay_below_the_bound():
    names = tuple(f"attribute_{i}_{'x' * 30}" for i in range(40))
    graph = small_graph(names, names[:2], layers={f"layer{i}": 1024 for i in range(5)}, proportion=0.02)
    found = ResultsFolder("run", "targets", {"Bald": {"pruned": small_audit()}}, graph=graph)
    text = make_page(found)
    assert len(text.encode()) < MOST_BYTES and "data-graph" in text


def test_several_targets_each_have_their_part(tmp_path):
    folder, graph = make_results(tmp_path, graph=False)
    lines = (tmp_path / "results" / "results.jsonl").read_text()
    (tmp_path / "results" / "results.jsonl").write_text(
        lines.replace('"forgotten": ["Bald"]', '"forgotten": ["Bald", "Young"]')
    )
    audit = json.loads((folder / "pruned" / "audit_Bald.json").read_text())
    (folder / "pruned" / "audit_Young.json").write_text(json.dumps(audit | {"target": "Young"}))
    found = read_results(folder, graph=graph)
    assert sorted(found.audits) == ["Bald", "Young"]
    assert Outline(make_page(found)).text.count("SILENCED") >= 3


def test_a_folder_of_the_audit_tool_has_a_page_too(tmp_path):
    (tmp_path / "audit_Bald.json").write_text(json.dumps(small_audit()), encoding="utf-8")
    text = Outline(write_page(tmp_path).read_text(encoding="utf-8")).text
    assert "SILENCED" in text and "There is no essential graph" in text and "Grad-CAM before and after was not" in text
