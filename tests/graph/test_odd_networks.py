"""Unusual networks: each link is true and each promise of a zero is kept, or it is refused."""

import copy

import pytest
import torch
import torch.nn.functional as F
from conftest import stir_batch_norms
from torch import nn

from models.heads import AttributeHeads
from utils.common.errors import InputError
from utils.erasure.sites import find_sites
from utils.graph.dataflow import Link, trace_dataflow
from utils.graph.importance import score_network
from utils.pruning.channels import zero_channels


class Net(nn.Module):
    """Convolutions a, b (3 to 4 channels), c and last, heads; `body` says how values travel from a and b to c."""

    def __init__(self, body, read=4, **modules):
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Conv2d(3, 4, 3, padding=1, bias=False), nn.Conv2d(3, 4, 3, padding=1)
        for name, module in modules.items():
            self.add_module(name, module)
        self.c, self.last, self.heads = nn.Conv2d(read, 4, 1), nn.Conv2d(4, 4, 1), AttributeHeads(4, ("x", "y"))
        self.attributes, self.body = self.heads.attributes, body

    def forward(self, images):
        seen = self.last(torch.relu(self.c(self.body(self, images))))
        return self.heads(seen.mean((2, 3)))


def changed_inputs(net, producer, channel, consumer):
    """Input channels of a convolution that change when one channel of another's output does."""
    images, seen = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)), []
    net = copy.deepcopy(net).eval()

    def shift(module, given, output):
        output = output.clone()
        output[:, channel] += 1
        return output

    net.get_submodule(consumer).register_forward_pre_hook(lambda module, given: seen.append(given[0].clone()))
    with torch.no_grad():
        net(images)
        net.get_submodule(producer).register_forward_hook(shift)
        net(images)
    half = len(seen) // 2  # a consumer may be called several times
    return {
        place
        for before, after in zip(seen[:half], seen[half:], strict=True)
        for place in (before != after).any(3).any(2).any(0).nonzero()[:, 0].tolist()
    }


def cat(axis, word="dim"):
    return lambda net, x: torch.cat([net.a(x), net.b(x)], **{word: axis})


def added_in_place(net, x):
    value = net.a(x)
    value.add_(net.b(x))
    return value


def through_chunks(net, x):
    first, second = net.a(x).chunk(2, 1)
    return torch.cat([second, first], 1)


def one_for_all(net, x):
    return net.a(x) * net.b(x).mean(1, keepdim=True) * net.narrow(x)


BODIES = {
    "channels": (cat(1), 8, {("a", 0), ("b", 4)}),
    "channels from behind": (cat(-3), 8, {("a", 0), ("b", 4)}),
    "channels by numpy's word": (cat(1, "axis"), 8, {("a", 0), ("b", 4)}),
    "concat": (lambda net, x: torch.concat((net.a(x), net.b(x)), 1), 8, {("a", 0), ("b", 4)}),
    "rows": (cat(2), 4, {("a", 0), ("b", 0)}),
    "columns": (cat(-1), 4, {("a", 0), ("b", 0)}),
    "images": (cat(0), 4, {("a", 0), ("b", 0)}),
    "images by default": (lambda net, x: torch.cat([net.a(x), net.b(x)]), 4, {("a", 0), ("b", 0)}),
    "with what is not known": (lambda net, x: torch.cat([net.a(x).flip(1), net.b(x)], 1), 8, set()),
    "twice": (lambda net, x: torch.cat([net.a(x)] * 2, 1), 8, {("a", 0), ("a", 4)}),
    "a list of chunks": (lambda net, x: torch.cat(net.a(x).chunk(2, 1), 1), 4, set()),
    "chunks": (through_chunks, 4, set()),
    "split": (lambda net, x: torch.cat(torch.split(net.a(x), 2, 1)[::-1], 1), 4, set()),
    "a stack": (lambda net, x: torch.stack([net.a(x), net.b(x)], 1).sum(1), 4, set()),
    "a stack, flat": (lambda net, x: torch.stack([net.a(x), net.b(x)], 2).flatten(1, 2), 8, set()),
    "a permutation": (lambda net, x: net.a(x).permute(0, 2, 1, 3), 8, set()),
    "a view": (lambda net, x: net.a(x).view(2, 2, 2, 8, 8).transpose(1, 2).reshape(2, 4, 8, 8), 4, set()),
    "a part": (lambda net, x: net.a(x)[:, 1:3], 2, set()),
    "a sum": (lambda net, x: net.a(x) + net.b(x), 4, {("a", 0), ("b", 0)}),
    "a sum in place": (added_in_place, 4, {("a", 0), ("b", 0)}),
    "a channel for all": (one_for_all, 4, {("a", 0)}),
    "only a channel for all": (lambda net, x: net.a(x).flip(1) * net.narrow(x), 4, set()),
}


@pytest.mark.parametrize("kind", BODIES)
def test_every_link_is_true(kind):
    body, read, expected = BODIES[kind]
    net = Net(body, read, narrow=nn.Conv2d(3, 1, 1))
    links = [link for link in trace_dataflow(net).links if link.consumer == "c"]
    assert {(link.producer, link.offset) for link in links} == expected
    for link in links:
        places = {other.offset for other in links if other.producer == link.producer}
        assert changed_inputs(net, link.producer, 2, "c") == {place + 2 for place in places}


def test_a_link_through_a_grouped_convolution_is_true():
    net = Net(lambda net, x: net.grouped(net.a(x)), grouped=nn.Conv2d(4, 4, 3, padding=1, groups=4))
    assert set(trace_dataflow(net).links) >= {Link("a", "grouped"), Link("grouped", "c")}


def test_what_is_read_twice_counts_twice():
    net = Net(BODIES["twice"][0], 8).eval()
    flow, batch = trace_dataflow(net), (torch.randn(2, 3, 8, 8), torch.ones(2, 2, dtype=torch.bool))
    edges = score_network(net, ["a", "c"], flow.links_between(["a", "c"]), [batch]).edges["a", "c"]
    net.c.weight.requires_grad_(True)
    for k in range(2):
        gradient = torch.autograd.grad(net(batch[0])[:, k].mean(), net.c.weight)[0]
        whole = (gradient * net.c.weight).sum((2, 3)).T  # (8, 4)
        assert torch.allclose(edges[k], whole[:4] + whole[4:], atol=1e-6)


def swish(x):
    return x * torch.sigmoid(x)


def quick_swish(x):
    return x * torch.sigmoid(1.7 * x)


def squeezed(net, x, scale=None):
    inner = torch.relu(net.fc1(x.mean((2, 3), keepdim=True)))
    return x * (scale or torch.sigmoid)(net.fc2(inner))


def expanded(net, x):
    gate = torch.sigmoid(net.fc2(swish(net.fc1(F.adaptive_avg_pool2d(x, 1)))))
    return x * gate.expand_as(x)


def in_space(net, x):
    seen = torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], 1)
    return x * torch.sigmoid(net.narrow(seen))


GATED = {
    "a swish behind a squeeze": (lambda net, x: swish(net.norm(net.b2(squeezed(net, net.a(x))))), {"fc1", "fc2"}),
    "a quick swish": (lambda net, x: quick_swish(squeezed(net, net.a(x))), {"fc1", "fc2"}),
    "a swish alone": (lambda net, x: swish(net.norm(net.a(x))), set()),
    "a swish inside": (lambda net, x: expanded(net, net.a(x)), {"fc1", "fc2"}),
    "a hard sigmoid by hand": (
        lambda net, x: squeezed(net, net.a(x), lambda y: F.relu6(y + 3) / 6),
        {"fc1", "fc2"},
    ),
    "a gate in space": (lambda net, x: in_space(net, net.a(x)), {"narrow"}),
    "a gated unit": (lambda net, x: net.a(x) * torch.sigmoid(net.b(x)), {"b"}),
}


@pytest.mark.parametrize("kind", GATED)
def test_the_convolutions_of_a_gate_are_no_layers_and_all_others_are(kind):
    body, gates = GATED[kind]
    modules = {"fc1": nn.Conv2d(4, 2, 1), "fc2": nn.Conv2d(2, 4, 1), "narrow": nn.Conv2d(2, 1, 1)}
    net = Net(body, **modules, b2=nn.Conv2d(4, 4, 1), norm=nn.BatchNorm2d(4))
    called = {"a", "c", "last"} | gates | ({"b2"} if kind == "a swish behind a squeeze" else set())
    assert set(trace_dataflow(net).convolutions) == called - gates


def test_a_convolution_behind_the_last_pooling_is_no_gate():
    net = Net(lambda net, x: swish(net.b2(net.a(x).mean((2, 3), keepdim=True))), b2=nn.Conv2d(4, 4, 1))
    assert trace_dataflow(net).convolutions == ("a", "b2", "c", "last")


def frozen(channels):
    torchvision = pytest.importorskip("torchvision")
    norm = torchvision.ops.FrozenBatchNorm2d(channels)
    norm.bias.fill_(1.0)
    norm.running_mean.fill_(0.3)
    return norm


def shifted(norm):
    """A norm that leaves something where 0 comes in."""
    for name, value in norm.named_parameters():
        with torch.no_grad():
            value.fill_(1.0 if name == "bias" else 0.7)
    if getattr(norm, "running_mean", None) is not None:
        norm.running_mean.fill_(0.3)
    return norm


class Last(nn.Module):
    """A norm over the channels, put last for it."""

    def __init__(self):
        super().__init__()
        self.norm = nn.LayerNorm(4)

    def forward(self, x):
        return self.norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


NORMS = {
    "batch norm": lambda: nn.BatchNorm2d(4),
    "without scale and shift": lambda: nn.BatchNorm2d(4, affine=False),
    "without statistics": lambda: nn.BatchNorm2d(4, track_running_stats=False),
    "without either": lambda: nn.BatchNorm2d(4, affine=False, track_running_stats=False),
    "behind an identity": lambda: nn.Sequential(nn.Identity(), nn.Dropout(), nn.BatchNorm2d(4)),
    "frozen": lambda: frozen(4),
    "groups": lambda: nn.GroupNorm(2, 4),
    "instances": lambda: nn.InstanceNorm2d(4, affine=True),
    "instances without shift": lambda: nn.InstanceNorm2d(4),
    "instances with statistics": lambda: nn.InstanceNorm2d(4, track_running_stats=True),
    "channels last": Last,
    "whole maps": lambda: nn.LayerNorm((4, 8, 8)),
    "none": nn.Identity,
}
UNCLEARED = {
    "groups without scale": lambda: nn.GroupNorm(2, 4, affine=False),
    "along rows": lambda: nn.LayerNorm(8),
    "channels last without scale": lambda: nn.Sequential(nn.LayerNorm((4, 8, 8), elementwise_affine=False)),
}


@pytest.mark.parametrize("kind", NORMS)
def test_a_pruned_channel_is_exactly_0_whatever_norm_is_behind_it(kind):
    net = Net(lambda net, x: torch.relu(net.norm(net.a(x))), norm=NORMS[kind]()).eval()
    for module in net.norm.modules():
        shifted(module)
    seen, flow = [], trace_dataflow(net)
    net.c.register_forward_pre_hook(lambda module, given: seen.append(given[0]))
    before = {name: value.clone() for name, value in net.state_dict().items()}
    zero_channels(net, {"a": [1, 3]}, flow.batch_norm)
    with torch.no_grad():
        net(torch.randn(2, 3, 8, 8))
    assert torch.equal(seen[0][:, [1, 3]], torch.zeros(2, 2, 8, 8)) and seen[0][:, [0, 2]].abs().max() > 0
    for name, value in net.state_dict().items():
        if value.dim() and len(value) == 4:
            assert torch.equal(value[[0, 2]], before[name][[0, 2]]), name
    assert flow.last_layers(2) == ("a", "c")


def shared_norm(net, x):
    return net.norm(net.a(x)) + net.norm(net.b(x))


def two_norms(net, x):
    value = net.a(x)
    return net.norm(value) + net.other(value)


def as_function(net, x):
    return F.batch_norm(net.a(x), net.norm.running_mean, net.norm.running_var, net.norm.weight, net.norm.bias)


def shifted_by_hand(net, x):
    return net.a(x) * net.norm.weight[:, None, None] + net.norm.bias.view(1, -1, 1, 1)


REFUSED = {
    "a shared norm": (shared_norm, ["a", "b"]),
    "two norms": (two_norms, ["a"]),
    "a norm called as a function": (as_function, ["a"]),
    "a convolution used twice": (lambda net, x: net.a(x) + net.a(x.flip(3)), ["a"]),
    "weights lent to another": (lambda net, x: net.a(x) + F.conv2d(x, net.a.weight, padding=1), ["a"]),
    **{kind: (lambda net, x: net.odd(net.a(x)), ["a"]) for kind in UNCLEARED},
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_set_to_0_alone_is_passed_over_and_refused_by_name(kind):
    body, layers = REFUSED[kind]
    odd = {"odd": UNCLEARED[kind]()} if kind in UNCLEARED else {}
    net = Net(body, norm=nn.BatchNorm2d(4), other=nn.BatchNorm2d(4), **odd).eval()
    flow = trace_dataflow(net)
    assert set(flow.barred) == set(layers) and "c" in flow.last_layers(1)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for layer in layers:
        with pytest.raises(InputError, match=rf"--layers: {layer} (is|has|shares) "):
            flow.choose_layers([layer])
        with pytest.raises(InputError, match=f"channels of {layer} can't be set to 0"):
            zero_channels(net, {"c": [0], layer: [0]}, flow.batch_norm)
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())


def test_weights_computed_of_others_are_refused():
    net = Net(lambda net, x: net.a(x))
    nn.utils.parametrizations.weight_norm(net.a)
    nn.utils.parametrizations.weight_norm(net.c)
    assert set(trace_dataflow(net).barred) == {"a", "c"} or trace_dataflow(net).convolutions == ("last",)


def test_a_layer_that_is_used_twice_is_not_scored():
    net = Net(lambda net, x: net.a(x) + net.a(x.flip(3))).eval()
    with pytest.raises(InputError, match="a is used several times in a pass"):
        score_network(net, ["a"], (), [(torch.randn(2, 3, 8, 8), torch.ones(2, 2, dtype=torch.bool))])
    assert not net.a._forward_hooks and net.a.weight.requires_grad


def test_erasure_leaves_alone_what_serves_in_several_places():
    twice = Net(lambda net, x: net.a(x) + net.a(x.flip(3)))
    assert [site.conv for site in find_sites(twice)] == ["c", "last"]
    shared = find_sites(Net(shared_norm, norm=nn.BatchNorm2d(4)))
    assert {site.conv: site.norm for site in shared} == {"a": None, "b": None, "c": None, "last": None}
    own = Net(lambda net, x: net.norm(net.a(x)), norm=nn.BatchNorm2d(4, track_running_stats=False))
    assert find_sites(own)[0].norm is None


def test_a_module_under_two_names_is_one_layer():
    net = Net(lambda net, x: net.norm(net.a(x)), norm=nn.BatchNorm2d(4))
    net.alias = net.a
    flow = trace_dataflow(stir_batch_norms(net))
    (name,) = set(flow.convolutions) - {"c", "last"}
    batch = (torch.randn(2, 3, 8, 8), torch.ones(2, 2, dtype=torch.bool))
    assert name in ("a", "alias") and not flow.barred
    assert score_network(net, [name], (), [batch]).channels[name].any()


@pytest.mark.parametrize("raised", [KeyboardInterrupt, torch.OutOfMemoryError])
def test_an_interrupted_pruning_leaves_the_network_as_it_was(monkeypatch, raised):
    net = Net(lambda net, x: net.norm(net.a(x)), norm=shifted(nn.BatchNorm2d(4))).to(memory_format=torch.channels_last)
    before = {name: (value.clone(), value.stride()) for name, value in net.state_dict().items()}
    plain, done = torch.Tensor.index_fill_, []

    def fail_at_the_third(tensor, *given):
        done.append(tensor)
        plain(tensor, *given)
        if len(done) == 3:
            raise raised("stopped")

    monkeypatch.setattr(torch.Tensor, "index_fill_", fail_at_the_third)
    with pytest.raises(raised):
        zero_channels(net, {"a": [0], "c": [1]}, trace_dataflow(net).batch_norm)
    assert len(done) == 3
    for name, value in net.state_dict().items():
        assert torch.equal(value, before[name][0]) and value.stride() == before[name][1], name
