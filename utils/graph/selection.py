"""Which channels are essential, how forgotten and kept attributes are balanced, and which nodes are pruned."""

import torch

CONTROLS = ("random", "lowest", "magnitude")


def essential_channels(scores, proportion, collapse_ties=False):
    """The floor(C * proportion) channels, at least one, with the largest signed score.

    Args:
        scores: (C,) tensor
        proportion: share of the layer's channels, in (0, 1]
        collapse_ties: as the released code, look each of the largest values up by its first position, so that channels
            of equal score fall into one and the set may be smaller
    Returns: sorted list of channel indices; ties go to the lower index
    Raises: ValueError if proportion is outside (0, 1]
    """
    if not 0 < proportion <= 1:
        raise ValueError(f"proportion must lie in (0, 1], got {proportion}")
    chosen = torch.sort(scores, descending=True, stable=True).indices[: count_essential(len(scores), proportion)]
    if collapse_ties:
        values = scores.tolist()
        chosen = {values.index(values[channel]) for channel in chosen.tolist()}
        return sorted(chosen)
    return sorted(chosen.tolist())


def count_essential(channels, proportion):
    """How many of a layer's channels are essential: their share, rounded down, at least one."""
    return max(1, int(channels * proportion + 1e-9))  # 100 * 0.29 is 28.999… in floating point


def essential_sets(channel_scores, attributes, proportion, collapse_ties=False):
    """{layer: {attribute: sorted channels}} from {layer: (K, C) scores}."""
    return {
        layer: {
            name: essential_channels(row, proportion, collapse_ties)
            for name, row in zip(attributes, scores, strict=True)
        }
        for layer, scores in channel_scores.items()
    }


def control_channels(kind, counts, model, target_scores, seed):
    """As many channels a layer as the graph prunes, chosen without the graph.

    Args:
        kind: "random", "lowest" (smallest target score) or "magnitude" (smallest filter norm)
        counts: {layer: number of channels to choose}
        target_scores: {layer: (C,) scores of the forgotten attributes, summed}
        seed: of the random choice
    Returns: {layer: sorted channels}
    Raises: ValueError for an unknown kind
    """
    if kind not in CONTROLS:
        raise ValueError(f"unknown control {kind!r}: expected one of {', '.join(CONTROLS)}")
    generator = torch.Generator().manual_seed(seed)
    chosen = {}
    for layer, count in counts.items():
        if kind == "random":
            order = torch.randperm(len(target_scores[layer]), generator=generator)
        elif kind == "lowest":
            order = torch.sort(target_scores[layer], stable=True).indices
        else:
            norms = model.get_submodule(layer).weight.detach().flatten(1).norm(dim=1).cpu()
            order = torch.sort(norms, stable=True).indices
        chosen[layer] = sorted(order[:count].tolist())
    return chosen


def votes(essential, num_channels, forgotten):
    """Balance of one layer: +K for each forgotten attribute a channel is essential to, -1 for each kept one.

    Args:
        essential: {attribute: channels} of all K attributes
        num_channels: C
        forgotten: names of the forgotten attributes
    Returns: list of C ints
    """
    tally = [0] * num_channels
    for attribute, channels in essential.items():
        for channel in channels:
            tally[channel] += len(essential) if attribute in forgotten else -1
    return tally


def nodes_to_prune(essential, forgotten, balance=True):
    """Channels of one layer essential to a forgotten attribute and, with balance, to no kept one; sorted."""
    target = {c for attribute in forgotten for c in essential[attribute]}
    kept = {c for attribute, channels in essential.items() if attribute not in forgotten for c in channels}
    return sorted(target - kept if balance else target)


def released_nodes_to_prune(tally, num_attributes):
    """The released rule: channels whose vote in `tally` (C ints) exceeds `num_attributes` - 1."""
    return [channel for channel, vote in enumerate(tally) if vote > num_attributes - 1]


def pruning_rule(importance, balance=True, as_released=False):
    """Name of the rule by which nodes follow from essential sets, as the graph's file carries it.

    Args: importance: flag of step 2, a control or not; balance: spare what a kept attribute needs
    """
    if importance in CONTROLS:
        return importance
    return "no_balance" if not balance else "released" if as_released else "balance"


def choose_nodes(rule, essential, channel_scores, forgotten, model, seed=0, balance=True):
    """Channels to prune in every layer.

    Args:
        rule: of `pruning_rule`; a control takes as many channels a layer as the graph would, by `balance`
        essential: {layer: {attribute: channels}} of all K attributes, in head order
        channel_scores: {layer: (K, C)}; forgotten: names; model: the scored network, for the control "magnitude"
        seed: of the control "random"
    Returns: {layer: sorted channels}
    """
    attributes, nodes = list(next(iter(essential.values()))), {}
    for layer, sets in essential.items():
        if rule == "released":
            tally = votes(sets, channel_scores[layer].shape[1], forgotten)
            nodes[layer] = released_nodes_to_prune(tally, len(attributes))
        else:
            nodes[layer] = nodes_to_prune(sets, forgotten, balance=balance and rule != "no_balance")
    if rule not in CONTROLS:
        return nodes
    targets = [attributes.index(name) for name in forgotten]
    target_scores = {layer: scores[targets].sum(0) for layer, scores in channel_scores.items()}
    return control_channels(rule, {layer: len(found) for layer, found in nodes.items()}, model, target_scores, seed)
