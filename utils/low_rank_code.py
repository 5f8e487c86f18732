"""A matrix coded as its difference to another one: exact to the bit, and small where that difference has a low rank.

Of W' = W + (a matrix of low rank), rounded to float32, the code of W given W' holds the factors of the difference as
whole numbers, and how many float32 steps W lies beside what W' minus their product rounds to: few. The product of whole
numbers in 64 bits is the same whatever the order of its sums, so every machine decodes to the same bits.
"""

import lzma
from dataclasses import dataclass

import numpy as np
import torch

BITS = (28, 26, 24)  # of the factors' largest number that are tried; the product of two of rank 64 fits in 64 bits
RANKS = (8, 16, 32, 64, 96)  # that are tried, where the singular values beyond are small
SMALL = 1e-4  # of the largest singular value
WORTH = 0.8  # of the plain numbers' bytes: above it a code is not worth its trouble
_FILTERS = [{"id": lzma.FILTER_LZMA2, "preset": 9, "lc": 0, "lp": 0, "pb": 0}]


@dataclass(frozen=True)
class MatrixCode:
    """What leads from W' (R, C) back to W.

    rank, exponent: the difference is left (R, rank) @ right (rank, C) * 2^exponent; factors, steps: bytes, packed
    """

    rank: int
    exponent: int
    factors: torch.Tensor
    steps: torch.Tensor

    @property
    def nbytes(self):
        """Bytes that it takes."""
        return self.factors.nbytes + self.steps.nbytes


def encode(before, after):
    """The smallest code of a matrix given another one, of those ranks and precisions that are tried.

    Args: before, after: (R, C) float32, finite
    Returns: MatrixCode, or None if plain numbers are hardly larger
    """
    difference = after.double() - before.double()
    if not torch.isfinite(difference).all():
        return None
    left, values, right = torch.linalg.svd(difference, full_matrices=False)
    roots = values.sqrt()
    left, right = left * roots, roots[:, None] * right

    def coded(rank, bits):
        return _of_rank(before, after, left[:, :rank], right[:rank], bits)

    ranks = [rank for rank in RANKS if rank < len(values) and values[rank] < SMALL * values[0]]
    if not ranks:
        return None
    best = min((coded(rank, BITS[0]) for rank in ranks), key=lambda code: code.nbytes)
    best = min([best, *(coded(best.rank, bits) for bits in BITS[1:])], key=lambda code: code.nbytes)
    return best if best.nbytes < WORTH * before.nbytes else None


def decode(code, after):
    """The matrix that was encoded: (R, C) float32. Raises: ValueError if the code does not fit `after` (R, C)."""
    rows, columns = after.shape
    try:
        whole = _unpack(code.factors, code.rank * (rows + columns))
        steps = _unpack(code.steps, rows * columns).reshape(rows, columns)
    except (lzma.LZMAError, EOFError) as error:
        raise ValueError(f"a packed matrix cannot be read ({error})") from None
    left, right = whole[: rows * code.rank].reshape(rows, -1), whole[rows * code.rank :].reshape(-1, columns)
    return _from_order(_order(_predicted(after, left, right, code.exponent)) + steps)


def _of_rank(before, after, left, right, bits):
    largest = max(left.abs().max().item(), right.abs().max().item(), np.finfo(np.float64).tiny)
    shift = bits - int(np.ceil(np.log2(largest)))
    left, right = ((factor * 2.0**shift).round().long() for factor in (left, right))
    steps = _order(before) - _order(_predicted(after, left, right, -2 * shift))
    factors = torch.cat([left.flatten(), right.flatten()])
    return MatrixCode(left.shape[1], -2 * shift, _pack(factors), _pack(steps.flatten()))


def _predicted(after, left, right, exponent):
    """(R, C) float32 nearest to `after` minus the product."""
    return (after.double() - (left @ right).double() * 2.0**exponent).float()


def _order(values):
    """int64 numbers of float32 values, in their order: neighbours differ by 1, -0.0 stands below 0.0."""
    bits = values.contiguous().view(torch.int32)
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()


def _from_order(numbers):
    bits = numbers.to(torch.int32)
    return torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).view(torch.float32)


def _pack(numbers):
    """Bytes (uint8 tensor) of int64 numbers: small ones take little. Byte by byte of all, the lowest first."""
    numbers = numbers.numpy()
    folded = ((numbers << 1) ^ (numbers >> 63)).astype("<u8")  # 0, -1, 1, -2 … as 0, 1, 2, 3 …
    planes = folded.view(np.uint8).reshape(-1, 8).T[:5]  # steps between float32 values and factors fit in five
    packed = lzma.compress(planes.tobytes(), lzma.FORMAT_RAW, filters=_FILTERS)
    return torch.from_numpy(np.frombuffer(packed, np.uint8).copy())


def _unpack(packed, count):
    """The int64 numbers (count,) tensor again. Raises: ValueError if there are more or fewer."""
    planes = lzma.decompress(packed.numpy().tobytes(), lzma.FORMAT_RAW, filters=_FILTERS)
    if len(planes) != 5 * count:
        raise ValueError("a packed matrix is of another size")
    folded = np.zeros((count, 8), np.uint8)
    folded[:, :5] = np.frombuffer(planes, np.uint8).reshape(5, count).T
    folded = folded.view("<u8")[:, 0]
    return torch.from_numpy((folded >> 1).astype(np.int64) ^ -(folded & 1).astype(np.int64))
