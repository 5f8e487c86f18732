"""SIGTERM and Ctrl-C while work must not be broken off: noted until it is done, raised at once the second time."""

import os
import shlex
import signal
import sys
import threading
from contextlib import contextmanager


class Stopped(KeyboardInterrupt):
    """A signal asked this program to stop; `code` is its exit code: 143 for SIGTERM, 130 for Ctrl-C."""

    def __init__(self, number):
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.code = 128 + number


class Stopping:
    """As a context it takes SIGTERM and Ctrl-C: each raises `Stopped`, but the first one waits inside `finishing`.

    Outside of the context, and in other threads than the main one, it changes nothing.
    """

    def __init__(self):
        self.number, self._waits, self._before = None, False, {}

    def __enter__(self):
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._come)
        return self

    def __exit__(self, *_):
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

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
            raise Stopped(self.number)

    def _come(self, number, _frame):
        first, self.number = self.number is None, self.number or number
        if not (first and self._waits):
            raise Stopped(number)


def command_again(add, drop=()):
    """The shell command that started this program with the words of `add` behind it and without those of `drop`."""
    words = [word for word in sys.argv[1:] if word not in (*add, *drop)]
    start = "torchrun …" if int(os.environ.get("WORLD_SIZE", "1")) > 1 else "python"
    return f"{start} {shlex.join([sys.argv[0], *words, *add])}"
