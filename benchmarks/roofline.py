"""How far each stage is from what the machine could do: its time over a floor of bytes, operations or bare decoding.

Reads   the data set; the network has random weights
Writes  a JSON line to --out: per stage the median seconds, the floor, what the floor is and what takes the rest

The machine is measured bare in the same run: copying memory, a large matrix product or a large
convolution (float32, bfloat16; whichever does more a second), decoding JPEGs that lie in memory.

    python -m benchmarks.roofline --task Bald Mouth_Slightly_Open
"""

from pathlib import Path

from utils import arguments, run


def get_args_parser():
    """The flags."""
    parser = arguments.Parser(description=__doc__, prog="benchmarks.roofline")
    arguments.add_task_arguments(parser)
    arguments.add_data_arguments(parser, img_size=64)
    add = parser.add_argument
    add("--model", default="resnet18", metavar="NAME", help="network")
    add("--batch_size", type=arguments.positive_int, default=128, metavar="N", help="images a step, in every stage")
    add("--matrix", type=arguments.positive_int, default=2048, metavar="N", help="rows and columns of the bare product")
    add("--repeats", type=arguments.positive_int, default=5, metavar="N", help="times each is measured")
    add("--out", default="results/roofline.jsonl", metavar="FILE", help="file that gets the line")
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Measure the machine, then the stages."""
    from benchmarks.roofline_stages import compute_stages, image_stages, median_seconds
    from utils.celeba import open_celeba
    from utils.network import random_network

    run.seed_everything(args.seed)
    device = run.pick_device(args.device)
    data = open_celeba(**arguments.data_options(args, args.img_size))
    rows = data.everything("train")[: args.batch_size]
    data.prepare(rows)
    model = random_network(args.model, args.task_labels, args.seed, device)
    machine = measure_machine(args.matrix, args.repeats, device)
    work = image_stages(data, rows, machine, args.num_workers, device)
    work += compute_stages(model, data, rows, machine, device)
    stages = []
    for name, step, floor, bound, rest in work:
        seconds = median_seconds(step, args.repeats, device)
        rest = rest if isinstance(rest, str) else rest(step)
        stages.append({"stage": name, "seconds": seconds, "floor_seconds": floor, "bound": bound, "rest": rest})
    facts = {"model": args.model, "img_size": args.img_size, "batch_size": len(rows), "device": device.type}
    line = {"what": "roofline", **facts, "machine": machine, "stages": stages, "seed": args.seed}
    run.append_result(Path(args.out), line)
    shown = [
        [s["stage"], 1000 * s["seconds"], 1000 * s["floor_seconds"], s["seconds"] / s["floor_seconds"]] for s in stages
    ]
    print(run.table(shown, ["stage", "ms", "floor, ms", "times the floor"]))


def measure_machine(size, repeats, device):
    """{"copied bytes/s" (read and written), "float32 operations/s", "bfloat16 operations/s"} of bare PyTorch.

    Operations are those of a large matrix product or of a large convolution, whichever has more a second: the two may
    come from different libraries.
    """
    import torch
    import torch.nn.functional as F

    from benchmarks.roofline_stages import median_seconds

    source = torch.ones(64 * 2**20, device=device)
    target = torch.empty_like(source)
    copying = median_seconds(lambda: target.copy_(source), repeats, device)
    found = {"copied bytes/s": 2 * source.numel() * source.element_size() / copying}
    for kind in (torch.float32, torch.bfloat16):
        matrix = torch.ones(size, size, dtype=kind, device=device)
        maps = torch.ones(32, 256, 32, 32, dtype=kind, device=device).to(memory_format=torch.channels_last)
        kernels = torch.ones(256, 256, 3, 3, dtype=kind, device=device)
        product = median_seconds(lambda matrix=matrix: matrix @ matrix, repeats, device)
        convolution = median_seconds(lambda maps=maps, kernels=kernels: F.conv2d(maps, kernels), repeats, device)
        fastest = max(2 * size**3 / product, 2 * 32 * 30**2 * 9 * 256**2 / convolution)
        found[f"{str(kind).removeprefix('torch.')} operations/s"] = fastest
    return found


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
