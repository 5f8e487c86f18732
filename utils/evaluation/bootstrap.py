"""95 % percentile intervals over images: one set of resamples serves every head, every score and every difference."""

import numpy as np

from utils.evaluation.metrics import FIGURES, Ranking, head_figures, plain

RESAMPLES = 1000
_CHUNK = 2**18  # weights held at a time (2 MB): memory stays flat however many images there are


def resample_counts(n, resamples=RESAMPLES, seed=0):
    """Yields (B, n) float arrays: how often each of n images is drawn in B resamples of n, `resamples` rows in all."""
    generator = np.random.default_rng([seed, n])
    left, chunk = resamples, max(1, _CHUNK // max(n, 1))
    while left > 0:
        rows = min(chunk, left)
        drawn = generator.integers(0, n, (rows, n)) + n * np.arange(rows)[:, None]
        yield np.bincount(drawn.ravel(), minlength=rows * n).reshape(rows, n).astype(np.float64)
        left -= rows


def percentile_interval(draws):
    """[low, high] that holds the middle 95 % of the draws, those without a value (NaN) left out; None if none has."""
    draws = np.asarray(draws, dtype=np.float64)
    draws = draws[np.isfinite(draws)]
    return [float(v) for v in np.percentile(draws, [2.5, 97.5])] if draws.size else None


def bootstrap_intervals(logits, labels, attributes, all_positive=None, resamples=RESAMPLES, seed=0):
    """95 % interval of every figure of every head.

    Args: logits (N, K), labels (N, K), attributes and all_positive as `utils.evaluation.metrics.figures_per_head`
    Returns: {attribute: {figure: [low, high]}}; None for a figure that is undefined in every resample
    """
    heads = head_figures(logits, labels, attributes, all_positive)
    draws = {name: {figure: [] for figure in FIGURES} for name in heads}
    for weights in resample_counts(len(labels), resamples, seed):
        for name, head in heads.items():
            for figure, values in head.at(weights).items():
                draws[name][figure].append(values)
    return {
        name: {figure: percentile_interval(np.concatenate(parts)) for figure, parts in figures.items()}
        for name, figures in draws.items()
    }


def auc_contrast(scores, coefficients, labels, resamples=RESAMPLES, seed=0):
    """A weighted sum of the AUCs of several scores on the same images, with its paired interval.

    [1] is an AUC, [1, -1] a difference, [1/3, 1/3, 1/3] a mean over draws, trapezoid weights an area.

    Args: scores (M, N); coefficients (M,); labels (N,) 0/1
    Returns: {"value", "interval": [low, high], "n", "n_positive"}; None where a class is missing
    Raises: ValueError if there are not as many coefficients as scores
    """
    scores, labels = np.atleast_2d(np.asarray(scores)), np.asarray(labels)
    if len(scores) != len(coefficients):
        raise ValueError(f"{len(scores)} sets of scores need as many coefficients, not {len(coefficients)}")
    rankings = [Ranking(row, labels) for row in scores]

    def contrast(weights):
        return sum(c * ranking.auc(weights) for c, ranking in zip(coefficients, rankings, strict=True))

    value = plain(contrast(np.ones((1, len(labels))))[0])
    counts = resample_counts(len(labels), resamples if value is not None else 0, seed)
    draws = [contrast(weights) for weights in counts]
    return {
        "value": value,
        "interval": percentile_interval(np.concatenate(draws)) if draws else None,
        "n": len(labels),
        "n_positive": int(labels.astype(bool).sum()),
    }


def auc_interval(scores, labels, resamples=RESAMPLES, seed=0):
    """`auc_contrast` of one (N,) score: its AUC and interval."""
    return auc_contrast([scores], [1.0], labels, resamples, seed)


def mean_interval(values, resamples=RESAMPLES, seed=0):
    """{"value", "interval", "n"} of the mean of (N,) values, one per image."""
    values = np.asarray(values, dtype=np.float64)
    draws = [weights @ values / values.size for weights in resample_counts(values.size, resamples, seed)]
    return {"value": float(values.mean()), "interval": percentile_interval(np.concatenate(draws)), "n": values.size}


def paired_changes(before, after, labels, attributes, resamples=RESAMPLES, seed=0):
    """Change of AUC and of accuracy of each head from one network to another on the same images, with paired intervals.

    Args: before, after: (N, K) logits with the same head order; labels (N, K)
    Returns: {attribute: {"auc": {"value", "interval", "n", "n_positive"}, "accuracy": {"value", "interval", "n"}}};
        value = after - before
    """
    before, after, labels = np.asarray(before), np.asarray(after), np.asarray(labels).astype(bool)
    out = {}
    for k, name in enumerate(attributes):
        gained = ((after[:, k] > 0) == labels[:, k]).astype(int) - ((before[:, k] > 0) == labels[:, k]).astype(int)
        out[name] = {
            "auc": auc_contrast([after[:, k], before[:, k]], [1.0, -1.0], labels[:, k], resamples, seed),
            "accuracy": mean_interval(gained, resamples, seed),
        }
    return out
