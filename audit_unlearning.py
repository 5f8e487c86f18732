"""Audit any pair of networks: does the second still know what it should have forgotten?

Reads   --unlearned, and --original, --oracle if you have them: checkpoints of these scripts or plain state dicts
Writes  <--out>/audit_<target>.json and pictures beside it

    python audit_unlearning.py --unlearned A.pth --original B.pth --oracle C.pth --task Bald Smiling --target Bald
"""

from utils.common import arguments


def get_args_parser():
    """The flags of the audit."""
    parser = arguments.Parser(description=__doc__, prog="audit")
    add = parser.add_argument
    add("--unlearned", required=True, metavar="FILE", help="the network to judge")
    add("--original", metavar="FILE", help="the network before it was unlearned")
    add(
        "--oracle", metavar="FILE", help="the network that never saw the target: it lacks its head, the others in order"
    )
    add("--model", default="resnet18", metavar="NAME", help="architecture of all of them")
    add("--level", default="quick", choices=["quick", "full"], help="full adds fine-tuning the whole network")
    add("--out", default="results/audit", metavar="DIR", help="folder of the JSON and the pictures")
    add("--method_name", metavar="WORDS", help="how the network was unlearned, for tables; without it the file's name")
    add("--batch_size", type=arguments.positive_int, default=256, help="images a pass")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    arguments.add_data_arguments(parser, img_size=64)
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Load, audit each target, write."""
    from pathlib import Path

    from utils.audit.audit import audit
    from utils.common import paths, run
    from utils.datasets.dataset import open_dataset
    from utils.network.loading import load_network, random_network
    from utils.report import audit_report

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    kept = [name for name in args.task_labels if name not in forgotten]
    files = {"original": (args.original, args.task_labels), "unlearned": (args.unlearned, args.task_labels)}
    files["oracle"] = (args.oracle, kept)
    options = {"name": args.model, "img_size": args.img_size, "device": device}
    nets = {
        role: load_network(None, heads, weights=path, **options).model for role, (path, heads) in files.items() if path
    }
    nets["random"] = random_network(args.model, args.task_labels, args.seed, device)
    data = open_dataset(**arguments.data_options(args, args.img_size))
    run.header("audit", {"networks": ", ".join(nets), "forgotten": " ".join(forgotten), "level": args.level})
    for part in ("train", "test"):
        data.prepare(data.rows(part))
    how = {"level": args.level, "seed": args.seed, "device": device, "batch_size": args.batch_size}
    found = {}
    for target in forgotten:
        found[target] = audit(nets, data, target, forgotten=forgotten, **how)
        audit_report.write_audit(Path(args.out), found[target])
        print(audit_report.summary(found[target]))
        print(f"wrote {args.out}/audit_{target}.json and pictures")
    name = paths.run_name(args.task_labels, args.run_name)
    about = {
        "run": name,
        "method": args.method_name or Path(args.unlearned).stem,
        "dataset": arguments.dataset_name(args),
    }
    about |= {"attributes": list(args.task_labels), "forgotten": forgotten, "seed": args.seed, "model": args.model}
    about |= {"img_size": args.img_size, "arguments": arguments.recipe_arguments(args)}
    run.append_result(args.results, {**about, **audit_report.results_line(found)})


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
