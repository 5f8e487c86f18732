"""Blocks that put back what they found: precision of products, values of tensors."""

import pytest
import torch

from utils.network.modes import exact_float32, unchanged_on_error

FIRST, SECOND = (torch.randn(64, 64, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1))


@pytest.fixture
def product():
    """What the most exact setting gives."""
    with exact_float32():
        return FIRST @ SECOND


@pytest.mark.parametrize("precision", ["highest", "high", "medium"])
def test_float32_is_exact_inside_and_as_it_was_afterwards(precision, product):
    torch.set_float32_matmul_precision(precision)
    before = torch.backends.cudnn.allow_tf32
    try:
        with pytest.raises(KeyError), exact_float32():
            assert torch.get_float32_matmul_precision() == "highest"
            assert not torch.backends.cudnn.allow_tf32 and not torch.backends.cuda.matmul.allow_tf32
            assert torch.equal(FIRST @ SECOND, product)
            raise KeyError
        assert torch.get_float32_matmul_precision() == precision and torch.backends.cudnn.allow_tf32 == before
    finally:
        torch.set_float32_matmul_precision("highest")


@pytest.mark.skipif(not hasattr(torch.backends.cuda.matmul, "fp32_precision"), reason="a PyTorch without it")
def test_the_newer_settings_are_put_back_too(product):
    backends = torch.backends.cuda.matmul, torch.backends.cudnn.conv
    before = [backend.fp32_precision for backend in backends]
    try:
        for backend in backends:
            backend.fp32_precision = "tf32"
        with exact_float32():
            assert [backend.fp32_precision for backend in backends] == ["ieee", "ieee"]
            assert torch.equal(FIRST @ SECOND, product)
        assert [backend.fp32_precision for backend in backends] == ["tf32", "tf32"]
    finally:
        for backend, value in zip(backends, before, strict=True):
            backend.fp32_precision = value


def test_an_error_gives_tensors_their_values_back():
    values = [torch.ones(3), torch.nn.Parameter(torch.ones(2, 2))]
    with pytest.raises(KeyboardInterrupt), unchanged_on_error(values), torch.no_grad():
        for value in values:
            value.zero_()
        raise KeyboardInterrupt
    assert all(torch.equal(value, torch.ones_like(value)) for value in values)
    with unchanged_on_error(values), torch.no_grad():
        values[0].zero_()
    assert not values[0].any()
