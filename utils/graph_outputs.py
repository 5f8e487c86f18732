"""What step 2 leaves behind: the graph's files, its pictures, and the table on the screen."""

import numpy as np

from utils import importance, paths, run
from utils.arguments import recipe_arguments
from utils.figures import draw_cam_sheet, draw_importance_curve
from utils.graph_figure import draw_graph
from utils.importance_curve import curve_csv, importance_curve
from utils.metrics import figures_per_head
from utils.training import predict


def describe(args, network, device, forgotten, layers, scored_for):
    """Lines of the header: {what: value}."""
    counts = ", ".join(f"{name} {n}" for name, n in zip(network.attributes, scored_for.sum(0), strict=True))
    return {
        "network": f"{network.name} from {network.path}, {network.img_size} px, on {device}",
        "forget": " ".join(forgotten),
        "scoring images": f"{len(scored_for)} ({counts})",
        "layers": ", ".join(layers),
        "choice": f"{args.importance}, proportion {args.proportion}" + (", no balance" if args.no_balance else ""),
    }


def made_by(args, network, scored_for):
    """The record that the graph carries: what made it, without paths or times, so equal runs give equal bytes."""
    return {
        "model": network.name,
        "img_size": network.img_size,
        "normalisation": "(x / 255 - 0.5) / 0.5",
        "seed": args.seed,
        "scoring_images": dict(zip(network.attributes, scored_for.sum(0).tolist(), strict=True)),
        "parent_sha256": network.sha256,
        "arguments": recipe_arguments(args),
        "versions": run.environment(),
    }


def write_graph(graph, args, name):
    """Write the JSON, GraphML and picture of the graph, and the released text on request."""
    targets = paths.targets_name(graph.forgotten)
    json_file = paths.graph_file(args.graph_path, name, targets)
    run.write_atomically(json_file, graph.to_json().encode())
    run.write_atomically(paths.graph_file(args.graph_path, name, targets, ".graphml"), graph.to_graphml().encode())
    title = f"Essential graph: forget {', '.join(graph.forgotten)}"
    shown = (
        graph.nodes(),
        graph.flat_edges(),
        list(graph.layers.items()),
        list(graph.attributes),
        list(graph.forgotten),
    )
    draw_graph(paths.graph_file(args.graph_path, name, targets, ".png"), *shown, title)
    print(f"wrote {json_file} (and .graphml, .png)")
    if args.released_txt:
        indices = [graph.attributes.index(attribute) for attribute in graph.forgotten]
        text_file = paths.released_graph_file(args.released_path, name, indices)
        run.write_atomically(text_file, graph.to_released_text().encode())
        print(f"wrote {text_file}")


def draw_on_request(graph, network, dataflow, data, args, name, device):
    """Grad-CAM sheets (--show_cams) and the importance analysis (--importance_curve)."""
    folder = paths.results_folder(args.results, name, paths.targets_name(graph.forgotten))
    if args.show_cams:
        _draw_cams(graph, network, data, args.show_cams, folder, device)
    if args.importance_curve:
        _draw_curve(graph, network, dataflow, data, args, folder, device)


def _draw_cams(graph, network, data, count, folder, device):
    each = -(-count // len(network.attributes))  # images of every attribute, so that each row of maps has its own
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


def _draw_curve(graph, network, dataflow, data, args, folder, device):
    import torch

    rows = data.everything("test")
    data.prepare(rows)

    def evaluate(model):
        logits, labels = predict(model, data, rows, args.batch_size, device)
        return figures_per_head(logits.numpy(), labels.numpy(), network.attributes)

    scores = {
        layer: torch.tensor([by_attribute[name] for name in graph.forgotten]).sum(0)
        for layer, by_attribute in graph.scores.items()
    }
    points = importance_curve(network.model, dataflow, scores, evaluate, seed=args.seed)
    run.write_atomically(folder / "importance_curve.csv", curve_csv(points).encode())
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
