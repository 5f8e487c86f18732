"""Networks of timm: built by name with heads, never fetched; and what is said where there is no timm."""

import copy

import pytest
import torch
from torch import nn

from models import OWN_MODELS, build_for, build_model, timm_networks
from models.heads import AttributeHeads, get_heads
from utils.common.errors import InputError
from utils.erasure.sites import find_sites
from utils.graph.dataflow import trace_dataflow
from utils.network.fitting import check_size

SMALL = "timm:test_resnet"  # half a million parameters


def test_without_timm_one_line_says_how_to_install_it(monkeypatch):
    monkeypatch.setattr(timm_networks.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"--model timm:resnet26d needs the library timm: pip install timm \(one of"):
        build_model("timm:resnet26d", ["a"])


def test_a_network_of_timm_has_a_head_an_attribute_and_takes_its_state_dict():
    library = pytest.importorskip("timm")
    theirs = library.create_model("test_resnet", num_classes=2).eval()
    model = build_for(SMALL, ["a", "b"], theirs.state_dict(), "theirs.safetensors").eval()
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(images), theirs(images))
    assert get_heads(model).attributes == ("a", "b")


def test_norms_with_an_activation_are_taken_apart_and_keep_their_names():
    library = pytest.importorskip("timm")
    theirs = library.create_model("test_efficientnet", num_classes=2)
    model = copy.deepcopy(build_for("timm:test_efficientnet", ["a", "b"], theirs.state_dict(), "theirs.pth"))
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(model(images), theirs(images))  # in training: the running statistics move on
    found, expected = model.state_dict(), theirs.state_dict()
    assert found.keys() == expected.keys() and all(torch.equal(found[name], expected[name]) for name in found)
    model.load_state_dict(found)
    flow = trace_dataflow(model)
    assert not flow.barred and all(flow.batch_norm[name] for name in flow.convolutions) and len(flow.links) == 12
    assert all(site.norm for site in find_sites(model))


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("timm:resnet26e", "unknown model 'timm:resnet26e': did you mean timm:resnet26d?"),
        ("timm:hf-hub:somebody/something", "unknown model"),
        ("timm:local-dir:/tmp", "unknown model"),
        ("timm:dla46x_c", "does not end in a linear layer"),  # a convolution gives its logits
        ("timm:deit_tiny_distilled_patch16_224", "does not end in a linear layer"),  # it has two ends
    ],
)
def test_other_names_fetch_nothing_and_are_one_line(name, said):
    pytest.importorskip("timm")
    with torch.device("meta"), pytest.raises(InputError, match=said) as error:
        build_model(name, ["a"])
    assert "\n" not in str(error.value)


def test_a_small_file_makes_no_large_network_of_timm():
    pytest.importorskip("timm")
    with pytest.raises(InputError, match=r"1 numbers, timm:vit_large_patch16_224 has more than 295,301,632"):
        build_for("timm:vit_large_patch16_224", ["a"], {"w": torch.ones(1)}, "a.pth")


class HeadInTheMiddle(nn.Module):
    """What a network looks like whose last linear layer is not its end."""

    def __init__(self, heads):
        super().__init__()
        self.heads, self.end = heads, nn.Conv2d(len(heads.attributes), 1000, 1)

    def forward(self, images):
        return self.end(self.heads(images.mean((2, 3)))[:, :, None, None]).flatten(1)


def test_a_network_whose_last_linear_layer_is_not_its_end_is_refused(monkeypatch):
    monkeypatch.setitem(OWN_MODELS, "odd", lambda names: HeadInTheMiddle(AttributeHeads(3, names)))
    with pytest.raises(InputError, match=r"odd takes .*it gives \(2, 1000\) instead of \(2, 3\), an image's logit"):
        check_size("odd", ["a", "b", "c"], 32)
