"""What each part of erasure does: a network erased with one thing changed at a time, each judged on the test part.

Reads   checkpoints/<run>/original.pth and oracle_<targets>.pth
Writes  a JSON line for each setting to --out: probe gaps to the oracle by stage, kept losses, the verdict, seconds

    python -m benchmarks.erasure_ablations --task Bald Mouth_Slightly_Open --run_name faces_20_I_s0 --target Bald
"""

import copy
from dataclasses import replace
from pathlib import Path

from utils import arguments, paths, run

GRAPH_SHARE = 0.25  # of a layer's channels that count as essential where the graph says what may be edited


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.erasure_ablations")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    arguments.add_data_arguments(parser)
    add = parser.add_argument
    add("--only", nargs="+", metavar="NAME", help="settings to run; without it all")
    add("--out", default="results/erasure_ablations.jsonl", metavar="FILE", help="file that gets the lines")
    arguments.add_common_arguments(parser)
    return parser


def settings(base):
    """{name: (recipe, what may be edited)}: the second is None for everything, or a name for `restriction`."""
    changed = {
        "as it is": {},
        "without the untrained reference (ridge 0.3 everywhere)": {"ridge": 0.3},
        "not conditional on the kept outputs": {"conditional": False},
        "without repair": {"repair": False},
        "without holding the kept shifts": {"hold": 0.0},
        "without the curvature of the kept outputs": {"curvature": 0},
        "edits of any rank": {"rank": None},
        "without refitted heads": {"refit": False},
        "every convolution": {"everywhere": True},
        "strength 1/4": {"strength": 0.25},
        "strength 4": {"strength": 4.0},
        "384 images": {"images": 384},
        "768 images": {"images": 768},
        "3,072 images": {"images": 3072},
    }
    found = {name: (replace(base, **changes), None) for name, changes in changed.items()}
    restricted = ("last stage only", "essential nodes of the target only", "essential connections of the target only")
    return found | {name: (base, name) for name in restricted}


def main(args):
    """Erase with each setting, judge, write a line."""
    from utils.celeba import open_celeba
    from utils.erasure import ErasureRecipe, erase
    from utils.network import open_network
    from utils.ruler import make_ruler, measure

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    forgotten = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    kept = [name for name in args.task_labels if name not in forgotten]
    name = paths.run_name(args.task_labels, args.run_name)
    network = open_network(paths.checkpoint_file(args.save_path, name, "original"), args.task_labels, device=device)
    oracle = paths.checkpoint_file(args.save_path, name, f"oracle_{paths.targets_name(forgotten)}")
    data = open_celeba(**arguments.data_options(args, network.img_size))
    train, test = data.everything("train"), data.everything("test")
    data.prepare([*train, *test])
    asked = {"name": network.name, "img_size": network.img_size, "device": device}
    known = {"seed": args.seed, "device": str(device)}
    reference = open_network(oracle, kept, **asked).model
    ruler = make_ruler(network.model, reference, "oracle", data, forgotten, train, test, **known)
    for setting, (recipe, restriction) in settings(ErasureRecipe(seed=args.seed)).items():
        if args.only and setting not in args.only:
            continue
        model, watch = copy.deepcopy(network.model), run.Stopwatch(device)
        with watch("erase"):
            allowed = allowed_edits(restriction, model, data, forgotten, device)
            erase(model, data, forgotten, recipe, allowed=allowed, device=device)
        point = measure(model, ruler)
        words = ", ".join(one["verdict"]["word"] for one in point["targets"].values())
        print(f"{setting}: {words}, worst gap {point['worst_gap']:+.3f}, worst kept loss {point['kept_loss']:+.4f}")
        about = {"dataset": arguments.dataset_name(args), "model": network.name, "img_size": network.img_size}
        about |= {"forgotten": forgotten, "attributes": list(args.task_labels), "seed": network.seed}
        line = {"what": "erasure ablation", "run": name, "setting": setting, **about}
        run.append_result(Path(args.out), {**line, **point, "seconds": watch.seconds["erase"]})


def allowed_edits(restriction, model, data, forgotten, device):
    """{convolution: (C_out, C_in) bool} of what a restricted setting may edit; None without a restriction."""
    import torch

    from utils.erasure_sites import find_sites

    if restriction is None:
        return None
    sites = [site.conv for site in find_sites(model).sites]
    shapes = {name: model.get_submodule(name).weight.shape[:2] for name in sites}
    if restriction == "last stage only":
        stage = sites[-1].split(".")[0]
        return {name: torch.full(shape, name.startswith(stage)) for name, shape in shapes.items()}
    essential = _essential(model, data, forgotten, device)
    allowed = {name: torch.zeros(shape, dtype=torch.bool) for name, shape in shapes.items()}
    for name, mask in allowed.items():
        mask[essential.get(name, [])] = True
        if restriction == "essential connections of the target only":
            before = name.replace("conv2", "conv1")  # what feeds the second convolution of a block of ResNet-18
            reads = torch.zeros(mask.shape[1], dtype=torch.bool)
            reads[essential.get(before, [])] = True
            mask &= reads
    return allowed


def _essential(model, data, forgotten, device):
    """{convolution: channels essential to any target}, for every convolution but the stem and the shortcuts."""
    from utils import graph_making
    from utils.dataflow import trace_dataflow
    from utils.selection import essential_sets

    dataflow = trace_dataflow(model)
    layers = [name for name in dataflow.convolutions if "downsample" not in name][1:]
    rows, scored_for = graph_making.scoring_rows(data, data.attributes, 64)
    how = {"data": data, "rows": rows, "scored_for": scored_for, "batch_size": 64, "device": device}
    scores = graph_making.score(model, dataflow, layers, recipe=graph_making.Recipe(GRAPH_SHARE), **how)
    sets = essential_sets(scores.channels, data.attributes, GRAPH_SHARE)
    return {layer: sorted({c for name in forgotten for c in of[name]}) for layer, of in sets.items()}


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
