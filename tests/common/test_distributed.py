"""Two processes on the CPU do what one does; one process alone needs none of it."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.common import distributed
from utils.common.errors import InputError

ROOT = Path(__file__).resolve().parents[2]


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
    from models.heads import AttributeHeads

    torch.manual_seed(3)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(48, 6), torch.nn.ReLU())
    if norm:
        net.append(torch.nn.BatchNorm1d(6))
    net.append(AttributeHeads(6, ("A", "B")))
    net.attributes = ("A", "B")
    net[1].spare = torch.nn.Linear(2, 2)
    return net


def work(folder):
    """What each process does; it writes what it found to a file of its own."""
    from utils.evaluation.predict import predict
    from utils.network.checkpoint import Checkpoint, save_checkpoint
    from utils.training.loop import fit
    from utils.training.recipe import TrainingSettings

    assert distributed.start("cpu") == torch.device("cpu")
    rank, faces, losses = distributed.rank(), Faces(), []
    print("hello from", rank, flush=True)
    recipe = TrainingSettings(epochs=3, batch_size=6, lr=0.05, optimizer="sgd", scheduler="constant", amp="off")
    net, normed = make_net(), make_net(norm=True)
    fit(net, faces, recipe, on_epoch=lambda progress: losses.append(progress.loss))
    fit(normed, faces, recipe)
    logits, labels = predict(net, faces, np.arange(11), 4, "cpu")
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
        "shares": distributed.share_out(np.arange(5)).tolist(),
        "weights": net[1].weight.tolist(),
        "running_mean": normed[3].running_mean.tolist(),
        "losses": losses,
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "sha256": sha256,
        "refused": refused,
    }
    (folder / f"{rank}.json").write_text(json.dumps(found))
    distributed.stop()


def run_processes(folder, count=2):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    shared = {"WORLD_SIZE": str(count), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "OMP_NUM_THREADS": "1"}
    code = "import sys, pathlib; from tests.common.test_distributed import work; work(pathlib.Path(sys.argv[1]))"
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", code, str(folder)],
            cwd=ROOT,
            env={**os.environ, **shared, "RANK": str(rank), "LOCAL_RANK": str(rank), "GLOO_SOCKET_IFNAME": "lo"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(count)
    ]
    said = [process.communicate(timeout=120) for process in processes]
    assert [process.returncode for process in processes] == [0] * count, said[-1][1][-2000:] + said[0][1][-2000:]
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(count)], [out for out, _ in said]


@pytest.fixture(scope="module")
def two(tmp_path_factory):
    folder = tmp_path_factory.mktemp("two")
    return (*run_processes(folder), folder)


@pytest.fixture(scope="module")
def one(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one")
    work(folder)
    return json.loads((folder / "0.json").read_text())


def test_two_processes_know_each_other(two):
    found, said, folder = two
    assert [each["ranks"] for each in found] == [[0, 2, True], [1, 2, False]]
    assert said == ["hello from 0\n", ""]  # only the first one speaks
    assert [file.name for file in folder.glob("*.pth")] == ["only_main_0.pth"]  # and writes


def test_sums_and_rows_of_unequal_number_are_put_together_on_both(two):
    for each in two[0]:
        assert each["sum"] == [3.0, 20.0]
        assert each["rows"] == [[0.0, 0.0], [0.0, 0.0], [1.0, 1.0]]
    assert [each["shares"] for each in two[0]] == [[0, 1, 2], [3, 4]]


def test_two_processes_train_the_network_that_one_trains(two, one):
    first, second = two[0]
    assert first["weights"] == second["weights"] and first["sha256"] and second["sha256"] is None
    assert np.allclose(first["weights"], one["weights"], atol=1e-6)
    assert np.allclose(first["losses"], one["losses"], atol=1e-6) and first["losses"] == second["losses"]


def test_buffers_are_those_of_the_first_process(two):
    assert two[0][0]["running_mean"] == two[0][1]["running_mean"]


def test_predictions_of_both_come_in_order_to_both(two, one):
    for each in two[0]:
        assert np.allclose(each["logits"], one["logits"], atol=1e-5)
        assert each["labels"] == one["labels"] == Faces().labels.tolist()


def test_a_batch_that_cannot_be_shared_is_refused_by_all(two):
    line = "--batch_size 3 can't be shared by 2 processes: it is of all together, use a multiple of 2"
    assert [each["refused"] for each in two[0]] == [line, line]
