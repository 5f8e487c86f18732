import importlib.util
import json

import pytest
import torch
from conftest import run_command, stir_batch_norms

from models import build_model
from utils.common.errors import InputError
from utils.network.checkpoint import Checkpoint, save_checkpoint
from utils.report import export

ABSENT = [name for name in export.OPTIONAL if importlib.util.find_spec(name) is None]
needs_onnx = pytest.mark.skipif(bool(ABSENT), reason=f"not installed: {', '.join(ABSENT)} (requirements-export.txt)")


@pytest.fixture(scope="module")
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return stir_batch_norms(build_model("resnet18", ["Bald", "Smiling"]))


def images(count):
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def test_an_exported_program_takes_any_number_of_images_and_says_what_its_outputs_are(model, tmp_path):
    path = tmp_path / "net.pt2"
    assert export.write_exported_program(path, model, 32, {"attributes": "Bald Smiling"}) <= export.TOLERANCE
    facts = {"network.json": ""}
    program = torch.export.load(path, extra_files=facts).module()
    assert json.loads(facts["network.json"]) == {"attributes": "Bald Smiling"}
    with torch.no_grad():
        for count in (1, 7):
            assert torch.allclose(program(images(count)), model(images(count)), atol=1e-5)


@needs_onnx
@pytest.mark.parametrize("name", ["resnet18", "customresnet", "mobilenet_v3_small"])
def test_onnx_gives_the_same_logits_for_any_number_of_images(name, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    net = stir_batch_norms(build_model(name, ["Bald", "Smiling"]))
    assert export.write_onnx(tmp_path / "net.onnx", net, 32, {"attributes": "Bald Smiling"}) <= export.TOLERANCE
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    assert session.get_modelmeta().custom_metadata_map["attributes"] == "Bald Smiling"
    assert [part.name for part in session.get_inputs()] == ["images"]
    for count in (1, 7):
        (logits,) = session.run(["logits"], {"images": images(count).numpy()})
        assert torch.allclose(torch.from_numpy(logits), net(images(count)), atol=1e-4)


def test_without_the_optional_packages_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setattr(export, "OPTIONAL", ("torch", "no_such_package"))
    with pytest.raises(InputError, match="--onnx needs no_such_package, not installed here: pip install -r req"):
        export.check_installed()


def test_a_network_that_cannot_be_exported_says_so(tmp_path):
    class Branching(torch.nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(InputError, match="PyTorch can't export this network"):
        export.write_exported_program(tmp_path / "net.pt2", Branching(), 32, {})
    assert not list(tmp_path.iterdir())


def test_logits_that_moved_are_refused(model):
    with pytest.raises(InputError, match=r"differ by 1\.\de-03: nothing is written"):
        export._checked("net.onnx", model, 32, lambda batch: model(batch) + 0.001)


def test_the_script_exports_a_checkpoint_and_asks_for_a_file(model, tmp_path):
    about = {"model": "resnet18", "attributes": ("Bald", "Smiling"), "img_size": 32}
    save_checkpoint(tmp_path / "original.pth", Checkpoint(model.state_dict(), **about))
    answer = run_command("export_network", "--checkpoint", "original.pth", "--exported", "a.pt2", folder=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert "wrote a.pt2: logits within" in answer.stdout and (tmp_path / "a.pt2").is_file()
    answer = run_command("export_network", "--checkpoint", "original.pth", folder=tmp_path)
    assert answer.returncode == 2 and "pass --onnx FILE" in answer.stderr
