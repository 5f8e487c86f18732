"""What a person sees: pictures, tables, and the line of a run."""

import os

# matplotlib refuses to be imported where MPLBACKEND names a backend that is not installed (a notebook's, say); pictures
# need none
_backend = os.environ.pop("MPLBACKEND", None)
import matplotlib  # noqa: E402, F401

if _backend is not None:
    os.environ["MPLBACKEND"] = _backend
