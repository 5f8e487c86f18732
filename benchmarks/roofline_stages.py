"""The stages of `benchmarks.roofline`: what is run, the least time it could take, and in words what takes the rest."""

import copy
import io
import statistics
import warnings
from pathlib import Path

import torch
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from utils import graph_making, pruning, run
from utils.augmentation import Augmentation
from utils.celeba import normalise
from utils.dataflow import trace_dataflow
from utils.decoding import run_on_threads
from utils.importance import score_network
from utils.pixels import load_resized
from utils.training import Recipe, fit

FLOAT, PIXEL = 4, 3  # bytes of a number, values of a pixel
PRODUCTS = ("convolution", "mm", "matmul", "linear", "bmm")  # words in the names of operations that multiply matrices


def image_stages(data, rows, machine, workers, device):
    """[(stage, function, floor in seconds, what the floor is, what takes the rest)] of what precedes the network."""
    files = [Path(str(data.paths[row])) for row in rows]
    raw = [file.read_bytes() for file in files]
    values = len(rows) * data.img_size**2 * PIXEL
    generator, turn = torch.Generator().manual_seed(0), Augmentation(degrees=30.0)
    images = normalise(torch.from_numpy(data.images(rows)).to(device))

    def decode_bare():
        for content in raw:
            Image.open(io.BytesIO(content)).convert("RGB")

    def decode():
        run_on_threads(lambda place: load_resized(files[place], data.img_size), len(files), workers)

    def gather():
        return normalise(torch.from_numpy(data.images(rows)).to(device))

    copied = machine["copied bytes/s"]
    decoding = median_seconds(decode_bare, 3, device) / workers
    return [
        ("decode", decode, decoding, f"JPEG decoding alone on {workers} threads", "resizing, opening files, hand-over"),
        (
            "gather and normalise",
            gather,
            (3 + FLOAT) * values / copied,  # bytes read from the cache, written, read; numbers written
            "bytes moved",
            "one read call an image; conversion and scaling pass over the numbers several times",
        ),
        (
            "augment",
            lambda: turn(images, generator),
            2 * FLOAT * values / copied,
            "bytes moved once in, once out",
            "a turned pixel is gathered from four neighbours, with coordinates worked out for each",
        ),
    ]


def compute_stages(model, data, rows, machine, device):
    """The same for the network: a training step, evaluation, scoring for all heads, pruning of a tenth."""
    flow = trace_dataflow(model)
    layers = graph_making.choose_layers(flow)
    images = normalise(torch.from_numpy(data.images(rows)).to(device))
    trained, pruned = copy.deepcopy(model), copy.deepcopy(model)
    recipe = Recipe(epochs=1, batch_size=len(rows))
    heads = len(data.attributes)
    scored_for = torch.ones(len(rows), heads, dtype=torch.bool)
    prune = {layer: list(range(model.get_submodule(layer).out_channels // 10)) for layer in layers}

    def train():
        fit(trained, data, recipe, device, train_rows=rows)

    def evaluate():
        with torch.no_grad():
            model(images)

    def score():
        score_network(model, layers, [], [(images, scored_for)])

    cleared = sum(value.numel() * FLOAT for value in pruning.read_channels(model, prune, flow.batch_norm))
    half = recipe.settings(device)["amp"] in (True, "bf16", torch.bfloat16)
    kind = "bfloat16" if half else "float32"
    single = machine["float32 operations/s"]
    return [
        (
            "training step",
            train,
            operations(train) / machine[f"{kind} operations/s"],
            f"{kind} products",
            where_time_goes,
        ),
        ("evaluation forward", evaluate, operations(evaluate) / single, "float32 products", where_time_goes),
        (f"scoring, {heads} heads", score, operations(score) / single, "float32 products", where_time_goes),
        (
            "pruning",
            lambda: pruning.zero_channels(pruned, prune, flow.batch_norm),
            cleared / machine["copied bytes/s"],
            "bytes cleared",
            "starting some twenty small operations from Python",
        ),
    ]


def operations(step):
    """Additions and multiplications of the products in a step, counted as it runs; oneDNN's own are not countable."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # turning oneDNN off warns of TF32
        with torch.backends.mkldnn.flags(enabled=False), FlopCounterMode(display=False) as counter:
            step()
    return counter.get_total_flops()


def median_seconds(work, repeats, device):
    """Median of some repeats after a warm-up."""
    work()
    found = []
    for _ in range(repeats):
        watch = run.Stopwatch(device)
        with watch("work"):
            work()
        found.append(watch.seconds["work"])
    return statistics.median(found)


def where_time_goes(step):
    """In words: the share of matrix products in a step's operations on the host, and the largest others."""
    from torch.profiler import ProfilerActivity, profile

    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        step()
    spent = {}
    for event in profiler.key_averages():
        name = event.key.removeprefix("aten::").lstrip("_")
        name = "products" if any(word in name for word in PRODUCTS) else name
        spent[name] = spent.get(name, 0.0) + event.self_cpu_time_total
    whole = sum(spent.values())
    products = spent.pop("products", 0.0) / whole
    largest = sorted(spent, key=spent.get, reverse=True)[:3]
    others = ", ".join(f"{name} {100 * spent[name] / whole:.0f} %" for name in largest)
    return f"products take {100 * products:.0f} % of the time; of the rest: {others}"
