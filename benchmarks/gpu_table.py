"""One table for a CUDA card: loading, training, scoring and pruning at the published size.

Reads   the data set (--data_path); the network has random weights
Writes  a JSON line to --out: images/s, milliseconds, peak memory in bytes and how often the host waited for the card

Without a card it ends with exit code 2 and one line. It was not run on a GPU so far.

    python -m benchmarks.gpu_table --data_path data/synthetic_celeba --img_size 224 --batch_size 256
"""

import statistics
import warnings
from pathlib import Path

from utils.common import arguments, run
from utils.common.errors import InputError

WAIT = "called a synchronizing CUDA operation"  # how PyTorch's sync debug mode names it


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.gpu_table")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    arguments.add_data_arguments(parser, img_size=224)
    add = parser.add_argument
    add("--model", default="resnet18", metavar="NAME", help="network")
    add("--batch_size", type=arguments.positive_int, default=256, metavar="N", help="images a step")
    add("--num_images", type=arguments.positive_int, default=64, metavar="N", help="scoring images of each attribute")
    add(
        "--repeats", type=arguments.positive_int, default=5, metavar="N", help="times each is measured, after a warm-up"
    )
    add("--out", default="results/gpu_table.jsonl", metavar="FILE", help="file that gets the line")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Measure each stage on the card."""
    import torch

    if not torch.cuda.is_available():
        raise InputError("no CUDA device here: this table is for a card (nothing was measured)")
    from utils.datasets.dataset import open_dataset
    from utils.network.loading import random_network

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    data = open_dataset(**arguments.data_options(args, args.img_size))
    data.prepare(data.rows("train"))
    model = random_network(args.model, args.task_labels, args.seed, device)
    work = stages(model, data, forgotten, args.batch_size, args.num_images, args.seed, device)
    found = {name: measure(step, args.repeats, device) for name, step in work.items()}
    images = len(data.rows("train"))
    for name in ("loading", "training"):
        found[name]["images_per_second"] = images / found[name]["seconds"]
    facts = {"model": args.model, "img_size": args.img_size, "batch_size": args.batch_size, "train_images": images}
    run.append_result(Path(args.out), {"what": "card", **facts, "stages": found, "seed": args.seed})
    rows = [
        [name, 1000 * one["seconds"], one.get("images_per_second"), one["peak_bytes"] / 1e9, one["waits"]]
        for name, one in found.items()
    ]
    print(run.table(rows, ["stage", "ms", "images/s", "peak memory, GB", "waits of the host"]))


def stages(model, data, forgotten, batch_size, num_images, seed, device):
    """{stage: function without arguments}; training is one epoch of a copy, pruning is undone outside of its timing."""
    import copy

    from utils.datasets.augmentation import Augmentation
    from utils.graph import graph_making
    from utils.graph.dataflow import trace_dataflow
    from utils.pruning.channels import channels
    from utils.training.loop import fit
    from utils.training.recipe import TrainingSettings

    flow, recipe, rows = trace_dataflow(model), graph_making.GraphSettings(), data.rows("train")
    layers = graph_making.choose_layers(flow)
    scoring, scored_for = graph_making.scoring_rows(data, data.attributes, num_images)
    of_scoring = {"data": data, "rows": scoring, "scored_for": scored_for, "batch_size": batch_size}
    prune = {layer: list(range(model.get_submodule(layer).out_channels // 10)) for layer in layers}
    once = TrainingSettings(epochs=1, batch_size=batch_size, seed=seed)
    spare = copy.deepcopy(model)

    def load():
        for _ in data.batches(rows, batch_size, device):
            pass

    return {
        "loading": load,
        "training": lambda: fit(copy.deepcopy(model), data, once, device, augment=Augmentation(degrees=30.0)),
        "scoring": lambda: graph_making.score(model, flow, layers, recipe=recipe, device=device, **of_scoring),
        "pruning": lambda: channels.zero_channels(spare, prune, flow.batch_norm),
    }


def measure(work, repeats, device):
    """{"seconds" (median), "peak_bytes", "waits"} of some work on a card, after one warm-up."""
    import torch

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
    """How often the host waits for the card while some work runs."""
    import torch

    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            work()
        finally:
            torch.cuda.set_sync_debug_mode(before)
    return sum(WAIT in str(warning.message) for warning in told)


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
