"""What every fuzz test keeps to: how many inputs it draws, and what may come of one.

FUZZ is the number of inputs of all fuzz tests together, 2,000 unless the environment says another; each takes a share:

    @fuzz(0.1)                             # 200 inputs, 2,000 of FUZZ=20000
    @given(text=st.binary(max_size=300))
    def test_any_bytes_are_read_or_refused_in_one_line(text): ...
"""

import os
import sys
import time
from pathlib import Path

from hypothesis import HealthCheck, settings

from utils.common.errors import InputError

INPUTS = int(os.environ.get("FUZZ", 2000))
SECONDS, BYTES = 5, 2e9  # that one input may take
WRITING = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_written = None  # paths that were written since a function was called; None while nobody looks


def fuzz(share):
    """Settings of a test that draws this share of all inputs; the same ones each time unless FUZZ is set."""
    options = {"deadline": None, "database": None, "derandomize": "FUZZ" not in os.environ}
    return settings(max_examples=max(1, round(INPUTS * share)), suppress_health_check=list(HealthCheck), **options)


def ends_in_one_line(function, folder=None):
    """Call a function: it returns or raises InputError of one line, soon, and writes nothing outside `folder`.

    Args: folder: where it may write, with all below; None: nowhere
    Returns: what the function returned, or the InputError
    """
    global _written
    before, start, _written = _peak_bytes(), time.perf_counter(), []
    try:
        result = function()
    except InputError as error:
        result, line = error, str(error)
        assert line.strip() and len(line.splitlines()) == 1, f"not one line: {line!r}"
        # a name that is no UTF-8 is escaped where it is printed; what steers a terminal must not get that far
        assert line.encode("utf-8", "replace").decode().isprintable(), f"not fit to print: {line!r}"
    finally:
        written, _written = _written, None
    assert time.perf_counter() - start < SECONDS, "took too long"
    assert _peak_bytes() - before < BYTES, "took too much memory"
    allowed = Path(folder).resolve() if folder is not None else None
    outside = [path for path in written if allowed is None or not path.is_relative_to(allowed)]
    assert not outside, f"written outside {folder}: {outside}"
    return result


def _peak_bytes():
    try:
        import resource  # not on Windows
    except ImportError:
        return 0
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _watch(event, args):
    """Keep what is opened for writing, made or renamed; an audit hook stays as long as the process."""
    if _written is None or event not in ("open", "os.mkdir", "os.rename", "os.link", "os.symlink"):
        return
    path = args[0] if event in ("open", "os.mkdir") else args[1]
    if event == "open" and not (args[2] or 0) & WRITING:
        return
    if isinstance(path, (str, bytes, os.PathLike)):
        path = Path(os.fsdecode(path))
        if path != Path(os.devnull) and "__pycache__" not in path.parts:
            _written.append(path.parent.resolve() / path.name)


sys.addaudithook(_watch)
