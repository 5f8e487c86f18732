"""How far pruning goes at other proportions: score once, cut at each, judge each time.

Reads   checkpoints/<run>/original.pth      (step 1)
Writes  one JSON line a proportion to --results, a picture to results/<run>/<targets>/proportions.png

    python -m benchmarks.proportions --task Bald Mouth_Slightly_Open --target Bald
"""

import copy

from utils import arguments


def get_args_parser():
    """The flags; the data's and the network's are those of step 2."""
    parser = arguments.Parser(description=__doc__, prog="proportions")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    add = parser.add_argument
    shares = [0.02, 0.05, 0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4]
    add(
        "--proportions", nargs="+", type=arguments.share, default=shares, help="shares of a layer's channels, in (0, 1]"
    )
    add("--importance", default="gradcam", choices=["gradcam", "gradient_activation"], help="score of a channel")
    add("--num_images", type=arguments.positive_int, default=64, help="scoring images of each attribute")
    add("--batch_size", type=arguments.positive_int, default=128, help="images a pass")
    arguments.add_network_arguments(parser)
    arguments.add_data_arguments(parser)
    arguments.add_common_arguments(parser)
    parser.set_defaults(results="results/proportions.jsonl")
    return parser


def main(args):
    """Score, then prune a copy at every proportion."""
    from tqdm import tqdm

    from utils import graph_making, paths, run
    from utils.celeba import open_celeba
    from utils.dataflow import trace_dataflow
    from utils.figures import draw_proportion_curve
    from utils.judging import judge
    from utils.network import open_network
    from utils.pruning import zero_channels

    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    name = paths.run_name(args.task_labels, args.run_name)
    network = open_network(
        paths.checkpoint_file(args.save_path, name, "original"),
        args.task_labels,
        device=device,
        **arguments.network_options(args),
    )
    data = open_celeba(**arguments.data_options(args, network.img_size))
    flow, test = trace_dataflow(network.model), data.everything("test")
    layers = graph_making.choose_layers(flow)
    rows, scored_for = graph_making.scoring_rows(data, network.attributes, args.num_images)
    data.prepare(rows)
    data.prepare(test)
    recipe = graph_making.Recipe(importance=args.importance)
    scores = graph_making.score(network.model, flow, layers, data, rows, scored_for, recipe, args.batch_size, device)
    before = judge(network.model, data, test, args.batch_size, device)
    points = [_point(0.0, 0, before, before, forgotten)]
    for proportion in tqdm(args.proportions, desc="proportions", disable=None):
        cut = graph_making.Recipe(proportion, args.importance)
        graph = graph_making.make_graph(scores, list(network.attributes), forgotten, cut, network.model, {})
        pruned = copy.deepcopy(network.model)
        zero_channels(pruned, graph.prune, flow.batch_norm)
        after = judge(pruned, data, test, args.batch_size, device)
        points.append(_point(proportion, sum(map(len, graph.prune.values())), before, after, forgotten))
    for point in points:
        record = {"run": name, "attributes": list(network.attributes), "forgotten": forgotten, "seed": network.seed}
        record |= {"dataset": arguments.dataset_name(args), "importance": args.importance, "n": len(test)}
        run.append_result(args.results, {**record, **point})
    folder = paths.results_folder(args.results, name, paths.targets_name(forgotten))
    draw_proportion_curve(folder / "proportions.png", points, f"Forget {' and '.join(forgotten)}")
    columns = ["proportion", "pruned", "tpr_all_positive", "auc", "kept_accuracy_change"]
    print(run.table([[point[column] for column in columns] for point in points], columns))
    print(f"wrote {len(points)} lines to {args.results} and {folder / 'proportions.png'}")


def _point(proportion, pruned, before, after, forgotten):
    """One row: figures of the first target, and the largest loss of accuracy among the kept heads."""
    target = after[forgotten[0]]
    changes = [after[name]["accuracy"] - before[name]["accuracy"] for name in after if name not in forgotten]
    picked = {key: target[key] for key in ("tpr_all_positive", "tpr", "auc")}
    return {"proportion": proportion, "pruned": pruned, **picked, "kept_accuracy_change": min(changes)}


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
