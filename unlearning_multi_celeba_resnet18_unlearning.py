"""Step 3 of 3: unlearn by pruning the nodes that the essential graph names, then judge before against after.

Reads   checkpoints/<run>/original.pth         (step 1, or the user's own weights by --weights)
        graphs/<run>/<targets>.json            (step 2; the released text with --released_txt)
Writes  checkpoints/<run>/unlearned_<targets>.pth
        results/results.jsonl                  one line for this run
        results/<run>/<targets>/before_after.png

    python unlearning_multi_celeba_resnet18_unlearning.py --target Bald
"""

from utils import arguments


def get_args_parser():
    """The flags of step 3; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="step 3")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    add = parser.add_argument
    add("--graph", metavar="FILE", help="graph of step 2 (graphs/<run>/<targets>.json)")
    add("--released_txt", action="store_true", help="take the votes from the released text format instead of the JSON")
    add("--as_released", action="store_true", help="preprocess images exactly as the released code")
    add("--evaluate_only", action="store_true", help="judge the unlearned checkpoint that is there; change nothing")
    arguments.add_network_arguments(parser)
    arguments.add_data_arguments(parser)
    add("--batch_size", type=arguments.positive_int, default=128, help="images a pass")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Evaluate, prune, evaluate, write."""
    from utils import paths, run, unlearning  # here, so that --help answers at once
    from utils.celeba import open_celeba
    from utils.dataflow import trace_dataflow
    from utils.network import open_network
    from utils.pruning import zero_channels

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    name = paths.run_name(args.task_labels, args.run_name)
    checkpoint = paths.checkpoint_file(args.save_path, name, "original")
    asked = {"weights": args.weights, "name": args.model, "img_size": args.img_size, "device": device}
    network = open_network(checkpoint, args.task_labels, **asked)
    prune, recipe = unlearning.channels_to_prune(args, network, forgotten, name)
    data = open_celeba(**arguments.data_options(args, network.img_size), exact_resize=args.as_released)
    rows = data.everything("test")
    run.header("step 3: unlearning", unlearning.describe(args, network, device, forgotten, prune, len(rows)))

    watch = run.Stopwatch(device)
    with watch("read images"):
        data.prepare(rows)
    with watch("evaluate before"):
        before = unlearning.judge(network.model, data, rows, args.batch_size, device)
    with watch("prune"):
        if args.evaluate_only:
            unlearning.load_unlearned(network, paths.checkpoint_file(args.save_path, name, unlearning.kind(forgotten)))
        else:
            zero_channels(network.model, prune, trace_dataflow(network.model).batch_norm)
    with watch("evaluate after"):
        after = unlearning.judge(network.model, data, rows, args.batch_size, device)

    heads = {attribute: {"before": before[attribute], "after": after[attribute]} for attribute in network.attributes}
    sha256 = None if args.evaluate_only else unlearning.save_unlearned(args, network, forgotten, prune, name)
    unlearning.write_results(args, network, forgotten, prune, recipe, heads, watch.seconds, sha256, name)
    unlearning.report(heads, forgotten)


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
