"""Images a second of the loader beside a plain one: a Dataset that decodes and transforms each image, two workers.

Both read the same image files, taking turns; medians of --repeats count. A first pass decodes, resizes and writes the
cache; later passes find it filled; training batches are flipped and turned by up to 30 degrees, to the nearest pixel.

Reads   --data_path   Writes  a JSON line an image size to --out, and with --memory_rows a line on opening many rows

    python -m benchmarks.loading_speed --data_path data/synthetic_celeba --sizes 64 224
"""

import gc
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results.loading_tables import loading_comparison
from utils.common import arguments, run

BATCH, WORKERS, DEGREES = 128, 2, 30.0


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.loading_speed")
    add, count = parser.add_argument, arguments.positive_int
    add("--data_path", default="data/synthetic_celeba", help="folder in CelebA's layout")
    add("--sizes", nargs="+", type=count, default=[64, 224], metavar="PX", help="sides of the images, in pixels")
    add("--images", type=count, default=1280, metavar="N", help="images a pass")
    add("--repeats", type=count, default=3, metavar="N", help="times each is measured; medians count")
    add("--memory_rows", nargs="*", type=count, default=[], metavar="N", help="open tables of so many rows, too")
    add("--cache_path", default=None, metavar="DIR", help="folder for temporary caches; the system's own if not given")
    add("--out", default="results/loading_speed.jsonl", metavar="FILE", help="file that gets the lines")
    add("--probe", default=None, metavar="DIR", help="used by --memory_rows: open this folder, print what it took")
    return parser


def main(args):
    """Measure each size, then the memory; print a table."""
    if args.probe:
        print(json.dumps(opened(args.probe)))
        return
    rows = []
    for size in args.sizes:
        line = {"img_size": size, "images": args.images, "batch_size": BATCH, "plain_workers": WORKERS}
        line |= measure(args.data_path, size, args.images, args.repeats, args.cache_path)
        run.append_result(args.out, line)
        rows += [[size, name, plain, ours, ours / plain] for name, (plain, ours) in loading_comparison(line).items()]
    print(run.table(rows, ["px", "batches", "plain, img/s", "ours, img/s", "ratio"]))
    if args.memory_rows:
        found = {str(count): probe_memory(args.data_path, count) for count in args.memory_rows}
        run.append_result(args.out, {"memory": found})
        print(json.dumps(found))


def measure(data_path, size, images, repeats, cache_path):
    """Medians in images a second, {"plain": …, "ours": …}, and "decode_only": what decoding alone allows."""
    from utils.datasets.augmentation import Augmentation
    from utils.datasets.dataset import open_dataset

    seconds = {}

    def timed(name, batches):
        start = time.perf_counter()
        for images_of_batch, _ in batches:
            images_of_batch.shape  # noqa: B018  a consumer that takes no time
        seconds.setdefault(name, []).append(time.perf_counter() - start)

    for _ in range(repeats):
        with tempfile.TemporaryDirectory(dir=cache_path) as cache:
            data = open_dataset(data_path, ["Bald"], img_size=size, split="all", limit=images, cache_path=cache)
            rows, turn = data.rows("train"), Augmentation(degrees=DEGREES, nearest=True)
            images = len(rows)
            timed("plain evaluation", plain_batches(data.paths, size, training=False))
            timed("ours first", data.batches(rows, BATCH, "cpu"))
            timed("plain training", plain_batches(data.paths, size, training=True))
            for _ in range(2):
                timed("ours later", data.batches(rows, BATCH, "cpu"))
                timed("ours training", data.batches(rows, BATCH, "cpu", augment=turn))
            del data
            gc.collect()
        seconds.setdefault("decode only", []).append(decode_all(rows, data_path, images))
    speeds = {name: images / statistics.median(times) for name, times in seconds.items()}
    sides = {side: {n.split()[1]: v for n, v in speeds.items() if n.startswith(side)} for side in ("plain", "ours")}
    return sides | {"decode_only": speeds["decode only"], "seconds": seconds}


def decode_all(rows, data_path, images):
    """Seconds to decode the images on two threads and do nothing else: no loader's first pass can be faster."""
    from utils.datasets.dataset import open_dataset
    from utils.datasets.decoding import run_on_threads
    from utils.datasets.pixels import decode

    data = open_dataset(data_path, ["Bald"], split="all", limit=images, cache_path=None)
    start = time.perf_counter()
    run_on_threads(lambda index: decode(str(data.paths[rows[index]])), len(rows), WORKERS)
    return time.perf_counter() - start


def plain_batches(paths, size, training):
    """The loader that is usually written: everything image by image, in the workers."""
    import torch
    from torchvision import transforms

    turns = [transforms.RandomHorizontalFlip(), transforms.RandomRotation(DEGREES)] if training else []
    steps = [transforms.Resize((size, size)), *turns, transforms.ToTensor()]
    transform = transforms.Compose([*steps, transforms.Normalize([0.5] * 3, [0.5] * 3)])
    dataset = PlainDataset(paths, transform)
    return torch.utils.data.DataLoader(dataset, BATCH, num_workers=WORKERS)


class PlainDataset:
    """Image files opened by Pillow when they are asked for."""

    def __init__(self, paths, transform):
        self.paths, self.transform = paths, transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        from PIL import Image

        return self.transform(Image.open(self.paths[index]).convert("RGB")), 0.0


def probe_memory(data_path, count):
    """Open a table of `count` rows whose image files are links to a few, in a process of its own: see `opened`."""
    import numpy as np

    from utils.datasets.layouts import ATTRIBUTES, IMAGES, AttributeTable, find_image_folder, write_tables

    source = find_image_folder(data_path)
    files = sorted(os.listdir(source))[:64]
    ids = np.array([f"{row + 1:06d}.jpg" for row in range(count)])
    labels = np.random.default_rng(0).integers(0, 2, (count, len(ATTRIBUTES)), np.uint8)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, IMAGES).mkdir()
        for row, name in enumerate(ids.tolist()):
            os.symlink(source / files[row % len(files)], os.path.join(folder, IMAGES, name))
        write_tables(folder, AttributeTable(ids, ATTRIBUTES, labels))
        command = [sys.executable, "-m", "benchmarks.loading_speed", "--probe", folder]
        root = Path(__file__).resolve().parent.parent
        shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=root).stdout
    return json.loads(shown.splitlines()[-1])


def opened(folder):
    """{"open_seconds", "first_batch_seconds", "peak_rss_bytes"} of opening a folder and passing 40 batches twice."""
    import torch

    from utils.datasets.augmentation import Augmentation
    from utils.datasets.dataset import open_dataset

    start = time.perf_counter()
    data = open_dataset(folder, ["Bald", "Smiling"], cache_path=os.path.join(folder, "cache"))
    seconds = time.perf_counter() - start
    start = time.perf_counter()
    next(data.batches(data.rows("test"), BATCH, "cpu"))
    first = time.perf_counter() - start
    generator = torch.Generator().manual_seed(0)
    for _ in range(2):
        order = torch.randperm(len(data.rows("train")), generator=generator)[: 40 * BATCH].numpy()
        for _batch in data.batches(order, BATCH, "cpu", generator=generator, augment=Augmentation()):
            pass
    return {"open_seconds": seconds, "first_batch_seconds": first, "peak_rss_bytes": run.peak_rss_bytes()}


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
