"""Logits of a network on some rows of a data set and the figures of its heads."""

import torch
from tqdm import tqdm

from utils.common import distributed
from utils.common.errors import InputError
from utils.evaluation.metrics import figures_per_head
from utils.network.modes import evaluating, exact_float32


def predict(model, data, rows, batch_size, device, bf16=False):
    """Logits and labels of some rows, in their order, in evaluation mode; the model's modes are as before afterwards.

    Args:
        model: network with attribute heads, on `device`; data: `utils.datasets.dataset.ImageDataset`
        rows: (N,) row numbers; batch_size: images a pass; bf16: compute in bfloat16, by default in float32
    Returns: logits (N, K) and labels (N, K), float32, on the CPU
    Raises: InputError if a logit is not finite
    """
    device, mine = torch.device(device), distributed.share_out(rows)
    steps = -(-len(mine) // batch_size)
    nothing = torch.zeros((0, len(model.attributes)), device=device)
    logits, labels = [nothing], [nothing]
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=bf16)
    with torch.no_grad(), evaluating(model), exact_float32(), autocast:
        batches = data.batches(mine, batch_size, device)
        for images, batch_labels in progress_bar(batches, "evaluate", steps):
            logits.append(model(images.contiguous(memory_format=torch.channels_last)).float())
            labels.append(batch_labels)
    logits, labels = (distributed.gather_rows(torch.cat(parts)).cpu() for parts in (logits, labels))
    if wrong := int((~logits.isfinite()).any(1).sum()):
        cure = "its training diverged, or the images are prepared otherwise than in training"
        raise InputError(f"the network's outputs are not finite for {wrong:,} of {len(logits):,} images: {cure}")
    return logits, labels


def progress_bar(batches, label, steps):
    """`batches` under a progress bar that vanishes; off where stderr is no terminal, and beside the main process."""
    return tqdm(batches, label, steps, unit="batch", disable=None if distributed.is_main() else True, leave=False)


def evaluate(model, data, rows, batch_size, device, bf16=False):
    """Figures of every head of a network on some rows of a data set.

    Args: as `predict`; the heads are those of the data's attributes, in order
    Returns: {attribute: figures of `utils.evaluation.metrics.figures_per_head`}
    """
    logits, labels = predict(model, data, rows, batch_size, device, bf16=bf16)
    return figures_per_head(logits.numpy(), labels.numpy(), data.attributes)
