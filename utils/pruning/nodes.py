"""The nodes that step 3 prunes, as step 2's graph or the released text names them; checked against the network."""

from utils.common.errors import InputError
from utils.graph.essential_graph import check_graph, read_graph, read_released_text
from utils.graph.selection import released_nodes_to_prune

CARRIED = ("proportion", "importance", "layers", "num_images", "as_released")  # flags of step 2 that results name


def read_nodes(path, task):
    """Channels to prune, from a graph (.json) or from votes in the released text format (.txt).

    Args:
        task: `utils.datasets.task.Task` that the file must be of
    Returns: {"rule", "pruned": {layer: channels}, "as_released", and flags of step 2 that made the graph}
    Raises: InputError if the file is absent, damaged or another's
    """
    if str(path).endswith(".txt"):
        return {"rule": "released", "pruned": _nodes_of_votes(path, task.network)}
    graph = read_graph(path)
    check_graph(graph, task.network, task.forgotten, path)
    flags = graph.made_by.get("arguments", {})
    return {"rule": graph.rule, "pruned": graph.prune, **{name: flags.get(name) for name in CARRIED}}


def _nodes_of_votes(path, network):
    votes, modules = read_released_text(path), dict(network.model.named_modules())
    for layer, of_channels in votes.items():
        channels = getattr(modules.get(layer), "out_channels", None)
        if channels != len(of_channels):
            there = f"{channels} channels there" if channels else "no such convolution"
            raise InputError(f"{path}: {len(of_channels)} votes for layer {layer}, but {network.name} has {there}")
    return {
        layer: released_nodes_to_prune(of_channels, len(network.attributes)) for layer, of_channels in votes.items()
    }
