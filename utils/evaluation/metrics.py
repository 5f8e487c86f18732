"""Figures of a network's heads and distances between two networks, with numpy, from logits, labels and features.

Every figure of a head is a function of the logits, the labels and a *weight per image*. With weights of one it is the
plain figure; with the counts of a resample it is one draw of `utils.evaluation.bootstrap`, so the two cannot differ.
"""

import numpy as np
from scipy.special import entr, expit, xlogy

#: the figures that carry an interval, in the order in which tables show them
FIGURES = tuple(
    "auc average_precision balanced_accuracy accuracy tpr tnr mean_predicted base_rate tpr_all_positive".split()
)


def ratio(numerator, denominator):
    """Elementwise quotient, NaN where the denominator is 0 (a class that is missing)."""
    out = np.full(np.broadcast(numerator, denominator).shape, np.nan)
    return np.divide(numerator, denominator, out=out, where=np.asarray(denominator) > 0)


class Ranking:
    """Scores of N images sorted once, so that the AUC under many image weights costs one gather and one running sum."""

    def __init__(self, scores, labels):
        """Sorts (N,) scores (larger: more likely positive) of (N,) labels 0/1.

        Raises: ValueError if a score is NaN, or the shapes differ
        """
        scores, labels = np.asarray(scores, dtype=np.float64), np.asarray(labels)
        if scores.shape != labels.shape or scores.ndim != 1:
            raise ValueError(f"scores {scores.shape} and labels {labels.shape} must be two equal (N,) arrays")
        if np.isnan(scores).any():
            raise ValueError(f"{int(np.isnan(scores).sum())} of {scores.size} scores are NaN: the network has diverged")
        self.order = np.argsort(scores, kind="stable")
        ranked = scores[self.order]
        self.positive = labels[self.order].astype(np.float64)  # (N,)
        self.starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if scores.size else np.zeros(0, int)

    def _class_weights(self, weights):
        ranked = weights[:, self.order]  # (B, N)
        positive = ranked * self.positive
        negative = ranked - positive
        if len(self.starts) < len(self.order):  # equal scores form one step
            positive = np.add.reduceat(positive, self.starts, axis=1)
            negative = np.add.reduceat(negative, self.starts, axis=1)
        return positive, negative  # (B, steps), lowest score first

    def auc(self, weights):
        """Area under the ROC curve for each row of weights (B, N): P(positive above negative), ties count half."""
        if not self.order.size:
            return np.full(len(weights), np.nan)
        positive, negative = self._class_weights(weights)
        below = np.cumsum(negative, axis=1)
        wins = np.einsum("bs,bs->b", positive, below) - 0.5 * np.einsum("bs,bs->b", positive, negative)
        return ratio(wins, positive.sum(1) * below[:, -1])

    def average_precision(self, weights):
        """Average precision for each row of weights (B, N): mean over the positives of the precision at their score."""
        if not self.order.size:
            return np.full(len(weights), np.nan)
        positive, negative = (part[:, ::-1] for part in self._class_weights(weights))
        hits = np.cumsum(positive, axis=1)
        taken = hits + np.cumsum(negative, axis=1)
        precision = np.divide(hits, taken, out=np.zeros_like(hits), where=taken > 0)
        return ratio(np.einsum("bs,bs->b", positive, precision), hits[:, -1])


def auc(scores, labels):
    """Area under the ROC curve of (N,) scores for (N,) 0/1 labels, ties half; None where a class is missing."""
    return plain(Ranking(scores, labels).auc(np.ones((1, np.size(scores))))[0])


def roc_points(scores, labels, most=200):
    """ROC curve of (N,) scores: {"fpr", "tpr"} lists from (0, 0) to (1, 1), at most about `most` corners; for drawing.

    None where a class is missing.
    """
    labels = np.asarray(labels).astype(bool)
    if labels.all() or not labels.any():
        return None
    order = np.argsort(-np.asarray(scores, dtype=np.float64), kind="stable")
    ranked = np.asarray(scores)[order]
    ends = np.flatnonzero(np.r_[ranked[1:] != ranked[:-1], True])  # equal scores are passed together
    kept = np.unique(np.linspace(0, len(ends), min(most, len(ends) + 1)).round().astype(int))
    classes = {"fpr": ~labels[order], "tpr": labels[order]}
    return {name: np.r_[0.0, np.cumsum(hit)[ends] / hit.sum()][kept].tolist() for name, hit in classes.items()}


class HeadFigures:
    """All figures of one head as functions of image weights."""

    def __init__(self, logits, labels, all_positive):
        """Takes logits (N,), labels (N,) 0/1 and all_positive (N,) bool: the images on which every attribute is 1.

        Raises: ValueError as `Ranking`
        """
        self.ranking = Ranking(logits, labels)
        logits, labels = np.asarray(logits, dtype=np.float64), np.asarray(labels).astype(np.float64)
        decided = (logits > 0).astype(np.float64)  # at probability 0.5
        everywhere = np.asarray(all_positive).astype(np.float64)
        hit, rejected = labels * decided, (1 - labels) * (1 - decided)
        columns = [labels, hit, rejected, hit + rejected, expit(logits), everywhere, everywhere * decided]
        self.columns = np.stack(columns, axis=1)  # (N, 7): every figure at a threshold is a quotient of such sums

    def at(self, weights):
        """{figure: (B,) array} for weights (B, N); NaN where a figure is undefined."""
        total = weights.sum(1)
        positives, true_positives, true_negatives, right, predicted, everywhere, everywhere_hit = (
            weights @ self.columns
        ).T
        tpr, tnr = ratio(true_positives, positives), ratio(true_negatives, total - positives)
        return {
            "auc": self.ranking.auc(weights),
            "average_precision": self.ranking.average_precision(weights),
            "balanced_accuracy": (tpr + tnr) / 2,
            "accuracy": ratio(right, total),
            "tpr": tpr,
            "tnr": tnr,
            "mean_predicted": ratio(predicted, total),
            "base_rate": ratio(positives, total),
            "tpr_all_positive": ratio(everywhere_hit, everywhere),
        }


def head_figures(logits, labels, attributes, all_positive=None):
    """{attribute: HeadFigures} for logits (N, K) and labels (N, K).

    Args:
        all_positive: (N,) bool; by default the images on which all K labels are 1. A network that has fewer heads
            than the data has attributes needs it given, or its paper figure would be over other images.
    Raises: ValueError if shapes and names disagree, or a logit is NaN
    """
    logits, labels = np.asarray(logits), np.asarray(labels)
    if logits.shape != labels.shape or logits.ndim != 2 or logits.shape[1] != len(attributes):
        raise ValueError(f"logits {logits.shape}, labels {labels.shape} and {len(attributes)} attributes disagree")
    everywhere = labels.astype(bool).all(1) if all_positive is None else np.asarray(all_positive, dtype=bool)
    return {name: HeadFigures(logits[:, k], labels[:, k], everywhere) for k, name in enumerate(attributes)}


def figures_per_head(logits, labels, attributes, all_positive=None):
    """Every figure of every head, as plain Python numbers.

    Args: as `head_figures`
    Returns: {attribute: {"n", "n_positive", "auc", "average_precision", "balanced_accuracy", "accuracy", "tpr", "tnr",
        "mean_predicted", "base_rate", "tpr_all_positive", "n_all_positive"}}; rates are fractions taken at probability
        0.5; tpr_all_positive is the share found among the images on which all attributes are 1; None where undefined
    """
    out = {}
    for name, head in head_figures(logits, labels, attributes, all_positive).items():
        figures = head.at(np.ones((1, len(head.columns))))
        counts = {"n": len(head.columns), "n_positive": int(head.columns[:, 0].sum())}
        out[name] = counts | {figure: plain(figures[figure][0]) for figure in FIGURES}
        out[name]["n_all_positive"] = int(head.columns[:, 5].sum())
    return out


def plain(value):
    """A numpy number as a Python float, NaN as None, so that it can be written to JSON."""
    return None if np.isnan(value) else float(value)


def bernoulli_js(p, q):
    """Jensen-Shannon divergence of two coins of probabilities p and q, elementwise, in nats: 0 if equal, at most ln 2.

    JS = H((p + q) / 2) - (H(p) + H(q)) / 2 with the binary entropy H (Lin 1991). Arrays of probabilities in [0, 1].
    """
    p, q = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)

    def entropy(x):
        return entr(x) + entr(1 - x)

    return np.maximum(entropy((p + q) / 2) - (entropy(p) + entropy(q)) / 2, 0.0)  # rounding may fall below 0


def modified_entropy(p, y):
    """Modified entropy of probability p for a sample of label y (Song & Mittal 2021, eq. 4), elementwise, in nats.

    -(1 - p_y) ln p_y - p_z ln(1 - p_z) with z the other class: 0 for a sure and right answer, infinite for a sure and
    wrong one, so probabilities are kept 1e-12 away from 0 and 1.
    """
    p = np.clip(np.asarray(p, dtype=np.float64), 1e-12, 1 - 1e-12)
    own = np.where(np.asarray(y) > 0, p, 1 - p)
    other = 1 - own
    return -xlogy(1 - own, own) - xlogy(other, 1 - other)


def linear_cka(x, y):
    """Linear centred kernel alignment of features (N, D) and (N, E) of the same images (Kornblith et al. 2019, eq. 4).

    ||Y'X||^2 / (||X'X|| ||Y'Y||) in Frobenius norms, columns centred: 1 up to rotation and scale, None if one of the
    two does not vary.
    """
    x, y = (np.asarray(z, dtype=np.float64) - np.mean(z, axis=0, dtype=np.float64) for z in (x, y))
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return plain(ratio(np.linalg.norm(y.T @ x) ** 2, norms)[()])


def mean_auc(figures):
    """Mean AUC over the heads of {attribute: figures}, those without one left out; NaN if none has one."""
    known = [row["auc"] for row in figures.values() if row["auc"] is not None]
    return sum(known) / len(known) if known else float("nan")
