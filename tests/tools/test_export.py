"""A written network gives the network's logits and says what they are; one that would not is not written."""

import importlib.util
import json

import pytest
import torch
from conftest import run_here, run_step, stir_batch_norms

from models import build_model
from tools import formats
from utils.common.errors import InputError
from utils.network.checkpoint import NORMALISATION, Checkpoint, save_checkpoint

FACTS = {"attributes": "Bald Smiling"}
ABSENT = [name for name in formats.FOR_ONNX if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (requirements-extras.txt)")


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return stir_batch_norms(build_model("resnet18", ["Bald", "Smiling"]))


def images(count):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def test_an_exported_program_takes_any_number_of_images_and_says_what_its_outputs_are(model, tmp_path):
    path = tmp_path / "bald.pt2"
    assert formats.write_network(path, model, 32, FACTS, formats.to_program) <= formats.TOLERANCE
    facts = {"network.json": ""}
    program = torch.export.load(path, extra_files=facts).module()
    assert json.loads(facts["network.json"]) == FACTS
    with torch.no_grad():
        for count in (1, 7):
            assert torch.allclose(program(images(count)), model(images(count)), atol=1e-5)


@needs_onnx
@pytest.mark.parametrize("name", ["resnet18", "customresnet", "mobilenet_v3_small"])
def test_onnx_gives_the_same_logits_for_any_number_of_images(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    network = stir_batch_norms(build_model(name, ["Bald", "Smiling"]))
    assert formats.write_network(tmp_path / "bald.onnx", network, 32, FACTS, formats.to_onnx) <= formats.TOLERANCE
    session = onnxruntime.InferenceSession(str(tmp_path / "bald.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["attributes"] == "Bald Smiling"
    assert [part.name for part in session.get_inputs()] == ["images"]
    for count in (1, 7):
        (logits,) = session.run(["logits"], {"images": images(count).numpy()})
        assert torch.allclose(torch.from_numpy(logits), network(images(count)), atol=1e-4)


def test_without_the_optional_packages_one_line_says_what_to_install(model, monkeypatch, tmp_path):
    monkeypatch.setattr(formats, "FOR_ONNX", ("torch", "no_such_package"))
    line = "--onnx needs no_such_package, not installed here: pip install -r requirements-extras.txt"
    with pytest.raises(InputError, match=line):
        formats.load_optional("--onnx", *formats.FOR_ONNX)
    with pytest.raises(InputError, match=line):
        formats.write_network(tmp_path / "bald.onnx", model, 32, FACTS, formats.to_onnx)
    assert formats.load_optional("--onnx", "json") == [json]


def test_a_network_that_cannot_be_exported_says_so(tmp_path):
    class Branching(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(InputError, match="PyTorch can't export this network"):
        formats.write_network(tmp_path / "bald.pt2", Branching(), 32, {}, formats.to_program)
    assert not list(tmp_path.iterdir())


def test_memory_that_is_used_up_is_told_as_such(model, tmp_path):
    def export(*_):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    with pytest.raises(RuntimeError, match="allocate memory"):
        formats.write_network(tmp_path / "bald.pt2", model, 32, {}, export)


@pytest.mark.parametrize(("moved", "shown"), [(0.001, r"1\.\de-03"), (float("nan"), "nan")])
def test_logits_that_moved_are_refused_and_what_stood_there_stays(model, tmp_path, moved, shown):
    def export(model, images, facts):
        return b"other", lambda batch: model(batch) + moved

    (tmp_path / "bald.pt2").write_bytes(b"before")
    with pytest.raises(InputError, match=rf"bald.pt2: the logits .* differ by {shown}: nothing is written"):
        formats.write_network(tmp_path / "bald.pt2", model, 32, {}, export)
    assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"before"]
    assert formats.compare_logits(model, model, 32, "bald.pt2") == 0


def test_a_plain_state_dict_is_exported_as_what_the_flags_say(model, tmp_path, monkeypatch, capsys):
    torch.save({"state_dict": model.state_dict()}, tmp_path / "mine.pth")
    written = []
    monkeypatch.setattr(formats, "write_network", lambda path, model, size, facts, export: written.append(facts) or 0.0)
    words = ["--checkpoint", tmp_path / "mine.pth", "--exported", tmp_path / "a.pt2"]
    run_step("tools.export", *words, "--task", "Bald", "Smiling")
    said = capsys.readouterr().out
    assert "assumed, for a plain state dict does not say: --model resnet18 --img_size 224 --mean half" in said
    assert f"images must be prepared so: RGB, 224 x 224 px, {NORMALISATION}" in said
    run_step("tools.export", *words, "--task", "Bald", "Smiling", "--mean", "imagenet", "--img_size", "32")
    said = capsys.readouterr().out
    assert "RGB, 32 x 32 px, (x / 255 - [0.485 0.456 0.406]) / [0.229 0.224 0.225]" in said
    assert "assumed, for a plain state dict does not say: --model resnet18\n" in said
    assert written[1]["heads"] == '["Bald", "Smiling"]'
    assert [(facts["img_size"], facts["kind"], facts["attributes"]) for facts in written] == [
        ("224", "plain state dict", "Bald Smiling"),
        ("32", "plain state dict", "Bald Smiling"),
    ]
    with pytest.raises(InputError, match="name them in order by --task_labels"):
        run_step("tools.export", *words)


def test_a_plain_state_dict_is_tried_at_the_size_asked_for(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "write_network", lambda *_: 0.0)
    torch.save({"w": torch.ones(1)}, tmp_path / "mine.pth")
    words = ["--checkpoint", tmp_path / "mine.pth", "--exported", tmp_path / "a.pt2", "--task", "Bald", "--img_size"]
    with pytest.raises(InputError, match="vit_b_16 takes no images of 32 px"):
        run_step("tools.export", *words, "32", "--model", "vit_b_16")


def test_a_checkpoint_may_be_exported_at_another_size_than_its_own(model, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(formats, "write_network", lambda *_: 0.0)
    save_checkpoint(tmp_path / "a.pth", Checkpoint(model.state_dict(), "resnet18", ("Bald", "Smiling"), 32))
    words = ["--checkpoint", tmp_path / "a.pth", "--exported", tmp_path / "a.pt2"]
    run_step("tools.export", *words, "--img_size", "64")
    assert "RGB, 64 x 64 px" in capsys.readouterr().out
    with pytest.raises(InputError, match="asked for is vgg16"):
        run_step("tools.export", *words, "--model", "vgg16")


def test_the_script_exports_a_checkpoint_and_asks_for_a_file(model, tmp_path):
    about = {"model": "resnet18", "attributes": ("Bald", "Smiling"), "img_size": 32}
    save_checkpoint(tmp_path / "original.pth", Checkpoint(model.state_dict(), **about))
    answer = run_here("tools.export", "--checkpoint", "original.pth", "--exported", "a.pt2", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "wrote a.pt2: logits within" in answer.stdout and (tmp_path / "a.pt2").is_file()
    assert f"images must be prepared so: RGB, 32 x 32 px, {NORMALISATION}" in answer.stdout
    answer = run_here("tools.export", "--checkpoint", "original.pth", folder=tmp_path)
    assert answer.returncode == 2 and "pass --onnx FILE" in answer.stderr
