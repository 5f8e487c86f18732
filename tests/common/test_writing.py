"""A file is there whole or as it was before."""

import errno
import os
import platform
import re
import subprocess
from pathlib import Path

import pytest

from utils.common import paths
from utils.common.errors import explain
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


def processes_file(name, process, node=None):
    """Name of the temporary file that a process leaves beside `name`."""
    return f".{name}.{platform.node()[:40] if node is None else node}.{process}.tmp"


def test_what_a_killed_process_left_is_removed_by_the_next_and_what_a_live_one_writes_is_not(tmp_path, monkeypatch):
    monkeypatch.setattr(paths, "_is_alive", lambda process: process != 7)
    dead, old = processes_file("a.txt", 7), processes_file("a.txt", 7, "another-machine")
    kept = [processes_file("a.txt", 8), processes_file("a.txt", 7, "yet-another"), processes_file("b.txt", 7)]
    kept += [".a.txt.y.x.tmp", ".a.txt.tmp", "a.txt.y.7.tmp"]
    for name in [dead, old, *kept]:
        (tmp_path / name).write_text("half")
    os.utime(tmp_path / old, (1, 1))
    write_atomically(tmp_path / "a.txt", "whole")
    assert sorted(os.listdir(tmp_path)) == sorted([*kept, "a.txt"])


def test_a_process_that_has_ended_is_not_alive():
    assert paths._is_alive(os.getpid())
    done = subprocess.Popen(["true"])
    done.wait()
    assert not paths._is_alive(done.pid)


@pytest.mark.parametrize("name", ["n" * 255, "ü" * 127])
def test_the_longest_name_that_a_folder_takes_can_be_written(name, tmp_path):
    write_atomically(tmp_path / name, "x")
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("call", ["fsync", "replace", "write", "mkdir"])
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT, errno.EIO])
def test_a_full_disk_is_an_error_with_the_final_name_and_leaves_what_was_there(call, code, tmp_path, monkeypatch):
    path = tmp_path / "folder" / "a.pth"
    if call != "mkdir":
        write_atomically(path, b"old")

    def fail(*_, **__):
        raise OSError(code, os.strerror(code))

    if call == "write":
        monkeypatch.setattr(paths, "open", fail, raising=False)
    elif call == "mkdir":
        monkeypatch.setattr(paths.Path, "mkdir", fail)
    else:
        monkeypatch.setattr(paths.os, call, fail)
    with pytest.raises(OSError) as failed:
        write_atomically(path, b"new")
    assert failed.value.errno == code and explain(failed.value).count(str(path)) == 1
    assert call == "mkdir" or (path.read_bytes() == b"old" and os.listdir(path.parent) == ["a.pth"])


def test_a_name_that_utf_8_lacks_is_escaped_in_text(tmp_path):
    assert write_atomically(tmp_path / "a.txt", "caf\udce9").read_bytes() == b"caf\\udce9"


def test_a_file_where_a_folder_must_be_is_named_with_the_cure(tmp_path):
    (tmp_path / "file").write_text("x")
    for path in (tmp_path / "file" / "a.txt", tmp_path / "file" / "b" / "a.txt"):
        with pytest.raises(OSError) as failed:
            write_atomically(path, "x")
        assert "a file stands where a folder must be" in explain(failed.value)


#: who may write without `write_atomically`: locks and lines that several share, pixels that are marked, folders that
#: get their name when they are whole, what a step says into a folder that is thrown away
WRITERS = "common/paths common/run common/locks common/interrupts common/distributed common/processes datasets/cache "
WRITERS += "layouts/celeba data/prepare_celeba data/make_synthetic_celeba data/synthetic/making data/unpacking"
WRITERS += " tools/try_networks data/synthetic/scenes/voc"
WRITES = re.compile(r"""open\([^)]*["'](?:w|a|x|r\+)|\.write_(?:text|bytes)\(|json\.dump\(|np\.save|\.to_csv\([^i)]""")


def test_every_file_is_written_whole():
    root = Path(paths.__file__).parents[2]
    for path in [
        path for folder in ("utils", "models", "tools", "data", "results") for path in (root / folder).rglob("*.py")
    ]:
        if not str(path.with_suffix("")).endswith(tuple(WRITERS.split())):
            assert not WRITES.search(path.read_text(encoding="utf-8")), path
