"""What an erasure costs against the number of images, of heads, and the size of the network and of the data set.

Reads   a folder of faces with all 40 attributes; the networks have random weights, which cost what trained ones do
Writes  a JSON line for each case to --out: seconds of the erasure (median of --repeats), of its parts, peak memory

    python -m benchmarks.erasure_scaling
"""

import statistics
from pathlib import Path

from utils import arguments, run

CASES = (
    *({"model": "resnet18", "heads": 2, "images": images} for images in (384, 768, 1536, 3072)),
    *({"model": "resnet18", "heads": heads, "images": 768} for heads in (5, 10, 20, 40)),
    *({"model": "resnet18", "heads": 2, "images": 768, "rows": rows} for rows in (1500, 3000)),
    {"model": "resnet50", "heads": 2, "images": 768},
)


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.erasure_scaling")
    arguments.add_data_arguments(parser, img_size=64)
    add = parser.add_argument
    add("--target", default="Bald", metavar="ATTR", help="what is forgotten; the first kept heads are CelebA's first")
    add("--repeats", type=arguments.positive_int, default=3, metavar="N", help="times each case is measured")
    add("--out", default="results/erasure_scaling.jsonl", metavar="FILE", help="file that gets the lines")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Every case, its repeats in turn."""
    from utils.celeba import ATTRIBUTES, open_celeba

    device = run.pick_device(args.device)
    others = [name for name in ATTRIBUTES if name != args.target]
    for case in CASES:
        heads = [args.target, *others[: case["heads"] - 1]]
        options = arguments.data_options(args, args.img_size, heads) | {"limit": case.get("rows", args.limit)}
        data = open_celeba(**options)
        data.prepare(data.everything("train"))
        parts = [_erase_once(case, heads, data, args.target, args.seed, device) for _ in range(args.repeats)]
        seconds = statistics.median(sum(part.values()) for part in parts)
        line = {"what": "erasure scaling", **case, "train_images": len(data.everything("train"))}
        line |= {"seconds": seconds, "parts": {key: statistics.median(p[key] for p in parts) for key in parts[0]}}
        line |= {"repeats": args.repeats, "img_size": args.img_size, "peak_rss_bytes": run.peak_rss_bytes()}
        run.append_result(Path(args.out), {**line, "dataset": arguments.dataset_name(args), "seed": args.seed})
        print(f"{case}: {seconds:.2f} s")


def _erase_once(case, heads, data, target, seed, device):
    """{part: seconds} of one erasure of a fresh network."""
    from utils.erasure import ErasureRecipe, erase
    from utils.network import random_network

    model, watch = random_network(case["model"], heads, seed, device), run.Stopwatch(device)
    erase(model, data, [target], ErasureRecipe(images=case["images"], seed=seed), device=device, watch=watch)
    return dict(watch.seconds)


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
