"""Signals: noted while work is finished, raised elsewhere and the second time."""

import signal
import subprocess
import sys

import pytest

from utils.common.interrupts import Stopped, Stopping, command_again


@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_a_signal_ends_the_work_at_once_and_has_its_exit_code(number, code):
    with pytest.raises(Stopped) as stopped, Stopping():
        signal.raise_signal(number)
    assert stopped.value.code == code and isinstance(stopped.value, KeyboardInterrupt)


@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_what_must_be_finished_is_finished_unless_a_second_signal_comes(second):
    done = []
    with pytest.raises(Stopped), Stopping() as stopping, stopping.finishing():
        signal.raise_signal(signal.SIGTERM)
        assert stopping.requested
        done.append("first")
        signal.raise_signal(second)
        done.append("second")
    assert done == ["first"]


def test_the_second_signal_ends_a_step_that_python_cannot_look_into():
    code = """
import hashlib, os, signal, sys, threading
from utils.common.interrupts import Stopping
Stopping.PATIENCE = 0.0
sys.setswitchinterval(1000)  # the thread begins where the main one waits in C
working = threading.Event()
def twice():
    working.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGINT)
with Stopping() as stopping, stopping.finishing():
    threading.Thread(target=twice, daemon=True).start()
    working.set()
    hashlib.pbkdf2_hmac("sha256", b"", b"", 10**9)  # minutes in one step of Python's
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == 130, done.stderr


def test_once_it_is_stopping_further_signals_are_ignored_and_end_nothing():
    with Stopping() as stopping:
        with pytest.raises(Stopped), stopping.finishing():
            signal.raise_signal(signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.raise_signal(number)


def test_a_signal_that_nobody_asked_for_is_raised_at_the_end():
    done = []
    with pytest.raises(Stopped), Stopping() as stopping:
        with stopping.finishing():
            signal.raise_signal(signal.SIGINT)
            done.append("finished")
        done.append("after")
    assert done == ["finished"]


def test_where_nothing_is_cheap_to_finish_the_first_signal_is_raised():
    with pytest.raises(Stopped), Stopping() as stopping, stopping.finishing(waits=False):
        signal.raise_signal(signal.SIGINT)
        pytest.fail("it went on")


def test_handlers_are_put_back_after_an_error_too():
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(ZeroDivisionError), Stopping():
        raise ZeroDivisionError
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_the_command_to_go_on_is_the_one_given_with_the_flag_once(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["a/step_1.py", "--data_path", "my faces", "--force", "--resume"])
    again = "step_1.py --data_path 'my faces' --resume"
    assert command_again(["--resume"], drop=["--force"]) == f"python a/{again}"
    monkeypatch.setenv("WORLD_SIZE", "2")
    assert command_again(["--resume"], drop=["--force"]) == f"torchrun … a/{again}"
