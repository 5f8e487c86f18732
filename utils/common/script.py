"""How a script starts and ends: output that never stops it, its errors in one line each, an end that was asked for."""

import errno
import os
import signal
import sys
from contextlib import contextmanager, suppress

from utils.common.errors import InputError, explain

STOPPED = "stopped: run the same command again\n"


class Terminated(KeyboardInterrupt):
    """The system asked this process to end (SIGTERM); like Ctrl-C, so that what cleans up after one does for both."""


def run_script(main, parser):
    """Parse the command line and call `main` with it, errors of a user and of the machine in one line each.

    Exit codes: 2 for such an error, 130 after Ctrl-C, 143 after SIGTERM. Any other error is a bug, with its traceback.
    """
    with lasting_output(), _catching_sigterm():
        try:
            main(parser.parse_args())
        except InputError as error:
            parser.error(error)
        except KeyboardInterrupt as stop:
            parser.exit(143 if isinstance(stop, Terminated) else 130, STOPPED)
        except Exception as error:
            line = explain(error)
            if line is None:
                raise
            parser.error(line)


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
    """SIGTERM raises `Terminated` in the main thread, where the system knows signals."""

    def stop(number, _):
        signal.signal(number, signal.SIG_IGN)  # once is enough; SIGKILL is left for who cannot wait
        raise Terminated

    before = None
    with suppress(AttributeError, ValueError):  # no such signal; not the main thread
        before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)
