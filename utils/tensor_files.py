"""Files of tensors: written whole, read without running anything that is in them."""

import io
import pickle

import torch

from utils import distributed
from utils.errors import InputError
from utils.files import write_atomically


def write_tensors(path, content):
    """Write a dictionary of tensors and plain values atomically, on the main process. Returns: the bytes."""
    buffer = io.BytesIO()  # written to a file by name, the name would become part of the bytes
    torch.save(content, buffer)
    if distributed.is_main():  # all processes hold the same
        write_atomically(path, buffer.getbuffer())
    return buffer.getbuffer()


def read_tensors(path, cure):
    """What torch.save wrote, tensors on the CPU.

    Raises: InputError that ends in `cure` if the file can't be read so; one of its own for a whole pickled network
    """
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror or error}") from None
    except Exception as error:  # bytes of unknown origin: the unpickler fails in many ways on them
        if isinstance(error, pickle.UnpicklingError) and "GLOBAL" in str(error):
            cure = "it may run code when it is opened; save only the weights with torch.save(model.state_dict(), FILE)"
            raise InputError(f"{path} holds more than tensors, a whole pickled network perhaps: {cure}") from None
        raise InputError(f"{path} is damaged or no PyTorch file: {cure}") from None
