"""A matrix coded by its difference to another one: exact, and small where the difference has a low rank."""

import pytest
import torch

from utils.low_rank_code import MatrixCode, _from_order, _order, _pack, _unpack, decode, encode


def same_bits(one, other):
    return one.contiguous().numpy().tobytes() == other.contiguous().numpy().tobytes()


def edited(rows=96, columns=80, rank=8, size=0.02, seed=0):
    """(a matrix, the same plus a matrix of low rank)."""
    generator = torch.Generator().manual_seed(seed)
    before = 0.05 * torch.randn(rows, columns, generator=generator)
    change = torch.randn(rows, rank, generator=generator) @ torch.randn(rank, columns, generator=generator)
    before[3, 4], before[5, 6], before[7, 8] = 0.0, -0.0, 1e-42  # the last one below the normal numbers
    return before, before + size * change / rank**0.5


def test_the_matrix_comes_back_bit_by_bit_from_a_fraction_of_its_bytes():
    before, after = edited()
    code = encode(before, after)
    assert same_bits(decode(code, after), before)
    assert code.rank == 8 and code.nbytes < 0.5 * before.nbytes


def test_a_difference_of_full_rank_or_without_end_is_left_to_plain_numbers():
    before, after = edited(rank=80)
    assert encode(before, after) is None
    after[0, 0] = torch.inf
    assert encode(before, after) is None
    assert encode(before[:2], before[:2] + 1) is None


def test_a_code_for_another_matrix_is_refused_or_gives_other_numbers():
    before, after = edited()
    code = encode(before, after)
    with pytest.raises(ValueError, match="another size"):
        decode(code, after[:, :-1])
    with pytest.raises(ValueError, match="cannot be read"):
        decode(MatrixCode(code.rank, code.exponent, code.factors[1:], code.steps), after)
    assert not same_bits(decode(code, after + 1), before)


def test_whole_numbers_of_any_sign_are_packed_and_small_ones_take_little():
    numbers = torch.tensor([0, -1, 1, 127, -128, 2**31, -(2**32)])
    assert torch.equal(_unpack(_pack(numbers), len(numbers)), numbers)
    small = torch.randint(-1, 2, (8000,), generator=torch.Generator().manual_seed(0))
    assert _pack(small).nbytes < 2200


def test_neighbours_among_float32_numbers_differ_by_one():
    values = torch.tensor([-1.0, -1e-45, -0.0, 0.0, 1e-45, 1.0])
    numbers = _order(values)
    assert (numbers.diff() > 0).all() and numbers[1:5].diff().tolist() == [1, 1, 1]
    assert same_bits(_from_order(numbers), values)
    up = torch.nextafter(values[5], torch.tensor(2.0))
    assert _order(up[None])[0] - numbers[5] == 1
