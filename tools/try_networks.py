"""Which networks work: each goes through the three steps, both erasures and an audit, as the real commands.

Reads   nothing: it draws --num_images faces in a folder that goes afterwards, and runs each step there as its own
        program: step 1 for an epoch, step 2, step 3 by pruning, by erasing in both depths, and the audit of step 1's
        network against itself
Writes  a JSON line to --out for each network: the seconds of each step, or the line in which it refused

    python -m tools.try_networks --networks resnet18 swin_t
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments, run
from utils.common.paths import SCRIPT, check_outputs

#: name: side of the images in pixels, other than --img_size; those that take one size only
SIZES = {"vit_b_16": 224}
#: {name: flags of step 2}: AlexNet has four convolutions before its last one, step 2 scores five unasked
SCORING = {"alexnet": ["--layers", "4"]}
NETWORKS = (
    "alexnet vgg13 vgg11_bn resnet18 resnet50 mobilenet_v2 mobilenet_v3_small densenet121 efficientnet_b0 "
    "convnext_tiny regnet_y_400mf vit_b_16 swin_t customresnet squeezenet1_0 timm:resnet26d timm:mobilevit_xxs"
).split()
TASK = "--task Bald Eyeglasses --run_name tried --device cpu --data_path faces".split()
UNLEARN, TRAINED = f"{SCRIPT}_unlearning.py", "checkpoints/tried/original.pth"
#: name: (script, its flags, the step whose files it reads)
STEPS = {
    "train": (f"{SCRIPT}_original.py", "--epoch 1 --batch_size 16", None),
    "score": (f"{SCRIPT}_generate_graph.py", "--num_images 8 --batch_size 16 --no_balance", "train"),
    "prune": (UNLEARN, "--batch_size 32", "score"),
    "erase": (UNLEARN, "--batch_size 32 --method erase", "train"),
    "erase_weights": (UNLEARN, "--batch_size 32 --method erase --depth weights", "train"),
    "audit": ("tools/audit.py", f"--batch_size 32 --unlearned {TRAINED} --original {TRAINED}", "train"),
}


def get_args_parser():
    """The flags; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="try_networks")
    add = parser.add_argument
    add("--networks", nargs="+", default=NETWORKS, metavar="NAME", help="as --model takes them")
    add("--num_images", type=arguments.positive_int, default=64, metavar="N", help="faces that are drawn")
    add("--img_size", type=arguments.positive_int, default=64, metavar="PX", help="side of the images, pixels")
    add("--seed", type=arguments.seed, default=0, help="seed of the faces and of every step")
    add("--out", default="results/networks_tried.jsonl", metavar="FILE", help="file that gets the lines")
    return parser


def main(args):
    """Draw the faces, try each network in a folder of its own, write its line."""
    check_outputs(vars(args), out=args.out)
    for name in args.networks:
        with tempfile.TemporaryDirectory() as folder:
            draw_faces(Path(folder), args.num_images, args.seed)
            size = SIZES.get(name, args.img_size)
            steps = try_network(name, size, args.seed, Path(folder))
        line = {"steps": steps, "model": name, "img_size": size, "images": args.num_images, "seed": args.seed}
        run.append_result(args.out, line | {"dataset": f"drawn faces, {args.num_images} images"})
        print(name, *(f"  {step}: {words_of(found)}" for step, found in steps.items()), sep="\n", flush=True)


def draw_faces(folder, images, seed):
    """Draw some faces in `folder`/faces, in which neither attribute of the task is rare."""
    words = f"--out faces --num_images {images} --seed {seed} --rate Bald=0.3 Eyeglasses=0.4".split()
    command = [sys.executable, run.ROOT / "data" / "make_synthetic_celeba.py", *words]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


def try_network(name, img_size, seed, folder):
    """Run every step of a network in a folder that has `faces`; one whose files are lacking is not run.

    Returns: {step: {"seconds": of one that worked} or {"line": that it ended in, "code": its exit code}}
    """
    found = {}
    for step, (script, flags, before) in STEPS.items():
        if before and "seconds" not in found.get(before, {}):
            continue
        words = [script, *TASK, "--seed", str(seed), *flags.split()]
        words += ["--model", name, "--img_size", str(img_size)] if step == "train" else []
        words += SCORING.get(name, []) if step == "score" else []
        found[step] = run_step(words, folder)
    return found


def run_step(words, folder):
    """Run a script of the clone with some flags in a folder, on one thread. Returns: as `try_network` of a step"""
    start = time.perf_counter()
    command = [sys.executable, str(run.ROOT / words[0]), *words[1:]]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    if not done.returncode:
        return {"seconds": time.perf_counter() - start}
    said = [line for line in done.stderr.splitlines() if line.strip() and not line.startswith("warning: ")]
    return {"line": said[-1] if said else "nothing", "code": done.returncode}


def words_of(found):
    """What became of a step in words: "works, 3 s", the line in which it refused, or that it broke."""
    if "seconds" in found:
        return f"works, {found['seconds']:.0f} s"
    return f"{'refused' if found['code'] == 2 else 'broke'}: {found['line']}"


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
