"""Training in images a second beside a plain loop, and whether the faster one learns as much.

Plain is what is usually written: float32, channels first, an optimizer without options, the loss read at each step.
Ours is `utils.training.loop.fit`. Both train the same network on the same batches in memory, each in a process of its
own, taking turns.

Reads   --data_path   Writes  a JSON line to --out: speeds, and for each of --auc_seeds the test AUC in both precisions

    python -m benchmarks.training --auc_seeds 0 1 2
"""

import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from models import build_model
from utils.common import arguments, run
from utils.common.paths import check_outputs
from utils.datasets.augmentation import Augmentation
from utils.datasets.dataset import open_dataset
from utils.evaluation.predict import evaluate
from utils.network.loading import random_network
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings

BATCH, WARM_UP = 128, 2
SIDES = ("plain", "ours", "compiled")


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.training")
    arguments.add_task_arguments(parser)
    add, count = parser.add_argument, arguments.positive_int
    add("--data_path", default="data/synthetic_celeba", metavar="DIR", help="folder in CelebA's layout")
    add("--cache_path", default="cache", metavar="DIR", help="folder of the image cache")
    add("--model", default="resnet18", help="network")
    add("--img_size", type=count, default=64, metavar="PX", help="side of the images, in pixels")
    add("--steps", type=count, default=8, metavar="N", help="steps timed in a process; the median counts")
    add("--repeats", type=arguments.non_negative_int, default=3, metavar="N", help="processes of each side, 0 = none")
    add("--auc_seeds", nargs="*", type=arguments.seed, default=[], metavar="SEED", help="seeds trained both ways")
    add("--limit", type=count, default=2000, metavar="N", help="table rows of the trainings for the AUC")
    add("--epoch", type=count, default=4, metavar="N", help="epochs of the trainings for the AUC")
    add("--out", default="results/lines/training.jsonl", metavar="FILE", help="file that gets the line")
    add("--compiled", action="store_true", help="a third side: ours with --compile of step 1; compiling is not timed")
    add("--side", choices=SIDES, help="measure this side only and print its images a second")
    return parser


def main(args):
    """Measure the two in turns, train the seeds, write the line."""
    check_outputs(vars(args), out=args.out)
    if args.side:
        print(json.dumps(measure(args.side, args.model, args.task_labels, args.img_size, args.steps)))
        return
    line = {"model": args.model, "img_size": args.img_size, "batch_size": BATCH}
    if args.repeats:
        sides = SIDES if args.compiled else SIDES[:2]
        line |= compare_speeds(sides, args.repeats, args.model, args.task_labels, args.img_size, args.steps)
        print("  ".join(f"{side}: {line[side]:.0f} images/s" for side in sides) + f"  ratio: {line['ratio']:.2f}")
    if args.auc_seeds:
        options = {"img_size": args.img_size, "limit": args.limit, "cache_path": args.cache_path}
        data = open_dataset(args.data_path, args.task_labels, **options)
        found = [
            {"seed": seed} | {amp: trained_auc(data, args.model, args.epoch, seed, amp) for amp in ("off", "bf16")}
            for seed in args.auc_seeds
        ]
        line |= {"auc": found, "auc_gap": auc_gap(found), "epochs": args.epoch, "limit": args.limit}
        print(f"largest gap between the precisions' mean AUC of a head: {line['auc_gap']:.4f}")
    run.append_result(args.out, line)


def compare_speeds(sides, repeats, model, attributes, size, steps):
    """{each side: median in images a second, "ratio": ours to plain, "images_per_second": all of them}."""
    speeds = {side: [] for side in sides}
    for _ in range(repeats):
        for side, found in speeds.items():
            found.append(in_own_process(side, model, attributes, size, steps))
    medians = {side: statistics.median(found) for side, found in speeds.items()}
    return medians | {"ratio": medians["ours"] / medians["plain"], "images_per_second": speeds}


def in_own_process(side, model, attributes, size, steps):
    """Images a second of one side, from a process that has done nothing else."""
    command = [sys.executable, "-m", "benchmarks.training", "--side", side, "--model", model, "--task_labels"]
    command += [*attributes, "--img_size", str(size), "--steps", str(steps)]
    root = Path(__file__).resolve().parent.parent
    shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout
    return json.loads(shown.splitlines()[-1])


def measure(side, name, attributes, size, steps):
    """Images a second: the batch size through the median time from one step to the next, after a warm-up."""
    torch.manual_seed(0)
    model, data = build_model(name, attributes), SameBatch(len(attributes), size, WARM_UP + steps + 1)
    if side == "plain":
        train_plainly(model, data)
    else:
        fit(model, data, TrainingSettings(epochs=1, batch_size=BATCH, compile=side == "compiled"))
    spans = np.diff(data.stamps)[WARM_UP:]
    return BATCH / statistics.median(spans.tolist())


class SameBatch:
    """A batch in memory, again and again, read as an `ImageDataset` is; `stamps`: when each was asked for."""

    def __init__(self, heads, size, count):
        images = torch.rand(BATCH, 3, size, size) * 2 - 1
        self.images = images.contiguous(memory_format=torch.channels_last)
        self.labels, self.count, self.stamps = (torch.rand(BATCH, heads) < 0.5).float(), count, []

    def rows(self, split):
        """As many as fill the batches."""
        return np.arange(BATCH * self.count)

    def batches(self, rows, batch_size, device):
        """The batch, as often as the rows ask for it."""
        for _ in range(0, len(rows), batch_size):
            self.stamps.append(time.perf_counter())
            yield self.images, self.labels


def train_plainly(model, data):
    """The loop of a tutorial."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-4, weight_decay=1e-6)
    criterion, total, data.images = torch.nn.BCEWithLogitsLoss(), 0.0, data.images.contiguous()
    model.train()
    for images, labels in data.batches(data.rows("train"), BATCH, "cpu"):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        total += loss.item()


def trained_auc(data, name, epochs, seed, amp):
    """{attribute: AUC on the test split} of a short training."""
    model = random_network(name, data.attributes, seed, "cpu")
    settings = TrainingSettings(epochs=epochs, lr=2e-3, scheduler="onecycle", amp=amp, seed=seed)
    fit(model, data, settings, augment=Augmentation(degrees=10.0))
    return {attribute: row["auc"] for attribute, row in evaluate(model, data, data.rows("test"), BATCH, "cpu").items()}


def auc_gap(found):
    """Largest difference of a head's AUC, mean over seeds, between the two precisions."""
    heads = found[0]["off"]
    means = {amp: [statistics.mean(one[amp][head] for one in found) for head in heads] for amp in ("off", "bf16")}
    return max(abs(a - b) for a, b in zip(*means.values(), strict=True))


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
