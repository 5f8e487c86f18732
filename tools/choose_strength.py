"""Choose the strength of an erasure: sweep strengths on images that the erasures do not learn from.

Reads   checkpoints/<run>/original.pth             (step 1, or your own weights by --weights)
        checkpoints/<run>/oracle_<targets>.pth     (step 1 with --leave_out; without it the reference is a
                                                   network that was never trained)
Writes  <folder of --results>/<run>/<targets>/strength.json and strength.png

    python -m tools.choose_strength --task Bald Mouth_Slightly_Open --target Bald --strengths 0.5 1 2
"""

from utils.common import arguments as a


def get_args_parser():
    """The flags: edit the defaults here."""
    parser = a.Parser(description=__doc__, prog="choose_strength")
    a.add_task_arguments(parser)
    add = parser.add_argument_group("method").add_argument
    text = "strengths to try: above 1 erases more, below 1 less"
    add("--strengths", nargs="+", type=a.positive_float, default=[0.25, 0.5, 1.0, 2.0, 4.0], metavar="X", help=text)
    a.add_network_arguments(parser)
    a.add_data_arguments(parser)
    a.add_run_arguments(parser)
    return parser


def main(args):
    """Open the task, sweep, write, print."""
    from utils.common.run import header  # one block, here, so that --help answers at once
    from utils.datasets.task import open_task
    from utils.report.run_record import describe_task
    from utils.report.strength_report import choose_settings

    task = open_task(**vars(args))
    header("choose the strength", describe_task(task))
    networks = {"original": task.network.model, **task.reference_networks(args.seed)}
    folder = task.results_folder(args.results, "erase")
    choose_settings("auto", networks, task.open_data(), task, folder, args.seed, args.strengths)


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
