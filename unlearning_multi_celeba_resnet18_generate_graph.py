"""Step 2 of 3: score channels and connections by gradient, balance them, write the essential graph.

Reads   checkpoints/<run>/original.pth         (step 1, or your own weights by --weights)
Writes  graphs/<run>/<targets>.json            (read by step 3), .graphml and .png beside it
        important/<run>_celeba_<t>_target_important_dict.txt   with --released_txt
        results/<run>/<targets>/               with --show_cams and --importance_curve

    python unlearning_multi_celeba_resnet18_generate_graph.py --target_class 0 --proportion 0.1
"""

from utils.common import arguments as a
from utils.common import locks


def get_args_parser():
    """The flags of step 2: edit the defaults here."""
    parser = a.Parser(description=__doc__, prog="step 2")
    add = parser.add_argument_group("task").add_argument
    add("--task_labels", "--task", nargs="+", default=["Bald", "Mouth_Slightly_Open"], metavar="ATTR", help=a.LABELS)
    add("--target_class", "--target", nargs="+", type=a.head_or_place, default=[0], metavar="HEAD", help=a.TARGET)
    add("--proportion", type=a.share, default=0.1, help="share of a layer's channels that is essential, in (0, 1]")
    add("--setting", choices=a.SETTINGS, default=None, help=a.SETTING)  # I, II, III or IV of the paper
    add("--run_name", default=None, metavar="NAME", help=a.RUN)

    add = parser.add_argument_group("method").add_argument
    add("--layers", nargs="+", default=["5"], metavar="N", help="last N convolutions without the very last, or names")
    add("--num_images", type=a.positive_int, help="scoring images of each attribute (64; 1 with --as_released)")
    add("--importance", default="gradcam", choices=a.IMPORTANCE, help="score, or a control that ignores the graph")
    text = "prune what the target needs even where a kept attribute needs it too"
    add("--no_balance", action="store_true", help=text)
    add("--as_released", action="store_true", help="score and vote exactly as the released code, defects included")
    add("--released_txt", action="store_true", help="also write the votes in the released text format")
    add("--show_cams", type=a.positive_int, metavar="N", help="draw Grad-CAM overlays of N training images")
    add("--importance_curve", action="store_true", help="prune 5 %% at a time and draw the curve")

    a.add_network_arguments(parser)
    a.add_data_arguments(parser)
    a.add_run_arguments(parser, batch_size=64)
    return parser


@locks.one_at_a_time
def main(args):
    """Score the channels, take each attribute's essential set, balance them, write the graph."""
    from utils.common.run import Stopwatch, header  # one block, here, so that --help answers at once
    from utils.datasets.task import open_task
    from utils.graph import selection
    from utils.graph.dataflow import trace_dataflow
    from utils.graph.essential_graph import build_graph
    from utils.graph.importance import MEASURES, score_network
    from utils.graph.scoring_images import choose_scoring_images
    from utils.report import graph_report

    task = open_task(**vars(args))
    graph_report.check_graph_outputs(task, vars(args))
    network, dataflow = task.network, trace_dataflow(task.network.model)
    layers = dataflow.choose_layers(args.layers)
    data, watch = task.open_data(args.as_released), Stopwatch(task.device)
    images = choose_scoring_images(data, args.num_images or (1 if args.as_released else 64))
    header("step 2: essential graph", graph_report.describe(task, dataflow, layers, images, data, vars(args)))

    data.prepare(images.rows)
    with watch("score"):
        measure = args.importance if args.importance in MEASURES else "gradcam"  # a control ignores the scores
        total, batches = -(-len(images.rows) // args.batch_size), images.batches(args.batch_size, task.device)
        how = {"measure": measure, "of_probability": args.as_released, "total": total}
        scores = score_network(network.model, layers, dataflow.links_between(layers), batches, **how)
    with watch("select"):
        ties = {"collapse_ties": args.as_released}
        essential = selection.essential_sets(scores.channels, network.attributes, args.proportion, **ties)
        rule = selection.pruning_rule(args.importance, not args.no_balance, args.as_released)
        control = {"seed": args.seed, "balance": not args.no_balance}
        prune = selection.choose_nodes(rule, essential, scores.channels, task.forgotten, network.model, **control)
    made_by = graph_report.made_by(network, images, vars(args) | task.data_options)
    graph = build_graph(scores, essential, prune, task.forgotten, rule, made_by)

    graph_report.write_graph(graph, task, args.released_txt)
    if args.show_cams:
        graph_report.draw_cams(graph, task, data, args.show_cams, task.results_folder(args.results))
    if args.importance_curve:
        graph_report.draw_curve(graph, task, data, vars(args), task.results_folder(args.results))
    graph_report.print_summary(graph, task, watch.seconds, vars(args))


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
