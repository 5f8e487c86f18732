"""What steps 2 and 3 cost beside the training they come after: score, select, write the graph, prune.

Reads   the data set (its images are decoded before anything is timed); the network has random weights
Writes  a JSON line to --out: seconds of each repeat and phase, of each training epoch, of starting (imports, tracing,
        opening the data) apart, and the share of a training of --epochs epochs (medians; evaluation on neither side)

    python -m benchmarks.pipeline_share --task Bald Mouth_Slightly_Open --target Bald
"""

import statistics
import tempfile
from pathlib import Path

from utils import arguments, run


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.pipeline_share")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    arguments.add_data_arguments(parser, img_size=64)
    add = parser.add_argument
    add("--model", default="resnet18", metavar="NAME", help="network")
    add("--num_images", type=arguments.positive_int, default=64, metavar="N", help="scoring images of each attribute")
    add("--batch_size", type=arguments.positive_int, default=64, metavar="N", help="images a scoring pass")
    add("--epochs", type=arguments.positive_int, default=20, metavar="E", help="epochs of the training compared with")
    add("--repeats", type=arguments.positive_int, default=3, metavar="N", help="times each of the two is measured")
    add("--out", default="results/pipeline_share.jsonl", metavar="FILE", help="file that gets the line")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Steps 2 and 3, an epoch, steps 2 and 3, an epoch, …"""
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    start = run.Stopwatch()
    with start("start"):
        from utils import network
        from utils.augmentation import Augmentation
        from utils.celeba import open_celeba
        from utils.training import Recipe, fit

        run.seed_everything(args.seed)
        device = run.pick_device(args.device)
        data = open_celeba(**arguments.data_options(args, args.img_size))
        model = network.random_network(args.model, args.task_labels, args.seed, device)
    rows = data.everything("train")
    data.prepare(rows)
    phases, epochs = [], []
    for _ in range(args.repeats):
        phases.append(score_and_prune(model, data, forgotten, args.num_images, args.batch_size, device))
        fresh, watch = network.random_network(args.model, args.task_labels, args.seed, device), run.Stopwatch(device)
        with watch("epoch"):
            fit(fresh, data, Recipe(epochs=1, seed=args.seed), device, augment=Augmentation(degrees=10.0))
        epochs.append(watch.seconds["epoch"])
    line = {
        "what": "pipeline",
        "dataset": arguments.dataset_name(args),
        "model": args.model,
        "attributes": list(args.task_labels),
        "forgotten": forgotten,
        "img_size": args.img_size,
        "train_images": len(rows),
        "scoring_images": args.num_images,
        "phase_seconds": phases,
        "epoch_seconds": epochs,
        "start_seconds": start.seconds["start"],
        "training_epochs": args.epochs,
        **shares(phases, epochs, args.epochs),
        "peak_rss_bytes": run.peak_rss_bytes(),
        "seed": args.seed,
    }
    run.append_result(Path(args.out), line)
    print(run.table([[name, 1000 * seconds] for name, seconds in line["median_seconds"].items()], ["phase", "ms"]))
    print(f"{100 * line['share']:.2f} % of a training of {args.epochs} epochs ({line['training_seconds']:.0f} s)")


def score_and_prune(model, data, forgotten, num_images, batch_size, device):
    """{phase: seconds} of steps 2 and 3 on images that are decoded; the network's channels are put back."""
    from utils import graph_making, pruning
    from utils.dataflow import trace_dataflow
    from utils.files import write_atomically

    watch, recipe = run.Stopwatch(device), graph_making.Recipe()
    with watch("trace"):
        flow = trace_dataflow(model)
        layers = graph_making.choose_layers(flow)
    with watch("score"):
        rows, scored_for = graph_making.scoring_rows(data, data.attributes, num_images)
        images = {"data": data, "rows": rows, "scored_for": scored_for, "batch_size": batch_size}
        scores = graph_making.score(model, flow, layers, recipe=recipe, device=device, **images)
    with watch("select"):
        graph = graph_making.make_graph(scores, list(data.attributes), forgotten, recipe, model, {})
    with watch("write"), tempfile.TemporaryDirectory() as folder:
        write_atomically(Path(folder) / "graph.json", graph.to_json())
    kept = pruning.read_channels(model, graph.prune, flow.batch_norm)
    with watch("prune"):
        pruning.zero_channels(model, graph.prune, flow.batch_norm)
    pruning.restore_channels(model, graph.prune, flow.batch_norm, kept)
    return watch.seconds


def shares(phases, epochs, count):
    """Medians of the phases, the training they stand beside, and what part of it they are."""
    medians = {name: statistics.median(phase[name] for phase in phases) for name in phases[0]}
    training = count * statistics.median(epochs)
    together = statistics.median(sum(phase.values()) for phase in phases)
    return {"median_seconds": medians, "training_seconds": training, "share": together / training}


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
