"""Audit any pair of networks: does the second still know what it should have forgotten?

Reads   --unlearned, and --original, --oracle if you have them: checkpoints of these scripts or plain state dicts
Writes  <--out>/audit_<target>.json and pictures beside it, and a line of --results

    python -m tools.audit --unlearned A.pth --original B.pth --oracle C.pth --task Bald Smiling --target Bald
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.audit.audit import audit
from utils.common import arguments as a
from utils.common import paths, run
from utils.common.paths import check_outputs
from utils.datasets.task import open_networks
from utils.erasure.heads import emptied_heads
from utils.network.loading import named_heads
from utils.network.records import says_how
from utils.network.tensor_files import sha256_of
from utils.report.audit_report import results_line, summary, write_audit
from utils.report.next_steps import after_audit
from utils.report.run_record import dataset_name, describe_network, method_name, warn_of_base_rates

MADE = ("method", "checkpoint_sha256", "parent_sha256")  # words on how, digests of the network and of its original


def get_args_parser():
    """The flags of the audit."""
    parser = a.Parser(description=__doc__, prog="audit")
    a.add_task_arguments(parser)
    add = parser.add_argument_group("method").add_argument
    add("--unlearned", required=True, metavar="FILE", help="the network to audit")
    add("--original", metavar="FILE", help="the network before it was unlearned")
    text = "the network that never saw the target: it lacks its head, the others in order"
    add("--oracle", metavar="FILE", help=text)
    text = "architecture of all of them; without it the checkpoints', or resnet18 for plain state dicts"
    add("--model", metavar="NAME", help=text)
    add("--level", default="quick", choices=["quick", "full"], help="full adds fine-tuning the whole network")
    add(
        "--method_name",
        metavar="WORDS",
        help="how the network was unlearned, for tables; without it what the file says",
    )
    a.add_data_arguments(parser)
    add = a.add_run_arguments(parser, batch_size=256).add_argument
    add("--out", default="results/audit", metavar="DIR", help="folder of the JSON and the pictures")
    return parser


def main(args):
    """Load the networks, audit each target, append a results line."""
    device = run.start_run(args.seed, args.device)
    heads = named_heads(args.task_labels, None, args.unlearned)
    forgotten = a.resolve_targets(heads, args.target_class)
    files = {"unlearned": args.unlearned, "original": args.original, "oracle": args.oracle}
    out = [Path(args.out) / f"audit_{paths.targets_name([target])}.json" for target in forgotten]
    check_outputs(vars(args), out=out, results=args.results)
    network, networks, data, used = open_networks(
        files, forgotten, **{**vars(args), "device": device, "task_labels": heads}
    )
    facts = {"networks": ", ".join(networks), "model": f"{network.name} at {network.img_size} px"}
    run.header(
        "audit", {**facts, **describe_network(network, data), "forgotten": " ".join(forgotten), "level": args.level}
    )
    options = {"level": args.level, "seed": args.seed, "device": device, "batch_size": args.batch_size}
    how = network.arguments.get("unlearning")
    made = {"method": args.method_name or (method_name(how) if says_how(how) else Path(args.unlearned).stem)}
    made |= {"checkpoint_sha256": sha256_of(args.unlearned)}
    made |= {"parent_sha256": sha256_of(args.original) if args.original else None}
    line = audit_networks(networks, data, forgotten, Path(args.out), made=made, **options)
    warn_of_base_rates({head: sides["before"] for head, sides in line["heads"].items()}, network)
    line |= {"run": paths.run_name(args.task_labels, args.run_name), "dataset": dataset_name(args.data_path)}
    line |= {"method": made["method"], "model": network.name, "seed": args.seed}
    line |= {"attributes": heads, "forgotten": forgotten, "img_size": network.img_size}
    run.append_result(args.results, {**line, "arguments": a.recorded_flags(vars(args) | used)})
    print(after_audit(args.out, line["verdict"]))


def audit_networks(networks, data, forgotten, folder, *, level, seed=0, device="cpu", batch_size=256, made=None):
    """Audit each target; write audit_<target>.json and pictures to a folder, and print the summaries.

    Args:
        networks: {"unlearned": network, and any of "original", "oracle", "random"}, on `device`
        data: `utils.datasets.dataset.ImageDataset`; forgotten: names of the targets
        folder: where the files go; level: "quick" or "full"
        made: {any of MADE: what the audits say of the network that was unlearned}; more in it is passed over
    Returns: what a results line keeps: {"heads": {name: {"before", "after"}}, "verdict" and "audit" of each target}
    Raises: InputError as `utils.audit.audit.audit`
    """
    for split in ("train", "test"):
        data.prepare(data.rows(split))
    options, results = {"level": level, "seed": seed, "device": device, "batch_size": batch_size}, {}
    made = {name: (made or {}).get(name) for name in MADE}
    earlier = emptied_heads(networks["original"]) if "original" in networks else ()  # by an erasure before this one
    gone = {*forgotten, *earlier}
    options["forgotten"] = [name for name in data.attributes if name in gone]
    for target in forgotten:
        results[target] = audit(networks, data, target, **options) | made
        write_audit(folder, results[target])
        print(f"wrote {folder}/audit_{paths.targets_name([target])}.json and pictures")
        print(summary(results[target]))
    return results_line(results)


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
