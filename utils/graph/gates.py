"""Gates in a trace: convolutions whose output only scales another value, such as those of a squeeze-excitation.

Zeroed, they leave the gate half open, so they are neither scored nor pruned.
"""

import torch
import torch.nn.functional as F
from torch import fx, nn

from utils.graph.operations import argument, asks_size, calls, is_product, module_of

_SIGMOIDS, _SIGMOID_FUNCTIONS = (nn.Sigmoid, nn.Hardsigmoid), {torch.sigmoid, F.sigmoid, F.hardsigmoid}
_GLOBAL_POOLS = (nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d)
_GLOBAL_POOL_FUNCTIONS = {F.adaptive_avg_pool2d, F.adaptive_max_pool2d}
_REDUCTIONS, _REDUCING_METHODS = {torch.mean, torch.amax, torch.sum}, {"mean", "amax", "sum"}
_ENLARGING_MODULES, _ENLARGING_FUNCTIONS = (nn.Upsample, nn.PixelShuffle, nn.ConvTranspose2d), {F.interpolate}
_SHAPING_METHODS = {"view", "reshape", "expand", "expand_as", "view_as"}  # their other arguments say a shape only


def gate_convolutions(nodes, modules, carried):
    """Names of convolutions whose output only scales another value: zeroed, they leave a gate half open.

    They lie between a global pooling and a product with what is not pooled (squeeze-excitation), or right behind a
    sigmoid that scales another value than its own input.

    Args: nodes: of the trace, in order; modules: {name: module}; carried: {node: ((convolution, offset), …)}
    Returns: a set of names
    """
    numbers = _number_nodes(nodes)
    read = {node: [given for given in node.all_input_nodes if given not in numbers] for node in nodes}
    pooled, gates = _pooled_nodes(nodes, modules, read), set()
    for node in filter(is_product, nodes):
        for factor in read[node]:
            others = [given for given in read[node] if given is not factor and given.op != "get_attr"]
            if factor in pooled and any(given not in pooled for given in others):
                gates |= _convolutions_below(factor, modules, pooled, read)
            elif others and (factor not in pooled) and _is_sigmoid(factor, modules):
                gates |= _convolution_behind(read[factor][0], others, modules, carried, read)
    return gates


def _number_nodes(nodes):
    """Nodes that give sizes, and what is computed of them."""
    numbers = set()
    for node in nodes:
        given = node.all_input_nodes
        if asks_size(node) or (given and node.op == "call_function" and all(one in numbers for one in given)):
            numbers.add(node)
    return numbers


def _pooled_nodes(nodes, modules, read):
    """Nodes whose maps have one position: global poolings, and what is computed of their outputs alone."""
    pooled = set()
    for node in nodes:
        given = [one for one in read[node] if one.op != "get_attr"]
        given = given[:1] if node.op == "call_method" and node.target in _SHAPING_METHODS else given
        enlarging = isinstance(module_of(node, modules), _ENLARGING_MODULES) or calls(node, _ENLARGING_FUNCTIONS)
        if _is_global_pool(node, modules) or (given and not enlarging and all(one in pooled for one in given)):
            pooled.add(node)
    return pooled


def _is_global_pool(node, modules):
    module = module_of(node, modules)
    if isinstance(module, _GLOBAL_POOLS) or calls(node, _GLOBAL_POOL_FUNCTIONS):
        size = module.output_size if module is not None else argument(node, 1, "output_size")
        return size in (1, (1, 1), [1, 1])
    if calls(node, {F.avg_pool2d, F.max_pool2d}):  # of a kernel as large as the map
        return isinstance(argument(node, 1, "kernel_size"), fx.Node)
    if not calls(node, _REDUCTIONS, _REDUCING_METHODS):
        return False
    axes = argument(node, 1, "dim", "axis")
    if isinstance(axes, int):  # one axis is all of a flattened map
        return axes in (2, -1) and calls(node.all_input_nodes[0], {torch.flatten}, {"flatten", "view", "reshape"})
    return isinstance(axes, (list, tuple)) and {axis % 4 for axis in axes} >= {2, 3}


def _is_sigmoid(node, modules):
    functions = calls(node, _SIGMOID_FUNCTIONS, {"sigmoid", "sigmoid_"})
    return functions or isinstance(module_of(node, modules), _SIGMOIDS)


def _convolutions_below(node, modules, pooled, read):
    """Names of the convolutions from which a pooled node is computed, back to the pooling."""
    names, waiting, seen = set(), [node], set()
    while waiting:
        behind = waiting.pop()
        if behind in seen or behind not in pooled:
            continue
        seen.add(behind)
        if isinstance(module_of(behind, modules), nn.Conv2d):
            names.add(behind.target)
        waiting += [] if _is_global_pool(behind, modules) else read[behind]
    return names


def _convolution_behind(node, others, modules, carried, read):
    """The name of the convolution whose channels a node holds, as a set; none where they are those of `others`."""
    if any(set(carried.get(node, ())) & set(carried.get(other, ())) for other in others):
        return set()  # a swish: the value scales itself
    while carried.get(node) and node not in others:
        if isinstance(module_of(node, modules), nn.Conv2d):
            return {node.target}
        if len(read[node]) != 1:
            break
        node = read[node][0]
    return set()
