import pytest
import torch
import torchvision

from models import build_model, load_weights, model_names
from models.heads import drop_head, get_heads, head_inputs
from utils.common.errors import InputError


def count(model):
    return sum(parameter.numel() for parameter in model.parameters())


def test_customresnet_has_the_released_number_of_parameters():
    assert count(build_model("customresnet", ["a", "b"])) == 2_971_442
    assert count(build_model("customresnet", ["a", "b", "c"])) == 2_971_699


def test_resnet18_is_torchvisions_trunk_with_k_heads():
    model = build_model("resnet18", ["a", "b", "c"])
    assert count(model) == 11_689_512 - (512 * 1000 + 1000) + (512 * 3 + 3)
    assert tuple(model.fc.weight.shape) == (3, 512)
    assert model.attributes == ("a", "b", "c")


@pytest.mark.parametrize("name", ["resnet18", "customresnet", "resnet50", "vgg16_bn", "mobilenet_v3_small"])
def test_one_image_keeps_its_batch_axis(name):
    model = build_model(name, ["a", "b"]).eval()
    with torch.no_grad():
        assert model(torch.zeros(1, 3, 64, 64)).shape == (1, 2)
        assert head_inputs(model, torch.zeros(1, 3, 64, 64)).shape == (1, get_heads(model).in_features)


def test_logits_are_head_inputs_times_the_named_rows():
    model = build_model("customresnet", ["a", "b"]).eval()
    images = torch.randn(2, 3, 32, 32)
    weight, bias = get_heads(model).head("b")
    with torch.no_grad():
        by_hand = head_inputs(model, images) @ weight + bias
        assert torch.allclose(model(images)[:, 1], by_hand, atol=1e-6)


def test_dropping_a_head_leaves_the_others_bit_equal():
    model = build_model("resnet18", ["a", "b", "c"])
    before = get_heads(model).weight.detach().clone()
    drop_head(model, "b")
    assert model.attributes == ("a", "c")
    assert torch.equal(model.fc.weight, before[[0, 2]])


def test_an_unknown_head_is_named_with_those_there_are():
    with pytest.raises(KeyError, match="no head for 'z': this network has a, b"):
        get_heads(build_model("resnet18", ["a", "b"])).index("z")


def test_an_unknown_model_suggests_the_nearest():
    with pytest.raises(InputError, match="unknown model 'resnet81': did you mean resnet18"):
        build_model("resnet81", ["a"])


def test_repeated_attributes_are_refused():
    with pytest.raises(InputError, match="different names"):
        build_model("resnet18", ["a", "a"])


def test_a_plain_torchvision_state_dict_with_k_outputs_loads():
    theirs = torchvision.models.resnet18(num_classes=2)
    mine = load_weights(build_model("resnet18", ["a", "b"]), theirs.state_dict(), "theirs.pth")
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(mine.eval()(images), theirs.eval()(images))


def test_weights_that_do_not_fit_list_what_is_missing_unexpected_and_misshapen():
    weights = build_model("resnet18", ["a", "b"]).state_dict()
    weights["surplus"] = weights.pop("conv1.weight")
    model = build_model("resnet18", ["a", "b", "c"])
    before = model.fc.weight.detach().clone()
    with pytest.raises(
        InputError, match=r"w.pth.*missing: conv1.weight.*unexpected: surplus.*fc.weight \(2, 512\) instead"
    ):
        load_weights(model, weights, "w.pth")
    assert torch.equal(model.fc.weight, before)


def test_pretrained_weights_fill_all_but_the_heads():
    imagenet_like = torchvision.models.resnet18()
    model = build_model("resnet18", ["a", "b"], pretrained=imagenet_like.state_dict())
    assert torch.equal(model.conv1.weight, imagenet_like.conv1.weight)
    assert tuple(model.fc.weight.shape) == (2, 512)


def test_a_network_without_linear_end_cannot_hold_heads():
    assert "squeezenet1_0" in model_names()
    with pytest.raises(InputError, match="does not end in a linear layer"):
        build_model("squeezenet1_0", ["a"])


@pytest.mark.parametrize("kind", [torch.float16, torch.float64, torch.bfloat16])
def test_a_network_cast_as_a_whole_loads_with_its_counters_of_batches(kind):
    cast = {name: value.to(kind) for name, value in torchvision.models.resnet18(num_classes=1).state_dict().items()}
    model = load_weights(build_model("resnet18", ["a"]), cast, "cast.pth")
    assert model.bn1.num_batches_tracked.dtype == torch.int64 and model.bn1.weight.dtype == torch.float32
    cast["bn1.num_batches_tracked"] += 0.5
    with pytest.raises(InputError, match=r"bn1.num_batches_tracked \w+ instead of int64"):
        load_weights(build_model("resnet18", ["a"]), cast, "cast.pth")


def test_a_sparse_tensor_is_called_so():
    state = torchvision.models.resnet18(num_classes=1).state_dict()
    state["fc.weight"] = state["fc.weight"].to_sparse()
    with pytest.raises(InputError, match="fc.weight sparse_coo float32 instead of float32"):
        load_weights(build_model("resnet18", ["a"]), state, "sparse.pth")
