"""How a script starts and ends: its command line parsed, its errors in one line each."""

from utils.common.errors import InputError


def run_script(main, parser):
    """Parse the command line, call `main` with it; a user's mistake prints one line and ends with exit code 2."""
    flags = parser.parse_args()
    try:
        main(flags)
    except InputError as error:
        parser.error(error)
    except OSError as error:
        if error.filename is None:
            raise
        parser.error(f"{error.strerror}: {error.filename}")  # no permission, no space: the reader's to mend
    except KeyboardInterrupt:
        parser.exit(130, "stopped\n")
