"""Take the channels that a pruning left at zero out of a network: a smaller file, the same answers.

Reads   --checkpoint   checkpoints/<run>/unlearned_<targets>.pth   (step 3), or any other checkpoint of these scripts
        --data_path    real images to compare the two networks on, if you name a folder
Writes  --out          the smaller checkpoint; audit_unlearning.py and export_network.py open it like any other
        --results      a line of figures, if you name a file

    python shrink_network.py --checkpoint checkpoints/Bald_Mouth_Slightly_Open/unlearned_Bald.pth --out small.pth
"""

from utils import arguments


def get_args_parser():
    """The flags of the removal."""
    parser = arguments.Parser(description=__doc__, prog="shrink")
    add = parser.add_argument
    add("--checkpoint", required=True, metavar="FILE", help="the network to shrink")
    add("--out", required=True, metavar="FILE", help="where the smaller checkpoint goes")
    add(
        "--images", type=arguments.positive_int, default=256, metavar="N", help="random images, and real ones, compared"
    )
    add("--batch_size", type=arguments.positive_int, default=64, help="images a pass, also of the passes timed")
    add("--repeats", type=arguments.positive_int, default=20, metavar="N", help="passes timed; medians count")
    arguments.add_data_arguments(parser)
    arguments.add_common_arguments(parser)
    parser.set_defaults(data_path=None, results=None)
    return parser


def main(args):
    """Load, shrink, compare, write."""
    from utils import run, shrinking  # here, so that --help answers at once
    from utils.checkpoint import load_checkpoint, restore, save_checkpoint, sha256_of
    from utils.network_cost import compare_costs

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    checkpoint, parent = load_checkpoint(args.checkpoint), sha256_of(args.checkpoint)
    model = restore(checkpoint, device)
    images = images_to_compare(args, checkpoint, device)
    lines = {"network": f"{checkpoint.model}, {checkpoint.kind}, from {args.checkpoint}, on {device}"}
    run.header("shrink", lines)
    small, layers = shrinking.shrink(model)
    print(run.table([[name, *row.values()] for name, row in layers.items()], ["layer", "channels", *shrinking.COUNTS]))

    differences = {}
    for kind, batches in images.items():
        differences[kind], largest = shrinking.largest_difference(model, small, batches)
        shrinking.check_equal(differences[kind], largest, f"{kind} images")
        print(f"largest difference of a logit on {kind} images: {differences[kind]:.1e} (largest logit {largest:.1f})")
    costs = compare_costs({"before": model, "after": small}, images["random"][0], args.repeats)
    sha256 = save_checkpoint(args.out, shrinking.shrunk_checkpoint(checkpoint, model, small, parent))
    print(shrinking.costs_table(costs))
    print(f"wrote {args.out}")
    if args.results:
        about = {"shrunk": args.checkpoint, "model": checkpoint.model, "kind": checkpoint.kind, "layers": layers}
        about |= {"img_size": images["random"][0].shape[-1], "batch_size": args.batch_size, "repeats": args.repeats}
        run.append_result(args.results, {**about, **costs, "difference": differences, "checkpoint_sha256": sha256})


def images_to_compare(args, checkpoint, device):
    """{"random": [batches of (N, 3, H, W)], and with --data_path "real": the same of the test part}."""
    import torch

    from utils.celeba import open_celeba

    size = args.img_size or checkpoint.img_size
    images = {"random": list(torch.randn(args.images, 3, size, size, device=device).split(args.batch_size))}
    if args.data_path:
        data = open_celeba(**arguments.data_options(args, size, checkpoint.attributes))
        rows = data.everything("test")[: args.images]
        data.prepare(rows)
        images["real"] = [batch for batch, _ in data.batches(rows, args.batch_size, device)]
    return images


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
