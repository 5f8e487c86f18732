"""The network a script is asked to work on: a checkpoint of step 1, or the user's own state dict."""

from dataclasses import dataclass, field

import torch
from torch import nn

from models import build_model, load_weights
from utils.common.errors import InputError
from utils.network.checkpoint import check_matches, checkpoint_in, load_checkpoint, read_state_dict, restore, sha256_of
from utils.network.fitting import check_size


@dataclass(frozen=True)
class LoadedNetwork:
    """A loaded network and where it came from.

    model: in eval mode on the device; name: of its architecture; sha256: of the file it was read from
    seed, epoch: of its training, None if it is the user's own; arguments: {flag: value} it was trained with
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

    def load_unlearned(self, path):
        """Take the values of an unlearned checkpoint that descends from this network, in place.

        Returns: what made it: the `method` that `utils.report.run_record.save_unlearned` was given
        Raises: InputError if there is none, or it descends from another network
        """
        checkpoint = load_checkpoint(path)
        check_matches(checkpoint, path, attributes=self.attributes, model=self.name, img_size=self.img_size)
        if checkpoint.parent_sha256 != self.sha256:
            sides = f"{str(checkpoint.parent_sha256)[:12]}…, but {self.path} has sha256 {self.sha256[:12]}…"
            raise InputError(f"{path} descends from a checkpoint of sha256 {sides}: run step 3 without --evaluate_only")
        if "unlearning" not in checkpoint.arguments:
            raise InputError(f"{path} does not say how it was unlearned: run step 3 without --evaluate_only")
        self.model.load_state_dict(check_values(checkpoint.state_dict, path))
        return checkpoint.arguments["unlearning"]


def load_network(path, attributes, *, weights=None, name=None, img_size=None, device="cpu"):
    """Load the network of `path` (a checkpoint), or of `weights` (a plain state dict) if that is given.

    Args:
        attributes: heads the user asks for, in order
        name: architecture; None takes the checkpoint's, or resnet18 for `weights` that do not say
        img_size: pixels a side; None takes the checkpoint's, or 224 for `weights` that do not say
    Returns: LoadedNetwork
    Raises: InputError if a file is absent or damaged or does not match what is asked
    """
    asked = {"attributes": tuple(attributes), "model": name, "img_size": img_size}
    asked = {key: value for key, value in asked.items() if value is not None}
    if weights:
        own = checkpoint_in(weights)
        if own is not None:  # it says itself what its heads are: a plain state dict cannot
            check_matches(own, weights, **asked)
        name = name or (own.model if own else "resnet18")
        img_size = img_size or (own.img_size if own else 224)
        check_size(name, attributes, img_size)
        model = build_model(name, attributes)
        state_dict = check_values(read_state_dict(weights), weights)
        model = load_weights(model, state_dict, weights).to(device).eval()
        details = {"seed": own.seed, "epoch": own.epoch, "arguments": own.arguments} if own else {}
        return LoadedNetwork(model, name, tuple(attributes), img_size, str(weights), sha256_of(weights), **details)
    checkpoint = load_checkpoint(path)
    check_matches(checkpoint, path, **asked)
    check_values(checkpoint.state_dict, path)
    details = {"seed": checkpoint.seed, "epoch": checkpoint.epoch, "arguments": checkpoint.arguments}
    model = restore(checkpoint, device).eval()
    return LoadedNetwork(
        model, checkpoint.model, checkpoint.attributes, checkpoint.img_size, str(path), sha256_of(path), **details
    )


def check_values(state_dict, path):
    """Refuse weights that hold NaN or infinite values, though the outputs may be finite. Returns: the state dict

    Args: state_dict: {name: tensor}; path: of its file, for the error
    Raises: InputError that names the first such tensor
    """
    wrong = [name for name, value in state_dict.items() if value.is_floating_point() and not value.isfinite().all()]
    if wrong:
        more = f" and {len(wrong) - 1} more" if len(wrong) > 1 else ""
        cure = "its training has diverged; train it with a smaller --lr, or take other weights"
        raise InputError(f"{path} holds values that are not finite ({wrong[0]}{more}): {cure}")
    return state_dict


def random_network(name, attributes, seed, device="cpu"):
    """A network that was never trained, in eval mode on `device`: what its features tell, any network's do.

    Args: name: architecture; attributes: heads; seed: the weights differ from those of the original and the oracle
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed + 2_000_003)  # neither the original's first weights nor the oracle's
        return build_model(name, attributes).to(device).eval()
