"""Graph files from a stranger, or damaged ones: each is read or refused in one line, soon, and nothing of it is run."""

import json
from types import SimpleNamespace

import pytest
from fuzz_rules import ends_in_one_line, fuzz
from hypothesis import given
from hypothesis import strategies as st
from test_essential_graph import small_graph
from torch import nn

from utils.common.errors import InputError
from utils.graph import graph_format
from utils.graph.essential_graph import EssentialGraph, read_graph, read_released_text
from utils.pruning.channels import read_nodes

SMALL = json.loads(small_graph().to_json())
CHECKSUM = SMALL.pop("sha256")  # what follows is refused for what it says


def network():
    """A network with the layers x and y of the small graph."""
    model = nn.ModuleDict({"x": nn.Conv2d(3, 4, 1), "y": nn.Conv2d(4, 4, 1), "z": nn.ConvTranspose2d(4, 4, 1)})
    return SimpleNamespace(
        model=model,
        attributes=("t", "a"),
        name="resnet18",
        sha256="ab",
        path="original.pth",
        normalisation="-",
        img_size=64,
    )


TASK = SimpleNamespace(network=network(), forgotten=["t"])


def refused(path, said):
    result = ends_in_one_line(lambda: read_nodes(path, TASK))
    assert isinstance(result, InputError) and said in str(result), result


def write(folder, changes, name="t.json"):
    path = folder / name
    path.write_text(json.dumps(SMALL | changes), encoding="utf-8")
    return path


NAMES = ["A,", 'a","b', 'comma, quote", and \\', '{,"}', "line\nbreak", "<script>", "café 脸", ',"', "\\", "x" * 300]


@pytest.mark.parametrize("name", NAMES)
def test_any_name_survives_the_way_through_the_file(tmp_path, name):
    parts = {"attributes": (name, "a"), "forgotten": (name,), "edges": []}
    parts["essential"] = {layer: {name: [0], "a": [1]} for layer in "xy"}
    parts |= {"prune": {"x": [0], "y": [0]}, "scores": {}}
    graph, path = small_graph(**parts), tmp_path / "t.json"
    path.write_text(graph.to_json())
    assert read_graph(path) == graph and json.loads(path.read_text())["attributes"] == [name, "a"]
    assert graph.to_json().count("\n") == len(graph.to_json().splitlines())


def test_lines_are_broken_where_they_always_were():
    assert small_graph().to_json().splitlines()[:3] == ['{"format":"essential-graph-1",', '"attributes":["t",', '"a"],']


def test_no_name_breaks_out_of_the_graphml(tmp_path):
    from xml.etree import ElementTree

    evil = '</data><script x="&">\x00\x1b\ud800'
    parts = {"attributes": (evil, "a"), "forgotten": (evil,), "edges": [], "scores": {}}
    parts |= {"essential": {layer: {evil: [0], "a": [1]} for layer in "xy"}, "prune": {"x": [0], "y": [0]}}
    text = small_graph(**parts).to_graphml()
    root = ElementTree.fromstring(text.encode("utf-8"))
    owners = [data.text for data in root.iter() if data.get("key") == "essential_to"]
    assert owners[0] == '</data><script x="&">\ufffd\ufffd\ufffd' and "<script" not in text


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"layers": {"x": 10**9, "y": 4}}, "a number of channels from 1 to 65536"),
        ({"layers": {"x": 60000, "y": 4}}, "votes: x needs 60000"),
        ({"layers": {"x": -1, "y": 4}}, "a number of channels"),
        ({"layers": {"x": True, "y": 4}}, "a number of channels"),
        ({"layers": {"x": 4.0, "y": 4}}, "a number of channels"),
        ({"layers": ["x", "y"]}, "a number of channels"),
        ({"attributes": "ta"}, "attributes: no names"),
        ({"attributes": ["t", 1]}, "attributes: no names"),
        ({"attributes": ["t", "t", "a"]}, "comes twice"),
        ({"forgotten": None}, "forgotten: no names"),
        ({"rule": "__import__('os')"}, "rule: one of"),
        ({"rule": []}, "rule: one of"),
        ({"prune": {"x": [4], "y": [3]}}, "channels must be distinct, sorted and in 0 to 3"),
        ({"prune": {"x": [-1], "y": [3]}}, "channels must be distinct, sorted and in 0 to 3"),
        (
            {"prune": {"x": [0], "y": [3]}, "rule": "random", "votes": {"x": [0] * 4, "y": [0] * 4}},
            "votes do not follow",
        ),
        ({"prune": {"x": [False], "y": [3]}}, "lists of at most 4 whole numbers"),
        ({"prune": {"x": list(range(9)), "y": [3]}}, "lists of at most 4 whole numbers"),
        ({"prune": {"x": [0]}}, "prune: needs each layer once"),
        ({"prune": {"x": [0], "y": [3], "z": [1]}}, "prune: needs each layer once"),
        ({"essential": {"x": [], "y": {}}}, "needs each attribute"),
        ({"scores": {"x": {"t": [1, 2]}}}, "scores: x needs 4 numbers"),
        ({"scores": {"x": {"t": ["1"] * 4}}}, "scores: x needs 4 numbers"),
        ({"scores": {"x": {"t": [1e999] * 4}}}, "no number of JSON"),
        ({"edges": {}}, "edges: no list"),
        ({"edges": [{"source": "x"}]}, "edges: each needs a source"),
        ({"edges": [SMALL["edges"][0] | {"source": "../x"}]}, "edges: each needs a source"),
        ({"edges": [SMALL["edges"][0] | {"connections": [[0, 3]]}]}, "connections: each needs"),
        ({"edges": [SMALL["edges"][0] | {"connections": [[0, 2, 1.0]]}]}, "an end is not essential"),
        ({"made_by": []}, "made_by: no arguments"),
        ({"made_by": {"arguments": {"layers": [1]}}}, "made_by: layers"),
        ({"made_by": {"arguments": {"proportion": "1"}}}, "made_by: proportion"),
        ({"made_by": {"arguments": {"as_released": 1}}}, "made_by: as_released"),
        ({"more": 1}, "it must have the entries"),
        ({"format": "essential-graph-2"}, "format is not"),
    ],
)
def test_wrong_entries_are_named(tmp_path, changes, said):
    refused(write(tmp_path, changes), said)


def test_a_checksum_that_does_not_fit_is_named(tmp_path):
    assert isinstance(read_graph(write(tmp_path, {"sha256": CHECKSUM})), EssentialGraph)
    for wrong in ({"sha256": CHECKSUM, "rule": "random"}, {"sha256": None}, {"sha256": []}):
        refused(write(tmp_path, wrong), "its checksum does not fit its content")


def renamed(to):
    """The small graph with its layer x under another name, as text."""
    return json.dumps(SMALL).replace('"x"', json.dumps(to))


@pytest.mark.parametrize("layer", ["../../x", "z", "__class__", "x.weight", "", "\x1b[2Jx", "y" * 500])
def test_a_layer_that_is_no_convolution_is_refused(tmp_path, layer):
    (tmp_path / "t.json").write_text(renamed(layer))
    refused(tmp_path / "t.json", "but resnet18 has no such convolution")


def test_a_graph_of_this_network_with_another_width_is_refused(tmp_path):
    graph = SMALL | {"layers": {"x": 4, "y": 5}, "votes": SMALL["votes"] | {"y": [*SMALL["votes"]["y"], 0]}}
    refused(write(tmp_path, graph | {"scores": {}}), "5 channels for layer y, but resnet18 has 4 channels there")


def test_a_checksum_of_deep_brackets_ends_too():
    for deep in range(500, 1000):  # a few of which can be read and not be written
        with pytest.raises(ValueError, match="too deep|its checksum does not fit"):
            graph_format.parse_graph('{"sha256": 1, "a": ' + "[" * deep + "]" * deep + "}")


@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, "1" * 10_000, "[" + "9" * 5000 + "]", "nul", "\x00"]
)
def test_deep_brackets_and_long_numbers_are_refused(tmp_path, text):
    (tmp_path / "t.json").write_text(text)
    refused(tmp_path / "t.json", "is not a whole essential graph")
    (tmp_path / "t.txt").write_text("x\t" + text)
    refused(tmp_path / "t.txt", "line 1: expected a layer's name, a tab and a list of votes")


@pytest.mark.parametrize("name", ["t.json", "t.txt"])
def test_a_binary_file_and_a_huge_one_are_refused(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(bytes(range(256)) * 10)
    refused(path, "is no text, so no graph")
    with open(path, "wb") as file:
        file.truncate(10**9)
    refused(path, "is longer than 96 MB")
    path.unlink()
    path.mkdir()
    refused(path, "graph at")


@pytest.mark.parametrize(
    "line",
    [
        "x\t__import__('os').system('touch hacked')",
        "x\t[__import__('os').getcwd()]",
        "x\t[1, 2, 3, 1.5]",
        "x\t[True, 0, 0, 0]",
        "x\t[0, 0, 0, 99999999999]",
        "x\t[0, 0, 0, 0], 1",
        "x\t[[0, 0, 0, 0]]",
        "x\t[0 for _ in range(4)]",
        "x\t[0]*4",
        "x",
        "",
    ],
)
def test_votes_are_numbers_and_nothing_else(tmp_path, line):
    (tmp_path / "t.txt").write_text(f"y\t[0, 0, 0, 0]\n{line}\n")
    refused(tmp_path / "t.txt", "line 2: expected a layer's name, a tab and a list of votes")


def test_a_layer_comes_once_in_the_released_text(tmp_path):
    (tmp_path / "t.txt").write_text("x\t[0, 0, 0, 0]\nx\t[2, 2, 2, 2]\n")
    refused(tmp_path / "t.txt", "line 2: layer x comes twice")


def test_a_graph_that_step_3_would_not_read_is_not_written(monkeypatch):
    monkeypatch.setattr(graph_format, "MOST_BYTES", 200)
    with pytest.raises(InputError, match="use a smaller --proportion or fewer --layers"):
        small_graph().to_json()


JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["x", "y", "t", "a"]),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(["x", "y", "t", "a", ""]), inner),
    max_leaves=6,
)


@fuzz(0.08)
@given(changes=st.dictionaries(st.sampled_from(sorted(SMALL)), JSON, min_size=1, max_size=3), whole=st.booleans())
def test_any_entries_make_a_graph_or_are_refused(tmp_path_factory, changes, whole):
    path = tmp_path_factory.getbasetemp() / "t.json"
    path.write_text(json.dumps(SMALL | changes if whole else changes))
    result = ends_in_one_line(lambda: read_graph(path))
    assert isinstance(result, (EssentialGraph, InputError))
    assert isinstance(ends_in_one_line(lambda: read_nodes(path, TASK)), (dict, InputError))


@fuzz(0.08)
@given(place=st.integers(0, len(json.dumps(SMALL)) - 1), put=st.binary(max_size=6), skip=st.integers(0, 6))
def test_a_changed_graph_is_read_or_refused(tmp_path_factory, place, put, skip):
    text, path = json.dumps(SMALL).encode(), tmp_path_factory.getbasetemp() / "t.json"
    path.write_bytes(text[:place] + put + text[place + skip :])
    assert isinstance(ends_in_one_line(lambda: read_nodes(path, TASK)), (dict, InputError))


@fuzz(0.06)
@given(content=st.binary(max_size=80) | st.text("x\t[]-0123456789, \n", max_size=60).map(str.encode))
def test_any_released_text_is_read_or_refused(tmp_path_factory, content):
    path = tmp_path_factory.getbasetemp() / "t.txt"
    path.write_bytes(content)
    result = ends_in_one_line(lambda: read_released_text(path))
    assert isinstance(result, (dict, InputError))
    assert isinstance(ends_in_one_line(lambda: read_nodes(path, TASK)), (dict, InputError))
