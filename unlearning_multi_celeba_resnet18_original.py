"""Step 1 of 3: train the original network, one head per attribute.

Reads   --data_path                            CelebA, or the generated set of data/make_synthetic_celeba.py
Writes  checkpoints/<run>/original.pth         (read by steps 2 and 3), original_best.pth and the state for --resume
        checkpoints/<run>/oracle_<targets>.pth with --leave_out: the same recipe without the targets' columns

    python unlearning_multi_celeba_resnet18_original.py --task Bald Mouth_Slightly_Open
"""

from argparse import BooleanOptionalAction

from utils.common import arguments as a


def get_args_parser():
    """The flags of step 1: edit the defaults here. They are the published recipe, without its vertical flips."""
    parser = a.Parser(description=__doc__, prog="step 1")
    add = parser.add_argument_group("task").add_argument
    add("--task_labels", "--task", nargs="+", default=["Bald", "Mouth_Slightly_Open"], metavar="ATTR", help=a.LABELS)
    add("--setting", choices=a.SETTINGS, default=None, help=a.SETTING)  # I, II, III or IV of the paper
    add("--leave_out", nargs="+", type=a.head_or_place, default=[], metavar="HEAD", help="train the oracle without")
    add("--run_name", default=None, metavar="NAME", help=a.RUN)

    add = parser.add_argument_group("method").add_argument
    add("--model", default="resnet18", help="resnet18, customresnet or a torchvision classification network")
    add("--epoch", type=a.positive_int, default=20, help="passes over the training images")
    add("--batch_size", type=a.positive_int, default=128, help="images a step")
    add("--optimizer", default="adamw", choices=["adamw", "adam", "sgd"], help="sgd has momentum 0.9")
    add("--lr", type=a.positive_float, default=2e-4, help="peak learning rate")
    add("--weight_decay", type=a.non_negative_float, default=1e-6, help="decay of the optimizer")
    schedules = ["cosine_restarts", "onecycle", "constant"]
    add("--scheduler", default="cosine_restarts", choices=schedules, help="onecycle suits short runs")
    add("--rotation", type=a.non_negative_float, default=30.0, help="random rotation, degrees to either side")
    add("--hflip", action=BooleanOptionalAction, default=True, help="random horizontal flips")
    add("--vflip", action=BooleanOptionalAction, default=False, help="random vertical flips")
    add("--pretrained", metavar="FILE", help="state dict for all but the heads (ImageNet weights, say)")
    text = "the released choices: data in file order, vertical flips, nearest rotation, float resize"
    add("--as_released", action="store_true", help=text)

    data = a.add_data_arguments(parser, img_size=224).add_argument
    data("--limit", type=a.positive_int, metavar="N", help="use the first N rows of the table only")
    text = "use the images that are there, if some are absent"
    data("--allow_missing", action=BooleanOptionalAction, default=False, help=text)
    data("--num_workers", type=a.positive_int, default=2, metavar="N", help="threads that decode images")

    run = a.add_run_arguments(parser).add_argument
    run("--amp", default="auto", choices=["auto", "off", "bf16"], help="bfloat16 where the device has it")
    run("--compile", action=BooleanOptionalAction, default=False, help="torch.compile the network")
    run("--resume", action="store_true", help="go on where a stopped training left off")
    run("--evaluate_only", action="store_true", help="evaluate the checkpoint that is there; train nothing")
    return parser


def main(args):
    """Open the images, build the network, train it epoch by epoch, save."""
    from models import build_model  # one block, here, so that --help answers at once
    from utils.common import distributed, paths, run
    from utils.datasets.task import open_training_data
    from utils.evaluation.predict import evaluate
    from utils.network.checkpoint import read_state_dict
    from utils.network.loading import load_network
    from utils.report import run_record, tables
    from utils.training import loop, recipe, resume

    device = run.start_run(args.seed, args.device)
    heads, left_out = a.leave_out_heads(args.task_labels, args.leave_out)
    files = resume.training_files(args.save_path, paths.run_name(args.task_labels, args.run_name), left_out)
    settings, augment = recipe.settings_from_flags(**vars(args)), recipe.augmentation_from_flags(**vars(args))
    data = open_training_data(heads, **vars(args))
    test = data.rows("test")
    held_out = data.rows("valid") if "valid" in data.splits and len(data.rows("valid")) else test

    if args.evaluate_only:
        model = load_network(files.last, heads, name=args.model, img_size=args.img_size, device=device).model
    else:
        run.seed_everything(recipe.first_weights_seed(args.seed, left_out))
        pretrained = read_state_dict(args.pretrained) if args.pretrained else None
        model = build_model(args.model, heads, pretrained).to(device)
        optimizer = settings.make_optimizer(model.parameters())
        state, best = resume.resume_training(files) if args.resume else (None, float("-inf"))
        run.header("step 1: original", run_record.describe_training(model, data, settings, left_out, vars(args)))
        for split in data.splits:
            data.prepare(data.rows(split))
        for epoch in loop.train_epochs(model, optimizer, data, settings, device, augment=augment, state=state):
            figures = evaluate(model, data, held_out, args.batch_size, device, settings.uses_bfloat16(device))
            print(tables.epoch_line(epoch, settings.epochs, figures), flush=True)
            checkpoint = run_record.original_checkpoint(model, epoch.epoch, files.last.stem, vars(args))
            best = resume.keep_epoch(files, checkpoint, epoch.state, tables.mean_auc(figures), best)
        print(f"wrote {files.last}")
    print(tables.heads_table(evaluate(model, data, test, args.batch_size, device)))
    distributed.stop()


if __name__ == "__main__":
    a.run_script(main, get_args_parser())
