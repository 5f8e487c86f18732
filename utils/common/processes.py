"""What the environment says of several processes, and which of them speaks and writes.

`torchrun` starts a program several times and tells each in WORLD_SIZE, RANK and so on where it stands. Nothing slow is
imported here: `utils.common.distributed` joins the processes.
"""

import os
import signal
import socket
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass

from utils.common.errors import InputError

PATIENCE = 15  # seconds in which torchrun ends the others of a program that has failed
CURE = "start with torchrun --nproc_per_node N, which sets them, or unset WORLD_SIZE to work in one process"


@dataclass(frozen=True)
class Place:
    """Where this process stands: its number `rank` among `count`, and the same among those of its machine.

    local_count: 0 if nobody says it
    """

    rank: int = 0
    count: int = 1
    local_rank: int = 0
    local_count: int = 0


#: set by `utils.common.distributed`: this process's place, and who asks whether it is the first to fail
joined, claim = Place(), None


def read_place():
    """This process's `Place` by the environment; the only one, unless WORLD_SIZE says more.

    Raises: InputError naming the variable that is missing or malformed
    """
    count = _number("WORLD_SIZE", 1, None, 1)
    if count == 1:
        return Place()
    missing = [name for name in ("RANK", "MASTER_ADDR", "MASTER_PORT") if not os.environ.get(name)]
    if missing:
        which = " and ".join([", ".join(missing[:-1]), missing[-1]] if missing[1:] else missing)
        raise InputError(f"WORLD_SIZE={count} in the environment, but no {which}: {CURE}")
    rank = _number("RANK", 0, count - 1)
    local_count = _number("LOCAL_WORLD_SIZE", 1, count, 0)
    local_rank = _number("LOCAL_RANK", 0, (local_count or count) - 1, rank)
    _number("MASTER_PORT", 1, 65535)
    address = os.environ["MASTER_ADDR"]
    try:
        socket.getaddrinfo(address, None)
    except (OSError, UnicodeError):
        raise InputError(f"MASTER_ADDR={address} in the environment: no such machine is known; {CURE}") from None
    return Place(rank, count, local_rank, local_count)


def _number(name, least, most, default=None):
    text = os.environ.get(name, "").strip()
    if not text and default is not None:
        return default
    if text.isascii() and text.isdecimal() and least <= int(text) and (most is None or int(text) <= most):
        return int(text)
    wanted = f"from {least} to {most}" if most is not None else f"of at least {least}"
    raise InputError(f"{name}={text} in the environment: expected a whole number {wanted}; {CURE}")


def is_main():
    """Whether this is the process that prints and writes files."""
    return joined.rank == 0


@contextmanager
def ended_by_sigterm():
    """SIGTERM ends the process inside, whatever handles it outside: a wait in PyTorch lets no handler run."""
    before = None
    with suppress(ValueError):  # not the main thread
        before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGTERM, before)


def speaks(waits=True):
    """Whether this process, which fails, is the one to say why; of several that fail one does.

    Before they are joined it is the first of each machine: all read the same command line. The others wait for
    torchrun to end them (not with `waits` False): an earlier end would make it end the first before it has spoken.
    """
    if claim is not None:
        return claim()
    try:
        if read_place().local_rank == 0:
            return True
    except InputError:  # what is wrong is this process's own environment
        return True
    if waits and "TORCHELASTIC_RUN_ID" in os.environ:
        with ended_by_sigterm():
            time.sleep(PATIENCE)
    return False


def last_words(message, status=2):
    """The message of a process that fails, None if another one speaks.

    One that has joined others prints it and ends here with exit code `status`: what closes connections at an ordinary
    end may wait for ever.
    """
    message = message if speaks(waits=status < 128) else None  # above, a signal ended it
    if joined.count > 1:
        print(message or "", end="", file=sys.stderr)
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError, AttributeError):
                stream.flush()
        os._exit(status)
    return message
