"""A run's frame: seeds, devices, the results line, the stopwatch, tables."""

import errno
import json
import random
import resource
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from utils.common import run
from utils.common.errors import InputError, warn

ROOT = Path(__file__).resolve().parents[2]


def test_the_same_seed_gives_the_same_numbers_from_every_source():
    def draw():
        run.seed_everything(7)
        return random.random(), np.random.rand(), torch.rand(1).item()

    assert draw() == draw()


def test_auto_takes_cuda_where_it_is():
    assert run.pick_device("auto").type == ("cuda" if torch.cuda.is_available() else "cpu")
    assert run.pick_device("cpu") == torch.device("cpu")


def test_cuda_without_a_card_is_the_user_s_mistake(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(InputError, match="--device cuda: no such CUDA device, none found; use --device cpu or auto"):
        run.pick_device("cuda")


def test_a_card_beyond_those_there_are_is_named(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert run.pick_device("cuda:1") == torch.device("cuda", 1)
    with pytest.raises(InputError, match="--device cuda:2: no such CUDA device, 2 found"):
        run.pick_device("cuda:2")


@pytest.mark.parametrize("name", ["gpu", "cuda:x", "meta", ""])
def test_an_unknown_device_is_refused(name):
    with pytest.raises(InputError, match="unknown device"):
        run.pick_device(name)


def test_the_environment_names_python_and_the_packages_that_are_installed():
    versions = run.environment()
    assert versions["python"] == ".".join(map(str, sys.version_info[:3]))
    assert versions["torch"].split("+")[0] == torch.__version__.split("+")[0]
    assert {"torchvision", "numpy", "pillow"} <= set(versions)


def git(folder, *words):
    author = ["-c", "user.name=n", "-c", "user.email=e@x"]
    subprocess.run(["git", *author, *words], cwd=folder, check=True, capture_output=True)


def test_the_commit_is_short_marked_when_files_differ_and_absent_elsewhere(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "ROOT", tmp_path)
    assert run.commit() is None
    git(tmp_path, "init")
    assert run.commit() is None  # no commit yet
    (tmp_path / "code.py").write_text("1")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "-m", "one")
    clean = run.commit()
    assert len(clean) == 12 and int(clean, 16) >= 0
    (tmp_path / "code.py").write_text("2")
    assert run.commit() == clean + "+"
    (tmp_path / "inner").mkdir()
    monkeypatch.setattr(run, "ROOT", tmp_path / "inner")
    assert run.commit() is None  # someone else's repository around it


def test_the_command_line_can_be_pasted(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/some/where/step.py", "--data_path", "my faces", "--epoch", "3"])
    monkeypatch.setattr(sys.modules["__main__"], "__spec__", None)
    assert run.command_line() == "python step.py --data_path 'my faces' --epoch 3"


def test_the_header_is_aligned_and_complete(capsys):
    run.header("step 9", {"network": "resnet18", "seed": 3, "parent": None})
    title, *lines = capsys.readouterr().out.splitlines()
    assert title == "step 9"
    assert [line.split()[0] for line in lines][:3] == ["network", "seed", "parent"]
    assert {"command", "versions", "hardware", "commit"} <= {line.split()[0] for line in lines}
    assert lines[2].split() == ["parent", "-"]
    assert lines[0].index("resnet18") == lines[1].index("3") == lines[2].index("-")


def test_names_from_files_cannot_steer_the_terminal(capsys):
    run.header("step \x1b[2J9", {"network": "a\x9b31m\nb", "names": ["\x1b"]})
    warn("no \x1b]0;x\x07 here")
    shown = capsys.readouterr()
    assert shown.err == "warning: no \\x1b]0;x\\x07 here\n"
    assert all(line.isprintable() for line in shown.out.splitlines()) and "a\\x9b31m\\nb" in shown.out


def test_the_stopwatch_adds_up_each_phase_and_counts_a_failing_one(monkeypatch):
    clock = iter([10.0, 11.5, 20.0, 22.0, 30.0, 30.25])
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    watch = run.Stopwatch()
    with watch("read"):
        pass
    with watch("score"):
        pass
    with pytest.raises(KeyError), watch("read"):
        raise KeyError
    assert watch.seconds == {"read": 1.75, "score": 2.0}


def test_the_stopwatch_waits_for_a_card_before_and_after_a_phase(monkeypatch):
    waits = []
    monkeypatch.setattr(torch.cuda, "synchronize", waits.append)
    with run.Stopwatch(torch.device("cuda", 1))("score"):
        assert waits == ["cuda:1"]
    assert waits == ["cuda:1", "cuda:1"]


def test_peak_memory_grows_by_what_is_touched():
    before = run.peak_rss_bytes()
    block = np.ones(40 << 20, np.uint8)
    after = run.peak_rss_bytes()
    current = int(Path("/proc/self/statm").read_text().split()[1]) * 4096 if Path("/proc/self").exists() else 0
    assert after >= max(before, current - (1 << 22)) and block[0] == 1


def test_a_result_is_one_sorted_line_with_what_made_it(tmp_path):
    file = tmp_path / "new" / "results.jsonl"
    run.append_result(file, {"run": "ä", "auc": None})
    run.append_result(file, {"run": "b", "seconds": {"z": 1, "a": 2}})
    first, second = file.read_text(encoding="utf-8").splitlines()
    assert json.loads(first)["run"] == "ä" and json.loads(first)["auc"] is None
    assert {"command", "commit", "date", "hardware", "versions"} <= json.loads(first).keys()
    assert list(json.loads(second)) == sorted(json.loads(second))
    assert second.index('"a": 2') < second.index('"z": 1')


def test_a_result_that_is_no_number_is_refused_and_nothing_is_written(tmp_path):
    with pytest.raises(ValueError, match="not JSON compliant"):
        run.append_result(tmp_path / "r.jsonl", {"auc": float("nan")})
    assert not (tmp_path / "r.jsonl").exists()


def test_a_line_left_unfinished_does_not_spoil_the_next(tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_text('{"run": "whole"}\n{"run": "ha')
    run.append_result(file, {"run": "next"})
    lines = file.read_text().splitlines()
    assert lines[:2] == ['{"run": "whole"}', '{"run": "ha'] and json.loads(lines[2])["run"] == "next"


@pytest.mark.parametrize("before", ["{} no json", '{"run": "x"}', "caf\udce9 \x00\x01", "\n\n"])
def test_what_stands_in_the_file_is_kept_whatever_it_is(before, tmp_path):
    file = tmp_path / "r.jsonl"
    file.write_bytes(before.encode("utf-8", "surrogateescape"))
    run.append_result(file, {"run": "next"})
    start, _, line = file.read_bytes()[:-1].rpartition(b"\n")
    assert start.rstrip(b"\n") == before.encode("utf-8", "surrogateescape").rstrip(b"\n")
    assert json.loads(line)["run"] == "next"


def test_a_name_that_utf_8_lacks_is_escaped_so_that_every_reader_takes_the_line(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["step.py", "--data_path", "caf\udce9"])
    run.append_result(tmp_path / "r.jsonl", {"dataset": "caf\udce9", "run": "ü \U0001f600"})
    line = json.loads((tmp_path / "r.jsonl").read_text(encoding="utf-8"))
    assert line["dataset"] == r"caf\udce9" and line["run"] == "ü \U0001f600" and r"caf\udce9" in line["command"]


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_a_file_system_without_locks_gets_its_line(code, tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(code, "no locks")

    monkeypatch.setattr(run.fcntl, "flock", refuse)
    run.append_result(tmp_path / "r.jsonl", {"run": "a"})
    assert json.loads((tmp_path / "r.jsonl").read_text())["run"] == "a"


def test_a_system_without_locks_and_usage_counters_works(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "fcntl", None)
    monkeypatch.setattr(run, "resource", None)
    monkeypatch.delattr(run.os, "sched_getaffinity", raising=False)
    run.append_result(tmp_path / "r.jsonl", {"run": "a", "peak": run.peak_rss_bytes()})
    assert "cores" in json.loads((tmp_path / "r.jsonl").read_text())["hardware"]


def test_a_full_disk_leaves_no_half_line(tmp_path):
    file = tmp_path / "r.jsonl"
    run.append_result(file, {"run": "whole"})
    before = file.read_bytes()
    size, ceiling = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + 100, ceiling))  # the next line does not fit
    try:
        with pytest.raises(OSError, match="r.jsonl"):
            run.append_result(file, {"run": "next"})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, ceiling))
        signal.signal(signal.SIGXFSZ, ignored)
    assert file.read_bytes() == before


def test_lines_written_at_the_same_time_stay_whole(tmp_path, monkeypatch):
    monkeypatch.setattr(run, "commit", lambda: None)
    file = tmp_path / "r.jsonl"
    record = {"text": "x" * 100_000}
    threads = [threading.Thread(target=run.append_result, args=(file, {**record, "n": n})) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(json.loads(line)["n"] for line in file.read_text().splitlines()) == list(range(8))


def test_a_table_puts_words_to_the_left_and_numbers_to_the_right():
    text = run.table([["Bald", 5, 0.5], ["Young", 12, None]], ["attribute", "n", "AUC"])
    assert text.splitlines() == [
        "attribute |  n |    AUC",
        "----------|----|-------",
        "Bald      |  5 | 0.5000",
        "Young     | 12 |      -",
    ]


def test_a_table_without_rows_is_its_head():
    assert run.table([], ["a", "b"]).splitlines() == ["a | b", "--|--"]
