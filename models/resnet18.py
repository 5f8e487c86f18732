"""ResNet-18 (He et al. 2016) with one linear head per attribute."""

import torchvision

from models.heads import AttributeHeads, replace_heads


def resnet18(attributes):
    """ResNet-18 on torchvision's trunk: module names are torchvision's, `fc` holds the heads.

    The stem (7x7 convolution of stride 2, max-pooling of stride 2) is the same at every image size, so a checkpoint
    means the same network everywhere and ImageNet weights fit. At 64 px the last stage then sees 2 x 2 positions; a
    stem without stride would see more but costs 16 times the arithmetic, which two cores do not have to spare.

    Args:
        attributes: names of the heads, in order
    Returns: a module that maps images (N, 3, H, W) to logits (N, K)
    """
    trunk = torchvision.models.resnet18(weights=None)
    return replace_heads(trunk, AttributeHeads(trunk.fc.in_features, attributes))
