"""What step 2 leaves to look at: the graph's files, its pictures on request, and the table on the screen."""

import numpy as np
import torch

from utils.common import distributed, paths, run
from utils.common.arguments import recorded_flags
from utils.common.errors import InputError, warn
from utils.common.paths import check_outputs, write_atomically
from utils.datasets.dataset import denormalise
from utils.evaluation.predict import evaluate
from utils.graph.dataflow import trace_dataflow
from utils.graph.essential_graph import read_graph
from utils.graph.graph_format import MOST_BYTES
from utils.graph.importance import gradcam_maps
from utils.graph.selection import CONTROLS, count_essential
from utils.pruning.importance_curve import curve_csv, importance_curve
from utils.report.figures import draw_cam_sheet, draw_importance_curve
from utils.report.graph_figure import draw_graph
from utils.report.next_steps import after_graph
from utils.report.run_record import describe_task

CONNECTION = 25  # bytes of one in a graph's text: two channels and nine digits


def describe(task, dataflow, layers, images, data, flags):
    """Header of step 2: {what: value}; a warning first, if the graph will be larger than step 3 reads.

    Args:
        task: `Task`; dataflow: `Dataflow`; layers: names; images: `ScoringImages`; data: `ImageDataset`
        flags: {flag: value} of step 2
    """
    size = expected_bytes(task.network, dataflow.links_between(layers), flags["proportion"])
    if size > MOST_BYTES:
        sides = f"{size >> 20} MB, step 3 reads {MOST_BYTES >> 20} MB"
        warn(f"the graph may take {sides}: it is not written then; use a smaller --proportion or fewer --layers")
    counts = ", ".join(f"{name} {count}" for name, count in images.counts.items())
    extras = [words for flag, words in (("no_balance", "no balance"), ("as_released", "as released")) if flags[flag]]
    return {
        **describe_task(task, data),
        "scoring images": f"{len(images.rows)} ({counts})",
        "layers": ", ".join(layers),
        "choice": ", ".join([flags["importance"], f"proportion {flags['proportion']}", *extras]),
    }


def expected_bytes(network, links, proportion):
    """Bytes of a graph whose essential channels are all connected, before anything is scored.

    Args: network: `LoadedNetwork`; links: of `Dataflow`; proportion: share of each layer's channels
    """
    modules = dict(network.model.named_modules(remove_duplicate=False))
    pairs = [[modules[end].out_channels for end in (link.producer, link.consumer)] for link in links]
    ends = [[count_essential(channels, proportion) for channels in pair] for pair in pairs]
    return len(network.attributes) * CONNECTION * sum(source * target for source, target in ends)


def check_graph_outputs(task, flags):
    """Look at the files of step 2 before any work, see `check_outputs`.

    Args: task: `Task`; flags: {flag: value} of step 2
    Raises: InputError if one could not be written, --weights would overwrite the graph of another network, or the
        released text cannot say what is chosen
    """
    written = {"graphs": [task.graph_file.with_suffix(suffix) for suffix in (".json", ".graphml", ".png")]}
    if flags["released_txt"]:
        chosen = "--no_balance" if flags["no_balance"] else f"--importance {flags['importance']}"
        if flags["no_balance"] or flags["importance"] in CONTROLS:
            raise InputError(f"--released_txt writes votes, by which {chosen} does not choose: leave out one of them")
        written["released_txt"] = _released_file(task)
    if flags["show_cams"] or flags["importance_curve"]:
        written["results"] = task.results_folder(flags["results"]) / "importance_curve.png"
    check_outputs(flags | {"checkpoint": task.network.path}, {"graphs": "the graph"}, **written)
    if flags["weights"] and _parent_of(task.graph_file) not in (None, task.network.sha256):
        there = f"{task.graph_file} is the graph of another network than {task.network.path}"
        raise InputError(f"{there}: pass --run_name for this one, or remove it")


def _parent_of(path):
    """sha256 of the network that a graph was made of; None if there is none, or it is damaged."""
    try:
        return read_graph(path).made_by.get("parent_sha256")
    except InputError:
        return None


def made_by(network, images, flags):
    """The record that the graph carries: what made it, without paths or times, so equal runs give equal bytes.

    Args: network: `LoadedNetwork`; images: `ScoringImages`; flags: {flag: value} of step 2
    """
    return {
        "model": network.name,
        "img_size": network.img_size,
        "normalisation": str(network.normalisation),
        "seed": flags["seed"],
        "scoring_images": images.counts,
        "parent_sha256": network.sha256,
        "arguments": recorded_flags(flags),
        "versions": run.environment(),
    }


@distributed.by_first
def write_graph(graph, task, released_txt=False):
    """Write a `graph` of a `task` as JSON, GraphML and a picture, and with `released_txt` as the released text."""
    file = task.graph_file
    write_atomically(file, graph.to_json())
    write_atomically(file.with_suffix(".graphml"), graph.to_graphml())
    title = f"Essential graph: forget {', '.join(graph.forgotten)}"
    parts = (graph.nodes(), graph.flat_edges(), list(graph.layers.items()))
    draw_graph(file.with_suffix(".png"), *parts, list(graph.attributes), list(graph.forgotten), title)
    print(f"wrote {file} (and .graphml, .png)")
    if released_txt:
        write_atomically(_released_file(task), graph.to_released_text())
        print(f"wrote {_released_file(task)}")


def _released_file(task):
    places = [task.network.attributes.index(name) for name in task.forgotten]
    return paths.released_graph_file(paths.RELEASED_GRAPHS, task.run, places)


def rows_to_show(positives, count):
    """`count` rows, ascending, with some of every attribute; more where some attribute would be on none of them.

    Args: positives: for each attribute the (n,) rows that have it, n >= 1
    Returns: (M,) array
    """
    each = -(-count // len(positives))
    rows = np.unique(np.concatenate([own[:each] for own in positives]))[:count]
    return np.unique([*rows, *(own[0] for own in positives if not np.isin(own, rows).any())])


@distributed.by_first
def draw_cams(graph, task, data, count, folder):
    """Grad-CAM sheets of `count` training images, one a layer; of more, if some attribute is on none of them."""
    network = task.network
    rows = data.prepare(rows_to_show([data.positives(name, "train") for name in network.attributes], count))
    images = next(data.batches(rows, len(rows), task.device))[0]
    pixels = denormalise(images, data.normalisation)
    maps = {name: gradcam_maps(network.model, list(graph.layers), images, name) for name in network.attributes}
    for layer in graph.layers:
        cams = {name: heat[layer].cpu().numpy() for name, heat in maps.items()}
        path = folder / f"cams_{layer}.png"
        draw_cam_sheet(path, pixels, cams, f"Grad-CAM at {layer}", forgotten=list(graph.forgotten))
        print(f"wrote {path}")


def draw_curve(graph, task, data, flags, folder):
    """The importance analysis on the test part, as CSV and picture; `flags` {flag: value} of step 2."""
    rows, model = data.rows("test"), task.network.model
    data.prepare(rows)
    scores = {
        layer: torch.tensor([by_attribute[name] for name in graph.forgotten]).sum(0)
        for layer, by_attribute in graph.scores.items()
    }

    def figures_of(pruned):
        return evaluate(pruned, data, rows, flags["batch_size"], task.device)

    points = importance_curve(model, trace_dataflow(model), scores, figures_of, seed=flags["seed"])
    write_atomically(folder / "importance_curve.csv", curve_csv(points))
    draw_importance_curve(folder / "importance_curve.png", points, list(graph.forgotten))
    print(f"wrote {folder / 'importance_curve.csv'} and .png")


def print_summary(graph, task, seconds, flags):
    """Print the table of a `graph` layer by layer, the totals, the seconds of each phase and what to do next.

    Args: task: `Task`; seconds: {phase: seconds}; flags: {flag: value} of step 2
    """
    rows = graph.summary()
    print(run.table([list(row.values()) for row in rows], list(rows[0])))
    pruned, edges = sum(len(channels) for channels in graph.prune.values()), len(graph.flat_edges())
    print(f"{pruned} channels to prune, {len(graph.nodes())} essential channels, {edges} essential connections")
    print("seconds: " + ", ".join(f"{phase} {value:.2f}" for phase, value in seconds.items()))
    if not pruned:
        print("nothing to prune: whatever the target needs, a kept attribute needs too; try another --proportion")
    else:
        print(after_graph(task.graph_file.with_suffix(".png"), flags))
