"""Steps 2 and 3 again and again in one process: does memory grow, is a hook, a thread or an open file left?

Draws --num_images faces and trains a network on them for an epoch, in a folder that goes afterwards. Then --rounds
times: step 2 and step 3 by pruning, in every fortieth round step 3 by erasing too, each as its command line would.

Writes  a JSON line to --out: what the process held after each round, and how far its memory grew after round 20

    python -m benchmarks.soak
"""

import contextlib
import ctypes
import gc
import importlib
import os
import sys
import tempfile
import threading
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from benchmarks.kill import draw_faces
from utils.common import arguments, run
from utils.common.paths import check_outputs

STEPS = [f"unlearning_multi_celeba_resnet18_{step}" for step in ("original", "generate_graph", "unlearning")]
TASK = ["--task", "Bald", "Eyeglasses", "--device", "cpu", "--data_path", "faces"]
ERASED = 40  # rounds; an erasure takes as long as all else of ten
TRIM = getattr(ctypes.CDLL(None), "malloc_trim", None) if os.name == "posix" else None  # the GNU C library's
SETTLED = 20  # rounds after which everything is loaded and every cache is filled


def get_args_parser():
    """The flags; edit the defaults here."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.soak")
    add = parser.add_argument
    add("--rounds", type=arguments.positive_int, default=200, metavar="N", help="times that steps 2 and 3 run")
    add("--num_images", type=arguments.positive_int, default=40, metavar="N", help="faces that are drawn")
    add("--img_size", type=arguments.positive_int, default=32, metavar="PX", help="side of the images, pixels")
    add("--model", default="customresnet", metavar="NAME", help="network")
    add("--out", default="results/lines/soak.jsonl", metavar="FILE", help="file that gets the line")
    return parser


def main(args):
    """Train in a folder of its own, run the rounds there, write the line."""
    out = Path(args.out).resolve()
    check_outputs(vars(args), out=out)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder, _inside(folder):
        draw_faces("faces", args.num_images, seed=0)
        training = ["--epoch", "1", "--batch_size", "20", "--img_size", str(args.img_size), "--model", args.model]
        _run(STEPS[0], *training)
        numbers = iter(range(args.rounds))
        held = soak(lambda: _steps_2_and_3(next(numbers)), args.rounds)
    line = {"model": args.model, "img_size": args.img_size, "images": args.num_images, "rounds": args.rounds}
    line |= {"held": held, "growth_bytes": growth(held), "left": left_over(held), "seed": 0}
    run.append_result(out, line)
    print(f"{args.rounds} rounds: {line['growth_bytes'] / 1e6:+.1f} MB after round {SETTLED}, left {line['left']}")


@contextlib.contextmanager
def _inside(folder):
    """Work in a folder, as `contextlib.chdir` of Python 3.11 lets one."""
    before = os.getcwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _steps_2_and_3(number):
    _run(STEPS[1], "--num_images", "4")
    _run(STEPS[2])
    if number % ERASED == 0:
        _run(STEPS[2], "--method", "erase")


def _run(script, *words):
    """Run a step as its command line would, in this process, without what it prints."""
    step = importlib.import_module(script)
    with open(os.devnull, "w", encoding="utf-8") as nowhere, contextlib.redirect_stdout(nowhere):
        step.main(step.get_args_parser().parse_args([*TASK, *words]))


def soak(work, rounds):
    """Call a function `rounds` times; returns {"rss_bytes", "threads", "files", "hooks": [one number a round]}."""
    held = {"rss_bytes": [], "threads": [], "files": [], "hooks": []}
    for _ in range(rounds):
        work()
        gc.collect()
        if TRIM:  # what the allocator keeps for later is not held by anybody
            TRIM(0)
        for kind, value in zip(held, (_rss_bytes(), threading.active_count(), _files(), _hooks()), strict=True):
            held[kind].append(value)
    return held


def growth(held):
    """Bytes by which memory grew after round `SETTLED` (after the first half, if there are fewer rounds)."""
    memory = held["rss_bytes"]
    return memory[-1] - memory[min(SETTLED, (len(memory) + 1) // 2) - 1]


def left_over(held):
    """{kind: how many more there are after the last round than after the first} of threads, files and hooks."""
    return {kind: held[kind][-1] - held[kind][0] for kind in ("threads", "files", "hooks")}


def _rss_bytes():
    """Memory that this process holds now; 0 where the system does not tell."""
    status = Path("/proc/self/statm")
    return int(status.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") if status.exists() else 0


def _files():
    """Open files of this process; 0 where the system does not tell."""
    folder = Path("/proc/self/fd")
    return len(list(folder.iterdir())) if folder.exists() else 0


def _hooks():
    """Forward and backward hooks on all networks that are alive."""
    modules = [one for one in gc.get_objects() if issubclass(type(one), torch.nn.Module)]
    kinds = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")
    return sum(len(getattr(module, kind, ())) for module in modules for kind in kinds)


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
