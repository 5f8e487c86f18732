"""The importance analysis: prune more and more of the scored layers, best first, worst first or at random."""

import copy
import os

import pandas as pd
import torch
from tqdm import tqdm

from utils.common import distributed
from utils.common.errors import InputError, first_line
from utils.pruning.channels import zero_channels

ORDERS = ("top", "lowest", "random")
COLUMNS = ["order", "share_pruned", "attribute", "tpr", "auc"]
MOST_BYTES = 64 << 20  # of a file of a curve


def channel_order(order, scores, seed):
    """Channels of a layer in the order they are pruned: by falling or rising score (ties: lower index) or at random."""
    if order == "random":
        return torch.randperm(len(scores), generator=torch.Generator().manual_seed(seed)).tolist()
    return torch.sort(scores, descending=order == "top", stable=True).indices.tolist()


def importance_curve(model, dataflow, target_scores, evaluate, *, step=0.05, seed=0):
    """Figures of every head as the share of pruned channels grows.

    Args:
        model: the original network; it is copied, not changed
        target_scores: {layer: (C,) scores of the target}
        evaluate: function of a network giving {attribute: {"tpr", "auc", …}}
        step: share of each layer pruned at a time
    Returns: rows {"order", "share_pruned", "attribute", "tpr", "auc"}
    """
    shares = [round(step * i, 6) for i in range(1, round(1 / step) + 1)]
    untouched = evaluate(model)
    rows = [_row(order, 0.0, name, figures) for order in ORDERS for name, figures in untouched.items()]
    total, hidden = len(ORDERS) * len(shares), None if distributed.is_main() else True
    with tqdm(total=total, desc="importance curve", unit="network", disable=hidden, leave=False) as bar:
        for order in ORDERS:
            pruned = copy.deepcopy(model)
            orders = {
                layer: channel_order(order, scores, seed + i) for i, (layer, scores) in enumerate(target_scores.items())
            }
            for share in shares:
                cut = {layer: sorted(channels[: round(share * len(channels))]) for layer, channels in orders.items()}
                zero_channels(pruned, cut, dataflow.batch_norm)
                rows += [_row(order, share, name, figures) for name, figures in evaluate(pruned).items()]
                bar.update()
    return rows


def _row(order, share, attribute, figures):
    picked = {"tpr": figures["tpr"], "auc": figures["auc"]}
    return {"order": order, "share_pruned": share, "attribute": attribute, **picked}


def curve_csv(rows):
    """The rows as CSV text with a header line; an undefined figure is empty; no name is a formula."""
    table = pd.DataFrame(rows)
    table["attribute"] = table["attribute"].str.replace(r"^(?=[='+\-@\t\r])", "'", regex=True)
    return table.to_csv(index=False, lineterminator="\n")


def read_curve(path):
    """The rows, {"order", "share_pruned", "attribute", "tpr", "auc"}, of a file that `curve_csv` made; None: undefined.

    Raises: InputError if there is no such file, or it is another's
    """
    try:
        if os.path.getsize(path) > MOST_BYTES:
            raise ValueError("too large")
        table = pd.read_csv(
            path, dtype={"order": str, "attribute": str}, keep_default_na=False, na_values={"tpr": "", "auc": ""}
        )
        table = table[COLUMNS].astype({"share_pruned": float, "tpr": float, "auc": float})
        if not len(table) or not table["order"].isin(ORDERS).all() or not table["share_pruned"].between(0, 1).all():
            raise ValueError("no rows of a curve")
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}; run step 2 with --importance_curve first") from None
    except (ValueError, LookupError) as error:  # pandas' own errors are such
        why = first_line(error)
        raise InputError(f"{path} is no importance curve ({why}): name an importance_curve.csv of step 2") from None
    table["attribute"] = table["attribute"].str.removeprefix("'")
    return table.astype(object).where(table.notna(), None).to_dict("records")
