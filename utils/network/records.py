"""What a checkpoint records of how it was made, which may be a stranger's: of the right kinds, with an end."""

from collections.abc import Mapping

import torch

from utils.common.arguments import READING

MOST_VALUES, MOST_DEPTH = 1_000_000, 100  # of a record; each unlearning of an unlearned network is two deeper
HOLDS = {  # what steps 2 and 3 take from the record of a training, and what it may be
    "split": lambda value: value in ("released", "official", "all") if isinstance(value, str) else False,
    "limit": lambda value: value is None or type(value) is int and value > 0,
    "allow_missing": lambda value: isinstance(value, bool),
    "as_released": lambda value: isinstance(value, bool),
    **{flag: lambda value, kind=bool if flag == "difficult" else str: isinstance(value, kind) for flag in READING},
    "training_part": lambda value: value is None or isinstance(value, str),
    "task_labels": lambda value: isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value),
    "unlearning": lambda value: value is None or isinstance(value, Mapping),
}


def check_record(record):
    """Refuse what could not be saved again, or would stop a later step.

    Args: record: {name: value}, perhaps a stranger's
    Raises: ValueError
    """
    for name, holds in HOLDS.items():
        if name in record and not holds(record[name]):
            raise ValueError(f"the recorded {name} must be a value of that flag")
    level, values = [record], 0
    for _ in range(MOST_DEPTH):
        values += len(level)
        groups = [value for value in level if isinstance(value, (Mapping, list, tuple, set, frozenset))]
        if values + sum(map(len, groups)) > MOST_VALUES:
            break
        if not all(
            isinstance(key, (str, int, float)) for group in groups if isinstance(group, Mapping) for key in group
        ):
            raise ValueError("the keys of its record must be names or numbers")
        if any(isinstance(value, torch.Tensor) and value.numel() != 1 for value in level):
            raise ValueError("its record must be plain values, no tensors")
        if any(len(set(map(type, group))) > 1 for group in groups if isinstance(group, (set, frozenset))):
            raise ValueError("a set in its record must be of values of one kind")
        level = [value for group in groups for value in (group.values() if isinstance(group, Mapping) else group)]
        if not level:
            return
    raise ValueError(f"its record must be of at most {MOST_VALUES:,} values, nested at most {MOST_DEPTH} deep")


def says_how(made):
    """Whether what a checkpoint's record says of its unlearning, which may be anything, is {"rule", …} as of step 3."""
    if not (isinstance(made, dict) and isinstance(made.get("rule"), str)):
        return False
    strength, pruned, layers = made.get("strength"), made.get("pruned", {}), made.get("layers") or []
    numbers = isinstance(strength, (int, float)) and 0 <= strength <= 1e9 if made["rule"] == "erase" else True
    lists = isinstance(pruned, dict) and all(
        isinstance(channels, list) and all(type(channel) is int for channel in channels) for channels in pruned.values()
    )
    return numbers and lists and isinstance(layers, list) and all(isinstance(layer, str) for layer in layers)
