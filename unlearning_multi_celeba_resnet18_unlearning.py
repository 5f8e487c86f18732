"""Step 3 of 3: unlearn by pruning the nodes that the essential graph names, then judge before against after.

With --method erase its convolutions are instead edited in closed form so that its features forget too, without a graph.

Reads   checkpoints/<run>/original.pth         (step 1, or the user's own weights by --weights)
        graphs/<run>/<targets>.json            (step 2; the released text with --released_txt)
Writes  checkpoints/<run>/unlearned_<targets>.pth
        results/results.jsonl                  one line for this run
        --undo_file FILE                       only on request: what pruning removed (see docs/UNDO.md)
        results/<run>/<targets>/before_after.png, and with --audit audit_<target>.json and pictures

    python unlearning_multi_celeba_resnet18_unlearning.py --target Bald
"""

import copy

from utils import arguments


def get_args_parser():
    """The flags of step 3; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="step 3")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    add = parser.add_argument
    text = "prune: the published method, silences the head; erase: closed-form edits that clear the features too"
    add("--method", default="prune", choices=["prune", "erase"], help=text)
    add(
        "--strength",
        type=arguments.positive_float,
        default=1.0,
        metavar="X",
        help="of --method erase: more erases more",
    )
    text = "of --method erase: training images passed through, repeats of rare ones included"
    add("--erase_images", type=arguments.positive_int, default=1536, metavar="N", help=text)
    add("--graph", metavar="FILE", help="graph of step 2 (graphs/<run>/<targets>.json)")
    add("--released_txt", action="store_true", help="take the votes from the released text format instead of the JSON")
    add("--as_released", action="store_true", help="preprocess images exactly as the released code")
    add("--audit", choices=["quick", "full"], help="probe, relearn and attack both networks, and give a verdict")
    add("--oracle", metavar="FILE", help="the network that never saw the target (step 1 with --leave_out), for --audit")
    text = "keep what pruning removes, so that restore_network.py can undo it: then nothing is forgotten (docs/UNDO.md)"
    add("--undo_file", metavar="FILE", help=text)
    add("--evaluate_only", action="store_true", help="judge the unlearned checkpoint that is there; change nothing")
    arguments.add_network_arguments(parser)
    arguments.add_data_arguments(parser)
    add("--batch_size", type=arguments.positive_int, default=128, help="images a pass")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Evaluate, prune, evaluate, write."""
    from utils import judging, paths, run, unlearning  # here, so that --help answers at once
    from utils.celeba import open_celeba
    from utils.network import open_network

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    name, targets = paths.run_name(args.task_labels, args.run_name), paths.targets_name(forgotten)
    checkpoint = paths.checkpoint_file(args.save_path, name, "original")
    unlearned = paths.checkpoint_file(args.save_path, name, f"unlearned_{targets}")
    network = open_network(checkpoint, args.task_labels, device=device, **arguments.network_options(args))
    prune, recipe = how_to_unlearn(args, name, network, forgotten)
    data = open_celeba(**arguments.data_options(args, network.img_size), exact_resize=args.as_released)
    rows, original = data.everything("test"), copy.deepcopy(network.model)
    images = f"{len(rows)} ({args.split} of {args.data_path})"
    run.header("step 3: unlearning", unlearning.describe(network, device, forgotten, prune, recipe, images))

    watch = run.Stopwatch(device)
    with watch("read images"):
        data.prepare(rows)
        data.prepare(data.everything("train") if args.method == "erase" else [])
    with watch("evaluate before"):
        before = judging.judge(original, data, rows, args.batch_size, device)
    with watch(args.method):
        if args.evaluate_only:
            unlearning.load_unlearned(network, unlearned)
        else:
            unlearn(network.model, data, forgotten, prune, recipe, device)
    with watch("evaluate after"):
        after = judging.judge(network.model, data, rows, args.batch_size, device)

    heads = {head: {"before": before[head], "after": after[head]} for head in network.attributes}
    record = unlearning.record(network, forgotten, prune, recipe, heads, watch.seconds)
    if not args.evaluate_only:
        made_by = arguments.recipe_arguments(args)
        record["checkpoint_sha256"] = unlearning.save_unlearned(unlearned, network, prune, made_by)
    write_undo(args, network, original, unlearned)
    if args.audit:
        record |= run_audit(args, name, original, network, data, forgotten, device)
    write_results(args, name, network, {**record, "run": name})
    print(judging.before_after_table(heads, forgotten))
    print(*(unlearning.plain_words(target, before[target], after[target]) for target in forgotten), sep="\n")


def how_to_unlearn(args, name, network, forgotten):
    """({layer: channels to prune}, the recipe in words and numbers) of the method asked for."""
    from utils import undo, unlearning

    if args.method == "erase":
        if args.undo_file:
            undo.refuse_erasure(args.undo_file, network)
        return {}, unlearning.erasure_settings(args.strength, args.erase_images, args.seed)
    return unlearning.channels_to_prune(graph_file(args, name, forgotten), network, forgotten)


def unlearn(model, data, forgotten, prune, recipe, device):
    """Make the network forget, in place."""
    from utils.dataflow import trace_dataflow
    from utils.erasure import ErasureRecipe, erase
    from utils.pruning import zero_channels

    if recipe["rule"] == "erase":
        settings = {name: value for name, value in recipe.items() if name != "rule"}
        erase(model, data, forgotten, ErasureRecipe(**settings), device=device)
    else:
        zero_channels(model, prune, trace_dataflow(model).batch_norm)


def write_undo(args, network, original, unlearned):
    """Keep what pruning removed, only if that is asked for."""
    from utils import undo

    if args.undo_file:
        undo.write_undo(args.undo_file, network, original.state_dict(), unlearned)


def write_results(args, name, network, record):
    """Append the line of this run and draw it."""
    from utils import paths, run
    from utils.figures import draw_before_after

    seed = args.seed if network.seed is None else network.seed
    known = {"dataset": arguments.dataset_name(args), "arguments": arguments.recipe_arguments(args), "seed": seed}
    run.append_result(args.results, {"checkpoint_sha256": None, **record, **known})
    forgotten = record["forgotten"]
    picture = paths.results_folder(args.results, name, paths.targets_name(forgotten)) / "before_after.png"
    draw_before_after(picture, record["heads"], forgotten, f"{network.name}: forget {', '.join(forgotten)}")
    print(f"wrote {picture} and a line in {args.results}")


def run_audit(args, name, original, network, data, forgotten, device):
    """Audit each target against the original, an oracle if there is one, and a network that was never trained."""
    from utils import audit_outputs, paths
    from utils.audit import audit
    from utils.network import open_network, random_network

    targets = paths.targets_name(forgotten)
    nets = {"original": original, "unlearned": network.model}
    nets["random"] = random_network(network.name, network.attributes, args.seed, device)
    oracle = args.oracle or paths.checkpoint_file(args.save_path, name, f"oracle_{targets}")
    if args.oracle or oracle.is_file():
        kept = [head for head in network.attributes if head not in forgotten]
        asked = {"name": network.name, "img_size": network.img_size, "device": device}
        nets["oracle"] = open_network(oracle, kept, **asked).model
    data.prepare(data.everything("train"))
    found = {"verdict": {}, "audit": {}}
    for target in forgotten:
        how = {"level": args.audit, "seed": args.seed, "device": device}
        result = audit(nets, data, target, forgotten=forgotten, **how)
        folder = paths.results_folder(args.results, name, targets)
        audit_outputs.write_audit(folder, result)
        print(audit_outputs.summary(result))
        print(f"wrote {folder}/audit_{target}.json and pictures")
        found["verdict"][target] = result["verdict"]
        found["audit"][target] = audit_outputs.compact(result)
    return found


def graph_file(args, name, forgotten):
    """The graph to take: --graph, the released text with --released_txt, or step 2's JSON."""
    from utils import paths

    if args.graph:
        return args.graph
    if args.released_txt:
        indices = [args.task_labels.index(attribute) for attribute in forgotten]
        return paths.released_graph_file(args.released_path, name, indices)
    return paths.graph_file(args.graph_path, name, paths.targets_name(forgotten))


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
