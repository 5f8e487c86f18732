"""Write a network in a format that runs without this project, compared with the network before it is written.

Reads   --checkpoint   any checkpoint of the three scripts, or a plain state dict with --task_labels and --model
Writes  --onnx         ONNX (pip install -r requirements-extras.txt), its heads and how images are prepared as metadata
        --exported     PyTorch's exported program, for torch.export.load, the same in its extra file network.json

The file does not normalise: it only says, as metadata, how images must be prepared before it sees them.

    python -m tools.export --checkpoint checkpoints/Bald_Mouth_Slightly_Open/pruned_Bald.pth --onnx bald.onnx
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments
from utils.common.normalisation import add_normalisation_arguments, normalisation_from_flags


def get_args_parser():
    """The flags of the export."""
    parser = arguments.Parser(description=__doc__, prog="tools.export")
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FILE", help="the network to export")
    add("--onnx", metavar="FILE", help="write ONNX: images (N, 3, H, W) in, logits (N, K) out, any N")
    add("--exported", metavar="FILE.pt2", help="write PyTorch's exported program, any N")
    text = "heads of a plain state dict, in order; a checkpoint says them itself"
    add("--task_labels", "--task", nargs="+", metavar="ATTR", help=text)
    add("--model", metavar="NAME", help="architecture of a plain state dict; without it resnet18")
    text = "side of the images, pixels; without it the checkpoint's, or 224 for a plain state dict"
    add("--img_size", type=arguments.positive_int, metavar="PX", help=text)
    add_normalisation_arguments(add)
    return parser


def main(args):
    """Load, export, compare, write."""
    from tools import formats
    from utils.common.errors import InputError
    from utils.common.paths import check_outputs
    from utils.network.loading import load_network

    check_outputs(vars(args), onnx=args.onnx, exported=args.exported)
    exporters = {args.onnx: formats.to_onnx, args.exported: formats.to_program}
    exporters.pop(None, None)
    if not exporters:
        raise InputError("nothing to write: pass --onnx FILE, --exported FILE.pt2, or both")
    if args.onnx:
        formats.load_optional("--onnx", *formats.FOR_ONNX)  # before any work
    asked = {"name": args.model, "normalisation": normalisation_from_flags(args.mean, args.std)}
    asked |= {"img_size": args.img_size, "check": ("attributes", "model", "normalisation")}  # of another size, too
    network = load_network(None, args.task_labels, weights=args.checkpoint, **asked)
    model, size = network.model, args.img_size or network.img_size
    facts = formats.describe(network, size)
    for path, export in exporters.items():
        difference = formats.write_network(path, model, size, facts, export)
        print(f"wrote {path}: logits within {difference:.1e} of the network's, heads {facts['attributes']}")
    assumed = [flag for flag in network.assumed if not (args.img_size and flag.startswith("--img_size"))]
    if assumed:
        print(f"assumed, for a plain state dict does not say: {' '.join(assumed)}")
    print(formats.preparation(facts))


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
