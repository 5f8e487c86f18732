"""Zero channels of a network in place: the published pruning."""

import torch


def zero_channels(model, channels, batch_norm):
    """Make output channels of convolutions exactly 0 after their ReLU, in place; all other values stay bit-equal.

    The filter and bias of the convolution become 0, and the scale and shift of the batch norm behind it too: a zero
    filter alone would leave the constant shift - scale * mean / std.

    Args:
        channels: {convolution name: list of output channels}
        batch_norm: {convolution name: name of the batch norm behind it, or None} (`Dataflow.batch_norm`)
    Raises: IndexError if a channel does not exist; AttributeError if a layer does not
    """
    for tensor, rows in _rows_of(model, channels, batch_norm):
        with torch.no_grad():
            tensor.index_fill_(0, rows, 0)


def _rows_of(model, channels, batch_norm):
    """[(parameter, rows to clear)] over the convolutions and their batch norms."""
    found = []
    for layer, wanted in channels.items():
        convolution = model.get_submodule(layer)
        if not len(wanted):
            continue
        rows = torch.as_tensor(wanted, dtype=torch.int64)
        least, most = (int(end) for end in rows.aminmax())  # on the host still: no wait for the device
        if least < 0 or most >= convolution.out_channels:
            wrong = least if least < 0 else most
            raise IndexError(f"{layer} has channels 0 to {convolution.out_channels - 1}, asked for {wrong}")
        rows = rows.to(convolution.weight.device, non_blocking=True)
        tensors = [convolution.weight, convolution.bias]
        if batch_norm.get(layer):
            norm = model.get_submodule(batch_norm[layer])
            tensors += [norm.weight, norm.bias]
        found += [(tensor, rows) for tensor in tensors if tensor is not None]
    return found
