"""A batch norm that shares its statistics is, on one process, PyTorch's own."""

import pytest
import torch
from torch import nn

from utils.training.batch_norm import SharedBatchNorm, share_batch_norms

SHAPES = {nn.BatchNorm2d: (8, 5, 4, 3), nn.BatchNorm1d: (9, 5), nn.BatchNorm3d: (3, 5, 2, 2, 2)}


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("kind", SHAPES)
def test_values_gradients_and_running_statistics_are_those_of_pytorch(kind, affine):
    generator, found = torch.Generator().manual_seed(0), []
    values, gradient = (torch.randn(SHAPES[kind], generator=generator) for _ in range(2))
    scale = torch.rand(5, generator=generator) + 0.5
    for shared in (False, True):
        norm = kind(5, affine=affine)
        if affine:
            norm.weight.data.copy_(scale)
        if shared:
            share_batch_norms(norm, torch.device("cpu"))
            assert isinstance(norm, SharedBatchNorm)
        given = (2 * values + 30).requires_grad_()  # far from 0: squares would lose digits
        output = norm(given)
        output.backward(gradient)
        found.append([output, given.grad, *norm.buffers(), *(one.grad for one in norm.parameters())])
        found[-1].append(norm.eval()(values))
    for of_pytorch, ours in zip(*found, strict=True):
        assert torch.allclose(of_pytorch.float(), ours.float(), rtol=1e-4, atol=2e-5)


def test_a_mean_without_momentum_is_that_of_all_batches():
    norms = [nn.BatchNorm1d(3, momentum=None) for _ in range(2)]
    share_batch_norms(norms[1], torch.device("cpu"))
    for seed in range(3):
        values = torch.randn(6, 3, generator=torch.Generator().manual_seed(seed))
        for norm in norms:
            norm(values)
    assert torch.allclose(norms[0].running_var, norms[1].running_var)
    assert list(norms[0].state_dict()) == list(norms[1].state_dict())


def test_one_value_of_a_channel_has_no_spread_to_train_on():
    norm = nn.BatchNorm2d(2)
    share_batch_norms(norm, torch.device("cpu"))
    with pytest.raises(ValueError, match="more than one value"):
        norm(torch.ones(1, 2, 1, 1))
