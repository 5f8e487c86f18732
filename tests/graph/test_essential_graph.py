import hashlib
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from utils.common.errors import InputError
from utils.graph.essential_graph import EssentialGraph, read_graph, read_released_text


def small_graph(**changes):
    """Two layers of four channels; t is forgotten, a is kept."""
    parts = {
        "attributes": ("t", "a"),
        "forgotten": ("t",),
        "layers": {"x": 4, "y": 4},
        "scores": {"x": {"t": [0.5, 0.25, 0.0, -1.0], "a": [0.0] * 4}, "y": {"t": [0.0] * 4, "a": [0.0] * 4}},
        "essential": {"x": {"t": [0, 1], "a": [1, 2]}, "y": {"t": [3], "a": [0]}},
        "prune": {"x": [0], "y": [3]},
        "edges": [{"source": "x", "target": "y", "attribute": "t", "connections": [[0, 3, 0.5], [1, 3, -0.125]]}],
        "made_by": {"seed": 0, "parent_sha256": "ab"},
    }
    return EssentialGraph(**{**parts, **changes})


def test_a_graph_survives_the_way_through_its_file(tmp_path):
    path = tmp_path / "t.json"
    path.write_text(small_graph().to_json())
    assert read_graph(path) == small_graph()


def test_votes_nodes_and_summary_follow_from_the_essential_sets():
    graph = small_graph()
    assert graph.votes("x") == [2, 1, -1, 0]
    assert graph.nodes()[1] == {"layer": "x", "channel": 1, "essential_to": ["t", "a"], "vote": 1, "prune": False}
    row = graph.summary()[1]
    assert [row["layer"], row["essential to target"], row["shared"], row["to prune"], row["edges in"]] == [
        "y",
        1,
        0,
        1,
        2,
    ]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"prune": {"x": [0, 1], "y": [3]}}, "x: the nodes to prune do not follow"),
        ({"essential": {"x": {"t": [0, 9], "a": []}, "y": {"t": [], "a": []}}}, "x: channels must be distinct, sorted"),
        ({"essential": {"x": {"t": [1, 0], "a": []}, "y": {"t": [], "a": []}}}, "x: channels must be distinct, sorted"),
        ({"essential": {"x": {"t": [0]}, "y": {"t": [3], "a": []}}}, "essential sets of"),
        ({"forgotten": ("z",)}, "forgotten attributes must be among"),
        ({"forgotten": ()}, "forgotten attributes must be among"),
        (
            {"edges": [{"source": "x", "target": "y", "attribute": "a", "connections": [[0, 0, 1.0]]}]},
            "an end is not essential to a",
        ),
    ],
)
def test_a_graph_that_contradicts_itself_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        small_graph(**changes)


def test_a_control_may_prune_what_no_rule_gives():
    assert replace(small_graph(), rule="random", prune={"x": [3], "y": [1]}).prune == {"x": [3], "y": [1]}


def test_the_released_text_reads_back_as_the_same_votes(tmp_path):
    graph, path = small_graph(), tmp_path / "released.txt"
    path.write_text(graph.to_released_text())
    assert path.read_text().splitlines()[0] == "x\t[2, 1, -1, 0]"
    assert read_released_text(path) == {layer: graph.votes(layer) for layer in graph.layers}


def test_graphml_holds_every_node_and_edge():
    graph = small_graph()
    root = ElementTree.fromstring(graph.to_graphml())
    space = {"g": "http://graphml.graphdrawing.org/xmlns"}
    nodes = [node.get("id") for node in root.findall(".//g:node", space)]
    edges = [(edge.get("source"), edge.get("target")) for edge in root.findall(".//g:edge", space)]
    assert nodes == ["x:0", "x:1", "x:2", "y:0", "y:3"]
    assert edges == [("x:0", "y:3"), ("x:1", "y:3")]


def test_an_absent_graph_says_which_step_makes_it(tmp_path):
    with pytest.raises(InputError, match="no graph at .*t.json: run step 2 first"):
        read_graph(tmp_path / "t.json")
    with pytest.raises(InputError, match="no graph at .* but a folder, a pipe or a device"):
        read_graph(tmp_path)


@pytest.mark.parametrize("text", ["{", "{}", '{"format": "other"}', "[1]"])
def test_a_damaged_graph_is_refused(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(InputError, match="not a whole essential graph"):
        read_graph(tmp_path / "t.json")


@pytest.mark.parametrize("text", ["x [1, 2]\n", "x\t[1, 'a']\n", "x\t[1, 2\n", "x\t{}\n"])
def test_a_malformed_released_line_is_named(tmp_path, text):
    (tmp_path / "r.txt").write_text("ok\t[0]\n" + text)
    with pytest.raises(InputError, match="line 2: expected a layer's name"):
        read_released_text(tmp_path / "r.txt")


def test_a_changed_figure_is_seen_by_the_checksum_and_a_graph_without_one_is_read(tmp_path):
    file, text = tmp_path / "t.json", small_graph().to_json()
    body = json.loads(text)
    digest = body.pop("sha256")
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    assert digest == hashlib.sha256(canonical.encode()).hexdigest()
    file.write_text(json.dumps(body))  # as earlier versions wrote it
    assert read_graph(file) == small_graph()
    body["scores"]["x"]["t"][0] += 0.25
    file.write_text(json.dumps(body | {"sha256": digest}))
    with pytest.raises(InputError, match=r"t.json is not .* \(its checksum does not fit its content\): make it again"):
        read_graph(file)
