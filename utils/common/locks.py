"""One program at a time in the folder of a run: a lock that a dead process does not hold.

Where the file system or the operating system has no locks, programs go on without.
"""

import errno
import functools
import itertools
import os
from contextlib import contextmanager, suppress
from pathlib import Path

from utils.common import paths, processes
from utils.common.errors import InputError

fcntl = None
with suppress(ImportError):  # not on Windows
    import fcntl

HELD = (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES)  # any other error: there are no locks here
MOST_TRIES = 100  # to make a folder that others remove


def one_at_a_time(main):
    """Let `main` of a script, given its parsed flags, work only while no other program works on the same run.

    Of the processes that torchrun starts the first one asks for all.
    Returns: the function that does so
    """

    @functools.wraps(main)
    def alone(flags):
        if processes.read_place().rank:
            return main(flags)
        run = paths.run_name(flags.task_labels, flags.run_name)
        with locked(Path(flags.save_path) / run):
            return main(flags)

    return alone


@contextmanager
def locked(folder):
    """Hold a folder's lock inside; a missing folder is made. Raises: InputError at once if another process holds it"""
    path = Path(folder) / ".lock"
    made = [place for place in (path.parent, *path.parent.parents) if not place.exists()]
    try:
        file = _take(path) if fcntl is not None else None
    except OSError:  # no locks here, or a folder to read from only
        file = None
    try:
        yield
    finally:
        if file is not None:
            with suppress(OSError):
                path.unlink()  # before it is let go: whoever gets it next sees that it is another file
            file.close()
        with suppress(OSError):  # something was written there
            for place in made:
                place.rmdir()


def _take(path):
    """The open file that holds the lock. Raises: InputError if another process holds it; OSError without locks."""
    for left in itertools.count(MOST_TRIES, -1):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = open(path, "ab")  # noqa: SIM115 - it is open as long as the lock is held
        except (FileNotFoundError, FileExistsError):  # whoever let it go removed the folder between the two
            if left <= 0:
                raise
            continue
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.path.samestat(os.fstat(file.fileno()), os.stat(path)):
                return file
        except FileNotFoundError:
            pass
        except OSError as error:
            file.close()
            if error.errno not in HELD:
                with suppress(OSError):
                    path.unlink()
                raise
            where = f"another process works on the run in {path.parent}"
            raise InputError(f"{where}: wait for its end, or name another run with --run_name") from None
        file.close()  # its holder let it go and removed it meanwhile
