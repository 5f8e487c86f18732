"""A folder of results written down by hand: two methods, a graph, a line of each, maps before and after."""

import json
import shlex

import numpy as np
import torch
from small_audit import small_audit

from utils.common.paths import SCRIPT, graph_file, results_folder, targets_name, write_atomically
from utils.graph.essential_graph import build_graph
from utils.graph.importance import Scores
from utils.graph.selection import choose_nodes, essential_sets
from utils.page.kept_record import to_jpeg

ATTRIBUTES = ("Bald", "Smiling", "Young")
LAYERS = {"layer1.conv": 40, "layer2.conv": 30}


def renamed(value, names):
    """JSON with some texts, keys too, replaced by others."""
    if isinstance(value, dict):
        return {names.get(key, key): renamed(part, names) for key, part in value.items()}
    if isinstance(value, list):
        return [renamed(part, names) for part in value]
    return names.get(value, value) if isinstance(value, str) else value


def small_graph(attributes=ATTRIBUTES, forgotten=("Bald",), rule="balance", proportion=0.2, seed=0, layers=LAYERS):
    """A graph of random scores, a third of them tied."""
    random = torch.Generator().manual_seed(seed)
    channels = {name: torch.randn(len(attributes), size, generator=random) for name, size in layers.items()}
    for scores in channels.values():
        scores[:, ::3] = scores[:, ::3].round()
    (first, one), (second, two) = list(layers.items())[:2]
    edges = {(first, second): torch.randn(len(attributes), one, two, generator=random)}
    released = rule == "released"
    essential = essential_sets(channels, attributes, proportion, released)
    prune = choose_nodes(rule, essential, channels, forgotten, None)
    made_by = {"arguments": {"proportion": proportion, "as_released": released}, "parent_sha256": "a" * 64, "seed": 0}
    return build_graph(Scores(channels, edges, None), essential, prune, forgotten, rule, made_by)


def result_line(run, attributes, forgotten, method="prune"):
    """A line of results of step 3, as far as a page reads it."""
    figures = {"auc": 0.9, "accuracy": 0.9, "tpr": 0.5, "n": 9}
    return {
        "run": run,
        "attributes": list(attributes),
        "forgotten": list(forgotten),
        "method": method,
        "model": "resnet18",
        "img_size": 32,
        "dataset": "faces",
        "heads": {name: {"before": figures, "after": figures | {"auc": 0.5}} for name in attributes},
        "pruned": {"layer1.conv": 3} if method == "prune" else {},
        "seconds": {method: 1.5},
        "parent_sha256": "a" * 64,
        "checkpoint_sha256": method[0] * 64,
        "arguments": {"method": method},
        "command": shlex.join(["python", f"{SCRIPT}_unlearning.py", "--task", *attributes, "--data_path", "D"]),
        "seed": 0,
        "date": "2026-01-02T03:04:05+00:00",
        "versions": {"torch": "2.6"},
    }


def kept_record(attributes, faces=True):
    """What step 3 keeps for a page, of two tiny images."""
    maps = {name: [[[0.0, 1.0], [0.5, 0.25]]] * 2 for name in attributes[:2]}
    picture = to_jpeg(np.full((8, 8, 3), 128, np.uint8))
    cams = {"layer": "layer2.conv", "attributes": list(attributes[:2]), "ids": ["1.jpg", "2.jpg"]}
    cams |= {"images": [picture] * 2 if faces else None, "maps": {"original": maps, "unlearned": maps}}
    return {"training": {"epoch": 5, "vflip": False}, "oracle_sha256": "b" * 64, "cams": cams}


def make_results(root, names=None, run="small", methods=("pruned", "erased"), graph=True, audit=True, oracle=True):
    """Write results/<run>/<targets>/, results.jsonl and the graph below `root`; returns (folder, the graph or None).

    Args: names: {"Bald": another name, …}; methods: folders to write; graph, audit, oracle: whether there are such
    """
    attributes = tuple((names or {}).get(name, name) for name in ATTRIBUTES)
    targets = targets_name(attributes[:1])
    folder, lines = results_folder(root / "results" / "results.jsonl", run, targets), []
    for method in methods:
        lines.append(result_line(run, attributes, attributes[:1], {"pruned": "prune", "erased": "erase"}[method]))
        write_atomically(folder / method / "page.json", json.dumps(kept_record(attributes)))
        if audit:
            content = renamed(small_audit(), names or {})
            if not oracle:
                content["nets"].pop("oracle")
            write_atomically(folder / method / f"audit_{targets}.json", json.dumps(content))
    write_atomically(root / "results" / "results.jsonl", "".join(json.dumps(line) + "\n" for line in lines))
    file = graph_file(root / "graphs", run, targets)
    if graph:
        write_atomically(file, small_graph(attributes, attributes[:1]).to_json())
    return folder, file if graph else None
