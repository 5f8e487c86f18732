"""One program at a time on a run."""

import argparse
import errno
import subprocess
import sys
from types import SimpleNamespace

import pytest

from utils.common import locks
from utils.common.errors import InputError

fcntl = pytest.importorskip("fcntl")


def test_a_second_holder_is_refused_in_one_line_and_nothing_stays_behind(tmp_path):
    folder = tmp_path / "checkpoints" / "run"
    with locks.locked(folder):
        with pytest.raises(InputError, match="another process works on the run in .*run: wait .* --run_name"):
            with locks.locked(folder):
                pytest.fail("two hold it")
        with pytest.raises(InputError), locks.locked(folder):  # the refused one has not let the first one's lock go
            pytest.fail("two hold it")
        with locks.locked(tmp_path / "checkpoints" / "other"):
            pass
    assert list(tmp_path.iterdir()) == []
    with locks.locked(folder):
        (folder / "original.pth").touch()
    assert [path.name for path in folder.iterdir()] == ["original.pth"]


def test_a_process_that_is_killed_holds_no_lock(tmp_path):
    code = f"""
import os, signal
from utils.common import locks
with locks.locked({str(tmp_path)!r}):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9 and (tmp_path / ".lock").exists()
    with locks.locked(tmp_path):
        pass
    assert not (tmp_path / ".lock").exists()


def test_a_folder_that_goes_before_its_lock_is_opened_is_made_again(tmp_path, monkeypatch):
    folder, left = tmp_path / "run", [1, 1]

    def open_late(path, mode):
        if left:
            left.pop()
            folder.rmdir()
        return open(path, mode)

    monkeypatch.setattr(locks, "open", open_late, raising=False)
    with locks.locked(folder):
        with pytest.raises(InputError, match="another process works"), locks.locked(folder):
            pytest.fail("two hold it")
    assert not left


def test_a_lock_that_can_never_be_opened_is_done_without(tmp_path):
    (tmp_path / ".lock").symlink_to("no/such/folder")
    (tmp_path / "file").touch()
    for folder in (tmp_path, tmp_path / "file"):
        with locks.locked(folder):
            pass


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_it_goes_on(number, tmp_path, monkeypatch):
    def flock(*_):
        raise OSError(number, "no locks here")

    monkeypatch.setattr(locks, "fcntl", SimpleNamespace(flock=flock, LOCK_EX=2, LOCK_NB=4))
    with locks.locked(tmp_path / "run"), locks.locked(tmp_path / "run"):
        (tmp_path / "run" / "a").touch()
    monkeypatch.setattr(locks, "fcntl", None)
    with locks.locked(tmp_path / "run"):
        pass
    assert [path.name for path in (tmp_path / "run").iterdir()] == ["a"]


def test_a_folder_that_is_a_file_is_left_to_who_writes_there(tmp_path):
    (tmp_path / "file").write_text("x")
    with locks.locked(tmp_path / "file" / "run"):
        pass
    assert (tmp_path / "file").read_text() == "x"


def test_of_several_processes_the_first_one_asks(tmp_path, monkeypatch):
    flags = argparse.Namespace(task_labels=["Bald", "Smiling"], run_name=None, save_path=str(tmp_path))
    main = locks.one_at_a_time(lambda flags: sorted(path.name for path in tmp_path.rglob("*")))
    assert main(flags) == [".lock", "Bald_Smiling"]
    monkeypatch.setenv("RANK", "1")  # a scheduler's alone says nothing
    assert main(flags) == [".lock", "Bald_Smiling"]
    for name, value in {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}.items():
        monkeypatch.setenv(name, value)
    assert main(flags) == []
