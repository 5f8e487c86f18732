"""Write a network in a format that runs without this project, compared with the network before it is written.

Reads   --checkpoint   any checkpoint of the three scripts
Writes  --onnx         ONNX (pip install -r requirements-extras.txt), heads and normalisation as its metadata
        --exported     PyTorch's exported program, for torch.export.load, the same in its extra file network.json

The file does not normalise: normalisation is metadata, images must be prepared so.

    python -m tools.export --checkpoint checkpoints/Bald_Mouth_Slightly_Open/pruned_Bald.pth --onnx bald.onnx
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments


def get_args_parser():
    """The flags of the export."""
    parser = arguments.Parser(description=__doc__, prog="tools.export")
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FILE", help="the network to export")
    add("--onnx", metavar="FILE", help="write ONNX: images (N, 3, H, W) in, logits (N, K) out, any N")
    add("--exported", metavar="FILE.pt2", help="write PyTorch's exported program, any N")
    add("--img_size", type=arguments.positive_int, metavar="PX", help="side of the images; without it the checkpoint's")
    return parser


def main(args):
    """Load, export, compare, write."""
    from tools import formats
    from utils.common.errors import InputError
    from utils.common.paths import check_outputs
    from utils.network.checkpoint import load_checkpoint, restore, sha256_of

    check_outputs(vars(args), onnx=args.onnx, exported=args.exported)
    exporters = {args.onnx: formats.to_onnx, args.exported: formats.to_program}
    exporters.pop(None, None)
    if not exporters:
        raise InputError("nothing to write: pass --onnx FILE, --exported FILE.pt2, or both")
    if args.onnx:
        formats.load_optional("--onnx", *formats.FOR_ONNX)  # before any work
    checkpoint = load_checkpoint(args.checkpoint)
    model, size = restore(checkpoint), args.img_size or checkpoint.img_size
    facts = formats.describe(checkpoint, sha256_of(args.checkpoint), size)
    for path, export in exporters.items():
        difference = formats.write_network(path, model, size, facts, export)
        print(f"wrote {path}: logits within {difference:.1e} of the network's, heads {facts['attributes']}")
    print(f"its images must be prepared so: RGB, {size} x {size} px, {checkpoint.normalisation}")


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
