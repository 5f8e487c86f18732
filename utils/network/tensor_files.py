"""Tensors and plain values in a file, as torch writes them, opened with weights_only=True; a checksum at its end.

A file is a zip archive, and the archive's comment is a checksum of all that stands before it: a file of which a bit is
wrong is not opened. Files without a comment, of others and of earlier versions, are opened as they are.
"""

import hashlib
import io
import os
import re
import warnings

import torch

from utils.common import distributed
from utils.common.errors import InputError, no_memory
from utils.common.paths import write_atomically
from utils.network import weight_files

LAST_RECORD = b"PK\5\6" + bytes(18)  # of a zip archive, as it begins and as long as it is
COMMENT = 7 + 64  # bytes of "sha256:" and the digest


def write_tensors(path, content):
    """Write a dictionary of tensors and plain values atomically, on the main process. Returns: the bytes."""
    if not distributed.is_main():  # all processes hold the same
        return b""  # nothing is serialised
    buffer = io.BytesIO()  # written to a file by name, the name would become part of the bytes
    torch.save(content, buffer)
    buffer.seek(-2, io.SEEK_END)  # the length of the comment ends the archive
    buffer.write(COMMENT.to_bytes(2, "little"))
    buffer.write(_checksum(buffer.getbuffer()))
    write_atomically(path, buffer.getbuffer())
    return buffer.getbuffer()


def read_tensors(path, cure):
    """What torch.save wrote, tensors on the CPU.

    Raises: InputError that ends in `cure` if the file can't be read so; one of its own for a whole pickled network
    """
    if not _is_whole(path):
        raise InputError(f"{path} is damaged, its checksum does not fit its content: {cure}")
    weight_files.check_container(path, cure)
    try:
        with warnings.catch_warnings(), torch.serialization.safe_globals(weight_files.HARMLESS):
            warnings.simplefilter("ignore")  # of what is strange in a file: it is opened, or refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # bytes of unknown origin: the unpickler fails in many ways on them
        asked = re.search(r"allocate (\d+) bytes", str(error))
        if no_memory(error) and not (asked and int(asked[1]) > os.path.getsize(path)):  # what the file itself asks for
            raise
        if isinstance(error, OSError):
            raise InputError(f"cannot read {path}: {error.strerror or error}") from None
        reason = weight_files.reason_blocked(path, error)
        raise InputError(reason or f"{path} is damaged or no PyTorch file: {cure}") from None


def _checksum(content):
    return b"sha256:" + hashlib.sha256(content).hexdigest().encode()


def _is_whole(path):
    """Whether a file fits the checksum at its end, or has none; what has none is not read to its end."""
    try:
        with open(path, "rb") as file:
            body = max(0, file.seek(0, os.SEEK_END) - COMMENT)
            file.seek(max(0, body - len(LAST_RECORD)))
            tail = file.read()
            if b"sha256:" not in tail and not tail.startswith(LAST_RECORD[:4]):
                return True
            comment = tail[-COMMENT:]
            file.seek(0)
            digest = hashlib.sha256()
            while body and (block := file.read(min(body, 1 << 20))):
                digest.update(block)
                body -= len(block)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    return comment == b"sha256:" + digest.hexdigest().encode()


def sha256_of(path):
    """Hex digest of a file. Raises: InputError if it can't be read."""
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"cannot read {path}: {error.strerror}") from None
    return digest.hexdigest()
