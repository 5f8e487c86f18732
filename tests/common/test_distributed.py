"""Two processes on the CPU do what one does; one process alone needs none of it."""

import contextlib
import io
import json
import os
import re
import socket
import subprocess
import sys
from functools import partial
from unittest import mock

import numpy as np
import pytest
import torch
from conftest import ROOT, STEP_1, STEP_2, STEP_3, run_step, stir_batch_norms

from models.heads import AttributeHeads
from utils.attacks.registry import ATTACKS
from utils.common import arguments, distributed, processes
from utils.common.errors import InputError
from utils.datasets import cache
from utils.datasets.augmentation import Augmentation
from utils.datasets.decoding import load_resized
from utils.erasure.erasure import ErasureSettings
from utils.evaluation.predict import predict
from utils.network.checkpoint import Checkpoint, load_checkpoint, save_checkpoint
from utils.network.loading import random_network
from utils.probes.features import extract_features
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings

TASK, LIMIT = ["Bald", "Eyeglasses"], 119  # 89 training images, which two processes cannot halve
SMALL = "shufflenet_v2_x0_5"
FEW = {"images": 64, "curvature_images": 32}  # of an erasure


def test_one_process_needs_none_of_it(monkeypatch):
    set_environment(monkeypatch)
    assert distributed.start("cpu") == torch.device("cpu") and not distributed.active()
    assert (distributed.rank(), distributed.world_size(), distributed.is_main()) == (0, 1, True)
    tensor = torch.arange(3.0)
    assert distributed.reduce_sum(tensor) is tensor and distributed.gather_rows(tensor) is tensor
    assert distributed.share_out([4, 5, 6]).tolist() == [4, 5, 6]
    distributed.copy_buffers(torch.nn.BatchNorm1d(2))
    distributed.stop()


def test_torchrun_with_one_process_is_one_process(monkeypatch):
    set_environment(monkeypatch, WORLD_SIZE="1")
    assert distributed.start("cpu") == torch.device("cpu") and not distributed.active()


#: what torchrun sets for process 2 of 4
STARTED = {"WORLD_SIZE": "4", "RANK": "2", "LOCAL_RANK": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}


def set_environment(monkeypatch, **variables):
    """Set what is given and unset all else that torchrun sets."""
    for name in (*STARTED, "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("known", [{}, {"LOCAL_WORLD_SIZE": "4", "RANK": "0", "LOCAL_RANK": "0"}])
def test_more_processes_than_cards_is_the_user_s_mistake(monkeypatch, known):
    set_environment(monkeypatch, **STARTED | known)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(InputError, match="process 2 has no GPU, there are 2: start torchrun with --nproc_per_node 2"):
        distributed.start("cuda")


class Faces:
    """Eleven random images of two attributes, the same in every process."""

    attributes, img_size = ("A", "B"), 4

    def __init__(self):
        generator = torch.Generator().manual_seed(0)
        self.splits = {"train": np.arange(10)}
        self.images = torch.randn(11, 3, 4, 4, generator=generator)
        self.labels = (torch.rand(11, 2, generator=generator) < 0.5).float()

    def rows(self, split):
        return self.splits[split]

    def batches(self, rows, batch_size, device):
        for start in range(0, len(rows), batch_size):
            part = torch.as_tensor(rows[start : start + batch_size])
            yield self.images[part], self.labels[part]


def make_net(norm=False):
    """A net whose first parameter no output depends on."""
    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 6), torch.nn.ReLU())
    if norm:
        net.append(torch.nn.BatchNorm1d(6))
    net.append(AttributeHeads(6, ("A", "B")))
    net.attributes = ("A", "B")
    net[1].spare = torch.nn.Linear(2, 2)
    return net


def work(folder, celeba):
    """What each process does; it writes what it found to a file of its own."""
    assert distributed.start("cpu") == torch.device("cpu")
    rank, faces, losses = distributed.rank(), Faces(), []
    print("hello from", rank, flush=True)
    recipe = TrainingSettings(epochs=3, batch_size=6, lr=0.05, optimizer="sgd", scheduler="constant", amp="off")
    net, normed = make_net(), make_net(norm=True)
    fit(net, faces, recipe, on_epoch=lambda progress: losses.append(progress.loss))
    uneven = {"augment": Augmentation(degrees=20.0), "train_rows": np.arange(9)}  # batches of 6 and 3: parts 3 3, 2 1
    fit(normed, faces, recipe, on_epoch=lambda progress: losses.append(progress.loss), **uneven)
    logits, labels = predict(net, faces, np.arange(11), 4, "cpu")
    features = extract_features(net, faces, np.arange(3), stages=["1"], batch_size=4)  # one batch for two processes
    checkpoint = Checkpoint(net.state_dict(), "resnet18", ("A", "B"), 4)
    sha256 = save_checkpoint(folder / f"only_main_{rank}.pth", checkpoint)
    refused = None
    try:
        fit(make_net(), faces, TrainingSettings(epochs=1, batch_size=3, amp="off"))
    except InputError as error:
        refused = str(error)
    found = {
        "ranks": [rank, distributed.world_size(), distributed.is_main()],
        "sum": distributed.reduce_sum(torch.tensor([1.0 + rank, 10.0])).tolist(),
        "rows": distributed.gather_rows(torch.full((2 - rank, 2), float(rank))).tolist(),
        "no rows": distributed.gather_rows(torch.ones(2, 3) if rank else torch.zeros(0)).tolist(),
        "shares": distributed.share_out(np.arange(5)).tolist(),
        "whole batches": distributed.share_out(np.arange(11), 4).tolist(),
        "by first": distributed.by_first(lambda: [distributed.world_size(), rank])(),
        "weights": net[1].weight.tolist(),
        "normed": [value.flatten().tolist() for value in normed.state_dict().values()],
        "losses": losses,
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "features": [part.tolist() for part in (*features.stages.values(), features.logits)],
        "sha256": sha256,
        "refused": refused,
        "decoded": run_scripts(folder / "run", celeba),
    }
    (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.wait()


def run_scripts(folder, celeba):
    """Each script once, in a folder. Returns: how many images this process decoded in step 1."""
    folder.mkdir(exist_ok=True)
    decoded, before = [], os.getcwd()
    network = stir_batch_norms(random_network(SMALL, TASK, 0, "cpu"))
    checkpoint = Checkpoint(network.state_dict(), SMALL, TASK, 32, arguments={"limit": LIMIT})
    counting = mock.patch.object(cache, "load_resized", lambda *one: decoded.append(one) or load_resized(*one))
    # of the attacks that take longest the one that trains, which only the first process may do
    attacks = {name: one for name, one in ATTACKS.items() if not one.costly or name == "kept_labels"}
    fewer = mock.patch("utils.attacks.registry.ATTACKS", attacks)
    with counting, fewer, mock.patch("tools.choose_strength.ErasureSettings", partial(ErasureSettings, **FEW)):
        try:
            os.chdir(folder)
            shared = ["--task", *TASK, "--data_path", celeba, "--device", "cpu"]
            training = "--img_size 32 --epoch 2 --batch_size 30 --optimizer sgd --lr 2e-4 --amp off".split()
            run_step(STEP_1, *shared, *training, "--limit", LIMIT, "--run_name", "trained")
            count = len(decoded)
            save_checkpoint(folder / "checkpoints" / "Bald_Eyeglasses" / "original.pth", checkpoint)
            distributed.wait()
            run_step(STEP_2, *shared, "--num_images", 20, "--batch_size", 8, "--released_txt", "--show_cams", 2)
            run_step(STEP_3, *shared)
            run_step(STEP_3, *shared, "--method", "erase", "--audit", "quick")
        finally:
            os.chdir(before)
    return count


def fail_on_the_second(_):
    """A mistake that one process meets while the others wait."""
    if distributed.rank():
        raise InputError("the second process alone\nsaw this")
    distributed.wait()


def run_processes(folder, celeba, count=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    code = """
import sys, pathlib
sys.path += ["tests", "tests/common"]
import test_distributed as t
t.work(pathlib.Path(sys.argv.pop(1)), sys.argv.pop(1))
t.arguments.run_script(t.fail_on_the_second, t.arguments.Parser())
"""
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder), str(celeba)],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [process.communicate(timeout=120) for process in processes]
    found = folder / "0.json", folder / "1.json"
    assert all(file.is_file() for file in found), said[-1][1][-2000:] + said[0][1][-2000:]
    return [json.loads(file.read_text()) for file in found], said, [process.returncode for process in processes]


@pytest.fixture(scope="module")
def two(tmp_path_factory, tiny_celeba):
    folder = tmp_path_factory.mktemp("two")
    return (*run_processes(folder, tiny_celeba), folder)


@pytest.fixture(scope="module")
def one(tmp_path_factory, tiny_celeba):
    folder = tmp_path_factory.mktemp("one")
    with contextlib.redirect_stdout(io.StringIO()) as said:
        work(folder, tiny_celeba)
    return json.loads((folder / "0.json").read_text()), said.getvalue(), folder


def test_two_processes_know_each_other(two):
    found, said, _, folder = two
    assert [each["ranks"] for each in found] == [[0, 2, True], [1, 2, False]]
    assert said[0][0].startswith("hello from 0\n") and not said[1][0]  # only the first one speaks
    assert [file.name for file in folder.glob("*.pth")] == ["only_main_0.pth"]  # and writes
    assert [each["by first"] for each in found] == [[1, 0], [1, 0]]


def test_sums_and_rows_of_unequal_number_are_put_together_on_both(two):
    for each in two[0]:
        assert each["sum"] == [3.0, 20.0]
        assert each["rows"] == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
        assert each["no rows"] == [[1.0] * 3] * 2
    assert [each["shares"] for each in two[0]] == [[0, 1, 2], [3, 4]]
    assert [each["whole batches"] for each in two[0]] == [list(range(8)), [8, 9, 10]]


def test_two_processes_train_the_network_that_one_trains(two, one):
    first, second = two[0]
    assert first["weights"] == second["weights"] and first["sha256"] and second["sha256"] is None
    assert np.allclose(first["weights"], one[0]["weights"], atol=1e-6)
    assert np.allclose(first["losses"], one[0]["losses"], atol=1e-6) and first["losses"] == second["losses"]


def test_batch_norms_see_the_whole_batch_in_unequal_parts_too(two, one):
    first, second = (each["normed"] for each in two[0])
    assert first == second
    for values, of_one in zip(first, one[0]["normed"], strict=True):
        assert np.allclose(values, of_one, atol=1e-5)


def test_predictions_of_both_come_in_order_to_both(two, one):
    for each in two[0]:
        assert np.allclose(each["logits"], one[0]["logits"], atol=1e-5)
        assert each["labels"] == one[0]["labels"] == Faces().labels.tolist()
        for part, of_one in zip(each["features"], one[0]["features"], strict=True):
            assert np.shape(part)[0] == 3 and np.allclose(part, of_one, atol=1e-5)


def test_a_batch_that_cannot_be_shared_is_refused_by_all(two):
    line = "--batch_size 3 can't be shared by 2 processes: it is of all together, use a multiple of 2"
    assert [each["refused"] for each in two[0]] == [line, line]


def test_each_image_is_decoded_once(two):
    assert sorted(each["decoded"] for each in two[0]) == [LIMIT // 2, LIMIT - LIMIT // 2]


def test_the_loss_curve_is_that_of_one_process(two, one):
    curves = [re.findall(r"loss ([\d.]+)", said) for said in (one[1], two[1][0][0])]
    assert len(curves[0]) == 2 and np.allclose(*np.array(curves, float), atol=2e-4)
    weights = [
        load_checkpoint(folder / "run/checkpoints/trained/original.pth").state_dict for folder in (one[2], two[3])
    ]
    for name, value in weights[0].items():
        assert torch.allclose(value.float(), weights[1][name].float(), atol=1e-3), name


def test_graph_networks_pictures_and_audit_are_those_of_one_process(two, one):
    folders = [folder / "run" for folder in (one[2], two[3])]
    files, others = (
        sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()) for folder in folders
    )
    assert files == others
    same = [file for file in files if file.parts[0] not in ("cache", "results") and "trained" not in file.parts]
    same += [file for file in files if file.suffix == ".png"]
    assert {file.suffix for file in same} == {".json", ".graphml", ".txt", ".pth", ".png"} and len(same) > 15
    for file in same:
        assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes(), file
    audits = [file for file in files if file.match("audit_*.json")]
    assert len(audits) == 1
    for file in audits:
        alone, together = (json.loads((folder / file).read_text()) for folder in folders)
        assert {**alone, "timing": 0} == {**together, "timing": 0}


def test_each_run_leaves_one_line_of_results(two, one):
    lines = [
        [json.loads(text) for text in (folder / "run/results/results.jsonl").read_text().splitlines()]
        for folder in (one[2], two[3])
    ]
    assert len(lines[0]) == len(lines[1]) == 2
    for alone, together in zip(*lines, strict=True):
        assert alone["heads"] == together["heads"] and alone["method"] == together["method"]


def test_the_mistake_of_one_process_ends_all_and_is_said_once(two):
    assert two[2] == [1, 2]
    assert [said[1].count("error") for said in two[1]] == [0, 1]
    assert two[1][1][1].endswith("error: the second process alone saw this\n")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"WORLD_SIZE": "2"}, "WORLD_SIZE=2 in the environment, but no RANK, MASTER_ADDR and MASTER_PORT: start with"),
        ({"WORLD_SIZE": "2", "RANK": "0", "MASTER_PORT": "1"}, "but no MASTER_ADDR: start with torchrun"),
        ({**STARTED, "MASTER_PORT": ""}, "but no MASTER_PORT: start with torchrun"),
        ({"WORLD_SIZE": "0"}, "WORLD_SIZE=0 in the environment: expected a whole number of at least 1; start with"),
        ({"WORLD_SIZE": "x"}, "WORLD_SIZE=x in the environment"),
        ({"WORLD_SIZE": "-2"}, "WORLD_SIZE=-2 in the environment"),
        ({"WORLD_SIZE": "1.5"}, "WORLD_SIZE=1.5 in the environment"),
        ({**STARTED, "RANK": "4"}, "RANK=4 in the environment: expected a whole number from 0 to 3"),
        ({**STARTED, "RANK": "first"}, "RANK=first in the environment"),
        ({**STARTED, "LOCAL_RANK": "x"}, "LOCAL_RANK=x in the environment"),
        ({**STARTED, "LOCAL_WORLD_SIZE": "9"}, "LOCAL_WORLD_SIZE=9 in the environment"),
        ({**STARTED, "MASTER_PORT": "http"}, "MASTER_PORT=http in the environment"),
        ({**STARTED, "MASTER_PORT": "70000"}, "MASTER_PORT=70000 in the environment"),
        ({**STARTED, "MASTER_ADDR": "no such\x7f"}, "no such machine is known"),
    ],
)
def test_a_malformed_environment_is_named_with_its_cure(monkeypatch, given, words):
    set_environment(monkeypatch, **given)
    with pytest.raises(InputError, match="unset WORLD_SIZE to work in one process") as error:
        distributed.start("cpu")
    assert words in str(error.value)


@pytest.mark.parametrize("given", [{"WORLD_SIZE": ""}, {"RANK": "x"}, {"SLURM_NTASKS": "4", "SLURM_PROCID": "3"}])
def test_what_is_not_several_processes_is_one(monkeypatch, given):
    set_environment(monkeypatch, **given)
    assert distributed.start("cpu") == torch.device("cpu") and not distributed.active()


def test_before_they_meet_the_first_of_a_machine_speaks(monkeypatch, capsys):
    for number, said in (("0", "error: a mistake\n"), ("2", ""), ("x", "error: a mistake\n")):
        set_environment(monkeypatch, **STARTED | {"LOCAL_RANK": number})
        with pytest.raises(SystemExit, match="2"):
            arguments.Parser().error("a mistake")
        assert capsys.readouterr().err == said


def test_processes_that_do_not_meet_say_so(monkeypatch):
    def refuse(*_, **__):
        raise torch.distributed.DistNetworkError("the port is taken\nframe 1")

    set_environment(monkeypatch, **STARTED)
    monkeypatch.setattr(distributed, "rendezvous", refuse)
    with pytest.raises(InputError, match=r"MASTER_PORT=29500 \(the port is taken\): start all of them"):
        distributed.start("cpu")


def test_a_lost_connection_is_told_from_other_faults_with_its_reason(monkeypatch):
    assert distributed.is_lost(RuntimeError("[gloo/transport/tcp/pair.cc:534] Connection closed by peer [::1]:7"))
    assert distributed.is_lost(torch.distributed.DistBackendError("NCCL error"))
    assert not distributed.is_lost(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    place = "NCCL error in: /torch/csrc/a.cpp:80, invalid usage, NCCL version 2.27\nncclInvalidUsage: …\nLast error:\n"
    for text, told in (
        (
            f"{place}Duplicate GPU detected : rank 1 and rank 0 both on CUDA device 5000",
            "Duplicate GPU detected : rank",
        ),
        ("[pair.cc:534] Connection closed by peer\nframe 1", "all end ([pair.cc:534] Connection closed by peer)"),
        ("", "all end (DistBackendError)"),
    ):
        error, shown = torch.distributed.DistBackendError(text), []
        monkeypatch.setattr(processes, "last_words", lambda message, _, shown=shown: shown.append(message))
        distributed._show_error(type(error), error, None)
        assert told in shown[0] and shown[0].startswith("error: another process") and shown[0].count("\n") == 1
    assert processes.joined.count == 1
