"""Step 2 of 3: score channels and connections by gradient, balance them, write the essential graph.

Reads   checkpoints/<run>/original.pth         (step 1, or the user's own weights by --weights)
Writes  graphs/<run>/<targets>.json            (read by step 3), .graphml and .png beside it
        important/<run>_celeba_<t>_target_important_dict.txt   with --released_txt
        results/<run>/<targets>/               with --show_cams and --importance_curve

    python unlearning_multi_celeba_resnet18_generate_graph.py --target Bald --proportion 0.1
"""

from argparse import BooleanOptionalAction

from utils.common import arguments


def get_args_parser():
    """The flags of step 2; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="step 2")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    add = parser.add_argument
    add(
        "--proportion",
        type=arguments.share,
        default=0.1,
        help="share of a layer's channels that is essential, in (0, 1]",
    )
    add("--layers", nargs="+", default=["5"], metavar="N", help="last N convolutions without the very last, or names")
    add("--num_images", type=arguments.positive_int, help="scoring images of each attribute (64; 1 with --as_released)")
    add(
        "--importance",
        default="gradcam",
        choices=arguments.IMPORTANCE,
        help="score, or a control that ignores the graph",
    )
    add(
        "--no_balance", action="store_true", help="prune what the target needs even where a kept attribute needs it too"
    )
    add("--as_released", action="store_true", help="score and vote exactly as the released code, defects included")
    add("--released_txt", action="store_true", help="also write the votes in the released text format")
    add("--show_cams", type=arguments.positive_int, metavar="N", help="draw Grad-CAM overlays of N training images")
    add(
        "--importance_curve",
        action=BooleanOptionalAction,
        default=False,
        help="prune 5 %% at a time and draw the curve",
    )
    arguments.add_network_arguments(parser)
    arguments.add_data_arguments(parser)
    add("--batch_size", type=arguments.positive_int, default=64, help="images a pass")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Score, balance, write."""
    from utils.common import paths, run
    from utils.datasets.dataset import open_dataset
    from utils.graph import graph_making
    from utils.graph.dataflow import trace_dataflow
    from utils.network.loading import load_network
    from utils.report import graph_report

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    name, targets = paths.run_name(args.task_labels, args.run_name), paths.targets_name(forgotten)
    checkpoint = paths.checkpoint_file(args.save_path, name, "original")
    network = load_network(checkpoint, args.task_labels, device=device, **arguments.network_options(args))
    model, dataflow = network.model, trace_dataflow(network.model)
    data = open_dataset(**arguments.data_options(args, network.img_size), exact_resize=args.as_released)

    recipe = graph_making.GraphSettings(
        args.proportion, args.importance, not args.no_balance, args.as_released, args.seed
    )
    layers = graph_making.choose_layers(dataflow, args.layers)
    num_images = args.num_images or (1 if args.as_released else 64)
    rows, scored_for = graph_making.scoring_rows(data, network.attributes, num_images)
    about = graph_report.describe(network, recipe, device, forgotten, layers, scored_for)
    run.header("step 2: essential graph", about)
    watch = run.Stopwatch(device)
    with watch("read images"):
        data.prepare(rows)
    with watch("score"):
        images = {"data": data, "rows": rows, "scored_for": scored_for, "batch_size": args.batch_size}
        scores = graph_making.score(model, dataflow, layers, recipe=recipe, device=device, **images)
    with watch("select"):
        made_by = graph_report.made_by(network, args.seed, arguments.recipe_arguments(args), scored_for)
        graph = graph_making.make_graph(scores, list(network.attributes), forgotten, recipe, model, made_by)

    released = paths.released_graph_file(args.released_path, name, [network.attributes.index(t) for t in forgotten])
    graph_file = paths.graph_file(args.graph_path, name, targets)
    graph_report.write_graph(graph, graph_file, released if args.released_txt else None)
    folder = paths.results_folder(args.results, name, targets)
    if args.show_cams:
        graph_report.draw_cams(graph, network, data, args.show_cams, folder, device)
    if args.importance_curve:
        graph_report.draw_curve(graph, network, dataflow, data, args.batch_size, args.seed, folder, device)
    graph_report.report(graph, watch.seconds)


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
