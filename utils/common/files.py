"""Files written whole, so that nobody ever finds half of one."""

import os
from pathlib import Path


def write_atomically(path, content):
    """Write bytes or text: to a temporary name in the same folder, flushed to disk, then renamed.

    A process that is killed on the way leaves what stood under the final name. Missing folders are made.
    Returns: the path
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    content = content.encode("utf-8") if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
