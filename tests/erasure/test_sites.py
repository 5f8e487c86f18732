"""Where a network is edited, and running a part of its trace."""

import pytest
import torch
from plain_faces import plain_net
from torch import nn

from models import build_model
from models.heads import AttributeHeads
from utils.common.errors import InputError
from utils.erasure.sites import Runner, find_sites


def sites_of(name):
    return find_sites(build_model(name, ("a", "b")))


def test_a_residual_net_is_edited_once_a_block_where_the_block_adds_to_the_stream():
    convs = [site.conv for site in sites_of("resnet18")]
    assert convs == [f"layer{stage}.{block}.conv2" for stage in (1, 2, 3, 4) for block in (0, 1)]
    assert [site.norm for site in sites_of("resnet18")] == [conv.replace("conv2", "bn2") for conv in convs]
    assert len(sites_of("resnet50")) == 16  # its blocks


def test_a_site_knows_the_activation_that_alone_reads_its_value():
    assert all(site.activation is not None for name in ("resnet18", "vgg11_bn") for site in sites_of(name))
    read = {site.conv: site.activation is not None for site in sites_of("mobilenet_v2")}
    # what a linear bottleneck gives is read as it is; behind the last sum each convolution is a site
    assert [conv for conv, active in read.items() if active] == ["features.17.conv.0.0", "features.18.0"]


def test_an_activation_is_computed_without_a_change_of_what_it_reads():
    model = build_model("resnet18", ("a", "b")).eval()
    site = find_sites(model)[0]
    value = torch.randn(2, 64, 4, 4)
    before = value.clone()
    assert torch.equal(Runner(model, [site]).compute_activation(site, value), before.relu())
    assert torch.equal(value, before)


class BranchNet(nn.Module):
    """A stem, and a branch that is added to it as `add` says."""

    def __init__(self, add):
        super().__init__()
        self.stem, self.branch, self.add = nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1), add
        self.heads = AttributeHeads(8, ("a", "b"))
        self.attributes = self.heads.attributes

    def forward(self, images):
        stream = torch.relu(self.stem(images))
        return self.heads(torch.relu(self.add(stream, self.branch(stream))).mean((2, 3)))


@pytest.mark.parametrize(
    ("add", "summed"),
    [
        (torch.add, True),
        (lambda x, y: torch.add(x, y, alpha=0.1), False),
        (lambda x, y: x.add(y, alpha=0.1), False),
        (lambda x, y: x + 0.1 * y, False),
    ],
)
def test_a_sum_that_scales_what_it_adds_is_no_part_of_a_value(add, summed):
    site = {site.conv: site for site in find_sites(BranchNet(add))}["branch"]
    assert (len(site.path) == 2) == summed


@pytest.mark.parametrize("norm", [nn.utils.parametrizations.weight_norm, nn.utils.parametrizations.spectral_norm])
def test_a_convolution_whose_weight_is_computed_is_left_alone(norm):
    model = BranchNet(torch.add)
    norm(model.branch)
    assert "branch" not in [site.conv for site in find_sites(model)]


@pytest.mark.parametrize("activation", [nn.PReLU, nn.Mish, nn.SELU, nn.CELU, nn.Tanh, nn.Softplus, nn.Hardtanh])
def test_sites_are_the_same_whatever_the_activation(activation):
    model = build_model("resnet18", ("a", "b"))
    for block in [model, *(module for module in model.modules() if hasattr(module, "conv2"))]:
        block.relu = activation()
    assert [site.conv for site in find_sites(model)] == [site.conv for site in sites_of("resnet18")]
    assert all(site.activation is not None for site in find_sites(model))


def last_convolution(model, block):
    convs = [name for name, module in model.get_submodule(block).named_modules() if isinstance(module, nn.Conv2d)]
    return f"{block}.{convs[-1]}"


@pytest.mark.parametrize(
    ("name", "blocks", "end"),
    [
        ("mobilenet_v3_small", [f"features.{block}" for block in range(1, 12)], "features.12.0"),
        ("efficientnet_b0", ["features.1.0", "features.2.0", "features.2.1", "features.3.0"], "features.8.0"),
    ],
)
def test_where_a_stream_begins_is_a_site_too(name, blocks, end):
    model = build_model(name, ("a", "b"))
    sites = find_sites(model)
    convs = [site.conv for site in sites]
    assert convs[: len(blocks)] == [last_convolution(model, block) for block in blocks] and convs[-1] == end
    assert len(set(convs)) == len(convs) < 20


def test_what_comes_after_the_last_sum_is_edited_too():
    assert sites_of("mobilenet_v3_small")[-1].conv == "features.12.0"


def test_a_net_without_sums_is_edited_at_every_convolution():
    assert [site.conv for site in find_sites(plain_net())] == ["stem", "top"]
    assert len(sites_of("vgg11_bn")) == 8


def test_grouped_convolutions_are_no_sites():
    model = build_model("mobilenet_v3_small", ("a", "b"))
    groups = {name: module.groups for name, module in model.named_modules() if isinstance(module, nn.Conv2d)}
    assert max(groups.values()) > 1 and all(groups[site.conv] == 1 for site in find_sites(model))


def test_a_net_without_convolutions_is_refused():
    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.heads = AttributeHeads(3, ("a", "b"))

        def forward(self, images):
            return self.heads(images.mean((2, 3)))

    with pytest.raises(InputError, match="no convolution that can be edited .of none.: step 1 and tools.audit"):
        find_sites(Flat())


@pytest.mark.parametrize("name", ["resnet18", "customresnet", "mobilenet_v3_small"])
def test_running_a_graph_in_two_parts_gives_the_networks_logits(name):
    torch.manual_seed(0)
    model, images = build_model(name, ("a", "b")).eval(), torch.randn(2, 3, 64, 64)
    runner, seen = Runner(model, find_sites(model)), []

    def visit(node, output, values):
        seen.append(node)
        return output

    with torch.no_grad():
        logits = runner.run_rest(runner.run_start(images), visit)
        assert torch.allclose(logits, model(images), atol=1e-5)
    assert seen[0] is runner.sites[0].path[0] and all(site.value in seen for site in runner.sites)
