import pytest
import torch
from conftest import narrowed, stir_batch_norms

from models import build_model
from utils.graph.dataflow import trace_dataflow
from utils.pruning.channels import zero_channels

NETWORKS = ["resnet18", "customresnet", "resnet50", "vgg16_bn", "mobilenet_v3_small"]


@pytest.mark.parametrize("name", NETWORKS)
def test_pruned_channels_are_zero_after_relu_and_all_else_is_bit_equal(name):
    model = stir_batch_norms(narrowed(build_model(name, ["a", "b"])))
    flow = trace_dataflow(model)
    pruned = {layer: [0, 3, 5] for layer in flow.last_layers()}
    before = {key: value.clone() for key, value in model.state_dict().items()}
    zero_channels(model, pruned, flow.batch_norm)
    outputs = {}
    for layer in pruned:
        module = model.get_submodule(flow.batch_norm[layer] or layer)
        module.register_forward_hook(lambda _m, _i, out, layer=layer: outputs.__setitem__(layer, out.clone()))
    with torch.no_grad():
        model(torch.randn(2, 3, 64, 64))
    for layer, output in outputs.items():
        assert torch.equal(output[:, pruned[layer]].relu(), torch.zeros_like(output[:, pruned[layer]])), layer
        assert output[:, 1].abs().max() > 0
    edited = {
        f"{part}.{what}" for layer in pruned for part in (layer, flow.batch_norm[layer]) for what in ("weight", "bias")
    }
    for key, value in model.state_dict().items():
        if key not in edited:
            assert torch.equal(value, before[key]), key
            continue
        rows = torch.ones(len(value), dtype=torch.bool)
        rows[[0, 3, 5]] = False
        assert torch.equal(value[rows], before[key][rows]), key
        assert torch.equal(value[~rows], torch.zeros_like(value[~rows])), key


def test_pruning_nothing_changes_nothing():
    model = build_model("resnet18", ["a", "b"])
    before = model.layer4[0].conv1.weight.detach().clone()
    zero_channels(model, {"layer4.0.conv1": []}, trace_dataflow(model).batch_norm)
    assert torch.equal(model.layer4[0].conv1.weight, before)


def test_a_channel_that_does_not_exist_is_refused_before_anything_changes():
    model = build_model("resnet18", ["a", "b"])
    before = model.layer4[0].conv1.weight.detach().clone()
    with pytest.raises(IndexError, match="channels 0 to 511, asked for 512"):
        zero_channels(model, {"layer4.0.conv1": [0], "layer4.0.conv2": [512]}, trace_dataflow(model).batch_norm)
    assert torch.equal(model.layer4[0].conv1.weight, before)
