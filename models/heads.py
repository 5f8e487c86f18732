"""The linear heads of a network: one row per attribute, found and dropped by the attribute's name."""

import torch
from torch import nn


class AttributeHeads(nn.Linear):
    """One linear head per attribute on shared features; logits of shape (N, K).

    Stored as one (K, D) weight, so a state dict whose last layer is a plain `nn.Linear` loads as it is.
    """

    def __init__(self, in_features, attributes):
        """Make fresh heads for `attributes` (names in head order) on features of size `in_features`."""
        super().__init__(in_features, len(attributes))
        self.attributes = tuple(attributes)

    def index(self, attribute):
        """Row of `attribute`. Raises KeyError, naming the heads there are, if the network has no such head."""
        if attribute not in self.attributes:
            raise KeyError(f"no head for {attribute!r}: this network has {', '.join(self.attributes)}")
        return self.attributes.index(attribute)

    def head(self, attribute):
        """(weight (D,), bias ()) of one attribute's head: views, so writing to them edits the head."""
        row = self.index(attribute)
        return self.weight[row], self.bias[row]

    def pick(self, attributes):
        """New heads of some `attributes`, in that order, with copies of their rows. Raises: KeyError as `index`."""
        rows = [self.index(attribute) for attribute in attributes]
        picked = AttributeHeads(self.in_features, attributes).to(self.weight.device, self.weight.dtype)
        with torch.no_grad():
            picked.weight.copy_(self.weight[rows])
            picked.bias.copy_(self.bias[rows])
        return picked

    def without(self, attribute):
        """New heads that lack `attribute`; the kept rows are bit-equal copies."""
        dropped = self.index(attribute)
        return self.pick([name for row, name in enumerate(self.attributes) if row != dropped])


def find_heads(model):
    """(name, module) of the network's heads. Raises ValueError if it has none or several."""
    found = [(name, module) for name, module in model.named_modules() if isinstance(module, AttributeHeads)]
    if len(found) != 1:
        raise ValueError(f"expected one AttributeHeads module in the network, found {len(found)}")
    return found[0]


def get_heads(model):
    """The network's `AttributeHeads`."""
    return find_heads(model)[1]


def replace_heads(model, heads):
    """Put `heads`, an `AttributeHeads`, where the network's last linear layer is. Raises: ValueError if it has none."""
    linear = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    if not linear:
        raise ValueError("the network has no linear layer to replace by attribute heads")
    parent, _, last = linear[-1].rpartition(".")
    setattr(model.get_submodule(parent), last, heads)
    model.attributes = heads.attributes
    return model


def drop_head(model, attribute):
    """Remove one attribute's head from the network, in place; the other heads stay bit-equal."""
    return replace_heads(model, get_heads(model).without(attribute))


def keep_heads(model, attributes):
    """Keep the heads of some `attributes`, in that order, in place; their rows stay bit-equal."""
    return replace_heads(model, get_heads(model).pick(attributes))


def head_inputs(model, images):
    """Features that the heads see, (N, D), for images (N, 3, H, W), by one forward pass."""
    seen = []
    handle = get_heads(model).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        model(images)
    finally:
        handle.remove()
    return seen[0]
