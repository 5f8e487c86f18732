"""What each part of the erasure does: the same erasure with one setting changed, audited.

Reads   checkpoints/<run>/original.pth and oracle_<targets>.pth, trained with --limit: then the test part of the limited
        table is no image of the real test part, and may choose
Writes  a JSON line to --out for each setting: the worst gap of a linear probe, of kept-label relearning and of all
        attacks, the worst kept loss, seconds

    python -m benchmarks.erasure_ablations --setting III --data_path data/celeba_5k --run_name chosen --target No_Beard
"""

import copy
import sys
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from unittest import mock

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.audit.audit import audit
from utils.common import arguments, run
from utils.common.errors import InputError
from utils.common.paths import check_outputs
from utils.datasets.task import open_task
from utils.erasure import edit, redraw
from utils.erasure.erasure import ErasureSettings, erase
from utils.report.run_record import dataset_name

WEIGHTS = {"depth": "weights"}
IN_FRONT = (edit, "_shift_behind", lambda value, shift, activate: shift.of_targets(value))
#: name: (fields of `ErasureSettings`, what else is replaced meanwhile: an object, a name in it, a value)
VARIANTS = {
    "activations": ({}, None),
    "activations, in front of the activation": ({}, IN_FRONT),
    "activations, twice as strong": ({"strength": 2.0}, None),
    "activations, no curvature": ({"curvature_images": 0}, None),
    "activations, kept shifts not held": ({"kept_weight": 0.0}, None),
    "activations, any rank": ({"rank": None}, None),
    "weights": (WEIGHTS, None),
    "weights, in front of the activation": (WEIGHTS, IN_FRONT),
    **{f"weights, {passes:,} passes": (WEIGHTS | {"passes": passes}, None) for passes in (1024, 2048, 8192, 16384)},
    **{f"weights, {share:.0%} old": (WEIGHTS, (redraw, "OLD_SHARE", share)) for share in (0.3, 0.7)},
    "weights, one round": (WEIGHTS, (redraw, "ROUNDS", (1,))),
}


def get_args_parser():
    """The flags; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.erasure_ablations")
    arguments.add_task_arguments(parser)
    arguments.add_network_arguments(parser)
    arguments.add_data_arguments(parser)
    add = parser.add_argument
    names = "; ".join(VARIANTS).replace("%", "%%")  # argparse reads a single one as the start of a place holder
    add("--variants", nargs="+", default=list(VARIANTS), metavar="NAME", help=f"some of: {names}")
    add("--out", default="results/lines/erasure_ablations.jsonl", metavar="FILE", help="file that gets the lines")
    arguments.add_run_arguments(parser)
    return parser


def main(args):
    """Erase a copy by each setting, audit it, write its line."""
    check_outputs(vars(args), out=args.out)
    unknown = [name for name in args.variants if name not in VARIANTS]
    if unknown:
        raise InputError(f"no setting {unknown[0]!r}: they are {'; '.join(VARIANTS)}")
    task = open_task(**vars(args))
    data = task.open_data()
    networks = {"original": task.network.model, **task.reference_networks(args.seed, data)}
    if "oracle" not in networks or len(task.forgotten) > 1:
        raise InputError("ablations need one target and its oracle: train it with --leave_out")
    about = {"run": task.run, "forgotten": task.forgotten, "dataset": dataset_name(args.data_path)}
    about |= {"model": task.network.name, "img_size": task.network.img_size, "seed": args.seed}
    for name in args.variants:
        fields, replaced = VARIANTS[name]
        model, watch = copy.deepcopy(task.network.model), run.Stopwatch(task.device)
        settings = replace(ErasureSettings(seed=args.seed), **fields)
        with mock.patch.object(*replaced) if replaced else nullcontext(), watch("erase"):
            erase(model, data, task.forgotten, settings, device=task.device)
        result = audit(networks | {"unlearned": model}, data, *task.forgotten, seed=args.seed, device=task.device)
        line = about | {"setting": name, **figures(result), "seconds": watch.seconds["erase"]}
        run.append_result(Path(args.out), line)
        print(f"{name}: worst gap {line['any_gap']:+.3f} ({line['any_attack']}), kept {line['kept_loss']:+.4f}")


def figures(result):
    """The worst gaps of an audit and the worst change of a kept head, JSON-ready."""
    record = result["nets"]["unlearned"]
    gaps = {
        f"{attack} at {place}": gap["value"]
        for attack, places in record["gaps"]["attacks"].items()
        for place, gap in places.items()
        if gap["value"] is not None
    }
    worst = max(gaps, key=gaps.get)
    of = {
        kind: max((gaps[name] for name in gaps if name.startswith(f"{kind} at ")), default=None)
        for kind in ("linear", "kept_labels")
    }
    changes = [change["value"] for head in record["kept_changes"]["heads"].values() for change in head.values()]
    changes = [value for value in changes if value is not None]
    return {
        "worst_gap": of["linear"],
        "any_gap": gaps[worst],
        "any_attack": worst,
        "kept_labels_gap": of["kept_labels"],
        "kept_loss": min(changes, default=0.0),
        "verdict": record["verdict"]["word"],
    }


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
