"""What scoring costs beside torchcam, pytorch-grad-cam and captum: channel weights of five layers, the same images.

Needs   benchmarks/requirements.txt; what is not installed is left out, and said to be
Writes  a JSON line a number of attributes to --out: seconds of every repeat, ratios of medians, the largest difference

All methods take turns in one process, each from the network to (N, C) weights or, ours, their means. The others are
used as they document it and in their fastest form: no heat map is summed, scaled or drawn (benchmarks.scoring_methods).

    python -m benchmarks.scoring_speed --attributes 2 10 40
"""

import statistics
import time
from pathlib import Path

from utils.common import arguments, run


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.scoring_speed")
    add = parser.add_argument
    add("--model", default="resnet18", metavar="NAME", help="network, with random weights")
    add(
        "--attributes", nargs="+", type=arguments.positive_int, default=[2, 10, 40], metavar="K", help="heads, each run"
    )
    add("--layers", type=arguments.positive_int, default=5, metavar="N", help="last N convolutions without the last")
    add("--images", type=arguments.positive_int, default=64, metavar="N", help="images, all scored for every attribute")
    add("--img_size", type=arguments.positive_int, default=64, metavar="PX", help="side of the images")
    add("--repeats", type=arguments.positive_int, default=7, metavar="N", help="turns that each method takes")
    add("--threads", type=arguments.positive_int, metavar="N", help="threads of PyTorch; without it one a core")
    add("--slowest", type=float, default=60.0, metavar="S", help="leave out a method once a warm-up takes longer")
    add("--out", default="results/scoring_speed.jsonl", metavar="FILE", help="file that gets the lines")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """A line for every number of attributes."""
    import torch

    from benchmarks.scoring_methods import make_methods

    device = run.pick_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    for heads in args.attributes:
        run.seed_everything(args.seed)
        images = torch.randn(args.images, 3, args.img_size, args.img_size, device=device)
        methods, versions = make_methods(args.model, heads, args.layers, images)
        seconds, busy, differences = measure(methods, args.repeats, args.slowest, device)
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        at_work = {name: statistics.median(times) for name, times in busy.items()}
        line = {
            "what": "scoring",
            "model": args.model,
            "attributes": heads,
            "layers": args.layers,
            "images": args.images,
            "img_size": args.img_size,
            "threads": torch.get_num_threads(),
            "device": device.type,
            "repeat_seconds": seconds,
            "median_seconds": medians,
            "times_ours": {name: median / medians["ours"] for name, median in medians.items()},
            "median_cpu_seconds": at_work,
            "times_ours_cpu": {name: median / at_work["ours"] for name, median in at_work.items()},
            "largest_difference": differences,
            "library_versions": versions,
            "peak_rss_bytes": run.peak_rss_bytes(),
            "seed": args.seed,
        }
        run.append_result(Path(args.out), line)
        ratios = (line["times_ours"], line["times_ours_cpu"])
        rows = [[name, 1000 * median, *(ratio[name] for ratio in ratios)] for name, median in medians.items()]
        print(run.table(rows, [f"{heads} attributes", "ms", "times ours", "by processor time"]))


def measure(methods, repeats, slowest, device):
    """Let the methods take turns.

    Args:
        methods: {name: (function, what turns its result into {layer: (K, C) means} or None)}; "ours" first
    Returns: ({name: [seconds]}, {name: [seconds of processor time, all threads]}, {name: largest difference from ours,
        in units of the layer's largest score})
    """
    seconds, busy, differences, ours = {}, {}, {}, None
    for name, (work, means) in list(methods.items()):
        took, _, result = timed(work, device)  # a warm-up, whose values are compared
        if took > slowest:
            del methods[name]
            continue
        seconds[name], busy[name] = [], []
        if means is not None:
            found = means(result)
            ours = ours or found
            differences[name] = max(
                float((found[layer] - score).abs().max() / score.abs().max()) for layer, score in ours.items()
            )
    for _ in range(repeats):
        for name, (work, _) in methods.items():
            took, at_work, _ = timed(work, device)
            seconds[name].append(took)
            busy[name].append(at_work)
    return seconds, busy, differences


def timed(work, device):
    """(seconds, seconds of processor time, result) of a call, with the work that it queued on the device.

    Processor time hardly depends on what else the machine does.
    """
    watch, start = run.Stopwatch(device), time.process_time()
    with watch("work"):
        result = work()
    return watch.seconds["work"], time.process_time() - start, result


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
