"""Step 1 of 3: train the original network, one head per attribute.

Reads   --data_path                            images and labels in any layout of data/README.md; drawn faces unasked
Writes  checkpoints/<run>/original.pth         (read by steps 2 and 3), original_best.pth and the state for --resume
        checkpoints/<run>/oracle_<targets>.pth with --leave_out: the same recipe without the targets' columns

    python unlearning_multi_celeba_resnet18_original.py --task Bald Mouth_Slightly_Open
"""

from argparse import BooleanOptionalAction

from utils.common import arguments as a
from utils.common import locks


def get_args_parser():
    """The flags of step 1: edit the defaults here. They are the published recipe, without its vertical flips."""
    parser = a.Parser(description=__doc__, prog="step 1")
    add = parser.add_argument_group("task").add_argument
    add("--task_labels", "--task", nargs="+", default=["Bald", "Mouth_Slightly_Open"], metavar="ATTR", help=a.LABELS)
    add("--setting", choices=a.SETTINGS, default=None, help=a.SETTING)  # I, II, III or IV of the paper
    add("--leave_out", nargs="+", type=a.head_or_place, default=[], metavar="HEAD", help="train the oracle without")
    add("--run_name", default=None, metavar="NAME", help=a.RUN)

    add = parser.add_argument_group("method").add_argument
    add("--model", default="resnet18", help="a classification network of torchvision, customresnet, or timm:NAME")
    add("--epoch", type=a.positive_int, default=20, help="passes over the training images")
    add("--batch_size", type=a.positive_int, default=128, help="images a step")
    add("--optimizer", default="adamw", choices=["adamw", "adam", "sgd"], help="sgd has momentum 0.9")
    add("--lr", type=a.positive_float, default=2e-4, help="peak learning rate")
    add("--weight_decay", type=a.non_negative_float, default=1e-6, help="decay of the optimizer")
    schedules = ["cosine_restarts", "onecycle", "constant"]
    add("--scheduler", default="cosine_restarts", choices=schedules, help="onecycle suits short runs")
    add("--rotation", type=a.degrees, default=30.0, help="random rotation, degrees to either side")
    add("--hflip", action=BooleanOptionalAction, default=True, help="random horizontal flips")
    add("--vflip", action=BooleanOptionalAction, default=False, help="random vertical flips")
    add("--pretrained", metavar="FILE", help="state dict for all but the heads (ImageNet weights, say)")
    text = "the released choices: data in file order, vertical flips, nearest rotation, float resize"
    add("--as_released", action="store_true", help=text)

    data = a.add_data_arguments(parser, img_size=224).add_argument
    data("--limit", type=a.positive_int, metavar="N", help="use the first N rows of the table only")
    text = "threads that decode images beside ours"
    data("--num_workers", type=a.non_negative_int, default=2, metavar="N", help=text)

    run = a.add_run_arguments(parser).add_argument
    run("--amp", default="auto", choices=["auto", "off", "bf16"], help="bfloat16 where the device has it, from 32 px")
    run("--compile", action=BooleanOptionalAction, default=False, help="torch.compile the network")
    run("--log", choices=["tensorboard"], help="keep curves, pictures and settings beside the checkpoint")
    run("--resume", action="store_true", help="go on where a stopped training left off; start if there is none")
    run("--force", action="store_true", help="replace the training that is there")
    run("--evaluate_only", action="store_true", help="evaluate the checkpoint that is there, on its own split")
    parser.only_with("force", "resume", False)
    for flag in ("force", "resume", "log"):
        parser.only_with(flag, "evaluate_only", False)
    return parser


@locks.one_at_a_time
def main(args):
    """Open the images, build the network, train it epoch by epoch, save."""
    from models import build_model  # one block, here, so that --help answers at once
    from utils.common import distributed, interrupts, run
    from utils.datasets.training_data import name_attributes, open_trained, open_training_data
    from utils.evaluation.predict import evaluate
    from utils.network.checkpoint import read_state_dict
    from utils.report import next_steps, outputs, run_record, tables
    from utils.training import dry_pass, loop, recipe, resume

    device, flags = run.start_run(args.seed, args.device), vars(args)
    heads, left_out = a.leave_out_heads(name_attributes(**flags), args.leave_out)
    files = outputs.training_outputs(flags, left_out)
    if args.evaluate_only:
        network, data = open_trained(files.last, heads, left_out, **flags | {"device": device})
        run.header("step 1: evaluation", run_record.describe_trained(network, data, flags))
        print(tables.heads_table(evaluate(network.model, data, data.rows("test"), args.batch_size, device)))
    else:
        settings, augment = recipe.settings_from_flags(**flags), recipe.augmentation_from_flags(**flags)
        data = open_training_data(heads, left_out, **flags)
        fixed = settings.fixed(device, **resume.what_decides(flags, left_out, data))
        how = {"resume": args.resume, "force": args.force, "log": args.log}
        kept = resume.KeptTraining(files, fixed, args.epoch, **how)
        dry_pass.check_training(args.model, heads, args.img_size, data.rows("train"), settings, device)
        run.seed_everything(recipe.first_weights_seed(args.seed, left_out))
        model = build_model(args.model, heads, args.pretrained and read_state_dict(args.pretrained)).to(device)
        optimizer = settings.make_optimizer(model.parameters())
        run.header("step 1: original", run_record.describe_training(model, data, settings, left_out, flags))
        held_out = data.rows("valid" if len(data.rows("valid")) else "test")
        with interrupts.Stopping() as stopping, kept.saved_when_stopped():
            kept.prepare(data, augment)
            going_on = {"augment": augment, "state": kept.state, "fixed": fixed, "stopping": stopping}
            for epoch in kept.watch(loop.train_epochs(model, optimizer, data, settings, device, **going_on)):
                figures = evaluate(model, data, held_out, args.batch_size, device, settings.uses_bfloat16(device))
                print(tables.epoch_line(epoch, settings.epochs, figures), flush=True)
                checkpoint = run_record.original_checkpoint(model, epoch.epoch, files.last.stem, data, flags, fixed)
                kept.keep(epoch, checkpoint, figures)
            print(tables.heads_table(evaluate(model, data, data.rows("test"), args.batch_size, device)))
    print(next_steps.after_training(left_out, flags))
    distributed.stop()


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
