"""One table for a CUDA GPU: loading, training, scoring and pruning at the published size.

Reads   the data set (--data_path); the network has random weights
Writes  a JSON line to --out: images/s, milliseconds, peak memory in bytes and how often the host waited for the GPU

Without a GPU it ends with exit code 2 and one line.

    python -m benchmarks.gpu_table --data_path data/synthetic_celeba --img_size 224 --batch_size 256
"""

import copy
import statistics
import sys
import warnings
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments, run
from utils.common.errors import InputError
from utils.common.paths import check_outputs
from utils.datasets.augmentation import Augmentation
from utils.datasets.dataset import open_dataset
from utils.datasets.training_data import dataset_options
from utils.graph.dataflow import trace_dataflow
from utils.graph.importance import score_network
from utils.graph.scoring_images import choose_scoring_images
from utils.network.loading import random_network
from utils.pruning.channels import zero_channels
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings

WAIT = "called a synchronizing CUDA operation"  # how PyTorch's sync debug mode names it


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.gpu_table")
    arguments.add_task_arguments(parser)
    arguments.add_data_arguments(parser, img_size=224)
    arguments.add_run_arguments(parser, batch_size=256)
    add = parser.add_argument
    add("--model", default="resnet18", metavar="NAME", help="network")
    add("--num_images", type=arguments.positive_int, default=64, metavar="N", help="scoring images of each attribute")
    add("--repeats", type=arguments.positive_int, default=5, metavar="N", help="times each is measured after a warm-up")
    add("--out", default="results/lines/gpu_table.jsonl", metavar="FILE", help="file that gets the line")
    return parser


def main(args):
    """Measure each stage on the GPU."""
    check_outputs(vars(args), out=args.out)
    if not torch.cuda.is_available():
        raise InputError("no CUDA device here: this table is for a GPU (nothing was measured)")
    device = run.start_run(args.seed, args.device)
    data = open_dataset(attributes=args.task_labels, **dataset_options(**vars(args)))
    data.prepare(data.rows("train"))
    model = random_network(args.model, args.task_labels, args.seed, device)
    work = stages(model, data, args.batch_size, args.num_images, args.seed, device)
    measured = {name: measure(step, args.repeats, device) for name, step in work.items()}
    images = len(data.rows("train"))
    for name in ("loading", "training"):
        measured[name]["images_per_second"] = images / measured[name]["seconds"]
    facts = {"model": args.model, "img_size": args.img_size, "batch_size": args.batch_size, "train_images": images}
    run.append_result(Path(args.out), {"what": "gpu", **facts, "stages": measured, "seed": args.seed})
    rows = [
        [name, 1000 * one["seconds"], one.get("images_per_second"), one["peak_bytes"] / 1e9, one["waits"]]
        for name, one in measured.items()
    ]
    print(run.table(rows, ["stage", "ms", "images/s", "peak memory, GB", "waits of the host"]))


def stages(model, data, batch_size, num_images, seed, device):
    """{stage: function without arguments}; training is an epoch of a copy, pruning zeroes a tenth of each layer."""
    flow, rows = trace_dataflow(model), data.rows("train")
    layers, images = flow.choose_layers(), choose_scoring_images(data, num_images)
    prune = {layer: list(range(model.get_submodule(layer).out_channels // 10)) for layer in layers}
    once, spare = TrainingSettings(epochs=1, batch_size=batch_size, seed=seed), copy.deepcopy(model)

    def load():
        for _ in data.batches(rows, batch_size, device):
            pass

    return {
        "loading": load,
        "training": lambda: fit(copy.deepcopy(model), data, once, device, augment=Augmentation(degrees=30.0)),
        "scoring": lambda: score_network(model, layers, flow.links_between(layers), images.batches(batch_size, device)),
        "pruning": lambda: zero_channels(spare, prune, flow.batch_norm),
    }


def measure(work, repeats, device):
    """{"seconds" (median), "peak_bytes", "waits"} of some work on a GPU, after one warm-up."""
    work()
    torch.cuda.reset_peak_memory_stats(device)
    seconds = []
    for _ in range(repeats):
        watch = run.Stopwatch(device)
        with watch("work"):
            work()
        seconds.append(watch.seconds["work"])
    peak = torch.cuda.max_memory_allocated(device)
    return {"seconds": statistics.median(seconds), "peak_bytes": peak, "waits": count_waits(work)}


def count_waits(work):
    """How often the host waits for the GPU while some work runs."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum(WAIT in str(warning.message) for warning in caught)


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
