"""Step 1 of 3: train the original network, one head per attribute.

Reads   --data_path                            CelebA, or the generated set of data/make_synthetic_celeba.py
Writes  checkpoints/<run>/original.pth         (read by steps 2 and 3), original_best.pth and the state for --resume
        checkpoints/<run>/oracle_<targets>.pth with --leave_out: the same recipe without the targets' columns

    python unlearning_multi_celeba_resnet18_original.py --task Bald Mouth_Slightly_Open
"""

from argparse import BooleanOptionalAction

from utils.common import arguments


def get_args_parser():
    """The flags of step 1; edit the defaults here. They are the published recipe, without its vertical flips."""
    parser = arguments.Parser(description=__doc__, prog="step 1")
    arguments.add_task_arguments(parser)
    add = parser.add_argument
    add("--leave_out", nargs="+", default=[], metavar="ATTR", help="train the oracle: the same without these columns")
    add("--model", default="resnet18", help="resnet18, customresnet or a torchvision classification network")
    add("--pretrained", metavar="FILE", help="state dict for all but the heads (ImageNet weights, say)")
    add("--epoch", type=arguments.positive_int, default=20, help="passes over the training images")
    add("--batch_size", type=arguments.positive_int, default=128, help="images a step")
    add("--optimizer", default="adamw", choices=["adamw", "adam", "sgd"], help="sgd has momentum 0.9")
    add("--lr", type=arguments.positive_float, default=2e-4, help="peak learning rate")
    add("--weight_decay", type=arguments.non_negative_float, default=1e-6, help="decay of the optimizer")
    add(
        "--scheduler",
        default="cosine_restarts",
        choices=["cosine_restarts", "onecycle", "constant"],
        help="onecycle suits short runs",
    )
    add("--rotation", type=arguments.non_negative_float, default=30.0, help="random rotation, degrees to either side")
    text = "turned pixels: bilinear, or nearest as in the released code (and with --as_released)"
    add("--rotation_filter", default="bilinear", choices=["bilinear", "nearest"], help=text)
    add("--hflip", action=BooleanOptionalAction, default=True, help="random horizontal flips")
    add("--vflip", action=BooleanOptionalAction, default=False, help="random vertical flips")
    add("--amp", default="auto", choices=["auto", "off", "bf16"], help="bfloat16 where the processor has it")
    add("--compile", action=BooleanOptionalAction, default=False, help="torch.compile the network")
    add("--training", action=BooleanOptionalAction, default=True, help="train; --no-training only evaluates")
    add("--evaluate_only", dest="training", action="store_false", help="the same as --no-training")
    add("--resume", action="store_true", help="go on where a stopped training left off")
    add(
        "--as_released",
        action="store_true",
        help="the released choices: data in file order, vertical flips, float resize",
    )
    arguments.add_data_arguments(parser, img_size=224)
    arguments.add_common_arguments(parser)
    return parser


def main(args):
    """Read, build, fit, save, judge."""
    from models import build_model  # here, so that --help answers at once
    from utils.common import distributed, run
    from utils.datasets.dataset import open_dataset
    from utils.evaluation import predict
    from utils.training import original

    run.seed_everything(args.seed)
    device = distributed.start(run.pick_device(args.device))
    job = describe_job(args)
    data = open_dataset(**arguments.data_options(args, args.img_size, job.attributes), exact_resize=args.as_released)
    original.check_positives(data)
    test = data.rows("test")
    data.prepare(test)

    if args.training:
        run.seed_everything(original.weight_seed(args.seed, job.left_out))
        model = build_model(args.model, job.attributes, read_pretrained(args.pretrained)).to(device)
        source = f"{args.split} split of {args.data_path}"
        run.header("step 1: original", original.describe(job, model, data, source, device))
        data.prepare(data.rows("train"))
        seconds = original.train(job, model, data, device, args.resume)
        print(f"wrote {job.last} after {seconds:.0f} s of training")
    else:
        model = original.load(job, device)
    print(predict.table_of(predict.evaluate(model, data, test, args.batch_size, device)))
    distributed.stop()


def describe_job(args):
    """The training that the arguments ask for."""
    from utils.common import paths
    from utils.datasets.augmentation import Augmentation
    from utils.training import original
    from utils.training.recipe import TrainingSettings

    name, kind = paths.run_name(args.task_labels, args.run_name), original.kind_of(args.leave_out)
    kept = original.kept_attributes(args.task_labels, args.leave_out)
    steps = {"optimizer": args.optimizer, "weight_decay": args.weight_decay, "scheduler": args.scheduler}
    how = {"amp": args.amp, "shuffle": not args.as_released, "compile": args.compile, "seed": args.seed}
    return original.Job(
        architecture=args.model,
        attributes=tuple(kept),
        left_out=tuple(args.leave_out),
        img_size=args.img_size,
        recipe=TrainingSettings(epochs=args.epoch, batch_size=args.batch_size, lr=args.lr, **steps, **how),
        augment=Augmentation(
            hflip=args.hflip,
            vflip=args.vflip or args.as_released,
            degrees=args.rotation,
            nearest=args.as_released or args.rotation_filter == "nearest",
        ),
        last=paths.checkpoint_file(args.save_path, name, kind),
        best=paths.checkpoint_file(args.save_path, name, f"{kind}_best"),
        state=paths.training_state_file(args.save_path, name, kind),
        arguments=arguments.recipe_arguments(args),
    )


def read_pretrained(path):
    """The state dict of --pretrained, None without it."""
    from utils.network.checkpoint import read_state_dict

    return read_state_dict(path) if path else None


if __name__ == "__main__":
    arguments.run_script(main, get_args_parser())
