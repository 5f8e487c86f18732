"""Small data sets and networks that several test files share."""

import contextlib
import ctypes
import functools
import gc
import importlib
import io
import os
import runpy
import subprocess
import sys
from pathlib import Path

import pytest
import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
from models.heads import find_heads  # noqa: E402 (the path above comes first)
from utils.erasure.erasure import ErasureSettings  # noqa: E402

SHARED = ROOT.parent / "shared"
STEP_1, STEP_2, STEP_3 = (
    f"unlearning_multi_celeba_resnet18_{step}" for step in ("original", "generate_graph", "unlearning")
)
torch.set_num_threads(1)
os.environ["OMP_NUM_THREADS"] = "1"  # for the processes that tests start
TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None)  # the GNU C library's
FROZEN = {"modules": 0}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol():
    """After each test networks in cycles go, as in the traceback of an expected error, and free memory is given back.

    What tests have imported stays: once it is there, a later collection need not look at it again.
    """
    if len(sys.modules) > FROZEN["modules"]:
        gc.collect()
        gc.freeze()
        FROZEN["modules"] = len(sys.modules)
    done = yield
    gc.collect()
    if TRIM:
        TRIM(0)
    return done


@pytest.fixture(autouse=True, scope="module")
def short_mlp(request):
    """The attack that takes most of an audit's time trains for few epochs, but in tests of what attacks find."""
    if {"probes", "attacks"} & set(request.path.parts):
        yield
        return
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("utils.probes.mlp.EPOCHS", 4)
        yield


@pytest.fixture(scope="session")
def tiny_celeba(tmp_path_factory):
    """A generated data set of 120 faces in CelebA's layout, Bald and Eyeglasses frequent."""
    from data.make_synthetic_celeba import make_dataset

    folder = tmp_path_factory.mktemp("data") / "tiny_celeba"
    return make_dataset(folder, 120, seed=0, rates={"Bald": 0.3, "Eyeglasses": 0.3}, workers=1, progress=False)


@pytest.fixture(scope="session")
def golden():
    """Folder of the golden vectors; the test is skipped where it is absent."""
    folder = SHARED / "golden" / "two_attributes"
    if not folder.is_dir():
        pytest.skip("the golden vectors are not beside this checkout")
    return folder


def stir_batch_norms(model, seed=0):
    """Give every batch norm its own statistics and scale, so that it is no identity."""
    generator = torch.Generator().manual_seed(seed)
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.1, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
            with torch.no_grad():
                module.weight.uniform_(0.5, 1.5, generator=generator)
                module.bias.normal_(0, 0.1, generator=generator)
    return model.eval()


def narrowed(model):
    """A VGG with few units behind its convolutions, which else take half a gigabyte; others as they are."""
    shapes = {name: tuple(value.shape) for name, value in model.named_parameters()}
    if shapes.get("classifier.0.weight") == (4096, 25088):
        model.classifier[0], model.classifier[3] = torch.nn.Linear(25088, 32), torch.nn.Linear(32, 4096)
    return model


def erase_with_few_images(patch):
    """Let step 3 and tools.choose_strength erase with fewer images than they do by default."""
    fewer = functools.partial(ErasureSettings, images=256, passes=128)
    patch.setattr("tools.choose_strength.ErasureSettings", fewer)


def audit_without_costly_attacks(patch, but=()):
    """Let audits do without the attacks that take most of their time, but some, where attacks are not tested."""
    from utils.attacks import registry

    cheap = {name: attack for name, attack in registry.ATTACKS.items() if not attack.costly or name in but}
    patch.setattr(registry, "ATTACKS", cheap)


def run_step(script, *words):
    """Run a step in this process, as its command line would."""
    step = importlib.import_module(script)
    step.main(step.get_args_parser().parse_args([str(word) for word in words]))


def run_here(script, *words, folder, root=ROOT):
    """Run a step, or a tool by its module's name, as a person does in `folder`, but in this process.

    Returns what `run_command` does, without the seconds that a start takes.
    """
    path = root / f"{script.replace('.', '/')}.py"
    words, out, err, code = [str(word) for word in words], io.StringIO(), io.StringIO(), 0
    with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        patch.chdir(folder)
        patch.setattr(sys, "argv", [str(path), *words])
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as ended:
            code = ended.code or 0
    return subprocess.CompletedProcess([script, *words], code, out.getvalue(), err.getvalue())


def run_command(script, *words, folder):
    """Run a step as a person does, in `folder`; returns the finished process."""
    command = [sys.executable, str(ROOT / f"{script}.py"), *(str(word) for word in words)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def same_values_share(model_a, model_b):
    """Largest share, over weights with more than one axis, of elements that are equal in both networks.

    Batch norms are left out: fresh ones are all alike. Heads are compared attribute by attribute.
    """
    shares = [0.0]
    (name_a, heads_a), (_, heads_b) = find_heads(model_a), find_heads(model_b)
    for name in set(heads_a.attributes) & set(heads_b.attributes):
        shares.append((heads_a.head(name)[0] == heads_b.head(name)[0]).float().mean().item())
    others = dict(model_b.named_parameters())
    for name, weight in model_a.named_parameters():
        comparable = name in others and others[name].shape == weight.shape and weight.dim() > 1
        if comparable and name != f"{name_a}.weight":
            shares.append((weight == others[name]).float().mean().item())
    return max(shares)
