"""The text of graph files: written in lines, read with limits. A file may come from anybody."""

import hashlib
import json
import math
import re
from functools import cache
from pathlib import Path
from xml.sax.saxutils import escape

from utils.common.errors import InputError, printable
from utils.graph.selection import CONTROLS

MOST_BYTES = 3 << 25  # of a graph, 96 MB, 1.5 GB when read: 40 heads of a ResNet-18 at proportion 0.25 take 66 MB
MOST_CHANNELS = 1 << 16  # of a layer
RULES = ("balance", "no_balance", "released", *CONTROLS)
KEYS = frozenset("format attributes forgotten layers scores essential prune edges rule made_by votes".split())
CARRIED = {  # flags of step 2 that results name, and what they may be beside None
    "proportion": lambda value: _is_number(value) and 0 < value <= 1,
    "importance": lambda value: isinstance(value, str) and len(value) < 40,
    "layers": lambda value: isinstance(value, list) and all(isinstance(name, str) for name in value),
    "num_images": lambda value: _is_int(value) and value > 0,
    "as_released": lambda value: isinstance(value, bool),
}
_COMMA_OR_STRING = re.compile(r'"(?:[^"\\]|\\.)*"|,(?=")')
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def to_lines(body):
    """A body as JSON text with its checksum, a line for each entry with a string: equal bodies give equal bytes.

    Raises: InputError if the text is longer than `MOST_BYTES`: nothing could read it
    """
    text = json.dumps({**body, "sha256": _checksum(body)}, allow_nan=False, separators=(",", ":"))
    if len(text) > MOST_BYTES:
        size = f"{len(text) >> 20} MB, more than the {MOST_BYTES >> 20} MB that step 3 reads"
        raise InputError(f"the graph takes {size}: use a smaller --proportion or fewer --layers")
    return _COMMA_OR_STRING.sub(lambda found: ",\n" if found[0] == "," else found[0], text) + "\n"


def to_graphml(nodes, edges):
    """GraphML text for Gephi, yEd or networkx, of `EssentialGraph.nodes()` and `.flat_edges()`, lists of dicts."""
    parts = ['<graphml xmlns="http://graphml.graphdrawing.org/xmlns">']
    kinds = {"layer": "string", "channel": "int", "essential_to": "string", "vote": "int", "prune": "boolean"}
    parts += [f'<key id="{name}" for="node" attr.name="{name}" attr.type="{kind}" />' for name, kind in kinds.items()]
    kinds = {"attribute": "string", "relevance": "double"}
    parts += [f'<key id="{name}" for="edge" attr.name="{name}" attr.type="{kind}" />' for name, kind in kinds.items()]
    parts.append('<graph id="essential" edgedefault="directed"' + (">" if nodes or edges else " />"))
    for node in nodes:
        shown = {**node, "essential_to": " ".join(node["essential_to"]), "prune": str(node["prune"]).lower()}
        data = "".join(_data(name, _for_xml(value)) for name, value in shown.items())
        parts.append(f'<node id="{_quoted(node["layer"])}:{node["channel"]}">{data}</node>')
    quoted, written = cache(_quoted), cache(lambda name: _data("attribute", _for_xml(name)))
    for edge in edges:  # there are many of them
        source = f"{quoted(edge['source_layer'])}:{edge['source_channel']}"
        target = f"{quoted(edge['target_layer'])}:{edge['target_channel']}"
        data = f"{written(edge['attribute'])}{_data('relevance', edge['relevance'])}"
        parts.append(f'<edge source="{source}" target="{target}">{data}</edge>')
    return "".join([*parts, "</graph>" if nodes or edges else "", "</graphml>\n"])


def _data(key, text):
    return f'<data key="{key}">{text}</data>' if text != "" else f'<data key="{key}" />'


def _quoted(name):
    return escape(name, {'"': "&quot;", "\r": "&#13;", "\n": "&#10;", "\t": "&#09;"})


def _for_xml(value):
    return escape(_NOT_XML.sub("\N{REPLACEMENT CHARACTER}", str(value)))  # XML has no way to write these


def shown(name, most=80):
    """A name from a file, fit for an error line: what is not printable is escaped, the end of a long one left out."""
    return printable(name, most)


def read_text(path, absent):
    """Text of a graph file.

    Args: absent: the error line if there is no such file
    Raises: InputError if the file is absent, too long or no text
    """
    path = Path(path)
    if not path.exists():
        raise InputError(absent)
    if not path.is_file():
        raise InputError(f"no graph at {path} but a folder, a pipe or a device: name the file of one")
    with open(path, "rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise InputError(f"{path} is longer than {MOST_BYTES >> 20} MB, as no graph of step 2 is: make it again")
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InputError(f"{path} is no text, so no graph: make it again with step 2") from None


def parse_graph(text):
    """The body of a graph from JSON text; each entry is of the kind that it must be, and no larger than it may be.

    Raises: ValueError that says what is wrong
    """
    try:
        body = json.loads(text, parse_constant=_refuse_constant)
        whole = not isinstance(body, dict) or "sha256" not in body or body.pop("sha256") == _checksum(body)
    except RecursionError:  # writing for the checksum ends earlier than reading
        raise ValueError("its brackets are nested too deep") from None
    _require(whole, "its checksum does not fit its content")  # earlier ones have none
    _require(isinstance(body, dict) and set(body) == KEYS, f"it must have the entries {', '.join(sorted(KEYS))}")
    names = body["attributes"]
    for key in ("attributes", "forgotten"):
        _require(isinstance(body[key], list) and all(isinstance(name, str) for name in body[key]), f"{key}: no names")
    _require(len(set(names)) == len(names), "attributes: a name comes twice")
    layers = body["layers"]
    sizes = (
        isinstance(layers, dict)
        and len(layers) > 0
        and all(_is_int(size) and 0 < size <= MOST_CHANNELS for size in layers.values())
    )
    _require(sizes, f"layers: each needs a number of channels from 1 to {MOST_CHANNELS}")
    _require(body["rule"] in RULES if isinstance(body["rule"], str) else False, f"rule: one of {', '.join(RULES)}")
    _check_tables(body, names, layers)
    _require(isinstance(body["edges"], list), "edges: no list")
    for edge in body["edges"]:
        _check_edge(edge, names, layers)
    _check_made_by(body["made_by"])
    return body


def _checksum(body):
    """Hex digest of a JSON object, whatever its order and spaces."""
    return hashlib.sha256(json.dumps(body, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _check_tables(body, names, layers):
    for key in ("essential", "prune", "votes"):
        _require(isinstance(body[key], dict) and set(body[key]) == set(layers), f"{key}: needs each layer once")
    for layer, size in layers.items():
        sets = body["essential"][layer]
        _require(isinstance(sets, dict) and set(sets) == set(names), f"essential: {shown(layer)} needs each attribute")
        tally = body["votes"][layer]
        _require(isinstance(tally, list) and len(tally) == size, f"votes: {shown(layer)} needs {size}")
        for channels in (*sets.values(), body["prune"][layer], tally):
            good = isinstance(channels, list) and len(channels) <= size and all(map(_is_int, channels))
            _require(good, f"{shown(layer)}: channels and votes must be lists of at most {size} whole numbers")
    _require(isinstance(body["scores"], dict) and set(body["scores"]) <= set(layers), "scores: of an unknown layer")
    for layer, rows in body["scores"].items():
        _require(isinstance(rows, dict) and set(rows) <= set(names), f"scores: {shown(layer)} of an unknown attribute")
        for row in rows.values():
            good = isinstance(row, list) and len(row) == layers[layer] and all(map(_is_number, row))
            _require(good, f"scores: {shown(layer)} needs {layers[layer]} numbers for each attribute")


def _check_edge(edge, names, layers):
    good = isinstance(edge, dict) and set(edge) == {"source", "target", "attribute", "connections"}
    good = good and all(isinstance(edge[end], str) and edge[end] in layers for end in ("source", "target"))
    good = good and isinstance(edge["attribute"], str) and edge["attribute"] in names
    good = good and isinstance(edge["connections"], list)
    _require(good, "edges: each needs a source and a target among the layers, an attribute and connections")
    connections = edge["connections"]
    good = {*map(type, connections)} <= {list} and {*map(len, connections)} <= {3}
    columns = [*zip(*connections, strict=True)] if good else []
    good = good and all({*map(type, ends)} <= {int} for ends in columns[:2])
    good = good and all(map(_is_number, *columns[2:])) if columns else good
    _require(good, "connections: each needs two channels and a number")


def _check_made_by(made_by):
    flags = made_by.get("arguments", {}) if isinstance(made_by, dict) else None
    _require(isinstance(flags, dict), "made_by: no arguments")
    for name, holds in CARRIED.items():
        _require(flags.get(name) is None or holds(flags[name]), f"made_by: {name} is no value of that flag")


def parse_released(text, path):
    """{layer: votes} of the released text format: each line a name, a tab and a list; nothing of it is evaluated.

    Raises: InputError naming the line that is malformed
    """
    tallies = {}
    for number, line in enumerate(text.splitlines(), 1):
        layer, tab, listed = line.partition("\t")
        listed = listed.strip()
        cells = listed[1:-1].split(",") if listed[:1] == "[" and listed[-1:] == "]" else ["none"]
        cells = [] if cells == [""] else cells
        if not tab or not all(re.fullmatch(r"\s*-?[0-9]{1,9}\s*", cell) for cell in cells):
            raise InputError(f"{path}, line {number}: expected a layer's name, a tab and a list of votes")
        if layer in tallies:
            raise InputError(f"{path}, line {number}: layer {shown(layer)} comes twice")
        tallies[layer] = [int(cell) for cell in cells]
    if not tallies:
        raise InputError(f"{path} holds no votes: make it again with step 2 and --released_txt")
    return tallies


def _require(holds, text):
    if not holds:
        raise ValueError(text)


def _refuse_constant(word):
    raise ValueError(f"{word} is no number of JSON")


def _is_int(value):
    return type(value) is int


def _is_number(value):
    return type(value) is int and abs(value) < 1 << 53 or type(value) is float and math.isfinite(value)
