"""Write a network in a format that runs without this project, and check it against the network itself.

Reads   --checkpoint   any checkpoint of these scripts: original, unlearned, shrunk
Writes  --onnx         ONNX (pip install -r requirements-export.txt)
        --exported     PyTorch's exported program, .pt2, for torch.export.load

    python export_network.py --checkpoint checkpoints/Bald_Mouth_Slightly_Open/unlearned_Bald.pth --onnx small.onnx
"""

from utils.common import arguments


def get_args_parser():
    """The flags of the export."""
    parser = arguments.Parser(description=__doc__, prog="export")
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FILE", help="the network to export")
    add("--onnx", metavar="FILE", help="write ONNX: images (N, 3, H, W) in, logits (N, K) out, any N")
    add("--exported", metavar="FILE.pt2", help="write PyTorch's exported program, any N")
    add("--img_size", type=arguments.positive_int, metavar="PX", help="side of the images; without it the checkpoint's")
    return parser


def main(args):
    """Load, export, check, write."""
    from utils.common.errors import InputError
    from utils.network.checkpoint import load_checkpoint, restore, sha256_of
    from utils.report import export

    wanted = {args.onnx: export.write_onnx, args.exported: export.write_exported_program}
    wanted.pop(None, None)
    if not wanted:
        raise InputError("nothing to write: pass --onnx FILE, --exported FILE.pt2, or both")
    if args.onnx:
        export.check_installed()
    checkpoint = load_checkpoint(args.checkpoint)
    model, size = restore(checkpoint), args.img_size or checkpoint.img_size
    facts = export.about(checkpoint, sha256_of(args.checkpoint), size)
    for path, write in wanted.items():
        difference = write(path, model, size, facts)
        print(f"wrote {path}: logits within {difference:.1e} of the network's, heads {facts['attributes']}")


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
