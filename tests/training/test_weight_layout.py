"""The order of axes in memory changes how fast a network trains, not what it computes."""

import pytest
import torch
from small_training import QUICK, Pixels
from torch import nn

from models.heads import AttributeHeads
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings, weight_layout


class Watched(nn.Module):
    """A convolution that remembers how the images lie in memory."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.fc = nn.Conv2d(3, 4, 3), AttributeHeads(4, ("A", "B"))
        self.attributes, self.seen = self.fc.attributes, set()

    def forward(self, x):
        self.seen.add(x.is_contiguous(memory_format=torch.channels_last))
        return self.fc(self.conv(x).mean((2, 3)))


def test_weights_have_channels_last_but_for_bfloat16_on_a_processor():
    assert weight_layout("cpu", amp=True) == torch.contiguous_format
    for device, amp in (("cpu", False), ("cuda", True), ("cuda", False)):
        assert weight_layout(device, amp) == torch.channels_last


@pytest.mark.parametrize(("amp", "last"), [("off", True), ("bf16", False)])
def test_images_come_with_channels_last_and_weights_as_the_rule_says(amp, last):
    net = Watched()
    fit(net, Pixels(), TrainingSettings(**(QUICK | {"amp": amp, "epochs": 1})))
    assert net.seen == {True}
    assert net.conv.weight.is_contiguous(memory_format=torch.channels_last) is last
