import pytest
import torch
import torch.nn.functional as F
from conftest import stir_batch_norms
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from models import build_model
from models.heads import AttributeHeads
from utils.dataflow import trace_dataflow
from utils.lean_forward import LeanConvolution, convolution_matrix, lean_network


class InPlace(nn.Module):
    """An in-place ReLU right behind a scored convolution, and one convolution called twice."""

    def __init__(self):
        super().__init__()
        self.conv, self.twice, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(True)
        self.norm, self.heads = nn.BatchNorm2d(4), AttributeHeads(4, ["a", "b"])

    def forward(self, x):
        x = self.relu(self.conv(x))
        return self.heads(self.norm(self.twice(self.twice(x))).mean((2, 3)))


class Branching(InPlace):
    """What it does depends on values, which no trace can follow."""

    def forward(self, x):
        return super().forward(x) if x.sum() > 0 else super().forward(-x)


def test_the_matrix_of_a_3x3_kernel_on_two_positions_by_hand():  # 1x2 map, padding 1: only the middle row is read
    weight = torch.arange(9.0).view(1, 1, 3, 3)
    matrix, size = convolution_matrix(weight, (1, 1), (1, 1), (1, 1), 1, 2)
    assert size == (1, 2)
    assert matrix.tolist() == [[4, 3], [5, 4]]  # an input left of an output meets tap 3, right of it tap 5


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(st.integers(1, 3), st.integers(1, 3)),
    st.integers(1, 4),
    st.integers(1, 2),
    st.integers(0, 2),
    st.integers(1, 2),
)
def test_the_matrix_equals_the_convolution(size, kernel, stride, padding, dilation):
    if min(size) + 2 * padding < dilation * (kernel - 1) + 1:
        return
    x, weight = torch.randn(2, 3, *size, dtype=torch.float64), torch.randn(4, 3, kernel, kernel, dtype=torch.float64)
    pairs = [(value, value) for value in (stride, padding, dilation)]
    matrix, out = convolution_matrix(weight, *pairs, *size)
    found = (x.permute(0, 2, 3, 1).flatten(1) @ matrix).view(2, *out, 4).permute(0, 3, 1, 2)
    assert torch.allclose(found, F.conv2d(x, weight, None, *pairs))


@pytest.mark.parametrize("affine", [True, False])
@pytest.mark.parametrize("size", [1, 2, 7])
def test_a_folded_batch_norm_changes_nothing(affine, size):
    convolution, norm = nn.Conv2d(3, 6, 3, padding=1, bias=affine), nn.BatchNorm2d(6, affine=affine)
    norm.running_mean.normal_()
    norm.running_var.uniform_(0.5, 2)
    x = torch.randn(2, 3, size, size)
    assert torch.allclose(LeanConvolution(convolution, norm)(x), norm.eval()(convolution(x)), atol=1e-5)


@pytest.mark.parametrize("name", ["resnet18", "customresnet", "vgg16_bn", "mobilenet_v3_small", "densenet121"])
def test_the_lean_network_gives_the_same_logits_and_leaves_the_network_alone(name):
    model = stir_batch_norms(build_model(name, ["a", "b"])).double()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    layers, images = list(trace_dataflow(model).last_layers()), torch.randn(2, 3, 64, 64, dtype=torch.float64)
    with torch.no_grad():
        lean, scored = lean_network(model, layers)
        assert lean is not model and list(scored) == layers
        assert torch.allclose(lean(images), model(images), rtol=1e-9)
    norms = [sum(isinstance(m, nn.BatchNorm2d) for m in net.modules()) for net in (lean, model)]
    assert norms[0] < norms[1] or norms[1] == 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


def test_a_convolution_in_two_places_and_an_in_place_relu_stay_right():
    model, images = stir_batch_norms(InPlace()), torch.randn(2, 3, 2, 2)
    lean, _ = lean_network(model, ["conv"])
    assert lean.get_submodule("twice") is model.twice
    assert torch.allclose(lean(images), model(images), atol=1e-6)


def test_a_network_that_someone_listens_to_or_that_cannot_be_traced_runs_as_it_is():
    model = InPlace().eval()
    handle = model.conv.register_forward_hook(lambda *_: None)
    assert lean_network(model, ["conv"])[0] is model
    handle.remove()
    assert lean_network(model, ["conv"])[0] is not model
    branching = Branching().eval()
    assert lean_network(branching, ["conv"])[0] is branching
