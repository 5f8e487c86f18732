"""The one error that a user can cause: the scripts print its line and end with exit code 2."""

import difflib
import sys


class InputError(ValueError):
    """Something the user passed is wrong; the message says what, where and how to mend it, in one line."""


def did_you_mean(name, names):
    """A hint such as `: did you mean Bald?` for a mistyped name, or an empty text if nothing is near."""
    near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
    return f": did you mean {near[0]}?" if near else ""


def warn(message):
    """Print a line on stderr that the user should see; the work goes on."""
    print(f"warning: {message}", file=sys.stderr, flush=True)
