"""What an erasure may edit where it is confined to the target's part of an essential graph."""

import torch

from utils.errors import InputError


def editable_connections(graph, sites, granularity):
    """Which connections of each site may be edited.

    Args:
        graph: `utils.essential_graph.EssentialGraph` of the targets
        sites: {convolution that an erasure edits: (C_out, C_in)}
        granularity: "channel": all that lead into channels essential to a target; "connection": the graph's edges of a
            target
    Returns: {convolution: (C_out, C_in) bool}, all False for those that the graph does not know
    Raises: InputError if that leaves nothing
    """
    allowed = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in sites.items()}
    if granularity == "channel":
        for name in allowed.keys() & graph.essential.keys():
            for target in graph.forgotten:
                allowed[name][graph.essential[name][target]] = True
    else:
        for edge in graph.edges:
            if edge["target"] in allowed and edge["attribute"] in graph.forgotten:
                for source, target, _ in edge["connections"]:
                    allowed[edge["target"]][target, source] = True
    if not any(mask.any() for mask in allowed.values()):
        named = " ".join(sites)
        cure = f"make one in step 2 with --layers {named}"
        cure += ", and the convolutions before them" if granularity == "connection" else ""
        raise InputError(
            f"--granularity {granularity}: the graph names no {granularity} that erasure could edit: {cure}"
        )
    return allowed
