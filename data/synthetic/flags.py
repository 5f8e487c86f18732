"""The command line that the scripts data/make_synthetic_*.py share."""

import os
import signal
import sys

from data.contact_sheet import check_name, draw_contact_sheet
from utils.common.errors import InputError, explain
from utils.common.parser import Parser


class _Parser(Parser):
    """Raises what is wrong, for `run_generator` to say."""

    def error(self, message):
        raise InputError(" ".join(str(message).split()))


def make_parser(description, out, num_images, noun):
    """A parser with the flags that every drawn set has; `noun` is what it draws, such as "faces"."""
    parser = _Parser(description=description)
    parser.add_argument("--out", default=out, metavar="DIR", help="folder to make")
    parser.add_argument("--num_images", type=int, default=num_images, help=f"number of {noun}, at least 1")
    parser.add_argument("--seed", type=int, default=0, help="whole number, at least 0")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="processes that draw")
    parser.add_argument("--force", action="store_true", help="replace another generated set at --out")
    sheet = f"also draw {noun} of every label, .png or .jpg"
    parser.add_argument("--contact_sheet", metavar="FILE", help=sheet)
    return parser


def parse_shares(flag, texts, example, sign="="):
    """{"Bald": 0.2} of ["Bald=0.2"]; raises InputError where a text is no NAME=SHARE or a name comes twice.

    Args: flag: such as "--rate"; example: such as "Bald=0.2", for the message; sign: what stands before the share
    """
    shares = {}
    for text in texts:
        name, _, share = text.rpartition(sign)
        try:
            value = float(share)
        except ValueError:
            raise InputError(f"{flag} {text}: expected NAME{sign}SHARE, as in {example}") from None
        if name in shares:
            raise InputError(f"{flag} {name} is given twice: keep one of {shares[name]} and {value}")
        shares[name] = value
    return shares


def run_generator(parser, make, argv=None):
    """Parse, make the set, print what it holds, draw the sheet; on bad input one line on stderr.

    Args: make: takes the parsed flags, gives (folder, what it holds in words)
    Returns: the exit code
    """
    try:
        args = parser.parse_args(argv)
        if args.contact_sheet is not None:
            check_name(args.contact_sheet, args.out)  # before an hour of drawing
        folder, holds = make(args)
        print(f"{folder}: {holds}")
        if args.contact_sheet is not None:
            print(draw_contact_sheet(folder, args.contact_sheet))
    except (InputError, OSError) as error:
        print(f"error: {explain(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("stopped: no half set is left", file=sys.stderr)
        return 130
    return 0


def prepare_process():
    """Before a script runs: SIGTERM ends it as an error does, which clears its partial set; any name can be printed."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    sys.stdout.reconfigure(errors="backslashreplace")  # the name of a folder may hold what an encoding lacks
