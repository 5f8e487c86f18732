"""How a network is trained: the settings, the optimizer and the arithmetic they stand for."""

import math
from dataclasses import asdict, dataclass

import torch
from torch.optim.lr_scheduler import LambdaLR, OneCycleLR

from utils.common import distributed
from utils.common.errors import InputError
from utils.common.normalisation import HALF, normalisation_from_flags
from utils.datasets.augmentation import Augmentation

OPTIMIZERS = ("adamw", "adam", "sgd")
AMP = ("auto", "off", "bf16")
SCHEDULES = ("cosine_restarts", "onecycle", "constant")
WARM_UP, CYCLE = 1, 5  # epochs: one up, four down
LEAST_BFLOAT16 = 32  # px: see `amp_at`
FLOOR = 1 / 40  # of the peak: 5e-6 for 2e-4


@dataclass(frozen=True)
class TrainingSettings:
    """What decides, beside data, augmentation and first weights, what a training gives. The defaults are the paper's.

    epochs: passes over the data; batch_size: images a step, over all processes together; lr: peak learning rate
    optimizer: "adamw", "adam" or "sgd" (momentum 0.9); scheduler: one of `SCHEDULES`
    amp: "auto", "off" or "bf16", see `resolve_amp`; weights and optimizer stay float32
    shuffle: a new order each epoch, False: the rows as they are given; compile: run through torch.compile
    seed: of order, augmentation and dropout
    """

    epochs: int = 20
    batch_size: int = 128
    lr: float = 2e-4
    optimizer: str = "adamw"
    weight_decay: float = 1e-6
    scheduler: str = "cosine_restarts"
    amp: str = "auto"
    shuffle: bool = True
    compile: bool = False
    seed: int = 0

    def __post_init__(self):
        for value, known in ((self.optimizer, OPTIMIZERS), (self.scheduler, SCHEDULES), (self.amp, AMP)):
            if value not in known:
                raise ValueError(f"unknown choice {value!r}: one of {', '.join(known)}")
        if self.epochs < 1 or self.batch_size < 1 or self.lr <= 0:
            raise ValueError(f"epochs, batch_size and lr must be positive: {self}")

    def fixed(self, device, **others):
        """What must stay the same while a training is stopped and resumed, as plain values; `others` are added."""
        return asdict(self) | {"amp": self.uses_bfloat16(device)} | others

    def uses_bfloat16(self, device):
        """Whether these settings compute in bfloat16 there, see `resolve_amp`."""
        return resolve_amp(self.amp, device)

    def make_optimizer(self, parameters):
        """The optimizer, in its fused form: one kernel a step."""
        if self.optimizer == "sgd":
            return torch.optim.SGD(parameters, self.lr, momentum=0.9, weight_decay=self.weight_decay, fused=True)
        kind = torch.optim.AdamW if self.optimizer == "adamw" else torch.optim.Adam
        return kind(parameters, self.lr, weight_decay=self.weight_decay, fused=True)


def resolve_amp(choice, device):
    """Whether to compute in bfloat16.

    Args:
        choice: "auto" (where the CPU or GPU has instructions for it), "off" or "bf16"
    Raises: InputError if the GPU cannot do what is asked; ValueError for another choice
    """
    device = torch.device(device)
    if choice not in AMP:
        raise ValueError(f"unknown choice {choice!r}: one of {', '.join(AMP)}")
    if choice == "bf16" and device.type == "cuda" and not has_bfloat16(device):
        raise InputError("--amp bf16: this GPU computes no bfloat16; use --amp off")
    return choice == "bf16" or (choice == "auto" and has_bfloat16(device))


def amp_at(choice, img_size):
    """The choice of `resolve_amp` for trainings on images of a size: "off" below 32 px.

    Those become maps of one pixel, for which oneDNN on CPUs with AMX gives the weights of a convolution of stride 2
    gradients in bfloat16 that hold memory of others.

    Raises: InputError if bfloat16 is asked for
    """
    if img_size >= LEAST_BFLOAT16:
        return choice
    if choice == "bf16":
        least = f"it is for {LEAST_BFLOAT16} px and more"
        raise InputError(f"--amp bf16 with --img_size {img_size}: {least}; leave it out")
    return "off"


def has_bfloat16(device):
    """Whether the device has instructions for bfloat16; emulation, which is slow, does not count."""
    if device.type == "cuda":
        return torch.cuda.is_available() and torch.cuda.get_device_capability(device) >= (8, 0)
    # private names, so absent ones count as no: slower, never wrong
    checks = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(check() for check in checks if check is not None)


def cosine_restarts(epoch):
    """The published schedule: learning rate as a share of its first peak at a time in epochs, e.g. 0.5.

    Up from the floor in a line over 1 epoch, down again on half a cosine over 4, and anew with half the peak.
    """
    cycle, into = divmod(epoch, CYCLE)
    peak = max(0.5**cycle, FLOOR)
    if into < WARM_UP:
        return FLOOR + (peak - FLOOR) * into / WARM_UP
    return FLOOR + (peak - FLOOR) * (1 + math.cos(math.pi * (into - WARM_UP) / (CYCLE - WARM_UP))) / 2


def make_scheduler(name, optimizer, lr, epochs, steps_per_epoch):
    """A scheduler to be stepped after each optimizer step.

    Args:
        name: "cosine_restarts", "onecycle" (Smith & Topin 2019, PyTorch's defaults) or "constant"
        lr: peak learning rate
    Raises: ValueError for another name
    """
    if name == "onecycle":
        return OneCycleLR(optimizer, max_lr=lr, epochs=epochs, steps_per_epoch=steps_per_epoch)
    if name not in SCHEDULES:
        raise ValueError(f"unknown schedule {name!r}: one of {', '.join(SCHEDULES)}")
    share = cosine_restarts if name == "cosine_restarts" else lambda epoch: 1.0
    return LambdaLR(optimizer, lambda step: share(step / steps_per_epoch))


def weight_layout(device, amp):
    """`torch.memory_format` of the weights: channels last, but not with `amp` (bfloat16) on the CPU.

    There both orders are equally fast on one machine (ResNet-18 at 64 px, images with channels last), and on another of
    the same kind with a later PyTorch gradients of channels-last kernels took twice as long.
    """
    return torch.contiguous_format if amp and torch.device(device).type == "cpu" else torch.channels_last


def check_sharing(batch_size):
    """Refuse a batch of `batch_size` images that the processes can't have equal parts of. Raises: InputError"""
    processes = distributed.world_size()
    if batch_size % processes:
        cure = f"it is of all together, use a multiple of {processes}"
        raise InputError(f"--batch_size {batch_size} can't be shared by {processes} processes: {cure}")


def settings_from_flags(
    *, epoch, batch_size, lr, optimizer, weight_decay, scheduler, amp, as_released, compile, seed, img_size, **_
):
    """`TrainingSettings` from step 1's flags of these names, such as `epoch` and `lr`; others are not looked at.

    Raises: InputError if several processes can't share the batch, or bfloat16 is asked for such images
    """
    check_sharing(batch_size)
    steps = {"optimizer": optimizer, "weight_decay": weight_decay, "scheduler": scheduler, "amp": amp_at(amp, img_size)}
    how = {"shuffle": not as_released, "compile": compile, "seed": seed}
    return TrainingSettings(epochs=epoch, batch_size=batch_size, lr=lr, **steps, **how)


def augmentation_from_flags(*, hflip, vflip, rotation, as_released, mean, std, **_):
    """`Augmentation` from step 1's flags `hflip`, `vflip`, `rotation`, `as_released`; black by `mean` and `std`."""
    black = (normalisation_from_flags(mean, std) or HALF).black
    return Augmentation(hflip=hflip, vflip=vflip or as_released, degrees=rotation, nearest=as_released, black=black)


def first_weights_seed(seed, left_out):
    """Seed of the first weights by `seed`: an oracle, with columns `left_out`, shares no value with the original."""
    return seed + 1_000_003 if left_out else seed
