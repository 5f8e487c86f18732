"""Steps 1 to 3 and the image cache killed at random moments, or on a full disk: the same command again makes good.

Each run is a fork of this process, which has everything imported, so that the moments, even over the time of a whole
run, fall into the work. SIGKILL ends it; no file may be half there under its final name. Then the same command runs
again, step 1 with --resume, and must leave what an undisturbed run leaves, bit for bit, and no temporary file.
A full disk is a tmpfs of random size where mounting is permitted, else a limit on the size of a file (RLIMIT_FSIZE): a
step must end with one line and exit code 2, or get by; then, with space, the same again.

Reads   --data_path, or faces that it draws   Writes  a JSON line to --out for each kind of work and of harm

    python -m benchmarks.kill
"""

import importlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path

import torch
from torch.utils._pytree import tree_map_only

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # run as a file, too

from utils.common import arguments, run
from utils.common.errors import InputError
from utils.common.paths import SCRIPT, check_outputs
from utils.datasets.dataset import open_dataset
from utils.network.checkpoint import load_checkpoint
from utils.training.resume import load_training_state

TASK = ["Bald", "Eyeglasses"]
TRAINING = "--model shufflenet_v2_x0_5 --img_size 32 --epoch 2 --batch_size 8".split()
WORK = {  # what is run: the script and its flags; the cache is filled without one
    "step 1": ("original", TRAINING),
    "step 2": ("generate_graph", ["--num_images", "4", "--batch_size", "4"]),
    "step 3": ("unlearning", []),
    "cache": (None, []),
}
COMPARED = {".pth", ".json", ".graphml", ".png", ".pixels"}  # results.jsonl holds times
LOADED = "tools.audit tools.choose_strength utils.report.graph_report utils.training.dry_pass".split()  # beside ours
TIDY = (".tmp", ".partial", ".lock")


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.kill")
    add, count = parser.add_argument, arguments.non_negative_int
    add("--kills", nargs="+", type=count, default=[50, 20, 20, 20], metavar="N", help="of steps 1, 2, 3 and of a cache")
    add("--full", nargs="+", type=count, default=[5, 5, 5, 5], metavar="N", help="full disks of the same")
    add("--data_path", metavar="DIR", help="folder in CelebA's layout; if none is given, faces are drawn")
    add("--images", type=arguments.positive_int, default=160, metavar="N", help="faces to draw")
    add("--seed", type=arguments.seed, default=0, help="seed of faces and moments")
    add("--limit_files", action="store_true", help="limit the size of files though mounting is permitted")
    add("--out", default="results/lines/kill.jsonl", metavar="FILE", help="file that gets the lines")
    return parser


def main(args):
    """Draw faces, run everything undisturbed, then disturb it."""
    check_outputs(vars(args), out=args.out)
    for name in LOADED:
        importlib.import_module(name)
    with tempfile.TemporaryDirectory() as folder:
        folder, draw = Path(folder), random.Random(args.seed)
        data = args.data_path and Path(args.data_path).resolve()
        data = data or draw_faces(folder / "faces", args.images, args.seed)
        mounts = not args.limit_files and can_mount(folder)
        rows = []
        for work, kills, full in zip(WORK, args.kills, args.full, strict=True):
            before, after, seconds = undisturbed(work, data, folder)
            space = sum(len(content) for content in after.values()) - sum(len(content) for content in before.values())
            harms = [{"seconds": draw.uniform(0, seconds)} for _ in range(kills)]
            harms += [{"bytes": draw.randrange(space)} for _ in range(full)]
            trials = [disturbed(work, data, folder / "trial", before, after, mounts, **harm) for harm in harms]
            for kind in ("seconds", "bytes"):
                done = [one | harm for one, harm in zip(trials, harms, strict=True) if kind in harm]
                line = summary(work, kind, done, seconds, mounts)
                if done:
                    run.append_result(args.out, line | {"images": args.images, "seed": args.seed})
                    rows.append([line[name] for name in ("work", "harm", "runs", "struck", *FAULTS)])
        print(run.table(rows, ["work", "harm", "runs", "struck", *FAULTS]))


FAULTS = ("half", "unequal", "left", "words")  # three lists of files; what was said beside the one line of an error


def draw_faces(folder, images, seed):
    """A folder of drawn faces, made by the script that people use. Returns: the folder"""
    words = ["--out", folder, "--num_images", images, "--seed", seed, "--rate", "Bald=0.3", "Eyeglasses=0.4"]
    script = run.ROOT / "data" / "make_synthetic_celeba.py"
    subprocess.run([sys.executable, script, *map(str, words)], check=True, capture_output=True)
    return folder


def summary(work, kind, trials, seconds, mounts):
    """The line of some runs: how many, how many were struck while at work, and every fault found.

    Args: kind: "seconds" or "bytes"; trials: dictionaries of `disturbed`; seconds: of an undisturbed run
    """
    harm = "SIGKILL" if kind == "seconds" else "full tmpfs" if mounts else "RLIMIT_FSIZE"
    counts = {fault: sum(len(one[fault]) for one in trials) for fault in FAULTS}
    counts |= {"runs": len(trials), "struck": sum(one["struck"] for one in trials)}
    found = [{name: one[name] for name in (kind, *FAULTS)} for one in trials if any(one[fault] for fault in FAULTS)]
    at = [one[kind] for one in trials]
    return {"work": work, "harm": harm, **counts, "found": found, "at": at, "undisturbed_seconds": seconds}


def can_mount(folder):
    """Whether this process may mount a tmpfs."""
    (folder / "trial").mkdir(exist_ok=True)
    try:
        mount(folder / "trial", 1 << 20)
    except (OSError, subprocess.CalledProcessError):
        return False
    subprocess.run(["umount", folder / "trial"], check=True)
    return True


def mount(folder, size, again=False):
    """Mount a tmpfs of `size` bytes at a folder, or with `again` give the one that is there another size."""
    options = ("remount," if again else "") + f"size={size}"
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True, capture_output=True)


def undisturbed(work, data, folder):
    """({name: bytes} of the files before a run, the same after it, its seconds); the files stay in folder/done."""
    done = folder / "done"
    done.mkdir(exist_ok=True)
    before, start = files_in(done), time.perf_counter()
    code, said = run_apart(work, data, done)
    if code:
        raise InputError(f"{work} fails undisturbed: {said}")
    return before, files_in(done), time.perf_counter() - start


def disturbed(work, data, folder, before, after, mounts, *, seconds=None, bytes=None):
    """A run that is killed after some `seconds`, or has some `bytes` of space, and the same command again.

    Args: data: folder of the faces; folder: to work in; before, after: {name: bytes} of the undisturbed run
    Returns: {"struck": whether the harm came before the end, and for each of FAULTS a list}
    """
    folder.mkdir(exist_ok=True)
    on_tmpfs = mounts and bytes is not None
    if on_tmpfs:
        mount(folder, -(-(sum(map(len, before.values())) + bytes) // 4096) * 4096 + 4096 * (len(before) + 8))
    try:
        for name, content in before.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(content)
        code, said = run_apart(work, data, folder, seconds, None if on_tmpfs else bytes)
        now = files_in(folder)
        half = [name for name in now if not is_whole(folder / name, now[name], before, after)]
        if on_tmpfs:
            mount(folder, 1 << 30, again=True)
        code_again, last_words = run_apart(work, data, folder, again=["--resume"] if work == "step 1" else [])
        now = files_in(folder)
        wrong = [name for name in after if Path(name).suffix in COMPARED and now.get(name) != after[name]]
        wrong = [name for name in wrong if not is_same_state(folder / name, folder.with_name("done") / name)]
        left = [name for name in now if name.endswith(TIDY)]
        fine = code in (0, 2, -signal.SIGKILL) and said.count("\n") == (code == 2)  # a killed process says nothing
        fine = fine and not code_again and not last_words
        words = [] if fine else [f"exit code {code}, then {code_again}: {said}{last_words}"]
        return {"struck": code != 0, "half": half, "unequal": wrong, "left": left, "words": words}
    finally:
        if on_tmpfs:
            subprocess.run(["umount", folder], check=True)
        shutil.rmtree(folder, ignore_errors=True)


def files_in(folder):
    """{name: bytes} of every file under a folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def is_same_state(*files):
    """Whether two files are training states of the same bits: pickles of equal values may write a name again."""
    plain = (tree_map_only(torch.Tensor, lambda x: x.numpy().tobytes(), load_training_state(path)) for path in files)
    return all("state" in path.name and path.exists() for path in files) and next(plain) == next(plain)


def is_whole(path, content, before, after):
    """Whether a file that a killed run left may be there: as before, as at the end, or another whole one."""
    name = path.name
    if name.endswith(TIDY) or content in before.values() or content in after.values():
        return True
    try:
        if path.suffix == ".jsonl":
            return all(isinstance(json.loads(line), dict) for line in content.splitlines())
        return bool(load_training_state(path) if "state" in name else load_checkpoint(path))
    except (InputError, ValueError):
        return False


def run_apart(work, data, folder, seconds=None, bytes=None, again=()):
    """Do some work in `folder` in a fork of this process, killed after some `seconds`, files limited to some `bytes`.

    Returns: (exit code, negative after a signal; what it wrote to its standard error but for warnings)
    """
    words = folder.parent / "words"
    sys.stdout.flush()
    child = os.fork()
    if not child:
        work_and_exit(work, data, folder, words, bytes, again)
    if seconds is not None:
        time.sleep(seconds)
        os.kill(child, signal.SIGKILL)
    _, status = os.waitpid(child, 0)
    said = [line for line in words.read_text().splitlines(True) if not line.startswith("warning: ")]
    return os.waitstatus_to_exitcode(status), "".join(said)


def work_and_exit(work, data, folder, words, bytes, again):
    """The life of a fork: what `run_apart` says, its words in a file; it never returns."""
    code = 1
    try:
        os.chdir(folder)
        sys.stdout, sys.stderr = open(os.devnull, "w"), open(words, "w")  # noqa: SIM115 - they live as long as it does
        if bytes is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (bytes, bytes))
        script, flags = WORK[work]
        if script is None:
            data = open_dataset(data, TASK, img_size=64, cache_path="cache", note=lambda line: None)
            data.prepare(range(len(data)), progress=False)
        else:
            step = importlib.import_module(f"{SCRIPT}_{script}")
            flags = ["--task", *TASK, "--device", "cpu", "--data_path", str(data), *flags, *again]
            sys.argv = [f"{SCRIPT}_{script}.py", *flags, "--cache_path", "none"]
            arguments.run_script(step.main, step.get_args_parser())
        code = 0
    except SystemExit as ended:
        code = ended.code or 0
    except BaseException:  # whatever it is must not go on in the copy
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
