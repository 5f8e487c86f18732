"""Step 3 of 3: unlearn by pruning the nodes that the essential graph names, and evaluate before against after.

With --method erase convolutions are edited in closed form, so that the features forget too; that needs no graph.

Reads   checkpoints/<run>/original.pth         (step 1, or your own weights by --weights)
        graphs/<run>/<targets>.json            (step 2; --graph for another file, also in the released text format)
Writes  checkpoints/<run>/pruned_<targets>.pth, or erased_<targets>.pth
        results/results.jsonl                  one line for this run
        results/<run>/<targets>/{pruned,erased}/  before_after.png; with --audit audit_<target>.json and pictures
        results/<run>/<targets>/report.html       with --audit or --report: everything on one page

    python unlearning_multi_celeba_resnet18_unlearning.py --target_class 0
"""

import copy
from argparse import BooleanOptionalAction

from utils.common import arguments as a
from utils.common import locks


def get_args_parser():
    """The flags of step 3: edit the defaults here."""
    parser = a.Parser(description=__doc__, prog="step 3")
    add = parser.add_argument_group("task").add_argument
    add("--task_labels", "--task", nargs="+", default=["Bald", "Mouth_Slightly_Open"], metavar="ATTR", help=a.LABELS)
    add("--target_class", "--target", nargs="+", type=a.head_or_place, default=[0], metavar="HEAD", help=a.TARGET)
    add("--setting", choices=a.SETTINGS, default=None, help=a.SETTING)  # I, II, III or IV of the paper
    add("--run_name", default=None, metavar="NAME", help=a.RUN)

    add = parser.add_argument_group("method").add_argument
    text = "prune: as published, silences the head; erase: takes the attribute out of the features"
    add("--method", default="prune", choices=["prune", "erase"], help=text)
    text = "of erase: above 1 forgets more; auto: what is enough, or what kept heads can afford, on held-out images"
    add("--strength", type=a.number_or_auto, default=1.0, metavar="X", help=text)
    text = "of erase: activations: in closed form; weights: a short training too, so that it does not come back"
    add("--depth", default="activations", choices=["activations", "weights"], help=text)
    add("--graph", metavar="FILE", help="graph to prune by; without it the one that step 2 wrote for this task")
    for flag in ("strength", "depth"):
        parser.only_with(flag, "method", "erase")
    parser.only_with("graph", "method", "prune")
    for flag in ("strength", "depth", "graph"):  # what an evaluation alone would pass over
        parser.only_with(flag, "evaluate_only", False)
    add("--audit", choices=["quick", "full"], default=None, help="attack the features and give a verdict")
    text = "write report.html, one page of everything known of this run; without a word where an audit runs"
    add("--report", action=BooleanOptionalAction, default=None, help=text)
    text = "images under the maps of that page; without a word drawn ones only"
    add("--faces", action=BooleanOptionalAction, default=None, help=text)
    add("--evaluate_only", action="store_true", help="evaluate the checkpoint of this method that is there")

    a.add_network_arguments(parser)
    a.add_data_arguments(parser)
    a.add_run_arguments(parser, batch_size=128)
    return parser


@locks.one_at_a_time
def main(args):
    """Evaluate, set the graph's nodes to zero (or erase), evaluate again, save."""
    from tools.audit import audit_networks  # one block, here, so that --help answers at once
    from tools.choose_strength import choose_settings
    from utils.common import run
    from utils.datasets.task import open_task
    from utils.erasure.erasure import erase
    from utils.evaluation.predict import evaluate
    from utils.graph.dataflow import trace_dataflow
    from utils.page.page import finish_unlearning
    from utils.pruning.channels import read_nodes, zero_channels
    from utils.report import outputs, run_record

    task = open_task(**vars(args))
    network, original = task.network, copy.deepcopy(task.network.model)
    path, folder = outputs.unlearned_outputs(task, vars(args))
    if args.evaluate_only:
        method = network.load_unlearned(path)
    else:
        method = {"rule": "erase"} if args.method == "erase" else read_nodes(args.graph, task)
    data, watch = task.open_data(method.get("as_released")), run.Stopwatch(task.device)
    run.header("step 3: unlearning", run_record.describe_unlearning(task, method, data, vars(args)))
    networks = {"original": original, "unlearned": network.model}
    networks |= task.reference_networks(args.seed, data) if args.audit or args.strength == "auto" else {}
    test = {"rows": data.prepare(data.rows("test")), "batch_size": args.batch_size, "device": task.device}
    before = run_record.warn_of_base_rates(evaluate(original, data, **test), network)
    if args.method == "prune" and not args.evaluate_only:
        with watch("prune"):
            zero_channels(network.model, method["pruned"], trace_dataflow(network.model).batch_norm)
    elif not args.evaluate_only:
        settings = choose_settings(args.strength, networks, data, task, folder, depth=args.depth, seed=args.seed)
        with watch("erase"):
            method |= vars(settings) | erase(network.model, data, task.forgotten, settings, device=task.device)
    after = evaluate(network.model, data, **test)
    run_record.save_unlearned(path, network, method, vars(args))
    line = run_record.unlearning_line(task, method, path, before, after, watch.seconds, vars(args))
    if args.audit:
        options = {"level": args.audit, "seed": args.seed, "device": task.device, "made": line}
        line = audit_networks(networks, data, task.forgotten, folder, **options) | line
    finish_unlearning(line, task, networks, data, folder, vars(args))


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
