"""Undo a pruning: put the removed values back, bit for bit.

Reads   --unlearned   checkpoints/<run>/unlearned_<targets>.pth   (step 3)
        --undo_file   what the same run of step 3 wrote with --undo_file
Writes  --out         the original checkpoint

    python restore_network.py --unlearned unlearned_Bald.pth --undo_file undo_Bald.pth --out original.pth
"""

from utils import arguments


def get_args_parser():
    """The flags of the undo."""
    parser = arguments.Parser(description=__doc__, prog="restore")
    add = parser.add_argument
    add("--unlearned", required=True, metavar="FILE", help="the pruned checkpoint")
    add("--undo_file", required=True, metavar="FILE", help="the undo file of the same run of step 3")
    add("--out", required=True, metavar="FILE", help="where the original goes")
    return parser


def main(args):
    """Check that the two belong together, put the values back, write."""
    from utils.undo import restore_original, write_original  # here, so that --help answers at once

    original, undo = restore_original(args.unlearned, args.undo_file)
    same = write_original(args.out, original, undo)
    file = "the file equals the original's, too" if same else "the file differs in what stands beside the tensors"
    print(f"wrote {args.out}: every tensor equals the original's bit for bit; {file} (sha256)")


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
