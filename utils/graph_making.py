"""Step 2's algorithm: scoring images in, essential graph out."""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch

from utils.balance import nodes_to_prune, released_nodes_to_prune, votes
from utils.errors import InputError
from utils.essential_graph import EssentialGraph
from utils.importance import MEASURES, score_network
from utils.selection import CONTROLS, control_channels, essential_sets


@dataclass(frozen=True)
class Recipe:
    """How channels are chosen.

    proportion: share of a layer's channels that is essential, in (0, 1]
    importance: "gradcam", "gradient_activation" or a control ("random", "lowest", "magnitude")
    balance: spare what a kept attribute needs
    as_released: gradient of the probability, tied channels collapse, the released vote rule
    seed: of the random control
    """

    proportion: float = 0.1
    importance: str = "gradcam"
    balance: bool = True
    as_released: bool = False
    seed: int = 0

    @property
    def rule(self):
        """The graph's `rule`: how the nodes to prune follow from the essential sets."""
        if self.importance in CONTROLS:
            return self.importance
        if not self.balance:
            return "no_balance"
        return "released" if self.as_released else "balance"


def choose_layers(dataflow, wanted=(5,)):
    """Names of the layers to score.

    Args:
        wanted: one number n (the last n convolutions without the very last), or names of convolutions
    Raises: InputError if a name is no convolution or there are fewer than n
    """
    if len(wanted) == 1 and str(wanted[0]).isdigit():
        return list(dataflow.last_layers(int(wanted[0])))
    unknown = [name for name in wanted if name not in dataflow.convolutions]
    if unknown:
        shown = ", ".join(dataflow.convolutions[-6:])
        raise InputError(f"--layers: {unknown[0]!r} is no convolution of this network, whose last ones are {shown}")
    return [name for name in dataflow.convolutions if name in wanted]


def scoring_rows(data, attributes, num_images):
    """The first `num_images` training rows on which each attribute is 1.

    Returns: (rows (N,) without repeats, scored_for (N, K) bool)
    Raises: InputError if an attribute has no positive in the training part
    """
    chosen = [data.positives(attribute, "train")[:num_images] for attribute in attributes]
    rows = np.unique(np.concatenate(chosen))
    return rows, np.stack([np.isin(rows, own) for own in chosen], axis=1)


def scoring_batches(data, rows, scored_for, batch_size, device):
    """Yield (images (B, 3, H, W), scored_for (B, K) bool) of full batches; the last may be smaller.

    Images scored for the most attributes come first: a batch goes back as often as one of its images has attributes.
    """
    order = np.lexsort([*scored_for.T, scored_for.sum(1)])[::-1]  # equal sets of attributes side by side
    parts = torch.from_numpy(scored_for[order]).split(batch_size)
    for (images, _), part in zip(data.batches(rows[order], batch_size, device), parts, strict=True):
        yield images, part


def score(model, dataflow, layers, data, rows, scored_for, recipe, batch_size, device):
    """`importance.Scores` of the scoring images: one forward pass a batch, a partial backward pass a round."""
    measure = recipe.importance if recipe.importance in MEASURES else "gradcam"
    batches = scoring_batches(data, rows, scored_for, batch_size, device)
    links = dataflow.links_between(layers)
    options = {"measure": measure, "of_probability": recipe.as_released, "total": math.ceil(len(rows) / batch_size)}
    return score_network(model, layers, links, batches, **options)


def make_graph(scores, attributes, forgotten, recipe, model, made_by):
    """The essential graph that the scores and the recipe give.

    Args:
        scores: `importance.Scores`
        attributes: all names in head order; forgotten: those to forget
        model: the scored network (its filter norms serve the control "magnitude")
        made_by: what goes into the file beside the graph
    Returns: EssentialGraph
    """
    layers = {layer: tensor.shape[1] for layer, tensor in scores.channels.items()}
    essential = essential_sets(scores.channels, attributes, recipe.proportion, collapse_ties=recipe.as_released)
    prune = {}
    for layer, size in layers.items():
        if recipe.rule == "released":
            prune[layer] = released_nodes_to_prune(votes(essential[layer], size, forgotten), len(attributes))
        else:
            prune[layer] = nodes_to_prune(essential[layer], forgotten, recipe.balance)
    if recipe.importance in CONTROLS:
        counts = {layer: len(channels) for layer, channels in prune.items()}
        targets = [attributes.index(name) for name in forgotten]
        target_scores = {layer: tensor[targets].sum(0) for layer, tensor in scores.channels.items()}
        prune = control_channels(recipe.importance, counts, model, target_scores, recipe.seed)
    return EssentialGraph(
        attributes=tuple(attributes),
        forgotten=tuple(forgotten),
        layers=layers,
        scores={layer: _by_attribute(tensor, attributes) for layer, tensor in scores.channels.items()},
        essential=essential,
        prune=prune,
        edges=_essential_edges(scores.edges, essential, attributes),
        rule=recipe.rule,
        made_by=made_by,
    )


def at_proportion(graph, scores, proportion, recipe, model):
    """The same scores cut at another proportion: a new graph, no new pass over images."""
    changed = replace(recipe, proportion=proportion)
    return make_graph(scores, list(graph.attributes), list(graph.forgotten), changed, model, graph.made_by)


def _by_attribute(tensor, attributes):
    return {name: [_short(value) for value in row] for name, row in zip(attributes, tensor.tolist(), strict=True)}


def _short(value):
    return float(f"{value:.9g}")  # nine digits tell any two float32 apart


def _essential_edges(relevance, essential, attributes):
    edges = []
    for (source, target), matrix in relevance.items():
        for k, attribute in enumerate(attributes):
            sources, targets = essential[source][attribute], essential[target][attribute]
            values = matrix[k][sources][:, targets].tolist()
            connections = [
                [i, j, _short(values[a][b])]
                for a, i in enumerate(sources)
                for b, j in enumerate(targets)
                if values[a][b]
            ]
            edges.append({"source": source, "target": target, "attribute": attribute, "connections": connections})
    return edges
