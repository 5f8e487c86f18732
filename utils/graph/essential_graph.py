"""The essential graph on disk: nodes, edges and votes; checked when it is built; JSON, GraphML and released text."""

import gc
from dataclasses import dataclass, field, fields

from torch import nn

from utils.common.errors import InputError
from utils.graph.graph_format import parse_graph, parse_released, read_text, shown, to_graphml, to_lines
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
            if any(channels != sorted({c for c in channels if 0 <= c < size}) for channels in named):
                raise ValueError(f"{layer}: channels must be distinct, sorted and in 0 to {size - 1}")
            if self.rule not in CONTROLS and self.prune[layer] != self.expected_prune(layer):
                raise ValueError(f"{layer}: the nodes to prune do not follow from the essential sets ({self.rule})")
        sets = {(layer, name): {*own} for layer, rows in self.essential.items() for name, own in rows.items()}
        for edge in self.edges:
            self._check_edge(edge, sets)

    def _check_edge(self, edge, sets):
        sources, targets = (sets[edge[end], edge["attribute"]] for end in ("source", "target"))
        ends = [*zip(*edge["connections"], strict=True)][:2] or [(), ()]
        if not (sources.issuperset(ends[0]) and targets.issuperset(ends[1])):
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
        """The graph as JSON text: one line per entry, the same graph always the same bytes.

        Raises: InputError if it is too large for step 3 to read
        """
        entries = {part.name: getattr(self, part.name) for part in fields(self)}
        return to_lines({"format": FORMAT, **entries, "votes": {layer: self.votes(layer) for layer in self.layers}})

    def to_graphml(self):
        """The graph as GraphML text, for Gephi, yEd or networkx."""
        return to_graphml(self.nodes(), self.flat_edges())

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
    """Read a graph written as JSON. Raises: InputError if it is absent, damaged, too large or of another format."""
    script = "unlearning_multi_celeba_resnet18_generate_graph.py"
    absent = f"no graph at {path}: run step 2 first (python {script}) with the same attributes and target"
    text = read_text(path, absent)
    collecting = gc.isenabled()
    gc.disable()  # millions of lists, none in a circle: looking for some takes longer than reading them
    try:
        body = parse_graph(text)
        if body.pop("format") != FORMAT:
            raise ValueError(f"format is not {FORMAT}")
        tallies = body.pop("votes")
        names = {key: tuple(body[key]) for key in ("attributes", "forgotten")}
        graph = EssentialGraph(**body | names)
        if tallies != {layer: graph.votes(layer) for layer in graph.layers}:
            raise ValueError("the votes do not follow from the essential sets")
        return graph
    except ValueError as error:
        reason = shown(error, 200)
        raise InputError(f"{path} is not a whole essential graph ({reason}): make it again with step 2") from error
    finally:
        if collecting:
            gc.enable()


def read_released_text(path):
    """{layer: votes} from the released text format.

    Raises: InputError if the file is absent, too large or no text, or a line is malformed
    """
    return parse_released(
        read_text(path, f"no released graph at {path}: write it with step 2 and --released_txt"), path
    )


def check_graph(graph, network, forgotten, path):
    """Refuse a graph that was made for another network or for other targets.

    Args: network: `LoadedNetwork`; forgotten: names of the heads to forget; path: of the graph, for the error
    Raises: InputError naming both sides
    """
    again = "run step 2 again with these arguments"
    if tuple(graph.attributes) != tuple(network.attributes):
        heads = f"{' '.join(graph.attributes)}, the network has {' '.join(network.attributes)}"
        raise InputError(f"graph {path} is for heads {shown(heads, 400)}: {again}")
    if tuple(graph.forgotten) != tuple(forgotten):
        asked = f"{' '.join(graph.forgotten)}, asked for is {' '.join(forgotten)}"
        raise InputError(f"graph {path} forgets {shown(asked, 400)}: {again}")
    for name, value in {"img_size": network.img_size, "normalisation": str(network.normalisation)}.items():
        if graph.made_by.get(name, value) != value:
            sides = f"{name} {shown(graph.made_by[name])}, asked for is {value}"
            raise InputError(f"graph {path} was made on images of {sides}: ask for the same, or {again}")
    parent = graph.made_by.get("parent_sha256")
    if parent != network.sha256:
        sides = f"sha256 {shown(str(parent)[:12])}…, but {network.path} has {network.sha256[:12]}…"
        raise InputError(f"graph {path} was made from another checkpoint ({sides}): {again}")
    check_layers(graph.layers, network, path, "channels")


def check_layers(sizes, network, path, what):
    """Refuse {layer: number of `what`} of a file at `path` that is not that of the convolutions of a `LoadedNetwork`.

    Raises: InputError naming the layer
    """
    modules = dict(network.model.named_modules(remove_duplicate=False))
    for layer, size in sizes.items():
        convolution = modules.get(layer)
        channels = convolution.out_channels if isinstance(convolution, nn.Conv2d) else None
        if channels != size:
            there = f"{channels} channels there" if channels else "no such convolution"
            raise InputError(f"{path}: {size} {what} for layer {shown(layer)}, but {network.name} has {there}")
