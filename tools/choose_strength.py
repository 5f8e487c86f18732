"""Choose the strength of an erasure: sweep strengths on images that the erasures do not learn from.

Reads   checkpoints/<run>/original.pth             (step 1, or your own weights by --weights)
        checkpoints/<run>/oracle_<targets>.pth     (step 1 with --leave_out; without it the reference is a
                                                   network that was never trained)
Writes  <folder of --results>/<run>/<targets>/erased/strength.json and strength.png

    python -m tools.choose_strength --task Bald Mouth_Slightly_Open --target Bald --strengths 0.5 1 2
"""

import json
import sys
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.audit.tolerances import ALLOWED_LOSS, GAP_TOLERANCE
from utils.audit.validation import sweep_on_validation
from utils.common import arguments as a
from utils.common import distributed, locks, run
from utils.common.paths import check_outputs, write_atomically
from utils.datasets.task import open_task
from utils.erasure.erasure import DEPTHS, ErasureSettings
from utils.erasure.strength import BEGUN, STRENGTHS
from utils.report.next_steps import command
from utils.report.run_record import describe_task
from utils.report.style import FORGOTTEN, GREEN, GREY, INK, KEPT, KEPT_COLOURS, legend_below, number, picture, readable
from utils.report.tables import format_figure

COLUMNS = ["strength", "head AUC", "worst gap", "kept loss", "seconds", "verdict"]
LOSS = 100 * max(ALLOWED_LOSS.values())  # hundredths: points of accuracy, or of AUC times 100
REFERENCES = {"oracle": "oracle's", "random": "random network's (no oracle at hand)"}


def get_args_parser():
    """The flags: edit the defaults here."""
    parser = a.Parser(description=__doc__, prog="choose_strength")
    a.add_task_arguments(parser)
    add = parser.add_argument_group("method").add_argument
    text = "strengths to try: above 1 erases more, below 1 less"
    add("--strengths", nargs="+", type=a.positive_float, default=list(STRENGTHS), metavar="X", help=text)
    add("--depth", default="activations", choices=DEPTHS, help="of each erasure, as in step 3")
    a.add_network_arguments(parser)
    a.add_data_arguments(parser)
    a.add_run_arguments(parser)
    return parser


@locks.one_at_a_time
def main(args):
    """Open the task, sweep, write, print."""
    task = open_task(**vars(args))
    folder = task.results_folder(args.results, "erase")
    written = [folder / "strength.json", folder / "strength.png"]
    check_outputs(vars(args) | {"checkpoint": task.network.path}, results=written)
    data = task.open_data()
    run.header("choose the strength", describe_task(task, data))
    networks = {"original": task.network.model, **task.reference_networks(args.seed, data)}
    how = {"strengths": args.strengths, "depth": args.depth, "seed": args.seed}
    chosen = choose_settings("auto", networks, data, task, folder, **how).strength
    words = ("--method", "erase", "--depth", args.depth, "--strength", f"{chosen:g}")
    print(f"next: erase: {command('unlearning', vars(args), *words, names=['target_class'])}")


@distributed.by_first
def choose_settings(strength, networks, data, task, folder, *, strengths=(), **settings):
    """`ErasureSettings` of a strength; "auto" sweeps some on validation images, writes and prints that, and takes one.

    Args:
        networks: {"original": untouched network, and "oracle" or else "random"}; data: `ImageDataset`
        task: `Task`; folder: of strength.json and strength.png; strengths: to sweep, none: the usual five
        settings: the other fields of `ErasureSettings`
    Raises: InputError if no strength can be measured
    """
    settings = ErasureSettings(strength=1.0 if strength == "auto" else strength, **settings)
    data.prepare(data.rows("train"))  # what an erasure reads too
    if strength != "auto":
        return settings
    data.prepare(data.rows("valid"))
    sweep = sweep_on_validation(networks, data, task.forgotten, settings, strengths, device=task.device)
    write_strengths(folder, sweep | {"parent_sha256": task.network.sha256})
    print(f"{summary(sweep)}\nwrote {folder}/strength.json and strength.png")
    return replace(settings, strength=sweep["chosen"])


def write_strengths(folder, sweep):
    """Write strength.json and strength.png to a folder; `sweep` is what `sweep_on_validation` returns."""
    write_atomically(folder / "strength.json", json.dumps(sweep, indent=1, allow_nan=False) + "\n")
    title = f"Forget {', '.join(sweep['targets'])}: what each strength takes and costs"
    draw_strengths(folder / "strength.png", sweep, title)


def summary(sweep):
    """The sweep as aligned text: a row a strength, the original first, with the images and the choice in words."""
    rows = [_row("original", {**sweep["original"], "kept_loss": None})]
    rows += [_row(f"{point['strength']:g}", point) for point in sweep["points"]]
    held_out = sweep["validation"]
    positives = ", ".join(f"{count} with {target}" for target, count in held_out["positives"].items())
    where = "the validation part" if held_out["part"] == "valid" else "the training part, held out of the erasures"
    first = f"strength sweep: {held_out['rows']:,} images of {where} ({positives}); gaps are to the "
    first += f"{REFERENCES[sweep['reference']]}, kept loss is the worst of a kept head, of AUC or accuracy"
    return "\n".join([first, run.table(rows, COLUMNS), choice_in_words(sweep)])


def choice_in_words(sweep):
    """One sentence: the mildest strength that erased, or what the kept heads can afford."""
    (point,) = (point for point in sweep["points"] if point["strength"] == sweep["chosen"])
    if sweep["reached"]:
        words = f"strength {sweep['chosen']:g} is the mildest that reaches {_verdicts(point)}"
    else:
        why = "no strength reaches ERASED" if sweep["reference"] == "oracle" else "no oracle says how far to go"
        which = "the strongest that the kept heads can afford"
        if point["kept_loss"] > BEGUN:
            which = "the mildest, and each costs the kept heads something"
        words = f"{why}; {sweep['chosen']:g} is {which}: {_verdicts(point)}, kept loss {point['kept_loss']:.4f}"
    return f"{words} on the validation images"


def _row(name, point):
    heads = " ".join(format_figure(target["head_auc"]["value"]) for target in point["targets"].values())
    seconds = f"{point['seconds']:.1f}" if "seconds" in point else None
    return [name, heads, point["worst_gap"], point["kept_loss"], seconds, _verdicts(point)]


def _verdicts(point):
    verdicts = [target["verdict"] for target in point["targets"].values()]
    return ", ".join(f"{v['word']} ({v['qualifier']})" if v["qualifier"] else v["word"] for v in verdicts)


def draw_strengths(path, sweep, title=""):
    """Left: worst gap of an attack over the worst kept loss, a mark a strength. Right: the worst gap of each attack.

    Args: path: the PNG to write; sweep: as `utils.audit.validation.sweep_on_validation` returns it
    """
    reference = "the oracle's" if sweep["reference"] == "oracle" else "a random network's (no oracle)"
    with picture(path, 10.4, 4.9, title) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(1.15, 1))
        _draw_trade(left, sweep)
        left.set(xlabel="kept: worst loss of a kept head, points (100 × AUC, or accuracy)")
        left.set(ylabel=f"forgotten: worst attack, AUC − {reference}", title="forgotten against kept")
        _draw_attacks(right, sweep["points"])
        right.set(xlabel="strength", ylabel=f"worst stage, AUC − {reference}", title="attack by attack")
        handles, labels = zip(*(panel.get_legend_handles_labels() for panel in (left, right)), strict=True)
        legend_below(figure, sum(handles, []), sum(labels, []), columns=5)


def _draw_trade(panel, sweep):
    points, start = sweep["points"], (0.0, number(sweep["original"]["worst_gap"]))
    xs, ys = [100 * number(p["kept_loss"]) for p in points], [number(p["worst_gap"]) for p in points]
    panel.plot([start[0], *xs[:1]], [start[1], *ys[:1]], color=GREY, linewidth=1.0, linestyle=":")
    panel.plot(*start, marker="o", color=INK, linestyle="", label="original")
    panel.plot(xs, ys, color=FORGOTTEN, marker="s", label="erased, by strength")
    for point, x, y in zip(points, xs, ys, strict=True):
        panel.annotate(f"{point['strength']:g}", (x, y), xytext=(9, 7), textcoords="offset points", fontsize=8.5)
        if point["strength"] == sweep["chosen"]:
            label = "mildest erased" if sweep["reached"] else "what the kept heads afford"
            panel.plot(x, y, marker="*", markersize=13, color=KEPT, linestyle="", zorder=3, label=label)
    panel.axvline(LOSS, color=GREEN, linewidth=1.0, linestyle="--")
    panel.axhline(GAP_TOLERANCE, color=GREEN, linewidth=1.0, linestyle="--")
    panel.margins(0.1)
    panel.set(xlim=panel.get_xlim(), ylim=panel.get_ylim())  # what is shaded goes beyond, and is clipped
    panel.fill_between([-100, LOSS], -1, GAP_TOLERANCE, color=GREEN, alpha=0.15, linewidth=0, label="allowed")


def _draw_attacks(panel, points):
    strengths, targets = [point["strength"] for point in points], list(points[0]["targets"])
    colours = [INK, *KEPT_COLOURS]
    for place, target in enumerate(targets):
        line = ("-", "--", ":", "-.")[place % 4]
        for i, attack in enumerate(points[0]["targets"][target]["gaps"]):
            gaps = [_worst(point["targets"][target]["gaps"][attack]) for point in points]
            label = attack + (f", {readable(target)}" if len(targets) > 1 else "")
            panel.plot(strengths, gaps, color=colours[i % len(colours)], linestyle=line, marker="o", label=label)
    panel.axhline(GAP_TOLERANCE, color=GREEN, linewidth=1.0, linestyle="--", label="allowed below")
    panel.axhline(0, color=GREY, linewidth=1.0, linestyle=":")
    panel.set_xscale("log", base=2)
    panel.set_xticks(strengths, [f"{strength:g}" for strength in strengths])
    panel.minorticks_off()


def _worst(gaps):
    """The largest of {place: gap}, as a number to draw."""
    return number(max((gap["value"] for gap in gaps.values() if gap["value"] is not None), default=None))


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
