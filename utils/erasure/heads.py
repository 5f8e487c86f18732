"""Closed-form repair of the heads after the features below them have moved."""

import torch

from models.heads import get_heads

SHRINKAGE = 0.1  # ridge on the change of the kept heads, in mean variances of the features


def refit_heads(model, features, logits, weights, kept):
    """Move the kept heads, in place, so that they give an earlier network's logits as nearly as a ridge allows.

    Args:
        features: (N, D) that the heads see now; logits: (N, K) that were given before, of all heads
        weights: (N,) how much each image counts; kept: places of the heads to move
    """
    heads = get_heads(model)
    features, logits = features.double(), logits[:, kept].double()
    weights = (weights / weights.sum()).double()[:, None]
    weight, bias = heads.weight[kept].double(), heads.bias[kept].double()
    missing = logits - features @ weight.T - bias
    mean = (weights * features).sum(0)
    centred, level = features - mean, (weights * missing).sum(0)
    covariance = (weights * centred).T @ centred
    ridge = SHRINKAGE * covariance.diagonal().mean() * torch.eye(len(mean), device=mean.device, dtype=mean.dtype)
    change = torch.linalg.solve_ex(covariance + ridge, (weights * centred).T @ (missing - level))[0].T
    with torch.no_grad():
        heads.weight[kept] = (weight + change).to(heads.weight)
        heads.bias[kept] = (bias + level - change @ mean).to(heads.bias)


def answer_base_rate(model, targets, base_rates):
    """Make the targets' heads say their base rate whatever they see, in place: an AUC of 0.5 by construction.

    This alone is dropping the head; it forgets nothing below it.
    """
    heads = get_heads(model)
    with torch.no_grad():
        for target, rate in zip(targets, base_rates, strict=True):
            weight, bias = heads.head(target)
            weight.zero_()
            bias.fill_(torch.logit(torch.tensor(float(rate))).item())
