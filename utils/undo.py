"""The undo file of an unlearning: the values that were changed, and of which two files it speaks.

It exists only where it is asked for. See docs/UNDO.md for what it holds and why keeping it means that nothing is gone.
"""

import hashlib
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import torch

from utils.checkpoint import Checkpoint, checkpoint_in, load_checkpoint, save_checkpoint, sha256_of
from utils.errors import InputError
from utils.low_rank_code import MatrixCode, decode, encode
from utils.tensor_files import read_tensors, write_tensors

MOST = 0.5  # share of a network's bytes from which the original itself is the better undo
TAPS = "@taps"
CURE = "write one with --undo_file FILE of step 3"


@dataclass(frozen=True)
class Undo:
    """What turns an unlearned checkpoint back into the original, bit for bit.

    rows: {tensor of the state dict: places along its first axis, (R,) int32}; values: {the same: what stood there}. A
    name that ends in "@taps" speaks of a kernel's positions instead, of which erasure edits one or all
    codes: {the same: fields of a `low_rank_code.MatrixCode`} where that is smaller than `values`, which then lacks it
    original: fields of the original checkpoint without its tensors; unlearned_sha256, original_sha256: of the two
    files; state_sha256: of the original's tensors (`digest`)
    """

    rows: dict
    values: dict
    codes: dict
    original: dict
    unlearned_sha256: str
    original_sha256: str
    state_sha256: str

    def __post_init__(self):
        if sorted(self.rows) != sorted([*self.values, *self.codes]):
            raise ValueError("rows must name the same tensors as values and codes")


def changed_rows(before, after):
    """({name: rows}, {name: values of `before` there}) of two state dicts of the same shapes, compared bit by bit.

    A tensor without axes counts as one row. -0.0 differs from 0.0 here, as it does in a file.
    """
    rows, values = {}, {}
    for name, old in before.items():
        kinds = [name, f"{name}{TAPS}"] if old.dim() == 4 else [name]
        found = {}
        for kind in kinds:
            views = [_view(state, kind) for state in (before, after)]
            changed = (_bytes_by_row(views[0]) != _bytes_by_row(views[1])).any(1).nonzero().flatten()
            found[kind] = changed, views[0].index_select(0, changed)
        kind = min(kinds, key=lambda kind: found[kind][1].nbytes)
        if len(found[kind][0]):
            rows[kind], values[kind] = found[kind][0].to(torch.int32), found[kind][1].contiguous()
    return rows, values


def coded(rows, values, after):
    """Tell the values of `changed_rows` that are smaller in code from the others.

    Args: after: the state dict that they differ from
    Returns: ({name: values}, {name: fields of a MatrixCode})
    """
    codes = {}
    for kind, places in rows.items():
        there = _view(after, kind).index_select(0, places.long())
        if there.dtype == torch.float32 and there.dim() > 1:
            code = encode(_matrix(values[kind], kind), _matrix(there, kind))
            codes |= {kind: asdict(code)} if code else {}
    return {kind: value for kind, value in values.items() if kind not in codes}, codes


def _matrix(values, kind):
    """(C_out, C_in * taps) view of values by tap, (rows, the rest) of others."""
    return values.movedim(0, 2).flatten(1) if kind.endswith(TAPS) else values.flatten(1)


def _from_matrix(matrix, kind, like):
    """What `_matrix` made of values with the shape of `like`."""
    if kind.endswith(TAPS):
        return matrix.view(*like.shape[1:], len(like)).movedim(2, 0)
    return matrix.view_as(like)


def _view(state, kind):
    """The tensor that a key of `Undo.rows` means, its places along the first axis; a view of the state."""
    name = kind.removesuffix(TAPS)
    return state[name].flatten(2).movedim(2, 0) if kind.endswith(TAPS) else _by_row(state[name])


def write_undo(path, source, original, unlearned_file):
    """Write the undo file of an unlearning.

    Args:
        source: `utils.network.Source` of the original; original: its state dict before it
        unlearned_file: the checkpoint that it wrote
    Returns: bytes of the file
    Raises: InputError if most values differ, so that the original's own file is the smaller undo
    """
    original = {name: value.detach().cpu() for name, value in original.items()}
    unlearned = load_checkpoint(unlearned_file).state_dict
    rows, values = changed_rows(original, unlearned)
    size, whole = (sum(value.nbytes for value in tensors.values()) for tensors in (values, original))
    if size > MOST * whole:
        raise _too_much(path, size, source.path)
    values, codes = coded(rows, values, unlearned)
    kept = checkpoint_in(source.path) or Checkpoint(original, source.name, source.attributes, source.img_size)
    about = {part.name: getattr(kept, part.name) for part in fields(Checkpoint) if part.name != "state_dict"}
    about["attributes"] = list(about["attributes"])
    undo = Undo(rows, values, codes, about, sha256_of(unlearned_file), source.sha256, digest(original))
    written = len(write_tensors(path, asdict(undo)))
    print(f"wrote {path} ({written:,} bytes: it holds what was unlearned; delete it to let that go)")
    return written


def read_undo(path):
    """The Undo of a file. Raises: InputError if it is absent, damaged or something else."""
    if not Path(path).is_file():
        raise InputError(f"no undo file at {path}: {CURE}")
    content = read_tensors(path, CURE)
    if not isinstance(content, dict) or set(content) != {part.name for part in fields(Undo)}:
        raise InputError(f"{path} is no undo file: {CURE}")
    try:
        return Undo(**content)
    except ValueError as error:
        raise InputError(f"{path} is damaged: {error}; {CURE}") from None


def restore_original(unlearned_file, undo_file):
    """(the original Checkpoint, its Undo) from an unlearned checkpoint and the undo file written with it.

    Raises: InputError if the two don't belong together or the result isn't the original, bit for bit
    """
    undo, found = read_undo(undo_file), sha256_of(unlearned_file)
    if found != undo.unlearned_sha256:
        sides = f"sha256 {undo.unlearned_sha256[:12]}…, but {unlearned_file} has {found[:12]}…"
        raise InputError(
            f"{undo_file} belongs to an unlearned checkpoint of {sides}: use the pair of one run of step 3"
        )
    state = load_checkpoint(unlearned_file).state_dict
    try:
        for name, rows in undo.rows.items():
            view, places = _view(state, name), rows.long()
            view.index_copy_(0, places, _value_of(undo, name, view.index_select(0, places)))
        original = Checkpoint(state, **undo.original)
    except (AttributeError, KeyError, IndexError, RuntimeError, TypeError, ValueError) as error:
        raise InputError(f"{undo_file} is damaged ({type(error).__name__}): {CURE}") from None
    if digest(state) != undo.state_sha256:
        raise InputError(f"{undo_file} is damaged: what it restores is not the original; {CURE}")
    return original, undo


def _value_of(undo, name, there):
    """What stood in a tensor's places where an unlearned network has `there`."""
    if name in undo.values:
        return undo.values[name]
    return _from_matrix(decode(MatrixCode(**undo.codes[name]), _matrix(there, name)), name, there)


def write_original(path, original, undo):
    """Write the restored checkpoint. Returns: whether the file, too, equals the original's byte for byte."""
    return save_checkpoint(path, original) == undo.original_sha256


def digest(state):
    """Hex digest over the names, types, shapes and bytes of a state dict, in its order."""
    found = hashlib.sha256()
    for name, value in state.items():
        found.update(f"{name} {value.dtype} {tuple(value.shape)}\n".encode())
        found.update(_bytes_by_row(value).numpy().tobytes())
    return found.hexdigest()


def _too_much(path, size, original):
    return InputError(
        f"--undo_file {path}: nearly every value moves, so it would hold the whole difference, {size / 1e6:.1f} MB: "
        f"the original itself, {original}, is the undo"
    )


def _by_row(tensor):
    """(R, …) view of a contiguous tensor: a number alone is one row."""
    return tensor.reshape(1) if tensor.ndim == 0 else tensor


def _bytes_by_row(tensor):
    rows = _by_row(tensor.detach().cpu()).contiguous()
    return rows.reshape(len(rows), -1).view(torch.uint8)
