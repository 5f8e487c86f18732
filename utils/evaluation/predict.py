"""Logits of a network on some rows of a data set, the figures of its heads, and the tables that show them."""

import torch
from tqdm import tqdm

from utils.common import distributed, run
from utils.evaluation.metrics import figures_per_head
from utils.network.modes import evaluating

MEASURES = {
    "tpr_all_positive": "TPR on all-positive",
    "accuracy": "accuracy",
    "balanced_accuracy": "balanced accuracy",
    "auc": "AUC",
}


def predict(model, data, rows, batch_size, device, bf16=False):
    """Logits and labels of some rows, in their order, in evaluation mode; the model's modes are as before afterwards.

    Args:
        model: network with attribute heads, on `device`; data: `utils.datasets.dataset.ImageDataset`
        rows: (N,) row numbers; batch_size: images a pass; bf16: compute in bfloat16, by default in float32
    Returns: logits (N, K) and labels (N, K), float32, on the CPU
    """
    device, mine = torch.device(device), distributed.share_out(rows)
    steps = -(-len(mine) // batch_size)
    nothing = torch.zeros((0, len(model.attributes)), device=device)
    logits, labels = [nothing], [nothing]
    with torch.no_grad(), evaluating(model), torch.autocast(device.type, torch.bfloat16, enabled=bf16):
        batches = data.batches(mine, batch_size, device)
        for images, batch_labels in progress_bar(batches, "evaluate", steps):
            logits.append(model(images.contiguous(memory_format=torch.channels_last)).float())
            labels.append(batch_labels)
    return tuple(distributed.gather_rows(torch.cat(parts)).cpu() for parts in (logits, labels))


def progress_bar(batches, label, steps):
    """`batches` under a progress bar that vanishes; off without a terminal, and in all but the main process."""
    return tqdm(batches, label, steps, unit="batch", disable=None if distributed.is_main() else True, leave=False)


def evaluate(model, data, rows, batch_size, device, bf16=False):
    """Figures of every head of a network on some rows of a data set.

    Args: as `predict`; the heads are those of the data's attributes, in order
    Returns: {attribute: figures of `utils.evaluation.metrics.figures_per_head`}
    """
    logits, labels = predict(model, data, rows, batch_size, device, bf16=bf16)
    return figures_per_head(logits.numpy(), labels.numpy(), data.attributes)


def shown(value):
    """A figure as text with three digits, "-" where it is None."""
    return "-" if value is None else f"{value:.3f}"


def table_of(heads):
    """Aligned text: a row a head of {attribute: figures}, as `evaluate` returns them."""
    rows = [[name, row["n"], *(shown(row[key]) for key in MEASURES)] for name, row in heads.items()]
    return run.table(rows, ["attribute", "n", *MEASURES.values()])


def before_after_table(heads, forgotten):
    """Aligned text: a row a head of {attribute: {"before": figures, "after": figures}}, those in `forgotten` marked."""
    rows = []
    for name, sides in heads.items():
        pairs = [f"{shown(sides['before'][key])} -> {shown(sides['after'][key])}" for key in MEASURES]
        rows.append([f"{name} (forgotten)" if name in forgotten else name, sides["after"]["n"], *pairs])
    return run.table(rows, ["attribute", "n", *MEASURES.values()])
