"""A data set and a network small enough to train in milliseconds."""

import numpy as np
import torch
from torch import nn

from models.heads import AttributeHeads
from utils.datasets.augmentation import Augmentation

QUICK = {"epochs": 4, "batch_size": 5, "lr": 1e-2, "amp": "off"}
TURN = Augmentation(degrees=10.0)


class Pixels:
    """Random images in memory, read as `utils.datasets.dataset.ImageDataset` is; it remembers the rows asked for."""

    def __init__(self, count=21, attributes=("A", "B"), size=8):
        generator = torch.Generator().manual_seed(0)
        self.attributes, self.splits, self.asked = attributes, {"train": np.arange(count)}, []
        self.labels = (torch.rand(count, 2, generator=generator) < 0.5).float()[:, : len(attributes)]
        self.images = torch.randn(count, 3, size, size, generator=generator)
        self.images[:, 0] += 2 * self.labels[:, :1, None] - 1  # brighter red: has the first attribute

    def rows(self, split):
        return self.splits[split]

    def batches(self, rows, batch_size, device):
        self.asked.append(np.asarray(rows))
        for start in range(0, len(rows), batch_size):
            part = torch.as_tensor(rows[start : start + batch_size])
            yield self.images[part].to(device), self.labels[part].to(device)


class Net(nn.Module):
    """Everything that has a state of its own: batch norm, dropout, weights."""

    def __init__(self, attributes=("A", "B"), seed=0):
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)
            self.fc, self.drop = AttributeHeads(4, attributes), nn.Dropout(0.2)
            self.attributes = self.fc.attributes

    def forward(self, x):
        return self.fc(self.drop(self.norm(self.conv(x)).relu().mean((2, 3))))
