"""The benchmarks of scoring run on tiny inputs and write what they say."""

import json
import statistics
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, run_step

from benchmarks import gpu_table, scoring_methods, scoring_speed
from results.make_tables import make_tables

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


def lines_of(path):
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def test_scoring_beside_the_bare_passes_gives_ratios_of_medians(tmp_path):
    out = tmp_path / "scoring_speed.jsonl"
    words = ["--attributes", 2, "--images", 4, "--img_size", 32, "--repeats", 2, "--device", "cpu", "--out", out]
    run_step("benchmarks.scoring_speed", *words)
    (line,) = lines_of(out)
    medians = {name: statistics.median(times) for name, times in line["repeat_seconds"].items()}
    assert line["median_seconds"] == medians and {"ours", "bare passes"} <= set(medians)
    assert line["times_ours"]["bare passes"] == medians["bare passes"] / medians["ours"]
    assert all(difference < 1e-4 for difference in line["largest_difference"].values())
    table = make_tables([out])["scoring_speed"]
    assert "| bare passes |" in table and f"{line['times_ours']['bare passes']:.2f}" in table


@pytest.mark.parametrize("library", ["torchcam", "grad-cam", "captum"])
def test_a_library_gives_our_weights(library):
    pytest.importorskip({"grad-cam": "pytorch_grad_cam"}.get(library, library))
    methods, _ = scoring_methods.make_methods("resnet18", 2, 3, torch.randn(2, 3, 32, 32))
    picked = {name: methods[name] for name in ("ours", library)}
    _, _, differences = scoring_speed.measure(picked, 1, 1e9, torch.device("cpu"))
    assert differences[library] < 1e-4


def test_bare_passes_leave_no_trace_on_the_network():
    methods, _ = scoring_methods.make_methods("resnet18", 2, 3, torch.randn(2, 3, 32, 32))
    model = scoring_methods.build_model("resnet18", ["a", "b"]).eval()
    scoring_methods.bare_passes(model, ["layer4.1.conv1"], torch.randn(1, 3, 32, 32), 2)
    assert not model.layer4[1].conv1._forward_hooks and model.fc.weight.requires_grad and model.fc.weight.grad is None


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a card")
def test_the_table_of_a_card_says_in_one_line_that_there_is_none():
    done = subprocess.run([sys.executable, "-m", "benchmarks.gpu_table"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1 and "no CUDA device" in done.stderr


@pytest.mark.cuda
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_scoring_on_a_card_waits_for_it_only_at_the_end():
    waits = gpu_table.count_waits(lambda: torch.ones(4, device="cuda").sum().item())
    assert waits == 1


@pytest.mark.parametrize("script", SCRIPTS)
def test_help_opens_nothing_slow(script):
    code = (
        f"import runpy, sys; sys.argv = ['{script}', '--help']\n"
        "try:\n"
        f"    runpy.run_path('{script}', run_name='__main__')\n"
        "finally:\n"
        "    print('opened', sorted({'torch', 'torchvision', 'pandas', 'matplotlib', 'sklearn'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage:") and done.stdout.endswith("opened []\n")
