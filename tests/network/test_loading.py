"""Networks that are loaded: what a file says wins or is contradicted in words; an untrained one sees images first."""

import pytest
import torch
import torchvision
from conftest import narrowed

from models import build_model, model_names
from utils.common.errors import InputError
from utils.common.normalisation import HALF, NAMED, Normalisation
from utils.network import loading
from utils.network.checkpoint import Checkpoint, restore, save_checkpoint
from utils.network.loading import calibrate, load_network, random_network, untrained_like
from utils.network.tensor_files import sha256_of

SMALL = "shufflenet_v2_x0_5"
HEADS = ("Bald", "Smiling")
IMAGENET = Normalisation(*NAMED["imagenet"])


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A checkpoint on ImageNet's normalisation, and its values as a plain state dict."""
    folder = tmp_path_factory.mktemp("files")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        state = build_model(SMALL, HEADS).state_dict()
    save_checkpoint(folder / "original.pth", Checkpoint(state, SMALL, HEADS, 32, str(IMAGENET)))
    torch.save(state, folder / "plain.pth")
    return folder


@pytest.mark.parametrize("flag", ["path", "weights"])
def test_a_checkpoint_says_how_its_images_are_normalised(flag, files):
    path, weights = (files / "original.pth", None) if flag == "path" else (None, files / "original.pth")
    network = load_network(path, HEADS, weights=weights)
    assert network.normalisation == IMAGENET and network.assumed == ()
    assert load_network(path, HEADS, weights=weights, normalisation=IMAGENET).normalisation == IMAGENET
    line = r"has normalisation \(x / 255 - \[0.485 .* asked for is \(x / 255 - 0.5\) / 0.5: pass --mean imagenet"
    with pytest.raises(InputError, match=line):
        load_network(path, HEADS, weights=weights, normalisation=HALF)


def test_what_a_plain_state_dict_does_not_say_is_assumed_and_named(files):
    network = load_network(None, HEADS, weights=files / "plain.pth", name=SMALL)
    assert (network.img_size, network.normalisation) == (224, HALF)
    assert network.assumed == ("--img_size 224", "--mean half")
    asked = {"img_size": 48, "normalisation": IMAGENET}
    network = load_network(None, HEADS, weights=files / "plain.pth", name=SMALL, **asked)
    assert (network.img_size, network.normalisation, network.assumed) == (48, IMAGENET, ())
    with pytest.raises(InputError, match="does not say what its heads are: name them in order by --task_labels"):
        load_network(None, weights=files / "plain.pth", name=SMALL)


@pytest.mark.parametrize("again", [False, True])
def test_a_file_that_is_replaced_while_it_is_read_is_refused(again, files, tmp_path, monkeypatch):
    path = tmp_path / "original.pth"
    path.write_bytes((files / "original.pth").read_bytes())

    def restore_late(checkpoint, *given):
        if again:
            save_checkpoint(path, checkpoint)
        return restore(checkpoint, *given)

    monkeypatch.setattr(loading, "restore", restore_late)
    if not again:
        assert load_network(path, HEADS).sha256 == sha256_of(path)
        return
    with pytest.raises(InputError, match="original.pth was replaced while it was read: run the same command again"):
        load_network(path, HEADS)


def test_an_unlearned_checkpoint_of_another_normalisation_is_refused(files, tmp_path):
    network = load_network(files / "original.pth", HEADS)
    made = {"arguments": {"unlearning": {"rule": "balance"}}, "parent_sha256": network.sha256}
    save_checkpoint(tmp_path / "pruned_Bald.pth", Checkpoint(network.model.state_dict(), SMALL, HEADS, 32, **made))
    with pytest.raises(InputError, match="pass --mean half"):
        network.load_unlearned(tmp_path / "pruned_Bald.pth")


def images(count=16):
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(1)) * 2 - 1


def spread(model):
    with torch.no_grad():
        return float(model(images()).std(0).max())


@pytest.mark.parametrize(("name", "least"), [("mobilenet_v3_small", 5e-3), ("customresnet", 0.02), ("alexnet", 0.01)])
def test_an_untrained_reference_tells_images_apart(name, least):
    assert spread(random_network(name, HEADS, 0)) < least / 5
    assert spread(random_network(name, HEADS, 0, images=images())) > least


def test_calibration_takes_the_statistics_of_the_images_and_nothing_else():
    drawn = torch.get_rng_state()
    plain, model = (random_network("resnet18", HEADS, 3, images=batch) for batch in (None, images()))
    assert torch.equal(torch.get_rng_state(), drawn) and not any(m.training for m in model.modules())
    assert all(torch.equal(a, b) for a, b in zip(plain.parameters(), model.parameters(), strict=True))
    maps = torch.nn.functional.conv2d(images(), model.conv1.weight, stride=2, padding=3)
    assert torch.allclose(model.bn1.running_mean, maps.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(model.bn1.running_var, maps.var((0, 2, 3)), rtol=1e-4)
    assert model.bn1.momentum == 0.1 and not model.bn1._forward_hooks
    again = random_network("resnet18", HEADS, 3, images=images()).state_dict()
    assert all(torch.equal(value, again[name]) for name, value in model.state_dict().items())


def test_a_network_without_norms_is_scaled_layer_by_layer():
    model = random_network("alexnet", HEADS, 0, images=images())
    convolution = torch.nn.Conv2d(3, 64, 11, 4, 2)
    convolution.load_state_dict(model.features[0].state_dict())
    assert float(convolution(images()).detach().std()) == pytest.approx(1, abs=1e-4)
    assert not any(module._forward_hooks for module in model.modules())
    layer_norms = random_network("convnext_tiny", HEADS, 0)
    before = layer_norms.features[0][0].weight.clone()
    calibrate(layer_norms, images(2))
    assert torch.equal(layer_norms.features[0][0].weight, before)  # they scale by themselves


def test_an_untrained_copy_shares_no_weights_and_the_random_numbers_go_on_as_before():
    model = build_model("resnet18", ("a", "b"))
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    fresh = untrained_like(model, seed=1)
    assert torch.equal(torch.rand(3), expected)
    assert not (fresh.conv1.weight == model.conv1.weight).any()
    assert torch.equal(untrained_like(model, seed=1).conv1.weight, fresh.conv1.weight)
    with_images = untrained_like(model, 1, images())
    assert torch.equal(with_images.conv1.weight, fresh.conv1.weight)
    maps = torch.nn.functional.conv2d(images(), fresh.conv1.weight, stride=2, padding=3)
    assert torch.allclose(with_images.bn1.running_mean, maps.mean((0, 2, 3)), atol=1e-5)


def test_parameters_that_no_layer_draws_are_drawn_anew_at_their_own_scale():
    model = torch.nn.Module()
    model.token = torch.nn.Parameter(3 + 0.1 * torch.randn(1, 1, 400))  # as a transformer's class token
    model.scale, model.one = torch.nn.Parameter(torch.full((400, 1, 1), 1e-6)), torch.nn.Parameter(torch.ones(1))
    model.attention = torch.nn.MultiheadAttention(8, 2)
    fresh = untrained_like(model, seed=1)
    assert not (fresh.token == model.token).any() and fresh.token.requires_grad
    assert fresh.token.mean().item() == pytest.approx(3, abs=0.03)
    assert fresh.token.std().item() == pytest.approx(0.1, abs=0.02)
    assert torch.allclose(fresh.scale, model.scale, atol=0) and torch.equal(fresh.one, model.one)
    assert not (fresh.attention.in_proj_weight == model.attention.in_proj_weight).any()


#: a small one of every class of torchvision's classification networks, and of the project's own
FAMILIES = (
    "alexnet convnext_tiny customresnet densenet121 efficientnet_b0 googlenet inception_v3 maxvit_t mnasnet0_5 "
    "mobilenet_v2 mobilenet_v3_small regnet_x_400mf resnet18 shufflenet_v2_x0_5 swin_t swin_v2_t vgg11_bn vit_b_32"
).split()


def shortened(model):
    """A vision transformer of two layers; others as they are."""
    if hasattr(model, "encoder"):
        model.encoder.layers = model.encoder.layers[:2]
    return model


@pytest.mark.parametrize("name", FAMILIES)
def test_a_network_of_every_family_is_saved_and_opened(name, tmp_path, monkeypatch):
    for part in ("kaiming_normal_", "normal_", "trunc_normal_", "kaiming_uniform_", "uniform_", "xavier_uniform_"):
        monkeypatch.setattr(torch.nn.init, part, lambda tensor, *_, **__: tensor)  # drawing takes most of the time
    model = shortened(narrowed(build_model(name, HEADS)))
    state = {
        key: torch.full_like(value, place % 7 / 8) for place, (key, value) in enumerate(model.state_dict().items())
    }
    monkeypatch.setattr("models.build_model", lambda *_: model)
    monkeypatch.setattr("models.LARGEST_HEADS", 10**9)  # what is left of some of them here is far smaller
    save_checkpoint(tmp_path / "original.pth", Checkpoint(state, name, HEADS, 64))
    opened = load_network(tmp_path / "original.pth", HEADS).model.state_dict()
    (tmp_path / "original.pth").unlink()
    assert opened.keys() == state.keys()
    assert all(torch.equal(opened[key], value) for key, value in state.items())


def test_a_fitting_family_is_tested_for_every_network():
    modules = {torchvision.models.get_model_builder(name).__module__ for name in FAMILIES if name != "customresnet"}
    names = [name for name in model_names() if not name.startswith("squeezenet") and name != "customresnet"]
    assert {torchvision.models.get_model_builder(name).__module__ for name in names} == modules


def test_all_architectures_restore_from_their_own_names_and_shapes(monkeypatch):
    for name in model_names():
        if name.startswith(("squeezenet", "regnet")):
            continue  # no linear end; a RegNet computes while it is built
        with torch.device("meta"):  # names and shapes only: no memory, no numbers drawn
            model = build_model(name, HEADS)
        monkeypatch.setattr("models.build_model", lambda *_, model=model: model)
        restore(Checkpoint(dict(model.state_dict()), name, HEADS, 64), "meta")
