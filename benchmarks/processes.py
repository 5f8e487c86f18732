"""Several processes of one thread each beside one process of as many threads: as fast, and do they give the same?

An epoch of step 1, the scores of step 2 and the feature extraction of an audit, each side started anew for every turn;
the last of `--passes` counts, so that nothing is decoded or warmed up within it.

Reads   --data_path (its images are decoded before anything is timed); the network starts from random weights
Writes  a JSON line to --out: seconds of every turn, ratios of the medians (above 1: several are faster), differences

    python -m benchmarks.processes --img_size 64 --limit 2560 --repeats 5
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments, distributed, run
from utils.datasets.augmentation import Augmentation
from utils.datasets.dataset import open_dataset
from utils.graph.dataflow import trace_dataflow
from utils.graph.importance import score_network
from utils.graph.scoring_images import choose_scoring_images
from utils.network.loading import random_network
from utils.probes.features import extract_features
from utils.report.run_record import dataset_name
from utils.training.loop import train_epochs
from utils.training.recipe import AMP, TrainingSettings

SIDES = ("one", "several")


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.processes")
    arguments.add_task_arguments(parser)
    add, count = parser.add_argument, arguments.positive_int
    add("--model", default="resnet18", metavar="NAME", help="network, with random weights")
    add("--processes", type=count, default=2, metavar="N", help="processes of one side, threads of the other")
    add("--limit", type=count, default=2560, metavar="N", help="rows of the table: three quarters are trained on")
    add("--amp", default="off", choices=AMP, help="precision of the training, as in step 1")
    add("--passes", type=count, default=2, metavar="N", help="times that each work is done in a turn; the last counts")
    add("--repeats", type=count, default=5, metavar="N", help="turns of each side; medians count")
    add("--out", default="results/lines/processes.jsonl", metavar="FILE", help="file that gets the line")
    add("--turn", metavar="FILE", help="do the works once, in the processes that are there, and write what they gave")
    arguments.add_data_arguments(parser, img_size=64)
    arguments.add_run_arguments(parser, batch_size=128)
    return parser


def main(args):
    """Let the sides take turns, compare what they took and gave, write the line."""
    device = run.start_run(args.seed, args.device)
    options = {"img_size": args.img_size, "limit": args.limit, "cache_path": args.cache_path}
    data = open_dataset(args.data_path, args.task_labels, **options)
    for split in data.splits:
        data.prepare(data.rows(split))
    if args.turn:
        seconds, given = do_works(data, device, args.model, args.batch_size, args.amp, args.passes, args.seed)
        if distributed.is_main():
            np.savez(args.turn, seconds=json.dumps(seconds), **given)
        return
    turns = {side: [] for side in SIDES}
    for _ in range(args.repeats):
        for side, of_side in turns.items():
            of_side.append(take_turn(side, args.processes))
    line = {"what": "processes", "dataset": dataset_name(args.data_path), "model": args.model, "seed": args.seed}
    line |= {"img_size": args.img_size, "batch_size": args.batch_size, "limit": args.limit, "amp": args.amp}
    line |= {"device": device.type, "processes": args.processes, **compare(turns)}
    run.append_result(args.out, line)
    rows = [[work, *(line[f"{side}_seconds"][work] for side in SIDES), line["speed"][work]] for work in line["speed"]]
    rows = [[work, *map(statistics.median, seconds), speed] for work, *seconds, speed in rows]
    print(run.table(rows, ["work", "one process, s", f"{args.processes} processes, s", "speed"]))
    print("differences: " + ", ".join(f"{what} {value:g}" for what, value in line["differences"].items()))


def take_turn(side, count):
    """(seconds of each work, {what: array}) of one side, from processes that have done nothing else."""
    threads, start = (count, []) if side == "one" else (1, ["torch.distributed.run", "--nproc_per_node", str(count)])
    start += ["--standalone", "-m"] if start else []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "turn.npz"
        command = [sys.executable, "-m", *start, "benchmarks.processes", *sys.argv[1:], "--turn", str(file)]
        subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)}, stdout=subprocess.PIPE)
        with np.load(file) as found:
            given = {name: found[name] for name in found.files}
    return json.loads(str(given.pop("seconds"))), given


def do_works(data, device, name, batch_size, amp, passes, seed):
    """(seconds of the last pass of each work, {what: array that it gave})."""
    model, seconds = random_network(name, data.attributes, seed, device), {}
    layers = trace_dataflow(model).choose_layers(["5"])
    links = trace_dataflow(model).links_between(layers)
    images = choose_scoring_images(data, 64)
    rows = np.concatenate([data.rows("train"), data.rows("test")])
    for _ in range(passes):
        with timed(device) as watch:
            scores = score_network(model, layers, links, images.batches(64, device))
        seconds["scores of step 2"] = watch.seconds["work"]
        with timed(device) as watch:
            features = extract_features(model, data, rows, batch_size=256, device=device, progress=False)
        seconds["features of an audit"] = watch.seconds["work"]
    settings = TrainingSettings(epochs=passes, batch_size=batch_size, amp=amp, seed=seed)
    optimizer, losses = settings.make_optimizer(model.parameters()), []
    for epoch in train_epochs(model, optimizer, data, settings, device, augment=Augmentation()):
        losses.append(epoch.loss)
        seconds["epoch of step 1"] = epoch.seconds
    numbers = [*scores.channels.values(), *scores.edges.values()]
    given = {"losses": losses, "scores": torch.cat([part.flatten() for part in numbers]).numpy()}
    return seconds, given | {"features": np.concatenate([*features.stages.values(), features.logits], axis=1)}


def timed(device):
    """A stopwatch that starts when all processes are there."""
    distributed.wait()
    return run.Stopwatch(device)("work")


def compare(turns):
    """Seconds of every turn by work, the ratio of their medians, and how far the sides' numbers differ."""
    works = list(turns["one"][0][0])
    seconds = {side: {work: [took[work] for took, _ in of_side] for work in works} for side, of_side in turns.items()}
    medians = {side: {work: statistics.median(found[work]) for work in works} for side, found in seconds.items()}
    (_, one), (_, several) = turns["one"][0], turns["several"][0]
    apart = {what: float(np.abs(np.subtract(one[what], several[what])).max()) for what in one}
    return {f"{side}_seconds": seconds[side] for side in SIDES} | {
        "speed": {work: medians["one"][work] / medians["several"][work] for work in works},
        "differences": apart,
    }


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
