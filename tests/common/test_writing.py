"""A file is there whole or as it was before."""

import os
import subprocess
import sys

import pytest

from utils.common import paths
from utils.common.paths import write_atomically


def test_text_and_bytes_are_written_and_missing_folders_are_made(tmp_path):
    path = tmp_path / "new" / "folder" / "a.txt"
    assert write_atomically(path, "Grün\n") == path
    assert path.read_bytes() == b"Gr\xc3\xbcn\n"
    write_atomically(str(path), b"\x00\xff")
    assert path.read_bytes() == b"\x00\xff"
    assert [file.name for file in path.parent.iterdir()] == ["a.txt"]


def test_a_failure_while_writing_leaves_the_old_file_and_no_temporary_one(tmp_path, monkeypatch):
    path = tmp_path / "a.png"
    path.write_bytes(b"old")

    def fail(_):
        raise OSError("no space left on device")

    monkeypatch.setattr(paths.os, "fsync", fail)
    with pytest.raises(OSError, match="no space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_temporary_files_of_dead_processes_go_and_those_of_living_ones_stay(tmp_path):
    start = f".a.pth.{paths.platform.node()}."
    dead = subprocess.run([sys.executable, "-c", "import os; print(os.getpid())"], capture_output=True, text=True)
    living, elsewhere = (
        tmp_path / f"{start}{os.getppid()}.tmp",
        tmp_path / f".a.pth.other-host.{dead.stdout.strip()}.tmp",
    )
    of_another = tmp_path / f".b.pth.{paths.platform.node()}.{dead.stdout.strip()}.tmp"
    for path in (tmp_path / f"{start}{dead.stdout.strip()}.tmp", living, elsewhere, of_another):
        path.write_bytes(b"half")
    write_atomically(tmp_path / "a.pth", b"whole")
    assert set(tmp_path.iterdir()) == {tmp_path / "a.pth", living, elsewhere, of_another}
