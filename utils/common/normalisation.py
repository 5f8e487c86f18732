"""How the pixels of an image become a network's inputs: (x / 255 - mean) / std, a mean and a std a colour channel."""

import argparse
import math
import re
from dataclasses import dataclass

from utils.common.errors import InputError

NAMED = {
    "half": ((0.5, 0.5, 0.5), (0.5, 0.5, 0.5)),
    "imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
}
FORM = re.compile(r"\(x / 255 - (.+)\) / (.+)")
CURE = "pass one number, three (red, green, blue), or a name: " + ", ".join(sorted(NAMED))


@dataclass(frozen=True)
class Normalisation:
    """Means and standard deviations of red, green and blue, of pixels scaled to [0, 1].

    mean: three numbers in [0, 1]; std: three in (0, 1]
    """

    mean: tuple[float, float, float] = NAMED["half"][0]
    std: tuple[float, float, float] = NAMED["half"][1]

    def __post_init__(self):
        for name, least in (("mean", -math.inf), ("std", 0.0)):
            values = tuple(float(value) for value in getattr(self, name))
            if len(values) != 3 or not all(0 <= value <= 1 and value > least for value in values):
                expected = "in [0, 1]" if name == "mean" else "above 0 and at most 1"
                raise ValueError(f"{name} must be three numbers {expected}, got {_words(values)}")
            object.__setattr__(self, name, values)

    def __str__(self):
        """Formula, as files carry it."""
        return f"(x / 255 - {_short(self.mean)}) / {_short(self.std)}"

    @property
    def name(self):
        """Name that a flag takes, such as "imagenet"; None for others."""
        return next((name for name, values in NAMED.items() if values == (self.mean, self.std)), None)

    @property
    def flags(self):
        """Flags that ask for it, as typed."""
        return f"--mean {self.name}" if self.name else f"--mean {_words(self.mean)} --std {_words(self.std)}"

    @property
    def black(self):
        """What a black pixel becomes: a number for each channel."""
        return tuple(-mean / std for mean, std in zip(self.mean, self.std, strict=True))


HALF = Normalisation()


def parse_normalisation(text):
    """The `Normalisation` of a formula that a file carries. Raises: ValueError if it is none."""
    found = FORM.fullmatch(text) if isinstance(text, str) else None
    try:
        mean, std = ([float(word) for word in part.strip("[]").split()] for part in found.groups())
        return Normalisation(mean * (3 if len(mean) == 1 else 1), std * (3 if len(std) == 1 else 1))
    except (AttributeError, ValueError):
        raise ValueError(f"normalisation must be (x / 255 - mean) / std, got {text!r}") from None


def add_normalisation_arguments(add, recorded=True):
    """Add --mean and --std by `add`, the `add_argument` of a parser or a group; `recorded`: files say it themselves."""
    default = "; without it the checkpoint's, or half" if recorded else "; without it half"
    text = "mean of the pixels in [0, 1] that the images are reduced by: one number or three, or imagenet or half, "
    add("--mean", nargs="+", type=channel_value, metavar="X", help=f"{text}which set --std too{default}")
    add("--std", nargs="+", type=channel_value, metavar="X", help="what they are divided by then, likewise")


def channel_value(text):
    """A number, or one of the names that stand for three. Raises: ArgumentTypeError for anything else."""
    if text.lower() in NAMED:
        return text.lower()
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text!r} is no number: {CURE}, separated by blanks")
    return value


def normalisation_from_flags(mean=None, std=None):
    """The `Normalisation` that `--mean` and `--std` ask for: lists of numbers or names; None if neither is given.

    A name says both, unless the other flag is given as well.
    Raises: InputError if a flag has a wrong number of values, one out of range, or a number goes without the other flag
    """
    if not mean and not std:
        return None
    given = {"mean": mean, "std": std}
    for flag, other in (("mean", "std"), ("std", "mean")):
        if not given[flag]:
            if not isinstance(given[other][0], str):
                raise InputError(f"--{other} {_words(given[other])} goes with --{flag}: pass both, or --mean imagenet")
            given[flag] = given[other]
    values = {flag: _values(flag, given[flag]) for flag in given}
    try:
        return Normalisation(**values)
    except ValueError as error:
        raise InputError(f"--{error}: both are of pixels scaled to [0, 1] (divide by 255)") from None


def _values(flag, given):
    if len(given) == 1 and isinstance(given[0], str):
        return NAMED[given[0]][("mean", "std").index(flag)]
    if len(given) not in (1, 3) or any(isinstance(value, str) for value in given):
        raise InputError(f"--{flag} {_words(given)}: {CURE}")
    return tuple(given) * (3 if len(given) == 1 else 1)


def _short(values):
    return repr(values[0]) if len(set(values)) == 1 else f"[{_words(values)}]"


def _words(values):
    return " ".join(str(value) for value in values)
