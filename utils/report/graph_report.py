"""What step 2 leaves behind: the graph's files, its pictures, and the table on the screen."""

import numpy as np
import torch

from utils.common import run
from utils.common.files import write_atomically
from utils.evaluation.predict import evaluate
from utils.graph import importance
from utils.pruning.importance_curve import curve_csv, importance_curve
from utils.report.figures import draw_cam_sheet, draw_importance_curve
from utils.report.graph_figure import draw_graph


def describe(network, recipe, device, forgotten, layers, scored_for):
    """Lines of the header: {what: value}."""
    counts = ", ".join(f"{name} {n}" for name, n in zip(network.attributes, scored_for.sum(0), strict=True))
    balance = "" if recipe.balance else ", no balance"
    released = ", as released" if recipe.as_released else ""
    return {
        "network": f"{network.name} from {network.path}, {network.img_size} px, on {device}",
        "forget": " ".join(forgotten),
        "scoring images": f"{len(scored_for)} ({counts})",
        "layers": ", ".join(layers),
        "choice": f"{recipe.importance}, proportion {recipe.proportion}{balance}{released}",
    }


def made_by(network, seed, arguments, scored_for):
    """The record that the graph carries: what made it, without paths or times, so equal runs give equal bytes."""
    return {
        "model": network.name,
        "img_size": network.img_size,
        "normalisation": "(x / 255 - 0.5) / 0.5",
        "seed": seed,
        "scoring_images": dict(zip(network.attributes, scored_for.sum(0).tolist(), strict=True)),
        "parent_sha256": network.sha256,
        "arguments": arguments,
        "versions": run.environment(),
    }


def write_graph(graph, json_file, released_file=None):
    """Write the JSON, and GraphML and a picture beside it; the released text too if a file is named for it."""
    write_atomically(json_file, graph.to_json())
    write_atomically(json_file.with_suffix(".graphml"), graph.to_graphml())
    title = f"Essential graph: forget {', '.join(graph.forgotten)}"
    parts = (graph.nodes(), graph.flat_edges(), list(graph.layers.items()))
    draw_graph(json_file.with_suffix(".png"), *parts, list(graph.attributes), list(graph.forgotten), title)
    print(f"wrote {json_file} (and .graphml, .png)")
    if released_file:
        write_atomically(released_file, graph.to_released_text())
        print(f"wrote {released_file}")


def draw_cams(graph, network, data, count, folder, device):
    """Grad-CAM sheets of `count` training images, one a layer, with images of every attribute."""
    each = -(-count // len(network.attributes))  # so that each row of maps has images with its attribute
    rows = np.unique(np.concatenate([data.positives(name, "train")[:each] for name in network.attributes]))[:count]
    data.prepare(rows)
    images = next(data.batches(rows, len(rows), device))[0]
    pixels = ((images * 0.5 + 0.5) * 255).round().clamp(0, 255).permute(0, 2, 3, 1).byte().cpu().numpy()
    maps = {
        name: importance.gradcam_maps(network.model, list(graph.layers), images, name) for name in network.attributes
    }
    for layer in graph.layers:
        cams = {name: heat[layer].cpu().numpy() for name, heat in maps.items()}
        path = folder / f"cams_{layer}.png"
        draw_cam_sheet(path, pixels, cams, f"Grad-CAM at {layer}", forgotten=list(graph.forgotten))
        print(f"wrote {path}")


def draw_curve(graph, network, dataflow, data, batch_size, seed, folder, device):
    """The importance analysis on the test part, as CSV and picture."""
    rows = data.rows("test")
    data.prepare(rows)
    scores = {
        layer: torch.tensor([by_attribute[name] for name in graph.forgotten]).sum(0)
        for layer, by_attribute in graph.scores.items()
    }
    points = importance_curve(
        network.model, dataflow, scores, lambda model: evaluate(model, data, rows, batch_size, device), seed=seed
    )
    write_atomically(folder / "importance_curve.csv", curve_csv(points))
    draw_importance_curve(folder / "importance_curve.png", points, list(graph.forgotten))
    print(f"wrote {folder / 'importance_curve.csv'} and .png")


def report(graph, seconds):
    """Print the table layer by layer, the totals and the seconds of each phase."""
    rows = graph.summary()
    print(run.table([list(row.values()) for row in rows], list(rows[0])))
    pruned, edges = sum(len(channels) for channels in graph.prune.values()), len(graph.flat_edges())
    print(f"{pruned} channels to prune, {len(graph.nodes())} essential channels, {edges} essential connections")
    print("seconds: " + ", ".join(f"{phase} {value:.2f}" for phase, value in seconds.items()))
    if not pruned:
        print("nothing to prune: whatever the target needs, a kept attribute needs too; try another --proportion")
