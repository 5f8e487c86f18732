"""The balance between forgotten and kept attributes: votes of channels, and which channels go."""


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
    """The released rule: channels whose vote exceeds K - 1, K the number of attributes."""
    return [channel for channel, vote in enumerate(tally) if vote > num_attributes - 1]
