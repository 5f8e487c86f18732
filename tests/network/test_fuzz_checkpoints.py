"""Checkpoints with flipped, lost or added bytes, with their checksum and without: opened, or refused in one line."""

import io

import pytest
import torch
from fuzz_rules import ends_in_one_line, fuzz
from hypothesis import given
from hypothesis import strategies as st

from utils.common.errors import InputError
from utils.network.checkpoint import Checkpoint, load_checkpoint, read_state_dict, save_checkpoint
from utils.training.resume import load_training_state

WEIGHTS = {"layer.weight": torch.arange(6.0).reshape(2, 3), "layer.bias": torch.zeros(2)}
READERS = (load_checkpoint, read_state_dict, load_training_state)
PLACES = st.floats(0, 1, exclude_max=True)  # shares of the file, so that shrinking and other sizes keep their meaning


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("fuzz")


@pytest.fixture(scope="module")
def files(folder):
    """Bytes of a checkpoint with its checksum, of the same without, of a plain state dict, of the older format."""
    checkpoint = Checkpoint(WEIGHTS, "resnet18", ("Bald", "Young"), 32)
    save_checkpoint(folder / "whole.pth", checkpoint)
    whole = (folder / "whole.pth").read_bytes()
    content = {name: getattr(load_checkpoint(folder / "whole.pth"), name) for name in checkpoint.__dataclass_fields__}
    found = [whole]
    for value, zipped in ((content, True), (WEIGHTS, True), (WEIGHTS, False)):
        buffer = io.BytesIO()
        torch.save(value, buffer, _use_new_zipfile_serialization=zipped)
        found.append(buffer.getvalue())
    return found


def damaged(content, cuts):
    content = bytearray(content)
    for share, kind, value in cuts:
        place = int(share * len(content)) if content else 0
        if kind == "flip" and content:
            content[place] ^= value or 1
        elif kind == "lose":
            del content[place : place + value]
        elif kind == "add":
            content[place:place] = bytes([value]) * 3
        else:
            del content[place:]
    return bytes(content)


CUTS = st.lists(
    st.tuples(PLACES, st.sampled_from(["flip", "flip", "flip", "lose", "add", "end"]), st.integers(0, 255)),
    min_size=1,
    max_size=4,
)


@fuzz(0.2)
@given(number=st.integers(0, 3), cuts=CUTS, reader=st.sampled_from(READERS))
def test_a_damaged_file_of_tensors_is_opened_or_refused(number, cuts, reader, files, folder):
    path = folder / "damaged.pth"
    path.write_bytes(damaged(files[number], cuts))
    ends_in_one_line(lambda: reader(path), folder)


@fuzz(0.05)
@given(content=st.binary(max_size=300), reader=st.sampled_from(READERS))
def test_any_bytes_are_refused(content, reader, folder):
    path = folder / "any.pth"
    path.write_bytes(content)
    assert isinstance(ends_in_one_line(lambda: reader(path), folder), InputError)


@fuzz(0.1)
@given(place=PLACES, bit=st.integers(0, 7))
def test_a_single_flipped_bit_is_noticed(place, bit, files, folder):
    path = folder / "flipped.pth"
    path.write_bytes(damaged(files[0], [(place, "flip", 1 << bit)]))
    assert isinstance(ends_in_one_line(lambda: load_checkpoint(path), folder), InputError)
