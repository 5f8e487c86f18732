"""The published pruning: the channels that the graph names, or the released text, are set to zero in place."""

import torch

from utils.common.errors import InputError, warn
from utils.graph.essential_graph import check_graph, check_layers, read_graph, read_released_text
from utils.graph.graph_format import CARRIED
from utils.graph.selection import released_nodes_to_prune
from utils.network.modes import unchanged_on_error


def read_nodes(path, task):
    """Channels to prune, from a graph (.json) or from votes in the released text format (.txt).

    Args:
        path: of the file, None: the graph that step 2 wrote for the task
        task: `utils.datasets.task.Task` that the file must be of; votes do not say what they are of, which a line says
    Returns: {"rule", "pruned": {layer: channels}, "as_released", and flags of step 2 that made the graph}
    Raises: InputError if the file is absent, damaged or another's
    """
    path = path or task.graph_file
    if str(path).endswith(".txt"):
        warn(f"{path} does not say which network and target its votes are of: make sure that they are of these")
        return {"rule": "released", "pruned": _nodes_of_votes(path, task.network)}
    graph = read_graph(path)
    check_graph(graph, task.network, task.forgotten, path)
    flags = graph.made_by.get("arguments", {})
    return {"rule": graph.rule, "pruned": graph.prune, **{name: flags.get(name) for name in CARRIED}}


def _nodes_of_votes(path, network):
    votes = read_released_text(path)
    check_layers({layer: len(of_channels) for layer, of_channels in votes.items()}, network, path, "votes")
    return {
        layer: released_nodes_to_prune(of_channels, len(network.attributes)) for layer, of_channels in votes.items()
    }


def zero_channels(model, channels, batch_norm):
    """Make output channels of convolutions exactly 0 after their ReLU, in place; all other values stay bit-equal.

    Behind a norm that stands behind a concatenation, as in DenseNet, a channel becomes a constant instead.

    The filter and bias of the convolution become 0, and the scale and shift of the norm behind it too: a zero filter
    alone would leave the constant shift - scale * mean / std. A batch norm without scale and shift gets the mean 0.

    Args:
        channels: {convolution name: list of output channels}
        batch_norm: {convolution name: name of the norm behind it, or None} (`Dataflow.batch_norm`)
    Raises: IndexError if a channel does not exist; AttributeError if a layer does not; InputError if its channels can't
        be set to 0. Whatever is raised, the network is as it was
    """
    found = _rows_of(model, channels, batch_norm)
    with torch.no_grad(), unchanged_on_error([tensor for tensor, _ in found]):
        for tensor, rows in found:
            tensor.index_fill_(0, rows, 0)


def _rows_of(model, channels, batch_norm):
    """[(tensor, rows to clear)] over the convolutions and their norms."""
    found = []
    for layer, chosen in channels.items():
        convolution = model.get_submodule(layer)
        if not len(chosen):
            continue
        if layer not in batch_norm:
            why = "it serves in several places, or the norm behind it shifts a channel that is 0"
            raise InputError(f"channels of {layer} can't be set to 0 ({why}): prune other layers, step 2's --layers")
        rows = torch.as_tensor(chosen, dtype=torch.int64)
        least, most = (int(end) for end in rows.aminmax())  # on the host still: no wait for the device
        if least < 0 or most >= convolution.out_channels:
            wrong = least if least < 0 else most
            raise IndexError(f"{layer} has channels 0 to {convolution.out_channels - 1}, asked for {wrong}")
        rows = rows.to(convolution.weight.device, non_blocking=True)
        tensors = [convolution.weight, convolution.bias]
        if batch_norm[layer]:
            norm = model.get_submodule(batch_norm[layer])
            tensors += [norm.weight, norm.bias] if norm.weight is not None else [getattr(norm, "running_mean", None)]
        found += [(tensor, rows) for tensor in tensors if tensor is not None]
    return found
