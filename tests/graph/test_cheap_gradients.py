import pytest
import torch
from conftest import stir_batch_norms
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import build_model
from utils.graph.cheap_gradients import cheap_gradients, gradients_of, input_gradient, portions
from utils.graph.dataflow import trace_dataflow


def by_autograd(module, x, gradient):
    x = x.clone().requires_grad_()
    return torch.autograd.grad(module(x), x, gradient)[0]


def test_a_3x3_kernel_on_a_row_of_two_by_hand():  # padding 1: only the middle row of the kernel is read
    convolution = nn.Conv2d(1, 1, 3, padding=1, bias=False)
    convolution.weight.data = torch.arange(9.0).view(1, 1, 3, 3)
    found = input_gradient(convolution, torch.tensor([[[[1.0, 10.0]]]]), (1, 2), {})
    assert found.tolist() == [[[[4 + 30, 5 + 40]]]]  # an input left of an output meets tap 3, right of it tap 5


def test_nine_products_are_enough_for_a_2x2_map():
    convolution = nn.Conv2d(3, 5, 3, padding=1).double()
    x, gradient = torch.randn(4, 3, 2, 2).double(), torch.randn(4, 5, 2, 2).double()
    kept = {}
    for _ in range(2):  # the second time with the weights kept
        found = input_gradient(convolution, gradient, (2, 2), kept)
        assert torch.allclose(found, by_autograd(convolution, x, gradient))


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 5), st.integers(1, 5)),
    st.integers(1, 4),
    st.integers(1, 3),
    st.integers(0, 2),
    st.integers(1, 2),
)
def test_the_gradient_equals_that_of_autograd(size, kernel, stride, padding, dilation):
    if min(size) + 2 * padding < dilation * (kernel - 1) + 1:
        return
    convolution = nn.Conv2d(3, 4, kernel, stride, padding, dilation).double()
    x = torch.randn(2, 3, *size, dtype=torch.float64)
    gradient = torch.randn_like(convolution(x))
    found = input_gradient(convolution, gradient, size, {})
    assert torch.allclose(found, by_autograd(convolution, x, gradient))


@pytest.mark.parametrize("affine", [True, False])
def test_a_batch_norm_goes_back_by_its_scale(affine):
    norm = nn.BatchNorm2d(6, affine=affine).eval()
    norm.running_var.uniform_(0.5, 2)
    if affine:
        norm.weight.data.uniform_(0.5, 2)
    x, gradient = torch.randn(2, 6, 3, 3), torch.randn(2, 6, 3, 3)
    expected = by_autograd(norm, x, gradient)
    with cheap_gradients(norm):
        assert torch.allclose(by_autograd(norm, x, gradient), expected, atol=1e-6)


@pytest.mark.parametrize("name", ["resnet18", "customresnet", "mobilenet_v3_small", "densenet121"])
def test_logits_are_the_same_bits_and_batched_gradients_those_of_autograd(name):
    model = stir_batch_norms(build_model(name, ["a", "b", "c"])).eval().requires_grad_(False)
    layer, kept = trace_dataflow(model).last_layers()[0], []
    images = torch.randn(2, 3, 64, 64)
    model.get_submodule(layer).register_forward_hook(lambda _m, _i, out: kept.append(out.requires_grad_()))
    logits = model(images)
    expected = [torch.autograd.grad(logits[:, k].sum(), kept[0], retain_graph=True)[0] for k in (2, 0)]
    with cheap_gradients(model):
        again = model(images)
        found = gradients_of(again, (2, 0), kept[1:])[0]
    assert torch.equal(again, logits)
    for one, other in zip(found, expected, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max()


def test_the_network_is_put_back_and_a_forward_of_ones_own_is_left_alone():
    model = build_model("resnet18", ["a"]).eval()
    own = model.layer4[0].conv1.forward
    model.layer4[0].conv1.forward = own
    with pytest.raises(RuntimeError), cheap_gradients(model):
        assert "forward" in vars(model.layer4[1].conv1)
        model(torch.randn(1, 5, 8, 8))
    changed = [name for name, module in model.named_modules() if "forward" in vars(module)]
    assert changed == ["layer4.0.conv1"] and model.layer4[0].conv1.forward is own


def test_what_the_maps_do_not_lead_to_has_no_gradient():
    x = torch.randn(2, 3, 2, 2, requires_grad=True)
    aside = torch.randn(2, 1, 2, 2, requires_grad=True)
    of_x, of_aside = gradients_of(x.mean((2, 3)), (1,), [x, aside])
    assert of_aside.shape == (1, 2, 1, 2, 2) and not of_aside.any()
    assert of_x[0, :, 1].eq(0.25).all() and not of_x[0, :, 0].any()


def test_attributes_are_cut_into_portions_that_fit(monkeypatch):
    monkeypatch.setattr("utils.graph.cheap_gradients.ROOM", 2 * 4 * 12)
    assert portions((5, 3, 1), [torch.zeros(3, 4)]) == [(5, 3), (1,)]
    assert portions((5, 3), [torch.zeros(300, 4)]) == [(5,), (3,)]


@pytest.mark.parametrize("enabled", [True, False])
def test_single_precision_is_as_good_with_onednn_as_without(enabled):
    convolution = nn.Conv2d(64, 64, 3, padding=1)
    x, gradient = torch.randn(8, 64, 2, 2), torch.randn(8, 64, 2, 2)
    expected = by_autograd(convolution.double(), x.double(), gradient.double())
    with torch.backends.mkldnn.flags(enabled=enabled):
        found = input_gradient(convolution.float(), gradient, (2, 2), {})
    assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()
