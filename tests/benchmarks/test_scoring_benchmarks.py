"""The benchmark of scoring runs on tiny inputs and writes what it measured; the table of a GPU needs one."""

import json
import statistics
import subprocess
import sys

import pytest
import torch
from conftest import ROOT, run_here, run_step

from benchmarks import gpu_table, scoring, scoring_methods
from utils.datasets.dataset import open_dataset

SCRIPTS = sorted(path.name for path in ROOT.glob("*.py"))


def lines_of(path):
    return [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]


def test_scoring_as_step_2_does_it_gives_ratios_of_medians(tiny_celeba, tmp_path):
    out = tmp_path / "scoring.jsonl"
    words = ["--attributes", 2, "--num_images", 4, "--batch_size", 3, "--img_size", 32, "--repeats", 2]
    words += ["--data_path", tiny_celeba, "--cache_path", tmp_path, "--device", "cpu"]
    run_step("benchmarks.scoring", *words, "--out", out)
    (line,) = lines_of(out)
    medians = {name: statistics.median(times[1:]) for name, times in line["turn_seconds"].items()}
    assert line["median_seconds"] == medians and {"ours", "ours, with edges"} <= set(medians)
    for base, ratios in (("ours", line["times_ours"]), ("ours, with edges", line["times_ours_with_edges"])):
        assert ratios == {name: median / medians[base] for name, median in medians.items()}
    assert line["images_and_attributes"] == 8 and 4 <= line["images"] <= 8
    assert line["forward_passes"] == -(-line["images"] // 3) <= line["backward_passes"]
    assert all(difference < 1e-5 for difference in line["largest_difference"].values())


@pytest.fixture(scope="module")
def work(tiny_celeba, tmp_path_factory):
    cache = tmp_path_factory.mktemp("cache")
    data = open_dataset(tiny_celeba, ["Bald", "Eyeglasses"], img_size=32, cache_path=cache)
    return scoring_methods.prepare_work(data, "resnet18", 3, 5, 4, 0, torch.device("cpu"))


@pytest.mark.parametrize("library", ["torchcam", "grad-cam", "captum"])
def test_a_library_gives_our_scores_and_leaves_no_gradient(work, library):
    pytest.importorskip({"grad-cam": "pytorch_grad_cam"}.get(library, library))
    methods, _ = scoring_methods.make_methods(work)
    turns, differences = scoring.measure({name: methods[name] for name in ("ours", library)}, 1, 1e9, work.device)
    assert differences[library] < 1e-5 and len(turns[library]) == 2
    assert all(parameter.grad is None for parameter in work.model.parameters())
    assert not any(module._forward_hooks for module in work.model.modules())


def test_a_slow_method_takes_no_turn_after_its_warm_up():
    scores = {"layer": torch.ones(2, 3)}
    turns, _ = scoring.measure({"ours": lambda: scores}, 3, 0.0, torch.device("cpu"))
    assert len(turns["ours"]) == 1
    assert scoring.summary(turns | {"ours, with edges": [(2.0, 1.0), (3.0, 2.0)]})["median_seconds"] == {
        "ours": turns["ours"][0][0],
        "ours, with edges": 3.0,
    }


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_the_table_of_a_card_says_in_one_line_that_there_is_none():
    done = run_here("benchmarks.gpu_table", folder=ROOT)
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
