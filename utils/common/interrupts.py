"""What breaks into a script: signals, a reader that closed the pipe, errors; told in one line, hours of work kept."""

import errno
import os
import shlex
import signal
import socket
import sys
import threading
from contextlib import contextmanager, suppress

from utils.common.errors import explain


class Stopped(KeyboardInterrupt):
    """A signal asked this program to stop; `code` is its exit code: 143 for SIGTERM, 130 for Ctrl-C."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


class Stopping:
    """As a context it takes SIGTERM and Ctrl-C: each raises `Stopped`, but the first one waits inside `finishing`.

    Python sees a signal between two of its own steps only, and a batch may be one step of seconds: a thread counts the
    signals meanwhile, and ends the program where the second one is not seen within PATIENCE seconds.
    Once it has raised, further signals are ignored: what was done is being saved (SIGKILL is left for who cannot wait).
    Outside of the context, and in other threads than the main one, it changes nothing.
    """

    PATIENCE = 1.0

    def __init__(self):
        self.number, self._waits, self._before, self._over = None, False, {}, threading.Event()

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._come)
            self._reader, self._writer = socket.socketpair()
            self._writer.setblocking(False)
            self._woken = signal.set_wakeup_fd(self._writer.fileno(), warn_on_full_buffer=False)
            threading.Thread(target=self._count, daemon=True).start()
        return self

    def __exit__(self, *_):
        self._over.set()
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self._before:
            signal.set_wakeup_fd(self._woken)
            self._writer.close()  # the thread reads the end
        self._before = {}

    def _count(self):
        """In a thread: wait for the second signal, then end the program unless the main thread comes to it itself."""
        seen = 0
        while seen < 2 and (number := self._reader.recv(1)):
            seen += number[0] in (signal.SIGINT, signal.SIGTERM)
        if seen == 2 and not self._over.wait(self.PATIENCE):
            os._exit(128 + number[0])
        self._reader.close()

    @property
    def requested(self):
        """Whether a signal came."""
        return self.number is not None

    @contextmanager
    def finishing(self, waits=True):
        """The first signal inside is noted only: ask `requested` where stopping is cheap; with `waits` False it is not.

        A signal that nobody asked for is raised at the end. Raises: Stopped
        """
        self._waits = waits
        try:
            yield
        finally:
            self._waits = False
        if self.requested:
            self.ignore_more()
            raise Stopped(self.number)

    def ignore_more(self):
        """From here to the end of the context further signals change nothing: schedulers send theirs twice."""
        for number in self._before:
            signal.signal(number, signal.SIG_IGN)
        self._over.set()

    def _come(self, number, _frame):
        first, self.number = self.number is None, self.number or number
        if not (first and self._waits):
            self.ignore_more()
            raise Stopped(number)


@contextmanager
def undisturbed():
    """SIGTERM and Ctrl-C are ignored inside, in the main thread; SIGKILL is left for who cannot wait."""
    before = {}
    with suppress(ValueError):  # not the main thread: signals do not reach it
        for number in (signal.SIGINT, signal.SIGTERM):
            before[number] = signal.signal(number, signal.SIG_IGN)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def command_again(add, drop=()):
    """The shell command that started this program with the words of `add` behind it and without those of `drop`."""
    words = [word for word in sys.argv[1:] if word not in (*add, *drop)]
    return f"{start_word()} {shlex.join([sys.argv[0], *words, *add])}"


def start_word():
    """What a shell command that starts a script as this program was started begins with."""
    return "python" if os.environ.get("WORLD_SIZE", "1") in ("", "1") else "torchrun …"


def run_script(main, parser):
    """Parse the command line and call `main` with it, errors of a user and of the machine in one line each.

    Exit codes: 2 for such an error, 130 after Ctrl-C, 143 after SIGTERM. Any other error is a bug, with its traceback.
    """
    with lasting_output(), _catching_sigterm():
        try:
            main(parser.parse_args())
        except KeyboardInterrupt as stop:
            parser.exit(getattr(stop, "code", 130), "stopped: run the same command again\n")
        except Exception as error:
            if stop := _stop_behind(error):
                parser.exit(getattr(stop, "code", 130), "stopped: run the same command again\n")
            line = explain(error)
            if line is None:
                raise
            parser.error(line)


def _stop_behind(error):
    """The stop that a library being imported has turned into an error of its own, None if there was none."""
    while error is not None and not isinstance(error, KeyboardInterrupt):
        error = error.__cause__ or error.__context__
    return error


@contextmanager
def lasting_output():
    """Standard output and error that outlive their reader: hours of work do not end because `| head` had enough.

    What an encoding lacks is escaped; what can't be written any more is dropped.
    """
    before = sys.stdout, sys.stderr
    # a stream that was closed is None; the null device also keeps its number from the next file that is opened
    sys.stdout, sys.stderr = (_Lasting(stream or open(os.devnull, "w")) for stream in before)  # noqa: SIM115
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        sys.stdout, sys.stderr = before


class _Lasting:
    """A text stream that never raises where a write fails."""

    def __init__(self, stream):
        self._stream = stream
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")

    def write(self, text):
        """Write as the stream does. Returns: the number of characters."""
        self._attempt(self._stream.write, text)
        return len(text)

    def flush(self):
        """Flush as the stream does."""
        self._attempt(self._stream.flush)

    def _attempt(self, function, *words):
        try:
            function(*words)
        except OSError as error:
            with suppress(OSError, ValueError):  # also for what Python still holds back, and for other writers
                null = os.open(os.devnull, os.O_WRONLY)
                os.dup2(null, self._stream.fileno())
                os.close(null)
            if error.errno != errno.EPIPE and self is not sys.stderr:
                print(f"note: {self._stream.name}: {error.strerror}: what is printed is lost", file=sys.stderr)
        except ValueError:  # closed meanwhile
            pass

    def __getattr__(self, name):
        return getattr(self._stream, name)


@contextmanager
def _catching_sigterm():
    """SIGTERM raises `Stopped` in the main thread, where the system knows signals."""

    def stop(number, _):
        signal.signal(number, signal.SIG_IGN)  # once is enough; SIGKILL is left for who cannot wait
        raise Stopped(number)

    before = None
    with suppress(AttributeError, ValueError):  # no such signal; not the main thread
        before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
