"""A data set and a network whose audit can be worked out by hand: attribute k is the brightness of colour channel k."""

import numpy as np
import torch
from torch import nn

from models.heads import AttributeHeads

NAMES = ("Bald", "Smiling", "Young")


def labels_of(rate, n=400):
    """(n, 1) labels of one attribute."""
    return (np.random.default_rng(0).random((n, 1)) < rate).astype(np.uint8)


class PlainFaces:
    """Images (N, 3, 4, 4) in which channel k is 1 where attribute k is there, 0 where not, plus noise."""

    def __init__(self, n=1500, train=600, noise=0.25, seed=0, rates=(0.4, 0.5, 0.5)):
        generator = np.random.default_rng(seed)
        self.attributes, self.img_size = NAMES, 4
        self.labels = (generator.random((n, 3)) < rates).astype(np.uint8)
        level = self.labels + noise * generator.normal(size=(n, 3))
        self.images = torch.from_numpy(level).float()[:, :, None, None].expand(-1, -1, 4, 4)
        self.splits = {"train": np.arange(train), "test": np.arange(train, n)}

    def rows(self, part):
        return self.splits.get(part, np.zeros(0, np.int64))

    def batches(self, rows, batch_size, device):
        for start in range(0, len(rows), batch_size):
            part = rows[start : start + batch_size]
            yield self.images[part].to(device), torch.from_numpy(self.labels[part]).float().to(device)


class PlainNet(nn.Module):
    """1x1 convolution `stem`, 1x1 convolution `top`, mean over the image, heads."""

    def __init__(self, attributes=NAMES):
        super().__init__()
        self.stem, self.top = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.heads = AttributeHeads(3, attributes)
        self.attributes = self.heads.attributes

    def forward(self, images):
        return self.heads(self.top(self.stem(images)).mean((2, 3)))


@torch.no_grad()
def plain_net(attributes=NAMES, sees=NAMES):
    """A network whose features are the channels it `sees`; head k fires where its channel exceeds 1/2."""
    network = PlainNet(attributes)
    for layer in (network.stem, network.top):
        layer.weight.copy_(torch.eye(3)[:, :, None, None])
        layer.bias.zero_()
    network.top.weight[[NAMES.index(name) for name in NAMES if name not in sees]] = 0
    network.heads.weight.copy_(10 * torch.eye(3)[[NAMES.index(name) for name in attributes]])
    network.heads.bias.fill_(-5)
    return network
