"""How a script ends: output that lasts, errors of the machine in one line, Ctrl-C and SIGTERM."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from utils.common import arguments, errors, interrupts

ROOT = Path(__file__).resolve().parents[2]
SYSTEM = "ENOSPC EACCES EROFS EISDIR ENOTDIR EIO ENAMETOOLONG EDQUOT EEXIST ENOENT EMFILE ESTALE ENOSYS".split()
#: prints more than a pipe holds, then leaves a sign that it came to its end
LONG = "for n in range(30000): print('line', n, flush=n % 1000 == 0)\n    open('done', 'w').close()"


def end_of(main, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["step.py"])
    with pytest.raises(SystemExit) as stopped:
        arguments.run_script(main, arguments.Parser(prog="step"))
    return stopped.value.code, capsys.readouterr().err


def raising(error):
    def main(_):
        raise error

    return main


def start(body, folder, shell="{python} script.py", **environment):
    """Run a small script with this `main` through a shell; returns the finished process, its output as bytes."""
    lines = [
        "import sys",
        f"sys.path.insert(0, {str(ROOT)!r})",
        "from utils.common import arguments",
        "def main(args):",
    ]
    lines += [f"    {body}", "arguments.run_script(main, arguments.Parser())"]
    (folder / "script.py").write_text("\n".join(lines) + "\n", encoding="utf-8")
    command = shell.format(python=sys.executable)
    variables = {**os.environ, **environment}
    return subprocess.run(["bash", "-c", command], cwd=folder, env=variables, capture_output=True, check=False)


@pytest.mark.parametrize("name", SYSTEM)
@pytest.mark.parametrize("path", [None, "some/where.pth"])
def test_every_error_of_the_system_is_one_line_with_its_file(name, path, monkeypatch, capsys):
    number = getattr(errno, name)
    error = OSError(number, os.strerror(number), *([path] if path else []))
    code, said = end_of(raising(error), monkeypatch, capsys)
    assert code == 2 and said.startswith(f"error: {os.strerror(number)}") and said.count("\n") == 1
    assert path is None or path in said
    assert errors.CURES.get(name, "") in said


def test_an_error_of_the_system_without_a_number_is_one_line_too(monkeypatch, capsys):
    assert end_of(raising(OSError("cannot seek\nhere")), monkeypatch, capsys) == (2, "error: cannot seek here\n")


@pytest.mark.parametrize(
    "error",
    [
        MemoryError(),
        MemoryError("Unable to allocate 4.00 TiB for an array"),
        OSError(errno.ENOMEM, "Cannot allocate memory"),
        RuntimeError("[enforce fail at alloc_cpu.cpp:114] err == 0. DefaultCPUAllocator: can't allocate memory: you …"),
        RuntimeError("CUDA out of memory. Tried to allocate 20.00 MiB. GPU 0 has a total capacity of 79 GiB"),
        type("OutOfMemoryError", (RuntimeError,), {})("CUDA out of memory. Tried to allocate 2.00 GiB"),
        RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
        RuntimeError("std::bad_alloc"),
    ],
)
def test_out_of_memory_says_what_to_make_smaller(error, monkeypatch, capsys):
    code, said = end_of(raising(error), monkeypatch, capsys)
    assert code == 2 and said.count("\n") == 1
    assert "out of memory: use smaller images or batches (--img_size, --batch_size where there is one), or " in said


@pytest.mark.parametrize("error", [RuntimeError("shapes differ"), ValueError("bug"), KeyError("x")])
def test_a_bug_is_explained_by_nobody(error):
    assert errors.explain(error) is None


def test_sigterm_and_ctrl_c_clean_up_and_say_how_to_go_on(monkeypatch, capsys):
    before, cleaned = signal.getsignal(signal.SIGTERM), []

    def main(number):
        try:
            os.kill(os.getpid(), number)
            signal.sigtimedwait([], 5)  # the handler runs at the latest here
        finally:
            cleaned.append(number)

    for number, expected in ((signal.SIGTERM, 143), (signal.SIGINT, 130)):
        found = end_of(lambda _, number=number: main(number), monkeypatch, capsys)
        assert found == (expected, "stopped: run the same command again\n")
        assert signal.getsignal(signal.SIGTERM) == before
    assert cleaned == [signal.SIGTERM, signal.SIGINT]


def test_a_system_without_sigterm_runs_scripts(monkeypatch):
    monkeypatch.delattr(interrupts.signal, "SIGTERM")
    monkeypatch.setattr(sys, "argv", ["step.py"])
    ran = []
    arguments.run_script(ran.append, arguments.Parser())
    assert ran


def test_head_ends_the_output_and_not_the_work(tmp_path):
    done = start(LONG, tmp_path, "{python} script.py | head -1; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.split() == [b"line", b"0", b"0"] and done.stderr == b""
    assert (tmp_path / "done").exists()


@pytest.mark.parametrize("end", [">/dev/full", ">&-", "2>&- >&-"])
def test_output_that_cannot_be_written_does_not_end_the_work(end, tmp_path):
    done = start(LONG, tmp_path, f"{{python}} script.py {end}")
    assert done.returncode == 0 and (tmp_path / "done").exists()
    assert b"Traceback" not in done.stderr and done.stderr.count(b"\n") <= 1


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "ascii:strict", "utf-8:strict"])
def test_what_an_encoding_lacks_is_escaped(encoding, tmp_path):
    done = start(r"print('0.99 \u2192 0.50', 'caf\udce9')", tmp_path, PYTHONIOENCODING=encoding)
    assert done.returncode == 0 and done.stderr == b""
    assert rb"caf\udce9" in done.stdout
    assert (rb"0.99 \u2192 0.50" in done.stdout) == (not encoding.startswith("utf"))


def test_help_through_a_pipe_that_closes_is_quiet(tmp_path):
    done = start("pass", tmp_path, "{python} script.py --help | true; echo ${{PIPESTATUS[0]}}")
    assert done.stdout.strip() == b"0" and done.stderr == b""


def test_a_stop_that_a_library_turns_into_another_error_is_a_stop(monkeypatch, capsys):
    def main(_):
        try:
            raise interrupts.Stopped(signal.SIGTERM)
        except KeyboardInterrupt:
            raise RecursionError("half imported")  # noqa: B904 - as a library does

    assert end_of(main, monkeypatch, capsys) == (143, "stopped: run the same command again\n")
