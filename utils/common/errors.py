"""Errors in one line: the mistake of a user, and what the machine could not do; the scripts end with exit code 2."""

import difflib
import errno
import sys

CURES = {
    **dict.fromkeys(("ENOSPC", "EDQUOT", "EFBIG"), "make room there, or name another folder"),
    **dict.fromkeys(("EACCES", "EPERM", "EROFS"), "name a place where you may read and write"),
    **dict.fromkeys(("ENOTDIR", "EEXIST"), "a file stands where a folder must be; name another path, or move the file"),
    "EISDIR": "a folder stands where a file must be; name another path",
    "ENOENT": "check the path",
    "ENAMETOOLONG": "name a shorter path",
    "EIO": "the disk or the file server fails; look at the system's log, or name another folder",
    "ESTALE": "the file server fails; run the same command again",
    "EMFILE": "raise the number of open files (ulimit -n), or use fewer --num_workers",
}
LESS = "use smaller images or batches (--img_size, --batch_size where there is one), or close other programs"
#: what systems, PyTorch, its libraries and numpy say when memory is used up
NO_MEMORY = ("out of memory", "allocate memory", "not enough memory", "unable to allocate", "bad_alloc", "alloc_failed")


speaking = True  #: of several processes all but the first are told to keep their warnings to themselves


class InputError(ValueError):
    """Something the user passed is wrong; the message says what, where and how to mend it, in one line."""


def no_memory(error):
    """Whether an exception says that memory is used up: nothing is known then of what was being read."""
    said = isinstance(error, RuntimeError) and any(words in str(error).lower() for words in NO_MEMORY)
    return said or isinstance(error, MemoryError) or isinstance(error, OSError) and error.errno == errno.ENOMEM


def explain(error):
    """What to tell a user about an exception in one line; None for one that is a fault of the program.

    Args: error: `InputError`, an OSError on some file, PyTorch's OutOfMemoryError, its RuntimeError of an allocator, …
    Returns: the line, or None
    """
    text = str(error).lower()
    if isinstance(error, InputError):
        return str(error)
    if no_memory(error):
        where = "the GPU is out of memory" if "cuda" in text else "out of memory"
        return f"{where}: {LESS}"
    if isinstance(error, ImportError) and "failed to map segment" in text:
        return "memory is used up before PyTorch is loaded: allow more of it (ulimit -v)"
    if isinstance(error, RuntimeError) and "can't start new thread" in text:
        return "no thread can be started, memory or processes are used up: allow more of them (ulimit -v, ulimit -u)"
    if isinstance(error, OSError):
        names = " -> ".join(str(name) for name in (error.filename, error.filename2) if name is not None)
        what = error.strerror or str(error) or type(error).__name__
        return ": ".join(filter(None, [what, names, CURES.get(errno.errorcode.get(error.errno))]))
    if type(error).__module__.startswith(("torch._inductor", "torch._dynamo")):
        return f"--compile: torch.compile failed ({first_line(error)}): leave out --compile"
    return None


def first_line(error, most=160):
    """The first line of an exception's message that says something, or its kind; at most `most` characters of it."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:most]


def printable(text, most=None):
    """Text for a terminal: what steers it, from a file's name or a stranger's JSON, is escaped.

    Args: most: characters, the end of a longer text is left out; None: all of it
    """
    text = str(text) if most is None else str(text)[: most + 1]
    text = "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)
    return text if most is None or len(text) <= most else f"{text[:most]}…"


def did_you_mean(name, names):
    """A hint such as `: did you mean Bald?` for a mistyped name, or an empty text if nothing is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f": did you mean {near[0]}?" if near else ""


def warn(message):
    """Print a line on stderr that the user should see, escaped what steers a terminal; the work goes on."""
    if speaking:
        print(f"warning: {printable(message)}", file=sys.stderr, flush=True)
