"""The network of the paper's released code: bottleneck blocks with squeeze-excitation, 37 convolutions.

Parameter names are theirs, so their state dicts load; the sigmoid is left to the caller (logits out), and a batch of
one image keeps its batch axis. Two of their choices are part of the network and stay: nothing stands between the two
last linear layers, and the last block owns a squeeze-excitation that its output does not pass through.
"""

from torch import nn

from models.heads import AttributeHeads


class SqueezeExcitation(nn.Module):
    """One gate in (0, 1) per channel, from the channel means (Hu et al. 2018)."""

    def __init__(self, channels):
        """Gate for `channels` channels, through a quarter of them."""
        super().__init__()
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.fc1 = nn.Linear(channels, channels // 4)
        self.relu = nn.ReLU()
        self.fc2 = nn.Linear(channels // 4, channels)

    def forward(self, x):
        """Gates of shape (N, C, 1, 1) for maps (N, C, H, W)."""
        means = self.gap(x).flatten(1)
        return self.fc2(self.relu(self.fc1(means))).sigmoid().unflatten(1, (-1, 1, 1))


class Block(nn.Module):
    """Convolutions with batch norm and ReLU, gated, plus the (projected) input; no ReLU after the sum."""

    def __init__(self, in_channels, channels, kernels, gated=True):
        """`channels`: outputs of each convolution; `kernels`: their sizes; `gated`: use the squeeze-excitation."""
        super().__init__()
        self.depth, self.gated = len(channels), gated
        for i, (before, after, kernel) in enumerate(zip([in_channels, *channels], channels, kernels, strict=False), 1):
            self.add_module(f"conv{i}", nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False))
            self.add_module(f"batchnorm{i}", nn.BatchNorm2d(after))
            self.add_module(f"relu{i}", nn.ReLU())
        self.SE = SqueezeExcitation(channels[-1])
        self.projection = nn.Conv2d(in_channels, channels[-1], 1) if in_channels != channels[-1] else None

    def forward(self, x):
        """Maps (N, C_out, H, W) for maps (N, C_in, H, W)."""
        out = x
        for i in range(1, self.depth + 1):
            out = getattr(self, f"relu{i}")(getattr(self, f"batchnorm{i}")(getattr(self, f"conv{i}")(out)))
        if self.gated:
            out = out * self.SE(out)
        return out + (x if self.projection is None else self.projection(x))


def bottleneck(in_channels, width, out_channels, gated=True):
    """A 1x1, 3x3, 1x1 block of the given inner width."""
    return Block(in_channels, [width, width, out_channels], [1, 3, 1], gated)


class CustomResNet(nn.Module):
    """Eleven blocks in six groups, halved by max-pooling between groups; `linear2` holds the heads."""

    def __init__(self, attributes):
        """`attributes`: names of the heads, in order. 2,971,442 parameters with two of them."""
        super().__init__()
        self.block1 = Block(3, [32, 64], [3, 3])
        self.block2, self.block2_2 = bottleneck(64, 32, 128), bottleneck(128, 32, 128)
        self.block3, self.block3_2 = bottleneck(128, 32, 256), bottleneck(256, 32, 256)
        self.block4, self.block4_2 = bottleneck(256, 64, 512), bottleneck(512, 64, 512)
        self.block5, self.block5_2 = bottleneck(512, 64, 512), bottleneck(512, 64, 512)
        self.block6, self.block6_2 = bottleneck(512, 64, 512), bottleneck(512, 64, 1024, gated=False)
        self.pool = nn.MaxPool2d(2)
        self.gap = nn.AdaptiveAvgPool2d(1)
        self.linear1 = nn.Linear(1024, 256)
        self.linear2 = AttributeHeads(256, attributes)
        self.attributes = self.linear2.attributes

    def forward(self, x):
        """Logits (N, K) for normalised images (N, 3, H, W), H and W at least 32."""
        x = self.pool(self.block1(x))
        x = self.pool(self.block2_2(self.block2(x)))
        x = self.pool(self.block3_2(self.block3(x)))
        x = self.pool(self.block4_2(self.block4(x)))
        x = self.pool(self.block5_2(self.block5(x)))
        x = self.block6_2(self.block6(x))
        return self.linear2(self.linear1(self.gap(x).flatten(1)))


def customresnet(attributes):
    """The released network with one head per name in `attributes`."""
    return CustomResNet(attributes)
