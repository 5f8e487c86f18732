"""Audit any pair of networks: does the second still know what it should have forgotten?

Reads   --unlearned, and --original, --oracle if you have them: checkpoints of these scripts or plain state dicts
Writes  <--out>/audit_<target>.json and pictures beside it, and a line of --results

    python -m tools.audit --unlearned A.pth --original B.pth --oracle C.pth --task Bald Smiling --target Bald
"""

from utils.common import arguments


def get_args_parser():
    """The flags of the audit."""
    parser = arguments.Parser(description=__doc__, prog="audit")
    add = parser.add_argument
    add("--unlearned", required=True, metavar="FILE", help="the network to audit")
    add("--original", metavar="FILE", help="the network before it was unlearned")
    text = "the network that never saw the target: it lacks its head, the others in order"
    add("--oracle", metavar="FILE", help=text)
    text = "architecture of all of them; without it the checkpoints', or resnet18 for plain state dicts"
    add("--model", metavar="NAME", help=text)
    add("--level", default="quick", choices=["quick", "full"], help="full adds fine-tuning the whole network")
    add("--out", default="results/audit", metavar="DIR", help="folder of the JSON and the pictures")
    add("--method_name", metavar="WORDS", help="how the network was unlearned, for tables; without it the file's name")
    add("--batch_size", type=arguments.positive_int, default=256, help="images a pass")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    arguments.add_data_arguments(parser)
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Load the networks, audit each target, append a results line."""
    from pathlib import Path

    from utils.common import paths, run
    from utils.common.errors import InputError
    from utils.datasets.dataset import open_dataset
    from utils.network.loading import load_network, random_network

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    kept = [name for name in args.task_labels if name not in forgotten]
    files = {"unlearned": args.unlearned, "original": args.original, "oracle": args.oracle}
    options = {"name": args.model, "img_size": args.img_size, "device": device}
    loaded = {
        role: load_network(None, kept if role == "oracle" else args.task_labels, weights=path, **options)
        for role, path in files.items()
        if path
    }
    kinds = {role: f"{network.name} at {network.img_size} px" for role, network in loaded.items()}
    if len(set(kinds.values())) > 1:
        unlike = ", ".join(f"{role} {kind}" for role, kind in kinds.items())
        raise InputError(f"the networks differ ({unlike}): pass --model and --img_size for plain state dicts")
    network = loaded["unlearned"]
    networks = {role: one.model for role, one in loaded.items()}
    networks["random"] = random_network(network.name, args.task_labels, args.seed, device)
    data = open_dataset(**arguments.data_options(args, network.img_size))
    facts = {"networks": ", ".join(networks), "model": kinds["unlearned"], "forgotten": " ".join(forgotten)}
    run.header("audit", {**facts, "level": args.level})
    options = {"level": args.level, "seed": args.seed, "device": device, "batch_size": args.batch_size}
    line = audit_networks(networks, data, forgotten, args.out, **options)
    line |= {"run": paths.run_name(args.task_labels, args.run_name), "dataset": arguments.dataset_name(args)}
    line |= {"method": args.method_name or Path(args.unlearned).stem, "model": network.name, "seed": args.seed}
    line |= {"attributes": list(args.task_labels), "forgotten": forgotten, "img_size": network.img_size}
    run.append_result(args.results, {**line, "arguments": arguments.recipe_arguments(args)})


def audit_networks(networks, data, forgotten, folder, *, level, seed, device, batch_size=256):
    """Audit each target; write audit_<target>.json and pictures to a folder, and print the summaries.

    Args:
        networks: {"unlearned": network, and any of "original", "oracle", "random"}, on `device`
        data: `utils.datasets.dataset.ImageDataset`; forgotten: names of the targets
        folder: where the files go; level: "quick" or "full"
    Returns: what a results line keeps: {"heads": {name: {"before", "after"}}, "verdict" and "audit" of each target}
    Raises: InputError as `utils.audit.audit.audit`
    """
    from utils.audit.audit import audit
    from utils.report import audit_report

    for split in ("train", "test"):
        data.prepare(data.rows(split))
    options, results = {"level": level, "seed": seed, "device": device, "batch_size": batch_size}, {}
    for target in forgotten:
        results[target] = audit(networks, data, target, forgotten=forgotten, **options)
        audit_report.write_audit(folder, results[target])
        print(audit_report.summary(results[target]))
        print(f"wrote {folder}/audit_{target}.json and pictures")
    return audit_report.results_line(results)


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
