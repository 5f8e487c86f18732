"""Each step gives on a GPU what it gives on the CPU, up to rounding; without a GPU the same code compares two CPU runs.

TF32 is off, so both sides compute in float32. How far rounding carries was measured: on the CPU weights that differ by
2e-7 of themselves change the logits after an erasure by 0.003 to 0.007 on average and by 0.13 at the 99th percentile
(by 0.8 at most), and an H200 against its host's CPU by 0.003 and by 0.7 at most, where the erasure changes a kept
head's by up to 19.
"""

import ast
import copy
from pathlib import Path

import pytest
import torch
from conftest import stir_batch_norms
from plain_faces import NAMES, PlainFaces
from torch.testing import assert_close
from wide_net import WideNet, train_wide_net

from models import build_model
from utils.audit.audit import audit
from utils.erasure.erasure import ErasureSettings, erase
from utils.evaluation.predict import evaluate, predict
from utils.graph.dataflow import trace_dataflow
from utils.graph.importance import score_network
from utils.network.loading import random_network
from utils.network.modes import exact_float32
from utils.probes import setup
from utils.pruning.channels import zero_channels

needs_gpu = [pytest.mark.cuda, pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")]
on_two_devices = pytest.mark.parametrize(
    "devices", [("cpu", "cpu"), pytest.param(("cpu", "cuda"), marks=needs_gpu)], ids=" and ".join
)


DRAWS = "rand randn randint randperm rand_like randn_like randint_like bernoulli multinomial normal Generator".split()


@pytest.fixture(autouse=True)
def no_tf32():
    with exact_float32():
        yield


@pytest.fixture(scope="module")
def wide():
    """A small network that knows all three attributes of the plain faces."""
    return train_wide_net()


def residual_network():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return stir_batch_norms(build_model("resnet18", ["Bald", "Smiling"]))


def copy_to(model, device):
    return copy.deepcopy(model).to(device)


def assert_near(two_tensors):
    """Equal but for 1e-4 of the largest value."""
    first, second = two_tensors
    assert_close(first, second, rtol=1e-4, atol=1e-4 * float(first.abs().max()))


@on_two_devices
@pytest.mark.parametrize("measure", ["gradcam", "gradient_activation"])
def test_channels_and_connections_get_the_same_scores(devices, measure):
    def score(device):
        model = copy_to(residual_network(), device)
        flow = trace_dataflow(model)
        images = torch.randn(9, 3, 32, 32, generator=torch.Generator().manual_seed(0))
        scored_for = torch.arange(27).view(9, 3)[:, :2] % 3 < 2  # some images for both attributes
        scored_for[::2, 1] = False
        batches = zip(images.to(device).split(4), scored_for.split(4), strict=True)
        layers = flow.last_layers(5)
        return score_network(model, layers, flow.links_between(layers), batches, measure=measure)

    first, second = (score(device) for device in devices)
    assert torch.equal(first.counts, second.counts) and first.edges
    for kind in ("channels", "edges"):
        ours, theirs = getattr(first, kind), getattr(second, kind)
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            assert tensor.any() and theirs[key].device.type == "cpu"
            assert_near((tensor, theirs[key]))


@on_two_devices
def test_pruning_zeroes_the_same_channels_and_keeps_every_other_value(devices):
    before = residual_network()
    flow = trace_dataflow(before)
    pruned = {layer: [0, 3, 5] for layer in flow.last_layers(5)}
    expected = copy.deepcopy(before)
    with torch.no_grad():
        for name in pruned:
            norm = expected.get_submodule(flow.batch_norm[name])
            for value in (expected.get_submodule(name).weight, norm.weight, norm.bias):
                value[[0, 3, 5]] = 0
    for device in devices:
        model = copy_to(before, device)
        zero_channels(model, pruned, flow.batch_norm)
        for name, value in model.state_dict().items():
            assert value.device.type == device and torch.equal(value.cpu(), expected.state_dict()[name]), name


@on_two_devices
def test_evaluating_gives_the_same_logits_labels_and_figures(devices, wide):
    data = PlainFaces()
    rows = data.rows("test")
    (logits, labels), (other_logits, other_labels) = (
        predict(copy_to(wide, device), data, rows, 128, device) for device in devices
    )
    assert_near((logits, other_logits))
    assert torch.equal(labels, other_labels)
    figures, others = (evaluate(copy_to(wide, device), data, rows, 128, device) for device in devices)
    assert list(figures) == list(NAMES)
    for name, row in figures.items():
        assert row == pytest.approx(others[name], abs=2e-3)  # a logit right at the threshold may fall to either side


@on_two_devices
@pytest.mark.parametrize(("targets", "strength"), [(["Bald"], 1.0), (["Bald", "Young"], 0.3)])
def test_erasing_edits_the_same_sites_as_strongly_and_gives_the_same_network(devices, targets, strength, wide):
    data, settings = PlainFaces(), ErasureSettings(images=512, strength=strength, amp="off")
    used, logits = [], []
    for device in devices:
        model = copy_to(wide, device)
        used.append(erase(model, data, targets, settings, device=device, progress=False))
        assert next(model.parameters()).device.type == device
        logits.append(predict(model, data, data.rows("test"), 128, device)[0])
    assert used[0]["targets"] == used[1]["targets"] == targets and used[0]["images"] == used[1]["images"]
    assert used[0]["sites"] == used[1]["sites"]
    untouched = predict(wide, data, data.rows("test"), 128, "cpu")[0]
    kept = NAMES.index("Smiling")
    assert (logits[0] - untouched)[:, kept].abs().max() > 2
    differences = (logits[0] - logits[1]).abs()
    assert differences.mean() < 0.01 and differences.flatten().quantile(0.99) < 0.2  # twice what rounding does


@on_two_devices
def test_an_untrained_reference_is_the_same_and_leaves_the_generators_alone(devices):
    images = PlainFaces(16, 8).images.repeat(1, 1, 8, 8)
    drawn = torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ())
    first, second = (random_network("resnet18", NAMES, 0, device, images).cpu().state_dict() for device in devices)
    after = torch.get_rng_state(), *(torch.cuda.get_rng_state_all() if torch.cuda.is_available() else ())
    assert all(torch.equal(value, second[name]) for name, value in first.items())
    assert all(torch.equal(one, other) for one, other in zip(drawn, after, strict=True))


@on_two_devices
@pytest.mark.parametrize("level", ["quick", "full"])
def test_an_audit_finds_the_same_and_gives_the_same_verdict(devices, level, wide, monkeypatch):
    sizes = {"quick": (), "full": (16,)}[level]  # full: the whole network is fine-tuned, too
    monkeypatch.setitem(setup.LEVELS, level, setup.AuditLevel(level, 400, (16, 64), sizes, draws=1))
    data, unlearned = PlainFaces(1000, 400), copy.deepcopy(wide)
    with torch.no_grad():
        unlearned.heads.bias[0] = -50
    networks = {"original": wide, "unlearned": unlearned, "random": WideNet().eval()}
    options = {"level": level, "stages": ("top",), "resamples": 50, "progress": False}
    first, second = (
        audit({name: copy_to(one, device) for name, one in networks.items()}, data, "Bald", device=device, **options)
        for device in devices
    )
    assert first["verdict"]["word"] == second["verdict"]["word"] == "SILENCED"
    for name, record in first["nets"].items():
        other = second["nets"][name]
        assert record["verdict"]["word"] == other["verdict"]["word"]
        for attack, places in record["attacks"].items():
            for place, figure in places.items():
                theirs = other["attacks"][attack][place]["value"]
                assert figure["value"] == pytest.approx(theirs, abs=0.01), (name, attack, place)


@on_two_devices
def test_every_draw_is_made_on_the_cpu_and_no_generator_is_disturbed(devices, wide):
    data, settings = PlainFaces(1000, 400), ErasureSettings(images=256, strength=1.0, amp="off")
    device = devices[1]

    def states():
        cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else []
        return [torch.get_rng_state(), *cuda]

    untrained = copy_to(WideNet().eval(), device)
    before, model = states(), copy_to(wide, device)
    erase(model, data, ["Bald"], settings, device=device, progress=False)
    networks = {"original": copy_to(wide, device), "unlearned": model, "random": untrained}
    audit(networks, data, "Bald", device=device, level="quick", stages=("top",), resamples=20, progress=False)
    fresh = [random_network("customresnet", ["a", "b"], 3, one).state_dict() for one in devices]
    assert all(torch.equal(state, other) for state, other in zip(before, states(), strict=True))
    assert all(torch.equal(value.cpu(), fresh[1][name].cpu()) for name, value in fresh[0].items())


def test_no_draw_names_a_device():
    """In the code itself: a generator of a GPU would give other numbers than the CPU's."""
    root, found = Path(__file__).resolve().parents[1], []
    for path in [*(root / "utils").rglob("*.py"), *(root / "tools").glob("*.py"), *(root / "models").glob("*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            draws = isinstance(node, ast.Call) and getattr(node.func, "attr", "") in DRAWS
            if draws and any(word.arg == "device" for word in node.keywords):
                found.append(f"{path.name}:{node.lineno}")
    assert not found
