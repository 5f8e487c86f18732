"""The essential graph on disk: nodes, edges and votes; checked when it is built; JSON, GraphML and released text."""

import ast
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from xml.etree import ElementTree

from utils.common.errors import InputError
from utils.graph.selection import CONTROLS, nodes_to_prune, released_nodes_to_prune, votes

FORMAT = "essential-graph-1"


@dataclass(frozen=True)
class EssentialGraph:
    """Which channels matter to which attribute, how they are joined, and which of them go.

    attributes: names in head order; forgotten: those to forget
    layers: {layer: number of channels}
    scores: {layer: {attribute: C floats}}, empty if read from the released text
    essential: {layer: {attribute: sorted channels}}
    prune: {layer: sorted channels}
    edges: [{"source", "target", "attribute", "connections": [[source channel, target channel, relevance], …]}]
    made_by: model, img_size, seed, arguments, versions, parent_sha256 and so on
    rule: "balance", "no_balance", "released" or the name of a control, saying how `prune` follows from `essential`

    Raises: ValueError if a channel is out of range, a name is unknown or `prune` contradicts the rule
    """

    attributes: tuple[str, ...]
    forgotten: tuple[str, ...]
    layers: dict[str, int]
    scores: dict[str, dict[str, list[float]]]
    essential: dict[str, dict[str, list[int]]]
    prune: dict[str, list[int]]
    edges: list[dict]
    rule: str = "balance"
    made_by: dict = field(default_factory=dict)

    def __post_init__(self):
        """Refuse a graph that contradicts itself."""
        unknown = set(self.forgotten) - set(self.attributes)
        if unknown or not self.forgotten:
            raise ValueError(f"forgotten attributes must be among {self.attributes}: got {self.forgotten}")
        for layer, size in self.layers.items():
            named = [*self.essential[layer].values(), self.prune[layer]]
            if set(self.essential[layer]) != set(self.attributes):
                raise ValueError(f"{layer}: essential sets of {list(self.essential[layer])}, not of {self.attributes}")
            if any(
                not 0 <= channel < size or channels != sorted(set(channels))
                for channels in named
                for channel in channels
            ):
                raise ValueError(f"{layer}: channels must be distinct, sorted and in 0 to {size - 1}")
            if self.rule not in CONTROLS and self.prune[layer] != self.expected_prune(layer):
                raise ValueError(f"{layer}: the nodes to prune do not follow from the essential sets ({self.rule})")
        for edge in self.edges:
            self._check_edge(edge)

    def _check_edge(self, edge):
        sources = set(self.essential[edge["source"]][edge["attribute"]])
        targets = set(self.essential[edge["target"]][edge["attribute"]])
        if any(i not in sources or j not in targets for i, j, _ in edge["connections"]):
            raise ValueError(
                f"edge {edge['source']} -> {edge['target']}: an end is not essential to {edge['attribute']}"
            )

    def votes(self, layer):
        """Votes of one layer's channels, C ints (the released balance)."""
        return votes(self.essential[layer], self.layers[layer], self.forgotten)

    def expected_prune(self, layer):
        """Nodes to prune that the graph's rule gives for one layer."""
        if self.rule == "released":
            return released_nodes_to_prune(self.votes(layer), len(self.attributes))
        return nodes_to_prune(self.essential[layer], self.forgotten, balance=self.rule == "balance")

    def nodes(self):
        """[{"layer", "channel", "essential_to", "vote", "prune"}] for every channel essential to some attribute."""
        found = []
        for layer, by_attribute in self.essential.items():
            tally, pruned = self.votes(layer), set(self.prune[layer])
            for channel in sorted({c for channels in by_attribute.values() for c in channels} | pruned):
                owners = [name for name in self.attributes if channel in by_attribute[name]]
                node = {"layer": layer, "channel": channel, "essential_to": owners, "vote": tally[channel]}
                found.append({**node, "prune": channel in pruned})
        return found

    def flat_edges(self):
        """One dict per connection: source_layer, source_channel, target_layer, target_channel, attribute, relevance."""
        keys = ("source_channel", "target_channel", "relevance")
        return [
            {"source_layer": e["source"], "target_layer": e["target"], "attribute": e["attribute"]}
            | dict(zip(keys, connection, strict=True))
            for e in self.edges
            for connection in e["connections"]
        ]

    def summary(self):
        """One row per layer: channels, essential to the target, to the others, shared, to prune, edges into it."""
        rows = []
        for layer, size in self.layers.items():
            target = {c for name in self.forgotten for c in self.essential[layer][name]}
            others = {c for name in self.attributes if name not in self.forgotten for c in self.essential[layer][name]}
            edges = sum(len(edge["connections"]) for edge in self.edges if edge["target"] == layer)
            counts = [len(target), len(others), len(target & others), len(self.prune[layer]), edges]
            names = ["essential to target", "to others", "shared", "to prune", "edges in"]
            rows.append({"layer": layer, "channels": size} | dict(zip(names, counts, strict=True)))
        return rows

    def to_json(self):
        """The graph as JSON text: one line per entry, the same graph always the same bytes."""
        body = {"format": FORMAT, **asdict(self), "votes": {layer: self.votes(layer) for layer in self.layers}}
        return json.dumps(body, allow_nan=False, separators=(",", ":")).replace(',"', ',\n"') + "\n"

    def to_graphml(self):
        """The graph as GraphML text, for Gephi, yEd or networkx."""
        root = ElementTree.Element("graphml", xmlns="http://graphml.graphdrawing.org/xmlns")
        kinds = {"layer": "string", "channel": "int", "essential_to": "string", "vote": "int", "prune": "boolean"}
        for name, kind in kinds.items():
            ElementTree.SubElement(root, "key", {"id": name, "for": "node", "attr.name": name, "attr.type": kind})
        for name, kind in {"attribute": "string", "relevance": "double"}.items():
            ElementTree.SubElement(root, "key", {"id": name, "for": "edge", "attr.name": name, "attr.type": kind})
        graph = ElementTree.SubElement(root, "graph", id="essential", edgedefault="directed")
        for node in self.nodes():
            element = ElementTree.SubElement(graph, "node", id=f"{node['layer']}:{node['channel']}")
            shown = {**node, "essential_to": " ".join(node["essential_to"]), "prune": str(node["prune"]).lower()}
            for name, value in shown.items():
                ElementTree.SubElement(element, "data", key=name).text = str(value)
        for edge in self.flat_edges():
            ends = {f"{end}": f"{edge[f'{end}_layer']}:{edge[f'{end}_channel']}" for end in ("source", "target")}
            element = ElementTree.SubElement(graph, "edge", ends)
            for name in ("attribute", "relevance"):
                ElementTree.SubElement(element, "data", key=name).text = str(edge[name])
        return ElementTree.tostring(root, encoding="unicode") + "\n"

    def to_released_text(self):
        """The released format: a line per layer, its name, a tab, the list of votes."""
        return "".join(f"{layer}\t{self.votes(layer)}\n" for layer in self.layers)


def build_graph(scores, essential, prune, forgotten, rule, made_by):
    """The essential graph of some scores.

    Args:
        scores: `utils.graph.importance.Scores`; essential: {layer: {attribute: channels}}; prune: {layer: channels}
        forgotten: names; rule: see `selection.pruning_rule`; made_by: what goes into the file beside the graph
    Returns: EssentialGraph
    Raises: ValueError if the parts contradict each other
    """
    attributes = tuple(next(iter(essential.values())))
    return EssentialGraph(
        attributes=attributes,
        forgotten=tuple(forgotten),
        layers={layer: tensor.shape[1] for layer, tensor in scores.channels.items()},
        scores={
            layer: {name: [_short(value) for value in row] for name, row in zip(attributes, rows.tolist(), strict=True)}
            for layer, rows in scores.channels.items()
        },
        essential=essential,
        prune=prune,
        edges=_essential_edges(scores.edges, essential, attributes),
        rule=rule,
        made_by=made_by,
    )


def _short(value):
    return float(f"{value:.9g}")  # nine digits tell any two float32 apart


def _essential_edges(relevance, essential, attributes):
    edges = []
    for (source, target), matrix in relevance.items():
        for k, attribute in enumerate(attributes):
            sources, targets = essential[source][attribute], essential[target][attribute]
            values = matrix[k][sources][:, targets].tolist()
            connections = [
                [i, j, _short(values[a][b])]
                for a, i in enumerate(sources)
                for b, j in enumerate(targets)
                if values[a][b]
            ]
            edges.append({"source": source, "target": target, "attribute": attribute, "connections": connections})
    return edges


def read_graph(path):
    """Read a graph written as JSON. Raises InputError if the file is absent, damaged or of another format."""
    path = Path(path)
    if not path.is_file():
        script = "unlearning_multi_celeba_resnet18_generate_graph.py"
        raise InputError(f"no graph at {path}: run step 2 first (python {script}) with the same attributes and target")
    try:
        body = json.loads(path.read_text(encoding="utf-8"))
        if body.pop("format") != FORMAT:
            raise ValueError(f"format is not {FORMAT}")
        body.pop("votes")
        return EssentialGraph(
            **{**body, "attributes": tuple(body["attributes"]), "forgotten": tuple(body["forgotten"])}
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(f"{path} is not a whole essential graph ({error}): make it again with step 2") from error


def read_released_text(path):
    """{layer: votes} from the released text format. Raises InputError if the file is absent or a line is malformed."""
    path = Path(path)
    if not path.is_file():
        raise InputError(f"no released graph at {path}: write it with step 2 and --released_txt")
    tallies = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        layer, tab, listed = line.partition("\t")
        try:
            tally = ast.literal_eval(listed)
        except (ValueError, SyntaxError):
            tally = None
        if not tab or not isinstance(tally, list) or not all(isinstance(vote, int) for vote in tally):
            raise InputError(f"{path}, line {number}: expected a layer's name, a tab and a list of votes")
        tallies[layer] = tally
    return tallies


def check_graph(graph, network, forgotten, path):
    """Refuse a graph that was made for another network or for other targets.

    Args: network: `LoadedNetwork`; forgotten: names of the heads to forget; path: of the graph, for the error
    Raises: InputError naming both sides
    """
    again = "run step 2 again with these arguments"
    if tuple(graph.attributes) != tuple(network.attributes):
        heads = f"{' '.join(graph.attributes)}, the network has {' '.join(network.attributes)}"
        raise InputError(f"graph {path} is for heads {heads}: {again}")
    if tuple(graph.forgotten) != tuple(forgotten):
        asked = f"{' '.join(graph.forgotten)}, asked for is {' '.join(forgotten)}"
        raise InputError(f"graph {path} forgets {asked}: {again}")
    images = {"img_size": network.img_size, "normalisation": str(network.normalisation)}
    for name, value in images.items():
        if graph.made_by.get(name, value) != value:
            sides = f"{name} {graph.made_by[name]}, asked for is {value}"
            raise InputError(f"graph {path} was made on images of {sides}: ask for the same, or {again}")
    parent = graph.made_by.get("parent_sha256")
    if parent != network.sha256:
        sides = f"sha256 {str(parent)[:12]}…, but {network.path} has {network.sha256[:12]}…"
        raise InputError(f"graph {path} was made from another checkpoint ({sides}): {again}")
