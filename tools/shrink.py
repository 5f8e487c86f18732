"""Take the channels that pruning left at zero out of a network: fewer numbers, the same logits.

Reads   --checkpoint   any checkpoint of the three scripts
Writes  --out          the smaller network as an exported program (.pt2), for torch.export.load

Torch-Pruning (pip install -r requirements-extras.txt) finds what goes together: of a sum, a channel of every summand.

    python -m tools.shrink --checkpoint checkpoints/Bald_Mouth_Slightly_Open/pruned_Bald.pth --out bald.pt2
"""

import copy
import sys
from pathlib import Path

import torch
from torch import nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from models.heads import get_heads
from tools import formats
from utils.common import arguments
from utils.common.errors import InputError, no_memory
from utils.common.paths import check_outputs
from utils.network.loading import load_network


def get_args_parser():
    """The flags of the removal."""
    parser = arguments.Parser(description=__doc__, prog="tools.shrink")
    parser.add_argument("--checkpoint", required=True, metavar="FILE", help="the network to shrink")
    parser.add_argument("--out", required=True, metavar="FILE.pt2", help="where the smaller network goes")
    return parser


def main(args):
    """Load, take out, compare, write."""
    check_outputs(vars(args), out=args.out)
    (torch_pruning,) = formats.load_optional("tools.shrink", "torch_pruning")
    network = load_network(args.checkpoint)
    model, size = network.model, network.img_size
    images = torch.zeros(1, 3, size, size)
    small, removed = remove_zero_channels(model, images, torch_pruning.DependencyGraph())
    if not removed:
        raise InputError(f"{args.checkpoint}: no channel can go: each goes together with values that are not 0")
    facts = formats.describe(network, size) | {"kind": f"shrunk_{network.kind}"}
    difference = formats.write_network(args.out, small, size, facts, formats.to_program, original=model)
    before, after = (torch_pruning.utils.count_ops_and_params(one, images) for one in (model, small))
    print(f"multiply-adds {before[0]:,.0f} -> {after[0]:,.0f}, parameters {before[1]:,} -> {after[1]:,}")
    print(f"wrote {args.out}: {removed} channels taken out, logits within {difference:.1e} of the network's")
    print(formats.preparation(facts))


def remove_zero_channels(model, images, graph):
    """(a copy of a network without the channels that are 0 in all filters, biases, scales and shifts; how many went).

    Args: model on the CPU, in eval mode; images (1, 3, H, W); graph: a new torch_pruning.DependencyGraph
    Raises: InputError if Torch-Pruning cannot follow the network
    """
    small, removed = copy.deepcopy(model), 0
    try:
        graph.build_dependency(small, [images], verbose=False)
    except Exception as error:  # it raises many kinds; each means the same to the user
        if no_memory(error):
            raise
        raise InputError(f"Torch-Pruning can't follow this network: {type(error).__name__}: {error}") from error
    for group in graph.get_all_groups(ignored_layers=[get_heads(small)]):
        kept = {place for member in group for place in kept_places(member, graph)} or {0}
        if gone := [place for place in group[0].idxs if place not in kept]:
            group.prune(gone)
            removed += len(gone)
    return small, removed


def kept_places(member, graph):
    """Channels, counted in the group's first layer, that values other than 0 in one `member` of the group keep."""
    layer, writes = member.dep.target.module, graph.is_out_channel_pruning_fn(member.dep.handler)
    if type(layer).__module__.startswith("torch_pruning."):  # no layer: a sum, an activation, a change of shape
        return []
    known = isinstance(layer, (nn.Conv2d, nn.Linear, nn.BatchNorm2d)) and layer.weight is not None
    if not known or getattr(layer, "groups", 1) > 1 and not layer.groups == layer.in_channels == layer.out_channels:
        return member.root_idxs  # what is 0 in a layer norm, or in a group of filters, still counts for the others
    values = [part.reshape(len(part), -1) for part in (layer.weight, layer.bias) if part is not None]
    zero = ~torch.cat(values, 1).any(1)
    return [root for place, root in zip(member.idxs, member.root_idxs, strict=True) if writes and not zero[place]]


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
