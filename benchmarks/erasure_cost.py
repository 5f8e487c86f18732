"""What erasure costs beside retraining: one run, one device, the two taking turns.

Reads   checkpoints/<run>/original.pth
Writes  a JSON line to --out: seconds of each erasure and of each training epoch, and the ratio of an erasure to an
        oracle of --epochs epochs (medians; start-up, decoding and evaluation are counted on neither side)

    python -m benchmarks.erasure_cost --task Bald Mouth_Slightly_Open --run_name faces_20_I_s0 --target Bald
"""

import copy
import statistics
import sys
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments, run
from utils.common.paths import check_outputs
from utils.datasets.augmentation import Augmentation
from utils.datasets.dataset import open_dataset
from utils.datasets.task import open_task
from utils.erasure.erasure import DEPTHS, ErasureSettings, erase
from utils.network.loading import random_network
from utils.report.run_record import dataset_name
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings


def get_args_parser():
    """The flags; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.erasure_cost")
    arguments.add_task_arguments(parser)
    arguments.add_network_arguments(parser)
    arguments.add_data_arguments(parser)
    add = parser.add_argument
    add("--epochs", type=arguments.positive_int, default=20, metavar="E", help="epochs of the oracle compared with")
    add("--repeats", type=arguments.positive_int, default=3, metavar="N", help="times each of the two is measured")
    add("--erase_images", type=arguments.positive_int, default=1792, metavar="N", help="images passed in an erasure")
    add("--depth", default="activations", choices=DEPTHS, help="of the erasure, as in step 3")
    add("--out", default="results/lines/erasure_cost.jsonl", metavar="FILE", help="file that gets the line")
    arguments.add_run_arguments(parser)
    return parser


def main(args):
    """Erase, train an epoch, erase, train an epoch, …; write the line."""
    check_outputs(vars(args), out=args.out)
    task = open_task(**vars(args))
    network, device, targets = task.network, task.device, task.forgotten
    data = task.open_data()
    oracle_data = open_dataset(attributes=task.kept, also_known=task.forgotten, **task.data_options)
    rows = data.prepare(data.rows("train"))
    settings = ErasureSettings(images=args.erase_images, seed=args.seed, depth=args.depth)
    augment = Augmentation(degrees=10.0)
    one_epoch = TrainingSettings(epochs=1, seed=args.seed)
    erasures, epochs = [], []
    for _ in range(args.repeats):
        model, fresh = copy.deepcopy(network.model), random_network(network.name, task.kept, args.seed, device)
        erasures.append(_measure_seconds(device, partial(erase, model, data, targets, settings, device=device)))
        train = partial(fit, fresh, oracle_data, one_epoch, device, augment=augment)
        epochs.append(_measure_seconds(device, train))
    erasure, oracle = statistics.median(erasures), args.epochs * statistics.median(epochs)
    line = {
        "run": task.run,
        "forgotten": targets,
        "dataset": dataset_name(args.data_path),
        "model": network.name,
        "img_size": network.img_size,
        "train_images": len(rows),
        "erase_images": args.erase_images,
        "depth": args.depth,
        "erase_seconds": erasures,
        "epoch_seconds": epochs,
        "oracle_epochs": args.epochs,
        "ratio": erasure / oracle,
        "peak_rss_bytes": run.peak_rss_bytes(),
        "seed": args.seed,
    }
    run.append_result(Path(args.out), line)
    share = f"{100 * line['ratio']:.2f} % of an oracle of {args.epochs} epochs"
    print(f"{task.run}, {' '.join(targets)}: erasure {erasure:.2f} s, {share} ({oracle:.0f} s)")


def _measure_seconds(device, work):
    watch = run.Stopwatch(device)
    with watch("work"):
        work()
    return watch.seconds["work"]


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
