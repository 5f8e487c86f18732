"""Step 3 of 3: unlearn by pruning the nodes that the essential graph names, then judge before against after.

With --method erase its convolutions are instead edited in closed form so that its features forget too, without a graph.

Reads   checkpoints/<run>/original.pth         (step 1, or the user's own weights by --weights)
        graphs/<run>/<targets>.json            (step 2; the released text with --released_txt)
Writes  checkpoints/<run>/unlearned_<targets>.pth
        results/results.jsonl                  one line for this run
        results/<run>/<targets>/before_after.png, and with --audit audit_<target>.json and pictures, with --frontier
        strength.json and .png

    python unlearning_multi_celeba_resnet18_unlearning.py --target Bald
"""

import copy

from utils.common import arguments


def get_args_parser():
    """The flags of step 3; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="step 3")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    add = parser.add_argument
    text = "prune: the published method, silences the head; erase: closed-form edits that clear the features too"
    add("--method", default="prune", choices=["prune", "erase"], help=text)
    text = "of --method erase: weight of forgetting, or auto: the mildest of --frontier that erases"
    add("--strength", type=arguments.number_or_auto, default=1.0, metavar="X", help=text)
    text = "of --method erase: sweep strengths on held-out training images first (0.25 0.5 1 2 4 if none is named)"
    add("--frontier", nargs="*", type=arguments.positive_float, metavar="X", help=text)
    text = "of --method erase: training images passed through, repeats of rare ones included"
    add("--erase_images", type=arguments.positive_int, default=1536, metavar="N", help=text)
    add("--graph", metavar="FILE", help="graph of step 2 (graphs/<run>/<targets>.json)")
    add("--released_txt", action="store_true", help="take the votes from the released text format instead of the JSON")
    add("--as_released", action="store_true", help="preprocess images exactly as the released code")
    add("--audit", choices=["quick", "full"], help="probe, relearn and attack both networks, and give a verdict")
    add("--oracle", metavar="FILE", help="the network that never saw the target (step 1 with --leave_out), for --audit")
    add("--evaluate_only", action="store_true", help="judge the unlearned checkpoint that is there; change nothing")
    arguments.add_network_arguments(parser)
    arguments.add_data_arguments(parser)
    add("--batch_size", type=arguments.positive_int, default=128, help="images a pass")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Evaluate, prune, evaluate, write."""
    from utils.common import paths, run
    from utils.datasets.dataset import open_dataset
    from utils.evaluation import predict
    from utils.network.loading import load_network
    from utils.pruning import unlearning

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    name, targets = paths.run_name(args.task_labels, args.run_name), paths.targets_name(forgotten)
    checkpoint = paths.checkpoint_file(args.save_path, name, "original")
    unlearned = paths.checkpoint_file(args.save_path, name, f"unlearned_{targets}")
    network = load_network(checkpoint, args.task_labels, device=device, **arguments.network_options(args))
    prune, recipe = how_to_unlearn(args, name, network, forgotten)
    data = open_dataset(**arguments.data_options(args, network.img_size), exact_resize=args.as_released)
    rows, original = data.rows("test"), copy.deepcopy(network.model)
    images = f"{len(rows)} ({args.split} of {args.data_path})"
    run.header("step 3: unlearning", unlearning.describe(network, device, forgotten, prune, recipe, images))

    watch = run.Stopwatch(device)
    with watch("read images"):
        data.prepare(rows)
        data.prepare(data.rows("train") if args.method == "erase" else [])
    with watch("evaluate before"):
        before = predict.evaluate(original, data, rows, args.batch_size, device)
    swept = turn_dial(args, name, original, network, data, forgotten, recipe, device)
    with watch(args.method):
        if args.evaluate_only:
            unlearning.load_unlearned(network, unlearned)
        else:
            unlearn(network.model, data, forgotten, prune, recipe, device)
    with watch("evaluate after"):
        after = predict.evaluate(network.model, data, rows, args.batch_size, device)

    heads = {head: {"before": before[head], "after": after[head]} for head in network.attributes}
    record = unlearning.record(network, forgotten, prune, recipe, heads, watch.seconds)
    if not args.evaluate_only:
        made_by = arguments.recipe_arguments(args)
        record["checkpoint_sha256"] = unlearning.save_unlearned(unlearned, network, prune, made_by)
    record |= run_audit(args, name, original, network, data, forgotten, device) if args.audit else {}
    write_results(args, name, network, {**record, **swept, "run": name})


def how_to_unlearn(args, name, network, forgotten):
    """({layer: channels to prune}, the recipe in words and numbers, what may be edited) of the method asked for."""
    from utils.common.errors import InputError
    from utils.pruning import unlearning

    if (args.frontier is not None or args.strength == "auto") and (args.method != "erase" or args.evaluate_only):
        raise InputError("--frontier and --strength auto need --method erase, and no --evaluate_only: they erase")
    if args.method == "erase":
        recipe = unlearning.erasure_settings(args.strength, args.erase_images, args.seed)
        return {}, recipe
    return unlearning.channels_to_prune(graph_file(args, name, forgotten), network, forgotten)


def turn_dial(args, name, original, network, data, forgotten, recipe, device):
    """Sweep strengths if asked to, and give the recipe its strength; returns what the results line says of it."""
    if args.frontier is None and args.strength != "auto":
        return {}
    from tools.choose_strength import choose_strength_for
    from utils.common import paths
    from utils.erasure.erasure import ErasureSettings
    from utils.pruning import unlearning
    from utils.report import strength_report

    nets = {"original": original, **reference_nets(args, name, network, forgotten, device)}
    data.prepare(data.rows("valid"))
    settings = ErasureSettings(**unlearning.erasure_recipe(recipe) | {"strength": 1.0})
    folder = paths.results_folder(args.results, name, paths.targets_name(forgotten))
    sweep = choose_strength_for(nets, data, forgotten, settings, args.frontier, folder, device=device, seed=args.seed)
    recipe["strength"] = sweep["chosen"] if args.strength == "auto" else args.strength
    print(f"erasing with strength {recipe['strength']:g}")
    return {"strength_sweep": {**strength_report.compact(sweep), "used": recipe["strength"]}}


def unlearn(model, data, forgotten, prune, recipe, device):
    """Make the network forget, in place."""
    from utils.erasure.erasure import ErasureSettings, erase
    from utils.graph.dataflow import trace_dataflow
    from utils.pruning import unlearning
    from utils.pruning.channels import zero_channels

    if recipe["rule"] == "erase":
        settings = ErasureSettings(**unlearning.erasure_recipe(recipe))
        used = erase(model, data, forgotten, settings, device=device)
        if len(used["targets"]) > len(forgotten):
            print(f"kept forgotten, from an earlier erasure: {' '.join(used['targets'][len(forgotten) :])}")
    else:
        zero_channels(model, prune, trace_dataflow(model).batch_norm)


def write_results(args, name, network, record):
    """Append the line of this run, draw it and print it."""
    from utils.common import paths, run
    from utils.evaluation import predict
    from utils.pruning import unlearning
    from utils.report.figures import draw_before_after

    forgotten = record["forgotten"]
    folder = paths.results_folder(args.results, name, paths.targets_name(forgotten))
    seed = args.seed if network.seed is None else network.seed
    known = {"dataset": arguments.dataset_name(args), "arguments": arguments.recipe_arguments(args), "seed": seed}
    run.append_result(args.results, {"checkpoint_sha256": None, **record, **known})
    picture = folder / "before_after.png"
    draw_before_after(picture, record["heads"], forgotten, f"{network.name}: forget {', '.join(forgotten)}")
    print(f"wrote {picture} and a line in {args.results}")
    print(predict.before_after_table(record["heads"], forgotten))
    print(*(unlearning.plain_words(target, **record["heads"][target]) for target in forgotten), sep="\n")


def run_audit(args, name, original, network, data, forgotten, device):
    """Audit each target against the original, an oracle if there is one, and a network that was never trained."""
    from utils.audit.audit import audit
    from utils.common import paths
    from utils.report import audit_report

    targets = paths.targets_name(forgotten)
    nets = {"original": original, "unlearned": network.model}
    nets |= reference_nets(args, name, network, forgotten, device)
    data.prepare(data.rows("train"))
    found = {"verdict": {}, "audit": {}}
    for target in forgotten:
        how = {"level": args.audit, "seed": args.seed, "device": device}
        result = audit(nets, data, target, forgotten=forgotten, **how)
        folder = paths.results_folder(args.results, name, targets)
        audit_report.write_audit(folder, result)
        print(audit_report.summary(result))
        print(f"wrote {folder}/audit_{target}.json and pictures")
        found["verdict"][target] = result["verdict"]
        found["audit"][target] = audit_report.compact(result)
    return found


def reference_nets(args, name, network, forgotten, device):
    """{"random": a network that was never trained, "oracle": one that never saw the targets, if there is a file}."""
    from utils.common import paths
    from utils.network.loading import load_network, random_network

    nets = {"random": random_network(network.name, network.attributes, args.seed, device)}
    oracle = args.oracle or paths.checkpoint_file(args.save_path, name, f"oracle_{paths.targets_name(forgotten)}")
    if args.oracle or oracle.is_file():
        kept = [head for head in network.attributes if head not in forgotten]
        asked = {"name": network.name, "img_size": network.img_size, "device": device}
        nets["oracle"] = load_network(oracle, kept, **asked).model
    return nets


def graph_file(args, name, forgotten):
    """The graph to take: --graph, the released text with --released_txt, or step 2's JSON."""
    from utils.common import paths

    if args.graph:
        return args.graph
    if args.released_txt:
        indices = [args.task_labels.index(attribute) for attribute in forgotten]
        return paths.released_graph_file(args.released_path, name, indices)
    return paths.graph_file(args.graph_path, name, paths.targets_name(forgotten))


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
