"""The heads after the features below them have moved: kept ones refitted in closed form, the targets' set constant."""

import torch

from models.heads import get_heads

SHRINKAGE = 0.1  # ridge on the change of the kept heads, in mean variances of the features
MOST_DRIFT = 0.002  # of a kept head's mean probability that the least squares may leave
LEAST_SHIFT = 1.0  # of a kept head's logits: a drift that a smaller shift would undo is left, too
_HALVINGS = 64  # of the interval that holds the shift
_UNDONE = 1e-4  # drift of a mean probability that counts as none


def refit_heads(model, features, logits, weights, kept):
    """Move the kept heads, in place, so that they give earlier logits as nearly as a ridge allows.

    Where logits are large (tens), their squares count images most whose answer is certain, and the boundary may move.
    So a head whose mean probability over the images drifts by more than MOST_DRIFT, and comes back by no shift of its
    logits smaller than LEAST_SHIFT, is shifted.

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
    weight, bias = weight + change, bias + offset - change @ mean
    bias = bias + _shift_back(features @ weight.T + bias, logits, weights)
    with torch.no_grad():
        heads.weight[kept] = weight.to(heads.weight)
        heads.bias[kept] = bias.to(heads.bias)


def _shift_back(logits, goals, weights):
    """The least shift (K,) of logits (N, K) that brings their mean probability to that of goals (N, K); mostly 0.

    Args: weights: (N, 1) with sum 1
    """
    wanted, given = ((weights * values.sigmoid()).sum(0) for values in (goals, logits))
    towards = (wanted - given).sign()
    near, far = torch.zeros_like(wanted), logits.abs().amax(0) + goals.abs().amax(0)
    for _ in range(_HALVINGS):
        middle = (near + far) / 2
        missing = towards * (wanted - (weights * (logits + towards * middle).sigmoid()).sum(0))
        near, far = torch.where(missing > _UNDONE, middle, near), torch.where(missing > _UNDONE, far, middle)
    return torch.where(((wanted - given).abs() > MOST_DRIFT) & (far > LEAST_SHIFT), towards * far, 0.0)


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
