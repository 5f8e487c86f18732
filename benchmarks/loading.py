"""Images a second of the loader beside a plain one: a Dataset that decodes and transforms each image, two workers.

Both read the same image files, taking turns; medians of --repeats count. A first pass decodes, resizes, writes the
cache and reads it; later passes find it filled; training batches are those of step 1: shuffled, flipped and turned by
up to 30 degrees (bilinear), on either side.

Reads   --data_path   Writes  a JSON line an image size to --out

    python -m benchmarks.loading --data_path data/synthetic_celeba --sizes 64 224
"""

import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments, run
from utils.common.paths import check_outputs
from utils.datasets.augmentation import Augmentation
from utils.datasets.dataset import open_dataset
from utils.datasets.decoding import decode, run_on_threads
from utils.training.batches import training_batches
from utils.training.recipe import TrainingSettings

BATCH, WORKERS, DEGREES = 128, 2, 30.0


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.loading")
    add, count = parser.add_argument, arguments.positive_int
    add("--data_path", default="data/synthetic_celeba", metavar="DIR", help="folder in CelebA's layout")
    add("--sizes", nargs="+", type=count, default=[64, 224], metavar="PX", help="sides of the images, in pixels")
    add("--images", type=count, default=1280, metavar="N", help="images a pass")
    add("--repeats", type=count, default=3, metavar="N", help="times each is measured; medians count")
    add("--cache_path", default=None, metavar="DIR", help="folder for temporary caches; the system's own if not given")
    add("--out", default="results/lines/loading.jsonl", metavar="FILE", help="file that gets the lines")
    return parser


def main(args):
    """Measure each size; print a table."""
    check_outputs(vars(args), out=args.out)
    rows = []
    for size in args.sizes:
        line = measure(args.data_path, size, args.images, args.repeats, args.cache_path)
        run.append_result(args.out, {"img_size": size, "batch_size": BATCH, "plain_workers": WORKERS, **line})
        for name, ours in line["ours"].items():
            plain = line["plain"]["training" if name == "training" else "evaluation"]
            rows.append([size, name, plain, ours, ours / plain])
    print(run.table(rows, ["px", "batches", "plain, img/s", "ours, img/s", "ratio"]))


def measure(data_path, size, images, repeats, cache_path):
    """Images a second, medians.

    Returns: {"plain": {"evaluation", "training"}, "ours": {"first", "later", "training"}, "decode_only": what decoding
        alone allows, "images": how many there were, "seconds": {what: list of all that was measured}}
    """
    seconds = defaultdict(list)
    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=cache_path, ignore_cleanup_errors=True) as cache:
            data = open_dataset(data_path, ["Bald"], img_size=size, split="all", limit=images, cache_path=cache)
            for name, batches in passes(data):
                start = time.perf_counter()
                for _batch in batches:
                    pass  # a consumer that takes no time
                seconds[name].append(time.perf_counter() - start)
    speeds = {name: len(data) / statistics.median(times) for name, times in seconds.items()}
    sides = {side: {n.split()[1]: v for n, v in speeds.items() if n.startswith(side)} for side in ("plain", "ours")}
    return sides | {"decode_only": speeds["decode only"], "images": len(data), "seconds": seconds}


def passes(data):
    """Pairs (name, batches) of what is measured on a data set with an empty cache; nothing runs before it is read."""
    rows = data.rows("train")
    yield "plain evaluation", plain_batches(data.paths, data.img_size, training=False)
    yield "ours first", first_pass(data, rows)
    yield "plain training", plain_batches(data.paths, data.img_size, training=True)
    for epoch in range(2):
        yield "ours later", data.batches(rows, BATCH, "cpu")
        yield "ours training", step_1_batches(data, rows, epoch)
    yield "decode only", decode_all(data.paths)


def first_pass(data, rows):
    """Fill the cache, then read it, as the steps do."""
    data.prepare(rows, progress=False)
    yield from data.batches(rows, BATCH, "cpu")


def step_1_batches(data, rows, epoch):
    """An epoch as `utils.training.loop.fit` reads it."""
    return training_batches(data, rows, TrainingSettings(batch_size=BATCH), epoch, Augmentation(degrees=DEGREES), "cpu")


def decode_all(paths):
    """Decode the images on two threads and do nothing else: no loader's first pass can be faster."""
    yield run_on_threads(lambda index: decode(str(paths[index])), len(paths), WORKERS)


def plain_batches(paths, size, training):
    """The loader that is usually written: everything image by image, in the workers."""
    turn = transforms.RandomRotation(DEGREES, transforms.InterpolationMode.BILINEAR)
    turns = [transforms.RandomHorizontalFlip(), turn] if training else []
    steps = [transforms.Resize((size, size)), *turns, transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    return DataLoader(PlainDataset(paths, transforms.Compose(steps)), BATCH, shuffle=training, num_workers=WORKERS)


class PlainDataset:
    """Image files opened by Pillow when they are asked for."""

    def __init__(self, paths, transform):
        self.paths, self.transform = paths, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(Image.open(self.paths[index]).convert("RGB")), 0.0


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
