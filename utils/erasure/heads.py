"""The heads after the features below them have moved: kept ones refitted in closed form, the targets' set constant."""

import torch

from models.heads import get_heads

SHRINKAGE = 0.1  # ridge on the change of the kept heads, in mean variances of the features


def refit_heads(model, features, logits, weights, kept):
    """Move the kept heads, in place, so that they give earlier logits as nearly as a ridge allows.

    Args:
        features: (N, D) that the heads see now; logits: (N, K) of all heads before the features moved
        weights: (N,) how much each image counts; kept: places of the heads to move
    Raises: torch.linalg.LinAlgError if the regression has no solution
    """
    heads = get_heads(model)
    features, logits = features.double(), logits[:, kept].double()
    weights = (weights / weights.sum()).double()[:, None]
    weight, bias = heads.weight[kept].double(), heads.bias[kept].double()
    missing = logits - features @ weight.T - bias
    mean = (weights * features).sum(0)
    centred, offset = features - mean, (weights * missing).sum(0)
    covariance = (weights * centred).T @ centred
    ridge = SHRINKAGE * covariance.diagonal().mean() * torch.eye(len(mean), device=mean.device, dtype=mean.dtype)
    change = torch.linalg.solve(covariance + ridge, (weights * centred).T @ (missing - offset)).T
    with torch.no_grad():
        heads.weight[kept] = (weight + change).to(heads.weight)
        heads.bias[kept] = (bias + offset - change @ mean).to(heads.bias)


def answer_base_rate(model, targets, base_rates):
    """Make the targets' heads answer their base rate (T,) whatever they see, in place: an AUC of 0.5 by construction.

    This alone is dropping the head; the features below it forget nothing by it.
    """
    heads = get_heads(model)
    with torch.no_grad():
        for target, rate in zip(targets, base_rates, strict=True):
            weight, bias = heads.head(target)
            weight.zero_()
            bias.fill_(torch.logit(torch.tensor(float(rate))).item())


def emptied_heads(model):
    """Names of the heads that answer the same whatever they see: those that an earlier erasure emptied."""
    heads = get_heads(model)
    empty = (heads.weight == 0).all(1).tolist()
    return [name for name, is_empty in zip(heads.attributes, empty, strict=True) if is_empty]
