"""The order of axes in memory changes how fast a network trains, not what it computes."""

import pytest
import torch
from small_training import QUICK, Pixels
from torch import nn

from models.heads import AttributeHeads
from utils.layouts import fast_pooling, training_layout
from utils.recipe import Recipe
from utils.training import fit


class Pooled(nn.Module):
    """A convolution and a max-pooling; it remembers how the images and the pooling's in- and output lie in memory."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.pool, self.fc = nn.Conv2d(3, 4, 3), nn.MaxPool2d(2), AttributeHeads(4, ("A", "B"))
        self.attributes, self.seen = self.fc.attributes, {}

    def forward(self, x):
        features = self.pool(self.conv(x))
        for name, tensor in (("images", x), ("pooled", features)):
            self.seen[name] = tensor.is_contiguous(memory_format=torch.channels_last)
        return self.fc(features.mean((2, 3)))


def test_channels_last_but_for_bfloat16_on_a_processor():
    assert training_layout("cpu", amp=True) == torch.contiguous_format
    for device, amp in (("cpu", False), ("cuda", True), ("cuda", False)):
        assert training_layout(device, amp) == torch.channels_last


@pytest.mark.parametrize(("amp", "last"), [("off", True), ("bf16", False)])
def test_images_reach_the_network_in_the_layout_of_its_weights(amp, last):
    net = Pooled()
    fit(net, Pixels(), Recipe(**(QUICK | {"amp": amp, "epochs": 1})))
    assert net.seen == {"images": last, "pooled": last}
    assert net.conv.weight.is_contiguous(memory_format=torch.channels_last) is last


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_fast_pooling_gives_equal_values_and_gradients_and_leaves_no_hook(dtype):
    net, images = Pooled().to(dtype), torch.randn(5, 3, 9, 9).to(dtype)
    net.pool.register_forward_pre_hook(
        lambda module, inputs: net.seen.update(inside=inputs[0].is_contiguous(memory_format=torch.channels_last))
    )

    def outcome():
        net.zero_grad()
        logits = net(images)
        logits.float().square().sum().backward()
        return [logits, *(parameter.grad.clone() for parameter in net.parameters())]

    plain = outcome()
    with fast_pooling(net, torch.contiguous_format):
        pooled = outcome()
        assert len(net.pool._forward_pre_hooks) == 2 and len(net.pool._forward_hooks) == 1
    assert all(map(torch.equal, plain, pooled)) and net.seen["pooled"] is False
    with pytest.raises(RuntimeError, match="stop"), fast_pooling(net, torch.contiguous_format):
        raise RuntimeError("stop")
    assert len(net.pool._forward_pre_hooks) == 1 and not net.pool._forward_hooks
    with fast_pooling(net, torch.channels_last):
        assert not net.pool._forward_hooks  # the whole network has that order already
