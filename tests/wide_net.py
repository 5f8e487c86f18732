"""A small network that knows all three attributes of the plain faces, its targets spread over shared channels."""

import torch
from plain_faces import NAMES, PlainFaces
from torch import nn

from models.heads import AttributeHeads
from utils.erasure.erasure import ErasureSettings

# in so few channels a target stands far out of the noise: only a small ridge takes it out
SETTINGS = ErasureSettings(images=512, strength=300.0, amp="off")


class WideNet(nn.Module):
    """1x1 convolution, batch norm, ReLU, 1x1 convolution, batch norm, mean over the image, heads: shared channels.

    Without `constants` the second convolution has neither a batch norm nor a bias, as within DenseNet's blocks.
    """

    def __init__(self, constants=True):
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 24, 1), nn.BatchNorm2d(24), nn.ReLU())
        top = nn.Conv2d(24, 24, 1, bias=constants)
        self.top = nn.Sequential(top, nn.BatchNorm2d(24)) if constants else top  # read as it is, without an activation
        self.heads = AttributeHeads(24, NAMES)
        self.attributes = self.heads.attributes

    def forward(self, images):
        return self.heads(self.top(self.stem(images)).mean((2, 3)))


def train_wide_net(constants=True):
    """A wide net after 40 passes over 600 plain faces, in eval mode."""
    torch.manual_seed(0)
    return fit_all_heads(WideNet(constants), PlainFaces(), 40)


def fit_all_heads(model, data, passes):
    """Train a network, in place, for some passes over the training part; in eval mode, without gradients."""
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(passes):
        for images, labels in data.batches(data.rows("train"), 100, "cpu"):
            optimizer.zero_grad()
            nn.functional.binary_cross_entropy_with_logits(model(images), labels).backward()
            optimizer.step()
    optimizer.zero_grad()
    return model.eval()
