"""What the scoring of step 2 costs beside torchcam, pytorch-grad-cam and captum, on step 2's own images and batches.

Needs   benchmarks/requirements.txt; what is not installed is left out, and reported
Reads   a data set in CelebA's layout (its images are decoded before anything is timed); the network has random weights
Writes  a JSON line a number of attributes to --out: seconds of every turn, medians, ratios, the largest difference

Every image is scored for the attributes that it is a scoring image of. All methods take turns in one process, each from
the cached images to the means (K, C) of five layers; reading the batches is part of each (benchmarks.scoring_methods).

    python data/make_synthetic_celeba.py --num_images 6000 --seed 0 --rate Bald=0.1 --out data/synthetic_celeba
    python -m benchmarks.scoring --attributes 2 10 40 --img_size 64 --threads 1
"""

import statistics
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from benchmarks.scoring_methods import make_methods, prepare_work
from utils.common import arguments, run
from utils.common.paths import check_outputs
from utils.datasets.dataset import open_dataset
from utils.datasets.training_data import dataset_options
from utils.layouts.celeba import ATTRIBUTES
from utils.report.run_record import dataset_name

TASK = ["Bald", "Mouth_Slightly_Open"]


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.scoring")
    add = parser.add_argument
    counts = {"nargs": "+", "type": arguments.positive_int, "default": [2, 10, 40], "metavar": "K"}
    add("--attributes", **counts, help="heads: Bald, Mouth_Slightly_Open, then the others in CelebA's order; each run")
    add("--model", default="resnet18", metavar="NAME", help="network, with random weights")
    add("--layers", type=arguments.positive_int, default=5, metavar="N", help="last N convolutions without the last")
    add("--num_images", type=arguments.positive_int, default=64, metavar="N", help="scoring images of each attribute")
    add("--repeats", type=arguments.positive_int, default=5, metavar="N", help="turns of each method after a warm-up")
    add("--threads", type=arguments.positive_int, metavar="N", help="threads of PyTorch; without it one a core")
    text = "a method that is slower in its warm-up takes no further turn: the warm-up counts"
    add("--slowest", type=arguments.positive_float, default=60.0, metavar="S", help=text)
    add("--out", default="results/lines/scoring.jsonl", metavar="FILE", help="file that gets the lines")
    arguments.add_data_arguments(parser, img_size=64)
    arguments.add_run_arguments(parser, batch_size=64)
    return parser


def main(args):
    """A line for every number of attributes."""
    check_outputs(vars(args), out=args.out)
    device = run.pick_device(args.device)
    if args.threads:
        torch.set_num_threads(args.threads)
    order = TASK + [name for name in ATTRIBUTES if name not in TASK]
    for count in args.attributes:
        run.seed_everything(args.seed)
        data = open_dataset(attributes=order[:count], **dataset_options(**vars(args)))
        work = prepare_work(data, args.model, args.layers, args.num_images, args.batch_size, args.seed, device)
        methods, versions = make_methods(work)
        turns, differences = measure(methods, args.repeats, args.slowest, device)
        line = {
            "what": "scoring",
            "dataset": dataset_name(args.data_path),
            "model": args.model,
            "attributes": count,
            "layers": args.layers,
            "img_size": args.img_size,
            "scoring_images": args.num_images,
            **work.describe(),
            "threads": torch.get_num_threads(),
            "device": device.type,
            **summary(turns),
            "largest_difference": differences,
            "library_versions": versions,
            "seed": args.seed,
        }
        run.append_result(Path(args.out), line)
        show(line)


def measure(methods, repeats, slowest, device):
    """Let the methods take turns.

    Args: methods: {name: function that returns {layer: (K, C)}}, "ours" first
    Returns: ({name: [(seconds, seconds of CPU time) of each turn, the warm-up first]}, {name: largest difference
        from ours, in units of the layer's largest score})
    """
    turns, differences, ours = {name: [] for name in methods}, {}, None
    for turn in range(repeats + 1):
        for name, work in methods.items():
            if turn and turns[name][0][0] > slowest:
                continue
            took, channels = timed(work, device)
            turns[name].append(took)
            ours = ours or channels
            differences[name] = max(
                float((channels[layer] - score).abs().max() / score.abs().max()) for layer, score in ours.items()
            )
    return turns, differences


def timed(work, device):
    """((seconds, seconds of CPU time of all threads), result) of a call, with what it queued on the device.

    CPU time depends less on what else the machine does.
    """
    watch, start = run.Stopwatch(device), time.process_time()
    with watch("work"):
        result = work()
    return (watch.seconds["work"], time.process_time() - start), result


def summary(turns):
    """Seconds of every turn, their medians without the warm-up, and medians in units of ours."""
    found = {}
    for place, kind in enumerate(("", "_cpu")):
        seconds = {name: [turn[place] for turn in took] for name, took in turns.items()}
        medians = {name: statistics.median(took[1:] or took) for name, took in seconds.items()}
        found |= {f"turn{kind}_seconds": seconds, f"median{kind}_seconds": medians}
        for words, base in (("times_ours", "ours"), ("times_ours_with_edges", "ours, with edges")):
            found[words + kind] = {name: median / medians[base] for name, median in medians.items()}
    return found


def show(line):
    """Print a line as a table."""
    ratios = ("times_ours", "times_ours_cpu", "times_ours_with_edges", "times_ours_with_edges_cpu")
    rows = [[name, median, *(line[ratio][name] for ratio in ratios)] for name, median in line["median_seconds"].items()]
    print(run.table(rows, [f"{line['attributes']} attributes, {line['img_size']} px", "seconds", *ratios]))


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
