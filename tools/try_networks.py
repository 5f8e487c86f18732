"""Which networks work: each goes through the three steps, both erasures and an audit, with the flags as one types them.

Each step is a fork of this process, which has everything imported: what a step does to its process, it does alone.

Reads   nothing: it draws --num_images faces in a folder that goes afterwards, and works there: step 1 for an epoch,
        step 2, step 3 by pruning and by erasing in both depths, and an audit of step 1's network against itself
Writes  a JSON line to --out for each network: the seconds of each step, or the line in which it refused

    python -m tools.try_networks --networks resnet18 swin_t
"""

import importlib
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments, run
from utils.common.errors import InputError, first_line
from utils.common.paths import SCRIPT, check_outputs

#: name: side of the images in pixels, other than --img_size; those that take one size only
SIZES = {"vit_b_16": 224}
#: {name: flags of step 2}: AlexNet has four convolutions before its last one, step 2 scores five unasked
SCORING = {"alexnet": ["--layers", "4"]}
NETWORKS = (
    "alexnet vgg13 vgg11_bn resnet18 resnet50 mobilenet_v2 mobilenet_v3_small densenet121 efficientnet_b0 "
    "convnext_tiny regnet_y_400mf vit_b_16 swin_t customresnet squeezenet1_0 timm:resnet26d "
    "timm:efficientnet_b0 timm:mobilevit_xxs"
).split()
TASK = "--task Bald Eyeglasses --run_name tried --device cpu --data_path faces".split()
TRAINED = "checkpoints/tried/original.pth"
#: name: (module of the script, its flags, the step whose files it reads)
STEPS = {
    "train": (f"{SCRIPT}_original", "--epoch 1 --batch_size 16", None),
    "score": (f"{SCRIPT}_generate_graph", "--num_images 8 --batch_size 16 --no_balance", "train"),
    "prune": (f"{SCRIPT}_unlearning", "--batch_size 32", "score"),
    "erase": (f"{SCRIPT}_unlearning", "--batch_size 32 --method erase", "train"),
    "erase_weights": (f"{SCRIPT}_unlearning", "--batch_size 32 --method erase --depth weights", "erase"),
    "audit": ("tools.audit", f"--batch_size 32 --unlearned {TRAINED} --original {TRAINED}", "train"),
}
LOADED = ("models", "utils.network.loading", "utils.report.graph_report", "utils.training.dry_pass", "tools.audit")


def get_args_parser():
    """The flags; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="try_networks")
    add = parser.add_argument
    add("--networks", nargs="+", default=NETWORKS, metavar="NAME", help="as --model takes them")
    add("--steps", nargs="+", default=list(STEPS), choices=STEPS, metavar="STEP", help=f"some of: {' '.join(STEPS)}")
    add("--num_images", type=arguments.positive_int, default=64, metavar="N", help="faces that are drawn")
    add("--img_size", type=arguments.positive_int, default=64, metavar="PX", help="side of the images, pixels")
    add("--seed", type=arguments.seed, default=0, help="seed of the faces and of every step")
    add("--out", default="results/networks_tried.jsonl", metavar="FILE", help="file that gets the lines")
    return parser


def main(args):
    """Draw the faces, try each network in a folder of its own, write its line."""
    for step in args.steps:
        before = STEPS[step][2]
        if before and before not in args.steps:
            raise InputError(f"--steps {step} reads what {before} writes: name both")
    check_outputs(vars(args), out=args.out)
    for name in LOADED:
        importlib.import_module(name)
    torch.set_num_threads(1)  # what a fork takes over has no threads
    for name in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            draw_faces(Path(folder), args.num_images, args.seed)
            size = SIZES.get(name, args.img_size)
            steps = try_network(name, size, args.seed, Path(folder), args.steps)
        line = {"steps": steps, "model": name, "img_size": size, "images": args.num_images, "seed": args.seed}
        run.append_result(args.out, line | {"dataset": f"drawn faces, {args.num_images} images"})
        print(name, *(f"  {step}: {words_of(found)}" for step, found in steps.items()), sep="\n", flush=True)


def draw_faces(folder, images, seed):
    """Draw some faces in `folder`/faces, in which neither attribute of the task is rare."""
    words = f"--out faces --num_images {images} --seed {seed} --rate Bald=0.3 Eyeglasses=0.4".split()
    command = [sys.executable, run.ROOT / "data" / "make_synthetic_celeba.py", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise InputError(f"faces cannot be drawn in {folder}: {first_line(done.stderr)}")


def try_network(name, img_size, seed, folder, steps=tuple(STEPS)):
    """Run some steps of a network in a folder that has `faces`; one whose files are lacking is not run.

    Returns: {step: {"seconds": of one that worked} or {"line": that it ended in, "code": its exit code}}
    """
    found = {}
    for step in (step for step in STEPS if step in steps):
        module, flags, before = STEPS[step]
        if before and "seconds" not in found.get(before, {}):
            continue
        words = [*TASK, "--seed", str(seed), *flags.split()]
        words += ["--model", name, "--img_size", str(img_size)] if step == "train" else []
        words += SCORING.get(name, []) if step == "score" else []
        found[step] = run_step(module, words, folder)
    return found


def run_step(module, words, folder):
    """Run the script of a module with some flags in a folder, in a fork. Returns: as `try_network` of a step"""
    start, said = time.perf_counter(), folder / "said"
    process = multiprocessing.get_context("fork").Process(target=_work, args=(module, words, folder, said))
    process.start()
    process.join()
    if not process.exitcode:
        return {"seconds": time.perf_counter() - start}
    lines = [line for line in said.read_text().splitlines() if line.strip() and not line.startswith("warning: ")]
    return {"line": lines[-1].removeprefix("error: ") if lines else "nothing", "code": process.exitcode}


def _work(module, words, folder, said):
    os.chdir(folder)
    sys.argv = [module, *words]
    sys.stdout, sys.stderr = open(os.devnull, "w"), open(said, "w")  # noqa: SIM115 - they live as long as the process
    step = importlib.import_module(module)
    arguments.run_script(step.main, step.get_args_parser())


def words_of(found):
    """What became of a step in words: "works, 3 s", the line in which it refused, or that it broke."""
    if "seconds" in found:
        return f"works, {found['seconds']:.0f} s"
    return f"{'refused' if found['code'] == 2 else 'broke'}: {found['line']}"


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
