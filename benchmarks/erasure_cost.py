"""What erasure costs beside retraining: one run, one device, the two taking turns.

Reads   checkpoints/<run>/original.pth
Writes  a JSON line to --out: seconds of each erasure and of each training epoch, and the ratio of an erasure to an
        oracle of --epochs epochs (medians; start-up, decoding and evaluation are counted on neither side)

    python -m benchmarks.erasure_cost --task Bald Mouth_Slightly_Open --run_name faces_20_I_s0 --target Bald
"""

import copy
import statistics
from functools import partial
from pathlib import Path

from utils.common import arguments, paths, run
from utils.datasets.augmentation import Augmentation
from utils.datasets.dataset import open_dataset
from utils.erasure.erasure import ErasureSettings, erase
from utils.network.loading import load_network, random_network
from utils.training.loop import fit
from utils.training.recipe import TrainingSettings


def get_args_parser():
    """The flags; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.erasure_cost")
    arguments.add_task_arguments(parser)
    arguments.add_target_arguments(parser)
    arguments.add_data_arguments(parser)
    add = parser.add_argument
    add("--epochs", type=arguments.positive_int, default=20, metavar="E", help="epochs of the oracle compared with")
    add("--repeats", type=arguments.positive_int, default=3, metavar="N", help="times each of the two is measured")
    add("--erase_images", type=arguments.positive_int, default=1536, metavar="N", help="images passed in an erasure")
    add("--out", default="results/lines/erasure_cost.jsonl", metavar="FILE", help="file that gets the line")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Erase, train an epoch, erase, train an epoch, …; write the line."""
    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    targets = arguments.resolve_targets(args.task_labels, args.target_class, args.target)
    kept = [name for name in args.task_labels if name not in targets]
    name = paths.run_name(args.task_labels, args.run_name)
    network = load_network(paths.checkpoint_file(args.save_path, name, "original"), args.task_labels, device=device)
    data = open_dataset(**arguments.data_options(args, network.img_size))
    oracle_data = open_dataset(**arguments.data_options(args, network.img_size, kept))
    rows = data.rows("train")
    data.prepare(rows)
    settings, augment = ErasureSettings(images=args.erase_images, seed=args.seed), Augmentation(degrees=10.0)
    one_epoch = TrainingSettings(epochs=1, seed=args.seed)
    erasures, epochs = [], []
    for _ in range(args.repeats):
        model, fresh = copy.deepcopy(network.model), random_network(network.name, kept, args.seed, device)
        erasures.append(_measure_seconds(device, partial(erase, model, data, targets, settings, device=device)))
        train = partial(fit, fresh, oracle_data, one_epoch, device, augment=augment)
        epochs.append(_measure_seconds(device, train))
    erasure, oracle = statistics.median(erasures), args.epochs * statistics.median(epochs)
    line = {
        "run": name,
        "forgotten": targets,
        "dataset": arguments.dataset_name(args),
        "model": network.name,
        "img_size": network.img_size,
        "train_images": len(rows),
        "erase_images": args.erase_images,
        "erase_seconds": erasures,
        "epoch_seconds": epochs,
        "oracle_epochs": args.epochs,
        "ratio": erasure / oracle,
        "peak_rss_bytes": run.peak_rss_bytes(),
        "seed": args.seed,
    }
    run.append_result(Path(args.out), line)
    share = f"{100 * line['ratio']:.2f} % of an oracle of {args.epochs} epochs"
    print(f"{name}, {' '.join(targets)}: erasure {erasure:.2f} s, {share} ({oracle:.0f} s)")


def _measure_seconds(device, work):
    watch = run.Stopwatch(device)
    with watch("work"):
        work()
    return watch.seconds["work"]


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
