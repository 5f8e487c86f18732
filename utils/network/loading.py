"""The network a script is asked to work on: a checkpoint of step 1, or the user's own state dict."""

import os
from dataclasses import dataclass, field

import torch
from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

from models import build_for, build_model, load_weights, recognise
from models.heads import get_heads, keep_heads
from utils.common.arguments import ALL as EVERY
from utils.common.arguments import READING
from utils.common.errors import InputError, warn
from utils.common.normalisation import HALF, Normalisation, parse_normalisation
from utils.network.checkpoint import Checkpoint, check_labels, check_matches, load_checkpoint, read_weights, restore
from utils.network.fitting import check_size
from utils.network.modes import exact_float32, keeping_modes
from utils.network.records import says_how
from utils.network.tensor_files import sha256_of

SPLIT_FLAGS = {"split": None, "limit": None, "allow_missing": False}  # what decides which image is in which part
SPLIT_FLAGS |= dict.fromkeys(READING)
ALL = ("attributes", "model", "img_size", "normalisation")  # that a user may ask for
MODEL, IMG_SIZE = "resnet18", 224  # of a plain state dict, which does not say
ASSUMED = {"model": f"--model {MODEL}", "img_size": f"--img_size {IMG_SIZE}", "normalisation": HALF.flags}


@dataclass(frozen=True)
class LoadedNetwork:
    """A loaded network and where it came from.

    model: in eval mode on the device; name: of its architecture; sha256: of the file it was read from
    seed, epoch: of its training, None if it is the user's own; arguments: {flag: value} it was trained with
    kind: of the checkpoint, "original", "pruned_<targets>" and so on; normalisation: of its images
    assumed: what neither the file nor the user said, as flags: "--img_size 224"
    file_heads: names of all heads in the file, of which `attributes` may be some
    """

    model: nn.Module
    name: str
    attributes: tuple[str, ...]
    img_size: int
    path: str
    sha256: str
    seed: int | None = None
    epoch: int | None = None
    arguments: dict = field(default_factory=dict)
    kind: str = "plain state dict"
    normalisation: Normalisation = HALF
    assumed: tuple[str, ...] = ()
    file_heads: tuple[str, ...] = ()

    @property
    def flags(self):
        """Flags of step 1 that train a network on images prepared as this one's are."""
        words = f"--model {self.name} --img_size {self.img_size}"
        words += f" {self.normalisation.flags}" if self.normalisation != HALF else ""
        return words + " --as_released" * bool(self.arguments.get("as_released"))

    def load_unlearned(self, path):
        """Take the values of an unlearned checkpoint that descends from this network, in place.

        Returns: what made it: the `method` that `utils.report.run_record.save_unlearned` was given
        Raises: InputError if there is none, or it descends from another network
        """
        checkpoint = load_checkpoint(path)
        same = {"attributes": self.attributes, "model": self.name, "img_size": self.img_size}
        check_matches(checkpoint, path, **same, normalisation=str(self.normalisation))
        if checkpoint.parent_sha256 != self.sha256:
            sides = f"{str(checkpoint.parent_sha256)[:12]}…, but {self.path} has sha256 {self.sha256[:12]}…"
            raise InputError(f"{path} descends from a checkpoint of sha256 {sides}: run step 3 without --evaluate_only")
        made = checkpoint.arguments.get("unlearning")
        if not says_how(made):
            raise InputError(f"{path} does not say how it was unlearned: run step 3 without --evaluate_only")
        load_weights(self.model, checkpoint.state_dict, path)
        return made


def load_network(
    path,
    attributes=None,
    *,
    weights=None,
    labels=None,
    pick=False,
    name=None,
    img_size=None,
    normalisation=None,
    device="cpu",
    check=ALL,
):
    """Load the network of `path` (a checkpoint), or of `weights` (a checkpoint or a plain state dict) if that is given.

    Args:
        attributes: heads the user asks for, in order; None takes the checkpoint's
        labels: names of the heads in a plain state dict, in its order; None: they are `attributes`
        pick: `attributes` may be some of the heads of a checkpoint given as `weights`
        name: architecture; None takes the checkpoint's, or resnet18 for `weights` that do not say
        img_size: pixels a side; None takes the checkpoint's, or 224 for `weights` that do not say
        normalisation: `Normalisation`; None takes the checkpoint's, or half for `weights` that do not say
        check: which of these four a checkpoint must have; the others are for a file that does not say only
    Returns: LoadedNetwork
    Raises: InputError if a file is absent or damaged, does not match what is asked, or is replaced meanwhile
    """
    file = str(weights or path)
    before = _state_of(file)
    content = read_weights(weights) if weights else load_checkpoint(path)
    asked = {"attributes": attributes and tuple(attributes), "model": name, "img_size": img_size}
    asked["normalisation"] = normalisation and str(normalisation)
    asked = {key: value for key, value in asked.items() if value is not None}
    check_labels(content, attributes, weights, labels)
    if isinstance(content, Checkpoint):  # it says itself what its heads are: a plain state dict cannot
        in_file = content.attributes
        if pick and weights and attributes and set(attributes) <= set(in_file):
            check = set(check) - {"attributes"}
        check_matches(content, file, **{key: value for key, value in asked.items() if key in check})
        model, assumed = restore(content, device, file), ()
        about = {key: getattr(content, key) for key in ("img_size", "seed", "epoch", "arguments", "kind")}
        about |= {"name": content.model, "normalisation": parse_normalisation(content.normalisation)}
    else:
        if not attributes:
            raise InputError(f"{file} does not say what its heads are: name them in order by --task_labels")
        assumed = tuple(text for flag, text in ASSUMED.items() if flag not in asked)
        name, normalisation = name or MODEL, normalisation or HALF
        in_file = tuple(labels or attributes)
        check_size(name, in_file, img_size or IMG_SIZE)
        model = _build(name, in_file, content, file).to(device).eval()
        about = {"img_size": img_size or IMG_SIZE, "name": name, "normalisation": normalisation}
    if attributes and model.attributes != tuple(attributes):
        model = keep_heads(model, attributes)
    about |= {"attributes": model.attributes, "file_heads": tuple(in_file)}
    sha256 = sha256_of(file)  # descendants are known by it: it must be that of the values above
    if _state_of(file) != before:
        raise InputError(f"{file} was replaced while it was read: run the same command again")
    return LoadedNetwork(model, path=file, sha256=sha256, assumed=assumed, **about)


def named_heads(task_labels, path, weights=None):
    """Names of heads, [str]: `task_labels`, or if they are "all" those of the network of `path` or `weights`."""
    return list(task_labels if list(task_labels) != [EVERY] else load_network(path, weights=weights).attributes)


def _state_of(file):
    """What differs once a file is replaced or written to; None if it is not there."""
    try:
        found = os.stat(file)
    except (OSError, ValueError):
        return None
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def _build(name, attributes, state_dict, file):
    """`build_for`, whose error names the architecture that the file is of, if that is another one."""
    try:
        return build_for(name, attributes, state_dict, file)
    except InputError as error:
        other = recognise(state_dict, name)
        hint = f"; it fits --model {other}" if other else ""
        raise InputError(f"{error}{hint}") from None


def check_alike(networks, cure):
    """Refuse networks that can't be compared on the same images; warn if their training parts differ.

    Args: networks: {role: `LoadedNetwork`}; cure: what the error ends in
    Raises: InputError that names what differs
    """
    kinds = {role: f"{network.name} at {network.img_size} px" for role, network in networks.items()}
    if len({network.normalisation for network in networks.values()}) > 1:
        kinds = {role: f"{kind}, {networks[role].normalisation}" for role, kind in kinds.items()}
    resized = {role: bool(network.arguments.get("as_released")) for role, network in networks.items()}
    recorded = {role: network for role, network in networks.items() if network.arguments}
    if len({resized[role] for role in recorded}) > 1:
        kinds = {role: kind + ", --as_released" * resized[role] for role, kind in kinds.items()}
    if len(set(kinds.values())) > 1:
        unlike = ", ".join(f"{role} {kind}" for role, kind in kinds.items())
        raise InputError(f"the networks differ ({unlike}): {cure}")
    for flag, default in SPLIT_FLAGS.items():
        values = {role: network.arguments.get(flag, default) for role, network in recorded.items()}
        if len(set(values.values())) > 1:
            sides = ", ".join(f"{role} {value}" for role, value in values.items())
            warn(f"the networks were trained with different --{flag} ({sides}): one may have seen test images")


def random_network(name, attributes, seed, device="cpu", images=None):
    """A network that was never trained, in eval mode on `device`: what its features tell, any network's do.

    Args:
        name: architecture; attributes: heads; seed: the weights differ from those of the original and the oracle
        images: (N, 3, H, W), normalised, on the CPU, for `calibrate`; None: its layers keep their default statistics
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed + 2_000_003)  # neither the original's first weights nor the oracle's
        model = build_model(name, attributes)
    if images is not None:
        calibrate(model, images)
    return model.to(device).eval()


@torch.no_grad()
def calibrate(model, images):
    """Give an untrained network, in place, the statistics of some images, as a training would have.

    Batch norms take those of the one batch. In a network without layers that normalise, each convolution and linear
    layer but the heads is scaled so that its outputs have a standard deviation of 1, from below upwards (Mishkin and
    Matas 2016); else signals shrink from layer to layer. All on the CPU, so that the numbers are the same everywhere.

    Args: model: on the CPU; images: (N, 3, H, W), normalised, on the CPU
    """
    if len(images) < 2:
        return  # no spread to measure
    norms = [module for module in model.modules() if isinstance(module, _BatchNorm)]
    others = any(isinstance(module, (nn.LayerNorm, nn.GroupNorm)) for module in model.modules())
    scaled = [] if norms or others else [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    hooks = [module.register_forward_hook(_scale_to_one) for module in scaled if module is not get_heads(model)]
    with keeping_modes(model), exact_float32():
        model.eval()
        for norm in norms:
            norm.reset_running_stats()
            norm.train()
        momenta = [norm.momentum for norm in norms]
        try:
            for norm in norms:
                norm.momentum = 1.0  # the statistics of this batch, nothing of the defaults
            model(images)
        finally:
            for norm, momentum in zip(norms, momenta, strict=True):
                norm.momentum = momentum
            for hook in hooks:
                hook.remove()


def _scale_to_one(module, _, output):
    """A forward hook that scales a layer by one over the spread of its output, and gives the output it then has."""
    spread = float(output.std())
    if not spread > 0:
        return output
    for value in (module.weight, module.bias):
        if value is not None:
            value.div_(spread)
    return output / spread
