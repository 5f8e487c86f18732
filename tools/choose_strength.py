"""Choose the strength of an erasure: sweep strengths on images that the erasures do not learn from.

Reads   checkpoints/<run>/original.pth             (step 1, or your own weights by --weights)
        checkpoints/<run>/oracle_<targets>.pth     (step 1 with --leave_out, or --oracle; without it the reference is a
                                                   network that was never trained)
Writes  <folder of --results>/<run>/<targets>/strength.json and strength.png

    python -m tools.choose_strength --task Bald Mouth_Slightly_Open --target Bald --strengths 0.5 1 2
"""

import copy
from dataclasses import asdict, replace
from functools import partial

from utils.audit.validation import make_validation_reference, measure
from utils.common import arguments, paths, run
from utils.datasets.dataset import open_dataset
from utils.erasure.erasure import ErasureSettings, erase
from utils.erasure.strength import STRENGTHS, choose_strength, sweep_strengths, validation_rows
from utils.network.loading import load_network, random_network
from utils.report.strength_report import summary, write_strengths


def get_args_parser():
    """The flags; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="tools.choose_strength")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    add = parser.add_argument
    text = "strengths to try: above 1 erases more, below 1 less"
    add("--strengths", nargs="+", type=arguments.positive_float, default=list(STRENGTHS), metavar="X", help=text)
    text = "training images passed through an erasure, repeats of rare ones included"
    add("--erase_images", type=arguments.positive_int, default=1536, metavar="N", help=text)
    add("--oracle", metavar="FILE", help="the network that never saw the targets: it lacks their heads")
    arguments.add_network_arguments(parser)
    arguments.add_data_arguments(parser)
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Open the networks and the data, sweep, write, print."""
    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    targets = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    name = paths.run_name(args.task_labels, args.run_name)
    checkpoint = paths.checkpoint_file(args.save_path, name, "original")
    network = load_network(checkpoint, args.task_labels, device=device, **arguments.network_options(args))
    networks = {"original": network.model}
    oracle = args.oracle or paths.checkpoint_file(args.save_path, name, f"oracle_{paths.targets_name(targets)}")
    if args.oracle or oracle.is_file():
        kept = [head for head in network.attributes if head not in targets]
        shape = {"name": network.name, "img_size": network.img_size}
        networks["oracle"] = load_network(oracle, kept, **shape, device=device).model
    else:
        networks["random"] = random_network(network.name, network.attributes, args.seed, device)
    data = open_dataset(**arguments.data_options(args, network.img_size))
    run.header("choose the strength", {"network": network.path, "forget": " ".join(targets), "device": device})
    for part in ("train", "valid"):
        data.prepare(data.rows(part))
    settings = ErasureSettings(images=args.erase_images, seed=args.seed)
    folder = paths.results_folder(args.results, name, paths.targets_name(targets))
    choose_strength_for(networks, data, targets, settings, args.strengths, folder, device=device, seed=args.seed)


def choose_strength_for(networks, data, targets, settings, strengths, folder, *, device, seed, progress=True, **how):
    """Sweep strengths on validation rows, write strength.json and strength.png to a folder, and print the table.

    Args:
        networks: {"original": untouched network, and "oracle" or else "random"}, on `device`; they stay as they are
        data: `utils.datasets.dataset.ImageDataset` or what has its attributes, labels, rows and batches
        settings: `ErasureSettings`, its strength does not matter; strengths: numbers above 0, or none: `STRENGTHS`
        how: `stages`, `batch_size` and `resamples` of `utils.audit.validation.make_validation_reference`
    Returns: {"targets", "reference", "validation": counts, "settings", "original": figures, "points": [figures with
        "strength" and "seconds" of the erasure], "chosen": a strength, "reached": whether it is ERASED}, JSON-ready
    Raises: InputError as `erase`, `validation_rows` and `choose_strength`
    """
    rows = validation_rows(data, targets, seed)
    how = {"seed": seed, "device": str(device), "progress": progress, **how}
    reference = make_validation_reference(networks, data, targets, rows, **how)

    def erase_at(strength):
        model = copy.deepcopy(networks["original"])
        changed = replace(settings, strength=strength)
        erase(model, data, targets, changed, rows=rows[0], device=device, progress=progress)
        return model

    measure_network = partial(measure, reference=reference)
    points = sweep_strengths(erase_at, measure_network, strengths, device=device, progress=progress)
    chosen, reached = choose_strength(points)
    sweep = {
        "targets": list(targets),
        "reference": reference.kind,
        "validation": _count_rows(data, targets, *rows),
        "settings": {name: value for name, value in asdict(settings).items() if name != "strength"},
        "original": measure_network(networks["original"]),
        "points": points,
        "chosen": chosen["strength"],
        "reached": reached,
    }
    write_strengths(folder, sweep)
    print(summary(sweep))
    print(f"wrote {folder}/strength.json and strength.png")
    return sweep


def _count_rows(data, targets, learning, held_out):
    positives = {target: int(data.labels[held_out, data.attributes.index(target)].sum()) for target in targets}
    part = "valid" if len(data.rows("valid")) else "train"
    return {"part": part, "learnt_from": len(learning), "rows": len(held_out), "positives": positives}


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
