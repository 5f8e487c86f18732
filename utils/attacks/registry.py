"""All attacks by name, in the order of the verdict; a user's own are added with `register`."""

from utils.attacks.kept_labels import KEPT_LABELS
from utils.attacks.quantisation import QUANTISATION
from utils.attacks.relearning import RELEARNING_HEAD, RELEARNING_NETWORK
from utils.attacks.steering import STEERING
from utils.attacks.stitching import STITCHING
from utils.common.errors import InputError
from utils.probes.linear import LINEAR
from utils.probes.mlp import MLP
from utils.probes.neighbours import NEIGHBOURS
from utils.probes.prototype import PROTOTYPE
from utils.probes.quadratic import QUADRATIC
from utils.probes.unpooled import UNPOOLED

ATTACKS = {
    attack.name: attack
    for attack in (
        LINEAR,
        UNPOOLED,
        QUADRATIC,
        MLP,
        NEIGHBOURS,
        PROTOTYPE,
        STITCHING,
        STEERING,
        QUANTISATION,
        KEPT_LABELS,
        RELEARNING_HEAD,
        RELEARNING_NETWORK,
    )
}


def register(attack):
    """Add an `Attack` of one's own behind the others; every audit from here on runs it.

    Returns: the attack
    Raises: InputError if its name is taken
    """
    if attack.name in ATTACKS:
        raise InputError(f"there is an attack {attack.name!r} already: choose another name")
    ATTACKS[attack.name] = attack
    return attack


def attacks_at(level):
    """[Attack] of a level, "quick" or "full", in order."""
    return [attack for attack in ATTACKS.values() if level == "full" or attack.level == "quick"]
