"""The network a script is asked to work on: a checkpoint of step 1, or the user's own state dict."""

from dataclasses import dataclass

import torch
from torch import nn

from models import build_model, load_weights
from utils.common.errors import InputError
from utils.network.checkpoint import check_matches, checkpoint_in, load_checkpoint, read_state_dict, restore, sha256_of


@dataclass(frozen=True)
class LoadedNetwork:
    """A loaded network and where it came from.

    model: in eval mode on the device; name: of its architecture; sha256: of the file it was read from
    seed, epoch: of its training, None if it is the user's own
    """

    model: nn.Module
    name: str
    attributes: tuple[str, ...]
    img_size: int
    path: str
    sha256: str
    seed: int | None = None
    epoch: int | None = None


def load_network(path, attributes, *, weights=None, name=None, img_size=None, device="cpu"):
    """Load the network of `path` (a checkpoint), or of `weights` (a plain state dict) if that is given.

    Args:
        attributes: heads the user asks for, in order
        name: architecture; None takes the checkpoint's, or resnet18 for `weights` that do not say
        img_size: pixels a side; None takes the checkpoint's, or 224 for `weights` that do not say
    Returns: LoadedNetwork
    Raises: InputError if a file is absent or damaged or does not match what is asked
    """
    asked = {"attributes": tuple(attributes), "model": name, "img_size": img_size}
    asked = {key: value for key, value in asked.items() if value is not None}
    if weights:
        own = checkpoint_in(weights)
        if own is not None:  # it says itself what its heads are: a plain state dict cannot
            check_matches(own, weights, **asked)
        name = name or (own.model if own else "resnet18")
        img_size = img_size or (own.img_size if own else 224)
        model = build_model(name, attributes)
        model = load_weights(model, read_state_dict(weights), weights).to(device).eval()
        return LoadedNetwork(model, name, tuple(attributes), img_size, str(weights), sha256_of(weights))
    checkpoint = load_checkpoint(path)
    check_matches(checkpoint, path, **asked)
    details = {"seed": checkpoint.seed, "epoch": checkpoint.epoch}
    model = restore(checkpoint, device).eval()
    return LoadedNetwork(
        model, checkpoint.model, checkpoint.attributes, checkpoint.img_size, str(path), sha256_of(path), **details
    )


def random_network(name, attributes, seed, device="cpu"):
    """A network that was never trained, in eval mode: what its features tell, any network's do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed + 2_000_003)  # neither the original's first weights nor the oracle's
        return build_model(name, attributes).to(device).eval()


def check_graph(graph, source, forgotten, path):
    """Refuse a graph that was made for another network or another request.

    Raises: InputError naming both sides
    """
    again = "run step 2 again with these arguments"
    if tuple(graph.attributes) != tuple(source.attributes):
        heads = f"{' '.join(graph.attributes)}, the network has {' '.join(source.attributes)}"
        raise InputError(f"graph {path} is for heads {heads}: {again}")
    if tuple(graph.forgotten) != tuple(forgotten):
        asked = f"{' '.join(graph.forgotten)}, asked for is {' '.join(forgotten)}"
        raise InputError(f"graph {path} forgets {asked}: {again}")
    parent = graph.made_by.get("parent_sha256")
    if parent != source.sha256:
        sides = f"sha256 {str(parent)[:12]}…, but {source.path} has {source.sha256[:12]}…"
        raise InputError(f"graph {path} was made from another checkpoint ({sides}): {again}")
